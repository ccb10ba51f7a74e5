//! What callers send, read and judged field by field: everything that is wrong is reported at once. The forms are the ones of the
//! domain, which the processor reads records with too; here stands only what the edge asks for besides.

mod accounts;
mod batch;
mod scan;

use serde_json::Value;
use shared::carrier::Reading;
use shared::shipment::{EventBody, FieldError, ShipmentBody, Timestamp, UnknownFields, limits};
use shared::user_store::Role;

pub(crate) use accounts::{
    UserChange, check_username, credentials, credentials_schema, key_schema, new_key, new_user, new_user_schema,
    user_change, user_change_schema,
};
pub(crate) use batch::{BatchItem, is_batch, items};
pub(crate) use scan::{scan, scan_schema};

use crate::authenticate::Caller;
use crate::error::{Code, Problem};

/// An event as it was understood, and what it was read as when it came in a carrier's words.
#[derive(Debug)]
pub(crate) struct Understood {
    pub(crate) body: EventBody,
    pub(crate) mapped: Option<Reading>,
}

/// The body of one event.
///
/// # Errors
/// Every bad field.
pub(crate) fn event(value: Value, now: Timestamp) -> Result<Understood, Vec<FieldError>> {
    // Looked at before the form takes the value, so that it is reported along with whatever else is wrong.
    let timestamp = value.get("timestamp").and_then(Value::as_str).and_then(|text| Timestamp::parse(text).ok());
    let ahead = timestamp.and_then(|timestamp| ahead("timestamp", timestamp, now));
    let body = EventBody::from_json(value, UnknownFields::Refuse);
    match ahead {
        None => body.map(|body| Understood { body, mapped: None }),
        Some(ahead) => {
            let mut errors = body.err().unwrap_or_default();
            errors.push(ahead);
            Err(errors)
        }
    }
}

/// What is wrong with `field`, a source's time that is too far ahead of ours.
fn ahead(field: &str, time: Timestamp, now: Timestamp) -> Option<FieldError> {
    let minutes = limits::CLOCK_AHEAD.as_secs() / 60;
    let message = || format!("must not be more than {minutes} minutes in the future");
    (time > now.plus(limits::CLOCK_AHEAD)).then(|| FieldError::new(field, "in_future", message()))
}

/// The body of a registration. Its `client_id` is set: a client's own, or the one that an admin named.
///
/// # Errors
/// 400 with every bad field; 403 when all that is wrong is that a client names another client.
pub(crate) fn shipment(value: Value, caller: &Caller) -> Result<ShipmentBody, Problem> {
    let mut more = Vec::new();
    let named = value.get("client_id").filter(|named| !named.is_null());
    let foreign = match (caller.role, named) {
        (Role::Client, Some(named)) => named.as_str() != caller.client_id.as_deref(),
        (Role::Client, None) => false,
        (Role::Admin | Role::Source, named) => {
            if named.is_none() && value.is_object() {
                more.push(FieldError::new("client_id", "required", "is required: whose shipment is it?"));
            }
            false
        }
    };
    let body = ShipmentBody::from_json(value, UnknownFields::Refuse);
    let not_yours = || FieldError::new("client_id", "not_allowed", "must be the caller's own, or absent");
    match body {
        Ok(mut body) if more.is_empty() && !foreign => {
            if caller.role == Role::Client {
                body.client_id.clone_from(&caller.client_id);
            }
            Ok(body)
        }
        Ok(_) if more.is_empty() => {
            let detail = "A client registers shipments of its own only";
            Err(Problem::new(Code::Forbidden, detail).with_errors(vec![not_yours()]))
        }
        body => {
            let mut errors = body.err().unwrap_or_default();
            errors.append(&mut more);
            errors.extend(foreign.then(not_yours));
            Err(Problem::invalid(errors))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn caller(role: Role, client_id: Option<&str>) -> Caller {
        Caller { sub: "someone".to_owned(), role, client_id: client_id.map(str::to_owned) }
    }

    fn fields(errors: &[FieldError]) -> Vec<(&str, &str)> {
        errors.iter().map(|error| (error.field.as_str(), error.code)).collect()
    }

    // contract: "Event body: `tracking_number"
    #[test]
    fn a_source_s_clock_may_be_five_minutes_ahead_and_no_more() {
        let now = Timestamp::parse("2025-02-12T15:00:00Z").expect("valid");
        let at = |time: &str| json!({"tracking_number": "99M-ABC12345", "status": "picked_up", "source": "app", "timestamp": time});
        assert!(event(at("2025-02-12T15:05:00Z"), now).is_ok());
        assert!(event(at("1999-02-12T15:05:00Z"), now).is_ok(), "late is not wrong");
        let errors = event(at("2025-02-12T15:05:00.001Z"), now).expect_err("ahead");
        assert_eq!(fields(&errors), [("timestamp", "in_future")]);
        let mut worse = at("2025-02-12T16:05:00Z");
        worse["status"] = json!("lost");
        let errors = event(worse, now).expect_err("both");
        assert_eq!(fields(&errors), [("status", "unknown_value"), ("timestamp", "in_future")]);
    }

    fn registration() -> Value {
        json!({"origin_address": "a", "origin_lat": 1, "origin_lng": 1, "destination_address": "b",
            "destination_lat": 0, "destination_lng": 0, "weight_kg": 1, "length_cm": 1, "width_cm": 1, "height_cm": 1,
            "content_description": "c"})
    }

    #[test]
    fn a_shipment_is_the_client_s_own_and_an_admin_says_whose() {
        let (ana, admin) = (caller(Role::Client, Some("c1")), caller(Role::Admin, None));
        assert_eq!(shipment(registration(), &ana).expect("valid").client_id.as_deref(), Some("c1"));
        let problem = shipment(registration(), &admin).expect_err("whose?");
        assert_eq!(problem.code(), Code::ValidationError);
        let mut named = registration();
        named["client_id"] = json!("c2");
        assert_eq!(shipment(named.clone(), &admin).expect("valid").client_id.as_deref(), Some("c2"));
        assert_eq!(shipment(named.clone(), &ana).expect_err("not hers").code(), Code::Forbidden);
        named["weight_kg"] = json!(0);
        named["transition_policy"] = json!("loose");
        let problem = shipment(named, &ana).expect_err("three things");
        assert_eq!(
            (problem.code(), problem.detail()),
            (Code::ValidationError, "3 fields are invalid; errors names them")
        );
    }
}
