//! A part of what `make sim` runs, so that `cargo test` alone knows of the simulator, and that a seed tells the same story each time.

use sim::Schedule;

/// As many as take some seconds without optimisation. `make sim` runs 100,000.
const SCHEDULES: u64 = 1_000;

// contract: "has exactly one final outcome"
// contract: "judged in log order"
// contract: "a duplicate is never applied twice"
// contract: "one record for each applied change"
#[test]
fn whatever_breaks_the_lane_comes_to_what_the_model_says() {
    for seed in 0..SCHEDULES {
        assert_eq!(Schedule::of(seed).run(), Ok(()), "make sim SEED={seed} RUNS=1");
    }
}

#[test]
fn a_seed_tells_the_same_story_each_time() {
    for seed in 0..20 {
        let schedule = Schedule::of(seed);
        let story = schedule.story();
        assert!(story.iter().any(|line| line.starts_with("owner ")), "{story:?}");
        assert_eq!(story, schedule.story());
    }
}
