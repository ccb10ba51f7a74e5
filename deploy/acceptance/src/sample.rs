//! What callers send.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use shared::shipment::Timestamp;

/// 2025-02-12T15:00:00Z, in seconds since the epoch: the time at which the samples begin.
const BEGIN: i64 = 1_739_372_400;

/// The time `seconds` after the samples begin.
#[must_use]
pub fn at(seconds: i64) -> String {
    Timestamp::from_millis((BEGIN + seconds) * 1000).to_string()
}

/// A registration. Its destination is where the equator meets the prime meridian: 0 is a coordinate.
#[must_use]
pub fn parcel() -> Value {
    json!({
        "origin_address": "Calle 5 #123, Ciudad de México", "origin_lat": 19.4326, "origin_lng": -99.1332,
        "destination_address": "Buoy 13010, Gulf of Guinea", "destination_lat": 0, "destination_lng": 0,
        "weight_kg": 5.5, "length_cm": 30, "width_cm": 20, "height_cm": 15, "content_description": "Electronics",
    })
}

/// A registration that an admin makes for `client_id`.
#[must_use]
pub fn parcel_of(client_id: &str) -> Value {
    with(parcel(), json!({"client_id": client_id}))
}

/// A report of `status` by the driver's app.
#[must_use]
pub fn report(number: &str, status: &str, seconds: i64) -> Value {
    json!({"tracking_number": number, "status": status, "timestamp": at(seconds), "source": "driver_app"})
}

/// A scan that claims no status.
#[must_use]
pub fn scan(number: &str, kind: &str, seconds: i64) -> Value {
    json!({"tracking_number": number, "kind": kind, "timestamp": at(seconds), "source": "driver_app"})
}

/// A tracking number that no platform gave out, and no test used before: a Redis that several platforms share remembers for an hour
/// what was decided about a number.
#[must_use]
pub fn unregistered() -> String {
    const CHARACTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let millis = u64::try_from(shared::clock::system().as_millis()).expect("it is after 1970");
    let unique = (millis << 10) | (COUNT.fetch_add(1, Ordering::Relaxed) % 1024);
    // Longer than those that a platform gives out.
    let character =
        |place: u64| char::from(CHARACTERS[usize::try_from(unique >> (5 * place) & 31).unwrap_or_default()]);
    format!("99M-{}", (0..11).map(character).collect::<String>())
}

/// `value` with the members of `more` in it.
#[must_use]
pub fn with(mut value: Value, more: Value) -> Value {
    if let (Value::Object(members), Value::Object(more)) = (&mut value, more) {
        members.extend(more);
    }
    value
}

/// Numbers that look random and are the same in each run.
pub struct Sequence(u64);

impl Sequence {
    /// The sequence that begins with `seed`.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap_or_default() % bound.max(1)
    }
}
