//! The shipments that are on their way: all callers report about the same few, so that their reports meet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use acceptance::sample::Sequence;

/// Shipments on their way at a time.
const OPEN: usize = 48;
/// Reports about a shipment before it leaves: with those that are still on their way then, it stays below the 200 entries that a history
/// shows, so that the whole of it can be compared.
const REPORTS: usize = 60;

/// A shipment that can be reported about.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Its number.
    pub number: String,
    /// Whether the field policy judges it.
    pub field: bool,
    /// How many reports were begun before this one.
    pub reports: usize,
}

/// The shipments on their way.
#[derive(Debug, Default)]
pub struct Yard {
    open: Mutex<Vec<Parcel>>,
}

impl Yard {
    /// A new shipment.
    pub fn enter(&self, number: String, field: bool) {
        self.open().push(Parcel { number, field, reports: 0 });
    }

    /// A shipment to report about; `None` when there are too few, and one has to be registered.
    pub fn pick(&self, sequence: &mut Sequence) -> Option<Parcel> {
        let mut open = self.open();
        if open.len() < OPEN {
            return None;
        }
        let index = sequence.below(open.len());
        let parcel = open[index].clone();
        open[index].reports += 1;
        if parcel.reports + 1 >= REPORTS {
            open.swap_remove(index);
        }
        Some(parcel)
    }

    /// The number of some shipment on its way.
    pub fn any(&self, sequence: &mut Sequence) -> Option<String> {
        let open = self.open();
        (!open.is_empty()).then(|| open[sequence.below(open.len())].number.clone())
    }

    fn open(&self) -> MutexGuard<'_, Vec<Parcel>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipment_leaves_after_its_reports_and_then_another_one_is_wanted() {
        let (yard, mut sequence) = (Yard::default(), Sequence::of(1));
        assert!(yard.pick(&mut sequence).is_none());
        (0..OPEN).for_each(|number| yard.enter(number.to_string(), false));
        let picked = std::iter::from_fn(|| yard.pick(&mut sequence)).collect::<Vec<_>>();
        let most = picked.iter().map(|parcel| parcel.reports).max();
        assert_eq!(most, Some(REPORTS - 1));
        assert!(yard.any(&mut sequence).is_some());
    }
}
