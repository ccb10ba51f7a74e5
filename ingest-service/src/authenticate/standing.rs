//! Whether a user may still do what a token of theirs says.
//!
//! A token is good for a day, and what it says is not asked for on each request. But when its user is disabled, removed, or given another
//! password, role or client, it stops within [`LIVES`]`.present`, 30 s, on every instance, and at once on the one that made the change:
//! for so long an instance remembers what the store said about a user. While the store does not answer, tokens go on as tokens do: the
//! last that is known about a user counts, and without that the token alone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::shipment::Timestamp;
use shared::shipment_store::StoreError;
use shared::user_store::UserStore;

use super::remembered::{Answer, Lives, Remembered, Source};
use super::token::{LIFE_SECONDS, Token};

/// How long an instance goes by what the store said about a user.
const LIVES: Lives = Lives {
    present: Duration::from_secs(30),
    // A user who was removed and added again must not wait for it.
    absent: Duration::from_secs(1),
    // Whatever was given out before has expired by then.
    without_store: Duration::from_secs(LIFE_SECONDS.unsigned_abs()),
};

/// A token that was given out for newer credentials than are known shows that those are out of date: the password was changed on
/// another instance, say. Then the store is asked again, but for one user not more often than this.
const DOUBTED_EVERY: Duration = Duration::from_secs(1);

/// What matters of a user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    disabled: bool,
    changed: Timestamp,
}

struct Users(Arc<dyn UserStore>);

#[async_trait]
impl Source for Users {
    type Value = Standing;

    async fn find(&self, username: &str) -> Result<Option<Standing>, StoreError> {
        let user = self.0.find(username).await?;
        Ok(user.map(|user| Standing { disabled: user.disabled, changed: user.updated_at }))
    }
}

/// What became of a token that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Stands,
    /// It stands, as far as is known; the store does not answer.
    Unconfirmed,
    Withdrawn,
}

/// The standing of all who call.
pub(crate) struct Standings(Remembered<Users>);

impl Standings {
    pub(crate) fn new(users: Arc<dyn UserStore>) -> Self {
        Self(Remembered::new(Users(users), LIVES))
    }

    /// Whether `token` still stands.
    ///
    /// # Errors
    /// The user cannot be read.
    pub(crate) async fn judge(&self, token: &Token) -> Result<Judgement, StoreError> {
        let mut answer = self.0.find(&token.caller.sub).await?;
        if matches!(&answer, Answer::Confirmed(Some(user)) if token.credentials.are_newer_than(user.changed)) {
            answer = self.0.find_younger(&token.caller.sub, DOUBTED_EVERY).await?;
        }
        let (user, otherwise) = match answer {
            Answer::Confirmed(user) => (user, Judgement::Stands),
            Answer::Last(user) => (user, Judgement::Unconfirmed),
            Answer::Unknown => return Ok(Judgement::Unconfirmed),
        };
        let stands = user.is_some_and(|user| !user.disabled && token.credentials.are_those_since(user.changed));
        Ok(if stands { otherwise } else { Judgement::Withdrawn })
    }

    /// The user called `username` was changed here.
    pub(crate) fn changed(&self, username: &str) {
        self.0.forget(username);
    }
}
