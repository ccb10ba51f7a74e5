//! The programs under test, built with the same cargo, profile and target directory as the test, or the program, that runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What is built together, because it is run together.
struct Build {
    arguments: &'static [&'static str],
    done: OnceLock<()>,
}

static EMBEDDED: Build = Build { arguments: &["-p", "rastro", "--features", "rastro/otlp"], done: OnceLock::new() };
static PAIR: Build = Build {
    arguments: &[
        "-p",
        "ingest-service",
        "-p",
        "processor-service",
        "--features",
        "ingest-service/servers,processor-service/servers",
    ],
    done: OnceLock::new(),
};

/// The same programs, which also count what they ask their allocator for.
static COUNTING: Build = Build {
    arguments: &[
        "-p",
        "ingest-service",
        "-p",
        "processor-service",
        "--features",
        "ingest-service/servers,processor-service/servers,ingest-service/count-allocations,processor-service/count-allocations",
    ],
    done: OnceLock::new(),
};
/// Where they are kept: in the profile's folder are those that do not count.
const COUNTING_FOLDER: &str = "counting";

/// Variables that cargo gives to a test; a build must not take them for its own.
const OF_THE_TEST: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// The program `rastro`.
#[must_use]
pub fn rastro() -> PathBuf {
    EMBEDDED.made("rastro")
}

/// The program `ingest-service`.
#[must_use]
pub fn ingest_service() -> PathBuf {
    PAIR.made("ingest-service")
}

/// The program `processor-service`.
#[must_use]
pub fn processor_service() -> PathBuf {
    PAIR.made("processor-service")
}

/// The programs of the pair, `ingest-service` and `processor-service`, that count what they ask their allocator for. Call it before the others:
/// cargo puts all of them in one place, and these are copied from there, once.
#[must_use]
pub fn counting_pair() -> [PathBuf; 2] {
    static KEPT: OnceLock<[PathBuf; 2]> = OnceLock::new();
    KEPT.get_or_init(|| ["ingest-service", "processor-service"].map(|name| keep(&COUNTING.made(name), name))).clone()
}

/// Copies a program to where no other build puts one.
fn keep(built: &Path, name: &str) -> PathBuf {
    let folder = built.with_file_name(COUNTING_FOLDER);
    let kept = folder.join(name);
    std::fs::create_dir_all(&folder).expect("the target directory can be written");
    // Under another name first: the one that is there may be running.
    let part = folder.join(format!("{name}.{}", std::process::id()));
    std::fs::copy(built, &part).and_then(|_| std::fs::rename(&part, &kept)).expect("a program can be copied");
    kept
}

impl Build {
    /// Builds once in a test run; what is up to date costs a fraction of a second.
    fn made(&self, name: &str) -> PathBuf {
        let here = std::env::current_exe().expect("a running program has a path");
        // <target>/<profile>/deps/<test>, or <target>/<profile>/<program>
        let directory = here.parent().expect("a program stands in a directory");
        let profile = if directory.ends_with("deps") { directory.parent() } else { Some(directory) };
        let profile = profile.expect("what cargo builds stands below its profile");
        self.done.get_or_init(|| self.run(profile));
        let program = profile.join(name);
        assert!(program.is_file(), "cargo built no {}", program.display());
        program
    }

    fn run(&self, profile: &Path) {
        let name = profile.file_name().and_then(|name| name.to_str()).expect("a profile has a plain name");
        let target = profile.parent().expect("a profile stands in the target directory");
        let mut cargo = Command::new(env!("CARGO"));
        for (variable, _) in std::env::vars_os() {
            if OF_THE_TEST.iter().any(|prefix| variable.to_string_lossy().starts_with(prefix)) {
                cargo.env_remove(variable);
            }
        }
        cargo.args(["build", "--profile", if name == "debug" { "dev" } else { name }]).args(self.arguments);
        cargo.arg("--target-dir").arg(target).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let built = cargo.output().expect("cargo can be run");
        assert!(built.status.success(), "{:?} failed:\n{}", self.arguments, String::from_utf8_lossy(&built.stderr));
    }
}
