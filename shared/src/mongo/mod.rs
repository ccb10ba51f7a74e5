//! The connection to MongoDB that the adapters share, and what its errors mean.
//!
//! Nothing is connected before it is needed, so a program starts while MongoDB is away; every call then fails as
//! [`StoreError::Unavailable`] within [`CALL_DEADLINE`].

mod members;
mod writer;

use std::time::Duration;

use mongodb::bson::raw::{CStr, cstr};
use mongodb::bson::{DateTime, Document, RawArrayBuf, RawDocumentBuf, doc, rawdoc};
use mongodb::options::{
    ClientOptions, CollectionOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, ClientSession, Collection, Database};

pub(crate) use members::Members;
pub(crate) use writer::{BsonWriter, Open};

use crate::settings::{Environment, SettingError};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;
use crate::telemetry::spans::{self, called};

/// Connections of one process to one server: the driver's own default, written down because it bounds how many calls can be under way.
const POOL_CONNECTIONS: u32 = 10;
/// How long a call waits for a primary: longer than an election that is under way needs to be noticed, short enough for
/// a caller of the edge to get its 503.
const SELECTION_DEADLINE: Duration = Duration::from_secs(2);
/// How long one connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// Longest time for one command. The largest batch takes a twentieth of it on two cores; what takes longer hangs.
pub const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// How long the server works on a command before it gives up on its own: a little less than we wait.
pub(crate) const SERVER_DEADLINE: Duration = Duration::from_millis(4_500);
/// Longest time for a check: the ports promise two seconds.
const CHECK_DEADLINE: Duration = Duration::from_millis(1_800);

/// A client of one database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct MongoConnection {
    database: Database,
}

