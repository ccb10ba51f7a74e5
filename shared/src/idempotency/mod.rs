//! Requests that may be sent again: what is being done under an `Idempotency-Key`, and what was answered.
//!
//! A caller who got no answer sends its request again under the same key, to the same process or to another one. It must get the answer of
//! the first attempt, and what it asked for must not be done twice, whatever died in between.
//!
//! # Contract
//! - **A key is taken before anything is done.** [`IdempotencyKeys::begin`] says [`Standing::Started`] only when the key, the fingerprint of its
//!   request and the plan are durable (as in [`crate::shipment_store`]). Of all who begin at once, in any number of processes, one is told so.
//! - **The plan makes every attempt the same.** It is what was decided for the request and would be decided otherwise the next time: the
//!   tracking number that was drawn, the time. Whoever takes over an attempt is given the *first* plan, and does the same thing again; what
//!   that is must be harmless to do twice. It is forgotten once there is an answer.
//! - **An attempt has a lease.** As long as it runs ([`LEASE`]) others are told [`Standing::Running`]; when it has run out, or was given back
//!   ([`IdempotencyKeys::release`]), the next request takes over. A lease that has run out is a guess that the attempt is dead. When it
//!   lives (a zombie), it does what its successor does, out of the same plan, so nobody has to be fenced off.
//! - **The first answer that is kept counts.** [`IdempotencyKeys::finish`] keeps an answer unless there is one already, and then returns that one. So
//!   an answer is given to a caller only *after* it is kept, and all callers are given the same.
//! - **A key belongs to its request.** The same key with another fingerprint is [`Standing::Reused`], whatever became of the first one.
//! - **24 hours**, from the first use on ([`REMEMBERED`]): afterwards a key is as good as new, and nothing of the old attempts touches the new
//!   one. What has expired is cleared away, so the store holds one day's keys.
//! - **No key is stored as it was sent**, nor whose it is: a [`KeyId`] is a hash of both.
//!
//! Time is the caller's (`now`). Clocks that differ move the moment of a take-over and of the expiry by as much, and harm nothing else.
//!
//! # What an error means
//! As in [`crate::shipment_store`]. After an [`StoreError::Unavailable`] the call *may have happened*: a key that was taken so is taken over when its
//! lease has run out; an answer that was kept so is the one that counts.

mod held;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;
#[cfg(feature = "mongo")]
pub mod mongo;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;

/// How long a key is remembered, from its first use (contract section 4).
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// How long an attempt is left alone. It takes at most an append (8 s), the wait until a GET finds what was made (5 s) and the keeping of
/// the answer (5 s). No longer: after a crash this is what callers wait for.
pub const LEASE: Duration = Duration::from_secs(20);
/// Largest answer that is given to [`IdempotencyKeys::finish`], body and headers, in bytes: as much as a request may have. The answer to a batch of a
/// thousand events has about 90 KB.
pub const ANSWER_BYTES: usize = 1024 * 1024;

/// Which key of which caller on which route: the hash of all that.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 32]);

/// The hash of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl KeyId {
    /// The id made of `parts`: whatever tells the keys of one caller and route from those of others, and the key.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(hash(parts))
    }
}

impl Fingerprint {
    /// The fingerprint of a request that consists of `parts`.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(hash(parts))
    }
}

/// SHA-256 over the parts, each behind its length, so that none runs into the next one.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// In hexadecimal digits.
impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fingerprint")
    }
}

/// A request under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The key.
    pub id: KeyId,
    /// The request.
    pub fingerprint: Fingerprint,
}

/// One attempt to do what a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The key.
    id: KeyId,
    /// When the key expires. Two lives of one key differ in it.
    expires_at: Timestamp,
    /// Which attempt of this life it is, from 1.
    number: i64,
}

impl Attempt {
    /// Whether it took over from an earlier one.
    #[must_use]
    pub fn took_over(&self) -> bool {
        self.number > 1
    }
}

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its status code.
    pub status: u16,
    /// Its headers, in their order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

impl KeptAnswer {
    /// What counts against [`ANSWER_BYTES`].
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len() + self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

/// How a request stands to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the caller's to do now, by this plan.
    Started {
        /// For [`IdempotencyKeys::finish`] or [`IdempotencyKeys::release`].
        attempt: Attempt,
        /// The plan of the first attempt.
        plan: Bytes,
    },
    /// Another attempt is being made.
    Running,
    /// It was answered before.
    Done(KeptAnswer),
    /// The key belongs to another request.
    Reused,
}

/// The keys.
#[async_trait]
pub trait IdempotencyKeys: Send + Sync {
    /// How the request stands at `now` to a key that may be known; `None` when it is not. Takes over an attempt that was cut off, and begins none.
    ///
    /// # Errors
    /// The store failed.
    async fn resume(&self, claim: &Claim, now: Timestamp) -> Result<Option<Standing>, StoreError>;

    /// Like [`IdempotencyKeys::resume`], but takes a key that is not known, with `plan`.
    ///
    /// # Errors
    /// The store failed.
    async fn begin(&self, claim: &Claim, plan: Bytes, now: Timestamp) -> Result<Standing, StoreError>;

    /// Keeps `answer`, which may be given then. When another attempt was first, returns its answer, which must be given instead.
    ///
    /// A key that has expired in the meantime keeps nothing, and nobody can ask for its answer any more.
    ///
    /// # Errors
    /// The store failed. No answer may be given.
    async fn finish(&self, attempt: &Attempt, answer: &KeptAnswer) -> Result<Option<KeptAnswer>, StoreError>;

    /// Ends the lease of an attempt that came to no answer, so that the next request need not wait for it. The plan stays: something of it may
    /// have been done. Changes nothing when another attempt has taken over, or an answer is there.
    ///
    /// # Errors
    /// The store failed; the lease runs out by itself.
    async fn release(&self, attempt: &Attempt) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_one_another() {
        assert_ne!(KeyId::of(&[b"ab", b"c"]), KeyId::of(&[b"a", b"bc"]));
        assert_ne!(KeyId::of(&[b"a", b""]), KeyId::of(&[b"a"]));
        assert_eq!(KeyId::of(&[b"ab", b"c"]), KeyId::of(&[b"ab", b"c"]));
    }

    #[test]
    fn an_id_says_nothing_of_the_key() {
        let id = KeyId::of(&[b"ana", b"order-7"]).to_string();
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
}
