//! A pair as it runs at night: secrets in files, a second port for operators, and a log that says more when it is asked to.

use acceptance::client::Client;
use acceptance::platform::{Platform, Served};
use acceptance::sample::{parcel, report};
use acceptance::servers::Servers;
use acceptance::wait;
use serde_json::json;

use crate::PATIENCE;

/// Where a program says that its second port is.
fn admin_port(served: &Served) -> String {
    let log = served.program.log();
    let line = log.lines().find(|line| line.contains("listening")).expect("it says where it listens");
    let (_, behind) = line.split_once("admin=\"").unwrap_or_else(|| panic!("no second port: {line}"));
    let port = behind.split('"').next().and_then(|address| address.rsplit(':').next()).expect("an address");
    format!("http://127.0.0.1:{port}")
}

async fn has_logged(served: &Served, words: &str) {
    let what = format!("{} logs {words:?}", served.program.name());
    wait::until(&what, PATIENCE, async || served.program.log().contains(words).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_takes_its_secrets_from_files_and_is_operated_on_a_second_port() {
    let name = "a_pair_takes_its_secrets_from_files_and_is_operated_on_a_second_port";
    let Some(servers) = Servers::given(name) else { return };
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("{content}\n")).expect("a temporary file can be written");
        path.display().to_string()
    };
    let (mongo, redis) = (file("mongo", &servers.mongo_uri), file("redis", &servers.redis_addr));
    let secret = file("jwt", "9c1f0f6d2b7a4e58b3d6a1c07e94f2d85b6e3a70c4d1f928");
    let settings = [
        ("MONGO_URI", ""),
        ("MONGO_URI_FILE", mongo.as_str()),
        ("REDIS_ADDR", ""),
        ("REDIS_ADDR_FILE", redis.as_str()),
        ("JWT_SECRET_FILE", secret.as_str()),
        ("ADMIN_PORT", "0"),
        ("LOG_LEVEL", "warn,ingest_service=info,processor_service=info"),
    ];
    let platform = Platform::pair_with(&servers, 1, 1, &settings).await;
    let (edge, processor) = (&platform.edges[0], &platform.processors[0]);
    for served in [edge, processor] {
        let operators = Client::nobody(&admin_port(served));
        assert_eq!(served.nobody().get("/metrics").await.status, 404, "{}", served.program.name());
        let metrics = operators.get("/metrics").await;
        assert_eq!(metrics.status, 200);
        for metric in ["process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_open_fds "] {
            assert!(metrics.text.contains(metric), "{metric}: {}", metrics.text);
        }
        assert_eq!(metrics.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(operators.get("/readyz").await.status, 200);
    }

    // Nothing of a request or a batch is said at `warn`, and everything is from the moment on that somebody asks.
    let admin = platform.admin().await.before(&admin_port(edge));
    let quiet = admin.call("PUT", "/admin/log-level").json(&json!({"filter": "warn"})).send().await.with_status(200);
    assert_eq!((&quiet["new"], &quiet["audited"]), (&json!("warn"), &json!(true)));
    let operators = Client::nobody(&admin_port(processor));
    let quiet = operators.call("PUT", "/admin/log-level").json(&json!({"filter": "warn"})).send().await;
    assert_eq!(quiet.with_status(200)["audited"], true);
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    assert!(!edge.program.log().contains("path=/shipments "), "{}", edge.program.log());
    assert!(!processor.program.log().contains("a batch was applied"), "{}", processor.program.log());
    for (operator, old) in [(&admin, "warn"), (&operators, "warn")] {
        let changed = operator.call("PUT", "/admin/log-level").json(&json!({"filter": "info"})).send().await;
        assert_eq!(changed.with_status(200)["old"], old);
    }
    ana.report(&report(&number, "picked_up", 1)).await.with_status(200);
    has_logged(edge, "a request was answered path=/events status=200").await;
    has_logged(processor, "a batch was applied records=1 decided=1").await;
    let log = admin.get("/admin/operator-log").await.with_status(200);
    let acts = log["data"].as_array().expect("entries").iter().map(|entry| entry["act"].as_str().unwrap_or_default());
    assert_eq!(acts.filter(|act| *act == "log_level_changed").count(), 4, "{log}");
}