impl MongoConnection {
    /// A client of what `MONGO_URI` and `MONGO_DB` name. Does not connect.
    ///
    /// # Errors
    /// `MONGO_URI` cannot be used. The message does not hold it.
    pub async fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        let uri = environment.secret("MONGO_URI")?.unwrap_or_else(|| "mongodb://127.0.0.1:27017".to_owned());
        let database = environment.text_or("MONGO_DB", "shipping_system");
        Self::open(&uri, &database).await.map_err(|error| SettingError::new("MONGO_URI", error.to_string()))
    }

    /// A client of `database` on the servers of `uri`. Does not connect; a `mongodb+srv` name is resolved, though.
    ///
    /// # Errors
    /// `uri` is no MongoDB connection string, or its `srv` name cannot be resolved. The message does not hold `uri`.
    pub async fn open(uri: &str, database: &str) -> Result<Self, StoreError> {
        Self::with(Self::options(uri).await?, database)
    }

    async fn options(uri: &str) -> Result<ClientOptions, StoreError> {
        // The driver's own message may quote the string, and that holds the password.
        let mut options = ClientOptions::parse(uri)
            .await
            .map_err(|error| StoreError::unavailable(format!("no usable connection string ({})", kind(&error))))?;
        options.app_name.get_or_insert_with(|| "rastro".to_owned());
        options.max_pool_size.get_or_insert(POOL_CONNECTIONS);
        options.server_selection_timeout = Some(SELECTION_DEADLINE);
        options.connect_timeout = Some(CONNECT_DEADLINE);
        // Whatever the connection string says: a decision that is taken on a secondary's older state would be written as the newest.
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        Ok(options)
    }

    fn with(options: ClientOptions, database: &str) -> Result<Self, StoreError> {
        let client = Client::with_options(options)
            .map_err(|error| StoreError::unavailable(format!("no usable connection options ({})", kind(&error))))?;
        Ok(Self { database: client.database(database) })
    }

    /// A collection whose reads see what a majority holds, and nothing that may be rolled back.
    pub(crate) fn collection(&self, name: &str) -> Collection<RawDocumentBuf> {
        let options = CollectionOptions::builder().read_concern(ReadConcern::majority()).build();
        self.database.collection_with_options(name, options)
    }

    /// A collection whose reads see every write that was acknowledged before they began, whoever may think that it is the primary.
    pub(crate) fn linearizable(&self, name: &str) -> Collection<RawDocumentBuf> {
        let options = CollectionOptions::builder().read_concern(ReadConcern::linearizable()).build();
        self.database.collection_with_options(name, options)
    }

    /// A collection for use in a [`MongoConnection::transaction`], which has concerns of its own.
    pub(crate) fn collection_in_transactions(&self, name: &str) -> Collection<RawDocumentBuf> {
        self.database.collection(name)
    }

    /// Begins a transaction that sees one moment, and whose end a majority holds. Nothing waits in it: whoever meets the work of another
    /// one fails with the label `TransientTransactionError`.
    ///
    /// # Errors
    /// No server can be reached, or none that has transactions (they need a replica set).
    pub(crate) async fn transaction(&self) -> mongodb::error::Result<ClientSession> {
        let mut session = self.database.client().start_session().await?;
        session.start_transaction().read_concern(ReadConcern::snapshot()).write_concern(majority()).await?;
        Ok(session)
    }

    /// Inserts one document, which a majority holds afterwards. `false`: one with its `_id` (or another unique member) is there, and
    /// nothing was changed.
    ///
    /// # Errors
    /// It was refused, or it is not known to be held by a majority.
    pub(crate) async fn insert(&self, collection: &str, document: RawDocumentBuf) -> Result<bool, StoreError> {
        let mut documents = RawArrayBuf::new();
        documents.push(document);
        self.write_one(batch_command(cstr!("insert"), collection, cstr!("documents"), documents)).await
    }

    /// Runs an insert or an update of one document; `false` when the `_id` was taken.
    ///
    /// # Errors
    /// It was refused, or it is not known to be held by a majority.
    pub(crate) async fn write_one(&self, command: RawDocumentBuf) -> Result<bool, StoreError> {
        let reply = self.run(command).await?;
        let error = reply.get_array("writeErrors").into_iter().flatten().find_map(|error| error.as_document());
        if let Some(error) = error {
            let (code, why) = (error.get_i32("code").unwrap_or_default(), error.get_str("errmsg").unwrap_or_default());
            return match Fault::of(code) {
                Fault::Duplicate => Ok(false),
                Fault::Refused => Err(StoreError::Refused(vec![(0, why.to_owned())])),
                Fault::Unavailable => Err(StoreError::unavailable(why)),
            };
        }
        match reply.get_document("writeConcernError") {
            Ok(_) => Err(StoreError::unavailable("written, but not by a majority")),
            Err(_) => Ok(true),
        }
    }

    /// Runs a command and gives its reply. Write errors within the reply are the caller's to read.
    ///
    /// # Errors
    /// The command failed as a whole.
    pub(crate) async fn run(&self, command: RawDocumentBuf) -> Result<Document, StoreError> {
        let first = command.iter().next().and_then(Result::ok);
        let (operation, target) = first.map_or(("", ""), |(name, value)| (name.as_str(), value.as_str().unwrap_or("")));
        let span = spans::call("mongodb", operation, target);
        called(span, within(CALL_DEADLINE, self.database.run_raw_command(command))).await
    }

    /// Runs a command that may take longer, such as the building of an index.
    ///
    /// # Errors
    /// The command failed as a whole; the driver's error, because the caller wants to see its code.
    pub(crate) async fn administer(&self, command: Document, patience: Duration) -> Result<(), Failure> {
        match tokio::time::timeout(patience, self.database.run_command(command)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure { code: code(&error), error: unavailable(error) }),
            Err(_) => Err(Failure { code: None, error: too_late(patience) }),
        }
    }

    /// Whether the primary answers.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        within(CHECK_DEADLINE, self.database.run_command(doc! { "ping": 1 })).await.map(drop)
    }

    /// Drops the whole database: for tests.
    ///
    /// # Errors
    /// It is still there.
    #[cfg(any(test, feature = "conformance"))]
    pub async fn drop_database(&self) -> Result<(), StoreError> {
        within(CALL_DEADLINE, self.database.drop()).await
    }
}

