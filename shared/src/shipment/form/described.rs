//! What a reader asks for, as a JSON Schema (draft 2020-12): over a describing form a reader reads nothing and says what it would
//! read. So the description of a body comes out of the code that reads the body, with the same limits, and cannot say anything else.

use std::ops::{Bound, RangeBounds};

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::Form;

/// What a reader has asked for so far.
#[derive(Debug, Default)]
pub(super) struct Description {
    members: Map<String, Value>,
    required: Vec<String>,
    /// Of each group one member must be there: `oneOf`, or at least one: `anyOf`.
    groups: Vec<(&'static str, [&'static str; 2])>,
    /// What holds of the pairs of an object whose names are the caller's own.
    pairs: Option<Map<String, Value>>,
}

impl Form {
    /// The schema of what `read` reads: `read` is run once over a form that describes.
    #[must_use]
    pub fn describe<T>(read: impl FnOnce(&mut Form) -> T) -> Value {
        let description = Some(Box::default());
        let mut form = Form { object: Map::new(), path: String::new(), errors: Vec::new(), description };
        read(&mut form);
        form.description.map_or(Value::Null, |description| description.schema())
    }

    /// Whether the form describes, so that nothing is in it.
    pub(super) fn describes(&self) -> bool {
        self.description.is_some()
    }

    /// Says what `field` is.
    pub(super) fn tell(&mut self, field: &str, schema: impl FnOnce() -> Value) {
        if let Some(description) = &mut self.description {
            description.members.insert(field.to_owned(), schema());
        }
    }

    /// Says that `field` must be there.
    pub(super) fn tell_required(&mut self, field: &str) {
        if let Some(description) = &mut self.description {
            description.required.push(field.to_owned());
        }
    }

    /// Says that one of two members must be there; `rule` is `oneOf` or `anyOf`.
    pub(super) fn tell_group(&mut self, rule: &'static str, members: [&'static str; 2]) {
        if let Some(description) = &mut self.description {
            description.groups.push((rule, members));
        }
    }

    /// Says more about `field` than how it was read: what its reader asks for besides. `more` is an object of schema keywords; nothing is
    /// read or checked here.
    pub fn also(&mut self, field: &str, more: impl FnOnce() -> Value) {
        let Some(description) = &mut self.description else { return };
        if let (Some(Value::Object(schema)), Value::Object(more)) = (description.members.get_mut(field), more()) {
            schema.extend(more);
        }
    }

    /// Says what holds of the pairs that [`Form::take_rest`] takes: an object of schema keywords.
    pub fn tell_pairs(&mut self, pairs: impl FnOnce() -> Value) {
        let Some(description) = &mut self.description else { return };
        if let Value::Object(pairs) = pairs() {
            description.pairs = Some(pairs);
        }
    }
}

impl Description {
    fn schema(self) -> Value {
        let optional = |name: &String| !self.required.contains(name);
        let members = self.members.iter();
        let properties: Map<String, Value> = members
            .map(|(name, schema)| (name.clone(), if optional(name) { or_null(schema) } else { schema.clone() }))
            .collect();
        let mut schema = Map::from_iter([("type".to_owned(), json!("object"))]);
        match self.pairs {
            Some(pairs) => schema.extend(pairs),
            None => {
                schema.insert("properties".to_owned(), Value::Object(properties));
                schema.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), json!(self.required));
        }
        for (rule, [one, other]) in self.groups {
            let branch = |there: &str, absent: &str| {
                let mut properties = Map::from_iter([(there.to_owned(), self.members[there].clone())]);
                if rule == "oneOf" {
                    properties.insert(absent.to_owned(), json!({"type": "null"}));
                }
                json!({"required": [there], "properties": properties})
            };
            schema.insert(rule.to_owned(), json!([branch(one, other), branch(other, one)]));
        }
        Value::Object(schema)
    }
}

/// A form takes null for a member that is absent.
fn or_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(kind) = schema.get("type").cloned() {
        schema["type"] = json!([kind, "null"]);
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.push(Value::Null);
    }
    schema
}

/// A text of 1 to `longest` characters, of which one shows, and none is NUL.
pub(super) fn text(longest: usize) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": longest, "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"})
}

/// `[a-z0-9_-]`, 1 to `longest` characters.
pub(super) fn slug(longest: usize) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": longest, "pattern": "^[a-z0-9_-]+$"})
}

/// A number within `range`.
pub(super) fn number(range: &impl RangeBounds<f64>) -> Value {
    let mut schema = Map::from_iter([("type".to_owned(), json!("number"))]);
    let low = match range.start_bound() {
        Bound::Included(low) => Some(("minimum", low)),
        Bound::Excluded(low) => Some(("exclusiveMinimum", low)),
        Bound::Unbounded => None,
    };
    let high = match range.end_bound() {
        Bound::Included(high) => Some(("maximum", high)),
        Bound::Excluded(high) => Some(("exclusiveMaximum", high)),
        Bound::Unbounded => None,
    };
    schema.extend(low.into_iter().chain(high).map(|(keyword, bound)| (keyword.to_owned(), json!(bound))));
    Value::Object(schema)
}

/// What `T` says of itself.
pub(super) fn of<T: JsonSchema>() -> Value {
    T::json_schema(&mut SchemaGenerator::new(SchemaSettings::draft2020_12())).to_value()
}

#[cfg(test)]
mod tests {
    use super::super::UnknownFields;
    use super::*;

    fn read(form: &mut Form) {
        form.text("name", 10);
        form.number("weight", (Bound::Excluded(0.0), Bound::Included(9.5)));
        form.any_of(["code", "text"]);
        form.optional_slug("code", 5);
        form.also("code", || json!({"examples": ["a-1"]}));
        form.optional_flag("text");
        form.optional_object("inner", UnknownFields::Refuse, |inner| inner.timestamp("when"));
    }

    #[test]
    fn a_reader_says_all_that_it_reads_with_its_limits() {
        let schema = Form::describe(read);
        assert_eq!(schema["required"], json!(["name", "weight"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(
            (&schema["properties"]["name"]["maxLength"], &schema["properties"]["name"]["type"]),
            (&json!(10), &json!("string"))
        );
        assert_eq!(schema["properties"]["weight"], json!({"type": "number", "exclusiveMinimum": 0.0, "maximum": 9.5}));
        assert_eq!(schema["properties"]["code"]["type"], json!(["string", "null"]), "null is absent");
        assert_eq!(schema["properties"]["code"]["examples"], json!(["a-1"]));
        assert_eq!(schema["properties"]["inner"]["required"], json!(["when"]));
        assert_eq!(schema["anyOf"][1], json!({"required": ["text"], "properties": {"text": {"type": "boolean"}}}));
    }

    #[test]
    fn a_form_that_reads_describes_nothing() {
        let mut form = Form::of(json!({})).expect("an object");
        form.also("name", || panic!("nobody asked"));
        form.tell_pairs(|| panic!("nobody asked"));
    }
}
