//! The shipments that a run is about, registered before the clock starts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;

use crate::api::{self, ApiError};
use crate::connection::{Connection, Target};

/// Registrations under way at a time: each is answered when it is applied, so a platform that works in batches wants many.
const AT_A_TIME: usize = 128;

/// Registers `count` shipments under `policy` and says how long that took.
///
/// # Errors
/// The first registration that failed.
pub async fn register(target: &Target, policy: &str, count: usize) -> Result<(Vec<String>, Duration), ApiError> {
    let (begin, body) = (Instant::now(), api::registration(policy));
    let shares = (0..AT_A_TIME).map(|share| count / AT_A_TIME + usize::from(share < count % AT_A_TIME));
    let numbers = try_join_all(shares.map(|count| register_some(target, body.clone(), count))).await?;
    Ok((numbers.concat(), begin.elapsed()))
}

async fn register_some(target: &Target, body: Bytes, count: usize) -> Result<Vec<String>, ApiError> {
    let mut connection = Connection::new(target);
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        numbers.push(api::register(&mut connection, body.clone()).await?);
    }
    Ok(numbers)
}
