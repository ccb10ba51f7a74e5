//! The three forms of a batch: `{"events":[…]}`, a bare array, and one JSON value a line.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use shared::shipment::FieldError;

use crate::error::{Code, FIELD_ERRORS, Problem};
use crate::json::{self, Faults, Refused};
use crate::request::{self, Media};

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
        json::parse(line).map_err(|refused| match refused {
            Refused::Malformed(error) => {
                let message = format!("is not JSON: {error}").replace("at line 1 column", "at column");
                vec![FieldError::new("", "malformed", message)]
            }
            Refused::Members(errors) => errors,
        })
    };
    // One more than allowed tells that there are too many; the rest need not be looked at.
    filled.take(most + 1).map(parse).collect()
}

fn document(body: &[u8], most: usize) -> Result<Vec<BatchItem>, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut broken = Faults::default();
    let form = Form { most, broken: &mut broken };
    let read = form.deserialize(&mut json).and_then(|document| json.end().map(|()| document));
    let Document { events, errors } = read.map_err(|error| {
        let field = if body.trim_ascii_start().starts_with(b"{") { "events" } else { "" };
        if error.is_data() {
            Problem::field(field, "wrong_type", error.to_string())
        } else {
            request::not_taken(broken.refusal(error))
        }
    })?;
    match events {
        Some(events) if errors.is_empty() => Ok(events),
        None if errors.is_empty() => Err(Problem::field("events", "required", "is required, or a bare array")),
        _ => Err(Problem::invalid(errors)),
    }
}

/// Reads the document once: an array, or an object that holds one.
struct Form<'a> {
    most: usize,
    /// Told where the parser gave up.
    broken: &'a mut Faults,
}

/// Reads an array, and keeps no more than `most + 1` of its elements.
struct Events<'a> {
    most: usize,
    broken: &'a mut Faults,
}

#[derive(Default)]
struct Document {
    events: Option<Vec<BatchItem>>,
    errors: Vec<FieldError>,
}

impl<'de> DeserializeSeed<'de> for Form<'_> {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Form<'_> {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of events, or an object that holds one")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Document, A::Error> {
        let events = Events { most: self.most, broken: self.broken }.visit_seq(sequence)?;
        Ok(Document { events: Some(events), errors: Vec::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut document = Document::default();
        while let Some(name) = map.next_key::<String>()? {
            let problem = match (name.as_str(), &document.events) {
                ("events", None) => {
                    let events = Events { most: self.most, broken: &mut *self.broken };
                    document.events = Some(map.next_value_seed(events)?);
                    continue;
                }
                ("events", Some(_)) => ("duplicate", "stands there twice"),
                _ => ("unknown_field", "is not a field of this body"),
            };
            map.next_value::<IgnoredAny>()?;
            if document.errors.len() < FIELD_ERRORS {
                document.errors.push(FieldError::new(name, problem.0, problem.1));
            }
        }
        Ok(document)
    }
}

impl<'de> DeserializeSeed<'de> for Events<'_> {
    type Value = Vec<BatchItem>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<BatchItem>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events<'_> {
    type Value = Vec<BatchItem>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<BatchItem>, A::Error> {
        let mut events = Vec::new();
        while events.len() <= self.most {
            let mut faults = Faults::default();
            match sequence.next_element_seed(faults.value()) {
                Ok(Some(event)) => events.push(faults.free(event)),
                Ok(None) => return Ok(events),
                Err(error) => {
                    faults.within(&format!("events[{}]", events.len()));
                    *self.broken = faults;
                    return Err(error);
                }
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
    fn an_item_that_says_something_twice_is_one_bad_item_in_each_form() {
        let (good, twice) = ("{\"a\":1}", "{\"a\":{\"b\":1,\"b\":2},\"c\":1,\"c\":2}");
        let forms = [
            (Media::Json, format!("{{\"events\":[{good},{twice},{good}]}}")),
            (Media::Json, format!("[{good},{twice},{good}]")),
            (Media::Lines, format!("{good}\n{twice}\n{good}")),
        ];
        for (media, body) in forms {
            let items = read(media, &body).expect("a batch");
            assert_eq!(items.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true], "{body}");
            let errors = items[1].as_ref().expect_err("twice");
            let found: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.code)).collect();
            assert_eq!(found, [("a.b", "duplicate"), ("c", "duplicate")], "{body}");
        }
    }

    #[test]
    fn a_number_that_nothing_can_hold_is_told_by_its_place() {
        for body in ["{\"events\":[{\"a\":1},{\"a\":[1,1e400]}]}", "[1,{\"a\":[1,1e400]}]"] {
            let problem = items(Media::Json, body.as_bytes(), 3).expect_err("out of range");
            assert_eq!(problem.code(), Code::ValidationError);
            assert!(problem.detail().starts_with("events[1].a[1]: "), "{}", problem.detail());
        }
        let problem = items(Media::Json, b"[1,1e400]", 3).expect_err("out of range");
        assert_eq!(problem.code(), Code::InvalidJson);
        assert_eq!(
            read(Media::Lines, "1\n{\"a\":1e400}").expect("lines").iter().filter(|item| item.is_err()).count(),
            1
        );
    }

    #[test]
    fn a_bad_line_is_one_bad_item() {
        let items = read(Media::Lines, "{\"a\":1}\n{\"b\":\n3").expect("lines");
        assert_eq!(items.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }
}
