//! What can be broken: servers, programs and the connections between them. Whoever breaks something holds it until it is whole again; what
//! is somebody else's may break at the same time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acceptance::binary;
use acceptance::platform::Served;
use acceptance::program::free_port;
use acceptance::servers::{LINKS, PrivateServers, Proxied, Servers};
use shared::real_servers::unique_name;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::network::Network;
use crate::progress::Progress;

/// Edges: callers go on with the other one when one is away.
const EDGES: usize = 2;
/// Processors that are always there.
const PROCESSORS: usize = 3;
/// Partitions of the topic, the default of `KAFKA_PARTITIONS`.
pub const PARTITIONS: i32 = 12;
/// Longest time for an orderly end, whatever else is broken meanwhile.
const ORDERLY_END: Duration = Duration::from_secs(60);
/// Longest wait for a program that is about to be ended to be heard of.
const HEARD: Duration = Duration::from_secs(5);
/// Between two looks at a program that is to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The programs of one service.
pub struct Group {
    /// Those that run.
    pub programs: Vec<Served>,
    service: &'static str,
    binary: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// A setting, and the values that they have in turn.
    differing: Option<(&'static str, [String; 2])>,
    started: usize,
}

/// Everything that can be broken.
pub struct Stage {
    /// Kafka, MongoDB and Redis.
    pub servers: PrivateServers,
    /// The connections to them, and to the edges.
    pub network: Network,
    /// `ingest-service`.
    pub edges: Mutex<Group>,
    /// `processor-service`.
    pub processors: Mutex<Group>,
    /// Held by whoever breaks Kafka or a connection to it.
    pub kafka: Mutex<()>,
    /// Likewise.
    pub mongodb: Mutex<()>,
    /// Likewise.
    pub redis: Mutex<()>,
    /// Where callers reach the edges: by way of the fault proxy.
    pub doors: Vec<String>,
    /// Topic, group and database.
    pub name: String,
    /// Programs that ended by themselves, how, and the end of what they wrote.
    pub ended: Mutex<Vec<String>>,
    /// Where the programs write their logs.
    pub logs: TempDir,
}

impl Group {
    fn of(service: &'static str, binary: PathBuf, environment: Vec<(&'static str, String)>) -> Self {
        Self { programs: Vec::new(), service, binary, environment, differing: None, started: 0 }
    }

    /// One more of them.
    pub fn start(&mut self, logs: &std::path::Path) -> Served {
        let name = format!("{}-{}", self.service, self.started);
        let differing =
            self.differing.as_ref().map(|(name, values)| (*name, values[self.started % values.len()].as_str()));
        self.started += 1;
        let environment = self.environment.iter().map(|(name, value)| (*name, value.as_str()));
        let environment: Vec<_> = environment.chain(differing).collect();
        Served::start(&name, self.binary.clone(), &environment, logs)
    }
}

