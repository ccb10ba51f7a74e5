//! A program that is called for one command and ends.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::wait;

/// Longest time that a command may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// A program and the settings that it is called with.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The program.
    pub binary: PathBuf,
    /// Its environment.
    pub environment: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` for one that was killed.
    pub status: Option<i32>,
    /// What it printed.
    pub said: String,
    /// What it wrote to standard error.
    pub complained: String,
}

impl Tool {
    /// Begins a command. It is killed when the child is dropped.
    #[must_use]
    pub fn begin(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().expect("it can be run")
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let child = self.begin(arguments);
        let ended = wait::within(&format!("{arguments:?}"), PATIENCE, child.wait_with_output()).await;
        let ended = ended.expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { status: ended.status.code(), said: text(&ended.stdout), complained: text(&ended.stderr) }
    }

    /// Runs a command that must end with `status`, and gives what it said.
    ///
    /// # Panics
    /// It ends with another one.
    pub async fn says(&self, status: i32, arguments: &[&str]) -> String {
        let ended = self.run(arguments).await;
        assert_eq!(ended.status, Some(status), "{arguments:?}: {}{}", ended.said, ended.complained);
        if status == 2 { ended.complained } else { ended.said }
    }
}
