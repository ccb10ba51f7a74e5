//! Plays histories: the scans of one history one after the other, several histories at a time.

use std::collections::HashSet;

use futures::StreamExt;

use crate::api::{Api, ApiError};
use crate::history::{History, Scan, Status};
use crate::outcome::{NoOutcome, Outcome};
use crate::read_back;

/// What became of one history.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// What became of each of its scans, in the order in which they were posted.
    pub results: Vec<Result<Outcome, NoOutcome>>,
    /// The status of the shipment afterwards. `None`: it could not be read.
    pub final_status: Option<Status>,
    /// What was wrong with the shipment that was read back.
    pub wrong: Vec<String>,
}

/// A scan that the platform has decided about.
#[derive(Debug)]
pub struct Decided<'a> {
    /// The scan.
    pub scan: &'a Scan,
    /// Its outcome.
    pub outcome: Outcome,
    /// The id that the platform gave to the event. An error answer may lack it.
    pub event_id: Option<String>,
}

/// Plays all `histories`, `parallel` at a time. The results are in the order of the histories.
pub async fn play(api: &Api, histories: &[History], parallel: usize) -> Vec<Played> {
    let played = histories.iter().enumerate().map(async |(index, history)| (index, play_one(api, history).await));
    let mut played: Vec<_> = futures::stream::iter(played).buffer_unordered(parallel).collect().await;
    played.sort_by_key(|&(index, _)| index);
    played.into_iter().map(|(_, played)| played).collect()
}

async fn play_one(api: &Api, history: &History) -> Played {
    let number = match api.register(history).await {
        Ok(number) => number,
        Err(error) => return not_registered(history, &error),
    };
    let (mut results, mut decided, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for scan in &history.scans {
        if results.last().is_some_and(Result::is_err) {
            // What follows an event of unknown fate says nothing about the platform any more.
            results.push(Err(NoOutcome::Failed("not posted: the scan before it has no outcome".to_owned())));
            continue;
        }
        let result = post(api, &number, &history.carrier, scan, &mut seen).await;
        results.push(match result {
            Ok(scan) => {
                let outcome = scan.outcome.clone();
                decided.push(scan);
                Ok(outcome)
            }
            Err(error) => Err(error),
        });
    }
    let (final_status, mut wrong) = match api.shipment(&number).await {
        Ok(shipment) => {
            (read_back::final_status(&shipment), read_back::compare(&number, &history.carrier, &decided, &shipment))
        }
        Err(error) => (None, vec![error.to_string()]),
    };
    if results.iter().any(Result::is_err) {
        // What became of that scan is unknown, and so is what the shipment must be.
        wrong.clear();
    }
    Played { results, final_status, wrong }
}

fn not_registered(history: &History, error: &ApiError) -> Played {
    let failed = Err(NoOutcome::Failed(format!("not posted: {error}")));
    let wrong = vec![format!("not registered: {error}")];
    Played { results: vec![failed; history.scans.len()], final_status: None, wrong }
}

/// `seen` are the ids of the events of this shipment so far.
async fn post<'a>(
    api: &Api,
    number: &str,
    source: &str,
    scan: &'a Scan,
    seen: &mut HashSet<String>,
) -> Result<Decided<'a>, NoOutcome> {
    let reported = api.report(number, source, scan).await.map_err(|error| NoOutcome::Failed(error.to_string()))?;
    let event_id = reported.event_id;
    let again = event_id.clone().is_some_and(|id| !seen.insert(id));
    let outcome = match (reported.outcome, &event_id) {
        (Some(outcome), _) => outcome,
        // An id that was there before is a duplicate by definition, and its look-up gives the first one's outcome.
        (None, _) if again => Outcome::Duplicate,
        (None, Some(id)) => api.outcome(id).await?,
        (None, None) => return Err(NoOutcome::Failed("accepted without an event id".to_owned())),
    };
    Ok(Decided { scan, outcome, event_id })
}
