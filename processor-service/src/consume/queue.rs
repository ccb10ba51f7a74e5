//! What waits for the lanes, what they work on, and how far they have come. It has no lock and waits for nothing: that is [`super::Lanes`].
//!
//! Records are kept by *strand*: those of a partition, or of a share of its keys. A strand is in one lane at a time, whichever is free, so
//! its records are applied in their order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use shared::event_log::{LogRecord, Offer, Position};
use tokio::time::Instant;

use super::{
    BUSY_OTHERS_AT_WORK, Batch, Generation, LINGER, Most, OTHERS_AT_WORK, QUEUE_BATCHES, RESERVED, RESERVED_BYTES,
    SMALL_BATCH,
};

/// A share of a partition; all of it, where shares are not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StrandId {
    pub(super) partition: i32,
    pub(super) share: i32,
}

/// How far a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A reader finds what it did.
    Shown,
    /// All that follows from it has happened: its offset may be committed.
    Done,
}

/// What a lane that asks for work is told.
#[derive(Debug)]
pub(super) enum Turn {
    Work(Batch),
    /// Nothing yet; at that moment, if it is known, there will be.
    Wait(Option<Instant>),
    End,
}

#[derive(Default)]
struct Strand {
    waiting: VecDeque<LogRecord>,
    bytes: usize,
    /// When something came and nothing waited.
    since: Option<Instant>,
    in_flight: Option<InFlight>,
    /// One past the last record that is shown, and one past the last that is done.
    shown: Option<i64>,
    done: Option<i64>,
    /// The first record that was taken and given up: it is offered again when the partition comes back.
    given_up: Option<i64>,
}

#[derive(Clone, Copy)]
struct InFlight {
    lane: usize,
    generation: Generation,
    first: i64,
    last: i64,
    is_shown: bool,
}

#[derive(Default)]
struct Partition {
    generation: Generation,
    owned: bool,
    /// More of it is done than when it was last asked.
    is_news: bool,
}

pub(super) struct Queue {
    lanes: usize,
    /// For each lane when it took the small batch that it has.
    small_since: Vec<Option<Instant>>,
    /// How long a small batch has taken of late.
    usual: Duration,
    /// Most of one batch.
    batch: Most,
    strands: BTreeMap<StrandId, Strand>,
    partitions: HashMap<i32, Partition>,
    records: usize,
    bytes: usize,
    /// The strand that was taken from last: the next turn begins behind it.
    last_taken: Option<StrandId>,
    /// A lane waits for the moment at which a small batch is due.
    is_watched: bool,
    closed: bool,
}

impl Strand {
    fn is_ready(&self) -> bool {
        self.in_flight.is_none() && !self.waiting.is_empty()
    }

    fn end(&self, stage: Stage) -> Option<i64> {
        match stage {
            Stage::Shown => self.shown.max(self.done),
            Stage::Done => self.done,
        }
    }

    /// The first record that was taken in `generation` and is not that far. What waits stands behind what is in flight.
    fn first_left(&self, stage: Stage, generation: Generation) -> Option<i64> {
        let waits = self.waiting.front().map(|record| record.position.offset);
        let counts = |batch: &InFlight| batch.generation == generation && (stage == Stage::Done || !batch.is_shown);
        let in_flight = self.in_flight.filter(counts);
        let taken = in_flight.map(|batch| batch.first).or(waits);
        self.given_up.into_iter().chain(taken).min()
    }

    fn give_up(&mut self, first: Option<i64>) {
        self.given_up = self.given_up.into_iter().chain(first).min();
    }
}

impl Queue {
    /// An empty one for so many lanes.
    pub(super) fn new(lanes: usize, batch: Most) -> Self {
        Self {
            lanes,
            small_since: vec![None; lanes],
            usual: OTHERS_AT_WORK,
            batch,
            strands: BTreeMap::new(),
            partitions: HashMap::new(),
            records: 0,
            bytes: 0,
            last_taken: None,
            is_watched: false,
            closed: false,
        }
    }

