//! The description of the API, and the page that shows it. That every answer is as described is held by every test of every answer
//! (`described.rs`).

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use crate::world::{ADMIN, Announce, Answer, World};

async fn ask(world: &World, method: &str, path: &str) -> Answer {
    world.send(Request::builder().method(method).uri(path).body(Body::empty()).expect("well-formed")).await
}

async fn document(world: &World) -> Value {
    ask(world, "GET", "/openapi.json").await.json()
}

/// All operations: method, path, and what is said of them.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let each = paths.iter().flat_map(|(path, operations)| {
        let operations = operations.as_object().expect("operations");
        operations.iter().map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    });
    each.collect()
}

// contract: "OpenAPI 3.1 generated from the code"
#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let world = World::new().await;
    let document = document(&world).await;
    let described: BTreeSet<_> = document["paths"].as_object().expect("paths").keys().cloned().collect();
    assert_eq!(described, ingest_service::paths().map(str::to_owned).collect::<BTreeSet<_>>());
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for server in document["servers"].as_array().expect("servers") {
            let prefix = server["url"].as_str().expect("a path").trim_end_matches('/');
            let answer = ask(&world, "PROPFIND", &format!("{prefix}{}", path.replace(['{', '}'], ""))).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{prefix}{path}");
            // HEAD comes with GET, and is no operation of its own.
            let allowed = answer.header("allow").unwrap_or_default().split(',').map(str::to_ascii_lowercase);
            let allowed: BTreeSet<_> = allowed.filter(|method| method != "head").collect();
            let described: BTreeSet<_> = operations.as_object().expect("operations").keys().cloned().collect();
            assert_eq!(allowed, described, "{prefix}{path}");
        }
    }
}

#[tokio::test]
async fn no_parameter_is_described_as_taking_a_nul_which_is_refused() {
    let world = World::new().await;
    let document = document(&world).await;
    for (method, path, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|it| it["in"] == "query") {
            let (name, schema) = (parameter["name"].as_str().expect("a name"), &parameter["schema"]);
            // A format is a word to us, and no rule to a validator.
            let has_format = schema.get("format").is_some();
            let schema = json!({"components": document["components"], "allOf": [schema]});
            let allows = jsonschema::is_valid(&schema, &json!("\0")) && !has_format;
            assert!(!allows, "{method} {path}: {name} may be described as any text, and NUL is refused");
        }
    }
}

#[tokio::test]
async fn every_operation_says_whether_it_refuses_who_takes_no_json() {
    let world = World::new().await;
    let document = document(&world).await;
    for (method, path, operation) in operations(&document) {
        let request = Request::builder().method(method.to_ascii_uppercase().as_str()).uri(fill(path, operation));
        let request = request.header("accept", "text/html").header("authorization", world.bearer(ADMIN).await);
        let answer = world.send(request.body(Body::empty()).expect("well-formed")).await;
        let described = operation["responses"]["406"].is_object();
        assert_eq!(answer.status == StatusCode::NOT_ACCEPTABLE, described, "{method} {path}: {}", answer.status);
    }
}

#[tokio::test]
async fn every_operation_says_whether_it_is_limited() {
    let settings = [("RATE_LIMIT_READS", "1/h:1"), ("RATE_LIMIT_WRITES", "1/h:1"), ("RATE_LIMIT_EVENTS", "1/h:20")];
    let document = document(&World::new().await).await;
    for (method, path, operation) in operations(&document) {
        let world = World::set(&settings).await;
        let mut refused = 0;
        // Nobody says who he is, so each request is one of an address.
        for _ in 0..21 {
            let answer = ask(&world, &method.to_ascii_uppercase(), &fill(path, operation)).await;
            refused += usize::from(answer.failure() == (429, "RATE_LIMITED".to_owned()));
        }
        let problem = &operation["responses"]["429"]["content"]["application/problem+json"]["schema"];
        let words = problem["properties"]["error"]["enum"].as_array().cloned().unwrap_or_default();
        assert_eq!(refused > 0, words.contains(&json!("RATE_LIMITED")), "{method} {path}: {refused}");
    }
}

