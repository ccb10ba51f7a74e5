//! Reads a JSON object field by field and remembers everything that is wrong with it, so that a caller is told of
//! all bad fields at once. The edge and the processor read with the same forms: the edge refuses fields that it does
//! not know, the processor ignores them (contract sections 4 and 5). Every method also says what it reads, when a description is asked for
//! ([`Form::describe`]).

mod described;

use std::ops::{Bound, RangeBounds};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::described::Description;
use super::timestamp::Timestamp;

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldError {
    /// The path of the field, `recipient.email` for a nested one.
    pub field: String,
    /// A word for programs: `required`, `wrong_type`, `too_short`, `too_long`, `out_of_range`, `unknown_value`, `malformed`,
    /// `in_future`, `unknown_field`, `not_allowed`, `duplicate`.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl FieldError {
    /// What is wrong with `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

/// What to do with a field that no reader asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// Name it as an error: a caller who misspells an optional field must hear of it.
    Refuse,
    /// Let it be: a record may have been written by a newer version.
    Ignore,
}

/// A JSON object that is being read. A required field that is absent or wrong yields a placeholder; [`Form::finish`]
/// then fails, so the placeholder is never used.
#[derive(Debug)]
pub struct Form {
    object: Map<String, Value>,
    path: String,
    errors: Vec<FieldError>,
    /// What is asked for, when nothing is read and a description is made instead.
    description: Option<Box<Description>>,
}

impl Form {
    /// Begins to read `value`.
    ///
    /// # Errors
    /// `value` is no object.
    pub fn of(value: Value) -> Result<Self, Vec<FieldError>> {
        match value {
            Value::Object(object) => Ok(Self { object, path: String::new(), errors: Vec::new(), description: None }),
            other => {
                Err(vec![FieldError::new("", "wrong_type", format!("expected an object, got {}", name_of(&other)))])
            }
        }
    }

    /// Remembers that `field` is wrong.
    pub fn error(&mut self, field: &str, code: &'static str, message: impl Into<String>) {
        let path = format!("{}{field}", self.path);
        self.errors.push(FieldError::new(path, code, message));
    }

