//! Users in MongoDB, collection `auth_users`.
//!
//! `_id` is the user name: two callers who add one name at once meet in the index that every collection has, also before
//! [`MongoUsers::ensure_schema`] has made the unique one on `username` that the reference names.

mod change;

use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::raw::cstr;
use mongodb::bson::{RawDocument, RawDocumentBuf, doc};

use self::change::Change;
use super::{Role, User, UserError, UserStore};
use crate::mongo::{CALL_DEADLINE, Members, MongoConnection, SERVER_DEADLINE, append_text, calling, date, within};
use crate::shipment_store::StoreError;

const AUTH_USERS: &str = "auth_users";
/// The collection is small.
const SCHEMA_DEADLINE: Duration = Duration::from_secs(10);

/// The users in one database.
#[derive(Clone, Debug)]
pub struct MongoUsers {
    connection: MongoConnection,
}

impl MongoUsers {
    /// The users on `connection`.
    #[must_use]
    pub fn new(connection: &MongoConnection) -> Self {
        Self { connection: connection.clone() }
    }

    /// Makes the unique index on `username`. Safe to call again and from several processes at once.
    ///
    /// # Errors
    /// MongoDB is away, or the names that are there are not unique.
    pub async fn ensure_schema(&self) -> Result<(), StoreError> {
        let indexes = doc! { "createIndexes": AUTH_USERS, "indexes": [
            { "name": "username", "key": { "username": 1 }, "unique": true },
        ] };
        self.connection.administer(indexes, SCHEMA_DEADLINE).await.map_err(|failure| failure.error)
    }

    async fn select(&self, condition: mongodb::bson::Document) -> Result<Vec<User>, StoreError> {
        let collection = self.connection.collection(AUTH_USERS);
        let find = collection.find(condition).sort(doc! { "username": 1 }).max_time(SERVER_DEADLINE);
        let reading = async {
            let mut cursor = within(CALL_DEADLINE, find).await?;
            let mut users = Vec::new();
            while within(CALL_DEADLINE, cursor.advance()).await? {
                users.push(decode(cursor.current())?);
            }
            Ok(users)
        };
        calling("find", &collection, reading).await
    }
}

fn encode(user: &User) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), user.username.as_str());
    document.append(cstr!("username"), user.username.as_str());
    document.append(cstr!("password_hash"), user.password_hash.as_str());
    document.append(cstr!("role"), user.role.as_str());
    append_text(&mut document, cstr!("client_id"), user.client_id.as_deref());
    document.append(cstr!("disabled"), user.disabled);
    document.append(cstr!("created_at"), date(user.created_at));
    document.append(cstr!("updated_at"), date(user.updated_at));
    document
}

fn decode(document: &RawDocument) -> Result<User, StoreError> {
    let members = Members(document);
    Ok(User {
        username: members.string("username")?,
        password_hash: members.string("password_hash")?,
        role: members.parsed("role", Role::of)?,
        client_id: members.optional_string("client_id")?,
        // Absent in documents from before there was such a thing.
        disabled: members.optional_flag("disabled")?.unwrap_or(false),
        created_at: members.date("created_at")?,
        updated_at: members.date("updated_at")?,
    })
}

#[async_trait]
impl UserStore for MongoUsers {
    async fn find(&self, username: &str) -> Result<Option<User>, StoreError> {
        let found = self.select(doc! { "username": { "$eq": username } }).await?;
        Ok(found.into_iter().next())
    }

    async fn add(&self, user: User) -> Result<(), UserError> {
        let is_new = self.connection.insert(AUTH_USERS, encode(&user)).await?;
        if is_new { Ok(()) } else { Err(UserError::Taken) }
    }

    async fn all(&self) -> Result<Vec<User>, StoreError> {
        self.select(doc! {}).await
    }

    async fn replace(&self, was: &User, user: User) -> Result<(), UserError> {
        self.change(&was.username, Change::Replace { was_updated_at: was.updated_at, user }).await
    }

    async fn remove(&self, username: &str) -> Result<(), UserError> {
        self.change(username, Change::Remove).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mongo::on_real_database;
    use crate::shipment::Timestamp;
    use crate::user_store::conformance;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_mongo_users_keep_the_contract() {
        on_real_database("the_mongo_users_keep_the_contract", async |connection| {
            let users = MongoUsers::new(&connection);
            tokio::try_join!(users.ensure_schema(), users.ensure_schema()).expect("made");
            conformance::run(Arc::new(users)).await;
        })
        .await;
    }

    // contract: "MongoDB database `MONGO_DB`"
    // contract: "Fields as in the reference"
    #[tokio::test]
    async fn documents_have_the_members_of_the_reference() {
        on_real_database("documents_have_the_members_of_the_reference", async |connection| {
            let (username, password_hash) = ("zoe".to_owned(), "hash".to_owned());
            let (client_id, now) = (Some("client_001".to_owned()), Timestamp::from_millis(1_700_000_000_123));
            let user = User::new(username, password_hash, Role::Client, client_id, now);
            MongoUsers::new(&connection).add(user).await.expect("added");
            let found = connection.collection(AUTH_USERS).find_one(doc! {}).await.expect("readable").expect("a user");
            for (member, value) in
                [("username", "zoe"), ("password_hash", "hash"), ("role", "client"), ("client_id", "client_001")]
            {
                assert_eq!(found.get_str(member).ok(), Some(value));
            }
            assert!(found.get_datetime("created_at").is_ok() && found.get_datetime("updated_at").is_ok());
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_is_given_out_once_also_without_the_index() {
        on_real_database("a_name_is_given_out_once_also_without_the_index", async |connection| {
            conformance::run(Arc::new(MongoUsers::new(&connection))).await;
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_user_from_before_there_was_disabled_is_read_changed_and_removed() {
        let name = "a_user_from_before_there_was_disabled_is_read_changed_and_removed";
        on_real_database(name, async |connection| {
            let (users, time) = (MongoUsers::new(&connection), date(Timestamp::from_millis(1_700_000_000_456)));
            let old = doc! { "_id": "ana", "username": "ana", "password_hash": "h", "role": "admin", "created_at": time,
            "updated_at": time, "note": "by hand" };
            let insert = doc! { "insert": AUTH_USERS, "documents": [old] };
            connection.administer(insert, CALL_DEADLINE).await.map_err(|failure| failure.error).expect("inserted");
            let ana = users.find("ana").await.expect("reachable").expect("there");
            assert!(ana.is_enabled_admin());
            assert!(matches!(users.remove("ana").await, Err(UserError::LastAdmin)));
            let mut renewed = User { password_hash: "another".to_owned(), ..ana.clone() };
            renewed.updated_at = ana.updated_at.plus(Duration::from_millis(1));
            users.replace(&ana, renewed.clone()).await.expect("replaced");
            assert_eq!(users.find("ana").await.expect("reachable"), Some(renewed));
            let note = connection.collection(AUTH_USERS).find_one(doc! { "note": "by hand" }).await.expect("reachable");
            assert!(note.is_some(), "what a person wrote beside it stays");
        })
        .await;
    }
}
