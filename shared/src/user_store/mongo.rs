//! Users in MongoDB, collection `auth_users`.
//!
//! `_id` is the user name: two callers who add one name at once meet in the index that every collection has, also before
//! [`MongoUsers::ensure_schema`] has made the unique one on `username` that the reference names.

use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::raw::cstr;
use mongodb::bson::{RawArrayBuf, RawDocument, RawDocumentBuf, doc};

use super::{Role, User, UserError, UserStore};
use crate::mongo::{
    CALL_DEADLINE, Fault, Members, MongoConnection, SERVER_DEADLINE, append_text, batch_command, date, within,
};
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
        let mut cursor = within(CALL_DEADLINE, find).await?;
        let mut users = Vec::new();
        while within(CALL_DEADLINE, cursor.advance()).await? {
            users.push(decode(cursor.current())?);
        }
        Ok(users)
    }
}

fn encode(user: &User) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), user.username.as_str());
    document.append(cstr!("username"), user.username.as_str());
    document.append(cstr!("password_hash"), user.password_hash.as_str());
    document.append(cstr!("role"), user.role.as_str());
    append_text(&mut document, cstr!("client_id"), user.client_id.as_deref());
    document.append(cstr!("created_at"), date(user.created_at));
    document.append(cstr!("updated_at"), date(user.updated_at));
    document
}

fn decode(document: &RawDocument) -> Result<User, StoreError> {
    let members = Members(document);
    let role = |word: &str| Role::ALL.iter().copied().find(|role| role.as_str() == word);
    Ok(User {
        username: members.string("username")?,
        password_hash: members.string("password_hash")?,
        role: members.parsed("role", role)?,
        client_id: members.optional_string("client_id")?,
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
        let mut documents = RawArrayBuf::new();
        documents.push(encode(&user));
        let command = batch_command(cstr!("insert"), AUTH_USERS, cstr!("documents"), documents);
        let reply = self.connection.run(command).await?;
        let error = reply.get_array("writeErrors").into_iter().flatten().find_map(|error| error.as_document());
        if let Some(error) = error {
            let (code, why) = (error.get_i32("code").unwrap_or_default(), error.get_str("errmsg").unwrap_or_default());
            return Err(match Fault::of(code) {
                Fault::Duplicate => UserError::Taken,
                Fault::Refused => UserError::Store(StoreError::Refused(vec![(0, why.to_owned())])),
                Fault::Unavailable => UserError::Store(StoreError::unavailable(why)),
            });
        }
        match reply.get_document("writeConcernError") {
            Ok(_) => Err(UserError::Store(StoreError::unavailable("written, but not by a majority"))),
            Err(_) => Ok(()),
        }
    }

    async fn all(&self) -> Result<Vec<User>, StoreError> {
        self.select(doc! {}).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mongo::on_real_database;
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

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_is_given_out_once_also_without_the_index() {
        on_real_database("a_name_is_given_out_once_also_without_the_index", async |connection| {
            conformance::run(Arc::new(MongoUsers::new(&connection))).await;
        })
        .await;
    }
}
