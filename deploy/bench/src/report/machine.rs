//! The machine, and whether others work on it (Linux).

use std::process::Command;
use std::time::Duration;

use serde::Serialize;

/// How long the others are watched before a run.
const WATCHED: Duration = Duration::from_secs(2);
/// Kilobytes of a gigabyte.
const KB_PER_GB: u64 = 1024 * 1024;

/// A machine.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// How many processors it has.
    pub processors: usize,
    /// What they call themselves.
    pub model: String,
    /// Its memory.
    pub memory_gb: u64,
    /// Its kernel.
    pub kernel: String,
    /// How much of the processors others took before the run, in hundredths.
    pub busy_percent: f64,
}

impl Machine {
    /// This one. Watches for two seconds what others do.
    pub async fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let member = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory = member(&read("/proc/meminfo"), "MemTotal");
        let memory_kb: u64 = memory.split(' ').next().and_then(|kb| kb.parse().ok()).unwrap_or(0);
        let before = busy_and_all(&read("/proc/stat"));
        tokio::time::sleep(WATCHED).await;
        let after = busy_and_all(&read("/proc/stat"));
        let (busy, all) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
        Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            model: member(&read("/proc/cpuinfo"), "model name"),
            memory_gb: memory_kb.div_ceil(KB_PER_GB),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            busy_percent: if all == 0 { 0.0 } else { 100.0 * busy as f64 / all as f64 },
        }
    }
}

/// Ticks of all processors together: those in which they worked, and all.
fn busy_and_all(stat: &str) -> (u64, u64) {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|ticks| ticks.parse().ok()).collect();
    let all = ticks.iter().sum();
    // The fourth and the fifth are those in which they did nothing, and those in which they waited for a disk.
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (all - idle, all)
}

/// The commit that is checked out, and whether something is changed beside it.
#[must_use]
pub fn revision() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    if changed { format!("{commit} and changes") } else { commit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_working() {
        let stat = "cpu  10 0 5 80 5 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_and_all(stat), (15, 100));
        assert_eq!(busy_and_all(""), (0, 0));
    }
}
