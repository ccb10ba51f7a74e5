//! Asks the brokers where partitions begin and end, for many callers at a time.
//!
//! Whoever asks must learn of every record that was acknowledged before the question. So nothing is remembered, and a question that
//! is already on its way serves nobody who comes later; all who come meanwhile share the next one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

type Waiting<A> = Vec<oneshot::Sender<Result<A, String>>>;

/// The questions that are on their way, by what they are about, and who waits for the next ones.
pub(crate) struct Questions<K, A> {
    waiting: Mutex<HashMap<K, Waiting<A>>>,
}

impl<K, A> Default for Questions<K, A> {
    fn default() -> Self {
        Self { waiting: Mutex::default() }
    }
}

impl<K, A> Questions<K, A>
where
    K: Copy + Eq + Hash + Send + 'static,
    A: Clone + Send + 'static,
{
    /// The answer of `ask`, which blocks: at most one question about the same thing is on its way.
    ///
    /// # Errors
    /// What `ask` failed with.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        about: K,
        ask: impl Fn() -> Result<A, String> + Send + 'static,
    ) -> Result<A, String> {
        let (sender, answer) = oneshot::channel();
        if self.joins(about, sender) {
            let questions = Arc::clone(self);
            tokio::task::spawn_blocking(move || questions.serve(about, ask));
        }
        answer.await.unwrap_or_else(|_| Err("nobody answered".to_owned()))
    }

    /// Whether the caller is the first and must see to it that questions are asked.
    fn joins(&self, about: K, sender: oneshot::Sender<Result<A, String>>) -> bool {
        let mut waiting = self.waiting();
        let first = !waiting.contains_key(&about);
        waiting.entry(about).or_default().push(sender);
        first
    }

    /// Asks until nobody waits any more.
    fn serve(&self, about: K, ask: impl Fn() -> Result<A, String>) {
        while let Some(senders) = self.next(about) {
            let answer = ask();
            for sender in senders {
                // A caller that went away needs no answer.
                sender.send(answer.clone()).unwrap_or_default();
            }
        }
    }

    fn next(&self, about: K) -> Option<Waiting<A>> {
        let mut waiting = self.waiting();
        let senders = std::mem::take(waiting.get_mut(&about)?);
        if senders.is_empty() {
            waiting.remove(&about);
            return None;
        }
        Some(senders)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<K, Waiting<A>>> {
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
        let (questions, asked) = (Arc::new(Questions::default()), Arc::new(AtomicI64::new(0)));
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
            let questions = Arc::clone(&questions);
            async move { questions.ask(0, ask).await }
        });
        let begins =
            tokio::task::spawn_blocking(move || begins.recv().map(|()| begins)).await.expect("runs").expect("begins");
        let never = || Err("the first one asks for all".to_owned());
        let later: Vec<_> = (0..100)
            .map(|_| {
                tokio::spawn({
                    let questions = Arc::clone(&questions);
                    async move { questions.ask(0, never).await }
                })
            })
            .collect();
        while questions.waiting().get(&0).map_or(0, Vec::len) < 100 {
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