/// A failed administrative command, with the server's code.
pub(crate) struct Failure {
    pub(crate) code: Option<i32>,
    pub(crate) error: StoreError,
}

/// `{w: "majority"}`, with a time after which the server says that the majority does not answer.
pub(crate) fn write_concern() -> RawDocumentBuf {
    let milliseconds = i64::try_from(SERVER_DEADLINE.as_millis()).unwrap_or(i64::MAX);
    rawdoc! { "w": "majority", "wtimeout": milliseconds }
}

/// The same, for calls of the driver's own.
pub(crate) fn majority() -> WriteConcern {
    let mut majority = WriteConcern::majority();
    majority.w_timeout = Some(SERVER_DEADLINE);
    majority
}

/// What the driver gives within `patience`.
///
/// # Errors
/// The driver's error, or that it took longer; both as unavailable.
pub(crate) async fn within<T>(
    patience: Duration,
    call: impl IntoFuture<Output = mongodb::error::Result<T>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(patience, call.into_future()).await {
        Ok(result) => result.map_err(unavailable),
        Err(_) => Err(too_late(patience)),
    }
}

/// What `work`, a call on `collection` and the reading of its answer, gives; as a span of its own.
pub(crate) async fn calling<T>(
    operation: &str,
    collection: &Collection<RawDocumentBuf>,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    called(spans::call("mongodb", operation, collection.name()), work).await
}

fn unavailable(error: mongodb::error::Error) -> StoreError {
    StoreError::unavailable(error)
}

fn too_late(patience: Duration) -> StoreError {
    StoreError::unavailable(format!("no answer from MongoDB within {patience:?}"))
}

fn code(error: &mongodb::error::Error) -> Option<i32> {
    match &*error.kind {
        mongodb::error::ErrorKind::Command(error) => Some(error.code),
        _ => None,
    }
}

/// What went wrong, in words that hold nothing of the connection string.
fn kind(error: &mongodb::error::Error) -> &'static str {
    match &*error.kind {
        mongodb::error::ErrorKind::InvalidArgument { .. } => "invalid argument",
        mongodb::error::ErrorKind::DnsResolve { .. } => "its name cannot be resolved",
        mongodb::error::ErrorKind::InvalidTlsConfig { .. } => "invalid TLS configuration",
        _ => "refused by the driver",
    }
}

/// Server codes that administrative commands meet.
pub(crate) mod codes {
    /// `NamespaceExists`: somebody has made the collection or view already.
    pub(crate) const NAMESPACE_EXISTS: i32 = 48;
    /// `DuplicateKey`.
    pub(crate) const DUPLICATE_KEY: i32 = 11_000;
}

/// What an error about one document of a batch means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A document with this `_id` is there.
    Duplicate,
    /// This document will never be accepted.
    Refused,
    /// The same document may be accepted later.
    Unavailable,
}

impl Fault {
    /// The meaning of the server's error code. An unknown one is taken for transient: to block a lane is loud and can be
    /// mended; to give up an event that the next attempt would have stored cannot.
    pub(crate) fn of(code: i32) -> Self {
        match code {
            codes::DUPLICATE_KEY => Self::Duplicate,
            // DocumentValidationFailure
            121
            // BSONObjectTooLarge, and the two codes of a document that an update would make too large
            | 10_334 | 17_419 | 17_420
            // BadValue, FailedToParse, TypeMismatch, Overflow, InvalidBSON, PathNotViable, ConflictingUpdateOperators
            | 2 | 9 | 14 | 15 | 22 | 28 | 40
            // DollarPrefixedFieldName, InvalidIdField, EmptyFieldName, DottedFieldName
            | 52 | 53 | 56 | 57
            // ImmutableField, CannotBuildIndexKeys
            | 66 | 201 => Self::Refused,
            _ => Self::Unavailable,
        }
    }
}

