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
    fn name(self) -> &'static str {
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
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let (kafka, controller, mongo, redis) = (free_port(), free_port(), free_port(), free_port());
        let environment = vec![
            ("RASTRO_LOCAL_DIR", directory.path().display().to_string()),
            ("RASTRO_KAFKA_PORT", kafka.to_string()),
            ("RASTRO_KAFKA_CONTROLLER_PORT", controller.to_string()),
            ("RASTRO_KAFKA_HEAP", "512m".to_owned()),
            ("RASTRO_MONGO_PORT", mongo.to_string()),
            ("RASTRO_REDIS_PORT", redis.to_string()),
        ];
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

    fn process(&self, server: Server) -> u32 {
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
