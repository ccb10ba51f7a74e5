//! Any interleaving of the shipments' streams, with duplicates and cut into runs anywhere, gives the same shipments.

use proptest::prelude::*;
use shared::shipment::{Event, Outcome};

use crate::world::{World, created, number, reported};

const SHIPMENTS: usize = 3;
const STATUSES: [&str; 5] = ["picked_up", "in_warehouse", "in_transit", "delivered", "cancelled"];

/// What happens next in a random log.
#[derive(Clone, Debug)]
enum Step {
    /// The next event of a shipment.
    Next(usize),
    /// An earlier event of the log again.
    Again(usize),
    /// The processor is stopped and another one started.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..SHIPMENTS).prop_map(Step::Next),
        3 => (0_usize..1000).prop_map(Step::Again),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

fn streams() -> impl Strategy<Value = Vec<Vec<Event>>> {
    let statuses = proptest::collection::vec(0..STATUSES.len(), 0..10);
    proptest::collection::vec(statuses, SHIPMENTS).prop_map(|streams| {
        let stream = |(n, statuses): (usize, Vec<usize>)| {
            let reports = statuses.iter().zip(1..).map(|(&s, minute)| reported(number(n), STATUSES[s], minute));
            std::iter::once(created(number(n))).chain(reports).collect()
        };
        streams.into_iter().enumerate().map(stream).collect()
    })
}

/// The statuses that the whitelist lets through, one stream at a time: what the pipeline must come to.
fn expected(stream: &[Event]) -> Vec<&'static str> {
    const ALLOWED: [(&str, &str); 7] = [
        ("created", "picked_up"),
        ("created", "cancelled"),
        ("picked_up", "in_warehouse"),
        ("picked_up", "cancelled"),
        ("in_warehouse", "in_transit"),
        ("in_warehouse", "cancelled"),
        ("in_transit", "delivered"),
    ];
    let mut history: Vec<&str> = Vec::new();
    for event in stream {
        let next = event.report().claim.as_str();
        match history.last() {
            None => history.push(next),
            Some(last) if ALLOWED.contains(&(last, next)) => history.push(next),
            Some(_) => {}
        }
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // contract: "has exactly one final outcome"
    // contract: "judged in log order"
    // contract: "a duplicate is never applied twice"
    // contract: "one record for each applied change"
    #[test]
    fn any_interleaving_with_duplicates_and_restarts_gives_the_same_fold(streams in streams(), steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let world = World::new();
            let (mut runs, mut log, mut taken) = (vec![Vec::new()], Vec::<Event>::new(), [0; SHIPMENTS]);
            for step in steps {
                let event = match step {
                    Step::Restart => { runs.push(Vec::new()); continue }
                    Step::Again(pick) if !log.is_empty() => log[pick % log.len()].clone(),
                    Step::Again(_) => continue,
                    Step::Next(n) => match streams[n].get(taken[n]) {
                        Some(event) => { taken[n] += 1; log.push(event.clone()); event.clone() }
                        None => continue,
                    },
                };
                runs.last_mut().expect("there is one").push(event);
            }
            for run in &runs {
                world.apply(run).await;
            }
            for n in (0..SHIPMENTS).filter(|&n| taken[n] > 0) {
                let expected = expected(&streams[n][..taken[n]]);
                assert_eq!(world.history(number(n)).await, expected);
            }
            let rows = world.store.all_rows();
            assert_eq!(rows.len(), log.len(), "each event has one row, a duplicate none");
            let applied = rows.iter().filter(|row| row.outcome == Outcome::Applied).count();
            assert_eq!(world.changes().len(), applied, "without a crash each change is published once");
        });
    }
}
