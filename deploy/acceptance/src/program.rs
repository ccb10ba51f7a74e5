//! A program under test: started, watched, stopped; it does not outlive the test.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::wait;

/// How much of a log is shown when a test fails.
const SHOWN_BYTES: usize = 6_000;
/// Longest time for an orderly end: the services promise twelve seconds for what is in flight, ten for a drain.
const ORDERLY_END: Duration = Duration::from_secs(30);

/// A running program.
pub struct Program {
    name: String,
    binary: PathBuf,
    environment: Vec<(String, String)>,
    log: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    will: LastWill,
}

impl Program {
    /// Starts `binary` with `environment` and nothing else of ours. What it writes goes to a file in `directory`.
    #[must_use]
    pub fn start(name: &str, binary: PathBuf, environment: Vec<(String, String)>, directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let mut program = Self { name: name.to_owned(), binary, environment, log, running: None };
        program.start_again();
        program
    }

    /// Starts it again, with the same environment, after it ended.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "{} runs", self.name);
        let log = File::options().create(true).append(true).open(&self.log).expect("a temporary file can be written");
        let mut command = Command::new(&self.binary);
        // A developer's own settings are none of the test's.
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"));
        command.env("RUST_BACKTRACE", "1").env("LOG_FORMAT", "text").envs(self.environment.clone());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let will = LastWill::of(&format!("kill -9 {}", child.id()));
        self.running = Some(Running { child, will });
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.running.as_ref().expect("only what runs has a process").child.id()
    }

    /// How it ended, when it did by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.running.as_mut()?.child.try_wait().expect("our own child can be waited for")
    }

    /// Ends it at once, as a crash does (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().expect("our own child can be killed");
            running.child.wait().expect("our own child can be waited for");
            running.will.revoke();
        }
    }

    /// Asks it to end (SIGTERM).
    pub fn ask_to_end(&self) {
        self.signal("TERM");
    }

    /// Lets it do nothing any more, and know nothing of that (SIGSTOP).
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on where it was (SIGCONT).
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let running = self.running.as_ref().expect("only what runs is signalled");
        signal(name, running.child.id());
    }

    /// Waits until it has ended, in good order.
    ///
    /// # Panics
    /// It does not end in time, or not with 0.
    pub async fn end(&mut self) {
        let name = format!("{} ends after SIGTERM", self.name);
        let (status, _) = wait::until(&name, ORDERLY_END, async || self.ended()).await;
        assert!(status.success(), "{}: {status}\n{}", self.name, self.log());
        self.kill();
    }

    /// The end of what it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let end = &text[text.len().saturating_sub(SHOWN_BYTES)..];
        format!("--- {} ---\n{}", self.name, String::from_utf8_lossy(end))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process of ours.
pub(crate) fn signal(name: &str, process: u32) {
    let sent =
        Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().expect("a shell can be run");
    assert!(sent.success(), "process {process} cannot be signalled");
}

/// A shell command that is run when this process ends without having revoked it, even by a kill -9.
pub struct LastWill {
    shell: Child,
}

impl LastWill {
    /// Leaves `command` behind.
    #[must_use]
    pub fn of(command: &str) -> Self {
        // Ctrl-C in a terminal reaches every process there; the executor must outlive it.
        let script = "trap '' INT TERM HUP; read -r word || eval \"$1\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh", command]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { shell: shell.spawn().expect("a shell can be run") }
    }

    /// Takes it back.
    pub fn revoke(mut self) {
        let told = self.shell.stdin.take().map(|mut stdin| stdin.write_all(b"revoked\n"));
        assert!(matches!(told, Some(Ok(()))), "the executor of a last will is gone");
        self.shell.wait().expect("our own child can be waited for");
    }
}

/// A port that nobody listens on. It lies below those that the system gives to outgoing connections: a client that tries again
/// and again to reach a stopped server there could otherwise be connected with itself, and hold the port.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const PORTS: u16 = 11_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Where to begin differs between test processes that run at the same time.
    let begin = u16::try_from(std::process::id() * 97 % u32::from(PORTS)).expect("is below the number of ports");
    for _ in 0..PORTS {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS) % PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        {
            return port;
        }
    }
    panic!("no port is free");
}
