//! Where a caller stands in the feed, and the ids that say so.
//!
//! The changes of one shipment stand on one partition; there an id is the position of the last change, `<partition>:<offset>`. The whole feed has
//! many partitions, and no order between them; there an id is opaque and holds the next offset of each. The same id goes on with
//! a stream (`Last-Event-ID`) and with a page (`cursor`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::change_feed::{Bounds, Stretch};
use shared::event_log::Position;

/// The first byte of an id of the whole feed. Cursors of other lists begin otherwise, and a layout that is not ours is refused.
const LAYOUT: u8 = 0x43;
/// Most partitions that an id names: the most that `KAFKA_PARTITIONS` allows.
const PARTITIONS: usize = 1_000;
/// Longest id that is looked at, in characters: so many partitions with offsets of some thousand millions. It fits into the head of a request.
const LONGEST: usize = 8_192;
/// Longest id of a shipment's stream, in characters: two numbers.
const LONGEST_OF_ONE: usize = 32;

/// A place in the feed: everything before it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the whole feed: the next offset of each partition, by its number.
    Whole(Vec<i64>),
    /// On one partition: its number and the next offset.
    One(Position),
}

/// Why the feed cannot go on from a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Changes behind it are not kept any more.
    TooOld,
    /// The topic has not reached it: it was made anew.
    NotReached,
}

impl Gone {
    pub(crate) const ALL: [Self; 2] = [Self::TooOld, Self::NotReached];

    /// The word for programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::NotReached => "not_reached",
        }
    }

    /// The text for people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::TooOld => "Changes since then are not kept any more: read the shipments anew",
            Self::NotReached => "The feed was made anew since then: read the shipments anew",
        }
    }
}

impl Place {
    /// Behind everything that is there: in the whole feed, or on one partition.
    pub(crate) fn at_ends(bounds: &[Bounds], partition: Option<i32>) -> Self {
        match partition {
            None => Self::Whole(bounds.iter().map(|bounds| bounds.end).collect()),
            Some(partition) => Self::One(Position { partition, offset: of(bounds, partition).end }),
        }
    }

    /// Before everything that is there.
    pub(crate) fn at_begin(bounds: &[Bounds]) -> Self {
        Self::Whole(bounds.iter().map(|bounds| bounds.oldest).collect())
    }

    /// The id of the place.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::One(next) => format!("{}:{}", next.partition, next.offset - 1),
            Self::Whole(next) => {
                let mut bytes = vec![LAYOUT];
                write_number(&mut bytes, next.len() as u64);
                next.iter().for_each(|&offset| write_number(&mut bytes, offset.unsigned_abs()));
                URL_SAFE_NO_PAD.encode(bytes)
            }
        }
    }

    /// The place in the whole feed that an id names.
    pub(crate) fn read(id: &str) -> Option<Self> {
        if id.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        let (&layout, mut rest) = bytes.split_first()?;
        let count = usize::try_from(read_number(&mut rest)?).ok()?;
        if layout != LAYOUT || count > PARTITIONS {
            return None;
        }
        let offset = |_| i64::try_from(read_number(&mut rest)?).ok();
        let next: Option<Vec<i64>> = (0..count).map(offset).collect();
        next.filter(|_| rest.is_empty()).map(Self::Whole)
    }

    /// The place on `partition` that an id names.
    pub(crate) fn read_of(id: &str, partition: i32) -> Option<Self> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (named, last) = id.split_once(':').filter(|_| id.len() <= LONGEST_OF_ONE)?;
        // Before the first change of a partition there is none: -1.
        let well_formed = digits(named) && (digits(last) || last == "-1");
        let named: i32 = named.parse().ok().filter(|&named| well_formed && named == partition)?;
        let last: i64 = last.parse().ok()?;
        Some(Self::One(Position { partition: named, offset: last.checked_add(1)? }))
    }

    /// The place as it is in a topic that holds `bounds`. A partition that it does not name was not there when it was taken, so everything on it
    /// is news.
    ///
    /// # Errors
    /// The topic does not hold it.
    pub(crate) fn judged(self, bounds: &[Bounds]) -> Result<Self, Gone> {
        let place = match self {
            Self::Whole(next) if next.len() > bounds.len() => return Err(Gone::NotReached),
            Self::Whole(mut next) => {
                next.extend(bounds.iter().skip(next.len()).map(|bounds| bounds.oldest));
                Self::Whole(next)
            }
            Self::One(next) => Self::One(next),
        };
        for Position { partition, offset } in place.positions() {
            let Bounds { oldest, end } = of(bounds, partition);
            if offset > end {
                return Err(Gone::NotReached);
            }
            if offset < oldest {
                return Err(Gone::TooOld);
            }
        }
        Ok(place)
    }

    /// The next position on each partition that it is about.
    pub(crate) fn positions(&self) -> Vec<Position> {
        match self {
            Self::One(next) => vec![*next],
            Self::Whole(next) => (0..).zip(next).map(|(partition, &offset)| Position { partition, offset }).collect(),
        }
    }

    /// What lies between it and the ends.
    pub(crate) fn stretches(&self, bounds: &[Bounds]) -> Vec<Stretch> {
        let stretch =
            |Position { partition, offset }| Stretch { partition, from: offset, until: of(bounds, partition).end };
        self.positions().into_iter().map(stretch).filter(|stretch| stretch.from < stretch.until).collect()
    }

    /// Whether the record at `position` is still to be told.
    pub(crate) fn is_before(&self, position: Position) -> bool {
        self.next(position.partition).is_some_and(|next| next <= position.offset)
    }

    /// Goes on to `next`, unless it is beyond it already.
    pub(crate) fn go_on_to(&mut self, next: Position) {
        let known = match self {
            Self::One(known) if known.partition == next.partition => &mut known.offset,
            Self::One(_) => return,
            Self::Whole(all) => match usize::try_from(next.partition).ok().and_then(|index| all.get_mut(index)) {
                Some(known) => known,
                None => return,
            },
        };
        *known = next.offset.max(*known);
    }

    /// Goes on behind the record at `position`.
    pub(crate) fn pass(&mut self, Position { partition, offset }: Position) {
        self.go_on_to(Position { partition, offset: offset + 1 });
    }

    fn next(&self, partition: i32) -> Option<i64> {
        match self {
            Self::One(next) => (next.partition == partition).then_some(next.offset),
            Self::Whole(next) => next.get(usize::try_from(partition).ok()?).copied(),
        }
    }
}

