//! The orders in which the scans of a history can be posted.

/// In which order the scans of each history are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they happened.
    Time,
    /// As the carrier lists them.
    Listed,
    /// At random.
    Shuffled,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Time, Self::Listed, Self::Shuffled];

    /// The word on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Listed => "listed",
            Self::Shuffled => "shuffled",
        }
    }
}

/// Shuffles the `items` of line `line`: each order is as likely as any other, and the same seed and line give the same order on every
/// machine.
pub fn shuffle<T>(items: &mut [T], seed: u64, line: usize) {
    // Mixed, so that the sequences of two lines have nothing in common; a line has the same order whatever stands around it.
    let mut random = SplitMix64(SplitMix64(seed).next() ^ line as u64);
    for end in (1..items.len()).rev() {
        items.swap(end, random.below(end as u64 + 1) as usize);
    }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014; public domain): a counter and a mixer, a
/// dozen lines that will give the same numbers for ever.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`. Uneven by `bound` in 2⁶⁴, which is nothing for the lengths of histories.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn shuffled(length: usize, seed: u64, line: usize) -> Vec<usize> {
        let mut items: Vec<_> = (0..length).collect();
        shuffle(&mut items, seed, line);
        items
    }

    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut random = SplitMix64(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
        ];
        assert_eq!(expected.map(|_| random.next()), expected);
    }

    #[test]
    fn the_same_seed_gives_the_same_order_and_loses_nothing() {
        assert_eq!(shuffled(9, 7, 3), shuffled(9, 7, 3));
        assert_ne!(shuffled(9, 7, 3), shuffled(9, 8, 3));
        assert_ne!(shuffled(9, 7, 3), shuffled(9, 7, 4));
        let mut sorted = shuffled(9, 7, 3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..9).collect::<Vec<_>>());
        assert_eq!(shuffled(1, 7, 3), [0]);
    }

    #[test]
    fn every_order_comes_and_none_is_favoured() {
        let mut counts = HashMap::new();
        for seed in 0..6000 {
            *counts.entry(shuffled(3, seed, 1)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
