//! What processes take: memory and processor time out of `/proc` (Linux).

use serde::{Deserialize, Serialize};

/// Ticks of a second in `/proc/PID/stat`: what Linux shows to programs on every architecture that we run on (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Kilobytes of a megabyte.
const KB_PER_MB: u64 = 1024;

/// A process that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// What it is called in the report.
    pub name: String,
    /// Its id.
    pub pid: u32,
}

impl Watched {
    /// This process.
    #[must_use]
    pub fn generator() -> Self {
        Self { name: GENERATOR.to_owned(), pid: std::process::id() }
    }
}

/// What this process is called in reports.
pub const GENERATOR: &str = "bench";

/// What a process took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// What it is called.
    pub name: String,
    /// Memory at the end of the run (`VmRSS`), in megabytes.
    pub rss_mb: u64,
    /// Most memory during the measurement (`VmHWM`), in megabytes; most memory of its life when `peak_not_reset`.
    pub peak_rss_mb: u64,
    /// Why the system did not forget the peak of before the measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_not_reset: Option<String>,
    /// Processor time of the measurement, in seconds.
    pub cpu_seconds: f64,
}

/// What was so at the beginning of a measurement.
#[derive(Debug)]
pub struct Watch(Vec<Begun>);

/// The same of one process.
#[derive(Debug)]
struct Begun {
    process: Watched,
    cpu_seconds: f64,
    peak_not_reset: Option<String>,
}

impl Watch {
    /// Begins to watch `processes`.
    #[must_use]
    pub fn begin(processes: &[Watched]) -> Self {
        let begun = |process: &Watched| Begun {
            process: process.clone(),
            peak_not_reset: reset_peak(process.pid).err().map(|error| error.to_string()),
            cpu_seconds: cpu_seconds(process.pid).unwrap_or(0.0),
        };
        Self(processes.iter().map(begun).collect())
    }

    /// What each of them took since. One that has ended took nothing that could be read.
    #[must_use]
    pub fn end(self) -> Vec<Usage> {
        let usage = |Begun { process, cpu_seconds: before, peak_not_reset }| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
            let since = cpu_seconds(process.pid).map_or(0.0, |now| now - before);
            Usage {
                name: process.name,
                rss_mb: kilobytes(&status, "VmRSS:") / KB_PER_MB,
                peak_rss_mb: kilobytes(&status, "VmHWM:") / KB_PER_MB,
                peak_not_reset,
                cpu_seconds: (since * 100.0).round() / 100.0,
            }
        };
        self.0.into_iter().map(usage).collect()
    }
}

/// Lets the kernel forget the most memory that a process had (5: proc_pid_clear_refs(5)). It refuses for a process of another user, and
/// some containers and kernels have no such file.
fn reset_peak(pid: u32) -> std::io::Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// Memory of a process now (`VmRSS`), in megabytes; 0 of one that is not there.
#[must_use]
pub fn memory_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kilobytes(&status, "VmRSS:") as f64 / KB_PER_MB as f64
}

fn kilobytes(status: &str, member: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(member));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second member is the command in brackets and may hold anything; user and system time are the 12th and 13th behind it.
    let (_, members) = stat.rsplit_once(") ")?;
    let ticks = members.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<_, _>>().ok()?;
    Some(ticks as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_and_processor_time_are_read() {
        let process = Watched { name: "us".to_owned(), pid: std::process::id() };
        let watch = Watch::begin(&[process]);
        let before = cpu_seconds(std::process::id()).expect("our own file");
        let mut sum = 0_u64;
        while cpu_seconds(std::process::id()).expect("our own file") < before + 0.05 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let usage = watch.end().remove(0);
        assert!(usage.rss_mb >= 1 && usage.peak_rss_mb >= usage.rss_mb, "{usage:?}");
        assert!(usage.cpu_seconds >= 0.05, "{usage:?}");
    }

    #[test]
    fn a_process_that_is_not_there_took_nothing() {
        let usage = Watch::begin(&[Watched { name: "nobody".to_owned(), pid: u32::MAX }]).end().remove(0);
        assert_eq!((usage.rss_mb, usage.peak_rss_mb, usage.cpu_seconds), (0, 0, 0.0));
        assert!(usage.peak_not_reset.is_some(), "there is nothing to reset");
    }
}
