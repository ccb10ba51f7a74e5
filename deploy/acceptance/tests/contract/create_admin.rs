//! The first admin of a platform that seeds nobody.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use acceptance::client::Client;
use acceptance::program::{Program, free_port};
use acceptance::servers::Servers;
use acceptance::{binary, wait};
use serde_json::{Value, json};
use shared::real_servers::unique_name;
use tokio::io::AsyncWriteExt;

/// Longest time until a program has done what it was called for, or listens.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "Correct-Horse-1";
const SECRET: &str = "7d1f5e0c9b3a48e6f2d4c8a1b7e93f605c2a8d4e1f7b9063";

/// A program and the settings that say where its users are.
struct Called {
    binary: PathBuf,
    settings: Vec<(&'static str, String)>,
}

impl Called {
    async fn with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = tokio::process::Command::new(&self.binary);
        command.args(arguments).env_clear().envs(self.settings.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it can be run");
        let mut stdin = child.stdin.take().expect("it is piped");
        // Whoever refuses to work does not read.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        wait::within(&format!("{arguments:?}"), PATIENCE, child.wait_with_output()).await.expect("it ends")
    }

    /// Everything that it said, when it ends with this code.
    async fn says(&self, code: i32, arguments: &[&str], input: &str) -> String {
        let ended = self.with(arguments, input).await;
        let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {said}");
        let input = input.trim_end();
        assert!(input.is_empty() || !said.contains(input), "a password is never shown: {said}");
        said
    }

    async fn makes_admins_and_refuses_what_is_wrong(&self) {
        let create = &["create-admin"] as &[_];
        let said = self.says(0, create, &format!("{PASSWORD}\n")).await;
        assert!(said.contains("admin can log in now"), "{said}");
        let said = self.says(1, create, "Another-Horse-2\n").await;
        assert!(said.contains("there is a user \"admin\" already") && said.lines().count() == 1, "{said}");
        let second = ["create-admin", "--username", "ana@example.com"];
        for (input, problem) in [
            ("Kurz-1\n", "at least 8 bytes"),
            ("", "at least 8 bytes"),
            (&"Lang-".repeat(15), "at most 72 bytes"),
            ("two\nlines\n", "one line"),
        ] {
            let said = self.says(1, &second, input).await;
            assert!(said.contains(problem) && said.lines().count() == 1, "{said}");
        }
        self.says(0, &second, "ñandúes\r\n").await;
        for arguments in [
            &["create-admin", "Hunter2-Hunter2"] as &[_],
            &["create-admin", "--password", "Hunter2-Hunter2"],
            &["create-admin", "--username"],
            &["createadmin"],
        ] {
            let said = self.says(2, arguments, "").await;
            assert!(said.contains("usage: ") && !said.contains("Hunter2"), "{said}");
        }
        assert!(self.says(0, &["--help"], "").await.contains("create-admin"));
    }

    /// Starts it in production on what it was called with.
    fn serving(&self, name: &str, more: &[(&str, &str)], directory: &Path) -> (Program, Client) {
        let port = free_port();
        let own = self.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let more = more.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let production =
            [("ENV", "production"), ("JWT_SECRET", SECRET)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = own.chain(more).chain(production).chain([("PORT".to_owned(), port.to_string())]).collect();
        let program = Program::start(name, self.binary.clone(), environment, directory);
        (program, Client::nobody(&format!("http://127.0.0.1:{port}")))
    }
}

/// The two whom the program has made log in, and there is nobody else.
async fn the_admins_log_in_and_are_the_only_users(nobody: &Client) {
    let login = json!({"username": "admin", "password": PASSWORD});
    let granted = async || {
        let answer = nobody.call("POST", "/auth/login").json(&login).try_send().await.ok()?;
        (answer.status == 200).then(|| answer.with_status(200))
    };
    let (granted, _) = wait::until("the admin logs in", PATIENCE, granted).await;
    let admin = nobody.with_token(granted["token"].as_str().expect("a token"));
    let users = admin.get("/auth/users").await.with_status(200);
    let users: Vec<(&Value, &Value)> =
        users["data"].as_array().expect("users").iter().map(|user| (&user["username"], &user["role"])).collect();
    assert_eq!(users, [(&json!("admin"), &json!("admin")), (&json!("ana@example.com"), &json!("admin"))]);
    nobody.log_in("ana@example.com", "ñandúes").await;
    let seeded = json!({"username": "admin_user", "password": "password123"});
    nobody.post("/auth/login", &seeded).await.problem(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn rastro_makes_the_first_admin_of_its_file() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let data = directory.path().join("data").display().to_string();
    let rastro = Called { binary: binary::rastro(), settings: vec![("DATA_DIR", data)] };
    rastro.makes_admins_and_refuses_what_is_wrong().await;
    let (program, nobody) = rastro.serving("rastro", &[], directory.path());
    the_admins_log_in_and_are_the_only_users(&nobody).await;
    let said = rastro.says(1, &["create-admin", "--username", "late"], "Correct-Horse-3\n").await;
    assert!(said.contains("DATA_DIR: ") && said.contains("in use"), "{said}");
    drop(program);
}

#[tokio::test]
async fn ingest_service_makes_the_first_admin_of_its_database() {
    let Some(servers) = Servers::given("ingest_service_makes_the_first_admin_of_its_database") else { return };
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let database = unique_name("acceptance");
    let settings = vec![("MONGO_URI", servers.mongo_uri.clone()), ("MONGO_DB", database.clone())];
    let service = Called { binary: binary::ingest_service(), settings };
    service.makes_admins_and_refuses_what_is_wrong().await;
    // Logging in needs neither of the two that are away.
    let away = [("KAFKA_BROKERS", "127.0.0.1:1"), ("REDIS_ADDR", "127.0.0.1:1")];
    let (program, nobody) = service.serving("ingest-service", &away, directory.path());
    the_admins_log_in_and_are_the_only_users(&nobody).await;
    drop(program);
    let mongo = mongodb::Client::with_uri_str(&servers.mongo_uri).await.expect("a connection string");
    mongo.database(&database).drop().await.expect("the database of the test can be dropped");

    let nowhere =
        Called { binary: binary::ingest_service(), settings: vec![("MONGO_URI", "mongodb://127.0.0.1:1".to_owned())] };
    let said = nowhere.says(1, &["create-admin"], &format!("{PASSWORD}\n")).await;
    assert_eq!(said.lines().count(), 1, "{said}");
}
