//! One operation of the description: what it takes, what it answers, and every error that it may give.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use shared::idempotency::REMEMBERED;

use super::components::Components;
use super::header::{self, Header};
use crate::error::{Code, MEDIA_TYPE};
use crate::rate_limit::Class;
use crate::{idempotent, tracking_position};

/// What any request may be refused for, whatever it asks for: its head cannot be read or does not end, or we are not well.
const ANYWHERE: [Code; 5] = [
    Code::MalformedRequest,
    Code::RequestTimeout,
    Code::HeadersTooLarge,
    Code::InternalError,
    Code::ServiceUnavailable,
];

/// One operation.
pub(super) struct Operation {
    method: Method,
    pub(super) path: &'static str,
    /// Anybody may call it.
    is_public: bool,
    /// It answers JSON, and refuses who does not take that.
    is_json: bool,
    value: Map<String, Value>,
    parameters: Vec<Value>,
    answers: Vec<Answer>,
    /// Headers that any answer may have, an error too.
    of_any: Vec<Header>,
    refusals: BTreeMap<StatusCode, Vec<Code>>,
}

struct Answer {
    status: StatusCode,
    text: &'static str,
    /// The media type, the schema, and an example.
    content: Option<(&'static str, Value, Option<Value>)>,
    headers: Vec<Header>,
}

/// Examples of a body, by name.
type Examples<'a> = &'a [(&'a str, Value)];

/// A media type of a body, with the schema and examples of what is sent.
type Sent<'a> = (&'a str, Value, Examples<'a>);

/// A parameter with its schema.
pub(super) struct Parameter {
    place: &'static str,
    name: &'static str,
    text: String,
    schema: Value,
    example: Option<Value>,
}

/// A part of the path. `example` is one that the service can be asked for.
pub(super) fn part(name: &'static str, text: &str, schema: Value, example: &str) -> Parameter {
    Parameter { place: "path", name, text: text.to_owned(), schema, example: Some(json!(example)) }
}

/// A parameter of the query string, without an example. `query_string.rs` lets no NUL through, so what would be any text says so.
pub(super) fn query(name: &'static str, text: impl Into<String>, mut schema: Value) -> Parameter {
    let is_any_text =
        schema["type"] == "string" && ["enum", "format", "pattern"].iter().all(|word| schema.get(word).is_none());
    if is_any_text {
        schema["pattern"] = json!(r"^[^\u0000]*$");
    }
    Parameter { place: "query", name, text: text.into(), schema, example: None }
}

impl Parameter {
    /// The parameter with an example that the service takes.
    pub(super) fn such_as(self, example: impl Into<Value>) -> Self {
        Self { example: Some(example.into()), ..self }
    }
}

/// A header of the request.
pub(super) fn request_header(name: &'static str, text: impl Into<String>, schema: Value, example: &str) -> Parameter {
    Parameter { place: "header", name, text: text.into(), schema, example: Some(json!(example)) }
}

impl Operation {
    pub(super) fn get(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(Method::GET, path, id, summary)
    }

    pub(super) fn post(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(Method::POST, path, id, summary)
    }

    pub(super) fn put(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(Method::PUT, path, id, summary)
    }

    pub(super) fn patch(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(Method::PATCH, path, id, summary)
    }

    pub(super) fn delete(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(Method::DELETE, path, id, summary)
    }

    fn new(method: Method, path: &'static str, id: &str, summary: &str) -> Self {
        let value = Map::from_iter([("operationId".to_owned(), json!(id)), ("summary".to_owned(), json!(summary))]);
        let (parameters, answers, of_any, refusals) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        let operation =
            Self { method, path, is_public: false, is_json: true, value, parameters, answers, of_any, refusals };
        operation.refuses(&ANYWHERE)
    }

    /// Anybody may call it.
    pub(super) fn public(mut self) -> Self {
        self.is_public = true;
        self.value.insert("security".to_owned(), json!([]));
        self
    }

    /// Machines that watch us and people who read this call it: anybody may, whatever types he takes.
    pub(super) fn for_operators(mut self) -> Self {
        self.is_json = false;
        self.public().tag("operator")
    }

    /// Its method, as the description writes it.
    pub(super) fn key(&self) -> String {
        self.method.as_str().to_ascii_lowercase()
    }

    pub(super) fn tag(mut self, tag: &str) -> Self {
        self.value.insert("tags".to_owned(), json!([tag]));
        self
    }

    /// What a caller should know besides, in Markdown.
    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.value.insert("description".to_owned(), Value::String(text.into()));
        self
    }

    pub(super) fn takes(mut self, parameter: Parameter) -> Self {
        let Parameter { place, name, text, schema, example } = parameter;
        let mut value = json!({"in": place, "name": name, "description": text, "schema": schema});
        match place {
            "path" => value["required"] = json!(true),
            // One without a value counts as absent, as forms on pages send it.
            "query" => value["allowEmptyValue"] = json!(true),
            _ => {}
        }
        match example {
            Some(example) if place == "path" => value["example"] = example,
            // The page fills in the example of a parameter; whoever lists shipments there would filter by all examples at once.
            Some(example) => value["schema"]["examples"] = json!([example]),
            None => {}
        }
        self.parameters.push(value);
        match place {
            "header" => self,
            _ => self.refuses(&[Code::ValidationError]),
        }
    }

    /// A body of JSON, with examples by name.
    pub(super) fn body(self, schema: Value, limit: usize, examples: Examples<'_>) -> Self {
        self.bodies(&[("application/json", schema, examples)], limit)
    }

    /// A body of one of several media types, of at most `limit` bytes.
    pub(super) fn bodies(mut self, bodies: &[Sent<'_>], limit: usize) -> Self {
        let content: Map<String, Value> = bodies
            .iter()
            .map(|(media, schema, examples)| {
                let examples: Map<String, Value> =
                    examples.iter().map(|(name, value)| ((*name).to_owned(), json!({"value": value}))).collect();
                ((*media).to_owned(), json!({"schema": schema, "examples": examples}))
            })
            .collect();
        let text = format!("At most {limit} bytes.");
        self.value.insert("requestBody".to_owned(), json!({"required": true, "description": text, "content": content}));
        self.refuses(&[
            Code::InvalidJson,
            Code::ValidationError,
            Code::RequestTimeout,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
        ])
    }

    /// It may carry an `Idempotency-Key`.
    pub(super) fn once(self) -> Self {
        let hours = REMEMBERED.as_secs() / 3600;
        let text = format!(
            "Sent again with the same key within {hours} hours, the request is answered like the first time and done once. A key belongs to its caller."
        );
        let schema = json!({"type": "string", "pattern": idempotent::key_pattern()});
        let key = request_header(idempotent::IDEMPOTENCY_KEY, text, schema, "8e03978e-40d5-43dd-bc93-6894a57f9324");
        self.takes(key).refuses(&[Code::IdempotencyKeyInUse, Code::IdempotencyKeyReused])
    }

    /// It may bring a position of the log along, which its answer is to show.
    pub(super) fn awaits(mut self) -> Self {
        self.of_any.push(header::POSITION_APPLIED);
        let schema = json!({"type": "string", "pattern": tracking_position::pattern()});
        let text = "What an answer said in this header: everything up to there is shown, or `Tracking-Position-Applied` says that it is not.";
        self.takes(request_header("Tracking-Position", text, schema, "0:0")).refuses(&[Code::ValidationError])
    }

    /// An answer of JSON.
    pub(super) fn answers(self, status: StatusCode, text: &'static str, schema: Value, headers: &[Header]) -> Self {
        self.answers_with(status, text, Some(("application/json", schema)), headers)
    }

    /// An answer of another media type, or of nothing.
    pub(super) fn answers_with(
        mut self,
        status: StatusCode,
        text: &'static str,
        content: Option<(&'static str, Value)>,
        headers: &[Header],
    ) -> Self {
        let content = content.map(|(media, schema)| (media, schema, None));
        self.answers.push(Answer { status, text, content, headers: headers.to_vec() });
        self
    }

    /// An example of the answer that was described last.
    pub(super) fn such_as(mut self, example: Value) -> Self {
        if let Some(Answer { content: Some((_, _, shown)), .. }) = self.answers.last_mut() {
            *shown = Some(example);
        }
        self
    }

    /// Errors that it may give.
    pub(super) fn refuses(mut self, codes: &[Code]) -> Self {
        for &code in codes {
            let same = self.refusals.entry(code.status()).or_default();
            if !same.contains(&code) {
                same.push(code);
            }
        }
        self
    }

    /// The operation as OpenAPI writes it.
    pub(super) fn into_value(mut self, components: &mut Components) -> Value {
        if !self.is_public {
            self = self.refuses(&[Code::Unauthorized]);
        }
        if self.is_json {
            self = self.refuses(&[Code::NotAcceptable]);
        }
        if Class::of(&self.method, self.path).is_some() {
            self.of_any.extend(header::OF_LIMITS);
            self = self.refuses(&[Code::RateLimited]);
        }
        let mut responses = Map::new();
        for Answer { status, text, content, headers } in self.answers {
            let response = response(&mut responses, status, text);
            if let Some((media, schema, example)) = content {
                response["content"] = json!({media: {"schema": schema}});
                if let Some(example) = example {
                    response["content"][media]["example"] = example;
                }
            }
            refer(response, &headers, components);
        }
        for (status, codes) in self.refusals {
            let texts: Vec<_> = codes.iter().map(|code| format!("`{}`: {}.", code.word(), code.title())).collect();
            let response = response(&mut responses, status, &texts.join(" "));
            let words: Vec<_> = codes.iter().map(|code| code.word()).collect();
            let problem = json!({"$ref": "#/components/schemas/Problem", "properties": {"error": {"enum": words}}});
            let examples = codes.iter().map(|&code| (code.word().to_owned(), components.error(code)));
            let examples: Map<String, Value> = examples.collect();
            // Where an answer of another form has the same status, a header of errors is not in all of them.
            let is_shared = response["content"].is_object();
            response["content"][MEDIA_TYPE] = json!({"schema": problem, "examples": examples});
            let headers = header::of_errors(status).iter();
            let headers: Vec<_> = headers.map(|header| if is_shared { header.sometimes() } else { *header }).collect();
            refer(response, &headers, components);
        }
        for response in responses.values_mut() {
            refer(response, &self.of_any, components);
            refer(response, &[header::TRACEPARENT], components);
            refer(response, &header::OF_SECURITY, components);
        }
        self.value.insert("responses".to_owned(), Value::Object(responses));
        if !self.parameters.is_empty() {
            self.value.insert("parameters".to_owned(), Value::Array(self.parameters));
        }
        Value::Object(self.value)
    }
}

/// Says that a response has `headers`, those that it has not yet.
fn refer(response: &mut Value, headers: &[Header], components: &mut Components) {
    for header in headers {
        let known = &mut response["headers"][header.name];
        if known.is_null() {
            *known = components.header(header);
        }
    }
}

/// The response with `status`, with `text` added to what it says.
fn response<'a>(responses: &'a mut Map<String, Value>, status: StatusCode, text: &str) -> &'a mut Value {
    let response = responses.entry(status.as_str()).or_insert_with(|| json!({}));
    let said = response["description"].as_str().map(|said| format!("{said} ")).unwrap_or_default();
    response["description"] = json!(said + text);
    response
}
