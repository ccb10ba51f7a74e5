//! A Redis server of the test's own, which it may kill and start again.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The server. It is killed with the test.
pub(crate) struct OwnServer {
    pub(crate) port: u16,
    process: Option<Child>,
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn left_out(test: &str, why: &str) {
    // Straight to the stream: the test harness swallows what a passing test prints.
    let line = format!("left out: {test} ({why})\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is writable");
}

impl OwnServer {
    /// A server that is not started yet; `None`, with a line that says so, when `redis-server` is not installed.
    pub(crate) fn installed(test: &str) -> Option<Self> {
        let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if version.is_ok_and(|status| status.success()) {
            return Some(Self { port: free_port(), process: None });
        }
        left_out(test, "redis-server is not installed");
        None
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it and waits until it answers.
    pub(crate) async fn start(&mut self) {
        let port = self.port.to_string();
        self.run(&["--port", &port]);
        self.answers().await.expect("redis-server starts");
    }

    /// The same, for TLS alone, with a certificate and its key out of two files; false, with a line that says so, when this
    /// `redis-server` was built without TLS.
    pub(crate) async fn start_with_tls(&mut self, test: &str, certificate: &Path, key: &Path) -> bool {
        let (port, certificate, key) = (self.port.to_string(), certificate.display(), key.display());
        let (certificate, key) = (certificate.to_string(), key.to_string());
        let tls = ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
        self.run(&[&["--port", "0", "--tls-auth-clients", "no"], &tls[..]].concat());
        match self.answers().await {
            Ok(()) => true,
            Err(said) if said.contains("Bad directive") => {
                left_out(test, "redis-server was built without TLS");
                false
            }
            Err(said) => panic!("redis-server does not start: {said}"),
        }
    }

    fn run(&mut self, listening: &[&str]) {
        let process = Command::new("redis-server")
            .args(listening)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("redis-server can be run");
        self.process = Some(process);
    }

    /// Waits until it takes connections; what it said when it ends instead.
    async fn answers(&mut self) -> Result<(), String> {
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            let process = self.process.as_mut().expect("it was started");
            if process.try_wait().expect("our own process can be waited for").is_some() {
                let mut said = String::new();
                let mut errors = process.stderr.take().expect("it is piped");
                errors.read_to_string(&mut said).expect("it ended");
                return Err(said);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("our own process can be killed");
            process.wait().expect("our own process can be waited for");
        }
    }

    /// Lets it hang: connections stay, and nothing is answered.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("it runs").id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(status.success());
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.kill();
    }
}
