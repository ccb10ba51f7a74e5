//! In which order the rows of a batch are written. A row that stands behind others of its shipment goes by what they say: it is written when they
//! are there, whether it is inserted or takes the place of one that was there.

use std::collections::HashMap;

use shared::shipment::TrackingNumber;

/// The rows, by index, in the turns in which they are written: insertions in the even ones, which are nearly all of them, replacements in the odd
/// ones. A turn of replacements has one row of a shipment at most, because the store writes those that it does not refuse.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    turns: Vec<Vec<usize>>,
    /// The last turn with a row of the shipment, unless it is the first turn of all.
    last: HashMap<TrackingNumber, usize>,
}

impl Turns {
    /// The row `row` is inserted.
    pub(crate) fn insert(&mut self, number: TrackingNumber, row: usize) {
        let last = self.last(number);
        self.add(number, row, last + last % 2);
    }

    /// The row `row` takes the place of the one that is there.
    pub(crate) fn replace(&mut self, number: TrackingNumber, row: usize) {
        let last = self.last(number);
        self.add(number, row, last + 1 + last % 2);
    }

    /// Each turn: whether its rows replace others, and the rows, in log order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (bool, &[usize])> {
        let turns = self.turns.iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        turns.map(|(turn, rows)| (turn % 2 == 1, &rows[..]))
    }

    fn last(&self, number: TrackingNumber) -> usize {
        self.last.get(&number).copied().unwrap_or(0)
    }

    fn add(&mut self, number: TrackingNumber, row: usize, turn: usize) {
        if turn >= self.turns.len() {
            self.turns.resize_with(turn + 1, Vec::new);
        }
        self.turns[turn].push(row);
        if turn > 0 {
            self.last.insert(number, turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_shipment_are_written_in_their_order() {
        let [one, other, third] = ["99M-ABC12341", "99M-ABC12342", "99M-ABC12343"].map(|n| n.parse().expect("valid"));
        let mut turns = Turns::default();
        turns.insert(one, 0);
        turns.insert(other, 1);
        turns.replace(one, 2);
        turns.replace(one, 3);
        turns.replace(third, 4);
        turns.insert(one, 5);
        turns.insert(other, 6);
        turns.insert(third, 7);
        let written: Vec<_> = turns.iter().collect();
        let expected: [(bool, &[usize]); 5] =
            [(false, &[0, 1, 6]), (true, &[2, 4]), (false, &[7]), (true, &[3]), (false, &[5])];
        assert_eq!(written, expected);
    }
}
