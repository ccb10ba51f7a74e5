//! Putting dead letters back into the log.

use std::collections::{BTreeMap, HashSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::cursor::Direction;
use super::letter::{ADDED, REPLAY_BY, REPLAY_OF};
use super::{Cursor, DeadLetters, Filter, LOOKED_AT, Letter, LetterId, Trouble};
use crate::event_log::{Bounds, Header, LogRecord, NewRecord, Position, ReadLimit, Stretch, Topic};
use crate::operator_log::{Act, Entry};

/// Letters that are read, and appended, at once.
const CHUNK: usize = 200;
/// Most bytes that are read at once, and held.
const CHUNK_BYTES: usize = 8 << 20;
/// Two wanted letters of a partition that are no further apart are read at once, with what stands between them.
const ONE_READ: i64 = 100;

/// Which letters to redrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// These.
    Ids(Vec<LetterId>),
    /// All that the filter takes, the oldest first, from the cursor on. Letters of redriven records are left out: the letter of the first
    /// record holds the same, and each redrive of all would otherwise double them.
    Matching(Filter, Option<Cursor>),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RedriveRequest {
    /// Which letters.
    pub selection: Selection,
    /// So many at most.
    pub limit: usize,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who asks.
    pub by: String,
}

/// What was done, or would be.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct RedriveReport {
    /// Nothing was done.
    pub dry_run: bool,
    /// How many letters were selected.
    pub selected: usize,
    /// How many of them are in the log again.
    pub redriven: usize,
    /// Each selected letter.
    pub letters: Vec<Redriven>,
    /// Ids for which there is no letter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<LetterId>,
    /// There may be more: where to go on.
    #[serde(skip)]
    pub next: Option<Cursor>,
}

/// What became of a letter.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Redriven {
    /// The letter.
    pub id: LetterId,
    /// The shipment that it is about.
    #[serde(flatten)]
    pub about: About,
    /// Where the record stands now.
    pub redriven_to: Option<Position>,
    /// What the operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// What a letter is about.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct About {
    /// The shipment.
    pub tracking_number: Option<crate::shipment::TrackingNumber>,
    /// The error class.
    pub reason: String,
}

const STAYS_A_CONFLICT: &str = "another event has its key; it is known as a conflict and stays one";
const ORIGINAL_GONE: &str = "the letter has no value, and the log does not hold the original record";

impl DeadLetters {
    /// Appends the original records of the selected letters to the topic of events.
    ///
    /// # Errors
    /// Something failed on the way; a part may have been done. To ask again does no harm.
    pub async fn redrive(&self, request: &RedriveRequest) -> Result<RedriveReport, Trouble> {
        if !request.dry_run {
            self.write_down(request).await?;
        }
        let mut report = RedriveReport {
            dry_run: request.dry_run,
            selected: 0,
            redriven: 0,
            letters: Vec::new(),
            unknown: Vec::new(),
            next: None,
        };
        let done = match &request.selection {
            Selection::Ids(ids) => self.by_id(ids, request, &mut report).await,
            Selection::Matching(filter, cursor) => self.matching(filter, cursor.as_ref(), request, &mut report).await,
        };
        report.selected = report.letters.len();
        report.redriven = report.letters.iter().filter(|letter| letter.redriven_to.is_some()).count();
        if !request.dry_run {
            tracing::info!(
                by = request.by,
                selection = %described(&request.selection),
                limit = request.limit,
                selected = report.selected,
                redriven = report.redriven,
                complete = done.is_ok(),
                "dead letters were redriven"
            );
        }
        done.map(|()| report)
    }

    /// Nothing is redriven that is not written down before.
    async fn write_down(&self, request: &RedriveRequest) -> Result<(), Trouble> {
        let details = json!({"selection": described(&request.selection), "limit": request.limit});
        let (at, by) = ((self.clock)(), request.by.clone());
        Ok(self.operators.write(&Entry { at, by, act: Act::DeadLettersRedriven, details }).await?)
    }

