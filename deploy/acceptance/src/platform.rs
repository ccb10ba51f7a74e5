//! A platform: the programs, embedded or as a pair, behind one type.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use shared::real_servers::unique_name;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::client::Client;
use crate::program::{Program, free_port};
use crate::servers::Servers;
use crate::{binary, topic, wait};

/// Longest time until all programs are ready, on a machine that has other things to do.
const READY: Duration = Duration::from_secs(60);
/// The password of the seeded users (contract section 6), and of those that tests add.
const PASSWORD: &str = "password123";

/// Programs that belong together.
pub struct Platform {
    /// The programs that serve the API.
    pub edges: Vec<Served>,
    /// The programs that apply; empty when the edge does it.
    pub processors: Vec<Served>,
    seeded: [OnceCell<Client>; 3],
    callers: AtomicUsize,
    added: AtomicU32,
    /// What a pair keeps on its servers.
    pair: Option<Pair>,
    directory: TempDir,
}

/// A program and where it listens.
pub struct Served {
    /// The program.
    pub program: Program,
    /// `http://host:port`.
    pub url: String,
}

/// What a pair keeps on its servers.
pub struct Pair {
    /// The servers.
    pub servers: Servers,
    /// The topic of events.
    pub topic: String,
    /// The database.
    pub database: String,
    /// The settings of its programs.
    pub environment: Vec<(String, String)>,
}

impl Served {
    /// Starts `binary` on a port of its own, with `environment` and nothing else of ours. What it writes goes to a file in `directory`.
    #[must_use]
    pub fn start(name: &str, binary: std::path::PathBuf, environment: &[(&str, &str)], directory: &Path) -> Self {
        let port = free_port();
        let own = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let environment = own.chain([("PORT".to_owned(), port.to_string())]).collect();
        let program = Program::start(name, binary, environment, directory);
        Self { program, url: format!("http://127.0.0.1:{port}") }
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// It ends, or is not ready in time.
    pub async fn ready(&mut self) {
        let nobody = Client::nobody(&self.url);
        let what = format!("{} gets ready", self.program.name());
        let ready = async || {
            if let Some(status) = self.program.ended() {
                panic!("{} ended while it started: {status}\n{}", self.program.name(), self.program.log());
            }
            let answer = nobody.call("GET", "/readyz").try_send().await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        };
        if tokio::time::timeout(READY, wait::until(&what, READY * 2, ready)).await.is_err() {
            panic!("{what}: not within {READY:?}\n{}", self.program.log());
        }
    }

    /// A caller of it who has not logged in.
    #[must_use]
    pub fn nobody(&self) -> Client {
        Client::nobody(&self.url)
    }

    /// What it counts.
    pub async fn metrics(&self) -> String {
        let answer = Client::nobody(&self.url).get("/metrics").await;
        assert_eq!(answer.status, 200, "{}: {}", self.program.name(), answer.text);
        answer.text
    }
}

impl Platform {
    /// `rastro` on a directory of its own.
    pub async fn embedded() -> Self {
        Self::embedded_with(&[]).await
    }

    /// The same with these settings besides.
    pub async fn embedded_with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let data = directory.path().join("data").display().to_string();
        let environment = [&[("ENV", "development"), ("DATA_DIR", data.as_str())], settings].concat();
        let edge = Served::start("rastro", binary::rastro(), &environment, directory.path());
        Self::of(vec![edge], Vec::new(), None, directory).await
    }

    /// `ingest` times `ingest-service` and `processors` times `processor-service` on `servers`, with topics, a group and a database of
    /// their own.
    pub async fn pair(servers: &Servers, ingest: usize, processors: usize) -> Self {
        Self::pair_with(servers, ingest, processors, &[]).await
    }

    /// The same with these settings besides.
    pub async fn pair_with(servers: &Servers, ingest: usize, processors: usize, settings: &[(&str, &str)]) -> Self {
        let programs = [binary::ingest_service(), binary::processor_service()];
        Self::pair_of(servers, ingest, processors, settings, &programs).await
    }

