//! The three forms of a batch: `{"events":[…]}`, a bare array, and one JSON value a line.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use shared::shipment::FieldError;

use crate::error::{Code, FIELD_ERRORS, Problem};
use crate::request::{Media, not_json};

/// One item as it was sent: a JSON value, or why its line is none.
pub(crate) type BatchItem = Result<Value, Vec<FieldError>>;

/// The items of a batch, at least one and at most `most`.
///
/// # Errors
/// 415, or 400 when the body is none of the forms.
pub(crate) fn items(media: Media, body: &[u8], most: usize) -> Result<Vec<BatchItem>, Problem> {
    let items = match media {
        Media::Json => document(body, most)?,
        Media::Lines => lines(body, most),
        Media::Other => {
            let detail = "The body must be JSON or one JSON value a line: Content-Type: application/json or \
                          application/x-ndjson";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
    };
    match items.len() {
        0 => Err(Problem::field("events", "too_short", "must hold at least one event")),
        count if count > most => Err(Problem::field("events", "too_long", format!("must hold at most {most} events"))),
        _ => Ok(items),
    }
}

/// Whether a body that may be one item or many is many: one value a line, an array, or an object that holds `events`.
pub(crate) fn is_batch(media: Media, body: &[u8]) -> bool {
    match media {
        Media::Json if body.trim_ascii_start().starts_with(b"{") => {
            let mut json = serde_json::Deserializer::from_slice(body);
            json.deserialize_map(HoldsEvents).unwrap_or(false)
        }
        Media::Json => body.trim_ascii_start().starts_with(b"["),
        Media::Lines | Media::Other => true, // and `items` says what of it is wrong
    }
}

/// Looks for the member `events` and keeps nothing.
struct HoldsEvents;

impl<'de> Visitor<'de> for HoldsEvents {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut holds = false;
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            holds |= name == "events";
            map.next_value::<IgnoredAny>()?;
        }
        Ok(holds)
    }
}

fn lines(body: &[u8], most: usize) -> Vec<BatchItem> {
    let filled = body.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let parse = |line| {
        serde_json::from_slice(line).map_err(|error: serde_json::Error| {
            let message = format!("is not JSON: {error}");
            vec![FieldError::new("", "malformed", message.replace("at line 1 column", "at column"))]
        })
    };
    // One more than allowed tells that there are too many; the rest need not be looked at.
    filled.take(most + 1).map(parse).collect()
}

fn document(body: &[u8], most: usize) -> Result<Vec<BatchItem>, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Form { most }.deserialize(&mut json).and_then(|document| json.end().map(|()| document));
    let Document { events, errors } = read.map_err(|error| {
        let field = if body.trim_ascii_start().starts_with(b"{") { "events" } else { "" };
        if error.is_data() { Problem::field(field, "wrong_type", error.to_string()) } else { not_json(&error) }
    })?;
    match events {
        Some(events) if errors.is_empty() => Ok(events.into_iter().map(Ok).collect()),
        None if errors.is_empty() => Err(Problem::field("events", "required", "is required, or a bare array")),
        _ => Err(Problem::invalid(errors)),
    }
}

/// Reads the document once: an array, or an object that holds one.
#[derive(Clone, Copy)]
struct Form {
    most: usize,
}

/// Reads an array, and keeps no more than `most + 1` of its elements.
struct Events {
    most: usize,
}

#[derive(Default)]
struct Document {
    events: Option<Vec<Value>>,
    errors: Vec<FieldError>,
}

impl<'de> DeserializeSeed<'de> for Form {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Form {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of events, or an object that holds one")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Document, A::Error> {
        let events = Events { most: self.most }.visit_seq(sequence)?;
        Ok(Document { events: Some(events), errors: Vec::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut document = Document::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "events" && document.events.is_some() {
                return Err(A::Error::custom("it stands there twice"));
            } else if name == "events" {
                document.events = Some(map.next_value_seed(Events { most: self.most })?);
            } else {
                map.next_value::<IgnoredAny>()?;
                if document.errors.len() < FIELD_ERRORS {
                    document.errors.push(FieldError::new(name, "unknown_field", "is not a field of this body"));
                }
            }
        }
        Ok(document)
    }
}

impl<'de> DeserializeSeed<'de> for Events {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Value>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events {
    type Value = Vec<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<Value>, A::Error> {
        let mut events = Vec::new();
        while events.len() <= self.most {
            match sequence.next_element()? {
                Some(event) => events.push(event),
                None => return Ok(events),
            }
        }
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media: Media, body: &str) -> Result<Vec<BatchItem>, Code> {
        items(media, body.as_bytes(), 3).map_err(|problem| problem.code())
    }

    #[test]
    fn the_three_forms_are_one() {
        let expected = Ok(vec![Ok(serde_json::json!({"a": 1})), Ok(serde_json::json!({"b": 2}))]);
        assert_eq!(read(Media::Json, "{\"events\": [{\"a\":1},{\"b\":2}]}"), expected);
        assert_eq!(read(Media::Json, "[{\"a\":1},{\"b\":2}]"), expected);
        assert_eq!(read(Media::Lines, "{\"a\":1}\r\n\n  {\"b\":2}\n"), expected);
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for body in ["", "{", "[1,]", "[1] 2", "{\"events\":[1}", "nul"] {
            assert_eq!(read(Media::Json, body), Err(Code::InvalidJson), "{body}");
        }
        for body in
            ["null", "7", "\"[]\"", "{\"events\":7}", "{\"events\":[],\"events\":[]}", "{\"events\":{\"events\":[1]}}"]
        {
            assert_eq!(read(Media::Json, body), Err(Code::ValidationError), "{body}");
        }
        for body in ["[]", "{}", "{\"events\":[]}", "{\"events\":[1],\"evnets\":[]}", "[1,2,3,4]", "[1,2,3,4,5,6]"] {
            assert_eq!(read(Media::Json, body), Err(Code::ValidationError), "{body}");
        }
        assert_eq!(read(Media::Lines, " \n"), Err(Code::ValidationError));
        assert_eq!(read(Media::Lines, "1\n2\n3\n4"), Err(Code::ValidationError));
        assert_eq!(read(Media::Other, "[1]"), Err(Code::UnsupportedMediaType));
    }

    #[test]
    fn one_item_is_told_from_many() {
        let many = |media, body: &str| is_batch(media, body.as_bytes());
        for body in ["[]", " [1", "{\"events\": 7}", "{\"a\": {\"b\": [1]}, \"events\": []}"] {
            assert!(many(Media::Json, body), "{body}");
        }
        for body in ["", "{", "7", "null", "{\"event\": [1]}", "{\"a\": {\"events\": [1]}}", "{\"events\": [}"] {
            assert!(!many(Media::Json, body), "{body}");
        }
        assert!(many(Media::Lines, "{\"a\": 1}") && many(Media::Other, "{}"));
    }

    #[test]
    fn a_bad_line_is_one_bad_item() {
        let items = read(Media::Lines, "{\"a\":1}\n{\"b\":\n3").expect("lines");
        assert_eq!(items.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }
}
