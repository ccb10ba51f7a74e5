//! A panic is a line in the log like every other error, in the span that it happened in.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

/// Logs every panic from now on, once, with the trace of the request that it happened in. The standard hook writes lines that are no JSON
/// and belong to nothing; it goes on to do that where nobody listens to the log.
pub fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let standard = panic::take_hook();
        panic::set_hook(Box::new(
            move |panic| {
                if tracing::enabled!(tracing::Level::ERROR) { log(panic) } else { standard(panic) }
            },
        ));
    });
}

fn log(panic: &PanicHookInfo<'_>) {
    let cause = panic.payload_as_str().unwrap_or("without a text");
    let location = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture(); // only when RUST_BACKTRACE asks for it
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(cause, location, backtrace, "a panic");
}