    /// The same of these builds of `ingest-service` and `processor-service`.
    pub async fn pair_of(
        servers: &Servers,
        ingest: usize,
        processors: usize,
        settings: &[(&str, &str)],
        [ingest_service, processor_service]: &[std::path::PathBuf; 2],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let database = unique_name("acceptance");
        let topic = format!("{database}.events");
        let environment = [
            ("ENV", "development"),
            ("KAFKA_BROKERS", &servers.kafka_brokers),
            ("MONGO_URI", &servers.mongo_uri),
            ("REDIS_ADDR", &servers.redis_addr),
            ("KAFKA_TOPIC", &topic),
            ("KAFKA_GROUP", &database),
            ("MONGO_DB", &database),
        ];
        let environment = [&environment, settings].concat();
        let own = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (servers, topic, database) = (servers.clone(), topic.clone(), database.clone());
        let pair = Pair { servers, topic, database, environment: own };
        let start = |service: &str, number: usize, binary: &Path| {
            Served::start(&format!("{service}-{number}"), binary.to_owned(), &environment, directory.path())
        };
        let edges = (0..ingest).map(|number| start("ingest-service", number, ingest_service)).collect();
        let processors = (0..processors).map(|number| start("processor-service", number, processor_service)).collect();
        Self::of(edges, processors, Some(pair), directory).await
    }

    async fn of(edges: Vec<Served>, processors: Vec<Served>, pair: Option<Pair>, directory: TempDir) -> Self {
        let seeded = [const { OnceCell::const_new() }; 3];
        let (callers, added) = (AtomicUsize::new(0), AtomicU32::new(0));
        let mut platform = Self { edges, processors, seeded, callers, added, pair, directory };
        for served in platform.edges.iter_mut().chain(&mut platform.processors) {
            served.ready().await;
        }
        platform
    }

    /// What a pair keeps on its servers.
    ///
    /// # Panics
    /// It is no pair.
    #[must_use]
    pub fn on_servers(&self) -> &Pair {
        self.pair.as_ref().expect("asked of a pair")
    }

    /// The `DATA_DIR` of `rastro`.
    #[must_use]
    pub fn data_directory(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    /// A caller who has not logged in. Callers are spread over the edges, so that what one reads another one wrote.
    #[must_use]
    pub fn nobody(&self) -> Client {
        let next = self.callers.fetch_add(1, Ordering::Relaxed);
        Client::nobody(&self.edges[next % self.edges.len()].url)
    }

    /// The seeded admin.
    pub async fn admin(&self) -> Client {
        self.seeded_user(0, "admin_user", "").await
    }

    /// The seeded user of `client_001`.
    pub async fn client_001(&self) -> Client {
        self.seeded_user(1, "client_user_001", "client_001").await
    }

    /// The seeded driver, whose role is `source`.
    pub async fn driver(&self) -> Client {
        self.seeded_user(2, "driver_user_001", "").await
    }

    /// Logged in once for all tests; each has connections of its own, because they end with the test's runtime.
    async fn seeded_user(&self, index: usize, username: &str, client_id: &str) -> Client {
        let log_in = async || self.nobody().of(client_id).log_in(username, PASSWORD).await;
        let known = self.seeded[index].get_or_init(log_in).await;
        known.reconnected()
    }

    /// A user of a client that no other test uses.
    pub async fn a_client(&self) -> Client {
        let number = self.added.fetch_add(1, Ordering::Relaxed);
        let (username, client_id) = (format!("user_{number}"), format!("client_of_test_{number}"));
        let user = json!({"username": username, "password": PASSWORD, "role": "client", "client_id": client_id});
        let added = self.admin().await.post("/auth/users", &user).await;
        assert_eq!(added.status, 201, "{}", added.text);
        self.nobody().of(&client_id).log_in(&username, PASSWORD).await
    }

    /// What all programs count.
    pub async fn metrics(&self) -> String {
        let mut text = String::new();
        for served in self.edges.iter().chain(&self.processors) {
            text.push_str(&served.metrics().await);
        }
        text
    }

    /// The ends of the programs' logs.
    #[must_use]
    pub fn logs(&self) -> String {
        self.edges.iter().chain(&self.processors).map(|served| served.program.log()).collect()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        self.edges.clear();
        self.processors.clear();
        let Some(pair) = self.pair.take() else { return };
        // A drop may happen within a runtime, where no other can be waited for: hence the thread.
        let name = pair.database.clone();
        let cleared = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(pair.clear()))
        });
        if let Ok(Err(error)) = cleared.join() {
            eprintln!("{name} stays on the servers: {error}");
        }
    }
}

impl Pair {
    async fn clear(&self) -> Result<(), String> {
        let changes = format!("{}.changes", self.database);
        let dead_letters = format!("{}.dlq", self.topic);
        topic::delete(&self.servers.kafka_brokers, &[&self.topic, &changes, &dead_letters]).await?;
        let mongo = mongodb::Client::with_uri_str(&self.servers.mongo_uri).await.map_err(|error| error.to_string())?;
        mongo.database(&self.database).drop().await.map_err(|error| error.to_string())
    }
}
