//! Where the next page of a list begins. Opaque to callers: a cursor goes on with the list that it came from and no other.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::shipment::{LogPosition, Timestamp, TrackingNumber};
use shared::shipment_store::{ListFilter, PageStart, RowPosition};

/// The layout of a list's cursor. A cursor of another layout is refused, and the caller begins anew.
const OF_LIST: u8 = 1;
/// The layout, the hash of the filter, a time in milliseconds; the tracking number follows.
const LIST_HEAD: usize = 1 + 8 + 8;
/// The layout of the cursor of one shipment's events.
const OF_EVENTS: u8 = 2;
/// The layout, the epoch, the offset and the partition; the tracking number follows.
const EVENTS_HEAD: usize = 1 + 8 + 8 + 4;
/// Longest cursor that is looked at, in characters.
pub(crate) const LONGEST: usize = 64;

/// The cursor behind a shipment.
pub(super) fn after(filter: &ListFilter, created_at: Timestamp, number: TrackingNumber) -> String {
    let mut bytes = vec![OF_LIST];
    bytes.extend(fingerprint(filter).to_be_bytes());
    bytes.extend(created_at.as_millis().to_be_bytes());
    bytes.extend(number.as_str().as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where `cursor` points to, when it belongs to a list with this filter.
pub(super) fn read(cursor: &str, filter: &ListFilter) -> Option<PageStart> {
    let bytes = decode(cursor)?;
    let (head, number) = bytes.split_at_checked(LIST_HEAD)?;
    let (layout, rest) = head.split_first()?;
    let (print, millis) = rest.split_at_checked(8)?;
    let ours = *layout == OF_LIST && print == fingerprint(filter).to_be_bytes();
    if !ours {
        return None;
    }
    let millis = i64::from_be_bytes(millis.try_into().ok()?);
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some(PageStart::After(Timestamp::from_millis(millis), number))
}

/// The cursor behind an event of the shipment `number`.
pub(super) fn after_event(number: TrackingNumber, position: RowPosition) -> String {
    let mut bytes = vec![OF_EVENTS];
    bytes.extend(position.log.epoch.to_be_bytes());
    bytes.extend(position.log.offset.to_be_bytes());
    bytes.extend(position.partition.to_be_bytes());
    bytes.extend(number.as_str().as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where `cursor` points to, when it belongs to the events of the shipment `number`.
pub(super) fn read_event(cursor: &str, number: TrackingNumber) -> Option<RowPosition> {
    let bytes = decode(cursor)?;
    let (head, of) = bytes.split_at_checked(EVENTS_HEAD)?;
    let (layout, rest) = head.split_first()?;
    if *layout != OF_EVENTS || of != number.as_str().as_bytes() {
        return None;
    }
    let (epoch, rest) = rest.split_at_checked(8)?;
    let (offset, partition) = rest.split_at_checked(8)?;
    let log = LogPosition {
        epoch: i64::from_be_bytes(epoch.try_into().ok()?),
        offset: i64::from_be_bytes(offset.try_into().ok()?),
    };
    Some(RowPosition { log, partition: i32::from_be_bytes(partition.try_into().ok()?) })
}

fn decode(cursor: &str) -> Option<Vec<u8>> {
    if cursor.len() > LONGEST {
        return None;
    }
    URL_SAFE_NO_PAD.decode(cursor).ok()
}

/// FNV-1a over the filter: the same in every build, so that a cursor outlives an upgrade. It protects nobody: what a caller may see is
/// in the filter itself, which is made anew for every request.
fn fingerprint(filter: &ListFilter) -> u64 {
    let ListFilter { status, client_id, service_type, prefix, created_from, created_to } = filter;
    let text = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), |text| format!("{}:{text}", text.len()));
    let time = |time: &Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.as_millis().to_string());
    let members = [
        text(status.map(|status| status.as_str())),
        text(client_id.as_deref()),
        text(service_type.map(|service| service.as_str())),
        text(prefix.as_deref()),
        time(created_from),
        time(created_to),
    ];
    members
        .join("|")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use shared::shipment::Status;

    use super::*;

    #[test]
    fn a_cursor_goes_on_with_its_own_list_and_no_other() {
        let number = "99M-ABCDEF123456".parse().expect("well-formed");
        let time = Timestamp::from_millis(1_750_000_000_123);
        let filter = ListFilter { client_id: Some("c1".to_owned()), ..ListFilter::default() };
        let cursor = after(&filter, time, number);
        assert_eq!(read(&cursor, &filter), Some(PageStart::After(time, number)));
        let others = [
            ListFilter::default(),
            ListFilter { client_id: Some("c2".to_owned()), ..ListFilter::default() },
            ListFilter { status: Some(Status::Created), ..filter.clone() },
            ListFilter { created_to: Some(time), ..filter.clone() },
        ];
        for other in others {
            assert_eq!(read(&cursor, &other), None, "{other:?}");
        }
        let broken = ["", "AQ", "*", &cursor[1..], &cursor[..cursor.len() - 12], &cursor.repeat(9)];
        for cursor in broken {
            assert_eq!(read(cursor, &filter), None, "{cursor}");
        }
        assert_eq!(read_event(&cursor, number), None, "a list of shipments is no list of events");
    }

    #[test]
    fn a_cursor_of_events_goes_on_with_its_own_shipment_and_no_other() {
        let [number, longer]: [TrackingNumber; 2] =
            ["99M-ABCDEF12345", "99M-ABCDEF123456"].map(|text| text.parse().expect("well-formed"));
        for (epoch, offset, partition) in [(0, 0, 0), (1, 1 << 40, 11), (i64::MAX, i64::MAX, i32::MAX)] {
            let position = RowPosition { log: LogPosition { epoch, offset }, partition };
            let cursor = after_event(number, position);
            assert_eq!(read_event(&cursor, number), Some(position));
            assert_eq!(read_event(&cursor, longer), None);
            for broken in ["", "Ag", "*", &cursor[1..], &cursor[..cursor.len() - 2], &cursor.repeat(9)] {
                assert_eq!(read_event(broken, number), None, "{broken}");
            }
            assert_eq!(read(&cursor, &ListFilter::default()), None, "a list of events is no list of shipments");
        }
    }
}
