//! The walk from the newest letters back, all partitions side by side.

use std::collections::VecDeque;

use serde::Serialize;

use super::cursor::Direction;
use super::{Cursor, DeadLetters, Filter, LOOKED_AT, Letter, Trouble};
use crate::event_log::{Bounds, Position, ReadFault, ReadLimit, Stretch, Topic};

/// Letters of one partition that are read at once: a page of them, so that a list without a filter reads once.
const CHUNK: i64 = 100;
/// Most bytes that are read at once. The largest record of a dozen partitions fits.
const CHUNK_BYTES: usize = 16 << 20;
/// How far apart the clocks of two processors may be: within a partition the letters of one owner follow those of another one, and so the
/// walk goes on for so long behind the first letter that is too old.
const CLOCKS_APART_MS: i64 = 5 * 60 * 1000;

/// A part of a list, the newest letters first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// The letters. There may be fewer than were asked for, or none, although there is a next page.
    pub data: Vec<Letter>,
    /// Where the next page begins.
    #[serde(skip)]
    pub next: Option<Cursor>,
}

/// A partition on the way back.
struct Head {
    partition: i32,
    oldest: i64,
    /// The offset before which the walk goes on.
    before: i64,
    /// Letters that were read and not looked at yet, the oldest first.
    read: VecDeque<Letter>,
}

impl Head {
    fn is_done(&self) -> bool {
        self.before <= self.oldest
    }

    fn wants(&self) -> bool {
        self.read.is_empty() && !self.is_done()
    }

    fn stretch(&self, size: i64) -> Stretch {
        Stretch { partition: self.partition, from: self.oldest.max(self.before - size), until: self.before }
    }
}

impl DeadLetters {
    /// At most `limit` letters that `filter` takes, the newest first, from `cursor` on.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub async fn list(&self, filter: &Filter, cursor: Option<&Cursor>, limit: usize) -> Result<Page, Trouble> {
        let bounds = self.reader.bounds_of(Topic::DeadLetters).await?;
        let mut heads: Vec<Head> =
            (0..).zip(&bounds).map(|(partition, bounds)| head(partition, *bounds, cursor)).collect();
        let too_old = filter.from.map(|from| from.as_millis().saturating_sub(CLOCKS_APART_MS));
        let (mut data, mut looked_at) = (Vec::new(), 0);
        while data.len() < limit && looked_at < LOOKED_AT {
            self.refill(&mut heads).await?;
            let newest = heads.iter_mut().filter(|head| !head.read.is_empty());
            let Some(head) = newest.max_by_key(|head| head.read.back().map(|letter| letter.buried_at)) else { break };
            let Some(letter) = head.read.pop_back() else { break };
            looked_at += 1;
            head.before = letter.id.0.offset;
            if too_old.is_some_and(|too_old| letter.buried_at.as_millis() < too_old) {
                head.before = head.oldest;
                head.read.clear();
            } else if filter.takes(&letter) {
                data.push(letter);
            }
        }
        let more = heads.iter().any(|head| !head.is_done());
        let offsets = || heads.iter().map(|head| head.before.max(head.oldest)).collect();
        let next = more.then(|| Cursor::new(Direction::Back, filter, offsets()));
        Ok(Page { data, next })
    }

    /// Reads on where nothing is left, so that the newest letter of each partition is known.
    async fn refill(&self, heads: &mut [Head]) -> Result<(), Trouble> {
        let mut size = CHUNK;
        while heads.iter().any(Head::wants) {
            let stretches: Vec<Stretch> =
                heads.iter().filter(|head| head.wants()).map(|head| head.stretch(size)).collect();
            let limit = ReadLimit { records: usize::MAX, bytes: CHUNK_BYTES };
            let piece = self.reader.read_topic(Topic::DeadLetters, &stretches, limit).await?;
            let mut letters = Letters::of(piece.records.iter().map(Letter::of));
            let mut none_was_whole = true;
            for (stretch, next) in stretches.iter().zip(&piece.next) {
                let Some(head) = heads.iter_mut().find(|head| head.partition == stretch.partition) else { continue };
                // A stretch that was cut off lacks its newest letters, which are the ones that are wanted.
                if next.offset < stretch.until {
                    continue;
                }
                none_was_whole = false;
                head.read = letters.take(stretch.partition);
                if head.read.is_empty() {
                    head.before = stretch.from; // offsets without a record
                }
            }
            if none_was_whole {
                if size == 1 {
                    return Err(ReadFault::Unavailable("not even one letter could be read in time".to_owned()).into());
                }
                size = (size / 4).max(1);
            }
        }
        Ok(())
    }
}

fn head(partition: i32, bounds: Bounds, cursor: Option<&Cursor>) -> Head {
    let at = cursor.map(|cursor| usize::try_from(partition).ok().and_then(|index| cursor.offsets.get(index).copied()));
    // A partition that the cursor does not know has been there for a shorter time than the walk.
    let before = at.map_or(bounds.end, |at| at.unwrap_or(bounds.oldest).min(bounds.end));
    Head { partition, oldest: bounds.oldest, before, read: VecDeque::new() }
}

/// Letters by their partition.
struct Letters(std::collections::HashMap<i32, VecDeque<Letter>>);

impl Letters {
    fn of(letters: impl Iterator<Item = Letter>) -> Self {
        let mut by_partition = std::collections::HashMap::<i32, VecDeque<Letter>>::new();
        for letter in letters {
            let Position { partition, .. } = letter.id.0;
            by_partition.entry(partition).or_default().push_back(letter);
        }
        Self(by_partition)
    }

    fn take(&mut self, partition: i32) -> VecDeque<Letter> {
        self.0.remove(&partition).unwrap_or_default()
    }
}
