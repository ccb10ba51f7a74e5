//! Why something could not be measured.

use crate::api::ApiError;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The platform.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The bare log.
    #[error("Kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// The bare store.
    #[error("MongoDB: {0}")]
    Mongo(#[from] mongodb::error::Error),
    /// The bare window.
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// The bare file.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file or a socket.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What the platform wrote is not what this program knows how to copy.
    #[error("the specimen: {0}")]
    Specimen(String),
    /// What was to be measured did not happen.
    #[error("{0}")]
    NotMeasured(String),
}

impl From<mongodb::bson::error::Error> for Failure {
    fn from(error: mongodb::bson::error::Error) -> Self {
        Self::Specimen(error.to_string())
    }
}
