//! A failing schedule, made as short as it goes.

use crate::{Schedule, world::Step};

/// Most runs that shrinking may take: some seconds.
const RUNS: usize = 20_000;

/// Leaves out records and steps, fewer and fewer at a time, and calms the steps that stay, as long as the schedule fails.
pub(crate) fn shrink(mut schedule: Schedule) -> Schedule {
    let mut runs = 0;
    let mut fails = |candidate: &Schedule| {
        runs += 1;
        runs <= RUNS && candidate.run().is_err()
    };
    loop {
        let before = (schedule.steps.len(), schedule.workload.records.len(), weight(&schedule.steps));
        let mut size = schedule.steps.len().max(1);
        while size > 0 {
            let mut begin = 0;
            while begin < schedule.steps.len() {
                let mut shorter = schedule.clone();
                shorter.steps.drain(begin..(begin + size).min(schedule.steps.len()));
                if fails(&shorter) { schedule = shorter } else { begin += size }
            }
            size /= 2;
        }
        for index in (0..schedule.workload.records.len()).rev() {
            let mut fewer = schedule.clone();
            fewer.workload.leave_out(index);
            if fails(&fewer) {
                schedule = fewer;
            }
        }
        for (step, number) in (0..schedule.steps.len()).flat_map(|step| (0..4).map(move |number| (step, number))) {
            for value in [0, 1, 2, 3, schedule.steps[step][number] % 8] {
                let mut calmer = schedule.clone();
                calmer.steps[step][number] = value;
                if value < schedule.steps[step][number] && fails(&calmer) {
                    schedule = calmer;
                    break;
                }
            }
        }
        if before == (schedule.steps.len(), schedule.workload.records.len(), weight(&schedule.steps)) {
            return schedule;
        }
    }
}

fn weight(steps: &[Step]) -> u64 {
    steps.iter().flatten().map(|&number| u64::from(number)).sum()
}
