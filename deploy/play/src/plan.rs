//! What is posted about a history, and in which order.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::history::{History, Scan};
use crate::order::{self, Order};
use crate::scan_id;
use crate::time_order::{millis, told_apart};

/// How the shipments are judged (contract section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A whitelist, in the order of arrival.
    Strict,
    /// The fold of all scans in order of their time.
    Field,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Strict, Self::Field];

    /// The word on the wire and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Field => "field",
        }
    }
}

/// Which scans are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scans {
    /// Those that have a status, without their reasons.
    Status,
    /// All of them, and why.
    All,
}

impl Scans {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Status, Self::All];

    /// The word on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::All => "all",
        }
    }
}

/// What tells two scans in one second apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Nothing: each scan has the time that was published, and the second of the two is a conflict.
    None,
    /// Each scan has a `source_event_id` and a time that no other one has, in the order of the carrier's list.
    Scan,
}

impl Ids {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::None, Self::Scan];

    /// The word on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Scan => "scan",
        }
    }
}

/// How histories are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How the shipments are judged.
    pub policy: Policy,
    /// In which order the scans of each history are posted.
    pub order: Order,
    /// Which of the shuffled orders.
    pub seed: u64,
    /// Which scans are posted.
    pub scans: Scans,
    /// What tells two scans in one second apart.
    pub ids: Ids,
}

impl Options {
    /// What a policy is played with unless something else is asked for: `strict` with the scans that it has a word for, as they were
    /// published; `field` with everything that the carrier sent.
    #[must_use]
    pub fn of(policy: Policy) -> Self {
        let (scans, ids) = match policy {
            Policy::Strict => (Scans::Status, Ids::None),
            Policy::Field => (Scans::All, Ids::Scan),
        };
        Self { policy, order: Order::Time, seed: 1, scans, ids }
    }
}

/// A scan as it is posted.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// The scan.
    pub scan: &'a Scan,
    /// Its time: RFC 3339.
    pub timestamp: String,
    /// The same in milliseconds since the epoch: what the platform keeps of it.
    pub millis: i64,
    /// Why, when that is posted.
    pub reason: Option<String>,
    /// Its id, when it has one.
    pub source_event_id: Option<String>,
}

impl Event<'_> {
    /// The second in which it happened: what the platform's key of an event without an id is made of.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        self.millis.div_euclid(1000)
    }
}

/// A history as it is played.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<'a> {
    /// The history.
    pub history: &'a History,
    /// How its shipment is judged.
    pub policy: Policy,
    /// What is posted, in this order.
    pub events: Vec<Event<'a>>,
}

impl<'a> Plan<'a> {
    /// The plan for `history`.
    #[must_use]
    pub fn of(history: &'a History, options: &Options) -> Self {
        let mut events: Vec<_> = match options.ids {
            Ids::None => history.scans.iter().map(as_published).collect(),
            Ids::Scan => history.scans.iter().zip(told_apart(&history.scans)).map(identified).collect(),
        };
        match options.scans {
            Scans::Status => events.retain(|event| event.scan.claim.status().is_some()),
            Scans::All => events.iter_mut().for_each(|event| event.reason = event.scan.reason.clone()),
        }
        match options.order {
            Order::Time => (),
            Order::Listed => events.sort_by_key(|event| event.scan.listed),
            Order::Shuffled => order::shuffle(&mut events, options.seed, history.line),
        }
        Self { history, policy: options.policy, events }
    }
}

fn as_published(scan: &Scan) -> Event<'_> {
    Event { scan, timestamp: scan.occurred.clone(), millis: millis(scan.instant), reason: None, source_event_id: None }
}

fn identified((scan, millis): (&Scan, i64)) -> Event<'_> {
    let published = as_published(scan);
    let timestamp = if millis == published.millis { published.timestamp } else { written(millis, scan.happened) };
    Event { timestamp, millis, source_event_id: Some(scan_id::of(scan)), ..published }
}

