//! What is posted: the steps that every shipment goes through, as text of which only the tracking number differs. Nothing is
//! formatted while a measurement runs.

use bytes::{BufMut, Bytes, BytesMut};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// Which events a shipment gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// The four moves from `created` to `delivered`: every event is applied.
    Moves,
    /// The same four and four scans that claim no status, about as many as a published history has: half of the events are
    /// recorded.
    Parcel,
}

const MOVES: &[&str] =
    &[r#""status":"picked_up""#, r#""status":"in_warehouse""#, r#""status":"in_transit""#, r#""status":"delivered""#];
const PARCEL: &[&str] = &[
    r#""kind":"info_received""#,
    r#""status":"picked_up""#,
    r#""status":"in_warehouse""#,
    r#""status":"in_transit""#,
    r#""kind":"customs""#,
    r#""kind":"out_for_delivery""#,
    r#""kind":"delivery_attempt_failed","reason":"recipient_absent""#,
    r#""status":"delivered""#,
];

/// Who reports them.
pub const SOURCE: &str = "driver_app";
/// Between two steps of a shipment, by their times: no two of them share a second.
const STEP: Duration = Duration::minutes(7);
/// How long before the run the first step happened: longer than the walk.
const BEFORE: Duration = Duration::hours(2);

/// One step: everything of an event but its tracking number.
#[derive(Clone, Debug)]
pub struct Step {
    rest: Bytes,
}

impl Walk {
    /// The steps, for a run that begins at `now`.
    #[must_use]
    pub fn steps(self, now: OffsetDateTime) -> Vec<Step> {
        let claims = match self {
            Self::Moves => MOVES,
            Self::Parcel => PARCEL,
        };
        let first = now.replace_nanosecond(0).unwrap_or(now) - BEFORE;
        let steps = claims.iter().zip(0_i32..).map(|(claim, index)| {
            let when = (first + STEP * index).format(&Rfc3339).unwrap_or_default();
            let rest = format!(
                r#"",{claim},"timestamp":"{when}","source":"{SOURCE}","location":{{"lat":19.43,"lng":-99.13}}}}"#
            );
            Step { rest: rest.into() }
        });
        steps.collect()
    }
}

impl Step {
    fn put(&self, number: &str, into: &mut BytesMut) {
        into.put_slice(br#"{"tracking_number":""#);
        into.put_slice(number.as_bytes());
        into.put_slice(&self.rest);
    }

    /// The event about one shipment.
    #[must_use]
    pub fn event(&self, number: &str) -> Bytes {
        let mut body = BytesMut::new();
        self.put(number, &mut body);
        body.freeze()
    }

    /// The batch of this step for each of `numbers`.
    #[must_use]
    pub fn batch<'a>(&self, numbers: impl Iterator<Item = &'a String>) -> Bytes {
        let mut body = self.space_for(&numbers);
        body.put_slice(br#"{"events":["#);
        for (index, number) in numbers.enumerate() {
            if index > 0 {
                body.put_u8(b',');
            }
            self.put(number, &mut body);
        }
        body.put_slice(b"]}");
        body.freeze()
    }

    /// The same, a line for each.
    #[must_use]
    pub fn lines<'a>(&self, numbers: impl Iterator<Item = &'a String>) -> Bytes {
        let mut body = self.space_for(&numbers);
        for number in numbers {
            self.put(number, &mut body);
            body.put_u8(b'\n');
        }
        body.freeze()
    }

    /// Room for an event of each.
    fn space_for<'a>(&self, numbers: &impl Iterator<Item = &'a String>) -> BytesMut {
        BytesMut::with_capacity((self.rest.len() + 40) * numbers.size_hint().0 + 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_a_walk_are_valid_events_in_distinct_seconds_of_the_past() {
        let now = OffsetDateTime::from_unix_timestamp(1_750_000_000).expect("a time");
        for (walk, count) in [(Walk::Moves, 4), (Walk::Parcel, 8)] {
            let steps = walk.steps(now);
            let read = |step: &Step| {
                serde_json::from_slice::<serde_json::Value>(&step.event("99M-00000001")).expect("is JSON")
            };
            let mut times: Vec<_> = steps.iter().map(|step| read(step)["timestamp"].to_string()).collect();
            assert!(times.is_sorted() && times.iter().all(|time| time < &"\"2025-06-15T15".to_owned()), "{times:?}");
            times.dedup();
            assert_eq!(times.len(), count);
            assert_eq!(read(&steps[count - 1])["status"], "delivered");
        }
    }

    #[test]
    fn a_batch_holds_one_event_for_each_shipment() {
        let step = &Walk::Moves.steps(OffsetDateTime::UNIX_EPOCH)[0];
        let numbers = ["99M-00000001".to_owned(), "99M-00000002".to_owned()];
        let batch: serde_json::Value = serde_json::from_slice(&step.batch(numbers.iter())).expect("is JSON");
        assert_eq!(batch["events"].as_array().map(Vec::len), Some(2));
        assert_eq!(batch["events"][1]["tracking_number"], "99M-00000002");
        let lines = String::from_utf8(step.lines(numbers.iter()).to_vec()).expect("is text");
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
        assert_eq!(lines, *batch["events"].as_array().expect("a list"));
    }
}
