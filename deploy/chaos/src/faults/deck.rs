//! In which order faults come: a deck of cards, shuffled by the seed, so that every kind has its turn before one comes twice as often.

use acceptance::sample::Sequence;

use super::{Fault, Target};
use crate::network::Toxic;

/// How often each fault that is not about a connection is in the deck.
const CARDS: [(Fault, usize); 14] = [
    (Fault::Kill(Target::Processor), 3),
    (Fault::Kill(Target::Edge), 3),
    (Fault::Kill(Target::Kafka), 1),
    (Fault::Kill(Target::Mongodb), 2),
    (Fault::Kill(Target::Redis), 2),
    (Fault::Freeze(Target::Processor), 1),
    (Fault::Freeze(Target::Edge), 1),
    (Fault::Freeze(Target::Kafka), 1),
    (Fault::Freeze(Target::Mongodb), 1),
    (Fault::Freeze(Target::Redis), 1),
    (Fault::Roll(Target::Processor), 1),
    (Fault::Roll(Target::Edge), 1),
    (Fault::JoinAndLeave, 1),
    (Fault::Flush, 2),
];

/// An endless deck.
pub struct Deck {
    sequence: Sequence,
    links: Vec<String>,
    cards: Vec<Fault>,
}

impl Deck {
    /// The deck of `seed` over the connections `links`.
    #[must_use]
    pub fn of(seed: u64, links: Vec<String>) -> Self {
        Self { sequence: Sequence::of(seed), links, cards: Vec::new() }
    }

    /// The next fault.
    pub fn draw(&mut self) -> Fault {
        if self.cards.is_empty() {
            self.shuffle();
        }
        self.cards.pop().unwrap_or(Fault::Flush)
    }

    /// All cards, and half of all disturbances of connections: the toxics take turns.
    fn shuffle(&mut self) {
        let cards = CARDS.into_iter().flat_map(|(fault, count)| vec![fault; count]);
        let turn = self.sequence.below(2);
        let disturbances = self.links.iter().enumerate().flat_map(|(index, link)| {
            let toxics = Toxic::ALL.into_iter().enumerate().filter(move |(toxic, _)| (toxic + index) % 2 == turn);
            toxics.map(|(_, toxic)| Fault::Disturb(link.clone(), toxic))
        });
        self.cards = cards.chain(disturbances).collect();
        for last in (1..self.cards.len()).rev() {
            let other = self.sequence.below(last + 1);
            self.cards.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn equal_seeds_give_equal_faults_and_every_kind_comes() {
        let links = || vec!["mongodb".to_owned(), "edge-kafka".to_owned()];
        let drawn = |seed| {
            let mut deck = Deck::of(seed, links());
            (0..200).map(|_| deck.draw()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let kinds: BTreeSet<_> = drawn(1).into_iter().collect();
        assert_eq!(kinds.len(), CARDS.len() + 2 * Toxic::ALL.len());
    }
}
