//! The rule in MongoDB: a validator of `status_events`. It cannot look into the log, so it is told of each event that may come again.

use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use mongodb::{Client, Database, error};

use super::MARK;

/// The collection of rows (contract section 6).
const ROWS: &str = "status_events";
/// Longest time until mongod takes a rule: longer than it is ever broken.
const PATIENCE: Duration = Duration::from_secs(240);
/// Longest time for one attempt.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Between two attempts.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The validator of `status_events`.
pub struct Validator {
    database: Database,
    taken: Vec<String>,
}

impl Validator {
    /// Sets the rule in the database `name` at `uri`.
    ///
    /// # Panics
    /// It cannot be set, although nothing is broken yet.
    pub async fn set(uri: &str, name: &str) -> Self {
        let client = Client::with_uri_str(uri).await.expect("a connection string");
        let validator = Self { database: client.database(name), taken: Vec::new() };
        validator.tell().await.expect("MongoDB takes a rule");
        validator
    }

    /// Events at these places are taken from now on. What was refused before has its row, and stays refused until it comes again.
    pub(super) async fn take(&mut self, places: Vec<String>) -> Option<()> {
        self.taken.extend(places);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            // A rule that is told twice is the same rule.
            if let Ok(Ok(_)) = tokio::time::timeout(ATTEMPT, self.tell()).await {
                return Some(());
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        None
    }

    async fn tell(&self) -> error::Result<Document> {
        let unmarked = doc! {"place": {"$not": {"$regex": format!("^{MARK}")}}};
        let rule = doc! {"$or": [unmarked, {"place": {"$in": &self.taken}}]};
        // A majority's, so that a mongod that is killed does not forget it.
        let command = doc! {"collMod": ROWS, "validator": rule, "writeConcern": {"w": "majority"}};
        self.database.run_command(command).await
    }
}
