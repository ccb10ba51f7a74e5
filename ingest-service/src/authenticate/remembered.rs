//! What a store said lately about those who call, so that not every request costs it a question.
//!
//! - An answer is good for one life ([`Lives`]), counted from when the question was asked; a change in the store shows after that, or at
//!   once where [`Remembered::forget`] is called.
//! - Of many who want the same at once, one asks and the others wait for that answer.
//! - When the store does not answer, whoever asks is told so, with the last that it said. After three failures it is left alone for a
//!   second each time. A caller who hangs up does not count as a failure: a question, once asked, is asked to its end.
//! - What is there and what is not are remembered apart, so that nobody makes room by asking for what is not.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lru::LruCache;
use shared::breaker::Breaker;
use shared::shipment_store::StoreError;
use tokio::time::Instant;

/// Longest time for one question: a look-up by key takes a millisecond, and somebody's request waits for it.
const DEADLINE: Duration = Duration::from_secs(1);
/// Answers that are remembered of each kind, some hundred bytes each. Beyond, those that were used least lately are asked for again.
const ANSWERS: NonZeroUsize = NonZeroUsize::new(16_384).expect("is not 0");
/// Questions that may be under way at a time: those about the same share one of these.
const QUESTIONS: usize = 64;

/// A store that is asked by key.
#[async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    type Value: Clone + Send + Sync + 'static;

    /// What it knows about `key`.
    async fn find(&self, key: &str) -> Result<Option<Self::Value>, StoreError>;
}

/// How long answers are good.
#[derive(Clone, Copy)]
pub(crate) struct Lives {
    /// That it is there, and what it is.
    pub(crate) present: Duration,
    /// That it is not there.
    pub(crate) absent: Duration,
    /// As the last that was said, while the store does not answer.
    pub(crate) without_store: Duration,
}

/// What is known about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer<V> {
    /// The store says so, or said so less than a life ago.
    Confirmed(Option<V>),
    /// The store does not answer; this is the last that it said.
    Last(Option<V>),
    /// The store does not answer, and has not said anything about it yet.
    Unknown,
}

/// The answers of a source.
pub(crate) struct Remembered<S: Source>(Arc<Shared<S>>);

struct Shared<S: Source> {
    source: S,
    lives: Lives,
    hasher: RandomState,
    memory: Mutex<Memory<S::Value>>,
    questions: [tokio::sync::Mutex<()>; QUESTIONS],
    breaker: Breaker,
}

struct Memory<V> {
    present: LruCache<Box<str>, (V, Instant)>,
    absent: LruCache<Box<str>, Instant>,
    /// How often something was forgotten: an answer to a question from before may be from before the change.
    forgotten: u64,
}

impl<S: Source> Remembered<S> {
    pub(crate) fn new(source: S, lives: Lives) -> Self {
        let memory = Memory { present: LruCache::sparse(ANSWERS), absent: LruCache::sparse(ANSWERS), forgotten: 0 };
        Self(Arc::new(Shared {
            source,
            lives,
            hasher: RandomState::new(),
            memory: Mutex::new(memory),
            questions: [const { tokio::sync::Mutex::const_new(()) }; QUESTIONS],
            breaker: Breaker::default(),
        }))
    }

    /// What is known about `key`.
    ///
    /// # Errors
    /// The store holds what cannot be read.
    pub(crate) async fn find(&self, key: &str) -> Result<Answer<S::Value>, StoreError> {
        self.find_younger(key, Duration::MAX).await
    }

    /// The same, for who has a reason to think that an answer of this age is out of date.
    ///
    /// # Errors
    /// The store holds what cannot be read.
    pub(crate) async fn find_younger(&self, key: &str, age: Duration) -> Result<Answer<S::Value>, StoreError> {
        if let Some(answer) = self.0.fresh(key, Instant::now(), age) {
            return Ok(Answer::Confirmed(answer));
        }
        let (shared, key) = (self.0.clone(), key.to_owned());
        let asking = tokio::spawn(async move { shared.ask(&key, age).await });
        asking.await.unwrap_or_else(|panic| Err(StoreError::unavailable(panic)))
    }

    /// Lets the next one ask the store about `key`.
    pub(crate) fn forget(&self, key: &str) {
        let mut memory = self.0.memory();
        memory.present.pop(key);
        memory.absent.pop(key);
        memory.forgotten += 1;
    }
}

