//! A run: rounds of sections, one after the other, so that whatever is compared was measured side by side, again and again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use acceptance::binary;
use acceptance::servers::PrivateServers;
use futures::FutureExt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::figures::Figures;
use super::machine::{self, Machine};
use super::plan::{Plan, Section};
use super::progress::Progress;
use super::{Report, targets};
use crate::ceilings::mongo::BareStore;
use crate::failure::Failure;
use crate::numbers::Numbers;
use crate::sections;
use crate::specimen::embedded::EmbeddedSpecimen;
use crate::specimen::pair::PairSpecimen;
use crate::systems::pair::Pair;

/// Kafka, MongoDB and Redis, new and nobody else's, and what the pair writes into them.
pub struct Real {
    /// The servers.
    pub servers: PrivateServers,
    /// What the pair writes.
    pub specimen: PairSpecimen,
}

/// What the sections of a run share.
pub struct Bench {
    /// What to measure.
    pub plan: Plan,
    /// What is said meanwhile.
    pub progress: Progress,
    /// What was measured so far.
    pub figures: Figures,
    /// What went wrong so far.
    pub wrong: Vec<String>,
    /// Tracking numbers that nobody has.
    pub numbers: Numbers,
    /// The round, from 0.
    pub round: usize,
    /// The pair with the large store, which is filled once.
    pub large: Option<sections::stored::Large>,
    /// Where the pairs of the section stored.
    stores: Vec<BareStore>,
    real: Option<Arc<Real>>,
    embedded: Option<Arc<EmbeddedSpecimen>>,
}

impl Bench {
    /// The servers and the specimen of the pair; both are there from the first call on.
    ///
    /// # Errors
    /// The pair does not do what a specimen needs.
    pub async fn real(&mut self) -> Result<Arc<Real>, Failure> {
        if let Some(real) = &self.real {
            return Ok(real.clone());
        }
        self.progress.say("starting Kafka, MongoDB and Redis of its own");
        let servers = PrivateServers::start().await;
        self.progress.say("looking at what the pair writes about one shipment");
        let specimen = PairSpecimen::take(servers.servers()).await?;
        let real = Arc::new(Real { servers, specimen });
        self.real = Some(real.clone());
        Ok(real)
    }

    /// The specimen of `rastro`.
    ///
    /// # Errors
    /// It does not do what a specimen needs.
    pub async fn embedded(&mut self) -> Result<Arc<EmbeddedSpecimen>, Failure> {
        if let Some(embedded) = &self.embedded {
            return Ok(embedded.clone());
        }
        self.progress.say("looking at what rastro writes about one shipment");
        let embedded = Arc::new(EmbeddedSpecimen::take().await?);
        self.embedded = Some(embedded.clone());
        Ok(embedded)
    }

    /// Removes what the pairs of a section stored, but for the large store: MongoDB's memory is the next one's.
    async fn clear(&mut self) -> Result<(), Failure> {
        for store in std::mem::take(&mut self.stores) {
            if !self.large.as_ref().is_some_and(|large| large.is_in(&store)) {
                store.drop().await?;
            }
        }
        Ok(())
    }

    /// A pair on the servers, new, warmed up.
    ///
    /// # Errors
    /// It does not take events.
    pub async fn pair(&mut self) -> Result<Pair, Failure> {
        let real = self.real().await?;
        let pair = Pair::start(&real).await?;
        self.stores.push(pair.store.clone());
        pair.warm_up(&real, &mut self.numbers).await?;
        Ok(pair)
    }
}

/// Measures what `plan` says, and writes the report after each section: what was measured is not lost with what was not. Fails only when a
/// report cannot be written; what goes wrong with a section stands in the report.
///
/// # Errors
/// A file of the report cannot be written.
pub async fn run(plan: Plan) -> std::io::Result<Report> {
    let (progress, begun) = (Progress::begin(), OffsetDateTime::now_utc());
    progress.say("building the programs");
    let with_servers = plan.sections.iter().any(|section| section.needs_servers());
    let with_embedded = plan.sections.contains(&Section::Embedded);
    let counting = plan.sections.contains(&Section::Allocations);
    let build = move || {
        if counting {
            drop(binary::counting_pair());
        }
        let built = [with_servers.then(binary::ingest_service), with_embedded.then(binary::rastro)];
        built.into_iter().flatten().count()
    };
    tokio::task::spawn_blocking(build).await.map_err(std::io::Error::other)?;
    let machine = Machine::here().await;
    if machine.busy_percent > BUSY_PERCENT {
        progress.say(&format!(
            "others take {:.0} % of the processors: the figures will be theirs, too",
            machine.busy_percent
        ));
    }
    let begun = begun.replace_nanosecond(0).unwrap_or(begun).format(&Rfc3339).unwrap_or_default();
    let revision = machine::revision();
    let mut bench = Bench {
        plan,
        progress,
        figures: Figures::default(),
        wrong: Vec::new(),
        numbers: Numbers::default(),
        round: 0,
        large: None,
        stores: Vec::new(),
        real: None,
        embedded: None,
    };
    for round in 0..bench.plan.rounds {
        bench.round = round;
        for section in bench.plan.sections.clone() {
            progress.say(&format!("round {} of {}: {}", round + 1, bench.plan.rounds, section.name()));
            // The harness panics when a program or a server does not do what it must.
            let measured = AssertUnwindSafe(sections::measure(section, &mut bench)).catch_unwind().await;
            let cleared = bench.clear().await;
            let measured = measured.map(|measured| measured.and(cleared));
            let wrong = match measured {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the harness gave up; standard error tells why".to_owned()),
            };
            if let Some(wrong) = wrong {
                progress.say(&format!("{}: {wrong}", section.name()));
                bench.wrong.push(format!("{}, round {}: {wrong}", section.name(), round + 1));
            }
            report(&bench, &begun, &revision, &machine).write(&bench.plan.directory)?;
        }
    }
    let report = report(&bench, &begun, &revision, &machine);
    report.write(&bench.plan.directory)?;
    progress.say("stopping what was started");
    // The pair before its servers.
    drop(bench.large.take());
    drop(bench);
    Ok(report)
}

/// More than this, and somebody else is at work.
const BUSY_PERCENT: f64 = 10.0;

fn report(bench: &Bench, begun: &str, revision: &str, machine: &Machine) -> Report {
    let figures = sections::with_shares(&bench.figures);
    Report {
        begun: begun.to_owned(),
        took_seconds: bench.progress.seconds(),
        revision: revision.to_owned(),
        quick: bench.plan.quick,
        rounds: bench.plan.rounds,
        machine: machine.clone(),
        targets: targets::targets(&figures),
        figures,
        wrong: bench.wrong.clone(),
    }
}