    /// How many records wait.
    pub(super) fn depth(&self) -> usize {
        self.records
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn owned(&self) -> Vec<i32> {
        self.partitions.iter().filter(|(_, known)| known.owned).map(|(&partition, _)| partition).collect()
    }

    fn of(&self, partition: i32) -> impl Iterator<Item = &Strand> {
        let strand = |share| StrandId { partition, share };
        self.strands.range(strand(i32::MIN)..=strand(i32::MAX)).map(|(_, strand)| strand)
    }

    fn of_mut(&mut self, partition: i32) -> impl Iterator<Item = &mut Strand> {
        let strand = |share| StrandId { partition, share };
        self.strands.range_mut(strand(i32::MIN)..=strand(i32::MAX)).map(|(_, strand)| strand)
    }

    fn is_full(&self, strand: &Strand) -> bool {
        let by_itself = self.batch.is_reached(strand.waiting.len(), strand.bytes);
        let all = self.batch.times(QUEUE_BATCHES).is_reached(self.records, self.bytes);
        by_itself || (all && (strand.waiting.len() >= RESERVED || strand.bytes >= RESERVED_BYTES))
    }

    /// Whether a record of `partition` would be taken, whichever of its strands it belongs to.
    pub(super) fn has_room(&self, partition: i32) -> bool {
        !self.of(partition).any(|strand| self.is_full(strand))
    }

    /// Takes a record, and says whether a lane has to look.
    pub(super) fn offer(&mut self, record: LogRecord, share: i32, now: Instant) -> (Offer, bool) {
        let partition = record.position.partition;
        if !self.partitions.get(&partition).is_some_and(|known| known.owned) {
            return (Offer::Taken, false); // a straggler of a revoked partition: its new owner gets it
        }
        let id = StrandId { partition, share };
        if self.strands.get(&id).is_some_and(|strand| self.is_full(strand)) {
            return (Offer::Full(Box::new(record)), false);
        }
        let (strand, size) = (self.strands.entry(id).or_default(), record.size());
        strand.since.get_or_insert(now);
        strand.bytes += size;
        strand.waiting.push_back(record);
        let begins = strand.waiting.len() == 1 && strand.in_flight.is_none();
        self.bytes += size;
        self.records += 1;
        // A lane that watches is woken by its timer, or when the batch has stopped being small.
        (Offer::Taken, (begins && !self.is_watched) || self.records.is_multiple_of(SMALL_BATCH))
    }

    /// The next batch for `lane`, if it is time for one. A small one waits a moment for more; and a little longer while other lanes are at
    /// work, because what comes meanwhile makes one batch and not several.
    pub(super) fn turn(&mut self, lane: usize, now: Instant) -> Turn {
        self.is_watched = false;
        let (mut ready, mut since, mut others) = (0, None, false);
        for strand in self.strands.values() {
            others |= strand.in_flight.is_some();
            if strand.is_ready() {
                ready += strand.waiting.len();
                since = [since, strand.since].into_iter().flatten().min();
            }
        }
        if ready == 0 {
            // Those of strands that are in flight are taken by the lanes that have these.
            return if self.closed { Turn::End } else { Turn::Wait(None) };
        }
        let patience = if others { self.usual.clamp(OTHERS_AT_WORK, BUSY_OTHERS_AT_WORK) } else { LINGER };
        let due = since.unwrap_or(now) + patience;
        if ready < SMALL_BATCH && !self.closed && now < due {
            self.is_watched = true;
            return Turn::Wait(Some(due));
        }
        // Of little one lane takes all. Of much each takes its share of the strands, or two lanes would have them all, and the others nothing.
        let strands = self.strands.len();
        let most = if ready < SMALL_BATCH * self.lanes { strands } else { strands.div_ceil(self.lanes) };
        let batch = self.cut(lane, most);
        self.small_since[lane] = (batch.records.len() < SMALL_BATCH).then_some(now);
        Turn::Work(batch)
    }

    /// Whether another lane has work too.
    pub(super) fn is_left_over(&self) -> bool {
        self.strands.values().any(Strand::is_ready)
    }

    fn cut(&mut self, lane: usize, most: usize) -> Batch {
        let (mut batch, mut bytes) = (Batch::default(), 0);
        let is_ready = |(id, strand): (&StrandId, &Strand)| strand.is_ready().then_some(*id);
        let mut ready: VecDeque<StrandId> = self.strands.iter().filter_map(is_ready).collect();
        let behind = ready.iter().take_while(|&&id| self.last_taken.is_some_and(|last| id <= last)).count();
        ready.rotate_left(behind);
        for id in ready.into_iter().take(most) {
            let Some(strand) = self.strands.get_mut(&id) else { continue };
            let generation = self.partitions.get(&id.partition).map_or(0, |known| known.generation);
            let first = strand.waiting.front().map_or(0, |record| record.position.offset);
            let mut last = first;
            while !self.batch.is_reached(batch.records.len(), bytes)
                && let Some(record) = strand.waiting.pop_front()
            {
                let size = record.size();
                bytes += size;
                strand.bytes -= size;
                last = record.position.offset;
                batch.records.push(record);
            }
            strand.since = strand.since.filter(|_| !strand.waiting.is_empty());
            strand.in_flight = Some(InFlight { lane, generation, first, last, is_shown: false });
            batch.generations.insert(id.partition, generation);
            self.last_taken = Some(id);
            if self.batch.is_reached(batch.records.len(), bytes) {
                break;
            }
        }
        self.records -= batch.records.len();
        self.bytes -= bytes;
        batch
    }

    /// All of the batch of `lane` is done.
    pub(super) fn finish(&mut self, lane: usize, now: Instant) {
        self.reach(lane, Stage::Done);
        if let Some(since) = self.small_since[lane].take() {
            self.usual = (self.usual * 3 + (now - since)) / 4;
        }
    }

    /// The batch of `lane` has come so far.
    pub(super) fn reach(&mut self, lane: usize, stage: Stage) {
        for (id, strand) in &mut self.strands {
            let Some(batch) = strand.in_flight.as_mut().filter(|batch| batch.lane == lane) else { continue };
            batch.is_shown = true;
            let (end, generation) = (Some(batch.last + 1), batch.generation);
            let partition = self.partitions.get_mut(&id.partition).filter(|known| known.generation == generation);
            if let Some(partition) = partition {
                match stage {
                    Stage::Shown => strand.shown = end,
                    Stage::Done => (strand.done, partition.is_news) = (end, true),
                }
            }
            if stage == Stage::Done {
                strand.in_flight = None;
            }
        }
    }

    /// The batch of `lane` is given up, what of it is not done.
    pub(super) fn give_up(&mut self, lane: usize) {
        self.small_since[lane] = None;
        for (id, strand) in &mut self.strands {
            if let Some(batch) = strand.in_flight.take_if(|batch| batch.lane == lane)
                && self.partitions.get(&id.partition).is_some_and(|known| known.generation == batch.generation)
            {
                strand.give_up(Some(batch.first));
            }
        }
    }

    /// One past the record of `partition` up to which all have come so far; nothing before the first one has.
    pub(super) fn reached(&self, partition: i32, stage: Stage) -> Option<i64> {
        let generation = self.partitions.get(&partition)?.generation;
        let end = self.of(partition).filter_map(|strand| strand.end(stage)).max()?;
        let left = self.of(partition).filter_map(|strand| strand.first_left(stage, generation)).min();
        Some(left.map_or(end, |left| left.min(end)))
    }

    /// What more is done than when this was last asked.
    pub(super) fn take_news(&mut self) -> Vec<Position> {
        let is_news = |(&partition, known): (&i32, &mut Partition)| {
            std::mem::replace(&mut known.is_news, false).then_some(partition)
        };
        let news: Vec<i32> = self.partitions.iter_mut().filter_map(is_news).collect();
        let done = |partition| Some(Position { partition, offset: self.reached(partition, Stage::Done)? });
        news.into_iter().filter_map(done).collect()
    }

    /// `partition` is ours from now on.
    pub(super) fn begin(&mut self, partition: i32) {
        let known = self.partitions.entry(partition).or_default();
        *known = Partition { generation: known.generation + 1, owned: true, is_news: false };
        for strand in self.of_mut(partition) {
            (strand.shown, strand.done, strand.given_up) = (None, None, None);
        }
    }

    /// Takes nothing of `partition` from now on, and throws away what waits. What is in flight still counts until it is given up.
    pub(super) fn forget(&mut self, partition: i32) {
        if let Some(known) = self.partitions.get_mut(&partition) {
            known.owned = false;
        }
        let (mut records, mut bytes) = (0, 0);
        for strand in self.of_mut(partition) {
            strand.give_up(strand.waiting.front().map(|record| record.position.offset));
            records += strand.waiting.len();
            bytes += std::mem::take(&mut strand.bytes);
            strand.waiting.clear();
            strand.since = None;
        }
        self.records -= records;
        self.bytes -= bytes;
    }

    /// Whether nothing of `partition` is in flight.
    pub(super) fn is_drained(&self, partition: i32) -> bool {
        self.of(partition).all(|strand| strand.in_flight.is_none())
    }

    /// Gives `partition` up, with what of it is still in flight.
    pub(super) fn hand_over(&mut self, partition: i32) {
        let Some(known) = self.partitions.get_mut(&partition) else { return };
        let generation = known.generation;
        known.generation += 1;
        known.owned = false;
        for strand in self.of_mut(partition) {
            let left = strand.in_flight.filter(|batch| batch.generation == generation);
            strand.give_up(left.map(|batch| batch.first));
        }
    }

    /// Whether any partition of `batch` is still ours.
    pub(super) fn owns_any_of(&self, batch: &Batch) -> bool {
        batch.generations.iter().any(|(partition, generation)| {
            self.partitions.get(partition).is_some_and(|known| known.owned && known.generation == *generation)
        })
    }
}
