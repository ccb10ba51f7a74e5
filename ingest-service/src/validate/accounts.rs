//! What log-ins and admins send about users and keys.

use serde_json::{Value, json};
use shared::shipment::form::Form;
use shared::shipment::{FieldError, Timestamp, UnknownFields, limits};
use shared::user_store::Role;

use crate::authenticate::{LONGEST_PASSWORD, SHORTEST_PASSWORD, check_password};

/// Longest user name, in characters: an e-mail address has room in it as far as people have them.
const USERNAME: usize = 64;
/// Longest name of a key, in characters: what it is for and where.
const KEY_NAME: usize = 100;

/// User name and password of a log-in.
///
/// # Errors
/// Every bad field.
pub(crate) fn credentials(value: Value) -> Result<(String, String), Vec<FieldError>> {
    let mut form = Form::of(value)?;
    let credentials = read_credentials(&mut form);
    form.finish(UnknownFields::Refuse)?;
    Ok(credentials)
}

/// The schema of [`credentials`].
pub(crate) fn credentials_schema() -> Value {
    Form::describe(read_credentials)
}

fn read_credentials(form: &mut Form) -> (String, String) {
    let username = form.text("username", USERNAME);
    // Not its least length: a short one is a wrong one.
    let password = form.text("password", LONGEST_PASSWORD);
    form.also("password", || json!({"format": "password"}));
    if password.len() > LONGEST_PASSWORD {
        // Characters are never more than bytes, so the form's own limit lets no valid one through its fingers.
        form.error("password", "too_long", format!("must have at most {LONGEST_PASSWORD} bytes"));
    }
    (username, password)
}

/// A user to be added. `Debug` is not derived: it holds a password.
pub(crate) struct NewUser {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) role: Role,
    pub(crate) client_id: Option<String>,
}

/// The body of `POST /auth/users`.
///
/// # Errors
/// Every bad field.
pub(crate) fn new_user(value: Value) -> Result<NewUser, Vec<FieldError>> {
    let mut form = Form::of(value)?;
    let user = read_new_user(&mut form);
    form.finish(UnknownFields::Refuse)?;
    Ok(user)
}

/// The schema of [`new_user`].
pub(crate) fn new_user_schema() -> Value {
    with_client(Form::describe(read_new_user))
}

/// A schema that asks for a client where the role needs one.
fn with_client(mut schema: Value) -> Value {
    schema["if"] = json!({"properties": {"role": {"const": Role::Client.as_str()}}});
    schema["then"] = json!({"required": ["client_id"], "properties": {"client_id": {"type": "string"}}});
    schema
}

fn read_new_user(form: &mut Form) -> NewUser {
    let username = form.text("username", USERNAME);
    form.also("username", || json!({"pattern": r"^[\w.@+-]+$"}));
    if let Err(problem) = check_username(&username) {
        form.error("username", "malformed", problem);
    }
    let present = form.has("password");
    let password = new_password(form);
    let password = form.required("password", password, present);
    let (role, client_id) = role_and_client(form, Role::ALL);
    NewUser { username, password: password.unwrap_or_default(), role, client_id }
}

/// Whether a user may be called so. An empty name is another matter.
///
/// # Errors
/// The sentence for whoever chose it.
pub(crate) fn check_username(name: &str) -> Result<(), String> {
    let allowed = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '@' | '+');
    if !name.chars().all(allowed) {
        return Err("must consist of letters, digits, _ - . @ and +".to_owned());
    }
    if name.chars().count() > USERNAME {
        return Err(format!("must have at most {USERNAME} characters"));
    }
    Ok(())
}

fn new_password(form: &mut Form) -> Option<String> {
    let password = form.optional_text("password", LONGEST_PASSWORD);
    form.also("password", || json!({"format": "password", "minLength": SHORTEST_PASSWORD}));
    let password = password?;
    if let Err(fault) = check_password(&password) {
        form.error("password", fault.word(), fault.to_string());
    }
    Some(password)
}

/// Role and client of somebody new; the role out of `roles`.
fn role_and_client(form: &mut Form, roles: &[Role]) -> (Role, Option<String>) {
    let role = form.word("role", roles, Role::as_str);
    let client_id = form.optional_text("client_id", limits::CLIENT_ID);
    if role == Some(Role::Client) && client_id.is_none() {
        form.error("client_id", "required", "is required for the role client");
    }
    (role.unwrap_or(Role::Source), client_id)
}

/// What is to become of a user; what is absent stays. `Debug` is not derived: it holds a password.
#[derive(Default)]
pub(crate) struct UserChange {
    pub(crate) password: Option<String>,
    pub(crate) role: Option<Role>,
    /// `Some(None)`: no client any more (`null`).
    pub(crate) client_id: Option<Option<String>>,
    pub(crate) disabled: Option<bool>,
}

/// The body of `PATCH /auth/users/{username}`.
///
/// # Errors
/// Every bad field.
pub(crate) fn user_change(value: Value) -> Result<UserChange, Vec<FieldError>> {
    let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty);
    let no_client = value.get("client_id").is_some_and(Value::is_null);
    let mut form = Form::of(value)?;
    let UserChange { password, role, client_id, disabled } = read_user_change(&mut form);
    if is_empty {
        form.error("", "required", "names nothing to change: password, role, client_id or disabled");
    }
    form.finish(UnknownFields::Refuse)?;
    Ok(UserChange { password, role, client_id: if no_client { Some(None) } else { client_id }, disabled })
}

