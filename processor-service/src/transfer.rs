//! `export` and `import`: the log as lines of JSON, out and in.
//!
//! A line is a record: `{"partition", "offset", "timestamp", "key", "headers": [[name, value], …], "value"}`. Bytes that are no UTF-8 stand
//! as `{"base64": …}`, what is absent as `null`. An import appends with key, headers, value and time as they are; the position is the new
//! log's. Records that are there already come out as duplicates, so an import can be run again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::event_log::replay::{Offsets, Stretch};
use shared::event_log::{AppendError, Header, LogRecord, NewRecord, Offer, PartitionConsumer, Position, Topic};

use crate::progress::{Counter, Shown};
use crate::replayed::length;
use crate::tools::{Finished, ToolError, Tools};

/// Records that are appended at once.
const AT_ONCE: usize = 1_000;
/// Bytes that are appended at once, about.
const BYTES_AT_ONCE: usize = 4 << 20;
/// Longest line that is read: a record of 2 MiB as base64, twice for good measure.
const LINE_BYTES: u64 = 8 << 20;
/// How often an append that the log did not take is tried before the import gives up: with the pauses some two minutes.
const ATTEMPTS: u32 = 60;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// A piece of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Bytes { base64: String },
}

impl Piece {
    fn of(bytes: &Bytes) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { base64: STANDARD.encode(bytes) },
        }
    }

    fn bytes(self) -> Result<Bytes, base64::DecodeError> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Bytes { base64 } => Ok(STANDARD.decode(base64)?.into()),
        }
    }
}

/// A record as a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<Piece>,
    headers: Vec<(String, Option<Piece>)>,
    value: Option<Piece>,
}

impl Line {
    fn of(record: &LogRecord) -> Self {
        let header = |header: &Header| (header.name.to_string(), header.value.as_ref().map(Piece::of));
        Self {
            partition: record.position.partition,
            offset: record.position.offset,
            timestamp: record.timestamp,
            key: record.key.as_ref().map(Piece::of),
            headers: record.headers.iter().map(header).collect(),
            value: record.value.as_ref().map(Piece::of),
        }
    }

    fn record(self) -> Result<NewRecord, base64::DecodeError> {
        let bytes = |piece: Option<Piece>| piece.map(Piece::bytes).transpose();
        let header = |(name, value): (String, _)| Ok(Header { name: name.into(), value: bytes(value)? });
        Ok(NewRecord {
            // A record without a key keeps its partition, as far as there is one.
            partition: self.key.is_none().then_some(self.partition),
            key: bytes(self.key)?,
            value: bytes(self.value)?,
            headers: self.headers.into_iter().map(header).collect::<Result<_, _>>()?,
            timestamp: Some(self.timestamp),
        })
    }
}

/// Writes the log, as far as it reaches now, to `file` or standard output.
///
/// # Errors
/// The log failed, or what is written to did.
pub async fn export(file: Option<&Path>, tools: &Tools) -> Result<Finished, ToolError> {
    let held = tools.replay.held().await?;
    let stretch = Stretch { from: held.begin, to: held.end, commit: None };
    let name = file.map_or_else(|| "standard output".to_owned(), |file| file.display().to_string());
    let to: Box<dyn Write + Send> = match file {
        Some(file) => Box::new(File::create(file).map_err(|error| ToolError::File(name.clone(), error))?),
        None => Box::new(io::stdout()),
    };
    let shown = Shown::begin(tools.screen, "exporting", Some(length(&stretch)));
    let written = Written { to: BufWriter::new(to), durable: Offsets::new(), failed: None };
    let stop = tools.stop.child_token();
    let exporter = Arc::new(Exporter { written: Mutex::new(written), counter: shown.counter(), stop: stop.clone() });
    let (replay, consumer, ended) = (tools.replay.replay(stretch), exporter.clone(), stop.clone());
    let read = tokio::task::spawn_blocking(move || replay.run(&*consumer, &ended)).await;
    read.map_err(|error| ToolError::Refused(error.to_string()))??;
    let mut written = exporter.written();
    if let Some(error) = written.failed.take() {
        return Err(ToolError::File(name, error));
    }
    written.to.flush().map_err(|error| ToolError::File(name.clone(), error))?;
    if stop.is_cancelled() {
        return Err(ToolError::Stopped);
    }
    let text = format!("exported {} records to {name}", exporter.counter.read());
    // Lines of records and nothing else on standard output.
    if file.is_none() {
        tools.screen.say(&text);
        return Ok(Finished::saying(""));
    }
    Ok(Finished::saying(text))
}

struct Exporter {
    written: Mutex<Written>,
    counter: Arc<Counter>,
    stop: tokio_util::sync::CancellationToken,
}

struct Written {
    to: BufWriter<Box<dyn Write + Send>>,
    durable: Offsets,
    failed: Option<io::Error>,
}

impl Exporter {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartitionConsumer for Exporter {
    fn assigned(&self, _: &[i32]) {}

