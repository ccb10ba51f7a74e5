//! A run against `rastro`: killed at random points under load, its start included, and out of disk in between, with an
//! operator who redrives; then everything is compared.

mod disk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use acceptance::binary;
use acceptance::client::Client;
use acceptance::platform::Served;
use acceptance::sample::Sequence;
use futures::StreamExt;
use serde_json::Value;

use crate::check;
use crate::door::Doors;
use crate::evidence;
use crate::faults::inject::Injected;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::operator::Operator;
use crate::probe::Probe;
use crate::progress::Progress;
use crate::refusals::{self, Mender};
use crate::report::Report;
use crate::stage;
use crate::yard::Yard;
use disk::Disk;

/// Sources that send at a time.
const SOURCES: u64 = 8;
/// Longest life between a start and the next kill, in milliseconds: a start takes a few hundred of them.
const LIFE_MS: usize = 1_500;
/// Kills in a row before the program is left alone until it has recovered, at most.
const BURST: usize = 3;
/// After so many recoveries the disk is full once.
const FULL_EVERY: usize = 5;
/// How long the disk stays full at least, in milliseconds, and how much longer at most.
const FULL_MS: usize = 1_000;
/// Between two looks at a program that is to start.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How many shipments are asked for at a time.
const AT_A_TIME: usize = 32;

/// Kills it `runs` times.
///
/// # Panics
/// The harness cannot do its work, or the program does not start at all.
pub async fn run(runs: usize, seed: u64, park_seconds: u64, progress: Progress) -> Report {
    let program = tokio::task::spawn_blocking(binary::rastro).await.expect("the program is built");
    let logs = tempfile::tempdir().expect("a temporary directory can be made");
    let disk = Disk::mount(logs.path(), &progress);
    let (data, park_seconds) = (disk.path().display().to_string(), park_seconds.to_string());
    let environment = [
        ("ENV", "development"),
        ("DATA_DIR", data.as_str()),
        ("LOG_LEVEL", "warn"),
        ("PARK_SECONDS", park_seconds.as_str()),
    ];
    let mut rastro = Served::start("rastro", program, &environment, logs.path());
    rastro.ready().await;
    let urls = [rastro.url.clone()];
    let (doors, yard) = (Doors::open(&rastro.nobody(), &urls).await, Arc::<Yard>::default());
    let probe = Probe::of(doors.admin.clone(), 1);
    probe.recovered().await.expect("the program works before it is killed");
    let file = disk.path().join("rastro.sqlite");
    refusals::sqlite::set(&file).expect("the file takes a rule");
    let operator = Operator::begin(&doors.admin, Mender::Sqlite, seed);
    let load = Load::begin(&doors, &yard, SOURCES, seed);

    let mut course = Course { rastro, probe, disk, sequence: Sequence::of(seed), ended: Vec::new() };
    let faults = course.run(runs, &load, &progress).await;
    let mut ledgers = load.end().await;
    ledgers.push(operator.end().await);
    let Course { mut rastro, probe, disk, mut ended, .. } = course;
    evidence::released(async || evidence::embedded::events(&file).expect("the file can be read")).await;
    // One partition: when the last event is decided, all before it are.
    let last = probe.recovered().await;
    ledgers.push(probe.ledger().await);
    let shipments = shown(doors.admin.caller(), &ledgers).await;
    ended.extend(stage::end(&mut rastro).await);
    let evidence = evidence::embedded::gather(&file, shipments).expect("the file can be read");
    let verdict = check::check(&evidence, &ledgers, &[]);
    let mut report = Report::of(faults, &ledgers, ended, verdict);
    if last.is_none() {
        let kind = "nothing broken any more".to_owned();
        report.faults.push(Injected { kind, recovery: None, complaint: None });
    }
    if !report.is_sound() {
        disk.keep();
        progress.say(&format!("the program's log and file stay in {}", logs.keep().display()));
    }
    report
}

struct Course {
    rastro: Served,
    probe: Probe,
    disk: Disk,
    sequence: Sequence,
    ended: Vec<String>,
}

impl Course {
    async fn run(&mut self, runs: usize, load: &Load, progress: &Progress) -> Vec<Injected> {
        let (mut faults, mut killed, mut recoveries) = (Vec::new(), 0, 0);
        while killed < runs {
            let burst = (1 + self.sequence.below(BURST)).min(runs - killed);
            for _ in 0..burst {
                self.live().await;
                self.rastro.program.kill();
                self.rastro.program.start_again();
            }
            killed += burst;
            let recovery = self.recovered().await;
            let kind = "kill -9 rastro".to_owned();
            faults.extend(std::iter::repeat_n(Injected { kind, recovery, complaint: None }, burst));
            recoveries += 1;
            if recoveries % FULL_EVERY == 0 && self.disk.can_fill() {
                faults.push(self.full().await);
            }
            let seconds = recovery.map_or_else(|| "NOT".to_owned(), |time| format!("in {:.1} s", time.as_secs_f64()));
            progress.say(&format!(
                "killed {killed} of {runs} times, recovered {seconds}; {} requests acknowledged",
                load.acknowledged()
            ));
        }
        faults
    }

    /// Lets it live for a while.
    async fn live(&mut self) {
        let life = u64::try_from(self.sequence.below(LIFE_MS)).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(life)).await;
    }

    /// The disk is full for a while. Every other time it is killed, too, and finds a full disk when it starts.
    async fn full(&mut self) -> Injected {
        self.disk.fill();
        let length = FULL_MS + self.sequence.below(FULL_MS);
        tokio::time::sleep(Duration::from_millis(u64::try_from(length).unwrap_or_default())).await;
        let kind = if self.sequence.below(2) == 0 {
            self.rastro.program.kill();
            self.rastro.program.start_again();
            self.live().await;
            "disk full and kill -9"
        } else {
            "disk full"
        };
        self.disk.empty();
        let recovery = self.recovered().await;
        Injected { kind: kind.to_owned(), recovery, complaint: None }
    }

    /// Waits until it has recovered. When it ends by itself meanwhile, it is started again.
    async fn recovered(&mut self) -> Option<Duration> {
        let Self { rastro, probe, ended, .. } = self;
        let program = &mut rastro.program;
        let looked_after = async {
            loop {
                if let Some(status) = program.ended() {
                    program.kill();
                    ended.push(format!("{} ended with {status}\n{}", program.name(), program.log()));
                    program.start_again();
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            recovery = probe.recovered() => recovery,
            never = looked_after => never,
        }
    }
}

/// Every shipment that was acknowledged, as a GET shows it.
async fn shown(admin: &Client, ledgers: &[Ledger]) -> BTreeMap<String, Value> {
    let numbers = ledgers.iter().flat_map(|ledger| &ledger.registered).map(|registered| registered.number.clone());
    let shown = numbers.map(async |number| {
        let shown = admin.get(&format!("/shipments/{number}")).await;
        (shown.status == 200).then_some((number, shown.body))
    });
    let shown: Vec<_> = futures::stream::iter(shown).buffer_unordered(AT_A_TIME).collect().await;
    shown.into_iter().flatten().collect()
}
