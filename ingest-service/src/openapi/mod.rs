//! The description of the API: OpenAPI 3.1, made once when the edge starts.
//!
//! Nothing in it is written twice. The schemas of answers are derived from the types that are serialised. The schemas of bodies come out of
//! the readers that read them ([`shared::shipment::form::Form::describe`]), with the same limits. Errors are [`crate::error::Code`]s with their status and their
//! word. What is said of an operation besides stands in the file of its resource, and tests hold it against the router and against every
//! answer that any of them gets.

mod accounts;
mod carriers;
mod changes;
mod components;
mod dead_letters;
mod events;
mod header;
mod operation;
mod operator;
mod shipments;
mod shown;
mod ui;

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use self::components::Components;
use self::operation::Operation;
use crate::config::Config;
use crate::error;

pub(crate) use ui::{document, file, page};

/// What the API is about, in Markdown.
const ABOUT: &str = "Tracks shipments in real time. Sources report events; clients read where their shipments are.\n\n\
    An event that is answered 202 is in the log and is judged once; `GET /events/{event_id}` says what became of it. Times are RFC 3339 in UTC. \
    A member that is null counts as absent. Members may be added to answers: ignore those that you do not know.\n\n\
    Every error has one shape, `application/problem+json` (RFC 9457), and names all bad fields at once. A path that does not exist is answered 404, \
    a method that a path does not have 405 with `Allow`. Where the operator has given metrics and `/admin` a port of their own, \
    they are 404 here. Every GET has its HEAD, and every path answers OPTIONS with 204 and `Allow`.\n\n\
    A request may bring its `traceparent` along (W3C Trace Context): its answer goes on with that trace. One that takes no JSON (`Accept`) is answered \
    406 where the answer is JSON.";
/// The tags with what they hold, in the order of the page.
const TAGS: [(&str, &str); 7] = [
    ("shipments", "Registering and reading shipments."),
    ("events", "Reporting what happened, and reading what became of it."),
    ("changes", "Being told what changes: as it happens, or a page at a time."),
    ("carriers", "Scans in carriers' own words, and the vocabularies that read them."),
    ("dead letters", "What could not be processed, and what an operator does about it."),
    ("accounts", "Logging in, and who may."),
    ("operator", "For load balancers, dashboards and this page."),
];

/// The description as it is sent.
pub(crate) struct Document {
    json: Bytes,
    /// Its entity tag, which changes with it.
    tag: String,
}

impl Document {
    /// The description of an edge with these settings.
    pub(crate) fn new(config: &Config) -> Self {
        let json = serde_json::to_vec(&describe(config).0).expect("JSON");
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        Self { json: json.into(), tag }
    }
}

/// The schema of `T`, in place.
fn schema<T: JsonSchema>() -> Value {
    T::json_schema(&mut SchemaGenerator::new(SchemaSettings::draft2020_12())).to_value()
}

/// The description while it is made.
struct Book {
    generator: SchemaGenerator,
    bodies: Map<String, Value>,
    paths: Map<String, Value>,
    components: Components,
    /// Members that are explained and not there: a mistake, which a test finds.
    strangers: Vec<String>,
}

impl Book {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
            settings.contract = Contract::Serialize;
        });
        let (bodies, paths, components, strangers) = (Map::new(), Map::new(), Components::default(), Vec::new());
        Self { generator: settings.into_generator(), bodies, paths, components, strangers }
    }

    /// The schema of an answer: a reference to the component that it becomes.
    fn answer<T: JsonSchema + ?Sized>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// The schema of a body, which its reader gave, as a component; `meanings` explains its members.
    fn body(&mut self, name: &str, mut schema: Value, meanings: &[(&str, &str)]) -> Value {
        for (member, meaning) in meanings {
            match schema["properties"].get_mut(member) {
                Some(property) => property["description"] = json!(meaning),
                None => self.strangers.push(format!("{name}.{member}")),
            }
        }
        self.bodies.insert(name.to_owned(), schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn add(&mut self, operation: Operation) {
        let path = self.paths.entry(operation.path).or_insert_with(|| json!({}));
        let key = operation.key();
        path[key] = operation.into_value(&mut self.components);
    }
}

fn describe(config: &Config) -> (Value, Vec<String>) {
    let mut book = Book::new();
    book.answer::<error::Body<'_>>();
    shipments::describe(&mut book);
    events::describe(&mut book, config.max_batch);
    changes::describe(&mut book);
    carriers::describe(&mut book, config.max_batch);
    dead_letters::describe(&mut book);
    accounts::describe(&mut book);
    operator::describe(&mut book);
    let Book { mut generator, bodies, paths, components, strangers } = book;
    let Components { headers, examples } = components;
    let mut schemas = generator.take_definitions(true);
    schemas.extend(bodies);
    let tags = TAGS.map(|(name, description)| json!({"name": name, "description": description}));
    let bearer = json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The token of `POST /auth/login`, or an API key (`rk_…`)."});
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rastro",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}, {"url": "/v1", "description": "The same, under the number of its version."}],
        "tags": tags,
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {"schemas": schemas, "headers": headers, "examples": examples, "securitySchemes": {"bearer": bearer}},
    });
    (document, strangers)
}

#[cfg(test)]
mod tests {
    use shared::settings::Environment;

    use super::*;

    #[test]
    fn every_member_of_a_body_is_explained_and_no_other() {
        let config = Config::from_environment(&Environment::of(&[])).expect("defaults");
        let (document, strangers) = describe(&config);
        assert_eq!(strangers, Vec::<String>::new());
        let components = document["components"]["schemas"].as_object().expect("schemas");
        for name in [
            "Event",
            "Registration",
            "Scan",
            "RedriveRequest",
            "LogLevelChange",
            "Credentials",
            "NewUser",
            "UserChange",
            "NewApiKey",
        ] {
            let members = components[name]["properties"].as_object().expect("members");
            let silent: Vec<_> = members.iter().filter(|(_, schema)| schema["description"].is_null()).collect();
            assert!(!members.is_empty() && silent.is_empty(), "{name}: {silent:?}");
        }
    }

    #[test]
    fn the_description_is_the_same_each_time() {
        let config = Config::from_environment(&Environment::of(&[])).expect("defaults");
        assert_eq!(Document::new(&config).tag, Document::new(&config).tag);
    }
}
