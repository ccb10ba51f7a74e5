//! `/health`, `/livez`, `/readyz`, `/metrics`, `/admin/log-level`, and the description itself.

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::log_level::{Changed, Held};

use super::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, MOVED};
use super::operation::{Operation, part};
use super::shipments::if_none_match;
use super::{Book, ui};
use crate::error::Code;
use crate::health::{Healthy, Live, Ready};

pub(super) fn describe(book: &mut Book) {
    let (healthy, live, ready) = (book.answer::<Healthy>(), book.answer::<Live>(), book.answer::<Ready>());
    book.add(
        operation("/health", "getHealth", "Read how the service and what it depends on are")
            .text("Without the cache it is `degraded`, without the database or the log `unhealthy`.")
            .answers(StatusCode::OK, "`ok` or `degraded`.", healthy.clone(), &[])
            .such_as(health("degraded", "ok"))
            .answers(StatusCode::SERVICE_UNAVAILABLE, "`unhealthy`.", healthy, &[])
            .such_as(health("unhealthy", "unavailable")),
    );
    book.add(
        operation("/livez", "getLive", "Ask whether the process answers")
            .answers(StatusCode::OK, "It does.", live, &[])
            .such_as(json!({"status": "ok"})),
    );
    book.add(
        operation("/readyz", "getReady", "Ask whether events are accepted")
            .answers(StatusCode::OK, "They are; `reasons` says what is missing nevertheless.", ready.clone(), &[])
            .such_as(readiness("ready", "ok", json!([])))
            .answers(StatusCode::SERVICE_UNAVAILABLE, "They are not.", ready, &[])
            .such_as(readiness("not_ready", "unavailable", json!(["the log cannot be reached: nothing is accepted"]))),
    );
    book.add(operation("/metrics", "getMetrics", "Read the metrics").answers_with(
        StatusCode::OK,
        "Prometheus' text form.",
        Some((prometheus::TEXT_FORMAT, text())),
        &[],
    ));
    log_level(book);
    page(book);
}

fn log_level(book: &mut Book) {
    const FILTER: &str =
        "A level (`error`, `warn`, `info`, `debug`, `trace`), or a filter such as `info,shared=debug`.";
    let (held, changed) = (book.answer::<Held>(), book.answer::<Changed>());
    let body = book.body("LogLevelChange", shared::log_level::schema(), &[("filter", FILTER)]);
    book.add(
        Operation::get("/admin/log-level", "getLogLevel", "Read what this instance logs")
            .tag("operator")
            .text("For admins.")
            .answers(StatusCode::OK, "What holds now.", held, &[])
            .such_as(json!({"filter": "info"}))
            .refuses(&[Code::Forbidden]),
    );
    book.add(
        Operation::put("/admin/log-level", "changeLogLevel", "Change what this instance logs")
            .tag("operator")
            .text("For admins. It holds until it is changed again or the instance ends, and for this instance alone. The operator log has it.")
            .body(body, shared::log_level::BODY_BYTES, &[("more", json!({"filter": "info,shared=debug"}))])
            .answers(StatusCode::OK, "What held before, and what holds now.", changed, &[])
            .such_as(json!({"old": "info", "new": "shared=debug,info", "audited": true}))
            .refuses(&[Code::Forbidden]),
    );
}

fn page(book: &mut Book) {
    book.add(description("/openapi.json", "getDescription", "Read this description"));
    book.add(operation("/swagger", "getPage", "See this description").answers_with(
        StatusCode::OK,
        "A page; it loads nothing from other hosts.",
        Some(("text/html", text())),
        &[CACHE_CONTROL, CONTENT_SECURITY_POLICY],
    ));
    let names = json!({"type": "string", "enum": ui::names()});
    book.add(
        operation("/swagger/{file}", "getPageFile", "Read a file of the page")
            .takes(part(
                "file",
                "`doc.json` is the description again; `index.html` leads to the page.",
                names,
                "doc.json",
            ))
            .takes(if_none_match())
            .answers_with(
                StatusCode::OK,
                "The file; the `ETag` is that of `doc.json`.",
                Some(("*/*", json!({}))),
                &[CACHE_CONTROL, CONTENT_ENCODING, ETAG.sometimes()],
            )
            .answers_with(
                StatusCode::NOT_MODIFIED,
                "`doc.json` is the one with that `ETag`.",
                None,
                &[CACHE_CONTROL, ETAG],
            )
            .answers_with(StatusCode::PERMANENT_REDIRECT, "The page.", None, &[MOVED])
            .refuses(&[Code::NotFound]),
    );
}

fn operation(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::get(path, id, summary).for_operators()
}

fn description(path: &'static str, id: &str, summary: &str) -> Operation {
    operation(path, id, summary)
        .takes(if_none_match())
        .answers(StatusCode::OK, "OpenAPI 3.1.", json!({"type": "object"}), &[ETAG, CACHE_CONTROL])
        .answers_with(StatusCode::NOT_MODIFIED, "It is the one with that `ETag`.", None, &[ETAG, CACHE_CONTROL])
}

fn health(status: &str, event_queue: &str) -> Value {
    let checks = json!({"database": "ok", "cache": "unavailable", "event_queue": event_queue});
    json!({"status": status, "timestamp": "2025-02-12T16:30:02.123Z", "checks": checks})
}

fn readiness(status: &str, event_queue: &str, reasons: Value) -> Value {
    let checks = json!({"database": "ok", "cache": "ok", "event_queue": event_queue});
    json!({"status": status, "reasons": reasons, "checks": checks})
}

fn text() -> Value {
    json!({"type": "string"})
}