    async fn by_id(
        &self,
        ids: &[LetterId],
        request: &RedriveRequest,
        report: &mut RedriveReport,
    ) -> Result<(), Trouble> {
        let bounds = self.reader.bounds_of(Topic::DeadLetters).await?;
        let mut wanted = BTreeMap::<i32, Vec<i64>>::new();
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        for id in sorted.into_iter().take(request.limit) {
            let Position { partition, offset } = id.0;
            let held = usize::try_from(partition).ok().and_then(|partition| bounds.get(partition));
            match held {
                Some(held) if (held.oldest..held.end).contains(&offset) => {
                    wanted.entry(partition).or_default().push(offset);
                }
                _ => report.unknown.push(id),
            }
        }
        while !wanted.is_empty() {
            let stretches: Vec<Stretch> = wanted.iter().map(|(&partition, offsets)| run(partition, offsets)).collect();
            let piece = self.read(&stretches).await?;
            let is_wanted = |record: &LogRecord| {
                let Position { partition, offset } = record.position;
                wanted.get(&partition).is_some_and(|offsets| offsets.binary_search(&offset).is_ok())
            };
            let records: Vec<LogRecord> = piece.records.into_iter().filter(is_wanted).collect();
            let found: HashSet<Position> = records.iter().map(|record| record.position).collect();
            for next in &piece.next {
                let Some(offsets) = wanted.get_mut(&next.partition) else { continue };
                let passed = offsets.partition_point(|&offset| offset < next.offset);
                let places = offsets.drain(..passed).map(|offset| Position { partition: next.partition, offset });
                report.unknown.extend(places.filter(|place| !found.contains(place)).map(LetterId));
            }
            wanted.retain(|_, offsets| !offsets.is_empty());
            self.put_back(records, request, report).await?;
        }
        Ok(())
    }

    async fn matching(
        &self,
        filter: &Filter,
        cursor: Option<&Cursor>,
        request: &RedriveRequest,
        report: &mut RedriveReport,
    ) -> Result<(), Trouble> {
        let bounds = self.reader.bounds_of(Topic::DeadLetters).await?;
        let mut stretches: Vec<Stretch> =
            (0..).zip(&bounds).map(|(partition, held)| rest(partition, *held, cursor)).collect();
        let (mut looked_at, mut roots) = (0, HashSet::new());
        while stretches.iter().any(|stretch| stretch.from < stretch.until)
            && looked_at < LOOKED_AT
            && report.letters.len() < request.limit
        {
            let piece = self.read(&stretches).await?;
            for (stretch, next) in stretches.iter_mut().zip(&piece.next) {
                stretch.from = next.offset;
            }
            looked_at += piece.records.len();
            let (mut taken, mut full) = (Vec::new(), HashSet::new());
            for record in piece.records {
                let Position { partition, offset } = record.position;
                if full.contains(&partition) {
                    continue;
                }
                let letter = Letter::of(&record);
                if letter.replay_of.is_some() || !filter.takes(&letter) {
                    continue;
                }
                if report.letters.len() + taken.len() == request.limit {
                    // The next call begins with it.
                    full.insert(partition);
                    stretches
                        .iter_mut()
                        .filter(|stretch| stretch.partition == partition)
                        .for_each(|stretch| stretch.from = offset);
                } else if roots.insert(letter.root()) {
                    taken.push(record);
                }
            }
            self.put_back(taken, request, report).await?;
        }
        if stretches.iter().any(|stretch| stretch.from < stretch.until) {
            let offsets = stretches.iter().map(|stretch| stretch.from).collect();
            report.next = Some(Cursor::new(Direction::Forth, filter, offsets));
        }
        Ok(())
    }

