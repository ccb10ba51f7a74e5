//! How far a replay is: one line that is written over on a terminal, one line every few seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

/// How often the line on a terminal is written anew.
const ON_TERMINAL: Duration = Duration::from_millis(250);
/// How often a line is written elsewhere.
const ELSEWHERE: Duration = Duration::from_secs(5);

/// Where progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// A terminal: one line, written over.
    Terminal,
    /// A file or a pipe: lines.
    Lines,
    /// Nowhere, for tests.
    Nowhere,
}

impl Screen {
    /// What standard error is.
    #[must_use]
    pub fn of_standard_error() -> Self {
        if std::io::stderr().is_terminal() { Self::Terminal } else { Self::Lines }
    }

    /// Says something that stays.
    pub(crate) fn say(self, text: &str) {
        match self {
            Self::Terminal => put(&format!("\r\x1b[K{text}\n")),
            Self::Lines => put(&format!("{text}\n")),
            Self::Nowhere => {}
        }
    }
}

/// A closed standard error is no reason to stop.
fn put(text: &str) {
    let mut standard_error = std::io::stderr().lock();
    if let Err(error) = standard_error.write_all(text.as_bytes()).and_then(|()| standard_error.flush()) {
        tracing::debug!(%error, "nobody sees the progress");
    }
}

/// Counts the records of one stretch.
#[derive(Debug)]
pub(crate) struct Counter {
    read: AtomicI64,
    /// `None` when nobody knows.
    total: Option<i64>,
    begun: Instant,
}

impl Counter {
    pub(crate) fn read(&self) -> i64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    fn line(&self, what: &str, is_done: bool) -> String {
        line(what, self.read(), self.total, self.begun.elapsed(), is_done)
    }
}

/// Shows a counter until it is dropped.
pub(crate) struct Shown {
    counter: Arc<Counter>,
    what: &'static str,
    screen: Screen,
    showing: Option<AbortHandle>,
}

impl Shown {
    /// Begins to show how far `what` is, of `total` records.
    pub(crate) fn begin(screen: Screen, what: &'static str, total: Option<i64>) -> Self {
        let counter = Arc::new(Counter { read: AtomicI64::new(0), total, begun: Instant::now() });
        let every = match screen {
            Screen::Terminal => Some(ON_TERMINAL),
            Screen::Lines => Some(ELSEWHERE),
            Screen::Nowhere => None,
        };
        let shown = counter.clone();
        let show = move |every| async move {
            loop {
                tokio::time::sleep(every).await;
                let line = shown.line(what, false);
                put(&if screen == Screen::Terminal { format!("\r\x1b[K{line}") } else { format!("{line}\n") });
            }
        };
        let showing = every.map(|every| tokio::spawn(show(every)).abort_handle());
        Self { counter, what, screen, showing }
    }

    pub(crate) fn counter(&self) -> Arc<Counter> {
        self.counter.clone()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(showing) = self.showing.take() {
            showing.abort();
            self.screen.say(&self.counter.line(self.what, true));
        }
    }
}

fn line(what: &str, read: i64, total: Option<i64>, took: Duration, is_done: bool) -> String {
    let seconds = took.as_secs_f64();
    let rate = if seconds > 0.0 { read as f64 / seconds } else { 0.0 };
    let of_total = match total {
        Some(total) if total > 0 => format!(" of {total} records ({} %)", 100 * read / total),
        _ => " records".to_owned(),
    };
    let left = match total.map(|total| total - read) {
        _ if is_done => ", done".to_owned(),
        None => String::new(),
        // They are read and not all durable.
        Some(left) if left <= 0 => ", writing the last of them".to_owned(),
        Some(_) if rate < 1.0 => ", no end in sight".to_owned(),
        Some(left) => format!(", {} to go", duration(left as f64 / rate)),
    };
    format!("{what}: {read}{of_total}, {rate:.0} a second{left}")
}

fn duration(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_records_rate_and_end() {
        let second = Duration::from_secs(1);
        assert_eq!(
            line("rebuilding", 50_000, Some(200_000), second * 5, false),
            "rebuilding: 50000 of 200000 records (25 %), 10000 a second, 15 s to go"
        );
        let of = |read, total, is_done| line("rebuilding", read, total, second, is_done);
        assert!(of(10, Some(10_000_000), false).ends_with("10 a second, 277 h 46 min to go"));
        assert!(of(0, Some(10), false).ends_with("no end in sight"));
        assert!(of(7, Some(7), false).ends_with("(100 %), 7 a second, writing the last of them"));
        assert!(of(7, Some(7), true).ends_with("(100 %), 7 a second, done"));
        assert_eq!(of(7, None, false), "rebuilding: 7 records, 7 a second");
        assert!(of(0, Some(0), true).ends_with("done"));
    }
}
