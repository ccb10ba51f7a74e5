//! The projection is built anew and swapped under load, while tools and processors die, freeze and wake up.

use std::time::Duration;

use acceptance::client::{Client, text};
use acceptance::platform::{Pair, Platform};
use acceptance::sample::{parcel, report};
use acceptance::servers::Servers;
use acceptance::tool::Tool;
use acceptance::{binary, wait};
use mongodb::bson::{Document, doc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{SOME, hold_to_account, traffic, troubles};

/// Longest time until a phase is reached, or processors go on by themselves.
const REACHED: Duration = Duration::from_secs(60);
/// How often a reader reads.
const READ_EVERY: Duration = Duration::from_millis(10);

fn tool(pair: &Pair) -> Tool {
    Tool { binary: binary::processor_service(), environment: pair.environment.clone() }
}

async fn database(pair: &Pair) -> mongodb::Database {
    let client = mongodb::Client::with_uri_str(&pair.servers.mongo_uri).await.expect("a connection string");
    client.database(&pair.database)
}

/// The one document about generations.
async fn projection(database: &mongodb::Database) -> Document {
    let found = database.collection::<Document>("projection").find_one(doc! {}).await.expect("readable");
    found.unwrap_or_default()
}

/// A generation's number, whatever width BSON gave it.
fn generation(document: &Document, member: &str) -> Option<i64> {
    document.get_i64(member).ok().or_else(|| document.get_i32(member).ok().map(i64::from))
}

/// Reads one shipment again and again, before one edge after the other, until it is told to end: its version never goes back.
async fn never_goes_back(edges: Vec<Client>, number: String, stop: CancellationToken) -> (u64, i64) {
    let (mut reads, mut newest) = (0, 0);
    while !stop.is_cancelled() {
        for edge in &edges {
            let version = edge.shipment(&number).await["version"].as_i64().expect("a number");
            assert!(version >= newest, "a reader saw version {newest} of {number}, and then {version}");
            (reads, newest) = (reads + 1, version);
        }
        tokio::time::sleep(READ_EVERY).await;
    }
    (reads, newest)
}

/// Scans of one shipment, one after the other, until it is told to end.
async fn scans(client: Client, number: String, stop: CancellationToken) -> i64 {
    let mut second = 0;
    while !stop.is_cancelled() {
        second += 1;
        let event = acceptance::sample::scan(&number, "other", second);
        client.accepted(&event).await;
        tokio::time::sleep(READ_EVERY * 5).await;
    }
    second
}

/// Spoils a shipment's document, past the platform.
async fn spoil(database: &mongodb::Database, number: &str) {
    let change = doc! { "$set": { "state.current_status": "cancelled", "state.attempts": 9_i64 } };
    let shipments = database.collection::<Document>("shipments");
    let done = shipments.update_one(doc! { "_id": number }, change).await.expect("written");
    assert_eq!(done.modified_count, 1, "{number} is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_under_load_loses_doubles_and_reorders_nothing_and_no_reader_goes_back() {
    let name = "a_swap_under_load_loses_doubles_and_reorders_nothing_and_no_reader_goes_back";
    let Some(servers) = Servers::given(name) else { return };
    let platform = Platform::pair(&servers, 2, 2).await;
    let (pair, tool) = (platform.on_servers(), tool(platform.on_servers()));
    let database = database(pair).await;
    let (ana, _, traffic) = traffic(&platform).await;
    let (spoilt, watched) = (ana.register(&parcel()).await, ana.register(&parcel()).await);
    let picked_up = ana.accepted(&report(&spoilt, "picked_up", 1)).await;
    assert_eq!(ana.outcome(&picked_up).await["outcome"], "applied");
    spoil(&database, &spoilt).await;

    let stop = CancellationToken::new();
    let edges = platform.edges.iter().map(|edge| ana.before(&edge.url)).collect();
    let reader = tokio::spawn(never_goes_back(edges, watched.clone(), stop.clone()));
    let scanner = tokio::spawn(scans(ana.reconnected(), watched.clone(), stop.clone()));

    let shown = tool.says(1, &["rebuild", "--diff-only"]).await;
    for part in
        ["state.attempts: live 9, by the log 0", "state.current_status: live \"cancelled\", by the log \"picked_up\""]
    {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(tool.says(1, &["verify", "--tracking-number", &spoilt]).await.contains("1 differ"));
    assert!(tool.says(0, &["verify", "--tracking-number", &watched]).await.contains("no difference"));
    let swapped = tool.says(0, &["rebuild", "--swap"]).await;
    assert!(swapped.contains("is live since offsets"), "{swapped}");
    traffic.goes_on(SOME).await;
    assert_eq!(ana.shipment(&spoilt).await["current_status"], "picked_up", "it is right after the swap");
    let live = generation(&projection(&database).await, "live").expect("something was switched");
    assert!(database.list_collection_names().await.expect("readable").contains(&format!("shipments_g{live}")));
    assert_eq!(ana.shipment(&spoilt).await["attempts"], 0);

    stop.cancel();
    let (reads, newest) = reader.await.expect("a reader goes back, or fails");
    let scans = scanner.await.expect("no panic");
    assert!(reads > 100 && newest > 1, "{reads} reads up to version {newest}");
    let all_shown = async || (ana.shipment(&watched).await["version"] == scans + 1).then_some(());
    wait::until("each scan is shown once", REACHED, all_shown).await;

    let posters = traffic.end().await;
    assert_eq!(troubles(&posters), (0, 0), "callers notice nothing");
    hold_to_account(&platform, &posters, &[]).await;
    assert!(tool.says(0, &["verify"]).await.contains("no difference"));
    assert!(tool.says(0, &["rebuild", "gc"]).await.starts_with("dropped generations: 1"));
    let names = database.list_collection_names().await.expect("readable");
    assert!(!names.contains(&"shipments".to_owned()), "{names:?}");
    assert!(tool.says(0, &["verify", "--sample", "20"]).await.contains("no difference"), "the live one stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_tool_is_run_again_and_a_zombie_of_the_old_generation_does_no_harm() {
    let name = "a_killed_tool_is_run_again_and_a_zombie_of_the_old_generation_does_no_harm";
    let Some(servers) = Servers::given(name) else { return };
    let platform = Platform::pair(&servers, 1, 2).await;
    let (pair, tool) = (platform.on_servers(), tool(platform.on_servers()));
    let database = database(pair).await;
    let (ana, _, traffic) = traffic(&platform).await;
    let number = ana.register(&parcel()).await;

    // Dead while it builds, and dead while the processors stand still for it.
    for (phase, member) in [("building", "building"), ("standing still", "quiesce")] {
        let mut child = tool.begin(&["rebuild", "--swap"]);
        let reached = async || generation(&projection(&database).await, member);
        wait::until(phase, REACHED, reached).await;
        child.kill().await.expect("our own child can be killed");
    }
    assert_eq!(generation(&projection(&database).await, "live"), Some(1), "nothing was switched");
    // The processors go on by themselves.
    let applied = ana.accepted(&report(&number, "picked_up", 1)).await;
    assert_eq!(ana.outcome(&applied).await["outcome"], "applied");
    traffic.goes_on(SOME).await;

    // One processor sleeps through the swap.
    platform.processors[1].program.freeze();
    let swapped = tool.says(0, &["rebuild", "--swap"]).await;
    assert!(swapped.contains("generation 2 is live"), "what was begun is gone on with: {swapped}");
    platform.processors[1].program.thaw();
    traffic.goes_on(SOME).await;
    assert_eq!(text(&ana.shipment(&number).await, "current_status"), "picked_up");

    let back = tool.says(0, &["rebuild", "--rollback"]).await;
    assert!(back.contains("generation 1 is live again"), "{back}");
    traffic.goes_on(SOME).await;
    let posters = traffic.end().await;
    assert_eq!(troubles(&posters), (0, 0), "callers notice nothing");
    hold_to_account(&platform, &posters, &[]).await;
    assert!(tool.says(0, &["verify"]).await.contains("no difference"));
    assert!(tool.says(0, &["rebuild", "gc"]).await.starts_with("dropped generations: 2"));
    let refused = tool.says(2, &["rebuild", "--rollback"]).await;
    assert!(refused.contains("no generation is kept"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_file_is_rebuilt_swapped_and_rolled_back_by_the_same_commands() {
    if Servers::given("the_embedded_file_is_rebuilt_swapped_and_rolled_back_by_the_same_commands").is_none() {
        return;
    }
    let mut platform = Platform::embedded().await;
    let data = platform.data_directory();
    let of = |data: &std::path::Path| Tool {
        binary: binary::rastro(),
        environment: vec![("DATA_DIR".to_owned(), data.display().to_string())],
    };
    let tool = of(&data);
    let client = platform.client_001().await;
    let number = client.register(&parcel()).await;
    for (second, status) in (1..).zip(["picked_up", "in_warehouse", "delivered"]) {
        let event = client.accepted(&report(&number, status, second)).await;
        client.outcome(&event).await;
    }
    let before: Value = client.shipment(&number).await;
    let busy = tool.says(2, &["rebuild"]).await;
    assert!(busy.contains("is in use by another process"), "{busy}");

    platform.edges[0].program.ask_to_end();
    platform.edges[0].program.end().await;
    assert!(tool.says(0, &["verify"]).await.contains("compared 1 shipments and 4 events"));
    let swapped = tool.says(0, &["rebuild", "--swap"]).await;
    assert!(swapped.contains("generation 2 is live"), "{swapped}");
    let file = data.join("log.ndjson").display().to_string();
    assert!(tool.says(0, &["export", &file]).await.starts_with("exported 4 records"));
    let other = tempfile::tempdir().expect("a directory");
    assert!(of(other.path()).says(0, &["import", &file]).await.starts_with("imported 4 records"));

    // The new one, the old one again, and the new one when the old one is gone.
    for (command, said) in [
        (["rebuild", "--rollback"], "generation 1 is live again"),
        (["rebuild", "--rollback"], "generation 2 is live again"),
        (["rebuild", "gc"], "dropped generations: 1"),
        (["verify", "--show=9"], "no difference"),
    ] {
        platform.edges[0].program.start_again();
        platform.edges[0].ready().await;
        assert_eq!(client.shipment(&number).await, before, "the same document, to the byte");
        let more = client.accepted(&report(&client.register(&parcel()).await, "picked_up", 1)).await;
        assert_eq!(client.outcome(&more).await["outcome"], "applied");
        platform.edges[0].program.ask_to_end();
        platform.edges[0].program.end().await;
        let ended = tool.says(0, &command).await;
        assert!(ended.contains(said), "{command:?}: {ended}");
    }
}
