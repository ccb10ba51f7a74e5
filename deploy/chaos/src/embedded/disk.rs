//! A disk that can be full: a small file system of its own, in memory, where the system lets us make one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use acceptance::program::LastWill;

use crate::progress::Progress;

/// How large it is: hours of load.
const SIZE: &str = "2g";

/// A directory, which is a file system of its own when `mounted`.
pub(super) struct Disk {
    path: PathBuf,
    mounted: Option<LastWill>,
}

impl Disk {
    /// Makes one in `directory`. Where that is not allowed (it takes root), it is a plain directory, which is said.
    pub(super) fn mount(directory: &Path, progress: &Progress) -> Self {
        let path = directory.join("data");
        std::fs::create_dir(&path).expect("a directory can be made");
        let shown = path.display().to_string();
        let mounted = match run("mount", &["-t", "tmpfs", "-o", &format!("size={SIZE},mode=700"), "rastro", &shown]) {
            Ok(_) => Some(LastWill::of(&format!("umount -l '{shown}'"))),
            Err(problem) => {
                progress.say(&format!("left out: a full disk (no file system of our own: {problem})"));
                None
            }
        };
        Self { path, mounted }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can be full.
    pub(super) fn can_fill(&self) -> bool {
        self.mounted.is_some()
    }

    /// From now on it takes no byte more.
    pub(super) fn fill(&self) {
        let shown = self.path.display().to_string();
        let used = run("df", &["--output=used", "-k", &shown]).expect("df tells");
        let used = String::from_utf8_lossy(&used.stdout);
        let used: u64 = used.lines().last().and_then(|line| line.trim().parse().ok()).expect("df says a number");
        // What is written between the two is why it may be refused.
        for more in [0, 64, 1_024, 16_384] {
            if run("mount", &["-o", &format!("remount,size={}k", used + more), &shown]).is_ok() {
                return;
            }
        }
        panic!("{shown} cannot be made smaller");
    }

    /// There is room again.
    pub(super) fn empty(&self) {
        let shown = self.path.display().to_string();
        run("mount", &["-o", &format!("remount,size={SIZE}"), &shown])
            .expect("what was made smaller can be made larger");
    }

    /// Copies what is on it into the directory that it is in, for whoever looks into it.
    pub(super) fn keep(&self) {
        if let Some(directory) = self.path.parent() {
            let copied =
                run("cp", &["-r", &self.path.display().to_string(), &directory.join("kept").display().to_string()]);
            if let Err(problem) = copied {
                eprintln!("{}: {problem}", self.path.display());
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(will) = self.mounted.take() {
            match run("umount", &["-l", &self.path.display().to_string()]) {
                Ok(_) => will.revoke(),
                // The executor of the will tries once more when this process is gone.
                Err(problem) => eprintln!("{}: {problem}", self.path.display()),
            }
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<Output, String> {
    let done = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() { Ok(done) } else { Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()) }
}