impl<S: Source> Shared<S> {
    async fn ask(&self, key: &str, age: Duration) -> Result<Answer<S::Value>, StoreError> {
        let question = &self.questions[usize::try_from(self.hasher.hash_one(key)).unwrap_or(0) % QUESTIONS];
        let _asked_by_one = question.lock().await;
        let now = Instant::now();
        if let Some(answer) = self.fresh(key, now, age) {
            return Ok(Answer::Confirmed(answer));
        }
        if !self.breaker.allows(now.into_std()) {
            return Ok(self.last(key, now));
        }
        let forgotten = self.memory().forgotten;
        let unavailable = match tokio::time::timeout(DEADLINE, self.source.find(key)).await {
            Ok(Ok(found)) => {
                self.breaker.succeeded();
                self.remember(key, found.clone(), now, forgotten);
                return Ok(Answer::Confirmed(found));
            }
            Ok(Err(error @ StoreError::Unavailable(_))) => error.to_string(),
            Ok(Err(error)) => {
                self.breaker.succeeded();
                return Err(error);
            }
            Err(_) => format!("no answer within {DEADLINE:?}"),
        };
        self.breaker.failed(Instant::now().into_std());
        tracing::warn!(why = unavailable, "who calls cannot be looked up; what was known is taken for true");
        Ok(self.last(key, now))
    }

