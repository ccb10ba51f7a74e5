//! Whether it matters how many shipments are stored.

use time::OffsetDateTime;

use super::{PAIR_MOST, flat_out, load};
use crate::ceilings::mongo::BareStore;
use crate::failure::Failure;
use crate::load::Plan;
use crate::numbers::Suffix;
use crate::report::names as n;
use crate::report::run::{Bench, Real};
use crate::run::Load;
use crate::systems::CONNECTIONS;
use crate::systems::pair::Pair;
use crate::walk::{Step, Walk};

/// Stored at a time, between two lines of progress.
const AT_ONCE: usize = 250_000;

/// A pair with a large store. It is filled once; its programs rest while others are measured.
pub struct Large {
    pair: Pair,
    /// Shipments that nobody has reported about.
    fresh: Vec<Suffix>,
}

impl Large {
    async fn fill(bench: &mut Bench, real: &Real) -> Result<Self, Failure> {
        let pair = bench.pair().await?;
        let all = bench.numbers.take(bench.plan.stored.0);
        for (part, suffixes) in all.chunks(AT_ONCE).enumerate() {
            bench.progress.say(&format!("  storing shipments: {} of {}", part * AT_ONCE, all.len()));
            pair.store.store(&real.specimen, suffixes).await?;
        }
        // Those that are reported about lie anywhere among the others: the numbers are spread already.
        Ok(Self { pair, fresh: all })
    }

    /// Whether `store` is where it is.
    #[must_use]
    pub fn is_in(&self, store: &BareStore) -> bool {
        self.pair.store.name() == store.name()
    }

    fn take(&mut self, count: usize) -> Vec<Suffix> {
        self.fresh.split_off(self.fresh.len().saturating_sub(count))
    }
}

/// The same load, about equally many shipments, on a small store and on a large one; and on the large one, each event about another shipment.
///
/// # Errors
/// A pair could not be measured.
pub async fn measure(bench: &mut Bench) -> Result<(), Failure> {
    let real = bench.real().await?;
    let (_, few) = bench.plan.stored;
    let steps = Walk::Parcel.steps(OffsetDateTime::now_utc());
    {
        let pair = bench.pair().await?;
        let suffixes = bench.numbers.take(few);
        pair.store.store(&real.specimen, &suffixes).await?;
        run(bench, &real, &pair, n::FEW, &suffixes, &steps).await?;
    }
    let mut large = match bench.large.take() {
        Some(mut large) => {
            large.pair.wake().await?;
            large.pair.warm_up(&real, &mut bench.numbers).await?;
            large
        }
        None => Large::fill(bench, &real).await?,
    };
    let suffixes = large.take(few);
    run(bench, &real, &large.pair, n::MANY, &suffixes, &steps).await?;
    let suffixes = large.take((PAIR_MOST * bench.plan.each.as_secs() as usize).min(large.fresh.len() / 4));
    // The second step: the first one of the moves.
    run(bench, &real, &large.pair, "many, each event about another shipment", &suffixes, &steps[1..2]).await?;
    large.pair.rest().await;
    bench.large = Some(large);
    Ok(())
}

async fn run(
    bench: &mut Bench,
    real: &Real,
    pair: &Pair,
    row: &str,
    suffixes: &[Suffix],
    steps: &[Step],
) -> Result<(), Failure> {
    let numbers: Vec<_> = suffixes.iter().map(|&suffix| crate::numbers::number(suffix)).collect();
    let measured = Load {
        target: &pair.target,
        plan: Plan::flat_out(bench.plan.each, 100, CONNECTIONS),
        numbers: &numbers,
        steps,
        probe_rate: 0,
        probe_numbers: &[],
        processes: &pair.watched(real),
    };
    let result = load(bench, n::STORED, row, measured).await?;
    flat_out(&mut bench.figures, n::STORED, row, &result);
    Ok(())
}
