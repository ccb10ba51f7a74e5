//! Programs that are told nonsense do not start, and say in one line which variable it is (contract section 7).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use acceptance::platform::Platform;
use acceptance::servers::Servers;
use acceptance::{binary, wait};
use serde_json::json;

/// Longest time until a program has said that it will not start.
const PATIENCE: Duration = Duration::from_secs(20);

async fn refuses(binary: &Path, directory: &Path, variable: &str, settings: &[(&str, &str)]) {
    let mut command = tokio::process::Command::from(Command::new(binary));
    command.env_clear().env("DATA_DIR", directory).env("PORT", "0").envs(settings.iter().copied()).kill_on_drop(true);
    let what = format!("{} with {settings:?}", binary.display());
    let ended = wait::within(&what, PATIENCE, command.output()).await.expect("it can be run");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout);
    assert!(!ended.status.success(), "{what} started: {said}");
    assert_eq!(said.lines().count(), 1, "{what}: {said}");
    assert!(said.contains(&format!("{variable}: ")), "{what}: {said}");
    assert!(!said.contains("hunter2"), "a secret is never shown: {said}");
}

/// Samplers are asked for only where spans are sent.
const TRACED: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");

/// What every program that has the edge in it refuses.
async fn edge_refuses(binary: PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    for (variable, settings) in [
        ("PORT", &[("PORT", "70000")] as &[_]),
        ("PORT", &[("PORT", "http")]),
        ("ENV", &[("ENV", "staging")]),
        ("MAX_BATCH", &[("MAX_BATCH", "0")]),
        ("RATE_LIMIT_EVENTS", &[("RATE_LIMIT_EVENTS", "fast")]),
        ("RATE_LIMIT_EVENTS", &[("RATE_LIMIT_EVENTS", "1000/s:10")]),
        ("RATE_LIMIT_READS", &[("RATE_LIMIT_READS", "0")]),
        ("RATE_LIMIT_WRITES", &[("RATE_LIMIT_WRITES", "10/d")]),
        ("DEDUP_TTL_SECONDS", &[("DEDUP_TTL_SECONDS", "an hour")]),
        ("TRANSITION_POLICY", &[("TRANSITION_POLICY", "lenient")]),
        ("ALLOW_CANCEL_IN_TRANSIT", &[("ALLOW_CANCEL_IN_TRANSIT", "maybe")]),
        ("PARK_SECONDS", &[("PARK_SECONDS", "-1")]),
        ("CARRIERS_DIR", &[("CARRIERS_DIR", "/nowhere/at/all")]),
        ("LOG_LEVEL", &[("LOG_LEVEL", "info,,=")]),
        ("JWT_SECRET", &[("ENV", "production")]),
        ("JWT_SECRET", &[("ENV", "production"), ("JWT_SECRET", "hunter2")]),
        ("JWT_SECRET", &[("ENV", "production"), ("JWT_SECRET", "hunter2hunter2hunter2hunter2hunter2hunter2")]),
        ("JWT_SECRET", &[("JWT_SECRET", "kid=a:hunter2,hunter2")]),
        ("LISTEN_ADDRESS", &[("LISTEN_ADDRESS", "everywhere")]),
        ("LISTEN_ADDRESS", &[("LISTEN_ADDRESS", "192.0.2.1")]),
        ("TRUSTED_PROXIES", &[("TRUSTED_PROXIES", "10.0.0.0/40")]),
        ("PROXY_HEADER", &[("PROXY_HEADER", "via")]),
        ("ADMIN_PORT", &[("ADMIN_PORT", "metrics")]),
        ("CONNECTIONS_PER_ADDRESS", &[("CONNECTIONS_PER_ADDRESS", "0")]),
        ("CORS_ALLOWED_ORIGINS", &[("CORS_ALLOWED_ORIGINS", "https://example.com/page")]),
        ("JWT_SECRET_FILE", &[("JWT_SECRET", "hunter2"), ("JWT_SECRET_FILE", "/run/secrets/jwt")]),
        ("JWT_SECRET_FILE", &[("JWT_SECRET_FILE", "/nowhere/at/all")]),
        ("OTEL_TRACES_SAMPLER", &[TRACED, ("OTEL_TRACES_SAMPLER", "sometimes")]),
        (
            "OTEL_TRACES_SAMPLER_ARG",
            &[TRACED, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")],
        ),
    ] {
        refuses(&binary, directory.path(), variable, settings).await;
    }
}

// contract: "A wrong value stops the start with one line"
// contract: "`ENV=production` refuses to start"
#[tokio::test]
async fn rastro_names_the_variable_that_is_wrong() {
    edge_refuses(binary::rastro()).await;
    let directory = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    refuses(&binary::rastro(), directory.path(), "DATA_DIR", &[]).await;
}

// contract: "A wrong value stops the start with one line"
// contract: "`ENV=production` refuses to start"
#[tokio::test]
async fn the_services_name_the_variable_that_is_wrong() {
    if Servers::given("the_services_name_the_variable_that_is_wrong").is_none() {
        return;
    }
    edge_refuses(binary::ingest_service()).await;
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    for binary in [binary::ingest_service(), binary::processor_service()] {
        for (variable, value) in [
            ("KAFKA_PARTITIONS", "0"),
            ("KAFKA_TOPIC", "shipments events"),
            ("MONGO_URI", "postgres://user:hunter2@localhost"),
            ("REDIS_ADDR", "nowhere:port"),
            ("REDIS_DB", "-1"),
            ("REDIS_ADDR", "rediss://redis:hunter2@redis:6379#insecure"),
            ("REDIS_TLS_CA_FILE", "/nowhere/at/all"),
            ("MONGO_URI_FILE", "/nowhere/at/all"),
        ] {
            refuses(&binary, directory.path(), variable, &[(variable, value)]).await;
        }
    }
    refuses(&binary::processor_service(), directory.path(), "LANES", &[("LANES", "0")]).await;
    let wrong = &[("DLQ_STORM_PERCENT", "100")];
    refuses(&binary::processor_service(), directory.path(), "DLQ_STORM_PERCENT", wrong).await;
    refuses(&binary::processor_service(), directory.path(), "TOPIC_EPOCH", &[("TOPIC_EPOCH", "zero")]).await;
}

/// Settings with which a platform runs in production on one broker.
const PRODUCTION: [(&str, &str); 3] = [
    ("ENV", "production"),
    ("JWT_SECRET", "9c1f0f6d2b7a4e58b3d6a1c07e94f2d85b6e3a70c4d1f928"),
    ("KAFKA_REPLICATION_FACTOR", "1"),
];

async fn nobody_may_log_in(platform: Platform) {
    for username in ["admin_user", "client_user_001", "driver_user_001"] {
        let login = json!({"username": username, "password": "password123"});
        platform.nobody().post("/auth/login", &login).await.problem(401, "UNAUTHORIZED");
    }
}

// contract: "Two users are seeded when"
#[tokio::test]
async fn production_has_no_user_whose_password_is_public() {
    nobody_may_log_in(Platform::embedded_with(&PRODUCTION).await).await;
}

// contract: "Two users are seeded when"
#[tokio::test]
async fn the_pair_in_production_has_no_user_whose_password_is_public() {
    let name = "the_pair_in_production_has_no_user_whose_password_is_public";
    let Some(servers) = Servers::given(name) else { return };
    nobody_may_log_in(Platform::pair_with(&servers, 1, 1, &PRODUCTION).await).await;
}
