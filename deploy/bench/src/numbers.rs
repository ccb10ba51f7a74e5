//! Tracking numbers of shipments that no platform has handed out: spread over all numbers, as those that it hands out are, so that an index
//! takes them in at no better places.

/// Digits of Crockford's base32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// What every tracking number begins with.
const PREFIX: &str = "99M-";
/// Bits of the eight digits.
const BITS: u32 = 40;
const MASK: u64 = (1 << BITS) - 1;
/// Odd, so that to multiply by it is one to one.
const SPREAD: u64 = 0x9E_3779_B97F_4A7D & MASK;

/// The eight characters in which tracking numbers differ.
pub type Suffix = [u8; 8];

/// The suffix with this index; no two below 2^40 are the same.
#[must_use]
pub fn suffix(index: u64) -> Suffix {
    // Each step can be undone, so different indexes stay different.
    let mut mixed = index & MASK;
    for _ in 0..2 {
        mixed = mixed.wrapping_mul(SPREAD) & MASK;
        mixed ^= mixed >> (BITS / 2);
    }
    let mut suffix = [0; 8];
    for (place, digit) in suffix.iter_mut().enumerate() {
        *digit = DIGITS[(mixed >> (5 * place) & 31) as usize];
    }
    suffix
}

/// The tracking number with this suffix.
#[must_use]
pub fn number(suffix: Suffix) -> String {
    format!("{PREFIX}{}", String::from_utf8_lossy(&suffix))
}

/// The suffix of a tracking number; `None` when it has another length.
#[must_use]
pub fn suffix_of(number: &str) -> Option<Suffix> {
    number.strip_prefix(PREFIX)?.as_bytes().try_into().ok()
}

/// Hands out suffixes, each once.
#[derive(Debug, Default)]
pub struct Numbers(u64);

impl Numbers {
    /// The next `count`.
    pub fn take(&mut self, count: usize) -> Vec<Suffix> {
        let first = self.0;
        self.0 += count as u64;
        (first..self.0).map(suffix).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_are_well_formed_different_and_spread() {
        let suffixes = Numbers::default().take(100_000);
        assert_eq!(suffixes.iter().collect::<HashSet<_>>().len(), suffixes.len());
        assert!(suffixes.iter().flatten().all(|digit| DIGITS.contains(digit)));
        let mut per_digit = [0_usize; 128];
        suffixes.iter().for_each(|suffix| per_digit[usize::from(suffix[0])] += 1);
        assert!(DIGITS.iter().all(|&digit| (2_000..4_500).contains(&per_digit[usize::from(digit)])), "{per_digit:?}");
        assert_eq!(suffix_of(&number(suffixes[7])), Some(suffixes[7]));
        assert_eq!(suffix_of("99M-ABCDEF"), None);
    }
}