// contract: "(UI), `/swagger/doc.json` = `/openapi.json`"
// contract: "`GET /swagger` | public"
#[tokio::test]
async fn the_description_is_served_at_all_its_paths_and_once_only_to_who_has_it() {
    let world = World::new().await;
    let first = ask(&world, "GET", "/openapi.json").await;
    assert_eq!(first.json()["openapi"], "3.1.0");
    for path in ["/swagger/doc.json", "/v1/openapi.json", "/v1/swagger/doc.json"] {
        assert_eq!(ask(&world, "GET", path).await.text, first.text, "{path}");
    }
    let tag = first.header("etag").expect("a tag").to_owned();
    let request = Request::get("/openapi.json").header("if-none-match", format!("\"other\", W/{tag}"));
    let again = world.send(request.body(Body::empty()).expect("well-formed")).await;
    assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
}

// contract: "`GET /swagger` | works offline"
#[tokio::test]
async fn the_page_loads_nothing_from_other_hosts() {
    let world = World::new().await;
    for prefix in ["", "/v1"] {
        let page = ask(&world, "GET", &format!("{prefix}/swagger")).await;
        assert_eq!(page.status, StatusCode::OK);
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("http"), "{policy}");
        assert!(!page.text.contains("//"), "{}", page.text);
        let names = page.text.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
        let names: Vec<_> = names.collect();
        assert_eq!(names.len(), 3, "{}", page.text);
        for name in names {
            let (status, headers, bytes) = world.bytes(&format!("{prefix}/{name}")).await;
            assert_eq!(status, StatusCode::OK, "{name}");
            let packed = headers.get("content-encoding").is_some();
            assert_eq!(packed, bytes.starts_with(&[0x1F, 0x8B]), "{name}");
            assert!(bytes.len() > 200, "{name}");
        }
    }
    let moved = ask(&world, "GET", "/swagger/index.html").await;
    assert_eq!((moved.status, moved.header("location")), (StatusCode::PERMANENT_REDIRECT, Some("../swagger")));
    assert_eq!(ask(&world, "GET", "/swagger/other.js").await.failure(), (404, "NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn every_example_is_taken_by_the_service() {
    let world = World::new().await;
    let document = document(&world).await;
    let _processor = world.processor(Announce::Yes);
    let mut sent = 0;
    for (method, path, operation) in operations(&document) {
        let filled = fill(path, operation);
        for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            for (name, example) in content["examples"].as_object().expect("examples") {
                let body = example["value"].to_string();
                world.described().assert_valid(&format!("{path} {name}"), &content["schema"], &example["value"]);
                let answer = send(&world, method, &filled, media, body).await;
                assert!(answer.status.is_success(), "{method} {path} {name}: {}", answer.text);
                sent += 1;
            }
        }
    }
    assert!(sent >= 8, "{sent}");
}

#[tokio::test]
async fn every_example_of_an_answer_an_error_and_a_header_is_one() {
    let world = World::new().await;
    let document = document(&world).await;
    let mut answers = 0;
    for (method, path, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let Some(content) = response["content"].get("application/json") else { continue };
            let place = format!("{method} {path} {status}");
            if content["schema"] == json!({"type": "object"}) {
                continue; // the description of the description
            }
            assert!(!content["example"].is_null(), "{place} has no example");
            world.described().assert_valid(&place, &content["schema"], &content["example"]);
            answers += 1;
        }
    }
    assert!(answers >= 20, "{answers}");
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    let errors = document["components"]["examples"].as_object().expect("examples");
    for (name, example) in errors {
        world.described().assert_valid(name, &problem, &example["value"]);
    }
    assert!(errors.len() >= 20, "{}", errors.len());
    for (name, header) in document["components"]["headers"].as_object().expect("headers") {
        world.described().assert_valid(name, &header["schema"], &header["example"]);
    }
}