/// Asks a program to end, and waits for that. Returns how it ended, when not well. One that was started a moment ago is heard first: in its first
/// instants a signal ends any program, whatever it means to do about it later.
pub async fn end(served: &mut Served) -> Option<String> {
    let nobody = served.nobody();
    let heard = async {
        while nobody.call("GET", "/livez").try_send().await.is_err() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    // Somebody else may have broken the way to it.
    tokio::time::timeout(HEARD, heard).await.unwrap_or_default();
    served.program.ask_to_end();
    let ended = async {
        loop {
            if let Some(status) = served.program.ended() {
                return status;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let wrong = match tokio::time::timeout(ORDERLY_END, ended).await {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("ended after SIGTERM with {status}")),
        Err(_) => Some(format!("did not end within {ORDERLY_END:?} of SIGTERM")),
    };
    served.program.kill();
    wrong.map(|wrong| format!("{} {wrong}", served.program.name()))
}

impl Stage {
    /// Starts servers and programs, and waits until all are ready. What one edge registers parks for `park_seconds`, what the other one does not.
    ///
    /// # Panics
    /// Something does not start.
    pub async fn set(park_seconds: u64, progress: &Progress) -> Self {
        progress.say("building the two services");
        let binaries = tokio::task::spawn_blocking(|| (binary::ingest_service(), binary::processor_service()));
        let (edge, processor) = binaries.await.expect("the programs are built");
        progress.say("starting Kafka, MongoDB and Redis behind a fault proxy");
        let (servers, proxied) = PrivateServers::behind_proxies().await;
        let (name, logs) = (unique_name("chaos"), tempfile::tempdir().expect("a temporary directory can be made"));
        let Proxied { api, edge: for_edges, processor: for_processors } = proxied;
        let mut stage = Self {
            servers,
            network: Network::at(&api),
            edges: Mutex::new(Group::of("ingest-service", edge, environment(&name, &for_edges))),
            processors: Mutex::new(Group::of("processor-service", processor, environment(&name, &for_processors))),
            kafka: Mutex::default(),
            mongodb: Mutex::default(),
            redis: Mutex::default(),
            doors: Vec::new(),
            name,
            ended: Mutex::default(),
            logs,
        };
        stage.edges.get_mut().differing = Some(("PARK_SECONDS", [park_seconds.to_string(), "0".to_owned()]));
        stage.start_programs().await;
        progress.say(&format!("{EDGES} edges and {PROCESSORS} processors are ready"));
        stage
    }

    async fn start_programs(&mut self) {
        let logs = self.logs.path().to_owned();
        let (edges, processors) = (self.edges.get_mut(), self.processors.get_mut());
        for (group, count) in [(&mut *edges, EDGES), (&mut *processors, PROCESSORS)] {
            for _ in 0..count {
                let served = group.start(&logs);
                group.programs.push(served);
            }
        }
        for served in edges.programs.iter_mut().chain(&mut processors.programs) {
            served.ready().await;
        }
        for (served, link) in edges.programs.iter().zip(door_links()) {
            let (door, port) = (free_port(), served.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()));
            self.network.forward(&link, door, port.expect("an address ends in a port")).await;
            self.doors.push(format!("http://127.0.0.1:{door}"));
        }
    }

    /// The topic of events.
    #[must_use]
    pub fn topic(&self) -> String {
        format!("{}.events", self.name)
    }

    /// Looks after programs that nobody is breaking: one that has ended by itself is started again, as an orchestrator does, and that is
    /// noted.
    pub async fn look_after(&self) {
        for group in [&self.edges, &self.processors] {
            let Ok(mut group) = group.try_lock() else { continue };
            for served in &mut group.programs {
                if let Some(status) = served.program.ended() {
                    served.program.kill();
                    let log = served.program.log();
                    self.ended.lock().await.push(format!("{} ended with {status}\n{log}", served.program.name()));
                    served.program.start_again();
                }
            }
        }
    }
}

/// The links between callers and edges.
fn door_links() -> impl Iterator<Item = String> {
    (0..EDGES).map(|number| format!("callers-edge-{number}"))
}

/// All connections that can be disturbed.
#[must_use]
pub fn links() -> Vec<String> {
    LINKS.iter().map(|&link| link.to_owned()).chain(door_links()).collect()
}

fn environment(name: &str, servers: &Servers) -> Vec<(&'static str, String)> {
    vec![
        ("ENV", "development".to_owned()),
        ("KAFKA_BROKERS", servers.kafka_brokers.clone()),
        ("MONGO_URI", servers.mongo_uri.clone()),
        ("REDIS_ADDR", servers.redis_addr.clone()),
        ("KAFKA_TOPIC", format!("{name}.events")),
        ("KAFKA_GROUP", name.to_owned()),
        ("MONGO_DB", name.to_owned()),
    ]
}

/// A stage that several tasks break.
pub type Shared = Arc<Stage>;
