//! JSON as callers send it. An object that has a name twice is refused: which of the two counts depends on who reads it, and a gateway
//! that checked the one would let the other through.

use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};
use shared::shipment::FieldError;

use crate::error::FIELD_ERRORS;

/// Longest path that is repeated to a caller, in bytes: no path of ours has 40, but a caller may nest names that are as long as a body.
const PATH_BYTES: usize = 200;

/// Why a text is not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is no JSON. The error says where, and repeats nothing of the text.
    Malformed(serde_json::Error),
    /// It is, with members that cannot be taken.
    Members(Vec<FieldError>),
}

/// The value that `text` holds.
///
/// # Errors
/// It is no JSON, has a name twice in one object, or a number that no number here can hold.
pub(crate) fn parse(text: &[u8]) -> Result<Value, Refused> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut faults = Faults::default();
    let read = faults.value().deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    match read {
        Ok(value) => faults.free(value).map_err(Refused::Members),
        Err(error) => Err(faults.refusal(error)),
    }
}

/// What was found wrong while a value was read.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    twice: Vec<FieldError>,
    /// Where the parser gave up.
    broke_at: Option<String>,
}

impl Faults {
    /// Reads a value, and remembers what is wrong with it.
    pub(crate) fn value(&mut self) -> Strict<'_> {
        Strict { path: &Path::Whole, faults: self }
    }

    /// `value`, when it has no name twice.
    ///
    /// # Errors
    /// Every name that stands there twice.
    pub(crate) fn free(self, value: Value) -> Result<Value, Vec<FieldError>> {
        if self.twice.is_empty() { Ok(value) } else { Err(self.twice) }
    }

    /// What the parser's `error` is to the caller.
    pub(crate) fn refusal(self, error: serde_json::Error) -> Refused {
        match self.broke_at {
            // The parser takes 1e400 for bad syntax, but it is a number, and the caller sees it under a name.
            Some(path) if error.to_string().starts_with("number out of range") => {
                let message = "is a number that is too large or too small to be held";
                Refused::Members(vec![FieldError::new(path, "out_of_range", message)])
            }
            _ => Refused::Malformed(error),
        }
    }

    /// Remembers that what was read stands within `outer`, such as `events[3]`.
    pub(crate) fn within(&mut self, outer: &str) {
        if let Some(path) = &mut self.broke_at {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            *path = format!("{outer}{dot}{path}");
        }
    }

    fn twice(&mut self, path: &Path<'_>) {
        if self.twice.len() >= FIELD_ERRORS {
            return;
        }
        let path = path.shown();
        if self.twice.last().is_none_or(|last| last.field != path) {
            self.twice.push(FieldError::new(path, "duplicate", "stands there twice"));
        }
    }

    fn broke_at(&mut self, path: &Path<'_>) {
        // The innermost comes first.
        self.broke_at.get_or_insert_with(|| path.shown());
    }
}

/// The way to a value, kept on the stack: nothing is written down unless something is wrong.
enum Path<'a> {
    Whole,
    Member(&'a Path<'a>, &'a str),
    Element(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn shown(&self) -> String {
        let mut shown = Bounded(String::new());
        if write!(shown, "{self}").is_err() {
            shown.0.push('…');
        }
        shown.0
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Member(Self::Whole, name) => formatter.write_str(name),
            Self::Member(outer, name) => write!(formatter, "{outer}.{name}"),
            Self::Element(outer, index) => write!(formatter, "{outer}[{index}]"),
        }
    }
}

/// A text that takes no more than [`PATH_BYTES`].
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = PATH_BYTES - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        Err(fmt::Error)
    }
}

