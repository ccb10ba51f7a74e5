//! Where a caller stands in the feed, and the ids that say so.
//!
//! The changes of one shipment stand on one partition; there an id is the position of the last change and its time, `<partition>:<offset>:<time>`.
//! The whole feed has many partitions, and no order between them; there an id is opaque and holds the next offset of each, and the time. The
//! same id goes on with a stream (`Last-Event-ID`) and with a page (`cursor`).
//!
//! # Why there is a time in it
//! A topic that was deleted and made again gives the same offsets to other records. As long as it has not reached a place, that is seen; after that
//! the offsets alone would lead into the middle of the new topic, and what stands before would be missed without a word. But everything before a
//! place was there when the place was taken: a record before it that bears a later time than the place belongs to another life of the topic.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::change_feed::{Bounds, Stretch};
use shared::event_log::Position;
use shared::leb128;
use shared::shipment::Timestamp;

/// The first byte of an id of the whole feed. Cursors of other lists begin otherwise, and a layout that is not ours is refused.
const LAYOUT: u8 = 0x43;
/// Most partitions that an id names: the most that `KAFKA_PARTITIONS` allows.
const PARTITIONS: usize = 1_000;
/// Longest id that is looked at, in characters: so many partitions with offsets of some thousand millions. It fits into the head of a request.
pub(crate) const LONGEST: usize = 8_192;
/// Longest id of a shipment's stream, in characters: three numbers.
const LONGEST_OF_ONE: usize = 52;
/// So much may the clocks of two machines differ, in milliseconds: more than what NTP leaves, and less than it takes to make a topic anew and to
/// fill it.
const CLOCKS_DIFFER_MS: i64 = 10_000;

/// A place in the feed: everything before it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    next: Next,
    /// The time of the newest record that was passed, or of the moment at which the place was taken, in milliseconds since the epoch.
    seen: i64,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
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
    /// The topic has not reached it: it was made anew, or has lost its end.
    NotReached,
    /// The topic has reached it, but with records that were not there when it was taken.
    MadeAnew,
}

impl Gone {
    pub(crate) const ALL: [Self; 3] = [Self::TooOld, Self::NotReached, Self::MadeAnew];

    /// The word for programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::NotReached => "not_reached",
            Self::MadeAnew => "made_anew",
        }
    }

    /// The text for people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::TooOld => "Changes since then are not kept any more: read the shipments anew",
            Self::NotReached | Self::MadeAnew => "The feed was made anew since then: read the shipments anew",
        }
    }
}

impl Place {
    /// Behind everything that is there `now`: in the whole feed, or on one partition.
    pub(crate) fn at_ends(bounds: &[Bounds], partition: Option<i32>, now: Timestamp) -> Self {
        let next = match partition {
            None => Next::Whole(bounds.iter().map(|bounds| bounds.end).collect()),
            Some(partition) => Next::One(Position { partition, offset: of(bounds, partition).end }),
        };
        Self { next, seen: now.as_millis() }
    }

    /// Before everything that is there.
    pub(crate) fn at_begin(bounds: &[Bounds]) -> Self {
        Self { next: Next::Whole(bounds.iter().map(|bounds| bounds.oldest).collect()), seen: 0 }
    }

    /// The partition that it is about, when it is one.
    pub(crate) fn partition(&self) -> Option<i32> {
        match &self.next {
            Next::Whole(_) => None,
            Next::One(next) => Some(next.partition),
        }
    }

    /// No record before the place bears a later time than this, in milliseconds since the epoch.
    pub(crate) fn latest(&self) -> i64 {
        self.seen.saturating_add(CLOCKS_DIFFER_MS)
    }