    fn memory(&self) -> MutexGuard<'_, Memory<S::Value>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self, key: &str, now: Instant, age: Duration) -> Option<Option<S::Value>> {
        let is_fresh = |asked: &Instant, life: Duration| now.saturating_duration_since(*asked) < life.min(age);
        let mut memory = self.memory();
        if let Some((value, asked)) = memory.present.get(key) {
            return is_fresh(asked, self.lives.present).then(|| Some(value.clone()));
        }
        let asked = memory.absent.get(key)?;
        is_fresh(asked, self.lives.absent).then_some(None)
    }

    fn last(&self, key: &str, now: Instant) -> Answer<S::Value> {
        let is_good = |asked: &Instant| now.saturating_duration_since(*asked) < self.lives.without_store;
        let memory = self.memory();
        if let Some((value, _)) = memory.present.peek(key).filter(|(_, asked)| is_good(asked)) {
            return Answer::Last(Some(value.clone()));
        }
        match memory.absent.peek(key) {
            Some(asked) if is_good(asked) => Answer::Last(None),
            _ => Answer::Unknown,
        }
    }

    fn remember(&self, key: &str, found: Option<S::Value>, asked: Instant, forgotten: u64) {
        let mut memory = self.memory();
        if memory.forgotten != forgotten {
            return;
        }
        match found {
            Some(value) => {
                memory.absent.pop(key);
                memory.present.put(key.into(), (value, asked));
            }
            None => {
                memory.present.pop(key);
                memory.absent.put(key.into(), asked);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const LIVES: Lives = Lives {
        present: Duration::from_secs(30),
        absent: Duration::from_secs(5),
        without_store: Duration::from_secs(3_600),
    };

    /// A store that can be away or slow.
    #[derive(Default)]
    struct Store {
        values: Mutex<HashMap<String, u32>>,
        questions: AtomicU32,
        away: Mutex<bool>,
        hold: Mutex<Option<Arc<Notify>>>,
    }

    #[async_trait]
    impl Source for Arc<Store> {
        type Value = u32;

        async fn find(&self, key: &str) -> Result<Option<u32>, StoreError> {
            self.questions.fetch_add(1, Ordering::SeqCst);
            if *self.away.lock().expect("no panic") {
                return Err(StoreError::unavailable("away"));
            }
            let found = self.values.lock().expect("no panic").get(key).copied();
            let hold = self.hold.lock().expect("no panic").clone();
            if let Some(hold) = hold {
                hold.notified().await;
            }
            Ok(found)
        }
    }

    impl Store {
        fn set(&self, key: &str, value: u32) {
            self.values.lock().expect("no panic").insert(key.to_owned(), value);
        }

        fn asked(&self) -> u32 {
            self.questions.swap(0, Ordering::SeqCst)
        }

        fn is_away(&self, away: bool) {
            *self.away.lock().expect("no panic") = away;
        }
    }

    fn remembered() -> (Arc<Store>, Remembered<Arc<Store>>) {
        let store = Arc::new(Store::default());
        (store.clone(), Remembered::new(store, LIVES))
    }

    async fn find(remembered: &Remembered<Arc<Store>>, key: &str) -> Answer<u32> {
        remembered.find(key).await.expect("readable")
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_shows_after_one_life_and_the_store_is_asked_once_in_it() {
        let (store, remembered) = remembered();
        store.set("a", 1);
        for _ in 0..3 {
            assert_eq!(find(&remembered, "a").await, Answer::Confirmed(Some(1)));
            assert_eq!(find(&remembered, "b").await, Answer::Confirmed(None));
        }
        assert_eq!(store.asked(), 2);
        store.set("a", 2);
        store.set("b", 3);
        tokio::time::advance(LIVES.absent).await;
        assert_eq!(find(&remembered, "a").await, Answer::Confirmed(Some(1)));
        assert_eq!(find(&remembered, "b").await, Answer::Confirmed(Some(3)), "what is new shows soon");
        tokio::time::advance(LIVES.present - LIVES.absent).await;
        assert_eq!(find(&remembered, "a").await, Answer::Confirmed(Some(2)));
        assert_eq!(store.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_doubts_an_answer_has_the_store_asked_again_now_and_then() {
        let (store, remembered) = remembered();
        store.set("a", 1);
        find(&remembered, "a").await;
        tokio::time::advance(Duration::from_secs(1)).await;
        store.set("a", 2);
        for _ in 0..3 {
            let answer = remembered.find_younger("a", Duration::from_secs(1)).await.expect("readable");
            assert_eq!(answer, Answer::Confirmed(Some(2)));
        }
        assert_eq!(store.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_forgotten_is_asked_for_again_also_when_it_was_being_asked_for() {
        let (store, remembered) = remembered();
        store.set("a", 1);
        let hold = Arc::new(Notify::new());
        *store.hold.lock().expect("no panic") = Some(hold.clone());
        let early = {
            let shared = Remembered(remembered.0.clone());
            tokio::spawn(async move { shared.find("a").await.expect("readable") })
        };
        while store.questions.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        store.set("a", 2);
        remembered.forget("a");
        *store.hold.lock().expect("no panic") = None;
        hold.notify_one();
        assert_eq!(early.await.expect("no panic"), Answer::Confirmed(Some(1)), "true when it was asked");
        assert_eq!(find(&remembered, "a").await, Answer::Confirmed(Some(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_who_want_the_same_one_asks() {
        let (store, remembered) = remembered();
        store.set("a", 1);
        let all = (0..100).map(|_| {
            let shared = Remembered(remembered.0.clone());
            tokio::spawn(async move { shared.find("a").await.expect("readable") })
        });
        for one in all.collect::<Vec<_>>() {
            assert_eq!(one.await.expect("no panic"), Answer::Confirmed(Some(1)));
        }
        assert_eq!(store.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_store_the_last_that_it_said_is_told_and_it_is_left_alone_for_a_while() {
        let (store, remembered) = remembered();
        store.set("a", 1);
        find(&remembered, "a").await;
        find(&remembered, "b").await;
        store.is_away(true);
        assert_eq!(find(&remembered, "a").await, Answer::Confirmed(Some(1)), "good for its life");
        tokio::time::advance(LIVES.present).await;
        store.asked();
        for _ in 0..10 {
            assert_eq!(find(&remembered, "a").await, Answer::Last(Some(1)));
            assert_eq!(find(&remembered, "b").await, Answer::Last(None));
            assert_eq!(find(&remembered, "c").await, Answer::Unknown);
        }
        assert_eq!(store.asked(), 3, "the circuit is open");
        store.is_away(false);
        store.set("a", 2);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(find(&remembered, "a").await, Answer::Confirmed(Some(2)));
        store.is_away(true);
        tokio::time::advance(LIVES.without_store).await;
        assert_eq!(find(&remembered, "a").await, Answer::Unknown, "for so long, and no longer");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_hangs_up_does_not_make_the_store_look_away() {
        let (store, remembered) = remembered();
        store.set("a", 1);
        let hold = Arc::new(Notify::new());
        *store.hold.lock().expect("no panic") = Some(hold.clone());
        for _ in 0..10 {
            let hasty = tokio::time::timeout(Duration::from_millis(1), remembered.find("a"));
            assert!(hasty.await.is_err());
        }
        *store.hold.lock().expect("no panic") = None;
        hold.notify_one();
        store.set("a", 2);
        assert_eq!(find(&remembered, "a").await, Answer::Confirmed(Some(1)), "the first question was asked to its end");
        assert_eq!(store.asked(), 1);
    }
}
