//! Where tests find real servers: `KAFKA_BROKERS`, `MONGO_URI`, `REDIS_ADDR`. `make test` starts them and sets these.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

/// The value of `variable`; `None`, with a line on standard error that says so, when it is not set.
///
/// # Panics
/// It is not set and `RASTRO_TEST_SERVERS=required`: then nothing may be left out.
#[must_use]
pub fn address(variable: &str, test: &str) -> Option<String> {
    if let Some(address) = std::env::var(variable).ok().filter(|address| !address.is_empty()) {
        return Some(address);
    }
    let required = std::env::var("RASTRO_TEST_SERVERS").is_ok_and(|value| value == "required");
    assert!(!required, "{test} needs {variable}, and RASTRO_TEST_SERVERS=required");
    // Straight to the stream: the test harness swallows what a passing test prints.
    let line = format!("left out: {test} ({variable} is not set; `make test` starts the servers)\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is writable");
    None
}

/// A name that no other test, in this process or another, uses: for topics, databases and keys.
#[must_use]
pub fn unique_name(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{prefix}_{}_{process}_{count}", crate::clock::system().as_millis())
}
