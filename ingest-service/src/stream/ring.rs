//! The newest changes, as the tail brought them, for all streams of the process.
//!
//! A change has a number here, which grows by one. A subscription keeps the number of the next one that it wants, and nothing else: however
//! slow it is, it holds nothing up and takes no memory. When the ring has passed it, it is told so.

use std::collections::VecDeque;
use std::sync::Arc;

use shared::change_feed::{Bounds, Change};
use shared::event_log::Position;

use super::place::Place;

/// Most changes that are kept: some seconds of a busy platform, enough that a caller who connects again finds its place here.
const CHANGES: usize = 16_384;
/// Most bytes that they keep, about.
const BYTES: usize = 16 << 20;
/// What a change takes beside its text, about.
const CHANGE_BYTES: usize = 384;
/// Most changes that are taken at once: what a caller who takes nothing holds, and no other does.
pub(super) const TAKEN: usize = 128;

/// A change and where it stands.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) position: Position,
    /// The time that its record bears, in milliseconds since the epoch.
    pub(crate) time: i64,
    pub(crate) change: Change,
    /// The change as it is told.
    pub(crate) json: String,
}

impl Entry {
    fn size(&self) -> usize {
        self.json.len() + CHANGE_BYTES
    }
}

/// The newest changes.
#[derive(Debug)]
pub(super) struct Ring {
    /// Changes when the ring begins anew elsewhere: numbers and places of another life mean nothing.
    life: u64,
    /// The number of the oldest change that is here.
    first: u64,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// From this offset of each partition on, up to `ends`, everything is here.
    begins: Vec<i64>,
    ends: Vec<i64>,
}

/// Which change a subscription wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// The life of the ring in which the subscription's place was judged.
    life: u64,
    /// The number of the next change, once that is known.
    number: Option<u64>,
}

impl Seat {
    /// The seat of a place that was judged in this life.
    pub(super) fn of(life: u64) -> Self {
        Self { life, number: None }
    }
}

/// What a subscription found.
#[derive(Debug)]
pub(super) enum Taken {
    /// The next ones; some of them may have been told before.
    Entries(Vec<Arc<Entry>>),
    /// There is nothing new.
    Nothing,
    /// What comes next for it is not here.
    Away,
}

impl Ring {
    /// A ring that begins at the ends.
    pub(super) fn begin(bounds: &[Bounds]) -> Self {
        let ends: Vec<i64> = bounds.iter().map(|bounds| bounds.end).collect();
        Self { life: 0, first: 0, entries: VecDeque::new(), bytes: 0, begins: ends.clone(), ends }
    }

    /// Begins anew at other ends: the tail could not go on where it was.
    pub(super) fn begin_anew(&mut self, bounds: &[Bounds]) {
        let life = self.life + 1;
        *self = Self { life, ..Self::begin(bounds) };
    }

    /// Grows whenever the ring begins anew.
    pub(super) fn life(&self) -> u64 {
        self.life
    }

    /// Where the tail goes on.
    pub(super) fn ends(&self) -> Vec<Position> {
        (0..).zip(&self.ends).map(|(partition, &offset)| Position { partition, offset }).collect()
    }

    /// Takes in what the tail brought: a record, and the change that it is, when it is one.
    pub(super) fn push(&mut self, position: Position, entry: Option<Arc<Entry>>) {
        raise(&mut self.ends, position);
        let Some(entry) = entry else { return };
        self.bytes += entry.size();
        self.entries.push_back(entry);
        while self.entries.len() > CHANGES || self.bytes > BYTES {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.size();
            self.first += 1;
            raise(&mut self.begins, oldest.position);
        }
    }

    /// Gives what comes next for a subscription that stands at `place`. One whose place was judged in another life must have it judged again: it may
    /// look like one that is ahead of the tail.
    pub(super) fn take(&self, place: &Place, seat: &mut Seat) -> Taken {
        let seated = seat.number.filter(|&number| number >= self.first);
        let joined = || self.holds(place).then_some(self.first);
        let number = if seat.life == self.life { seated.or_else(joined) } else { None };
        let Some(number) = number else {
            seat.number = None;
            return Taken::Away;
        };
        let skipped = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        let entries: Vec<_> = self.entries.iter().skip(skipped).take(TAKEN).cloned().collect();
        seat.number = Some(number + entries.len() as u64);
        if entries.is_empty() { Taken::Nothing } else { Taken::Entries(entries) }
    }

    /// Whether nothing is missing between `place` and the oldest change.
    fn holds(&self, place: &Place) -> bool {
        let begin = |partition| usize::try_from(partition).ok().and_then(|index| self.begins.get(index));
        let is_here = |next: &Position| begin(next.partition).is_some_and(|&begin| begin <= next.offset);
        place.positions().iter().all(is_here)
    }
}

/// Sets the offset of a partition behind `position`.
fn raise(offsets: &mut [i64], position: Position) {
    let offset = usize::try_from(position.partition).ok().and_then(|index| offsets.get_mut(index));
    if let Some(offset) = offset {
        *offset = position.offset + 1;
    }
}

#[cfg(test)]
mod tests {
    use shared::shipment::Timestamp;

    use super::*;

    pub(super) fn entry(partition: i32, offset: i64, text: &str) -> Arc<Entry> {
        let change = Change {
            event_id: "evt_ABC12345_0000000000000000000000".parse().expect("well-formed"),
            tracking_number: "99M-ABC12345".parse().expect("well-formed"),
            client_id: None,
            from: None,
            to: None,
            late: false,
            previous_status: None,
            version: None,
            timestamp: Timestamp::from_millis(0),
            recorded_at: Timestamp::from_millis(0),
            source: text.to_owned(),
            partition: 0,
            offset: 0,
        };
        Arc::new(Entry { position: Position { partition, offset }, time: 0, change, json: text.to_owned() })
    }

