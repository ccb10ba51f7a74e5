//! How many pieces of memory the process has asked for. For measurements only: behind the feature `count-allocations`, with which each
//! program also makes [`Counting`] its allocator. What C libraries ask for by themselves is not counted.

use std::fmt::Write;
use std::sync::{LazyLock, Mutex, PoisonError};

use alloc_tracker::{Allocator, Operation, ProcessSpan, Session};

/// An allocator, counted thread by thread, so that counting costs next to nothing.
pub type Counting<A> = Allocator<A>;

/// The name of the metric.
pub const METRIC: &str = "rastro_allocations_total";
/// What is counted, in the words of the library.
const PROCESS: &str = "process";

/// Everything since the first question.
struct Counted {
    session: Session,
    operation: Operation,
    span: Option<ProcessSpan>,
}

static COUNTED: LazyLock<Mutex<Counted>> = LazyLock::new(|| {
    // It would print a summary, and write files, when it ends.
    let session = Session::new().no_stdout().no_file();
    let operation = session.operation(PROCESS);
    Mutex::new(Counted { span: Some(operation.measure_process()), session, operation })
});

/// Pieces of memory that were asked for since the first call.
#[must_use]
pub fn total() -> u64 {
    let mut counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    // A span counts when it ends.
    drop(counted.span.take().map(|span| span.iterations(1)));
    counted.span = Some(counted.operation.measure_process());
    let report = counted.session.to_report();
    report.operations().map(|(_, operation)| operation.total_allocations_count()).sum()
}

/// The same as a line for `/metrics`.
pub(crate) fn write(text: &mut String) {
    // Writing to a String cannot fail.
    writeln!(text, "# TYPE {METRIC} counter\n{METRIC} {}", total()).expect("a String takes what is written");
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting<System> = Counting::system();

    #[test]
    fn every_piece_of_every_thread_counts_once() {
        const PIECES: u64 = 10_000;
        let before = total();
        let make = || (0..PIECES).for_each(|size| drop(std::hint::black_box(vec![0_u8; size as usize + 1])));
        std::thread::scope(|scope| {
            scope.spawn(make);
            scope.spawn(make);
        });
        // Other tests of the process count, too.
        assert!(total() - before >= 2 * PIECES);
    }
}
