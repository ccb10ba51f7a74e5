//! What many tests share: opened by the first one, cleared away by the last one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::platform::Platform;
use crate::servers::PrivateServers;
use crate::wait;

/// Longest time for one test.
const PATIENCE: Duration = Duration::from_secs(180);

/// What can be shared.
pub trait Shared: Send + Sync {
    /// What helps to understand a failed test.
    fn logs(&self) -> String;
}

impl Shared for Platform {
    fn logs(&self) -> String {
        Self::logs(self)
    }
}

impl Shared for tokio::sync::Mutex<PrivateServers> {
    fn logs(&self) -> String {
        String::new()
    }
}

/// A shared thing, and how many tests use it. When only some of them run (a filter), it ends with the process: programs and servers do, by
/// their last will, and what they kept on given servers stays there.
pub struct Stage<T> {
    tests: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    shared: Option<Arc<T>>,
    ended: usize,
}

impl<T: Shared> Stage<T> {
    /// A stage for so many tests.
    #[must_use]
    pub const fn of(tests: usize) -> Self {
        Self { tests, state: Mutex::new(State { shared: None, ended: 0 }) }
    }

    /// Runs `test` on what is shared; `open` makes that for the first one.
    ///
    /// # Panics
    /// The test fails, or it could not be opened.
    pub fn play(&self, name: &str, open: impl AsyncFnOnce() -> T, test: impl AsyncFnOnce(&T)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime needs nothing");
        let shared = {
            // The others wait here; when it cannot be opened, they find the lock poisoned.
            let mut state = self.state.lock().expect("it could be opened");
            state.shared.get_or_insert_with(|| Arc::new(runtime.block_on(open()))).clone()
        };
        let playing = Playing { stage: self, shared };
        runtime.block_on(wait::within(name, PATIENCE, test(&playing.shared)));
    }
}

/// A test that runs; when it ends, well or not, it is counted.
struct Playing<'a, T: Shared> {
    stage: &'a Stage<T>,
    shared: Arc<T>,
}

impl<T: Shared> Drop for Playing<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.shared.logs());
        }
        let last = {
            let mut state = self.stage.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.ended += 1;
            if state.ended == self.stage.tests { state.shared.take() } else { None }
        };
        drop(last); // not under the lock: it takes a while
    }
}
