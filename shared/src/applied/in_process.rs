//! Applied positions within one process. The Redis adapter keeps what it hears of in here too.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{AnnounceError, AppliedAnnouncer, AppliedWatcher};
use crate::event_log::Position;

/// The greatest announced offset of each partition.
#[derive(Debug)]
pub struct AppliedPositions {
    heard: watch::Sender<HashMap<i32, i64>>,
}

impl Default for AppliedPositions {
    fn default() -> Self {
        Self { heard: watch::Sender::new(HashMap::new()) }
    }
}

impl AppliedPositions {
    /// Takes note of announced positions and wakes who waits for them.
    pub fn hear(&self, positions: &[Position]) {
        self.heard.send_if_modified(|heard| {
            let mut news = false;
            for position in positions {
                let known = heard.entry(position.partition).or_insert(-1);
                news |= position.offset > *known;
                *known = position.offset.max(*known);
            }
            news
        });
    }
}

#[async_trait]
impl AppliedAnnouncer for AppliedPositions {
    async fn announce(&self, positions: &[Position]) -> Result<(), AnnounceError> {
        self.hear(positions);
        Ok(())
    }
}

#[async_trait]
impl AppliedWatcher for AppliedPositions {
    async fn wait_for(&self, position: Position, patience: Duration) -> bool {
        let mut heard = self.heard.subscribe();
        let reached = heard.wait_for(|heard| heard.get(&position.partition).is_some_and(|&at| at >= position.offset));
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }

    fn applied(&self, partition: i32) -> Option<i64> {
        self.heard.borrow().get(&partition).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position { partition, offset }
    }

    #[tokio::test]
    async fn one_process_keeps_the_contract() {
        let applied = Arc::new(AppliedPositions::default());
        crate::applied::conformance::run(&*applied.clone(), applied.clone(), || applied).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_is_woken_by_its_own_partition_and_no_other() {
        let applied = Arc::new(AppliedPositions::default());
        let waiter = {
            let applied = applied.clone();
            tokio::spawn(async move { applied.wait_for(at(1, 5), Duration::from_secs(10)).await })
        };
        applied.hear(&[at(0, 9), at(1, 4)]);
        assert!(!applied.wait_for(at(1, 5), Duration::from_secs(1)).await);
        applied.hear(&[at(1, 7)]);
        assert!(waiter.await.expect("no panic"));
        applied.hear(&[at(1, 3)]);
        assert_eq!(applied.applied(1), Some(7), "an older position changes nothing");
        assert_eq!(applied.applied(2), None);
    }
}
