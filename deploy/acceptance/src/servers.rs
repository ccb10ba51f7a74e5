//! The real servers: those that the environment names, or a private set that a test may stop.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use shared::real_servers;
use tempfile::TempDir;
use tokio::process::Command;

use crate::program::{LastWill, free_port, signal};
use crate::wait;

/// Longest time that a server may take to start or to stop. Kafka needs 5 s on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How Kafka, MongoDB and Redis are reached.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the variables of contract section 7")]
pub struct Servers {
    pub kafka_brokers: String,
    pub mongo_uri: String,
    pub redis_addr: String,
}

impl Servers {
    /// Those that the environment names; `None` for the reason that `real_servers` gives, and then `test` is left out.
    #[must_use]
    pub fn given(test: &str) -> Option<Self> {
        Some(Self {
            kafka_brokers: real_servers::address("KAFKA_BROKERS", test)?,
            mongo_uri: real_servers::address("MONGO_URI", test)?,
            redis_addr: real_servers::address("REDIS_ADDR", test)?,
        })
    }
}

/// One of the servers.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Server {
    Kafka,
    Mongodb,
    Redis,
}

impl Server {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Mongodb => "mongodb",
            Self::Redis => "redis",
        }
    }

    fn script(self) -> String {
        format!("{}.sh", self.name())
    }
}

/// How the two services reach a private set through a fault proxy, and where the proxy is told what to do.
#[derive(Clone, Debug)]
pub struct Proxied {
    /// `http://host:port` of the fault proxy's own API.
    pub api: String,
    /// For `ingest-service`.
    pub edge: Servers,
    /// For `processor-service`.
    pub processor: Servers,
}

/// The proxies' names: a service and a server. MongoDB has one for both services, because drivers go where the replica set sends them,
/// whatever address they were given.
pub const LINKS: [&str; 5] = ["edge-kafka", "processor-kafka", "mongodb", "edge-redis", "processor-redis"];

/// A set of servers of its own, out of `deploy/local`. It ends with the test.
pub struct PrivateServers {
    servers: Servers,
    environment: Vec<(&'static str, String)>,
    directory: TempDir,
    will: Option<LastWill>,
}

impl PrivateServers {
    /// Starts a set.
    pub async fn start() -> Self {
        Self::start_with(|_| Vec::new()).await
    }

    /// Starts a set with a fault proxy between it and the services. [`PrivateServers::servers`] go past the proxy.
    pub async fn behind_proxies() -> (Self, Proxied) {
        let api = free_port();
        let [edge_kafka, processor_kafka, mongodb, edge_redis, processor_redis] = LINKS.map(|_| free_port());
        let (edge_listener, processor_listener) = (free_port(), free_port());
        let servers = |kafka: u16, redis: u16| Servers {
            kafka_brokers: format!("127.0.0.1:{kafka}"),
            mongo_uri: format!("mongodb://127.0.0.1:{mongodb}/?replicaSet=rs0"),
            redis_addr: format!("127.0.0.1:{redis}"),
        };
        let edge = servers(edge_kafka, edge_redis);
        let proxied = Proxied {
            api: format!("http://127.0.0.1:{api}"),
            edge,
            processor: servers(processor_kafka, processor_redis),
        };
        let set = Self::start_with(|[_, _, mongo, redis]| {
            let listens = [edge_kafka, processor_kafka, mongodb, edge_redis, processor_redis];
            let upstreams = [edge_listener, processor_listener, mongo, redis, redis];
            let links = LINKS.iter().zip(listens).zip(upstreams);
            let links: Vec<_> = links.map(|((name, listen), upstream)| format!("{name}={listen}:{upstream}")).collect();
            vec![
                (
                    "RASTRO_KAFKA_PROXIED",
                    format!("{edge_listener}:{edge_kafka} {processor_listener}:{processor_kafka}"),
                ),
                ("RASTRO_MONGO_ADVERTISED_PORT", mongodb.to_string()),
                ("RASTRO_TOXIPROXY_PORT", api.to_string()),
                ("RASTRO_TOXIPROXY_PROXIES", links.join(" ")),
            ]
        });
        let mut set = set.await;
        // The set's name would send us to the proxy.
        set.servers.mongo_uri = set.servers.mongo_uri.replace("replicaSet=rs0", "directConnection=true");
        (set, proxied)
    }