    /// Whether `field` is there and not null.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.object.get(field).is_some_and(|value| !value.is_null())
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.object.remove(field).filter(|value| !value.is_null())
    }

    /// Asks for `value`, which was read as that of an optional field and was `present` before that. The value again.
    pub fn required<T>(&mut self, field: &str, value: Option<T>, present: bool) -> Option<T> {
        self.tell_required(field);
        if !present {
            self.error(field, "required", "is required");
        }
        value
    }

    /// Asks for at least one of two members, which are then read as optional ones.
    pub fn any_of(&mut self, members: [&'static str; 2]) {
        self.tell_group("anyOf", members);
        self.one_at_least(members);
    }

    /// Asks for one of two members and not both, which are then read as optional ones; `not_both` is the sentence for a caller who sends
    /// both. Whether one of them is there, and only one.
    pub fn one_of(&mut self, members: [&'static str; 2], not_both: &str) -> bool {
        self.tell_group("oneOf", members);
        let both = members.iter().all(|member| self.has(member));
        if both {
            self.error(members[1], "not_allowed", not_both);
        }
        self.one_at_least(members) && !both
    }

    fn one_at_least(&mut self, members: [&'static str; 2]) -> bool {
        let there = members.iter().any(|member| self.has(member));
        if !there {
            self.error(members[0], "required", format!("is required, or {} instead of it", members[1]));
        }
        there
    }

    /// An optional text of 1 to `longest` characters.
    pub fn optional_text(&mut self, field: &str, longest: usize) -> Option<String> {
        self.tell(field, || described::text(longest));
        match self.take(field)? {
            Value::String(text) if text.trim().is_empty() => {
                self.error(field, "too_short", "must not be empty");
                None
            }
            Value::String(text) if text.len() > longest && text.chars().count() > longest => {
                self.error(field, "too_long", format!("must have at most {longest} characters"));
                None
            }
            Value::String(text) if text.contains('\0') => {
                self.error(field, "malformed", "must not contain a NUL character");
                None
            }
            Value::String(text) => Some(text),
            other => {
                self.error(field, "wrong_type", format!("expected text, got {}", name_of(&other)));
                None
            }
        }
    }

    /// A required text of 1 to `longest` characters.
    pub fn text(&mut self, field: &str, longest: usize) -> String {
        let present = self.has(field);
        let text = self.optional_text(field, longest);
        self.required(field, text, present).unwrap_or_default()
    }

    /// An optional slug: `[a-z0-9_-]`, 1 to `longest` characters.
    pub fn optional_slug(&mut self, field: &str, longest: usize) -> Option<String> {
        let text = self.optional_text(field, longest);
        self.tell(field, || described::slug(longest));
        let text = text?;
        if text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')) {
            return Some(text);
        }
        self.error(field, "malformed", "must consist of a-z, 0-9, _ and -");
        None
    }

    /// A required slug.
    pub fn slug(&mut self, field: &str, longest: usize) -> String {
        let present = self.has(field);
        let slug = self.optional_slug(field, longest);
        self.required(field, slug, present).unwrap_or_default()
    }

    /// An optional text that `parse` turns into a value; its error is the sentence for the caller.
    pub fn optional_parsed<T: JsonSchema, E: std::fmt::Display>(
        &mut self,
        field: &str,
        code: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.tell(field, described::of::<T>);
        self.take_parsed(field, code, parse)
    }

    fn take_parsed<T, E: std::fmt::Display>(
        &mut self,
        field: &str,
        code: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.take(field)? {
            Value::String(text) => match parse(&text) {
                Ok(value) => Some(value),
                Err(error) => {
                    self.error(field, code, error.to_string());
                    None
                }
            },
            other => {
                self.error(field, "wrong_type", format!("expected text, got {}", name_of(&other)));
                None
            }
        }
    }

    /// A required text that `parse` turns into a value. `None` only when an error has been remembered.
    pub fn parsed<T: JsonSchema, E: std::fmt::Display>(
        &mut self,
        field: &str,
        code: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let present = self.has(field);
        let value = self.optional_parsed(field, code, parse);
        self.required(field, value, present)
    }

    /// An optional word out of a closed list.
    pub fn optional_word<T: Copy>(&mut self, field: &str, all: &[T], word: fn(T) -> &'static str) -> Option<T> {
        let words = || all.iter().map(|&known| word(known)).collect::<Vec<_>>();
        self.tell(field, || json!({"type": "string", "enum": words()}));
        self.take_parsed(field, "unknown_value", |text| {
            let known = all.iter().copied().find(|&known| word(known) == text);
            known.ok_or_else(|| format!("must be one of {}", words().join(", ")))
        })
    }

    /// A required word out of a closed list. `None` only when an error has been remembered.
    pub fn word<T: Copy>(&mut self, field: &str, all: &[T], word: fn(T) -> &'static str) -> Option<T> {
        let present = self.has(field);
        let value = self.optional_word(field, all, word);
        self.required(field, value, present)
    }

    /// A required RFC 3339 time.
    pub fn timestamp(&mut self, field: &str) -> Timestamp {
        self.parsed(field, "malformed", parse_timestamp).unwrap_or_default()
    }

    /// An optional RFC 3339 time.
    pub fn optional_timestamp(&mut self, field: &str) -> Option<Timestamp> {
        self.optional_parsed(field, "malformed", parse_timestamp)
    }

    /// An optional whole number, at most `largest`.
    pub fn optional_integer(&mut self, field: &str, largest: u32) -> Option<u32> {
        self.tell(field, || json!({"type": "integer", "minimum": 0, "maximum": largest}));
        let value = self.take(field)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|&number| number <= largest);
        if number.is_none() {
            let code = if value.is_number() { "out_of_range" } else { "wrong_type" };
            self.error(field, code, format!("must be a whole number from 0 to {largest}"));
        }
        number
    }

    /// A required finite number within `range`.
    pub fn number(&mut self, field: &str, range: impl RangeBounds<f64>) -> f64 {
        self.tell(field, || described::number(&range));
        let value = self.take(field);
        let present = value.is_some();
        let Some(value) = self.required(field, value, present) else { return 0.0 };
        match value.as_f64().filter(|_| value.is_number()) {
            Some(number) if range.contains(&number) => number + 0.0, // -0 and 0 are one number
            Some(_) => {
                self.error(field, "out_of_range", format!("must be {}", words_for(&range)));
                0.0
            }
            None => {
                self.error(field, "wrong_type", format!("expected a number, got {}", name_of(&value)));
                0.0
            }
        }
    }

    /// An optional `true` or `false`.
    pub fn optional_flag(&mut self, field: &str) -> Option<bool> {
        self.tell(field, || json!({"type": "boolean"}));
        match self.take(field)? {
            Value::Bool(flag) => Some(flag),
            other => {
                self.error(field, "wrong_type", format!("expected true or false, got {}", name_of(&other)));
                None
            }
        }
    }

    /// An optional object, read by `read` with paths below `field`.
    pub fn optional_object<T>(
        &mut self,
        field: &str,
        unknown: UnknownFields,
        read: impl FnOnce(&mut Form) -> T,
    ) -> Option<T> {
        if self.describes() {
            let inner = Self::describe(read);
            self.tell(field, || inner);
            return None;
        }
        match self.take(field)? {
            Value::Object(object) => {
                let path = format!("{}{field}.", self.path);
                let mut inner = Form { object, path, errors: Vec::new(), description: None };
                let value = read(&mut inner);
                inner.refuse_rest(unknown);
                self.errors.append(&mut inner.errors);
                Some(value)
            }
            other => {
                self.error(field, "wrong_type", format!("expected an object, got {}", name_of(&other)));
                None
            }
        }
    }

    /// The names and values that are left, for an object whose names are the caller's own (`metadata`).
    pub fn take_rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.object)
    }

    fn refuse_rest(&mut self, unknown: UnknownFields) {
        if unknown == UnknownFields::Refuse {
            for field in self.take_rest().into_iter().map(|(name, _)| name) {
                self.error(&field, "unknown_field", "is not a field of this body");
            }
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Everything that was wrong, in the order in which it was read.
    pub fn finish(mut self, unknown: UnknownFields) -> Result<(), Vec<FieldError>> {
        self.refuse_rest(unknown);
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }
}

fn parse_timestamp(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text).map_err(|_| "must be an RFC 3339 time with an offset, such as 2026-01-31T15:04:05Z")
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn words_for(range: &impl RangeBounds<f64>) -> String {
    let low = match range.start_bound() {
        Bound::Included(low) => format!("at least {low}"),
        Bound::Excluded(low) => format!("greater than {low}"),
        Bound::Unbounded => String::new(),
    };
    let high = match range.end_bound() {
        Bound::Included(high) => format!("at most {high}"),
        Bound::Excluded(high) => format!("less than {high}"),
        Bound::Unbounded => String::new(),
    };
    if low.is_empty() || high.is_empty() { low + &high } else { format!("{low} and {high}") }
}

#[cfg(test)]
mod tests;