    async fn read(&self, stretches: &[Stretch]) -> Result<crate::event_log::Piece, Trouble> {
        let limit = ReadLimit { records: CHUNK, bytes: CHUNK_BYTES };
        Ok(self.reader.read_topic(Topic::DeadLetters, stretches, limit).await?)
    }

    /// Appends the originals of `records` in their order, unless it is a dry run.
    async fn put_back(
        &self,
        records: Vec<LogRecord>,
        request: &RedriveRequest,
        report: &mut RedriveReport,
    ) -> Result<(), Trouble> {
        let first = report.letters.len();
        let (mut originals, mut indexes) = (Vec::new(), Vec::new());
        for record in records {
            let letter = Letter::of(&record);
            let mut note = (letter.reason == "KEY_CONFLICT").then_some(STAYS_A_CONFLICT);
            match self.original(record, &letter, &request.by).await? {
                Some(original) => {
                    indexes.push(report.letters.len());
                    originals.push(original);
                }
                None => note = Some(ORIGINAL_GONE),
            }
            let about = About { tracking_number: letter.tracking_number, reason: letter.reason };
            report.letters.push(Redriven { id: letter.id, about, redriven_to: None, note });
        }
        if request.dry_run || originals.is_empty() {
            return Ok(());
        }
        let appended = self.log.append(Topic::Events, originals).await;
        for (index, position) in indexes.into_iter().zip(&appended.positions) {
            report.letters[index].redriven_to = Some(*position);
        }
        match appended.refused {
            None => Ok(()),
            Some(error) => {
                tracing::warn!(%error, letters = report.letters.len() - first, "a redrive was cut off");
                Err(error.into())
            }
        }
    }

    /// The record to append; `None` when its value is nowhere any more.
    async fn original(&self, record: LogRecord, letter: &Letter, by: &str) -> Result<Option<NewRecord>, Trouble> {
        let value = match (&letter.original, letter.value_omitted) {
            (_, false) => record.value,
            (Some(original), true) if original.topic == self.events => {
                let at = Position { partition: original.partition, offset: original.offset };
                match self.record_at(Topic::Events, at).await? {
                    Some(original) => original.value,
                    None => return Ok(None),
                }
            }
            (_, true) => return Ok(None),
        };
        let ours =
            |header: &Header| header.name.starts_with(ADDED) || header.name == REPLAY_OF || header.name == REPLAY_BY;
        let mut headers: Vec<Header> = record.headers.into_iter().filter(|header| !ours(header)).collect();
        headers.push(Header::text(REPLAY_OF, letter.root()));
        headers.push(Header::text(REPLAY_BY, by.to_owned()));
        // Its key says where it belongs; without one it goes where it came from. Its time is that of its return: the log is in order of time.
        let partition = record.key.is_none().then_some(record.position.partition);
        Ok(Some(NewRecord { key: record.key, partition, value, headers, timestamp: None }))
    }
}

/// From the first of `offsets`, which grow, as far as one read may go.
fn run(partition: i32, offsets: &[i64]) -> Stretch {
    let from = offsets.first().copied().unwrap_or(0);
    let near = offsets.iter().take_while(|&&offset| offset < from + ONE_READ);
    Stretch { partition, from, until: near.last().map_or(from, |last| last + 1) }
}

fn rest(partition: i32, held: Bounds, cursor: Option<&Cursor>) -> Stretch {
    let from = cursor.and_then(|cursor| cursor.offsets.get(usize::try_from(partition).ok()?).copied());
    Stretch { partition, from: from.unwrap_or(held.oldest).clamp(held.oldest, held.end), until: held.end }
}

/// A selection as the logs tell it.
fn described(selection: &Selection) -> serde_json::Value {
    match selection {
        Selection::Ids(ids) => json!({ "ids": ids }),
        Selection::Matching(filter, _) => json!({
            "reason": filter.reason,
            "tracking_number": filter.tracking_number,
            "from": filter.from,
            "to": filter.to,
        }),
    }
}