/// The time in the zone of `zone`.
fn written(millis: i64, zone: OffsetDateTime) -> String {
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    let text = instant.ok().and_then(|instant| instant.to_offset(zone.offset()).format(&Rfc3339).ok());
    text.expect("the years of histories end before those of RFC 3339")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::read;

    fn history() -> History {
        let events = [
            r#"{"occurred":"2024-05-02T18:00:00-05:00","status":"delivered"}"#,
            r#"{"occurred":"2024-05-02T07:30:00-05:00","status":null,"kind":"out_for_delivery"}"#,
            r#"{"occurred":"2024-05-01T20:00:00-05:00","status":"in_transit","reason":"delay"}"#,
            r#"{"occurred":"2024-05-01T20:00:00-05:00","status":"in_warehouse"}"#,
            r#"{"occurred":"2024-05-01T00:00:00-05:00","time_missing":true,"status":null}"#,
            r#"{"occurred":"2024-05-01T09:00:00-05:00","status":"picked_up"}"#,
        ];
        let text = format!(r#"{{"carrier":"andes","number":"A1","events":[{}]}}"#, events.join(","));
        read(text.as_bytes()).expect("a history").remove(0)
    }

    fn posted(options: Options) -> Vec<(&'static str, String)> {
        let history = history();
        let plan = Plan::of(&history, &options);
        plan.events.iter().map(|event| (event.scan.claim.as_str(), event.timestamp.clone())).collect()
    }

    fn claims(options: Options) -> Vec<&'static str> {
        posted(options).into_iter().map(|(claim, _)| claim).collect()
    }

    #[test]
    fn a_strict_run_posts_the_statuses_as_they_were_published() {
        let expected = [
            ("picked_up", "2024-05-01T09:00:00-05:00"),
            ("in_warehouse", "2024-05-01T20:00:00-05:00"),
            ("in_transit", "2024-05-01T20:00:00-05:00"),
            ("delivered", "2024-05-02T18:00:00-05:00"),
        ];
        assert_eq!(posted(Options::of(Policy::Strict)), expected.map(|(claim, time)| (claim, time.to_owned())));
        let history = history();
        let plan = Plan::of(&history, &Options::of(Policy::Strict));
        assert!(plan.events.iter().all(|event| event.source_event_id.is_none() && event.reason.is_none()));
    }

    #[test]
    fn a_field_run_posts_everything_with_ids_and_times_that_say_which_came_first() {
        let expected = [
            ("picked_up", "2024-05-01T09:00:00-05:00"),
            ("other", "2024-05-01T09:00:00.001-05:00"),
            ("in_warehouse", "2024-05-01T20:00:00-05:00"),
            ("in_transit", "2024-05-01T20:00:00.001-05:00"),
            ("out_for_delivery", "2024-05-02T07:30:00-05:00"),
            ("delivered", "2024-05-02T18:00:00-05:00"),
        ];
        assert_eq!(posted(Options::of(Policy::Field)), expected.map(|(claim, time)| (claim, time.to_owned())));
        let history = history();
        let plan = Plan::of(&history, &Options::of(Policy::Field));
        let mut ids: Vec<_> = plan.events.iter().map(|event| event.source_event_id.clone().expect("an id")).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 6);
        assert_eq!(plan.events[3].reason.as_deref(), Some("delay"));
    }

    #[test]
    fn the_order_changes_nothing_but_the_order() {
        let field = Options::of(Policy::Field);
        let listed = posted(Options { order: Order::Listed, ..field });
        let claims: Vec<_> = listed.iter().map(|(claim, _)| *claim).collect();
        assert_eq!(claims, ["delivered", "out_for_delivery", "in_transit", "in_warehouse", "other", "picked_up"]);
        let mut in_time = posted(field);
        in_time.sort_unstable();
        for order in [Options { order: Order::Listed, ..field }, Options { order: Order::Shuffled, ..field }] {
            let mut posted = posted(order);
            posted.sort_unstable();
            assert_eq!(posted, in_time);
        }
    }

    #[test]
    fn a_seed_names_one_order() {
        let shuffled = |seed| claims(Options { order: Order::Shuffled, seed, ..Options::of(Policy::Field) });
        assert_eq!(shuffled(1), shuffled(1));
        assert!((2..9).any(|seed| shuffled(seed) != shuffled(1)));
    }
}
