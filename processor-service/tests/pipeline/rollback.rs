//! Back to a generation in whose group somebody is still: a processor that was frozen joins it again before it sees that it should leave.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::event_log::memory::MemoryLog;
use shared::event_log::replay::{EventReplay, Held, Offsets, ReplayError, Stretch};
use shared::event_log::{EventSubscriber, LogRecord, Offer, PartitionConsumer, Position};
use shared::projection::Generation;
use shared::shipment::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::rebuilds::Rebuilt;
use crate::world::{number, whole_life};

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_waits_until_nobody_is_left_in_the_group_that_it_goes_back_to() {
    let platform = Rebuilt::new();
    let running = platform.world.start();
    let positions = platform.world.append_events(&whole_life(number(1))).await;
    platform.world.settled(&positions).await;
    running.stop().await;
    platform.run("rebuild --swap").await;

    let (log, leaves) = (platform.world.log.clone(), CancellationToken::new());
    let (zombie, left) = (log.member(Generation::FIRST), leaves.clone());
    let zombie = std::thread::spawn(move || zombie.run(&TakesNothing, &left));
    while !log.has_members(Generation::FIRST).await.expect("reachable") {
        tokio::task::yield_now().await;
    }
    let back = platform.try_run_on("rebuild --rollback", Arc::new(LeavesWhenLookedFor { log, leaves })).await;
    let back = back.expect("the zombie leaves in time");
    assert!(back.text.contains("generation 1 is live again"), "{back}");
    zombie.join().expect("no panic").expect("no fatal error");
}

struct TakesNothing;

impl PartitionConsumer for TakesNothing {
    fn assigned(&self, _partitions: &[i32]) {}

    fn offer(&self, record: LogRecord) -> Offer {
        Offer::Full(Box::new(record))
    }

    fn wait_for_room(&self, _partition: i32, _patience: Duration) -> bool {
        false
    }

    fn durable(&self) -> Vec<Position> {
        Vec::new()
    }

    fn revoked(&self, _partitions: &[i32]) {}

    fn lag(&self, _partition: i32, _records: i64) {}

    fn alive(&self) {}
}

/// A log whose zombie begins to leave when somebody looks whether it is there.
struct LeavesWhenLookedFor {
    log: MemoryLog,
    leaves: CancellationToken,
}

#[async_trait]
impl EventReplay for LeavesWhenLookedFor {
    async fn held(&self) -> Result<Held, ReplayError> {
        self.log.held().await
    }

    async fn offsets_at(&self, time: Timestamp) -> Result<Offsets, ReplayError> {
        EventReplay::offsets_at(&self.log, time).await
    }

    async fn committed(&self, generation: Generation) -> Result<Offsets, ReplayError> {
        EventReplay::committed(&self.log, generation).await
    }

    async fn commit(&self, generation: Generation, offsets: &Offsets) -> Result<(), ReplayError> {
        EventReplay::commit(&self.log, generation, offsets).await
    }

    async fn has_members(&self, generation: Generation) -> Result<bool, ReplayError> {
        let has_members = self.log.has_members(generation).await;
        if generation == Generation::FIRST {
            self.leaves.cancel();
        }
        has_members
    }

    async fn forget(&self, generation: Generation) -> Result<(), ReplayError> {
        EventReplay::forget(&self.log, generation).await
    }

    fn member(&self, generation: Generation) -> Box<dyn EventSubscriber> {
        self.log.member(generation)
    }

    fn replay(&self, stretch: Stretch) -> Box<dyn EventSubscriber> {
        self.log.replay(stretch)
    }
}
