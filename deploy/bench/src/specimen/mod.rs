//! What the platform writes about one shipment: registered, and brought through its moves. The ceilings write the same bytes with other
//! numbers in them ([`crate::template`]), into collections and tables with the same indexes. So they need none of the platform's code, and
//! what a later version of it writes is what they write, too.

pub mod embedded;
pub mod pair;

use acceptance::platform::Platform;
use hyper::StatusCode;
use time::OffsetDateTime;
use tokio::time::{Duration, Instant};

use crate::api::{self, ApiError};
use crate::connection::{Connection, Target};
use crate::failure::Failure;
use crate::walk::{Step, Walk};

/// How long an event may wait for its outcome, in seconds.
const WAIT: u32 = 20;
/// How long what follows from an outcome may take: its change, its place in the window.
const FOLLOWS: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One shipment on its way.
struct Journey {
    connection: Connection,
    number: String,
    steps: Vec<Step>,
}

impl Journey {
    async fn begin(platform: &Platform) -> Result<Self, Failure> {
        let target = log_in(&platform.edges[0].url).await?;
        let mut connection = Connection::new(&target);
        let number = api::register(&mut connection, api::registration("strict")).await?;
        Ok(Self { connection, number, steps: Walk::Moves.steps(OffsetDateTime::now_utc()) })
    }

    /// Takes the shipment a step further and returns when that is applied.
    async fn step(&mut self, index: usize) -> Result<(), Failure> {
        let call = "POST /events";
        let answer = self.connection.post("/events", self.steps[index].event(&self.number), Some(WAIT)).await;
        let (status, body) = answer.map_err(|source| ApiError::Connection { call, source })?;
        if status == StatusCode::OK { Ok(()) } else { Err(ApiError::answer(call, status, &body).into()) }
    }
}

/// The platform at `url` with the token of its seeded admin.
///
/// # Errors
/// It does not let the admin in.
pub async fn log_in(url: &str) -> Result<Target, Failure> {
    let target = Target::of(url).map_err(|error| Failure::NotMeasured(format!("{url}: {error}")))?;
    Ok(api::login(&target, api::ADMIN, api::DEVELOPMENT_PASSWORD).await?)
}

/// What `read` finds as soon as it is so many: some of what the platform writes follows the outcome.
async fn awaited<T>(
    what: &str,
    wanted: usize,
    mut read: impl AsyncFnMut() -> Result<Vec<T>, Failure>,
) -> Result<Vec<T>, Failure> {
    let deadline = Instant::now() + FOLLOWS;
    loop {
        let found = read().await?;
        if found.len() >= wanted || Instant::now() >= deadline {
            return expect(what, wanted, found);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// So many of what the platform wrote, or an error that says what.
fn expect<T>(what: &str, wanted: usize, found: Vec<T>) -> Result<Vec<T>, Failure> {
    if found.len() == wanted {
        return Ok(found);
    }
    Err(Failure::Specimen(format!("{wanted} {what} were expected, and {} are there", found.len())))
}
