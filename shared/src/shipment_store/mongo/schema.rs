//! The indexes and the view.

use std::time::Duration;

use mongodb::bson::{Document, doc};

use super::{Names, SHIPMENTS_FLAT};
use crate::mongo::{MongoConnection, codes};
use crate::shipment_store::StoreError;

/// How long the building of the indexes may take before the caller is told to try again; MongoDB goes on with it.
const SCHEMA_DEADLINE: Duration = Duration::from_secs(60);

/// Makes the indexes that are not there yet. Two processes may do so at once: the server lets the second one find it done.
pub(super) async fn ensure_indexes(connection: &MongoConnection, names: &Names) -> Result<(), StoreError> {
    connection.administer(indexes(&names.shipments), SCHEMA_DEADLINE).await.map_err(|failure| failure.error)
}

/// Makes the view, or makes it show this generation.
pub(super) async fn ensure_view(connection: &MongoConnection, names: &Names) -> Result<(), StoreError> {
    let administer = async |command| connection.administer(command, SCHEMA_DEADLINE).await;
    let view = |verb| {
        let mut command = doc! { verb: SHIPMENTS_FLAT };
        command.extend(doc! { "viewOn": &names.shipments, "pipeline": flat() });
        command
    };
    match administer(view("create")).await {
        // An older version of us may have made it, or it shows another generation.
        Err(failure) if failure.code == Some(codes::NAMESPACE_EXISTS) => {
            administer(view("collMod")).await.map_err(|failure| failure.error)
        }
        other => other.map_err(|failure| failure.error),
    }
}

/// The lists of one client and of all, of one service type and of every one, newest first: nothing in them is ever changed by an event. And the
/// shipments with parked events: few.
fn indexes(shipments: &str) -> Document {
    doc! { "createIndexes": shipments, "indexes": [
        { "name": "client_newest_first", "key": { "client_id": 1, "created_at": -1, "_id": -1 } },
        { "name": "newest_first", "key": { "created_at": -1, "_id": -1 } },
        { "name": "service_newest_first", "key": { "service_type": 1, "created_at": -1, "_id": -1 } },
        { "name": "client_service_newest_first", "key": { "client_id": 1, "service_type": 1, "created_at": -1, "_id": -1 } },
        {
            "name": "parked_until",
            "key": { "parking.until": 1 },
            "partialFilterExpression": { "parking.until": { "$exists": true } },
        },
    ] }
}

/// A shipment as the reference has it: `tracking_number`, and the members of `state` at the top.
fn flat() -> Vec<Document> {
    vec![
        doc! { "$replaceWith": { "$mergeObjects": [
            { "tracking_number": "$_id", "last_scan": { "$last": "$state.status_history" } }, "$$ROOT", "$state",
        ] } },
        doc! { "$unset": ["state", "e", "o", "parking", "parked"] },
    ]
}
