//! `POST /admin/carriers/reload` and SIGHUP: the mapping files are read again.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::carrier::{CarrierMapping, CarrierSet, MappingProblem};
use shared::clock::Clock;
use shared::shipment::{FieldError, Timestamp};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{BrokenMappings, Carriers};
use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::{Code, FIELD_ERRORS, Problem};
use crate::request;
use crate::router::Edge;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Reloaded {
    source: String,
    carriers: usize,
    rules: usize,
    read_at: Timestamp,
}

/// `POST /admin/carriers/reload`.
pub(crate) async fn post_reload(State(edge): State<Edge>, caller: Caller) -> Result<Response, Problem> {
    caller.require(Action::OperateCarriers)?;
    let (carriers, read_at) = (&edge.config.carriers, edge.now());
    let set = reload(carriers, read_at).await.map_err(broken)?;
    let (count, rules) = (set.iter().count(), set.iter().map(CarrierMapping::rules).sum());
    Ok(request::answer(StatusCode::OK, &Reloaded { source: carriers.origin(), carriers: count, rules, read_at }))
}

fn broken(BrokenMappings(mut problems): BrokenMappings) -> Problem {
    let detail = format!("{} problems in the mapping files; the mappings loaded before go on", problems.len());
    problems.truncate(FIELD_ERRORS);
    let named = |problem: MappingProblem| FieldError::new(problem.place(), "broken_mapping", problem.what);
    Problem::new(Code::BrokenMapping, detail).with_errors(problems.into_iter().map(named).collect())
}

/// Reads the files again, and says in the log what came of it.
async fn reload(carriers: &Carriers, now: Timestamp) -> Result<Arc<CarrierSet>, BrokenMappings> {
    let reading = {
        let carriers = carriers.clone();
        tokio::task::spawn_blocking(move || carriers.reload(now))
    };
    let read = reading.await.expect("reading mappings does not panic");
    let source = carriers.origin();
    match &read {
        Ok(set) => {
            tracing::info!(source, carriers = set.iter().count(), "the mappings of the carriers were read again")
        }
        Err(broken) => {
            tracing::error!(source, %broken, "the mappings of the carriers are broken; those from before go on")
        }
    }
    read
}

/// Reads the mapping files again at each SIGHUP, until `stop` is cancelled. In a terminal a hang-up ends the program as it always did: the
/// terminal has gone, and nobody asked for a reload.
///
/// # Errors
/// The signal handler cannot be installed.
pub fn reload_on_hangup(carriers: &Carriers, clock: Clock, stop: CancellationToken) -> io::Result<()> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    let hangups = signal(SignalKind::hangup())?;
    let carriers = carriers.clone();
    tokio::spawn(async move { stop.run_until_cancelled(reload_at_each(hangups, &carriers, clock)).await });
    Ok(())
}

async fn reload_at_each(mut hangups: Signal, carriers: &Carriers, clock: Clock) {
    while hangups.recv().await.is_some() {
        // What is wrong stands in the log and in the metrics.
        drop(reload(carriers, clock()).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hang_up_reads_the_files_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |carrier: &str| {
            let text = format!("carrier = \"{carrier}\"\n[[rule]]\ncode = \"A\"\nstatus = \"delivered\"\n");
            std::fs::write(directory.path().join(format!("{carrier}.toml")), text).expect("written");
        };
        write("andes");
        let carriers = Carriers::load(Some(directory.path().to_owned())).expect("well");
        let mut changes = carriers.0.loaded.subscribe();
        let hangups = signal(SignalKind::hangup()).expect("a handler");
        write("pampa");
        let told = std::process::Command::new("sh").args(["-c", &format!("kill -HUP {}", std::process::id())]).status();
        assert!(told.expect("a shell").success());
        tokio::select! {
            () = reload_at_each(hangups, &carriers, shared::clock::system) => panic!("it goes on"),
            changed = changes.changed() => changed.expect("it is there"),
        }
        assert!(carriers.current().get("pampa").is_some());
    }
}