/// A moment as a BSON date.
pub(crate) fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.as_millis())
}

/// Appends `value` under `key` when there is one.
pub(crate) fn append_text(document: &mut RawDocumentBuf, key: &CStr, value: Option<&str>) {
    if let Some(value) = value {
        document.append(key, value);
    }
}

/// The condition `{_id: {$in: ids}}`.
pub(crate) fn ids_in<T: ToString>(ids: &[T]) -> Document {
    doc! { "_id": { "$in": ids.iter().map(ToString::to_string).collect::<Vec<_>>() } }
}

/// `{update: collection, ordered: false, writeConcern: majority, updates}`; `insert` and `documents` likewise.
pub(crate) fn batch_command(verb: &CStr, collection: &str, members: &CStr, documents: RawArrayBuf) -> RawDocumentBuf {
    let mut command = RawDocumentBuf::new();
    command.append(verb, collection);
    command.append(cstr!("ordered"), false);
    command.append(cstr!("writeConcern"), write_concern());
    command.append(members, documents);
    command
}

#[cfg(test)]
impl MongoConnection {
    /// The same database of the test servers through a client of its own, whose commands `watcher` is shown.
    pub(crate) async fn watched(
        &self,
        watcher: mongodb::event::EventHandler<mongodb::event::command::CommandEvent>,
    ) -> Self {
        let uri = crate::real_servers::address("MONGO_URI", "a watched connection").expect("there is one already");
        let mut options = Self::options(&uri).await.expect("a connection string");
        options.command_event_handler = Some(watcher);
        Self::with(options, self.database.name()).expect("usable options")
    }
}

/// Runs `test` on a database of its own on the real server, and drops it afterwards, whatever happened.
#[cfg(test)]
pub(crate) async fn on_real_database(name: &str, test: impl AsyncFnOnce(MongoConnection)) {
    use futures::FutureExt;
    let Some(uri) = crate::real_servers::address("MONGO_URI", name) else { return };
    let database = crate::real_servers::unique_name("rastro_test");
    let connection = MongoConnection::open(&uri, &database).await.expect("a connection string");
    let outcome = std::panic::AssertUnwindSafe(test(connection.clone())).catch_unwind().await;
    connection.drop_database().await.expect("the database of the test can be dropped");
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wrong_connection_string_is_refused_without_quoting_it() {
        for uri in ["redis://user:secret@host", "mongodb://user:secret@", "mongodb://user:sec@ret@host/?x=1"] {
            let error = MongoConnection::open(uri, "rastro").await.expect_err("refused").to_string();
            assert!(!error.contains("secret") && !error.contains("host"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_program_starts_while_mongodb_is_away_and_its_calls_end_in_time() {
        // A port that was free a moment ago: nobody listens.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let uri = format!("mongodb://127.0.0.1:{port}/?replicaSet=rs0");
        let connection = MongoConnection::open(&uri, "rastro").await.expect("opens without a server");
        let start = std::time::Instant::now();
        assert!(matches!(connection.check().await, Err(StoreError::Unavailable(_))));
        assert!(start.elapsed() < Duration::from_secs(2), "a check ends within two seconds: {:?}", start.elapsed());
        let start = std::time::Instant::now();
        let answer = connection.run(rawdoc! { "ping": 1 }).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))));
        assert!(start.elapsed() < CALL_DEADLINE, "{:?}", start.elapsed());
    }

    #[test]
    fn an_unknown_code_is_tried_again() {
        assert_eq!(Fault::of(11_000), Fault::Duplicate);
        assert_eq!(Fault::of(121), Fault::Refused);
        // WriteConflict, InterruptedAtShutdown, NotWritablePrimary, and one that does not exist.
        for code in [112, 11_600, 10_107, 987_654] {
            assert_eq!(Fault::of(code), Fault::Unavailable, "{code}");
        }
    }
}
