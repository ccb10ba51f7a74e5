//! Tracking numbers: the name of a shipment and the partition key of every record about it.
//!
//! A new number is a leased counter put through format-preserving encryption (FF1, NIST SP 800-38G): a bijection
//! of the 32⁸ numbers, so two counters never give one number, and nobody without the key can tell the next one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use aes::Aes256;
use fpe::ff1::{FF1, FlexibleNumeralString};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::base32;

/// What every tracking number begins with.
pub const PREFIX: &str = "99M-";
/// Characters behind the prefix of a number that we make.
pub const MADE_CHARACTERS: usize = 8;
/// Fewest and most characters behind the prefix of a number that we accept (contract section 1).
pub const ACCEPTED_CHARACTERS: std::ops::RangeInclusive<usize> = 6..=12;
/// How many numbers of [`MADE_CHARACTERS`] there are; a counter stays below.
pub const NUMBERS: u64 = 1 << (5 * MADE_CHARACTERS);

const LONGEST: usize = PREFIX.len() + 12;

/// A well-formed tracking number, upper case. `Copy`, so the hot path never allocates for one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackingNumber {
    bytes: [u8; LONGEST],
    length: u8,
}

/// The text is no tracking number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no tracking number: 99M- and 6 to 12 characters of 0-9 and A-Z without I, L, O, U")]
pub struct MalformedTrackingNumber;

impl TrackingNumber {
    /// The number as text, `99M-…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("only ASCII is ever stored")
    }

    /// The characters behind the prefix.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.as_str()[PREFIX.len()..]
    }
}

impl FromStr for TrackingNumber {
    type Err = MalformedTrackingNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let upper = text.as_bytes().to_ascii_uppercase();
        let suffix = upper.strip_prefix(PREFIX.as_bytes()).ok_or(MalformedTrackingNumber)?;
        let well_formed = suffix.iter().all(|&character| base32::digit(character).is_some());
        if !ACCEPTED_CHARACTERS.contains(&suffix.len()) || !well_formed {
            return Err(MalformedTrackingNumber);
        }
        let mut bytes = [0; LONGEST];
        bytes[..upper.len()].copy_from_slice(&upper);
        Ok(Self { bytes, length: u8::try_from(upper.len()).map_err(|_| MalformedTrackingNumber)? })
    }
}

impl fmt::Display for TrackingNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for TrackingNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for TrackingNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for TrackingNumber {
    fn schema_name() -> Cow<'static, str> {
        "TrackingNumber".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// What is accepted; what is shown is upper case.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let (fewest, most) = ACCEPTED_CHARACTERS.into_inner();
        let (prefix, either) = (PREFIX.replace('M', "[Mm]"), base32::either_case());
        json_schema!({"type": "string", "pattern": format!("^{prefix}{either}{{{fewest},{most}}}$")})
    }
}

impl<'de> Deserialize<'de> for TrackingNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Turns counters into tracking numbers under one secret key.
pub struct NumberCipher {
    ff1: FF1<Aes256>,
}

impl NumberCipher {
    /// The cipher under `key`. The key belongs to the counter: another key for the same counter may repeat numbers.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { ff1: FF1::new(key, 32).expect("32 is a radix of FF1") }
    }

    /// The number of `counter`; `None` from [`NUMBERS`] on, when all have been given out.
    #[must_use]
    pub fn number(&self, counter: u64) -> Option<TrackingNumber> {
        if counter >= NUMBERS {
            return None;
        }
        let digits: Vec<u16> = (0..MADE_CHARACTERS).rev().map(|place| ((counter >> (5 * place)) & 31) as u16).collect();
        let encrypted = self.ff1.encrypt(&[], &FlexibleNumeralString::from(digits)).ok()?;
        let mut text = String::with_capacity(LONGEST);
        text.push_str(PREFIX);
        for digit in Vec::<u16>::from(encrypted) {
            text.push(char::from(base32::ALPHABET[usize::from(digit)]));
        }
        text.parse().ok()
    }
}

impl fmt::Debug for NumberCipher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NumberCipher")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    // contract: "is accepted on input, upper-cased"
    #[test]
    fn six_to_twelve_characters_are_accepted_and_upper_cased() {
        let number: TrackingNumber = "99m-abc12345".parse().expect("well-formed");
        assert_eq!((number.as_str(), number.suffix()), ("99M-ABC12345", "ABC12345"));
        for text in ["99M-ABC123", "99M-ABC123456789"] {
            assert_eq!(text.parse::<TrackingNumber>().map(|number| number.to_string()), Ok(text.to_owned()));
        }
    }

    // contract: "is accepted on input, upper-cased"
    #[test]
    fn what_is_malformed_is_refused() {
        for text in [
            "",
            "99M-",
            "99M-ABC12",
            "99M-ABC1234567890",
            "98M-ABC12345",
            "99M-ABCI2345",
            "99M-ABC 2345",
            "99M-ÄBC12345",
        ] {
            assert_eq!(text.parse::<TrackingNumber>(), Err(MalformedTrackingNumber), "{text}");
        }
    }

    // contract: "Tracking numbers come from a leased counter"
    // contract: "Unique by construction"
    #[test]
    fn counters_give_distinct_numbers_that_do_not_follow_one_another() {
        let cipher = NumberCipher::new(&[7; 32]);
        let numbers: Vec<_> = (0..5_000).map(|counter| cipher.number(counter).expect("in range")).collect();
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), numbers.len());
        let neighbours = numbers.windows(2).filter(|pair| pair[0].suffix()[..4] == pair[1].suffix()[..4]).count();
        assert!(neighbours < 5, "{neighbours} of 5000 numbers share a prefix with the one before");
        assert!(cipher.number(NUMBERS).is_none());
        assert!(cipher.number(NUMBERS - 1).is_some());
    }
}
