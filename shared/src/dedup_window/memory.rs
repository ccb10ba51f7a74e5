//! The dedup window in this process: for embedded mode and tests.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Decided, DedupWindow, WindowError};
use crate::shipment::{EventId, Outcome};

/// Most events that one generation keeps: about 30 MB. There are two generations.
const GENERATION_EVENTS: usize = 100_000;

/// Two generations of entries: new ones go into the young one; when that is full or half a time to live old, it
/// becomes the old one, and the old one is forgotten. So an entry lives at most its time to live, and forgetting costs nothing.
#[derive(Debug)]
pub struct MemoryWindow {
    generations: Mutex<Generations>,
    half_life: Duration,
}

#[derive(Debug)]
struct Generations {
    young: HashMap<String, (EventId, Outcome)>,
    old: HashMap<String, (EventId, Outcome)>,
    born: Instant,
}

impl MemoryWindow {
    /// An empty window whose entries live at most `time_to_live`.
    #[must_use]
    pub fn new(time_to_live: Duration) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), born: Instant::now() };
        Self { generations: Mutex::new(generations), half_life: time_to_live / 2 }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Generations) -> T) -> T {
        let mut generations = self.generations.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let age = generations.born.elapsed();
        if age >= self.half_life || generations.young.len() >= GENERATION_EVENTS {
            let young = std::mem::take(&mut generations.young);
            generations.old = if age >= self.half_life * 2 { HashMap::new() } else { young };
            generations.born = Instant::now();
        }
        work(&mut generations)
    }
}

#[async_trait]
impl DedupWindow for MemoryWindow {
    async fn look_up(&self, dedup_keys: &[String]) -> Result<Vec<Option<(EventId, Outcome)>>, WindowError> {
        Ok(self.with(|generations| {
            let find = |key: &String| generations.young.get(key).or_else(|| generations.old.get(key)).copied();
            dedup_keys.iter().map(find).collect()
        }))
    }

    async fn remember(&self, decided: &[Decided]) -> Result<(), WindowError> {
        self.with(|generations| {
            for event in decided.iter().filter(|event| event.outcome != Outcome::Conflict) {
                if !generations.old.contains_key(&event.dedup_key) {
                    let entry = (event.event_id, event.outcome);
                    generations.young.entry(event.dedup_key.clone()).or_insert(entry);
                }
            }
        });
        Ok(())
    }

    async fn check(&self) -> Result<(), WindowError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup_window::conformance;

    #[tokio::test]
    async fn the_memory_window_keeps_the_contract() {
        conformance::run(&MemoryWindow::new(Duration::from_secs(3600)), "memory").await;
    }

    #[tokio::test]
    async fn an_entry_does_not_outlive_its_time() {
        let window = MemoryWindow::new(Duration::ZERO);
        conformance::run_expired(&window, "memory").await;
    }
}
