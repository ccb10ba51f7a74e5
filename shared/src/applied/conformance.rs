//! What every announcer does for every watcher that listens to it. Nothing must have been announced before.

use std::sync::Arc;
use std::time::Duration;

use super::{AppliedAnnouncer, AppliedWatcher};
use crate::event_log::Position;

/// Longer than any announcement takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is watched that nothing happens.
const SILENCE: Duration = Duration::from_millis(150);

fn at(partition: i32, offset: i64) -> Position {
    Position { partition, offset }
}

/// Runs the suite. `late` makes a watcher that begins to listen when it is called; it is called after announcements.
///
/// # Panics
/// The pair breaks its contract.
pub async fn run(
    announcer: &dyn AppliedAnnouncer,
    watcher: Arc<dyn AppliedWatcher>,
    late: impl FnOnce() -> Arc<dyn AppliedWatcher>,
) {
    assert_eq!(watcher.applied(0), None);
    announcer.announce(&[]).await.expect("nothing to announce is no error");
    assert!(!watcher.wait_for(at(0, 0), SILENCE).await, "nothing was announced");

    let waiters: Vec<_> = [(0, 3), (0, 5), (1, 0)]
        .into_iter()
        .map(|(partition, offset)| {
            let watcher = watcher.clone();
            tokio::spawn(async move { watcher.wait_for(at(partition, offset), PATIENCE).await })
        })
        .collect();
    announcer.announce(&[at(0, 5), at(1, 0)]).await.expect("announced");
    for waiter in waiters {
        assert!(waiter.await.expect("no panic"), "a waiter up to and with the announced offset is woken");
    }
    assert_eq!((watcher.applied(0), watcher.applied(1), watcher.applied(2)), (Some(5), Some(0), None));
    assert!(!watcher.wait_for(at(0, 6), SILENCE).await, "behind the announced offset");
    assert!(!watcher.wait_for(at(2, 0), SILENCE).await, "another partition");

    // An older position, and a marker behind it so that it has been heard.
    announcer.announce(&[at(0, 2), at(1, 4)]).await.expect("announced");
    assert!(watcher.wait_for(at(1, 4), PATIENCE).await);
    assert_eq!(watcher.applied(0), Some(5), "the greatest announced offset stands");

    let many: Vec<_> = (0..200).map(|partition| at(partition, 1 << 40)).collect();
    announcer.announce(&many).await.expect("announced");
    for &position in &many {
        assert!(watcher.wait_for(position, PATIENCE).await);
    }

    let late = late();
    assert!(late.wait_for(at(7, 1 << 40), PATIENCE).await, "who comes later learns what was announced before");
    announcer.announce(&[at(7, (1 << 40) + 1)]).await.expect("announced");
    assert!(late.wait_for(at(7, (1 << 40) + 1), PATIENCE).await);
    assert!(watcher.wait_for(at(7, (1 << 40) + 1), PATIENCE).await, "every watcher hears it");
}
