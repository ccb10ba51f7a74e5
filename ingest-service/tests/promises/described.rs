//! Holds every answer of every test against the description of the API: its status must be there for that operation, with its headers and
//! its media type, and its body must be of the schema, without a member more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{Method, StatusCode, header};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::world::Answer;

/// The description, and the schemas that were asked for, compiled.
pub(crate) struct Described {
    document: Value,
    /// Its components, whose schemas let no member through that is not described.
    closed: Value,
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Described {
    pub(crate) fn new(document: Value) -> Self {
        let mut closed = document["components"].clone();
        for schema in closed["schemas"].as_object_mut().expect("schemas").values_mut() {
            close(schema);
        }
        Self { document, closed, compiled: Mutex::default() }
    }

    /// What a reference refers to, or what is there instead of one.
    fn component<'a>(&'a self, described: &'a Value) -> &'a Value {
        let referred = described["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        referred.map_or(described, |pointer| self.document.pointer(pointer).expect("the component is there"))
    }

    /// The template of the route that serves `path`.
    fn template(&self, path: &str) -> Option<&str> {
        let path = path.split('?').next().unwrap_or_default();
        let path = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let fits = |template: &&String| {
            let (mut ours, mut theirs) = (template.split('/'), path.split('/'));
            let alike =
                ours.by_ref().zip(theirs.by_ref()).all(|(ours, theirs)| ours.starts_with('{') || ours == theirs);
            alike && template.split('/').count() == path.split('/').count()
        };
        let paths = self.document["paths"].as_object().expect("paths");
        // A template without a variable part goes before one with it, as in the router.
        let mut fitting: Vec<_> = paths.keys().filter(fits).collect();
        fitting.sort_by_key(|template| template.contains('{'));
        fitting.first().map(|template| template.as_str())
    }

    /// # Panics
    /// The answer is not described.
    pub(crate) fn check(&self, method: &Method, path: &str, answer: &Answer) {
        let template = self.template(path);
        // A HEAD is the GET without its body.
        let described_as = if *method == Method::HEAD { Method::GET } else { method.clone() };
        let operation =
            template.map(|template| &self.document["paths"][template][described_as.as_str().to_ascii_lowercase()]);
        let Some(operation) = operation.filter(|operation| operation.is_object()) else {
            return check_where_nothing_is(method, path, template.is_some(), answer);
        };
        let place = format!("{method} {path} {}", answer.status.as_u16());
        let response = &operation["responses"][answer.status.as_str()];
        assert!(response.is_object(), "{place} is not described: {}", answer.text);
        self.check_headers(&place, response, answer);
        let media = answer.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let Some(content) = response["content"].as_object() else {
            return assert!(answer.text.is_empty(), "{place} has a body: {}", answer.text);
        };
        let essence = |media: &str| media.split(';').next().unwrap_or_default().to_owned();
        let fitting = content.iter().find(|(known, _)| *known == "*/*" || essence(known) == essence(media));
        let (_, content) = fitting.unwrap_or_else(|| panic!("{place} is of {media}, which is not described"));
        if media.ends_with("json") && *method != Method::HEAD {
            let body = answer.json();
            self.assert_valid(&place, &content["schema"], &body);
            if let Some(error) = body["error"].as_str() {
                let example = &self.component(&content["examples"][error])["value"];
                for member in ["error", "status", "status_code", "title", "type"] {
                    assert_eq!(body[member], example[member], "{place}: the example has another {member}");
                }
            }
        }
    }

    /// Every header that must be there is, and every one that is there is described; but for those of which OpenAPI says that they are not.
    fn check_headers(&self, place: &str, response: &Value, answer: &Answer) {
        let described = response["headers"].as_object().expect("every answer has headers");
        for (name, described) in described {
            let described = self.component(described);
            match answer.header(name) {
                Some(value) => self.assert_valid(&format!("{place} {name}"), &described["schema"], &json!(value)),
                None => assert!(described["required"] != true, "{place} has no {name}"),
            }
        }
        for name in answer.headers.keys().filter(|name| ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name))
        {
            let known = described.keys().any(|described| name.as_str().eq_ignore_ascii_case(described));
            assert!(known, "{place} has {name}, which is not described: {:?}", answer.headers);
        }
    }

    /// # Panics
    /// `value` is not of `schema`.
    pub(crate) fn assert_valid(&self, place: &str, schema: &Value, value: &Value) {
        let validator = self.validator(schema);
        let errors: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{place} is not as it is described: {errors:#?}\n{value:#}");
    }

    /// A validator of `schema`, which lets no member through that is not described.
    pub(crate) fn validator(&self, schema: &Value) -> Arc<Validator> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let mut whole = schema.clone();
            if schema.to_string().contains("$ref") {
                whole["components"] = self.closed.clone();
            }
            let options = jsonschema::options().should_validate_formats(true).build(&whole);
            Arc::new(options.expect("the description holds schemas"))
        };
        compiled.entry(schema.to_string()).or_insert_with(make).clone()
    }
}

/// What is said of all paths in the description's text.
fn check_where_nothing_is(method: &Method, path: &str, is_path: bool, answer: &Answer) {
    let expected = match (is_path, method) {
        (false, _) => StatusCode::NOT_FOUND,
        (true, &Method::OPTIONS) => StatusCode::NO_CONTENT,
        (true, _) => StatusCode::METHOD_NOT_ALLOWED,
    };
    let put_off = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
    let fits = answer.status == expected || put_off.contains(&answer.status);
    assert!(fits, "{method} {path} is not described, and answered {}", answer.status);
}

/// Forbids members that are not described, in `schema` and below. Callers have to ignore members that they do not know; a test must not.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            for (_, below) in keywords
                .iter_mut()
                .filter(|(keyword, _)| !["allOf", "anyOf", "oneOf", "if", "then"].contains(&keyword.as_str()))
            {
                close(below);
            }
            let is_object = keywords.get("type") == Some(&json!("object"));
            if is_object && !keywords.contains_key("additionalProperties") {
                keywords.insert("unevaluatedProperties".to_owned(), json!(false));
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(close),
        _ => {}
    }
}