    fn ring(ends: &[i64]) -> Ring {
        Ring::begin(&ends.iter().map(|&end| Bounds { oldest: 0, end }).collect::<Vec<_>>())
    }

    fn push(ring: &mut Ring, partition: i32, offset: i64) {
        ring.push(Position { partition, offset }, Some(entry(partition, offset, "x")));
    }

    fn offsets(taken: Taken) -> Option<Vec<(i32, i64)>> {
        let Taken::Entries(entries) = taken else { return None };
        Some(entries.iter().map(|entry| (entry.position.partition, entry.position.offset)).collect())
    }

    #[test]
    fn a_subscription_gets_everything_once_in_the_order_of_the_tail() {
        let (mut ring, mut seat) = (ring(&[3, 0]), Seat::of(0));
        let place = Place::whole(&[3, 0], 0);
        assert!(matches!(ring.take(&place, &mut seat), Taken::Nothing));
        push(&mut ring, 1, 0);
        push(&mut ring, 0, 3);
        assert_eq!(offsets(ring.take(&place, &mut seat)), Some(vec![(1, 0), (0, 3)]));
        assert!(matches!(ring.take(&place, &mut seat), Taken::Nothing));
        push(&mut ring, 0, 7);
        assert_eq!(offsets(ring.take(&place, &mut seat)), Some(vec![(0, 7)]));
        for offset in 8..8 + 200 {
            push(&mut ring, 0, offset);
        }
        assert_eq!(offsets(ring.take(&place, &mut seat)).map(|taken| taken.len()), Some(TAKEN), "some at a time");
        assert_eq!(offsets(ring.take(&place, &mut seat)).map(|taken| taken.len()), Some(200 - TAKEN));
    }

    #[test]
    fn who_stands_before_the_ring_is_told_so_and_joins_where_nothing_is_missing() {
        let mut ring = ring(&[3, 5]);
        push(&mut ring, 0, 3);
        let join = |next: &[i64]| offsets(ring.take(&Place::whole(next, 0), &mut Seat::of(0)));
        assert_eq!(join(&[2, 5]), None);
        assert_eq!(join(&[3, 4]), None);
        assert_eq!(join(&[3, 5]), Some(vec![(0, 3)]));
        assert_eq!(join(&[4, 9]), Some(vec![(0, 3)]), "who is ahead of the tail skips what it knows");
        let one = |offset| ring.take(&Place::one(1, offset, 0), &mut Seat::of(0));
        assert!(matches!(one(4), Taken::Away));
        assert!(matches!(one(5), Taken::Entries(_)), "other partitions do not matter");
    }

    #[test]
    fn the_ring_is_bounded_in_changes_and_in_bytes_and_tells_whom_it_has_passed() {
        let (mut ring, mut seat) = (ring(&[0]), Seat::of(0));
        let place = Place::whole(&[0], 0);
        assert!(matches!(ring.take(&place, &mut seat), Taken::Nothing));
        for offset in 0..i64::try_from(CHANGES).expect("fits") {
            push(&mut ring, 0, offset);
        }
        assert_eq!(offsets(ring.take(&place, &mut seat.clone())).map(|taken| taken[0]), Some((0, 0)), "all are here");
        push(&mut ring, 0, 20_000);
        assert!(matches!(ring.take(&place, &mut seat), Taken::Away));
        assert_eq!(seat, Seat::of(0));
        assert_eq!(offsets(ring.take(&Place::whole(&[1], 0), &mut seat)).map(|taken| taken[0]), Some((0, 1)));

        let large = "x".repeat(BYTES / 4);
        for offset in 30_000..30_010 {
            ring.push(Position { partition: 0, offset }, Some(entry(0, offset, &large)));
            assert!(ring.bytes <= BYTES);
        }
        assert_eq!(ring.entries.len(), 3);
        assert!(matches!(ring.take(&place, &mut seat), Taken::Away));
    }

    #[test]
    fn a_ring_that_begins_anew_asks_everybody_for_their_place() {
        let (mut ring, mut seat) = (ring(&[0]), Seat::of(0));
        push(&mut ring, 0, 0);
        assert!(offsets(ring.take(&Place::whole(&[0], 0), &mut seat)).is_some());
        ring.begin_anew(&[Bounds { oldest: 0, end: 5 }]);
        assert_eq!(ring.ends(), [Position { partition: 0, offset: 5 }]);
        for ahead in [1, 5, 99] {
            let place = Place::whole(&[ahead], 0);
            assert!(matches!(ring.take(&place, &mut seat), Taken::Away), "a place of another life, at {ahead}");
            assert!(matches!(ring.take(&place, &mut Seat::of(0)), Taken::Away), "a place of another life, at {ahead}");
        }
        assert!(matches!(ring.take(&Place::whole(&[5], 0), &mut Seat::of(ring.life())), Taken::Nothing));
    }

    #[test]
    fn a_record_that_is_no_change_is_passed_over() {
        let mut ring = ring(&[0]);
        ring.push(Position { partition: 0, offset: 0 }, None);
        push(&mut ring, 0, 1);
        assert_eq!(ring.ends(), [Position { partition: 0, offset: 2 }]);
        assert_eq!(offsets(ring.take(&Place::whole(&[0], 0), &mut Seat::of(0))), Some(vec![(0, 1)]));
    }
}