/// The schema of [`user_change`].
pub(crate) fn user_change_schema() -> Value {
    let mut schema = Form::describe(read_user_change);
    schema["minProperties"] = json!(1);
    schema
}

fn read_user_change(form: &mut Form) -> UserChange {
    UserChange {
        password: new_password(form),
        role: form.optional_word("role", Role::ALL, Role::as_str),
        client_id: form.optional_text("client_id", limits::CLIENT_ID).map(Some),
        disabled: form.optional_flag("disabled"),
    }
}

/// A key to be made.
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) client_id: Option<String>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// The body of `POST /auth/api-keys`. A key may not administer: what it does is nobody's doing, and it is good for long.
///
/// # Errors
/// Every bad field.
pub(crate) fn new_key(value: Value, now: Timestamp) -> Result<NewKey, Vec<FieldError>> {
    let mut form = Form::of(value)?;
    let key = read_key(&mut form);
    if key.expires_at.is_some_and(|expires_at| expires_at <= now) {
        form.error("expires_at", "out_of_range", "must be in the future");
    }
    form.finish(UnknownFields::Refuse)?;
    Ok(key)
}

/// The schema of [`new_key`].
pub(crate) fn key_schema() -> Value {
    with_client(Form::describe(read_key))
}

fn read_key(form: &mut Form) -> NewKey {
    let name = form.text("name", KEY_NAME);
    form.also("name", || json!({"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"}));
    if name.chars().any(char::is_control) {
        form.error("name", "malformed", "must not contain control characters");
    }
    let (role, client_id) = role_and_client(form, &[Role::Client, Role::Source]);
    let expires_at = form.optional_timestamp("expires_at");
    NewKey { name, role, client_id, expires_at }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(errors: &[FieldError]) -> Vec<(&str, &str)> {
        errors.iter().map(|error| (error.field.as_str(), error.code)).collect()
    }

    #[test]
    fn a_user_has_a_role_and_a_client_has_a_client_id() {
        let body = |change: fn(&mut Value)| {
            let mut value =
                json!({"username": "zoë@x.mx", "password": "a long one", "role": "client", "client_id": "c"});
            change(&mut value);
            new_user(value).err().unwrap_or_default()
        };
        assert_eq!(fields(&body(|_| ())), []);
        assert_eq!(fields(&body(|user| user["client_id"] = json!(null))), [("client_id", "required")]);
        assert_eq!(fields(&body(|user| user["role"] = json!("root"))), [("role", "unknown_value")]);
        assert_eq!(fields(&body(|user| user["role"] = json!(null))), [("role", "required")]);
        assert_eq!(fields(&body(|user| user["password"] = json!(null))), [("password", "required")]);
        assert_eq!(fields(&body(|user| user["password"] = json!("short"))), [("password", "too_short")]);
        assert_eq!(fields(&body(|user| user["password"] = json!("ñandúes"))), [], "nine bytes");
        assert_eq!(fields(&body(|user| user["password"] = json!("é".repeat(37)))), [("password", "too_long")]);
        assert_eq!(fields(&body(|user| user["password"] = json!("12345678\0"))), [("password", "malformed")]);
        assert_eq!(fields(&body(|user| user["username"] = json!("a b"))), [("username", "malformed")]);
        assert_eq!(fields(&body(|user| user["username"] = json!("key:7G2BKBT9"))), [("username", "malformed")]);
        assert_eq!(fields(&body(|user| user["api_key"] = json!("k"))), [("api_key", "unknown_field")]);
    }

    #[test]
    fn a_change_names_what_it_changes_and_null_takes_the_client_away() {
        let change = |value: Value| user_change(value).map_err(|errors| errors.len());
        let all = json!({"password": "a long one", "role": "source", "client_id": "c", "disabled": true});
        let all = change(all).expect("valid");
        assert_eq!(
            (all.password.as_deref(), all.role, all.disabled),
            (Some("a long one"), Some(Role::Source), Some(true))
        );
        assert_eq!(all.client_id, Some(Some("c".to_owned())));
        let none = change(json!({"client_id": null})).expect("valid");
        assert!(none.client_id == Some(None) && none.role.is_none() && none.password.is_none());
        let errors = user_change(json!({"password": "short", "role": "root", "disabled": 1, "username": "x"}));
        let errors = errors.err().unwrap_or_default();
        let names: Vec<_> = fields(&errors).into_iter().map(|(field, _)| field).collect();
        assert_eq!(names, ["password", "role", "disabled", "username"]);
        assert_eq!(change(json!({})).err(), Some(1), "to change nothing is a slip");
    }

    #[test]
    fn a_key_has_a_name_never_administers_and_expires_in_the_future() {
        let now = Timestamp::parse("2025-02-12T15:00:00Z").expect("valid");
        let errors = |value: Value| {
            let errors = new_key(value, now).err().unwrap_or_default();
            fields(&errors).into_iter().map(|(field, code)| format!("{field} {code}")).collect::<Vec<_>>()
        };
        assert!(errors(json!({"name": "Gate 4, Puebla", "role": "source"})).is_empty());
        assert!(
            errors(json!({"name": "x", "role": "client", "client_id": "c", "expires_at": "2025-02-12T15:00:01Z"}))
                .is_empty()
        );
        let wrong = errors(json!({"name": "a\nb", "role": "admin", "expires_at": "2025-02-12T15:00:00Z", "key": "x"}));
        assert_eq!(wrong, ["name malformed", "role unknown_value", "expires_at out_of_range", "key unknown_field"]);
        assert_eq!(errors(json!({"name": " ", "role": "client"})), ["name too_short", "client_id required"]);
    }
}
