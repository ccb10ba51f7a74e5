//! The order in which scans happened, and times that tell them apart.
//!
//! The time order, by instant: scans with the same instant keep the order of the carrier's list, oldest first; a scan with
//! a date and no time stays behind the scan before it of that day.
//!
//! Many carriers give minutes or days, so times tie. The platform breaks a tie by the order of arrival, because it knows no better.
//! Whoever reads the carrier's list does: it can say which came first by a fraction of the second ([`told_apart`]).

use std::collections::HashMap;

use time::OffsetDateTime;

use crate::history::Scan;
use crate::scan_id;

/// Turns a carrier's list into the order in which its scans happened, and sets when each happened.
#[must_use]
pub fn in_time_order(mut scans: Vec<Scan>) -> Vec<Scan> {
    let steps = || scans.windows(2).map(|pair| pair[1].instant.cmp(&pair[0].instant));
    let (up, down) = (steps().filter(|step| step.is_gt()).count(), steps().filter(|step| step.is_lt()).count());
    if down > up {
        scans.reverse();
    }
    let mut last: Option<OffsetDateTime> = None;
    for scan in &mut scans {
        if let Some(last) = last.filter(|last| scan.time_missing && last.date() == scan.instant.date()) {
            scan.happened = scan.instant.max(last);
        }
        last = Some(scan.happened);
    }
    scans.sort_by_key(|scan| scan.happened); // stable
    scans
}

/// For each of `scans`, which are in time order, the millisecond of the epoch that puts it behind the one before it: its own
/// wherever it can be, else one more than the last. A scan that is listed twice is one event and has one time.
#[must_use]
pub fn told_apart(scans: &[Scan]) -> Vec<i64> {
    let (mut known, mut last) = (HashMap::new(), i64::MIN);
    let mut next = |scan: &Scan| {
        last = millis(scan.happened).max(last.saturating_add(1));
        last
    };
    scans.iter().map(|scan| *known.entry(scan_id::of(scan)).or_insert_with(|| next(scan))).collect()
}

/// Milliseconds since the epoch, rounded down: what the platform keeps of a time.
#[must_use]
pub fn millis(instant: OffsetDateTime) -> i64 {
    i64::try_from(instant.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::read;

    fn scan(occurred: &str, status: &str) -> String {
        format!(r#"{{"occurred":"{occurred}","status":"{status}"}}"#)
    }

    fn date(day: &str, status: &str) -> String {
        format!(r#"{{"occurred":"{day}T00:00:00Z","time_missing":true,"status":"{status}"}}"#)
    }

    fn in_order(events: &[String]) -> Vec<Scan> {
        let text = format!(r#"{{"carrier":"andes","number":"A1","events":[{}]}}"#, events.join(","));
        read(text.as_bytes()).expect("a history").remove(0).scans
    }

    fn statuses(events: &[String]) -> Vec<&'static str> {
        in_order(events).iter().map(|scan| scan.claim.as_str()).collect()
    }

    #[test]
    fn scans_are_ordered_by_instant_whatever_the_offset_and_the_order_of_the_list() {
        let events = [
            scan("2024-05-03T09:00:00-05:00", "delivered"),
            scan("2024-05-02T23:00:00-03:00", "in_warehouse"),
            scan("2024-05-02T21:30:00-05:00", "in_transit"),
            r#"{"occurred":"2024-05-02T10:00:00-03:00","status":null}"#.to_owned(),
            scan("2024-05-01T10:00:00-03:00", "picked_up"),
        ];
        assert_eq!(statuses(&events), ["picked_up", "other", "in_warehouse", "in_transit", "delivered"]);
    }

    #[test]
    fn scans_of_one_instant_keep_the_order_of_the_list_oldest_first() {
        let (early, late) = ("2024-05-01T10:00:00Z", "2024-05-01T12:00:00Z");
        let oldest_first = [scan(early, "picked_up"), scan(early, "in_warehouse"), scan(late, "in_transit")];
        assert_eq!(statuses(&oldest_first), ["picked_up", "in_warehouse", "in_transit"]);
        let newest_first: Vec<_> = oldest_first.into_iter().rev().collect();
        assert_eq!(statuses(&newest_first), ["picked_up", "in_warehouse", "in_transit"]);
    }

    #[test]
    fn a_scan_without_a_time_stays_behind_the_scan_before_it_of_that_day() {
        let scans = in_order(&[
            scan("2024-05-01T10:00:00Z", "picked_up"),
            date("2024-05-01", "in_warehouse"),
            scan("2024-05-02T12:00:00Z", "in_transit"),
        ]);
        let claims: Vec<_> = scans.iter().map(|scan| scan.claim.as_str()).collect();
        assert_eq!(claims, ["picked_up", "in_warehouse", "in_transit"]);
        assert_eq!(scans[1].occurred, "2024-05-01T00:00:00Z", "its own time stays as published");
    }

    #[test]
    fn told_apart_times_keep_the_order_and_move_no_scan_that_is_alone() {
        let scans = in_order(&[
            scan("2024-05-01T10:00:00Z", "picked_up"),
            date("2024-05-01", "in_warehouse"),
            scan("2024-05-02T12:00:00Z", "in_transit"),
            scan("2024-05-02T12:00:00Z", "in_warehouse"),
            scan("2024-05-02T12:00:00.001Z", "delivered"),
            scan("2024-05-02T12:00:01Z", "in_transit"),
        ]);
        let times = told_apart(&scans);
        let expected = [
            "2024-05-01T10:00:00Z",
            "2024-05-01T10:00:00.001Z",
            "2024-05-02T12:00:00Z",
            "2024-05-02T12:00:00.001Z",
            "2024-05-02T12:00:00.002Z",
            "2024-05-02T12:00:01Z",
        ];
        let instant = |text| OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
        assert_eq!(times, expected.map(|text| millis(instant(text).expect("a time"))));
    }

    #[test]
    fn a_scan_that_is_listed_twice_has_one_time() {
        let (twice, between) = (scan("2024-05-01T10:00:00Z", "picked_up"), scan("2024-05-01T10:00:00Z", "in_transit"));
        let times = told_apart(&in_order(&[twice.clone(), between, twice]));
        assert_eq!((times[2], times[1]), (times[0], times[0] + 1));
    }
}
