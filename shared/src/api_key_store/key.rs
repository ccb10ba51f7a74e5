//! What a key looks like: `rk_<id>_<secret>`, such as `rk_7G2BKBT9_…`, in Crockford base32.
//!
//! The id (40 random bits) is public: it names the key in lists, logs and records. The secret has 160 random bits, so nobody guesses
//! it, and therefore one round of SHA-256 is the right hash: the slowness of bcrypt makes up for passwords that people choose, and
//! would cost every request 50 ms.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::shipment::base32;
use crate::shipment_store::StoreError;

/// What every key begins with: it tells one from a token, and scanners for leaked secrets know it by that.
pub const PREFIX: &str = "rk_";
/// Random bytes of an id.
const ID_BYTES: usize = 5;
/// Random bytes of a secret.
const SECRET_BYTES: usize = 20;
/// Bytes that are encoded at a time: base32 takes a number of at most 16, and eight digits are five bytes.
const GROUP_BYTES: usize = 5;
/// Digits of one group.
const GROUP_DIGITS: u32 = 8;
/// Digits of an id.
const ID_DIGITS: usize = 8;
/// Digits of a secret.
const SECRET_DIGITS: usize = 32;

/// The public name of a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Reads an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_base32(text, ID_DIGITS).then(|| Self(text.to_owned()))
    }

    /// The eight digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the key begins with.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// A whole key, as its holder has it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText {
    id: KeyId,
    text: String,
}

/// Without the secret, so that none gets into a log.
impl fmt::Debug for KeyText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyText({})", self.id)
    }
}

impl KeyText {
    /// A new key.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn random() -> Result<Self, StoreError> {
        let mut bytes = [0; ID_BYTES + SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| StoreError::unavailable(error.to_string()))?;
        Ok(Self::of(bytes))
    }

    /// The key that is made of these bytes.
    #[must_use]
    pub fn of(bytes: [u8; ID_BYTES + SECRET_BYTES]) -> Self {
        let (id, secret) = bytes.split_at(ID_BYTES);
        let id = KeyId(digits(id));
        let text = format!("{}_{}", id.prefix(), digits(secret));
        Self { id, text }
    }

    /// Reads a key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let id = KeyId::parse(id)?;
        is_base32(secret, SECRET_DIGITS).then(|| Self { id, text: text.to_owned() })
    }

    /// Its public name.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The key itself: for its holder, once, and for nobody else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.text.as_bytes()).into())
    }
}

/// The SHA-256 hash of a whole key. Two are compared in a time that does not tell how much of them is the same.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash that was stored as these bytes.
    #[must_use]
    pub fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to be stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], &other.0[..]).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyHash")
    }
}

fn digits(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(GROUP_BYTES) {
        let value = group.iter().fold(0, |value, &byte| (value << 8) | u128::from(byte));
        text.push_str(&base32::encode(value, GROUP_DIGITS));
    }
    text
}

fn is_base32(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|character| base32::digit(character).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = KeyText::of(std::array::from_fn(|index| u8::try_from(index * 10).expect("fits")));
        assert_eq!(key.reveal(), "rk_005187H8_68Y4CM2TCHQ7H0MCJTGAND5YS39DSSQG");
        let read = KeyText::parse(key.reveal()).expect("a key");
        assert!(read == key && read.hash() == key.hash());
        assert_eq!((read.id().as_str(), read.id().prefix()), ("005187H8", "rk_005187H8".to_owned()));
        let other = KeyText::random().expect("randomness");
        assert!(other.hash() != key.hash() && KeyText::parse(other.reveal()) == Some(other));
    }

    #[test]
    fn what_is_no_key_is_not_read() {
        let key = KeyText::random().expect("randomness").reveal().to_owned();
        let cut = &key[..key.len() - 1];
        for text in ["", "rk_", "rk__", cut, &format!("{key}0"), &key.to_lowercase(), &key.replace('_', "-"), &key[3..]]
        {
            assert_eq!(KeyText::parse(text), None, "{text}");
        }
        // I, L, O and U are no digits.
        assert_eq!(KeyId::parse("7G2BKBTO"), None);
    }

    #[test]
    fn a_key_is_never_shown_by_accident() {
        let key = KeyText::random().expect("randomness");
        let secret = &key.reveal()["rk_00000000_".len()..];
        let shown = format!("{key:?} {:?}", key.hash());
        assert!(!shown.contains(secret) && shown.contains(key.id().as_str()), "{shown}");
    }
}
