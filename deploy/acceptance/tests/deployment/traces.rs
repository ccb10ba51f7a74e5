//! One event, followed from the request that reported it to the stores that know of it.

use acceptance::collector::{Collector, Span};
use acceptance::platform::Platform;
use acceptance::sample::{parcel, report};
use acceptance::servers::Servers;
use acceptance::wait;

use crate::PATIENCE;

const SERVES: i32 = 2;
const CALLS: i32 = 3;
const WRITES_INTO_A_LOG: i32 = 4;
const READS_OUT_OF_A_LOG: i32 = 5;
/// The trace of a caller, and its span in it.
const CALLER: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");

/// The spans that belong to one reported event.
struct Chain {
    request: Span,
    publish: Span,
    batch: Span,
    /// The calls of stores that are part of the request, and of the batch.
    of_request: Vec<Span>,
    of_batch: Vec<Span>,
}

impl Chain {
    /// The chain, when all of it has come. A span is sent when it ends, so the batch comes last.
    fn of(spans: &[Span]) -> Option<Self> {
        let of = |parent: &Span| spans.iter().filter(|span| span.parent == parent.id).cloned().collect::<Vec<_>>();
        let request = spans.iter().find(|span| span.name == "POST /events" && span.trace_id == CALLER.0)?;
        let publish = spans.iter().find(|span| span.name == "publish events" && span.parent == request.id)?;
        let link = (publish.trace_id.clone(), publish.id.clone());
        let batch = spans.iter().find(|span| span.name == "process batch" && span.links.contains(&link))?;
        let (request, publish, batch) = (request.clone(), publish.clone(), batch.clone());
        Some(Self { of_request: of(&request), of_batch: of(&batch), request, publish, batch })
    }

    #[expect(clippy::print_stdout, reason = "whoever runs the test by itself wants to see the chain")]
    fn print(&self) {
        let line = |depth: usize, span: &Span| {
            println!("{:depth$}{} [{}, kind {}] {}/{}", "", span.name, span.service, span.kind, span.trace_id, span.id);
        };
        line(0, &self.request);
        self.of_request.iter().for_each(|span| line(2, span));
        println!("  ~ linked to from another trace ~");
        line(0, &self.batch);
        self.of_batch.iter().for_each(|span| line(2, span));
    }

    /// The names of the calls of a batch.
    fn steps(&self) -> Vec<&str> {
        self.of_batch.iter().map(|span| span.name.as_str()).collect()
    }
}

/// Reports one event about a shipment of its own, as part of a caller's trace, and waits for the spans.
async fn follow(platform: &Platform, collector: &Collector) -> Chain {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let traceparent = format!("00-{}-{}-01", CALLER.0, CALLER.1);
    let event = report(&number, "picked_up", 1);
    let call = ana.call("POST", "/events").header("traceparent", &traceparent).header("prefer", "wait=30");
    let answer = call.json(&event).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let come = async || {
        // Spans are sent when they end; that of the batch does so after the caller has its answer.
        Chain::of(&collector.spans()).filter(|chain| chain.steps().contains(&"publish changes"))
    };
    let (chain, _) = wait::until("the spans of an event", PATIENCE, come).await;
    let own = answer.header("traceparent").expect("every answer has its trace").to_owned();
    assert_eq!(own, format!("00-{}-{}-01", CALLER.0, chain.request.id), "the answer names the span that was sent");
    chain
}

fn assert_chain(chain: &Chain, edge: &str, processor: &str) {
    let Chain { request, publish, batch, .. } = chain;
    chain.print();
    assert_eq!((request.service.as_str(), request.kind, request.parent.as_str()), (edge, SERVES, CALLER.1));
    assert_eq!(request.attributes["http.route"], "/events");
    assert_eq!(request.attributes["http.response.status_code"], "200");
    assert_eq!(
        (publish.service.as_str(), publish.kind, publish.trace_id.as_str()),
        (edge, WRITES_INTO_A_LOG, CALLER.0)
    );
    assert_eq!((batch.service.as_str(), batch.kind, batch.parent.as_str()), (processor, READS_OUT_OF_A_LOG, ""));
    assert_ne!(batch.trace_id, CALLER.0, "a batch is work of many requests");
    assert!(chain.of_batch.iter().all(|span| span.trace_id == batch.trace_id && !span.failed), "{:?}", chain.of_batch);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_can_be_followed_from_its_request_through_the_log_into_mongodb_and_redis() {
    let name = "an_event_can_be_followed_from_its_request_through_the_log_into_mongodb_and_redis";
    let Some(servers) = Servers::given(name) else { return };
    let collector = Collector::start().await;
    let settings = collector.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let platform = Platform::pair_with(&servers, 1, 1, &settings).await;
    let chain = follow(&platform, &collector).await;
    assert_chain(&chain, "ingest-service", "processor-service");
    let steps = chain.steps();
    let expected = ["insert status_events", "update shipments", "publish changes"];
    for step in expected.iter().chain(&["SET dedup window", "PUBLISH applied positions"]) {
        assert_eq!(steps.iter().filter(|name| name == &step).count(), 1, "{step}: {steps:?}");
    }
    let order: Vec<_> = steps.iter().filter(|name| expected.contains(name)).copied().collect();
    assert_eq!(order, expected, "rows, then states, then changes");
    let stores = chain.of_batch.iter().filter(|span| span.kind == CALLS);
    let systems: std::collections::BTreeSet<_> =
        stores.map(|span| span.attributes["db.system.name"].as_str()).collect();
    assert!(systems.iter().eq(&["mongodb", "redis"]), "{systems:?}");
    assert!(chain.of_request.iter().any(|span| span.name == "MGET dedup window"), "{:?}", chain.of_request);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_embedded_mode_it_can_be_followed_into_sqlite() {
    let collector = Collector::start().await;
    let settings = collector.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let platform = Platform::embedded_with(&settings).await;
    let chain = follow(&platform, &collector).await;
    assert_chain(&chain, "rastro", "rastro");
    let writes = chain.of_batch.iter().filter(|span| span.name == "write transaction").count();
    assert!(writes >= 2, "rows and states: {:?}", chain.steps());
    assert!(chain.of_batch.iter().all(|span| span.kind != CALLS || span.attributes["db.system.name"] == "sqlite"));
}