#[tokio::test]
async fn every_example_of_a_parameter_is_taken_by_the_service() {
    let world = World::new().await;
    let document = document(&world).await;
    let mut tried = 0;
    for (method, path, operation) in operations(&document) {
        let mut request = Request::builder().method(method.to_ascii_uppercase().as_str());
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, example) = (parameter["name"].as_str().expect("a name"), &parameter["schema"]["examples"][0]);
            match (parameter["in"].as_str().expect("a place"), example) {
                ("query", Value::Null) => assert_eq!(name, "cursor", "a page before gives it out"),
                ("query", Value::String(text)) => drop(pairs.append_pair(name, text)),
                ("query", other) => drop(pairs.append_pair(name, &other.to_string())),
                ("header", text) => request = request.header(name, text.as_str().expect("text")),
                _ => continue, // a part of the path
            }
            tried += 1;
        }
        if operation["requestBody"].is_object() {
            continue; // sent with its body, below
        }
        let uri = format!("{}?{}", fill(path, operation), pairs.finish());
        let request = request.uri(uri).header("authorization", world.bearer(ADMIN).await);
        let answer = world.send(request.body(Body::empty()).expect("well-formed")).await;
        assert!(![400, 422].contains(&answer.status.as_u16()), "{method} {path}: {}", answer.text);
    }
    assert!(tried >= 20, "{tried}");
}

/// Sends a body as the admin.
async fn send(world: &World, method: &str, path: &str, media: &str, body: String) -> Answer {
    let method = method.to_ascii_uppercase();
    let request = Request::builder().method(method.as_str()).uri(path).header("content-type", media);
    let request = request.header("authorization", world.bearer(ADMIN).await);
    world.send(request.body(Body::from(body)).expect("well-formed")).await
}

/// `path` with the examples of its parts.
fn fill(path: &str, operation: &Value) -> String {
    let parts = operation["parameters"].as_array().into_iter().flatten().filter(|part| part["in"] == "path");
    parts.fold(path.to_owned(), |path, part| {
        let name = format!("{{{}}}", part["name"].as_str().expect("a name"));
        path.replace(&name, part["example"].as_str().expect("an example"))
    })
}

/// What one body is, with an example of it.
struct Bodies {
    method: String,
    path: String,
    schema: Value,
    example: Value,
}

/// The first example of every body that is one object.
fn bodies(document: &Value) -> Vec<Bodies> {
    let of = |(method, path, operation): (&str, &str, &Value)| {
        let content = &operation["requestBody"]["content"]["application/json"];
        let name = content["schema"]["$ref"].as_str()?.rsplit('/').next()?.to_owned();
        let example = content["examples"].as_object()?.values().next()?["value"].clone();
        Some(Bodies {
            method: method.to_owned(),
            path: fill(path, operation),
            schema: document["components"]["schemas"][name].clone(),
            example,
        })
    };
    operations(document).into_iter().filter_map(of).collect()
}

/// Values of a member: those that must be taken, and those that must be refused.
fn values(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    let (mut good, mut bad) = (Vec::new(), vec![json!([1])]);
    let filler = |length: u64| json!("a".repeat(usize::try_from(length).expect("small")));
    let is_plain =
        ["pattern", "maxLength"].iter().all(|keyword| schema[keyword].is_string() || schema[keyword].is_u64());
    if let (Some(most), true) = (schema["maxLength"].as_u64(), is_plain) {
        good.extend([filler(most), filler(schema["minLength"].as_u64().unwrap_or(1))]);
        bad.extend([
            filler(most + 1),
            filler(schema["minLength"].as_u64().unwrap_or(1) - 1),
            json!(" "),
            json!("a\u{0}b"),
        ]);
    }
    for (keyword, step) in
        [("minimum", -0.001), ("maximum", 0.001), ("exclusiveMinimum", 0.0), ("exclusiveMaximum", 0.0)]
    {
        let Some(bound) = schema[keyword].as_f64() else { continue };
        if step != 0.0 {
            good.push(json!(bound));
        }
        bad.push(json!(bound + step));
    }
    for word in schema["enum"].as_array().into_iter().flatten() {
        good.push(word.clone());
        bad.push(json!(format!("{word}x")));
    }
    if let Some(members) = schema["properties"].as_object() {
        bad.push(json!({"unheard_of": 1}));
        let examples: Map<_, _> = members
            .iter()
            .filter_map(|(name, schema)| {
                Some((name.clone(), values(schema).0.into_iter().find(|value| !value.is_null())?))
            })
            .collect();
        good.push(Value::Object(examples.clone()));
        for (name, schema) in members {
            for wrong in values(schema).1 {
                let mut object = examples.clone();
                object.insert(name.clone(), wrong);
                bad.push(Value::Object(object));
            }
        }
    }
    if let Some(most) = schema["maxProperties"].as_u64() {
        let longest = schema["propertyNames"]["maxLength"].as_u64().expect("a limit");
        let value = schema["additionalProperties"]["maxLength"].as_u64().expect("a limit");
        let pairs = |count: u64| (0..count).map(|pair| (format!("pair {pair}"), json!("x"))).collect::<Map<_, _>>();
        let one = |name: u64, value: u64| json!({"n".repeat(usize::try_from(name).expect("small")): filler(value)});
        good.extend([Value::Object(pairs(most)), one(longest, value), one(1, 0), json!({})]);
        bad.extend([
            Value::Object(pairs(most + 1)),
            one(longest + 1, 1),
            one(0, 1),
            one(1, value + 1),
            json!({"n": 1}),
        ]);
    }
    (good, bad)
}