    fn offer(&self, record: LogRecord) -> Offer {
        let Position { partition, offset } = record.position;
        let mut written = self.written();
        if written.failed.is_none() {
            let line = serde_json::to_writer(&mut written.to, &Line::of(&record)).map_err(io::Error::from);
            if let Err(error) = line.and_then(|()| written.to.write_all(b"\n")) {
                written.failed = Some(error);
                self.stop.cancel();
            }
        }
        written.durable.insert(partition, offset + 1);
        self.counter.add();
        Offer::Taken
    }

    fn wait_for_room(&self, _: i32, _: Duration) -> bool {
        true
    }

    fn durable(&self) -> Vec<Position> {
        let durable = std::mem::take(&mut self.written().durable);
        durable.into_iter().map(|(partition, offset)| Position { partition, offset }).collect()
    }

    fn revoked(&self, _: &[i32]) {}

    fn lag(&self, _: i32, _: i64) {}

    fn alive(&self) {}
}

/// Appends the records of `file` to the log, in their order.
///
/// # Errors
/// A line is no record: it is named, and what stood before it is in the log. The log does not take a record.
pub async fn import(file: &Path, tools: &Tools) -> Result<Finished, ToolError> {
    let name = file.display().to_string();
    let failed = |error| ToolError::File(name.clone(), error);
    let opened = File::open(file).map_err(failed)?;
    let total = opened.metadata().map_err(failed)?.len();
    let mut lines = BufReader::new(opened);
    let shown = Shown::begin(tools.screen, "importing", None);
    tools.screen.say(&format!("importing {name} ({total} bytes)"));
    let counter = shown.counter();
    let (mut batch, mut bytes, mut number) = (Vec::new(), 0, 0_u64);
    loop {
        let mut line = Vec::new();
        let length = io::Read::take(&mut lines, LINE_BYTES).read_until(b'\n', &mut line).map_err(failed)?;
        let is_end = length == 0;
        if !is_end {
            number += 1;
            let refused = |why: String| {
                ToolError::Refused(format!("{name}, line {number}: {why}; all lines before it are imported"))
            };
            match read(&line) {
                Ok(Some(record)) => {
                    bytes += length;
                    batch.push(record);
                }
                Ok(None) => {}
                Err(why) => {
                    append(tools, std::mem::take(&mut batch), &counter).await?;
                    return Err(refused(why));
                }
            }
        }
        if is_end || batch.len() >= AT_ONCE || bytes >= BYTES_AT_ONCE {
            append(tools, std::mem::take(&mut batch), &counter).await?;
            bytes = 0;
        }
        if is_end {
            break;
        }
        if tools.stop.is_cancelled() {
            return Err(ToolError::Stopped);
        }
    }
    Ok(Finished::saying(format!(
        "imported {} records from {name}; those that were there already are duplicates",
        counter.read()
    )))
}

/// A line; `None` when it is empty.
fn read(line: &[u8]) -> Result<Option<NewRecord>, String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    if line.len() as u64 >= LINE_BYTES {
        return Err(format!("it has more than {LINE_BYTES} bytes"));
    }
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    line.record().map(Some).map_err(|error| error.to_string())
}

/// Appends records, and those again that the log did not take: some of them may stand there twice then, as duplicates.
async fn append(tools: &Tools, mut records: Vec<NewRecord>, counter: &Counter) -> Result<(), ToolError> {
    let mut attempts = 0;
    while !records.is_empty() {
        let appended = tools.log.append(Topic::Events, records.clone()).await;
        records.drain(..appended.positions.len());
        appended.positions.iter().for_each(|_| counter.add());
        match appended.refused {
            None => {}
            Some(AppendError::Refused(why)) => {
                return Err(ToolError::Refused(format!("the log refuses a record: {why}")));
            }
            Some(error) if attempts >= ATTEMPTS => return Err(ToolError::Refused(error.to_string())),
            Some(error) => {
                attempts += 1;
                tools.screen.say(&format!("{error}; trying again"));
                let paused = tools.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                paused.ok_or(ToolError::Stopped)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_byte_for_byte() {
        let record = LogRecord {
            position: Position { partition: 3, offset: 7 },
            key: Some(Bytes::from_static(b"99M-ABC12345")),
            value: Some(Bytes::from_static(b"\xff\x00{")),
            headers: vec![
                Header::text("ce_id", "evt_1"),
                Header { name: "none".into(), value: None },
                Header { name: "none".into(), value: Some(Bytes::from_static(b"\xfe")) },
            ],
            timestamp: 1_739_372_645_123,
        };
        let line = serde_json::to_vec(&Line::of(&record)).expect("serialises");
        let back = read(&line).expect("reads back").expect("is there");
        let expected = NewRecord {
            key: record.key.clone(),
            partition: None,
            value: record.value.clone(),
            headers: record.headers.clone(),
            timestamp: Some(record.timestamp),
        };
        assert_eq!(back, expected);
        let keyless = LogRecord { key: None, value: None, ..record };
        let line = serde_json::to_vec(&Line::of(&keyless)).expect("serialises");
        assert_eq!(read(&line).expect("reads back").and_then(|record| record.partition), Some(3));
        assert_eq!(read(b" \n"), Ok(None));
        assert!(read(b"{\"partition\": 1}").is_err());
    }
}
