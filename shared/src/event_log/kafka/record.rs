//! From our records to Kafka's and back.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{self, BorrowedHeaders, BorrowedMessage, Headers, OwnedHeaders};

use crate::event_log::{Header, LogRecord, Position};

/// Headers for librdkafka; `None` when there are none.
pub(super) fn headers(headers: &[Header]) -> Option<OwnedHeaders> {
    let add = |all: OwnedHeaders, header: &Header| {
        all.insert(message::Header { key: &header.name, value: header.value.as_deref() })
    };
    (!headers.is_empty()).then(|| headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), add))
}

/// A copy of a message: one piece of memory for its key, value and header values.
pub(crate) fn record(message: &BorrowedMessage<'_>) -> LogRecord {
    let headers = message.headers().map(header_parts).unwrap_or_default();
    let (key, value) = (message.key(), message.payload());
    let all = || [key, value].into_iter().chain(headers.iter().map(|(_, value)| *value)).flatten();
    let mut memory = Vec::with_capacity(all().map(<[u8]>::len).sum());
    all().for_each(|part| memory.extend_from_slice(part));
    let mut rest = Bytes::from(memory);
    // In the order in which they were put in.
    let mut take = |part: Option<&[u8]>| part.map(|part| rest.split_to(part.len()));
    LogRecord {
        position: Position { partition: message.partition(), offset: message.offset() },
        key: take(key),
        value: take(value),
        headers: headers.into_iter().map(|(name, value)| Header { name, value: take(value) }).collect(),
        timestamp: message.timestamp().to_millis().unwrap_or(0),
    }
}

type Part<'a> = (Cow<'static, str>, Option<&'a [u8]>);

fn header_parts(headers: &BorrowedHeaders) -> Vec<Part<'_>> {
    let part = |index| {
        let header = headers.get(index);
        (Header::name_of(header.key), header.value)
    };
    let all = || (0..headers.count()).map(part).collect();
    // rdkafka panics on a name that is not UTF-8. Any client may write one; it must not end the subscriber.
    catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(|_| {
        tracing::warn!("a record has a header whose name is not UTF-8; the header is left out");
        (0..headers.count()).filter_map(|index| catch_unwind(AssertUnwindSafe(|| part(index))).ok()).collect()
    })
}
