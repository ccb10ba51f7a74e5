//! Where a parcel really stands, as its carrier's list tells a person who reads it.

use crate::claim::Status;
use crate::history::History;

/// `delivered` when the history holds a delivered scan; else the status of its newest status scan by time, where a second pick-up
/// after the first hub scan does not count; `created` when it holds no status at all.
#[must_use]
pub fn of(history: &History) -> Status {
    if history.holds_delivered() {
        return Status::Delivered;
    }
    let (mut status, mut picked_up, mut at_hub) = (Status::Created, false, false);
    for next in history.statuses() {
        if next == Status::PickedUp && picked_up && at_hub {
            continue;
        }
        picked_up |= next == Status::PickedUp;
        at_hub |= next == Status::InWarehouse;
        status = next;
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::read;

    fn true_status(statuses: &str) -> &'static str {
        let scan = |(hour, status): (usize, &str)| {
            let status = if status == "other" { "null".to_owned() } else { format!("{status:?}") };
            format!(r#"{{"occurred":"2024-05-01T{hour:02}:00:00Z","status":{status}}}"#)
        };
        let events: Vec<_> = statuses.split_whitespace().enumerate().map(scan).collect();
        let text = format!(r#"{{"carrier":"andes","number":"A1","events":[{}]}}"#, events.join(","));
        of(&read(text.as_bytes()).expect("a history")[0]).as_str()
    }

    #[test]
    fn a_delivered_scan_decides_and_else_the_newest_status() {
        assert_eq!(true_status("picked_up delivered in_transit"), "delivered");
        assert_eq!(true_status("picked_up in_transit in_warehouse other"), "in_warehouse");
        assert_eq!(true_status("picked_up cancelled in_warehouse"), "in_warehouse");
        assert_eq!(true_status("other"), "created");
    }

    #[test]
    fn a_second_pick_up_after_the_first_hub_does_not_count() {
        assert_eq!(true_status("picked_up in_warehouse picked_up"), "in_warehouse");
        assert_eq!(true_status("picked_up in_transit picked_up"), "picked_up");
        assert_eq!(true_status("in_warehouse picked_up"), "picked_up", "the first one does");
        assert_eq!(true_status("in_warehouse picked_up picked_up"), "picked_up");
    }
}