/// What a partition holds; nothing, when it is not there.
fn of(bounds: &[Bounds], partition: i32) -> Bounds {
    let bounds = usize::try_from(partition).ok().and_then(|index| bounds.get(index));
    bounds.copied().unwrap_or(Bounds { oldest: 0, end: 0 })
}

/// LEB128: seven bits a byte, the lowest first.
fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or_default());
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds(all: &[(i64, i64)]) -> Vec<Bounds> {
        all.iter().map(|&(oldest, end)| Bounds { oldest, end }).collect()
    }

    proptest! {
        #[test]
        fn an_id_names_its_place_and_a_part_of_it_names_none(
            next in prop::collection::vec(0i64..=i64::MAX, 0..40),
            cut in 1usize..20,
        ) {
            let place = Place::Whole(next);
            let id = place.id();
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{id}");
            prop_assert_eq!(Place::read(&id), Some(place));
            let cut = id.len().saturating_sub(cut);
            prop_assert_eq!(Place::read(&id[..cut]), None);
        }

        #[test]
        fn no_text_is_too_odd_to_be_read(text in ".{0,60}", partition in 0i32..4) {
            if let Some(place) = Place::read(&text) {
                prop_assert_eq!(Place::read(&place.id()), Some(place));
            }
            if let Some(place) = Place::read_of(&text, partition) {
                prop_assert_eq!(Place::read_of(&place.id(), partition), Some(place));
            }
        }
    }

    #[test]
    fn the_id_of_a_shipment_s_stream_is_the_position_of_the_last_change() {
        let place = |offset| Place::One(Position { partition: 3, offset });
        assert_eq!(place(78).id(), "3:77");
        assert_eq!(Place::read_of("3:77", 3), Some(place(78)));
        assert_eq!(place(0).id(), "3:-1", "before the first one");
        assert_eq!(Place::read_of("3:-1", 3), Some(place(0)));
        for odd in ["", ":", "3", "3:", ":77", "4:77", "3:77:1", "3:-2", "+3:77", "3:+77", "3:7.0", "3 :77", "x:y"] {
            assert_eq!(Place::read_of(odd, 3), None, "{odd}");
        }
        assert_eq!(Place::read_of(&format!("3:{}", i64::MAX), 3), None);
        assert_eq!(Place::read_of(&format!("3:{}", "0".repeat(40)), 3), None);
    }

    #[test]
    fn the_largest_topic_s_id_fits_into_the_head_of_a_request() {
        let place = Place::Whole(vec![30_000_000_000; PARTITIONS]);
        assert!(place.id().len() <= LONGEST, "{}", place.id().len());
        assert_eq!(Place::read(&place.id()), Some(place));
        assert_eq!(Place::read(&Place::Whole(vec![0; PARTITIONS + 1]).id()), None);
        // A cursor of the list of shipments is none of ours.
        assert_eq!(Place::read("AQAAAAAAAAAAAAABl3dldAA5OU0tQUJDREVG"), None);
    }

    #[test]
    fn a_place_is_judged_by_what_the_topic_holds() {
        let held = bounds(&[(5, 9), (0, 0), (7, 7)]);
        let judged = |next: &[i64]| Place::Whole(next.to_vec()).judged(&held);
        assert_eq!(judged(&[5, 0, 7]), Ok(Place::Whole(vec![5, 0, 7])));
        assert_eq!(judged(&[9, 0, 7]), Ok(Place::Whole(vec![9, 0, 7])));
        assert_eq!(judged(&[4, 0, 7]), Err(Gone::TooOld));
        assert_eq!(judged(&[9, 0, 6]), Err(Gone::TooOld));
        assert_eq!(judged(&[9, 1, 7]), Err(Gone::NotReached));
        assert_eq!(judged(&[9]), Ok(Place::Whole(vec![9, 0, 7])), "what it does not name is news");
        assert_eq!(judged(&[9, 0, 7, 0]), Err(Gone::NotReached));
        let one = |partition, offset| Place::One(Position { partition, offset }).judged(&held);
        assert!(one(0, 5).is_ok() && one(0, 9).is_ok() && one(1, 0).is_ok());
        assert_eq!((one(0, 4), one(0, 10)), (Err(Gone::TooOld), Err(Gone::NotReached)));
    }

    #[test]
    fn a_place_only_goes_forward() {
        let mut place = Place::Whole(vec![5, 0]);
        let at = |partition, offset| Position { partition, offset };
        place.pass(at(0, 7));
        place.pass(at(0, 6));
        place.go_on_to(at(1, 4));
        place.pass(at(2, 9));
        assert_eq!(place, Place::Whole(vec![8, 4]));
        assert!(place.is_before(at(0, 8)) && !place.is_before(at(0, 7)) && !place.is_before(at(2, 0)));
        let held = bounds(&[(0, 10), (0, 4)]);
        assert_eq!(place.stretches(&held), [Stretch { partition: 0, from: 8, until: 10 }]);
    }
}
