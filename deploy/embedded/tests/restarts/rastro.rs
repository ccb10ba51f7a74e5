//! The real program as a child process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// A running `rastro` on a port of its own. It is killed when this is dropped.
pub(crate) struct Rastro {
    child: Child,
    /// `http://localhost:…`, as printed.
    pub(crate) address: String,
    /// Everything that it printed.
    pub(crate) greeting: String,
    // Kept open: a program whose output nobody reads is another test.
    _output: BufReader<ChildStdout>,
}

/// `rastro` on `data` with the defaults of development, but for the port: any free one.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rastro"));
    command.env_clear().env("PORT", "0").env("DATA_DIR", data).env("LOG_LEVEL", "error").stdin(Stdio::null());
    command
}

impl Rastro {
    /// Starts it and waits until it listens.
    pub(crate) fn start(data: &Path) -> Self {
        let mut child = command(data).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (mut greeting, mut line) = (String::new(), String::new());
        // The last line is the one that reads the parcel back.
        while !line.contains("/shipments/$number") {
            line.clear();
            let read = output.read_line(&mut line).expect("its output is text");
            assert!(read > 0, "it ended at the start: {:?}", child.wait());
            greeting += &line;
        }
        let address = greeting.split_whitespace().find(|word| word.starts_with("http://")).expect("it is printed");
        Self { child, address: address.to_owned(), greeting, _output: output }
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }

    /// SIGTERM; waits for the end.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is a program");
        assert!(sent.success());
        let wait = tokio::task::spawn_blocking(move || self.child.wait().expect("it ended"));
        wait.await.expect("no panic")
    }
}

impl Drop for Rastro {
    fn drop(&mut self) {
        // It may have ended already, as it should.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
