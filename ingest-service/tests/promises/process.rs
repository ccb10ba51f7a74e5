//! The smallest processor that there can be, on the memory adapters.

use shared::change_feed::Change;
use shared::dedup_window::memory::MemoryWindow;
use shared::dedup_window::{Decided, DedupWindow};
use shared::event_log::memory::MemoryLog;
use shared::event_log::{EventAppender, Topic};
use shared::shipment::record::Said;
use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::{LogPosition, Outcome, judge, record};
use shared::shipment_store::memory::MemoryStore;
use shared::shipment_store::{EventRow, Inserted, RowPosition, ShipmentWriter, StateWrite};

/// Judges every record from the first on; what was decided before comes out the same and is written once.
pub(crate) async fn process(log: &MemoryLog, store: &MemoryStore, window: &MemoryWindow) {
    for stored in log.records(Topic::Events) {
        let decoded = record::decode(&stored).ok().and_then(Said::event).expect("the edge writes no poison");
        let dedup_key = decoded.dedup_key();
        let event = IdentifiedEvent::from(decoded);
        let position = LogPosition { epoch: 0, offset: stored.position.offset };
        let number = event.id.tracking_number;
        let shipment = store.states(&[number]).await.expect("reachable").remove(&number);
        if shipment.as_ref().is_some_and(|shipment| shipment.state.position >= position) {
            continue;
        }
        let first = store.known_keys(&[event.id.first_row()]).await.expect("reachable").into_values().next();
        let first = first.filter(|known| known.position < position).map(|known| known.payload);
        let judged = judge(shipment.as_ref(), first, &event, position);
        if judged.outcome == Outcome::Duplicate {
            continue;
        }
        let row = EventRow {
            event_id: event.id,
            position: RowPosition { log: position, partition: stored.position.partition },
            released_at: None,
            refused_at: None,
            outcome: judged.outcome,
            outcome_reason: judged.reason,
            from: judged.from,
            to: judged.to,
            late: judged.late,
            report: event.report.clone(),
            recorded_at: event.recorded_at,
            reporter: event.reporter.clone(),
            shipment_client_id: judged.shipment.as_ref().or(shipment.as_ref()).map(|s| s.terms.client_id.clone()),
            version: judged.shipment.as_ref().map(|shipment| shipment.state.version),
        };
        let change = Change::of(&row);
        // A row that is there was written for the same event.
        let _: Inserted = store.insert_events(&[row]).await.expect("reachable");
        if let Some(shipment) = judged.shipment {
            let created = event.created.clone();
            let write = StateWrite { tracking_number: number, created, state: shipment.state, parking: None };
            store.write_states(&[write]).await.expect("reachable");
        }
        if let Some(change) = change {
            log.append(Topic::Changes, vec![change.record()]).await.all().expect("reachable");
        }
        let decided = Decided { dedup_key, event_id: event.id, outcome: judged.outcome };
        window.remember(&[decided]).await.expect("in memory");
    }
}
