//! What is held under a key, and the rule that every adapter goes by.

use bytes::Bytes;

use super::{Attempt, Claim, Fingerprint, KeptAnswer, KeyId, LEASE, REMEMBERED, Standing};
use crate::shipment::Timestamp;

/// What is held under a key.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) fingerprint: Fingerprint,
    pub(super) expires_at: Timestamp,
    /// The attempt that has, or had, the lease; from 1.
    pub(super) attempt: i64,
    pub(super) lease_until: Timestamp,
    /// Empty once there is an answer.
    pub(super) plan: Bytes,
    pub(super) answer: Option<KeptAnswer>,
}

impl Held {
    /// The first attempt of a key.
    pub(super) fn begun(claim: &Claim, plan: Bytes, now: Timestamp) -> Self {
        Self {
            fingerprint: claim.fingerprint,
            expires_at: now.plus(REMEMBERED),
            attempt: 1,
            lease_until: now.plus(LEASE),
            plan,
            answer: None,
        }
    }

    /// Whether `attempt` belongs to this life of its key.
    pub(super) fn knows(&self, attempt: &Attempt) -> bool {
        self.expires_at == attempt.expires_at
    }

    /// Whether `attempt` has the lease.
    pub(super) fn is_led_by(&self, attempt: &Attempt) -> bool {
        self.knows(attempt) && self.attempt == attempt.number && self.answer.is_none()
    }

    /// The standing of whoever has the lease.
    pub(super) fn started(&self, id: KeyId) -> Standing {
        let attempt = Attempt { id, expires_at: self.expires_at, number: self.attempt };
        Standing::Started { attempt, plan: self.plan.clone() }
    }
}

/// What [`super::IdempotencyKeys::resume`] (without a plan) and [`super::IdempotencyKeys::begin`] (with one) come to when they find `held`: how
/// the request stands, and what has to be written for that.
pub(super) fn enter(
    held: Option<Held>,
    claim: &Claim,
    plan: Option<Bytes>,
    now: Timestamp,
) -> (Option<Standing>, Option<Held>) {
    let entered = |held: Held| (Some(held.started(claim.id)), Some(held));
    match held.filter(|held| held.expires_at > now) {
        None => plan.map_or((None, None), |plan| entered(Held::begun(claim, plan, now))),
        Some(held) if held.fingerprint != claim.fingerprint => (Some(Standing::Reused), None),
        Some(Held { answer: Some(answer), .. }) => (Some(Standing::Done(answer)), None),
        Some(held) if held.lease_until > now => (Some(Standing::Running), None),
        Some(held) => entered(Held { attempt: held.attempt + 1, lease_until: now.plus(LEASE), ..held }),
    }
}