/// The members that a refusal names, the outermost ones.
fn named(answer: &Answer) -> BTreeSet<String> {
    answer.fields().into_iter().map(|(field, _)| field.split('.').next().unwrap_or_default().to_owned()).collect()
}

// contract: "OpenAPI 3.1 generated from the code"
#[tokio::test]
async fn the_schema_of_a_body_and_its_reader_are_of_one_mind_about_every_member_and_every_limit() {
    let world = World::new().await;
    let document = document(&world).await;
    let _processor = world.processor(Announce::Yes);
    let mut tried = BTreeMap::new();
    for Bodies { method, path, schema, example } in bodies(&document) {
        let validator = world.described().validator(&schema);
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (member, described) in schema["properties"].as_object().expect("members") {
            let (good, bad) = values(described);
            let mut bodies: Vec<_> = [(good, true), (bad, false)]
                .into_iter()
                .flat_map(|(values, valid)| values.into_iter().map(move |value| (Some(value), valid)))
                .collect();
            let null = !required.iter().any(|required| *required == **member);
            // Whether one must be there depends on who asks, or on who the user is.
            if member != "client_id" {
                bodies.extend([(None, null), (Some(Value::Null), null)]);
            }
            for (value, valid) in bodies {
                let mut body = example.clone();
                match value {
                    Some(value) => body[member] = value,
                    None => drop(body.as_object_mut().expect("an object").remove(member)),
                }
                let answer = send(&world, &method, &path, "application/json", body.to_string()).await;
                let refused = named(&answer).contains(member);
                // Of two members that exclude each other, or need each other, the schema says more than of each alone.
                let whole = validator.is_valid(&body);
                assert!(
                    !(valid && whole && refused),
                    "{path} refuses {member}, which is described: {body}\n{}",
                    answer.text
                );
                assert!(valid || !whole, "{path}: {member} is described as valid: {body}");
                assert!(valid || refused, "{path} takes {member}, which is not described: {body}\n{}", answer.text);
                *tried.entry(path.clone()).or_insert(0) += 1;
            }
        }
        let mut body = example.clone();
        body["unheard_of"] = json!(1);
        assert!(!validator.is_valid(&body), "{path}");
        assert_eq!(
            named(&send(&world, &method, &path, "application/json", body.to_string()).await),
            BTreeSet::from(["unheard_of".to_owned()]),
            "{path}"
        );
    }
    assert!(tried.len() >= 4 && tried.values().all(|&count| count >= 8), "{tried:?}");
}

#[tokio::test]
async fn every_parameter_of_a_list_is_known_and_no_other() {
    let world = World::new().await;
    let document = document(&world).await;
    for (method, path, operation) in operations(&document) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let names: Vec<_> =
            parameters.filter(|one| one["in"] == "query").map(|one| one["name"].as_str().expect("a name")).collect();
        if names.is_empty() {
            continue;
        }
        assert_eq!(method, Method::GET.as_str().to_ascii_lowercase());
        let all: Vec<_> = names.iter().map(|name| format!("{name}=%21")).collect();
        let answer = world.get(ADMIN, &format!("{}?{}&unheard_of=1", fill(path, operation), all.join("&"))).await;
        let unknown: Vec<_> = answer.fields().into_iter().filter(|(_, code)| code == "unknown_field").collect();
        assert_eq!(unknown, [("unheard_of".to_owned(), "unknown_field".to_owned())], "{path}");
    }
}
