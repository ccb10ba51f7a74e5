//! Examples of shipments and their events, as they are answered.

use serde_json::{Value, json};

use super::events::{EVENT, NUMBER};

const CREATED_AT: &str = "2025-02-12T15:00:00Z";
const PICKED_UP_AT: &str = "2025-02-12T16:30:00Z";
const RECORDED_AT: &str = "2025-02-12T16:30:02.123Z";
const DELIVERY: &str = "2025-02-14T03:00:00Z";

/// The answer to a registration.
pub(super) fn registered() -> Value {
    json!({
        "tracking_number": NUMBER, "status": "created", "created_at": CREATED_AT, "client_id": "client_001", "service_type": "standard",
        "estimated_delivery": DELIVERY,
    })
}

/// A shipment that was picked up, without its history.
fn summary() -> Value {
    json!({
        "tracking_number": NUMBER,
        "client_id": "client_001",
        "current_status": "picked_up",
        "origin": {"address": "Calle 5 #123, Ciudad de México", "coordinates": {"lat": 19.4326, "lng": -99.1332}},
        "destination": {"address": "Avenida Paseo #456, Puebla", "coordinates": {"lat": 19.0327, "lng": -98.2064}},
        "package": {
            "weight_kg": 5.5, "dimensions": {"length": 30.0, "width": 20.0, "height": 15.0}, "content_description": "Electronics",
        },
        "service_type": "standard",
        "estimated_delivery": DELIVERY,
        "created_at": CREATED_AT,
        "updated_at": RECORDED_AT,
        "version": 2,
        "transition_policy": "strict",
        "last_scan": pickup(),
        "attempts": 0,
        "exception": null,
        "reference": "PO-2025-0042",
    })
}

fn pickup() -> Value {
    json!({
        "status": "picked_up", "kind": null, "moved": true, "timestamp": PICKED_UP_AT, "recorded_at": RECORDED_AT, "source": "driver_app",
        "location": {"lat": 19.4326, "lng": -99.1332}, "event_id": EVENT,
    })
}

/// A shipment with its history.
pub(super) fn whole() -> Value {
    let created = json!({
        "status": "created", "kind": null, "moved": true, "timestamp": CREATED_AT, "recorded_at": CREATED_AT, "source": "api",
        "location": null, "event_id": "evt_7X3K9QBD_1597VXFG8JJ70JBZ59BXJJ",
    });
    let mut shipment = summary();
    shipment["status_history"] = json!([created, pickup()]);
    shipment["history_truncated"] = json!(0);
    shipment
}

/// A page of shipments.
pub(super) fn page() -> Value {
    json!({
        "data": [summary()],
        "pagination": {"total": 1, "total_is_exact": true, "limit": 10, "offset": 0, "has_next": false, "next_cursor": null},
    })
}

/// A page of events.
pub(super) fn events() -> Value {
    json!({
        "data": [{
            "event_id": EVENT, "outcome": "applied", "reason": null, "from": "created", "to": "picked_up", "status": "picked_up",
            "kind": null, "timestamp": PICKED_UP_AT, "recorded_at": RECORDED_AT, "source": "driver_app",
            "location": {"lat": 19.4326, "lng": -99.1332}, "notes": "Left at the gate",
            "reporter": {"sub": "driver_user_001", "role": "source"}, "partition": 7, "offset": 1042,
        }],
        "pagination": {"limit": 10, "has_next": false, "next_cursor": null},
    })
}
