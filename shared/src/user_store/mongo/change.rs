//! Changing and removing users, one at a time in the whole database.
//!
//! Whether an admin may go depends on the others, so it is looked at and done in one transaction, and every such transaction writes the
//! document `admins` of the collection `control` first: of two at once one meets a write conflict and begins again, after the other one
//! has ended. This is not the path of any event: an admin does it now and then.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::error::TRANSIENT_TRANSACTION_ERROR;

use super::{AUTH_USERS, MongoUsers, decode};
use crate::mongo::{CALL_DEADLINE, date, within};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;
use crate::user_store::{Role, User, UserError};

const CONTROL: &str = "control";
/// The document that every change of a user writes.
const ADMINS: &str = "admins";
/// Pause after a write conflict: a few round trips, which is what the transaction of somebody else takes.
const PAUSE: Duration = Duration::from_millis(5);

/// What is to become of a user.
pub(super) enum Change {
    /// This, if the user is still the one of that time.
    Replace {
        was_updated_at: Timestamp,
        user: User,
    },
    Remove,
}

impl Change {
    fn was_made_to_another_state(&self, found: &User) -> bool {
        matches!(self, Self::Replace { was_updated_at, .. } if *was_updated_at != found.updated_at)
    }

    fn leaves_an_admin(&self) -> bool {
        matches!(self, Self::Replace { user, .. } if user.is_enabled_admin())
    }
}

impl MongoUsers {
    /// Makes `change` to the user called `username`.
    pub(super) async fn change(&self, username: &str, change: Change) -> Result<(), UserError> {
        self.make_turnstile().await?;
        let attempts = async {
            loop {
                match self.attempt(username, &change).await {
                    Err(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => tokio::time::sleep(PAUSE).await,
                    ended => return ended,
                }
            }
        };
        within(CALL_DEADLINE, attempts).await?
    }

    /// Makes the document `admins` where it is missing: two transactions that both made it would not be in each other's way.
    async fn make_turnstile(&self) -> Result<(), StoreError> {
        let control = self.connection.collection_in_transactions(CONTROL);
        let make =
            control.update_one(doc! { "_id": ADMINS }, doc! { "$setOnInsert": { "changes": 0_i64 } }).upsert(true);
        within(CALL_DEADLINE, make).await.map(drop)
    }

    async fn attempt(&self, username: &str, change: &Change) -> mongodb::error::Result<Result<(), UserError>> {
        // Dropped without an end, a session ends its transaction by itself.
        let mut session = self.connection.transaction().await?;
        let decided = self.decide(&mut session, username, change).await?;
        match &decided {
            Ok(()) => session.commit_transaction().await?,
            Err(_) => session.abort_transaction().await?,
        }
        Ok(decided)
    }

    async fn decide(
        &self,
        session: &mut ClientSession,
        username: &str,
        change: &Change,
    ) -> mongodb::error::Result<Result<(), UserError>> {
        let [users, control] = [AUTH_USERS, CONTROL].map(|name| self.connection.collection_in_transactions(name));
        control
            .update_one(doc! { "_id": ADMINS }, doc! { "$inc": { "changes": 1_i64 } })
            .session(&mut *session)
            .await?;

        let found = users.find_one(doc! { "username": { "$eq": username } }).session(&mut *session).await?;
        let found = match found.as_deref().map(decode).transpose() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Err(UserError::Missing)),
            Err(error) => return Ok(Err(error.into())),
        };
        if change.was_made_to_another_state(&found) {
            return Ok(Err(UserError::Changed));
        }
        if found.is_enabled_admin() && !change.leaves_an_admin() {
            let another =
                doc! { "username": { "$ne": username }, "role": Role::Admin.as_str(), "disabled": { "$ne": true } };
            if users.find_one(another).session(&mut *session).await?.is_none() {
                return Ok(Err(UserError::LastAdmin));
            }
        }
        let condition = doc! { "username": { "$eq": username } };
        match change {
            Change::Replace { user, .. } => {
                users.update_one(condition, update_to(user)).session(&mut *session).await?;
            }
            Change::Remove => {
                users.delete_one(condition).session(&mut *session).await?;
            }
        }
        Ok(Ok(()))
    }
}

fn update_to(user: &User) -> Document {
    let mut set = doc! {
        "password_hash": &user.password_hash,
        "role": user.role.as_str(),
        "disabled": user.disabled,
        "updated_at": date(user.updated_at),
    };
    match &user.client_id {
        Some(client_id) => {
            set.insert("client_id", client_id);
            doc! { "$set": set }
        }
        None => doc! { "$set": set, "$unset": { "client_id": "" } },
    }
}
