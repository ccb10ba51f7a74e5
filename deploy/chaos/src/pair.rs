//! A run against the pair: faults in several lanes, load, poison and an operator all the while; then everything is compared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use acceptance::client::Client;
use acceptance::sample::Sequence;
use acceptance::topic;
use tokio_util::sync::CancellationToken;

use crate::check;
use crate::door::Doors;
use crate::evidence;
use crate::faults::deck::Deck;
use crate::faults::inject::{Injected, inject};
use crate::ledger::Ledger;
use crate::load::Load;
use crate::operator::Operator;
use crate::poison::Poisoner;
use crate::probe::Probe;
use crate::progress::Progress;
use crate::refusals::Mender;
use crate::refusals::mongodb::Validator;
use crate::report::Report;
use crate::stage::{self, PARTITIONS, Stage};
use crate::yard::Yard;

/// Faults that are injected at a time.
const LANES: u64 = 3;
/// Sources that send at a time.
const SOURCES: u64 = 8;
/// Between two looks at the programs that nobody is breaking.
const LOOK_AFTER_EVERY: Duration = Duration::from_millis(500);

/// Runs for so long, and then until everything is compared.
///
/// # Panics
/// The harness cannot do its work: a server does not start, or does not answer when nothing is broken.
pub async fn run(length: Duration, seed: u64, park_seconds: u64, progress: Progress) -> Report {
    let stage = Arc::new(Stage::set(park_seconds, &progress).await);
    let edge = stage.edges.lock().await.programs[0].url.clone();
    let (doors, yard) = (Doors::open(&Client::nobody(&edge), &stage.doors).await, Arc::<Yard>::default());
    let probe = Arc::new(Probe::of(doors.admin.clone(), PARTITIONS));
    probe.recovered().await.expect("the platform works before anything is broken");
    let validator = Validator::set(&stage.servers.servers().mongo_uri, &stage.name).await;
    let operator = Operator::begin(&doors.admin, Mender::Mongodb(validator), seed);
    let load = Load::begin(&doors, &yard, SOURCES, seed);
    let poisoner = Poisoner::begin(&stage.servers.servers().kafka_brokers, &stage.topic(), &yard, seed);

    let watch = CancellationToken::new();
    let watching = tokio::spawn(look_after(stage.clone(), watch.clone()));
    let until = Instant::now() + length;
    let lanes = (0..LANES).map(|lane| {
        let seed = seed.wrapping_mul(LANES).wrapping_add(lane);
        tokio::spawn(lane_of_faults(stage.clone(), probe.clone(), seed, until, progress))
    });
    let mut faults = Vec::new();
    for lane in lanes.collect::<Vec<_>>() {
        faults.extend(lane.await.expect("a lane of faults does not panic"));
    }
    progress.say(&format!("{} faults, {} requests acknowledged; settling", faults.len(), load.acknowledged()));

    let mut ledgers = load.end().await;
    ledgers.push(operator.end().await);
    let poison = poisoner.end().await;
    faults.extend(last_recovery(&probe).await);
    watch.cancel();
    watching.await.expect("looking after programs does not panic");
    let servers = stage.servers.servers();
    evidence::released(async || topic::read(&servers.kafka_brokers, &stage.topic()).await).await;
    evidence::pair::settled(&servers.kafka_brokers, &stage.topic(), &stage.name).await;
    progress.say("everything is committed; reading it");
    let evidence = evidence::pair::gather(servers, &stage.name, &doors.admin.before(&edge)).await;
    ledgers.push(probe_ledger(probe).await);
    let verdict = check::check(&evidence, &ledgers, &poison);
    let report = Report::of(faults, &ledgers, stage.ended.lock().await.clone(), verdict);
    if !report.is_sound() {
        keep_logs(stage, &progress);
    }
    report
}

/// With nothing broken any more, it must work: nothing is added when it does.
async fn last_recovery(probe: &Probe) -> Option<Injected> {
    let recovery = probe.recovered().await;
    let kind = "nothing broken any more".to_owned();
    recovery.is_none().then_some(Injected { kind, recovery, complaint: None })
}

async fn probe_ledger(probe: Arc<Probe>) -> Ledger {
    let probe = Arc::try_unwrap(probe).ok().expect("the lanes have ended");
    probe.ledger().await
}

async fn look_after(stage: stage::Shared, stop: CancellationToken) {
    let mut pace = tokio::time::interval(LOOK_AFTER_EVERY);
    while stop.run_until_cancelled(pace.tick()).await.is_some() {
        stage.look_after().await;
    }
}

async fn lane_of_faults(
    stage: stage::Shared,
    probe: Arc<Probe>,
    seed: u64,
    until: Instant,
    progress: Progress,
) -> Vec<Injected> {
    let (mut deck, mut sequence) = (Deck::of(seed, stage::links()), Sequence::of(seed));
    let mut injected = Vec::new();
    while Instant::now() < until {
        let fault = inject(&stage, &probe, &deck.draw(), &mut sequence).await;
        let recovered = match fault.recovery {
            Some(time) => format!("recovered in {:.1} s", time.as_secs_f64()),
            None => "NOT RECOVERED".to_owned(),
        };
        let complaint = fault.complaint.as_deref().map(|complaint| format!("; {complaint}")).unwrap_or_default();
        progress.say(&format!("{}: {recovered}{complaint}", fault.kind));
        injected.push(fault);
    }
    injected
}

/// Leaves the programs' logs behind, for whoever looks into it.
fn keep_logs(stage: stage::Shared, progress: &Progress) {
    if let Ok(stage) = Arc::try_unwrap(stage) {
        progress.say(&format!("the programs' logs stay in {}", stage.logs.keep().display()));
    }
}
