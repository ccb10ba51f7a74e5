//! What a caller may see of the changes, and wants to see.

use shared::change_feed::Change;
use shared::event_log::LogRecord;
use shared::shipment::{FieldError, Status, TrackingNumber, limits};
use shared::user_store::Role;

use crate::authenticate::Caller;
use crate::error::{Code, Problem};

/// Everything that is named must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    number: Option<TrackingNumber>,
    client_id: Option<String>,
    /// The status after the change.
    status: Option<Status>,
}

impl Filter {
    /// The changes of one shipment, which the caller may see.
    pub(crate) fn of(number: TrackingNumber, caller: &Caller) -> Self {
        Self { number: Some(number), client_id: own_client(caller), status: None }
    }

    /// Reads `client_id` and `status`. A parameter that nobody knows is refused, because a misspelled filter would tell too much.
    ///
    /// # Errors
    /// 400 with every bad parameter; 403 when a client names another client.
    pub(crate) fn read(parameters: Vec<(String, String)>, caller: &Caller) -> Result<Self, Problem> {
        Self::read_with(parameters, caller, Vec::new())
    }

    /// Like [`Filter::read`], where `errors` were found in other parameters.
    ///
    /// # Errors
    /// The same, and those.
    pub(crate) fn read_with(
        parameters: Vec<(String, String)>,
        caller: &Caller,
        mut errors: Vec<FieldError>,
    ) -> Result<Self, Problem> {
        let (mut filter, mut seen) = (Self::default(), Vec::new());
        for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
            if seen.contains(&name) {
                errors.push(FieldError::new(name.clone(), "not_allowed", "stands there twice"));
            } else if let Err(error) = filter.set(&name, value) {
                errors.push(error);
            }
            seen.push(name);
        }
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        let own = own_client(caller);
        if own.is_some() && filter.client_id.is_some() && filter.client_id != own {
            return Err(Problem::new(Code::Forbidden, "The shipments of another client are not shown"));
        }
        filter.client_id = own.or(filter.client_id);
        Ok(filter)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), FieldError> {
        match name {
            "client_id" if value.chars().count() > limits::CLIENT_ID => {
                let message = format!("must have at most {} characters", limits::CLIENT_ID);
                return Err(FieldError::new(name, "too_long", message));
            }
            "client_id" => self.client_id = Some(value),
            "status" => {
                self.status = Some(Status::from_word(&value).ok_or_else(|| {
                    let words: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
                    FieldError::new(name, "unknown_value", format!("must be one of {}", words.join(", ")))
                })?);
            }
            _ => return Err(FieldError::new(name, "unknown_field", "is not a parameter of the changes")),
        }
        Ok(())
    }

    /// Whether every change passes.
    pub(crate) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a record may be a change that passes: its key tells, before the rest is read.
    pub(crate) fn may_pass(&self, record: &LogRecord) -> bool {
        self.number.is_none_or(|number| record.key.as_deref() == Some(number.as_str().as_bytes()))
    }

    /// Whether a change is shown.
    pub(crate) fn passes(&self, change: &Change) -> bool {
        self.number.is_none_or(|number| number == change.tracking_number)
            && self.client_id.as_ref().is_none_or(|client_id| change.client_id.as_ref() == Some(client_id))
            && self.status.is_none_or(|status| change.to == Some(status))
    }
}

/// The client to which a caller is held. A client without one sees nothing: nothing belongs to the empty name.
fn own_client(caller: &Caller) -> Option<String> {
    match caller.role {
        Role::Admin => None,
        Role::Client | Role::Source => Some(caller.client_id.clone().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status and bad fields of a refusal.
    type Refused = (u16, Vec<(String, &'static str)>);

    fn read(role: Role, parameters: &[(&str, &str)]) -> Result<Filter, Refused> {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let client_id = (role == Role::Client).then(|| "c1".to_owned());
        let caller = Caller { sub: "someone".to_owned(), role, client_id };
        Filter::read(parameters.iter().map(own).collect(), &caller).map_err(|problem| {
            let status = if problem.code() == Code::Forbidden { 403 } else { 400 };
            (status, problem.errors().iter().map(|error| (error.field.clone(), error.code)).collect())
        })
    }

    #[test]
    fn a_client_is_held_to_its_own_shipments_and_told_when_it_names_another() {
        let own = Filter { client_id: Some("c1".to_owned()), ..Filter::default() };
        assert_eq!(read(Role::Client, &[]), Ok(own.clone()));
        assert_eq!(read(Role::Client, &[("client_id", "c1")]), Ok(own));
        assert_eq!(read(Role::Client, &[("client_id", "c2")]), Err((403, Vec::new())));
        assert_eq!(read(Role::Admin, &[]), Ok(Filter::default()));
        assert_eq!(read(Role::Admin, &[("client_id", "c2")]).map(|filter| filter.client_id), Ok(Some("c2".to_owned())));
    }

    #[test]
    fn every_bad_parameter_is_named_at_once() {
        let long = "x".repeat(limits::CLIENT_ID + 1);
        let asked = [("status", "lost"), ("client_id", long.as_str()), ("stauts", "created"), ("status", "created")];
        let expected = [
            ("status", "unknown_value"),
            ("client_id", "too_long"),
            ("stauts", "unknown_field"),
            ("status", "not_allowed"),
        ];
        let expected = expected.map(|(field, code)| (field.to_owned(), code)).to_vec();
        assert_eq!(read(Role::Admin, &asked), Err((400, expected)));
    }
}