/// Reads one value.
pub(crate) struct Strict<'a> {
    path: &'a Path<'a>,
    faults: &'a mut Faults,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let Self { path, faults } = self;
        let mut elements = Vec::new();
        loop {
            let inner = Path::Element(path, elements.len());
            match sequence.next_element_seed(Strict { path: &inner, faults: &mut *faults }) {
                Ok(Some(element)) => elements.push(element),
                Ok(None) => return Ok(Value::Array(elements)),
                Err(error) => {
                    faults.broke_at(&inner);
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Self { path, faults } = self;
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let inner = Path::Member(path, &name);
            let value = match map.next_value_seed(Strict { path: &inner, faults: &mut *faults }) {
                Ok(value) => value,
                Err(error) => {
                    faults.broke_at(&inner);
                    return Err(error);
                }
            };
            match object.entry(name) {
                Entry::Vacant(member) => {
                    member.insert(value);
                }
                Entry::Occupied(member) => faults.twice(&Path::Member(path, member.key())),
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The members that are refused, with why; `None` for what is no JSON.
    fn refused(text: &str) -> Option<Vec<(String, &'static str)>> {
        match parse(text.as_bytes()) {
            Ok(value) => panic!("{text} was taken: {value}"),
            Err(Refused::Malformed(_)) => None,
            Err(Refused::Members(errors)) => Some(errors.into_iter().map(|error| (error.field, error.code)).collect()),
        }
    }

    #[test]
    fn every_name_that_stands_there_twice_is_told_with_its_path() {
        let cases: [(&str, &[&str]); 8] = [
            (r#"{"a":1,"a":1}"#, &["a"]),
            (r#"{"a":1,"b":2,"\u0061":3}"#, &["a"]),
            (r#"{"a":1,"a":2,"a":3,"b":4,"b":5}"#, &["a", "b"]),
            (r#"{"recipient":{"name":"x","name":"y"},"z":1}"#, &["recipient.name"]),
            (r#"{"a":[0,{"b":{"c":1,"c":2}}]}"#, &["a[1].b.c"]),
            (r#"[{"a":1,"a":2},{"a":1},{"a":1,"a":2}]"#, &["[0].a", "[2].a"]),
            (r#"{"a":{"b":1,"b":2},"a":{"c":1}}"#, &["a.b", "a"]),
            (r#"{"":0,"":1}"#, &[""]),
        ];
        for (text, paths) in cases {
            let expected = paths.iter().map(|&path| (path.to_owned(), "duplicate")).collect();
            assert_eq!(refused(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_number_that_nothing_can_hold_is_told_by_its_name() {
        for (text, path) in [
            (r#"{"location":{"lat":1e400,"lng":1}}"#, "location.lat"),
            (r#"{"weight_kg":-1e400}"#, "weight_kg"),
            ("[0,[1,2e999]]", "[1][1]"),
            ("1e400", ""),
        ] {
            let expected = if path.is_empty() { None } else { Some(vec![(path.to_owned(), "out_of_range")]) };
            assert_eq!(refused(text), expected, "{text}");
        }
        let huge = format!("{{\"a\":{}}}", "9".repeat(400));
        assert_eq!(refused(&huge), Some(vec![("a".to_owned(), "out_of_range")]));
    }

    #[test]
    fn what_is_no_json_is_refused_as_that() {
        for text in
            ["", "{", "{\"a\":1,}", "nul", "1 2", "{\"a\":1}x", "\u{feff}{}", "{\"a\":\"\\ud800\"}", "[NaN]", "{1:2}"]
        {
            assert_eq!(refused(text), None, "{text}");
        }
        assert!(matches!(parse(b"{\"a\":\"\xff\"}"), Err(Refused::Malformed(_))));
        assert!(matches!(parse("[".repeat(100_000).as_bytes()), Err(Refused::Malformed(_))), "no stack is deep enough");
    }

    #[test]
    fn what_is_told_is_bounded_however_long_and_many_the_names_are() {
        let long = "é".repeat(100_000);
        let many: String = (0..5_000).map(|n| format!("\"n{n}\":0,\"n{n}\":1,")).collect();
        let Err(Refused::Members(errors)) = parse(format!("{{\"{long}\":{{{many}\"z\":0}}}}").as_bytes()) else {
            panic!("it was taken");
        };
        assert!(errors.len() <= FIELD_ERRORS);
        assert!(errors.iter().all(|error| error.field.len() < PATH_BYTES + 4 && error.field.ends_with('…')));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,3}", inner, 0..6).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// Numbers, escapes, everything: whatever has no name twice is the value that the library reads.
        #[test]
        fn all_other_json_is_read_as_the_library_reads_it(value in any_value()) {
            let text = value.to_string();
            let expected: Value = serde_json::from_str(&text).expect("its own text");
            prop_assert_eq!(parse(text.as_bytes()).expect("no name twice"), expected);
        }
    }
}
