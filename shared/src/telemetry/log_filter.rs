//! Which lines are written, changed while the program runs: in an incident nobody wants to lose what only a running process knows.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload;

/// Longest filter, in bytes: a level for each of forty modules.
pub const FILTER_BYTES: usize = 1_000;

/// A filter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is none, or too long.
    #[error("{0}")]
    Malformed(String),
    /// Nothing is logged any more: the program is ending.
    #[error("the logging has ended")]
    Gone,
}

/// The filter of a program's log lines. Clones are the same one.
#[derive(Clone)]
pub struct LogFilter(Arc<Inner>);

struct Inner {
    put: Box<dyn Fn(EnvFilter) -> Result<(), FilterError> + Send + Sync>,
    /// What holds now, in the form in which it is shown.
    text: Mutex<String>,
}

/// What a change of the filter did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// What held before.
    pub old: String,
    /// What holds now.
    pub new: String,
}

impl LogFilter {
    /// The filter `text` (a level, or such as `info,shared=debug`), and what a layer of log lines is filtered by.
    ///
    /// # Errors
    /// It is none.
    pub fn new<S: 'static>(text: &str) -> Result<(Self, reload::Layer<EnvFilter, S>), FilterError> {
        let filter = parse(text)?;
        let text = Mutex::new(filter.to_string());
        let (layer, handle) = reload::Layer::new(filter);
        let put = Box::new(move |filter| handle.reload(filter).map_err(|_| FilterError::Gone));
        Ok((Self(Arc::new(Inner { put, text })), layer))
    }

    /// What holds now.
    #[must_use]
    pub fn now(&self) -> String {
        self.0.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether `text` is a filter.
    ///
    /// # Errors
    /// It is none.
    pub fn check(text: &str) -> Result<(), FilterError> {
        parse(text).map(drop)
    }

    /// Lets `text` hold from now on.
    ///
    /// # Errors
    /// It is no filter, and the old one holds.
    pub fn replace(&self, text: &str) -> Result<Replaced, FilterError> {
        let filter = parse(text)?;
        let new = filter.to_string();
        // Held over both, so that what is shown is what holds.
        let mut shown = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
        (self.0.put)(filter)?;
        let old = std::mem::replace(&mut *shown, new.clone());
        Ok(Replaced { old, new })
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LogFilter({:?})", self.now())
    }
}

fn parse(text: &str) -> Result<EnvFilter, FilterError> {
    if text.trim().is_empty() {
        return Err(FilterError::Malformed("expected a level, or a filter such as info,shared=debug".to_owned()));
    }
    if text.len() > FILTER_BYTES {
        return Err(FilterError::Malformed(format!("must have at most {FILTER_BYTES} characters")));
    }
    // Values are compared and not matched: a pattern would be work for each line.
    let parsed = EnvFilter::builder().with_regex(false).parse(text);
    parsed.map_err(|error| FilterError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn what_is_logged_changes_at_once_and_back() {
        let (filter, layer) = LogFilter::new("warn").expect("a level");
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(layer);
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
        let enabled = || (tracing::enabled!(tracing::Level::DEBUG), tracing::enabled!(tracing::Level::WARN));
        assert_eq!(enabled(), (false, true));
        let replaced = filter.replace("info,shared=debug").expect("a filter");
        assert_eq!((replaced.old.as_str(), filter.now()), ("warn", replaced.new));
        assert_eq!(enabled(), (true, true));
        filter.replace("off").expect("a level");
        assert_eq!(enabled(), (false, false));
    }

    #[test]
    fn what_is_no_filter_changes_nothing() {
        let (filter, _layer) = LogFilter::new::<tracing_subscriber::Registry>("info").expect("a level");
        let too_long = "a=info,".repeat(FILTER_BYTES);
        for bad in ["", " ", "info,,=", "shared=loud", too_long.as_str()] {
            assert!(matches!(filter.replace(bad), Err(FilterError::Malformed(_))), "{bad}");
        }
        assert_eq!(filter.now(), "info");
    }
}
