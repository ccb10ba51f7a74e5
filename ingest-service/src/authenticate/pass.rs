//! What a caller presented, kept for as long as an answer lasts that is told bit by bit.
//!
//! Most answers are given at once, for what holds at that moment. A stream lasts for hours, and must not go on for a user who has been
//! disabled, or with a key that has been removed: so it is judged again and again, in the way in which every request is.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use shared::shipment::Timestamp;
use tokio::time::Instant;

use super::{Caller, judge, presented};
use crate::error::Problem;
use crate::router::Edge;

/// How often it is judged again. With what an instance remembers of users and keys, a stream ends within 45 s after they were withdrawn.
const AGAIN: Duration = Duration::from_secs(15);

/// A token or a key. It is never shown.
pub(crate) struct Pass {
    text: String,
    caller: Caller,
    /// From when on it is refused, as far as it says so itself.
    ends: Option<Timestamp>,
}

impl FromRequestParts<Edge> for Pass {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, edge).await?;
        let text = parts.headers.get(header::AUTHORIZATION).and_then(presented).unwrap_or_default().to_owned();
        Ok(Self { ends: edge.tokens.ends(&text), text, caller })
    }
}

impl Pass {
    /// Who holds it.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Waits until it does not let its holder in any more.
    pub(crate) async fn ended(&self, edge: &Edge) {
        // By both clocks: the one of the machine may be set, and the other one stands still while the machine sleeps.
        let left = self.left(edge.now());
        let deadline = left.map(|left| Instant::now() + left);
        loop {
            let again = Instant::now() + AGAIN;
            tokio::time::sleep_until(deadline.map_or(again, |deadline| deadline.min(again))).await;
            let over = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if over || self.left(edge.now()).is_some_and(|left| left.is_zero()) || !self.stands(edge).await {
                return;
            }
        }
    }

    fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.ends?.as_millis().saturating_sub(now.as_millis());
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// Whether it still makes its holder the same caller. While that cannot be found out it does, as for a request.
    async fn stands(&self, edge: &Edge) -> bool {
        match judge(edge, &self.text).await {
            Ok(caller) => caller.as_ref() == Some(&self.caller),
            Err(_) => true,
        }
    }
}
