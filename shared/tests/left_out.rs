//! Says what a plain `cargo test` leaves out: adapters that are not built have no tests that could say so themselves.

use std::io::Write;

#[test]
fn what_is_not_built_is_said() {
    let adapters = [
        ("SQLite", cfg!(feature = "sqlite")),
        ("Kafka", cfg!(feature = "kafka")),
        ("MongoDB", cfg!(feature = "mongo")),
        ("Redis", cfg!(feature = "redis")),
    ];
    let absent: Vec<_> = adapters.iter().filter(|(_, built)| !built).map(|(name, _)| *name).collect();
    let required = std::env::var("RASTRO_TEST_SERVERS").is_ok_and(|value| value == "required");
    assert!(absent.is_empty() || !required, "{absent:?} are not built, and RASTRO_TEST_SERVERS=required");
    if !absent.is_empty() {
        let line = format!(
            "left out: the tests of {} and of the pair on real servers (their drivers are not built; `make test` builds them, \
             starts the servers and leaves out nothing)\n",
            absent.join(", ")
        );
        // Straight to the stream: the test harness swallows what a passing test prints.
        std::io::stderr().write_all(line.as_bytes()).expect("standard error is writable");
    }
}
