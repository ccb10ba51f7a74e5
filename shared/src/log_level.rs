//! What a program logs, as an operator sees and changes it while it runs.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::operator_log::{Act, Entry, OperatorLog};
use crate::shipment::form::Form;
use crate::shipment::{FieldError, UnknownFields};
use crate::telemetry::{FILTER_BYTES, FilterError, LogFilter, Replaced};

/// Largest body of a change, in bytes: the longest filter, escaped.
pub const BODY_BYTES: usize = 8 * 1024;

/// The filter of a program's log lines, with what keeps its changes. Clones are the same one.
#[derive(Clone)]
pub struct LogLevel {
    filter: LogFilter,
    operators: Arc<dyn OperatorLog>,
    /// The program.
    service: &'static str,
    clock: Clock,
}

/// What holds now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogLevel")]
pub struct Held {
    /// A level, or a filter such as `info,shared=debug`.
    pub filter: String,
}

/// What a change did.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LogLevelChanged")]
pub struct Changed {
    /// What held before.
    pub old: String,
    /// What holds from now on.
    pub new: String,
    /// The operator log has it. Where that cannot be written to, the filter is changed all the same: that is when it is needed.
    pub audited: bool,
}

/// The logging has ended with the program.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Ended(FilterError);

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    /// What was asked for is wrong.
    #[error("the body is invalid")]
    Invalid(Vec<FieldError>),
    /// The program is ending.
    #[error(transparent)]
    Ended(#[from] Ended),
}

impl LogLevel {
    /// The log level of `service`, whose changes are kept in `operators`.
    pub fn new(filter: LogFilter, operators: Arc<dyn OperatorLog>, service: &'static str, clock: Clock) -> Self {
        Self { filter, operators, service, clock }
    }

    /// What holds now.
    #[must_use]
    pub fn now(&self) -> Held {
        Held { filter: self.filter.now() }
    }

    /// Lets the filter in `body` (see [`schema`]) hold, in the name of `by`. Like every act of an operator it is written down before.
    ///
    /// # Errors
    /// See [`NotChanged`].
    pub async fn change(&self, body: Value, by: &str) -> Result<Changed, NotChanged> {
        let new = read(body).map_err(NotChanged::Invalid)?;
        let old = self.filter.now();
        let details = json!({"service": self.service, "old": old, "new": new});
        let entry = Entry { at: (self.clock)(), by: by.to_owned(), act: Act::LogLevelChanged, details };
        let written = self.operators.write(&entry).await;
        // Before and after, or a change to `error` would hide itself.
        let audited = written.is_ok();
        tracing::warn!(by, old, new, audited, "the log level is about to be changed");
        if let Err(error) = &written {
            tracing::warn!(%error, "the operator log does not know of a change of the log level");
        }
        let Replaced { old, new } = self.filter.replace(&new).map_err(Ended)?;
        tracing::warn!(by, old, new, audited, "the log level was changed");
        Ok(Changed { old, new, audited })
    }
}

fn read_members(form: &mut Form) -> String {
    form.text("filter", FILTER_BYTES)
}

/// The schema of a body that asks for a change.
#[must_use]
pub fn schema() -> Value {
    Form::describe(|form| {
        read_members(form);
    })
}

fn read(body: Value) -> Result<String, Vec<FieldError>> {
    let mut form = Form::of(body)?;
    let filter = read_members(&mut form);
    if !filter.is_empty()
        && let Err(error) = LogFilter::check(&filter)
    {
        form.error("filter", "malformed", error.to_string());
    }
    form.finish(UnknownFields::Refuse)?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::operator_log::memory::MemoryOperatorLog;

    fn level() -> (LogLevel, Arc<MemoryOperatorLog>) {
        let operators = Arc::new(MemoryOperatorLog::default());
        let (filter, layer) = LogFilter::new::<tracing_subscriber::Registry>("info").expect("a level");
        std::mem::forget(layer); // as a program's, it is there as long as the program
        (LogLevel::new(filter, operators.clone(), "ingest-service", clock::system), operators)
    }

    #[tokio::test]
    async fn a_change_is_written_down_with_who_made_it() {
        let (level, operators) = level();
        let changed = level.change(json!({"filter": "debug"}), "ana").await.expect("changed");
        assert_eq!(changed, Changed { old: "info".to_owned(), new: "debug".to_owned(), audited: true });
        assert_eq!(level.now().filter, "debug");
        let entries = operators.newest(Some(Act::LogLevelChanged), 10).await.expect("readable");
        let [entry] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!(entry.by, "ana");
        assert_eq!(entry.details, json!({"service": "ingest-service", "old": "info", "new": "debug"}));
    }

    #[tokio::test]
    async fn what_is_no_filter_is_named_and_changes_nothing() {
        let (level, operators) = level();
        for (body, field) in [
            (json!({}), "filter"),
            (json!({"filter": ""}), "filter"),
            (json!({"filter": 7}), "filter"),
            (json!({"filter": "loudly=loud"}), "filter"),
            (json!({"filter": "x".repeat(FILTER_BYTES + 1)}), "filter"),
            (json!({"filter": "debug", "for": "an hour"}), "for"),
            (json!("debug"), ""),
        ] {
            let Err(NotChanged::Invalid(errors)) = level.change(body.clone(), "ana").await else { panic!("{body}") };
            assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), [field], "{body}");
        }
        assert_eq!(level.now().filter, "info");
        assert!(operators.newest(None, 10).await.expect("readable").is_empty());
    }
}
