//! Breaking one thing, making it whole again, and waiting until the platform has recovered.

use std::time::Duration;

use acceptance::sample::Sequence;
use acceptance::servers::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::{Fault, Target};
use crate::probe::Probe;
use crate::stage::{self, Group, Stage};

/// Longest time for which something stays broken, in milliseconds, where nothing else decides it.
const BROKEN_MS: usize = 3_000;
/// How long a processor hangs at least: longer than its session of 6 s, so that the group gives its partitions away.
const SESSION_OVER: Duration = Duration::from_secs(8);
/// Bytes of replies that come through at most before a connection is cut: a reply of MongoDB or Kafka has hundreds to thousands.
const HALF_BYTES: usize = 3_000;
/// Longest time for an answer of Redis, or for a program to get ready besides everything else.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a fault went.
#[derive(Clone, Debug)]
pub struct Injected {
    /// What it is counted as.
    pub kind: String,
    /// From the end of the fault until every partition applied again; `None`: it did not, in time.
    pub recovery: Option<Duration>,
    /// What went wrong besides.
    pub complaint: Option<String>,
}

/// Injects `fault`: breaks, heals, and waits for the recovery. What it breaks is nobody else's meanwhile.
pub async fn inject(stage: &Stage, probe: &Probe, fault: &Fault, sequence: &mut Sequence) -> Injected {
    let kind = fault.kind();
    let mut complaint = None;
    let recovery = match fault {
        Fault::Kill(Target::Edge) => killed(&stage.edges, probe, sequence).await,
        Fault::Kill(Target::Processor) => killed(&stage.processors, probe, sequence).await,
        Fault::Kill(Target::Kafka) => server_killed(stage, &stage.kafka, Server::Kafka, probe, sequence).await,
        Fault::Kill(Target::Mongodb) => server_killed(stage, &stage.mongodb, Server::Mongodb, probe, sequence).await,
        Fault::Kill(Target::Redis) => server_killed(stage, &stage.redis, Server::Redis, probe, sequence).await,
        Fault::Freeze(Target::Edge) => frozen(&stage.edges, broken(sequence), probe, sequence).await,
        Fault::Freeze(Target::Processor) => {
            frozen(&stage.processors, SESSION_OVER + broken(sequence), probe, sequence).await
        }
        Fault::Freeze(Target::Kafka) => server_frozen(stage, &stage.kafka, Server::Kafka, probe, sequence).await,
        Fault::Freeze(Target::Mongodb) => server_frozen(stage, &stage.mongodb, Server::Mongodb, probe, sequence).await,
        Fault::Freeze(Target::Redis) => server_frozen(stage, &stage.redis, Server::Redis, probe, sequence).await,
        Fault::Roll(target) => {
            let group = if *target == Target::Edge { &stage.edges } else { &stage.processors };
            let mut group = group.lock().await;
            complaint = roll(&mut group).await;
            probe.recovered().await
        }
        Fault::JoinAndLeave => {
            let mut group = stage.processors.lock().await;
            let mut guest = group.start(stage.logs.path());
            tokio::time::sleep(PATIENCE + broken(sequence)).await;
            complaint = stage::end(&mut guest).await;
            probe.recovered().await
        }
        Fault::Flush => {
            let _held = stage.redis.lock().await;
            complaint = flush(&stage.servers.servers().redis_addr).await.err();
            probe.recovered().await
        }
        Fault::Disturb(link, toxic) => {
            let _held = hold(stage, link).await;
            stage.network.disturb(link, *toxic, sequence.below(HALF_BYTES)).await;
            tokio::time::sleep(broken(sequence)).await;
            stage.network.heal(link, *toxic).await;
            probe.recovered().await
        }
    };
    Injected { kind, recovery, complaint }
}

/// What keeps others from breaking the server behind `link` at the same time. mongod must reach itself through its proxy when it comes back.
async fn hold<'a>(stage: &'a Stage, link: &str) -> Held<'a> {
    match link {
        "edge-kafka" | "processor-kafka" => Held::Server(stage.kafka.lock().await),
        "mongodb" => Held::Server(stage.mongodb.lock().await),
        "edge-redis" | "processor-redis" => Held::Server(stage.redis.lock().await),
        _ => Held::Edges(stage.edges.lock().await),
    }
}

#[expect(dead_code, reason = "they are held, not looked at")]
enum Held<'a> {
    Server(tokio::sync::MutexGuard<'a, ()>),
    Edges(tokio::sync::MutexGuard<'a, Group>),
}

/// How long something stays broken.
fn broken(sequence: &mut Sequence) -> Duration {
    Duration::from_millis(u64::try_from(sequence.below(BROKEN_MS)).unwrap_or_default())
}

async fn killed(group: &Mutex<Group>, probe: &Probe, sequence: &mut Sequence) -> Option<Duration> {
    let mut group = group.lock().await;
    let index = sequence.below(group.programs.len());
    let program = &mut group.programs[index].program;
    program.kill();
    tokio::time::sleep(broken(sequence)).await;
    program.start_again();
    probe.recovered().await
}

async fn frozen(group: &Mutex<Group>, length: Duration, probe: &Probe, sequence: &mut Sequence) -> Option<Duration> {
    let group = group.lock().await;
    let program = &group.programs[sequence.below(group.programs.len())].program;
    program.freeze();
    tokio::time::sleep(length).await;
    program.thaw();
    probe.recovered().await
}

async fn server_killed(
    stage: &Stage,
    held: &Mutex<()>,
    server: Server,
    probe: &Probe,
    sequence: &mut Sequence,
) -> Option<Duration> {
    let _held = held.lock().await;
    stage.servers.kill(server).await;
    tokio::time::sleep(broken(sequence)).await;
    stage.servers.start_again(server).await;
    probe.recovered().await
}

async fn server_frozen(
    stage: &Stage,
    held: &Mutex<()>,
    server: Server,
    probe: &Probe,
    sequence: &mut Sequence,
) -> Option<Duration> {
    let _held = held.lock().await;
    stage.servers.freeze(server);
    tokio::time::sleep(broken(sequence) * 2).await;
    stage.servers.thaw(server);
    probe.recovered().await
}

/// Ends each of them and starts it again. The next one waits until the one before is ready, for a while, as an orchestrator does.
async fn roll(group: &mut Group) -> Option<String> {
    let mut complaint = None;
    for served in &mut group.programs {
        complaint = stage::end(served).await.or(complaint);
        served.program.start_again();
        let nobody = served.nobody();
        let ready = async {
            while !nobody.call("GET", "/readyz").try_send().await.is_ok_and(|answer| answer.status == 200) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // It may wait for what somebody else has broken; then the next one goes on regardless.
        tokio::time::timeout(PATIENCE, ready).await.unwrap_or_default();
    }
    complaint
}

/// Redis forgets everything.
async fn flush(address: &str) -> Result<(), String> {
    let said = async {
        let mut redis = TcpStream::connect(address).await?;
        redis.write_all(b"FLUSHALL\r\n").await?;
        let mut answer = [0; 5];
        redis.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match tokio::time::timeout(PATIENCE, said).await {
        Ok(Ok(answer)) if answer == *b"+OK\r\n" => Ok(()),
        other => Err(format!("FLUSHALL was answered with {other:?}")),
    }
}
