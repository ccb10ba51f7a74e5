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
    total: i64,
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

    fn line(&self, what: &str) -> String {
        line(what, self.read(), self.total, self.begun.elapsed())
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
    pub(crate) fn begin(screen: Screen, what: &'static str, total: i64) -> Self {
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
                let line = shown.line(what);
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
            self.screen.say(&self.counter.line(self.what));
        }
    }
}

fn line(what: &str, read: i64, total: i64, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let rate = if seconds > 0.0 { read as f64 / seconds } else { 0.0 };
    let share = if total > 0 { 100 * read / total } else { 100 };
    let left = match total - read {
        left if left <= 0 => "done".to_owned(),
        _ if rate < 1.0 => "no end in sight".to_owned(),
        left => format!("{} to go", duration(left as f64 / rate)),
    };
    format!("{what}: {read} of {total} records ({share} %), {rate:.0} a second, {left}")
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
            line("rebuilding", 50_000, 200_000, second * 5),
            "rebuilding: 50000 of 200000 records (25 %), 10000 a second, 15 s to go"
        );
        assert!(line("rebuilding", 10, 10_000_000, second).ends_with("10 a second, 277 h 46 min to go"));
        assert!(line("rebuilding", 0, 10, second).ends_with("no end in sight"));
        assert!(line("rebuilding", 7, 7, second).ends_with("(100 %), 7 a second, done"));
        assert!(line("rebuilding", 0, 0, Duration::ZERO).ends_with("done"));
    }
}
