//! Where the next page of a list begins. Opaque to callers: a cursor goes on with the list that it came from and no other.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::shipment::{Timestamp, TrackingNumber};
use shared::shipment_store::{ListFilter, PageStart};

/// The layout of what is encoded. A cursor of another layout is refused, and the caller begins anew.
const LAYOUT: u8 = 1;
/// The layout, the hash of the filter, a time in milliseconds; the tracking number follows.
const HEAD: usize = 1 + 8 + 8;
/// Longest cursor that is looked at, in characters.
const LONGEST: usize = 64;

/// The cursor behind a shipment.
pub(super) fn after(filter: &ListFilter, created_at: Timestamp, number: TrackingNumber) -> String {
    let mut bytes = vec![LAYOUT];
    bytes.extend(fingerprint(filter).to_be_bytes());
    bytes.extend(created_at.as_millis().to_be_bytes());
    bytes.extend(number.as_str().as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where `cursor` points to, when it belongs to a list with this filter.
pub(super) fn read(cursor: &str, filter: &ListFilter) -> Option<PageStart> {
    if cursor.len() > LONGEST {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (head, number) = bytes.split_at_checked(HEAD)?;
    let (layout, rest) = head.split_first()?;
    let (print, millis) = rest.split_at_checked(8)?;
    let ours = *layout == LAYOUT && print == fingerprint(filter).to_be_bytes();
    if !ours {
        return None;
    }
    let millis = i64::from_be_bytes(millis.try_into().ok()?);
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some(PageStart::After(Timestamp::from_millis(millis), number))
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
    }
}
