//! The id that an integration gives to a scan when its carrier gives none: a hash of all that the carrier published about it. The same
//! scan has the same id whenever and in whatever order it is sent; two scans in one second have two.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::history::Scan;
use crate::time_order::millis;

/// Bytes of the hash that an id shows: it has to tell the scans of one parcel apart, and 128 bits tell all scans apart.
const ID_BYTES: usize = 16;

/// The id of `scan`: 32 characters.
#[must_use]
pub fn of(scan: &Scan) -> String {
    let mut hash = Sha256::new();
    hash.update(millis(scan.instant).to_be_bytes());
    let degrees = scan.location.map(|location| format!("{} {}", location.lat, location.lng));
    let words = [Some(scan.claim.member()), Some(scan.claim.as_str()), scan.reason.as_deref()];
    for member in words.into_iter().chain([&scan.code, &scan.text, &scan.place, &degrees].map(|text| text.as_deref())) {
        // Each is preceded by its length, so that no two scans run into one.
        hash.update(member.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
        hash.update(member.unwrap_or_default());
    }
    hash.finalize().iter().take(ID_BYTES).fold(String::with_capacity(2 * ID_BYTES), |mut id, byte| {
        _ = write!(id, "{byte:02x}"); // into a string: cannot fail
        id
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::read;

    fn id(change: &str) -> String {
        let scan =
            r#"{"occurred":"2024-05-01T10:00:00Z","status":"in_transit","code":"DP","text":"Salió","place":"Quito"}"#;
        let (from, to) = change.split_once(" => ").unwrap_or_default();
        let text = format!(r#"{{"carrier":"andes","number":"A1","events":[{}]}}"#, scan.replace(from, to));
        of(&read(text.as_bytes()).expect("a history")[0].scans[0])
    }

    #[test]
    fn scans_that_differ_in_anything_published_have_different_ids() {
        let same = id("none => none");
        assert_eq!(same.len(), 2 * ID_BYTES);
        assert_eq!(id("10:00:00Z => 05:00:00-05:00"), same, "the spelling of the time does not count");
        let others = [
            id("10:00:00Z => 10:00:01Z"),
            id("in_transit => in_warehouse"),
            id("DP => AR"),
            id("Salió => Llegó"),
            id("Quito => Lima"),
            id(r#""code":"DP", => "#),
            id(r#""place" => "reason":"delay","place""#),
            id(r#""place" => "lat":1,"lng":2,"place""#),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, same, "{index}");
            assert!(!others[..index].contains(other), "{index}");
        }
    }
}
