//! `/admin/log-level`.

use serde_json::json;
use shared::operator_log::{Act, OperatorLog};

use crate::world::{ADMIN, CLIENT, DRIVER, World};

// contract: "what this instance logs"
// contract: "`{old,new,audited}`"
// contract: "`PUT /admin/log-level` | `{filter}`"
// contract: "the operator log has it"
#[tokio::test]
async fn an_admin_changes_what_is_logged_and_that_is_written_down() {
    let world = World::new().await;
    assert_eq!(world.get(ADMIN, "/admin/log-level").await.json(), json!({"filter": "info"}));
    let body = json!({"filter": "warn,ingest_service=debug"});
    let changed = world.change(ADMIN, "PUT", "/admin/log-level", &body).await;
    let new = changed.json()["new"].as_str().expect("a filter").to_owned();
    assert_eq!((changed.status.as_u16(), changed.json()), (200, json!({"old": "info", "new": new, "audited": true})));
    assert!(new.contains("warn") && new.contains("ingest_service=debug"), "{new}");
    assert_eq!(world.get(ADMIN, "/v1/admin/log-level").await.json(), json!({"filter": new}));
    let entries = world.operators.newest(Some(Act::LogLevelChanged), 10).await.expect("readable");
    assert_eq!(entries.iter().map(|entry| entry.by.as_str()).collect::<Vec<_>>(), [ADMIN]);
    let listed = world.get(ADMIN, "/admin/operator-log").await.json();
    assert_eq!(listed["data"][0]["act"], "log_level_changed", "{listed}");
}

// contract: "`PUT /admin/log-level` | admin"
// contract: "`GET /admin/log-level` | admin"
#[tokio::test]
async fn what_is_no_filter_is_named_and_nobody_but_an_admin_may_ask() {
    let world = World::new().await;
    for (body, field) in [
        (json!({"filter": "loud=loudly"}), "filter"),
        (json!({"filter": ""}), "filter"),
        (json!({}), "filter"),
        (json!({"filter": "debug", "for": "an hour"}), "for"),
    ] {
        let answer = world.change(ADMIN, "PUT", "/admin/log-level", &body).await;
        assert_eq!((answer.failure().0, answer.fields()[0].0.as_str()), (400, field), "{}", answer.text);
    }
    for caller in [CLIENT, DRIVER] {
        assert_eq!(world.get(caller, "/admin/log-level").await.failure().0, 403);
        let answer = world.change(caller, "PUT", "/admin/log-level", &json!({"filter": "trace"})).await;
        assert_eq!(answer.failure().0, 403);
    }
    assert_eq!(world.get(ADMIN, "/admin/log-level").await.json(), json!({"filter": "info"}));
    assert!(world.operators.newest(None, 10).await.expect("readable").is_empty());
}
