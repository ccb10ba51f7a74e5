//! The field policy: the status is the fold of all scans in order of their time, whatever order they arrived in (contract
//! section 2).
//!
//! A scan is put into its place in the history and the fold is taken again over what is embedded, so the result does not depend on
//! the order of arrival. What is no longer embedded is not needed, because the fold has a closed form: the first terminal by time, else
//! the newest of rank 2, else `picked_up`, else `created`. Hence
//! - an entry beyond the window of the newest [`limits::HISTORY_ENTRIES`] stays when it raised the rank: at most four do (the creation, a
//!   pick-up, the first at or between hubs, the first terminal), and a later scan can only put an earlier one in the place of each;
//! - of all other entries beyond it only the newest of rank 2 is remembered ([`OlderScan`]): it says what the first scan in the window
//!   follows;
//! - an exception is shown while it is in the window: beyond it, which scan moved the status before it is not known any more.
//!
//! Each of the three is a function of the set of scans, not of their order.

use std::sync::Arc;

use super::{IdentifiedEvent, Judgement, entered};
use crate::shipment::event::Claim;
use crate::shipment::limits;
use crate::shipment::state::{HistoryEntry, LogPosition, OlderScan, Shipment, ShipmentState};
use crate::shipment::status::{Kind, Status};

/// Puts the scan into its place: it is applied when it moves the status there, recorded when it does not. Nothing is rejected.
pub(super) fn judge(shipment: &Shipment, event: &IdentifiedEvent, position: LogPosition) -> Judgement {
    let entry = HistoryEntry::of(&event.report, event.id, event.recorded_at, false);
    let Entered { state, moved, late } = enter(&shipment.state, entry, position, limits::HISTORY_ENTRIES);
    entered(shipment, state, moved, late)
}

struct Entered {
    state: ShipmentState,
    /// The scan moves the status in its place.
    moved: bool,
    /// A scan that happened after it had arrived before it.
    late: bool,
}

/// `state` with `entry` in its place. `window` newest entries are embedded.
fn enter(state: &ShipmentState, entry: HistoryEntry, position: LogPosition, window: usize) -> Entered {
    let entry = Arc::new(entry);
    let mut state = state.counting(&entry, position);
    let history = &mut state.status_history;
    // Behind those of the same time: they stand at smaller positions.
    let place = history.partition_point(|known| known.timestamp <= entry.timestamp);
    let late = history[place..].iter().any(|later| !later.is_creation());
    history.insert(place, entry);

    let begin = history.len().saturating_sub(window);
    if let Some(last_outside) = begin.checked_sub(1) {
        // What leaves the window is its oldest entry, or the new one itself when it is older than that.
        state.older_scan = newest(state.older_scan, &history[place.min(last_outside)]);
    }
    let (mut fold, mut moved) = (Fold::default(), false);
    let (mut index, mut dropped) = (0, 0);
    history.retain_mut(|entry| {
        if index == begin {
            fold.enter_window(state.older_scan);
        }
        let raised = fold.step(entry);
        if index == place {
            moved = entry.moved;
        }
        let stays = raised || index >= begin;
        index += 1;
        dropped += u64::from(!stays);
        stays
    });
    state.history_truncated += dropped;
    state.current_status = fold.status;
    state.exception = fold.exception;
    // Out of the history, where its flag is right by now: the newest report is among the two newest entries.
    let report = state.status_history.iter().rfind(|entry| !entry.is_creation());
    state.last_scan = report.or_else(|| state.status_history.last()).cloned();
    Entered { state, moved, late }
}

/// The newer one of `known` and `entry`, if it is a scan of rank 2. Of two at one time the one that left the window later is newer.
fn newest(known: Option<OlderScan>, entry: &HistoryEntry) -> Option<OlderScan> {
    match entry.claim {
        Claim::Status(status)
            if status.rank() == HUB_RANK && known.is_none_or(|known| known.timestamp <= entry.timestamp) =>
        {
            Some(OlderScan { status, timestamp: entry.timestamp })
        }
        Claim::Status(_) | Claim::Kind(_) => known,
    }
}

/// The rank of `in_warehouse` and `in_transit`, between which a shipment goes to and fro.
const HUB_RANK: u8 = 2;

/// Whether a scan of `next` moves a shipment in `current`.
fn moves(current: Status, next: Status) -> bool {
    next.rank() > current.rank() || (next.rank() == HUB_RANK && current.rank() == HUB_RANK && next != current)
}

/// The fold on its way through the history.
struct Fold {
    status: Status,
    /// The newest exception or return since the last move.
    exception: Option<Arc<HistoryEntry>>,
}

impl Default for Fold {
    fn default() -> Self {
        Self { status: Status::Created, exception: None }
    }
}

impl Fold {
    /// Takes `entry`, says in it whether it moved the status, and returns whether it raised the rank.
    fn step(&mut self, entry: &mut Arc<HistoryEntry>) -> bool {
        let (moved, raised) = match entry.claim {
            // A shipment begins as created, also when it was registered after its first scans.
            Claim::Status(Status::Created) => (true, true),
            Claim::Status(status) => {
                let (moved, raised) = (moves(self.status, status), status.rank() > self.status.rank());
                if moved {
                    self.status = status;
                    self.exception = None;
                }
                (moved, raised)
            }
            Claim::Kind(kind) => {
                if matches!(kind, Kind::Exception | Kind::Returned) {
                    self.exception = Some(entry.clone());
                }
                (false, false)
            }
        };
        if entry.moved != moved {
            Arc::make_mut(entry).moved = moved;
        }
        raised
    }

    /// Goes from what stays of the older entries to the newest ones, which `older` precedes.
    fn enter_window(&mut self, older: Option<OlderScan>) {
        self.exception = None;
        if let Some(older) = older.filter(|_| self.status.rank() == HUB_RANK) {
            self.status = older.status;
        }
    }
}

#[cfg(test)]
mod tests;
