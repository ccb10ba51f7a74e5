//! How many streams there may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;

use crate::error::{Code, Problem};

/// Most streams of one process: each has a task, a connection, and up to half a megabyte when its caller takes nothing.
const STREAMS: usize = 1_000;
/// Most streams of one caller on one process: a wall of dashboards, and what is left of connections that broke without a word.
const STREAMS_OF_ONE: usize = 32;

/// The streams that are open, by caller.
pub(super) struct Seats {
    taken: Mutex<HashMap<String, usize>>,
    open: IntGauge,
}

/// A stream's right to be; it ends with it.
pub(super) struct TakenSeat {
    seats: Arc<Seats>,
    caller: String,
}

impl Seats {
    /// All are free; `open` shows how many are taken.
    pub(super) fn new(open: IntGauge) -> Self {
        Self { taken: Mutex::default(), open }
    }

    /// A seat for `caller`.
    ///
    /// # Errors
    /// 429 when the caller has too many streams, 503 when this instance has.
    pub(super) fn take(self: &Arc<Self>, caller: &str) -> Result<TakenSeat, Problem> {
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= STREAMS {
            return Err(Problem::unavailable("This instance has too many streams; try again", "no stream to spare"));
        }
        let own = taken.entry(caller.to_owned()).or_default();
        if *own >= STREAMS_OF_ONE {
            let detail = format!("You have {STREAMS_OF_ONE} streams open on this instance; close one of them");
            return Err(Problem::new(Code::TooManyStreams, detail));
        }
        *own += 1;
        self.open.inc();
        Ok(TakenSeat { seats: Arc::clone(self), caller: caller.to_owned() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TakenSeat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(own) = taken.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.caller);
            }
        }
        self.seats.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats() -> Arc<Seats> {
        Arc::new(Seats::new(IntGauge::new("open", "Open").expect("a name")))
    }

    #[test]
    fn a_caller_has_so_many_streams_and_another_one_has_its_own() {
        let seats = seats();
        let mut taken: Vec<_> = (0..STREAMS_OF_ONE).map(|_| seats.take("ana").expect("free")).collect();
        assert_eq!(seats.take("ana").err().map(|problem| problem.code()), Some(Code::TooManyStreams));
        assert!(seats.take("eve").is_ok());
        taken.pop();
        assert!(seats.take("ana").is_ok(), "one was closed");
        drop(taken);
        assert!(seats.taken().is_empty(), "nothing is kept of callers who have left");
        assert_eq!(seats.open.get(), 0);
    }

    #[test]
    fn an_instance_has_so_many_streams() {
        let seats = seats();
        let taken: Vec<_> = (0..STREAMS).map(|n| seats.take(&format!("caller {n}")).expect("free")).collect();
        assert_eq!(seats.take("one more").err().map(|problem| problem.code()), Some(Code::ServiceUnavailable));
        assert_eq!(seats.open.get(), i64::try_from(STREAMS).expect("fits"));
        drop(taken);
        assert!(seats.take("one more").is_ok());
    }
}
