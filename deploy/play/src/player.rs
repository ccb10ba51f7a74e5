//! Plays histories: the scans of one history one after the other, several histories at a time.

use std::collections::HashSet;

use futures::StreamExt;

use crate::api::{Api, ApiError};
use crate::claim::Status;
use crate::document::Document;
use crate::outcome::{NoOutcome, Outcome};
use crate::plan::{Event, Plan};
use crate::read_back::{self, ReadBack};

/// What became of one history.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// What became of each of its events, in the order in which they were posted.
    pub results: Vec<Result<Outcome, NoOutcome>>,
    /// The status of the shipment afterwards. `None`: it could not be read.
    pub final_status: Option<Status>,
    /// What else it shows. `None`: it could not be read, or its policy is judged in the order of arrival, where the outcomes say it all.
    pub document: Option<Document>,
    /// What was wrong with the shipment that was read back.
    pub wrong: Vec<String>,
}

/// An event that the platform has decided about.
#[derive(Debug)]
pub struct Decided<'a> {
    /// Its place among the posted ones, from 0.
    pub index: usize,
    /// The event.
    pub event: &'a Event<'a>,
    /// Its outcome.
    pub outcome: Outcome,
    /// The id that the platform gave to it. An error answer may lack it.
    pub event_id: Option<String>,
}

/// Plays all `plans`, `parallel` at a time. The results are in the order of the plans.
pub async fn play(api: &Api, plans: &[Plan<'_>], parallel: usize) -> Vec<Played> {
    let played = plans.iter().enumerate().map(async |(index, plan)| (index, play_one(api, plan).await));
    let mut played: Vec<_> = futures::stream::iter(played).buffer_unordered(parallel).collect().await;
    played.sort_by_key(|&(index, _)| index);
    played.into_iter().map(|(_, played)| played).collect()
}

async fn play_one(api: &Api, plan: &Plan<'_>) -> Played {
    let number = match api.register(plan).await {
        Ok(number) => number,
        Err(error) => return not_registered(plan, &error),
    };
    let (mut results, mut decided, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (index, event) in plan.events.iter().enumerate() {
        if results.last().is_some_and(Result::is_err) {
            // What follows an event of unknown fate says nothing about the platform any more.
            results.push(Err(NoOutcome::Failed("not posted: the scan before it has no outcome".to_owned())));
            continue;
        }
        let result = post(api, &number, &plan.history.carrier, event, &mut seen).await;
        results.push(result.map(|(outcome, event_id)| {
            decided.push(Decided { index, event, outcome: outcome.clone(), event_id });
            outcome
        }));
    }
    let ReadBack { final_status, document, mut wrong } = match api.shipment(&number).await {
        Ok(shipment) => read_back::compare(&number, plan, &decided, &shipment),
        Err(error) => ReadBack { final_status: None, document: None, wrong: vec![error.to_string()] },
    };
    if results.iter().any(Result::is_err) {
        // What became of that scan is unknown, and so is what the shipment must be.
        wrong.clear();
    }
    Played { results, final_status, document, wrong }
}

fn not_registered(plan: &Plan<'_>, error: &ApiError) -> Played {
    let failed = Err(NoOutcome::Failed(format!("not posted: {error}")));
    let wrong = vec![format!("not registered: {error}")];
    Played { results: vec![failed; plan.events.len()], final_status: None, document: None, wrong }
}

/// The outcome of `event` and the id that the platform gave to it. `seen` are the ids of the events of this shipment so far.
async fn post(
    api: &Api,
    number: &str,
    source: &str,
    event: &Event<'_>,
    seen: &mut HashSet<String>,
) -> Result<(Outcome, Option<String>), NoOutcome> {
    let reported = api.report(number, source, event).await.map_err(|error| NoOutcome::Failed(error.to_string()))?;
    let event_id = reported.event_id;
    let again = event_id.clone().is_some_and(|id| !seen.insert(id));
    let outcome = match (reported.outcome, &event_id) {
        (Some(outcome), _) => outcome,
        // An id that was there before is a duplicate by definition, and its look-up gives the first one's outcome.
        (None, _) if again => Outcome::Duplicate,
        (None, Some(id)) => api.outcome(id).await?,
        (None, None) => return Err(NoOutcome::Failed("accepted without an event id".to_owned())),
    };
    Ok((outcome, event_id))
}
