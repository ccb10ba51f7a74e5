//! Which sightings find room, and which are counted with the rest of their carrier.

use std::collections::HashMap;

use super::{Seen, UnmappedCode};

/// How many new entries each carrier has room for.
#[derive(Debug, Default)]
pub(super) struct Room(HashMap<String, usize>);

impl Room {
    /// `carrier` has room for so many.
    pub(super) fn set(&mut self, carrier: &str, entries: usize) {
        self.0.insert(carrier.to_owned(), entries);
    }

    /// What is to be added where: as it is when it is known or finds room, else to the rest.
    pub(super) fn divide(
        mut self,
        sightings: &[UnmappedCode],
        is_known: impl Fn(&UnmappedCode) -> bool,
    ) -> Vec<UnmappedCode> {
        let (mut placed, mut rest) = (Vec::new(), HashMap::<&str, UnmappedCode>::new());
        for sighting in sightings {
            if sighting.seen != Seen::Rest && (is_known(sighting) || self.take(&sighting.carrier)) {
                placed.push(sighting.clone());
                continue;
            }
            let more = sighting.clone().into_rest();
            match rest.get_mut(sighting.carrier.as_str()) {
                Some(known) => known.absorb(more),
                None => _ = rest.insert(&sighting.carrier, more),
            }
        }
        placed.extend(rest.into_values());
        placed
    }

    fn take(&mut self, carrier: &str) -> bool {
        match self.0.get_mut(carrier) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}
