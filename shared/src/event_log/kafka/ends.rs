//! Asks the brokers where partitions end, for many callers at a time.
//!
//! Whoever asks must learn of every record that was acknowledged before the question. So nothing is remembered, and a question that
//! is already on its way serves nobody who comes later; all who come meanwhile share the next one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::event_log::{AppendError, Topic};

type Answer = Result<i64, String>;
type Waiting = Vec<oneshot::Sender<Answer>>;

/// The questions that are on their way, and who waits for the next ones.
#[derive(Default)]
pub(super) struct Ends {
    waiting: Mutex<HashMap<(Topic, i32), Waiting>>,
}

impl Ends {
    /// The end of a partition, by `ask`, which blocks: at most one question is on its way for each partition.
    pub(super) async fn of(
        self: &Arc<Self>,
        topic: Topic,
        partition: i32,
        ask: impl Fn() -> Answer + Send + 'static,
    ) -> Result<i64, AppendError> {
        let (sender, answer) = oneshot::channel();
        if self.joins((topic, partition), sender) {
            let ends = Arc::clone(self);
            tokio::task::spawn_blocking(move || ends.serve((topic, partition), ask));
        }
        let nobody = || AppendError::Unavailable("nobody answered where the partition ends".to_owned());
        answer.await.map_err(|_| nobody())?.map_err(AppendError::Unavailable)
    }

    /// Whether the caller is the first and must see to it that questions are asked.
    fn joins(&self, partition: (Topic, i32), sender: oneshot::Sender<Answer>) -> bool {
        let mut waiting = self.waiting();
        let first = !waiting.contains_key(&partition);
        waiting.entry(partition).or_default().push(sender);
        first
    }

    /// Asks until nobody waits any more.
    fn serve(&self, partition: (Topic, i32), ask: impl Fn() -> Answer) {
        while let Some(senders) = self.next(partition) {
            let answer = ask();
            for sender in senders {
                // A caller that went away needs no answer.
                sender.send(answer.clone()).unwrap_or_default();
            }
        }
    }

    fn next(&self, partition: (Topic, i32)) -> Option<Waiting> {
        let mut waiting = self.waiting();
        let senders = std::mem::take(waiting.get_mut(&partition)?);
        if senders.is_empty() {
            waiting.remove(&partition);
            return None;
        }
        Some(senders)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<(Topic, i32), Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_asks_while_a_question_is_on_its_way_gets_the_answer_to_a_later_one() {
        let (ends, asked) = (Arc::new(Ends::default()), Arc::new(AtomicI64::new(0)));
        let (begun, begins) = mpsc::channel();
        let (go_on, going_on) = mpsc::channel();
        let count = Arc::clone(&asked);
        let ask = move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            begun.send(()).expect("the test listens");
            going_on.recv().expect("the test goes on");
            Ok(number)
        };
        let first = tokio::spawn({
            let ends = Arc::clone(&ends);
            async move { ends.of(Topic::Events, 0, ask).await }
        });
        let begins =
            tokio::task::spawn_blocking(move || begins.recv().map(|()| begins)).await.expect("runs").expect("begins");
        let never = || Err("the first one asks for all".to_owned());
        let later: Vec<_> = (0..100)
            .map(|_| {
                tokio::spawn({
                    let ends = Arc::clone(&ends);
                    async move { ends.of(Topic::Events, 0, never).await }
                })
            })
            .collect();
        while ends.waiting().get(&(Topic::Events, 0)).map_or(0, Vec::len) < 100 {
            tokio::task::yield_now().await;
        }
        go_on.send(()).expect("is asking");
        go_on.send(()).expect("is asking");
        assert_eq!(first.await.expect("runs").expect("answered"), 0);
        for later in later {
            assert_eq!(later.await.expect("runs").expect("answered"), 1);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2, "one question for all that came later");
        drop(begins);
    }
}