    /// Starts a set with the settings that `more` makes of the ports of Kafka, its controller, MongoDB and Redis.
    async fn start_with(more: impl FnOnce([u16; 4]) -> Vec<(&'static str, String)>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let (kafka, controller, mongo, redis) = (free_port(), free_port(), free_port(), free_port());
        let mut environment = vec![
            ("RASTRO_LOCAL_DIR", directory.path().display().to_string()),
            ("RASTRO_KAFKA_PORT", kafka.to_string()),
            ("RASTRO_KAFKA_CONTROLLER_PORT", controller.to_string()),
            ("RASTRO_KAFKA_HEAP", "512m".to_owned()),
            ("RASTRO_MONGO_PORT", mongo.to_string()),
            ("RASTRO_REDIS_PORT", redis.to_string()),
        ];
        environment.extend(more([kafka, controller, mongo, redis]));
        let servers = Servers {
            kafka_brokers: format!("127.0.0.1:{kafka}"),
            mongo_uri: format!("mongodb://127.0.0.1:{mongo}/?replicaSet=rs0"),
            redis_addr: format!("127.0.0.1:{redis}"),
        };
        let settings: Vec<_> = environment.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
        let path = directory.path().display();
        let end = format!("{} CLEAN=1 '{}'; rm -rf '{path}'", settings.join(" "), script("down.sh").display());
        let will = Some(LastWill::of(&end));
        let set = Self { servers, environment, directory, will };
        set.run("up.sh", "").await;
        set
    }

    /// How they are reached.
    #[must_use]
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Stops one of them, in good order.
    pub async fn stop(&self, server: Server) {
        self.run(&server.script(), "stop").await;
    }

    /// Ends one of them as a crash does.
    pub async fn kill(&self, server: Server) {
        self.run(&server.script(), "kill").await;
    }

    /// Lets one of them hang: it takes connections, by way of the system, and says nothing.
    pub fn freeze(&self, server: Server) {
        signal("STOP", self.process(server));
    }

    /// Lets it go on where it was.
    pub fn thaw(&self, server: Server) {
        signal("CONT", self.process(server));
    }

    /// The process of one of them.
    ///
    /// # Panics
    /// It was stopped.
    #[must_use]
    pub fn process(&self, server: Server) -> u32 {
        let file = self.directory.path().join(server.name()).join("pid");
        let text = std::fs::read_to_string(&file).expect("a server that runs has a pid file");
        text.trim().parse().expect("a pid file holds a number")
    }

    /// Starts one of them again, with the data that it had.
    pub async fn start_again(&self, server: Server) {
        self.run(&server.script(), "start").await;
    }

    async fn run(&self, name: &str, argument: &str) {
        let mut command = Command::new(script(name));
        command.args(Some(argument).filter(|argument| !argument.is_empty())).envs(self.environment.clone());
        for given in ["KAFKA_BROKERS", "MONGO_URI", "REDIS_ADDR", "RASTRO_KAFKA_ADVERTISED_PORT"] {
            command.env_remove(given);
        }
        command.stdin(Stdio::null());
        let done: Output = wait::within(name, PATIENCE, command.output()).await.expect("the scripts can be run");
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{name} {argument}: {}\n{out}{err}", done.status);
    }
}

impl Drop for PrivateServers {
    fn drop(&mut self) {
        let mut down = std::process::Command::new(script("down.sh"));
        down.envs(self.environment.clone()).env("CLEAN", "1").stdin(Stdio::null()).stdout(Stdio::null());
        match down.status() {
            Ok(status) if status.success() => self.will.take().map(LastWill::revoke).unwrap_or_default(),
            // The executor of the will tries once more when this process is gone.
            failed => eprintln!("the private servers could not be stopped: {failed:?}"),
        }
    }
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../local")).join(name)
}
