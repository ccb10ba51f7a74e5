//! Counts all steps in one run under valgrind's callgrind. It collects only within `step::counted`, and writes one profile each time
//! that it is left.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{PROFILES, Step};

/// The word on the command line for the run that is counted.
pub const ROUNDS_WORD: &str = "rounds";
/// How the function is called in the program's symbols. Not a pattern: valgrind takes one for the collecting and ignores it for the profiles.
const COUNTED: &str = "cost::step::counted";
/// The functions of the C library that give memory.
const TAKING: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];
/// And the one that takes it back.
const GIVING_BACK: &str = "free";

/// What one event costs in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Instructions, without those of the allocator: how many that takes hangs on what else lies in memory, and differs from run to run.
    pub instructions: u64,
    /// Calls that take memory or make a piece of it grow, in hundredths.
    pub allocations: u64,
}

/// Why nothing was counted.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// It cannot be started.
    #[error("valgrind cannot be started ({0}): is it installed?")]
    Start(#[source] std::io::Error),
    /// It failed, or the program in it.
    #[error("valgrind failed: {0}")]
    Failed(String),
    /// A profile is missing or has another form.
    #[error("{0}: {1}")]
    Profile(PathBuf, String),
}

/// Runs the program `own` under valgrind and counts `steps`; the profiles stay in `directory`.
///
/// # Errors
/// See [`CountError`].
pub fn count(own: &Path, steps: &[Step], directory: &Path) -> Result<Vec<Count>, CountError> {
    let profiles = directory.join("profile");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no"]);
    valgrind.arg(format!("--toggle-collect={COUNTED}")).arg(format!("--dump-after={COUNTED}"));
    valgrind.arg(format!("--callgrind-out-file={}", profiles.display())).arg(own).arg(ROUNDS_WORD);
    let output = valgrind.output().map_err(CountError::Start)?;
    if !output.status.success() {
        return Err(CountError::Failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let counts = steps.iter().zip(1..).map(|(step, number)| {
        let path = profiles.with_extension((number * PROFILES).to_string());
        let text =
            std::fs::read_to_string(&path).map_err(|error| CountError::Profile(path.clone(), error.to_string()))?;
        read(&text, u64::from(step.rounds) * u64::from(step.events)).map_err(|why| CountError::Profile(path, why))
    });
    counts.collect()
}

/// The count of one event in the profile of `events`.
fn read(profile: &str, events: u64) -> Result<Count, String> {
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = total.and_then(|total| total.trim().parse().ok()).ok_or("it has no total")?;
    let (mut allocations, mut within) = (0, 0);
    let (mut caller, mut called) = ("", "");
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("fn=") {
            caller = name;
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = name;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            // The next line has what was spent in the called function and in all that it called.
            let spent = lines.next().unwrap_or_default();
            if is_allocator(called) && !is_allocator(caller) {
                let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
                let calls = number(calls.split(' ').next()).ok_or_else(|| format!("what is {line:?}?"))?;
                within += number(spent.split(' ').nth(1)).ok_or_else(|| format!("what is {spent:?}?"))?;
                allocations += if called == GIVING_BACK { 0 } else { calls };
            }
        }
    }
    Ok(Count { instructions: total.saturating_sub(within) / events, allocations: allocations * 100 / events })
}

fn is_allocator(function: &str) -> bool {
    function == GIVING_BACK || TAKING.contains(&function)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "version: 1\nevents: Ir\nsummary: 2050\n\nfn=cost::step::counted\n0 10\ncfn=malloc\ncalls=6 0\n0 60\n\
        cfn=memcpy\ncalls=9 0\n0 9\n\nfn=grow\n0 100\ncfn=realloc\ncalls=2 0\n0 25\ncfn=free\ncalls=5 0\n0 45\n\n\
        fn=realloc\n0 5\ncfn=malloc\ncalls=1 0\n0 20\n\ntotals: 2050\n";

    #[test]
    fn a_profile_is_shared_out_among_its_events_and_the_allocator_is_left_out() {
        assert_eq!(read(PROFILE, 4), Ok(Count { instructions: (2050 - 60 - 25 - 45) / 4, allocations: 200 }));
    }

    #[test]
    fn a_profile_without_a_total_counts_nothing() {
        assert!(read("version: 1\nfn=malloc\n0 1\n", 1).is_err());
    }
}
