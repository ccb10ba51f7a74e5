//! How far a walk has come. Opaque to callers; a cursor goes on with the walk that it came from and no other.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Filter;
use crate::leb128;

/// The layout of a cursor. One of another layout is refused, and the caller begins anew.
const LAYOUT: u8 = 1;
/// Longest cursor that is looked at, in characters: a thousand partitions of a busy topic.
const LONGEST: usize = 8_192;

/// Which way a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Newest letters first: the offsets are those before which to go on.
    Back,
    /// Oldest letters first: the offsets are those with which to go on.
    Forth,
}

/// For each partition, by its number, the offset to go on at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) direction: Direction,
    print: u64,
    pub(super) offsets: Vec<i64>,
}

impl Cursor {
    pub(super) fn new(direction: Direction, filter: &Filter, offsets: Vec<i64>) -> Self {
        Self { direction, print: fingerprint(filter), offsets }
    }

    /// Its text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = vec![LAYOUT, u8::from(self.direction == Direction::Forth)];
        bytes.extend(self.print.to_be_bytes());
        for &offset in &self.offsets {
            leb128::push(&mut bytes, offset.unsigned_abs());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What [`Cursor::encode`] gave `text` for, when it belongs to a list with this filter.
    #[must_use]
    pub fn of_list(text: &str, filter: &Filter) -> Option<Self> {
        Self::decode(text, Direction::Back, filter)
    }

    /// The same for a redrive of letters with this filter.
    #[must_use]
    pub fn of_redrive(text: &str, filter: &Filter) -> Option<Self> {
        Self::decode(text, Direction::Forth, filter)
    }

    fn decode(text: &str, direction: Direction, filter: &Filter) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, mut rest) = bytes.split_at_checked(2 + 8)?;
        let expected = Self::new(direction, filter, Vec::new());
        let forth = u8::from(direction == Direction::Forth);
        if head[..2] != [LAYOUT, forth] || head[2..] != expected.print.to_be_bytes() {
            return None;
        }
        let mut offsets = Vec::new();
        while !rest.is_empty() {
            offsets.push(i64::try_from(leb128::pull(&mut rest)?).ok()?);
        }
        Some(Self { offsets, ..expected })
    }
}

/// FNV-1a over the filter: the same in every build, so that a cursor outlives an upgrade.
fn fingerprint(filter: &Filter) -> u64 {
    let Filter { reason, tracking_number, from, to } = filter;
    let time = |time: &Option<crate::shipment::Timestamp>| time.map(|time| time.as_millis());
    let text = format!("{reason:?}|{tracking_number:?}|{:?}|{:?}", time(from), time(to));
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_with_its_own_walk_and_no_other() {
        let filter = Filter { reason: Some("NO_JSON".to_owned()), ..Filter::default() };
        let cursor = Cursor::new(Direction::Back, &filter, vec![0, 127, 128, 1 << 40, i64::MAX]);
        let text = cursor.encode();
        assert_eq!(Cursor::of_list(&text, &filter), Some(cursor));
        assert_eq!(Cursor::of_list(&text, &Filter::default()), None);
        assert_eq!(Cursor::of_redrive(&text, &filter), None);
        let long = text.repeat(200);
        for broken in ["", "A", "*", &text[1..], &text[..text.len() - 1], &long] {
            assert_eq!(Cursor::of_list(broken, &filter), None, "{broken}");
        }
    }
}