    /// The id of the place.
    pub(crate) fn id(&self) -> String {
        match &self.next {
            Next::One(next) => format!("{}:{}:{}", next.partition, next.offset - 1, self.seen),
            Next::Whole(next) => {
                let mut bytes = vec![LAYOUT];
                leb128::push(&mut bytes, self.seen.unsigned_abs());
                leb128::push(&mut bytes, next.len() as u64);
                next.iter().for_each(|&offset| leb128::push(&mut bytes, offset.unsigned_abs()));
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
        let seen = i64::try_from(leb128::pull(&mut rest)?).ok()?;
        let count = usize::try_from(leb128::pull(&mut rest)?).ok()?;
        if layout != LAYOUT || count > PARTITIONS {
            return None;
        }
        let offset = |_| i64::try_from(leb128::pull(&mut rest)?).ok();
        let next: Option<Vec<i64>> = (0..count).map(offset).collect();
        next.filter(|_| rest.is_empty()).map(|next| Self { next: Next::Whole(next), seen })
    }

    /// The place on `partition` that an id names.
    pub(crate) fn read_of(id: &str, partition: i32) -> Option<Self> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (named, rest) = id.split_once(':').filter(|_| id.len() <= LONGEST_OF_ONE)?;
        let (last, seen) = rest.split_once(':')?;
        // Before the first change of a partition there is none: -1.
        let well_formed = digits(named) && (digits(last) || last == "-1") && digits(seen);
        let named: i32 = named.parse().ok().filter(|&named| well_formed && named == partition)?;
        let last: i64 = last.parse().ok()?;
        let next = Next::One(Position { partition: named, offset: last.checked_add(1)? });
        Some(Self { next, seen: seen.parse().ok()? })
    }

    /// The place as it is in a topic that holds `bounds`. A partition that it does not name was not there when it was taken, so everything on it
    /// is news. Whether what stands before it is what stood there, the bounds do not say: see `Hub::judge`.
    ///
    /// # Errors
    /// The topic does not hold it.
    pub(crate) fn within(self, bounds: &[Bounds]) -> Result<Self, Gone> {
        let Self { mut next, seen } = self;
        if let Next::Whole(next) = &mut next {
            if next.len() > bounds.len() {
                return Err(Gone::NotReached);
            }
            next.extend(bounds.iter().skip(next.len()).map(|bounds| bounds.oldest));
        }
        let place = Self { next, seen };
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
        match &self.next {
            Next::One(next) => vec![*next],
            Next::Whole(next) => (0..).zip(next).map(|(partition, &offset)| Position { partition, offset }).collect(),
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
        let known = match &mut self.next {
            Next::One(known) if known.partition == next.partition => &mut known.offset,
            Next::One(_) => return,
            Next::Whole(all) => match usize::try_from(next.partition).ok().and_then(|index| all.get_mut(index)) {
                Some(known) => known,
                None => return,
            },
        };
        *known = next.offset.max(*known);
    }

    /// Goes on behind the record at a position, which bears this time.
    pub(crate) fn pass(&mut self, Position { partition, offset }: Position, time: i64) {
        self.go_on_to(Position { partition, offset: offset + 1 });
        self.seen = time.max(self.seen);
    }

    fn next(&self, partition: i32) -> Option<i64> {
        match &self.next {
            Next::One(next) => (next.partition == partition).then_some(next.offset),
            Next::Whole(next) => next.get(usize::try_from(partition).ok()?).copied(),
        }
    }
}

/// What a partition holds; nothing, when it is not there.
fn of(bounds: &[Bounds], partition: i32) -> Bounds {
    let bounds = usize::try_from(partition).ok().and_then(|index| bounds.get(index));
    bounds.copied().unwrap_or(Bounds { oldest: 0, end: 0 })
}

#[cfg(test)]
impl Place {
    /// The place before these offsets.
    pub(crate) fn whole(next: &[i64], seen: i64) -> Self {
        Self { next: Next::Whole(next.to_vec()), seen }
    }

    /// The place before this offset of a partition.
    pub(crate) fn one(partition: i32, offset: i64, seen: i64) -> Self {
        Self { next: Next::One(Position { partition, offset }), seen }
    }
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
            seen in 0i64..=i64::MAX,
            cut in 1usize..20,
        ) {
            let place = Place::whole(&next, seen);
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
    fn the_id_of_a_shipment_s_stream_is_the_position_of_the_last_change_and_its_time() {
        let place = |offset| Place::one(3, offset, 1_750_000_000_000);
        assert_eq!(place(78).id(), "3:77:1750000000000");
        assert_eq!(Place::read_of("3:77:1750000000000", 3), Some(place(78)));
        assert_eq!(place(0).id(), "3:-1:1750000000000", "before the first one");
        assert_eq!(Place::read_of("3:-1:1750000000000", 3), Some(place(0)));
        for odd in ["", "::", "3", "3:", "3:77", "3:77:", ":77:1", "4:77:1", "3:77:1:1", "3:-2:1", "3:77:-1", "+3:77:1"]
        {
            assert_eq!(Place::read_of(odd, 3), None, "{odd}");
        }
        for odd in ["3:+77:1", "3:77:+1", "3:7.0:1", "3 :77:1", "x:y:z"] {
            assert_eq!(Place::read_of(odd, 3), None, "{odd}");
        }
        assert_eq!(Place::read_of(&format!("3:{}:1", i64::MAX), 3), None);
        assert_eq!(Place::read_of(&format!("3:{}:1", "0".repeat(60)), 3), None);
    }

    #[test]
    fn the_largest_topic_s_id_fits_into_the_head_of_a_request() {
        let place = Place::whole(&[30_000_000_000; PARTITIONS], i64::MAX);
        assert!(place.id().len() <= LONGEST, "{}", place.id().len());
        assert_eq!(Place::read(&place.id()), Some(place));
        assert_eq!(Place::read(&Place::whole(&[0; PARTITIONS + 1], 0).id()), None);
        // A cursor of the list of shipments is none of ours.
        assert_eq!(Place::read("AQAAAAAAAAAAAAABl3dldAA5OU0tQUJDREVG"), None);
    }

    #[test]
    fn a_place_is_judged_by_what_the_topic_holds() {
        let held = bounds(&[(5, 9), (0, 0), (7, 7)]);
        let judged = |next: &[i64]| Place::whole(next, 1).within(&held);
        assert_eq!(judged(&[5, 0, 7]), Ok(Place::whole(&[5, 0, 7], 1)));
        assert_eq!(judged(&[9, 0, 7]), Ok(Place::whole(&[9, 0, 7], 1)));
        assert_eq!(judged(&[4, 0, 7]), Err(Gone::TooOld));
        assert_eq!(judged(&[9, 0, 6]), Err(Gone::TooOld));
        assert_eq!(judged(&[9, 1, 7]), Err(Gone::NotReached));
        assert_eq!(judged(&[9]), Ok(Place::whole(&[9, 0, 7], 1)), "what it does not name is news");
        assert_eq!(judged(&[9, 0, 7, 0]), Err(Gone::NotReached));
        let one = |partition, offset| Place::one(partition, offset, 1).within(&held);
        assert!(one(0, 5).is_ok() && one(0, 9).is_ok() && one(1, 0).is_ok());
        assert_eq!((one(0, 4), one(0, 10)), (Err(Gone::TooOld), Err(Gone::NotReached)));
    }

    #[test]
    fn a_place_only_goes_forward() {
        let mut place = Place::whole(&[5, 0], 10);
        let at = |partition, offset| Position { partition, offset };
        place.pass(at(0, 7), 12);
        place.pass(at(0, 6), 11);
        place.go_on_to(at(1, 4));
        place.pass(at(2, 9), 0);
        assert_eq!(place, Place::whole(&[8, 4], 12));
        assert!(place.is_before(at(0, 8)) && !place.is_before(at(0, 7)) && !place.is_before(at(2, 0)));
        let held = bounds(&[(0, 10), (0, 4)]);
        assert_eq!(place.stretches(&held), [Stretch { partition: 0, from: 8, until: 10 }]);
    }
}
