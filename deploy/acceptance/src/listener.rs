//! Whoever listens to a stream of changes, as any client of server-sent events does.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use crate::client::{Answer, Client, text};
use crate::verdict::Moves;
use crate::wait;

/// Longest time that a stream is listened to in a test.
const LONGEST: Duration = Duration::from_secs(170);
/// Longest wait for an event that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a stream tells.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Its name; empty for a change.
    pub name: String,
    /// Its data.
    pub data: Value,
}

/// An open stream.
pub struct Listener {
    response: Response,
    bytes: Vec<u8>,
    /// What `Last-Event-ID` is to say to go on from here.
    pub last_id: String,
}

impl Client {
    /// Listens to a stream, from now on or from behind `last_id`.
    ///
    /// # Panics
    /// It is refused.
    pub async fn listen(&self, path: &str, last_id: Option<&str>) -> Listener {
        match self.try_listen(path, last_id).await {
            Ok(listener) => listener,
            Err(answer) => panic!("GET {path}: {}", answer.text),
        }
    }

    /// Listens to a stream, unless it is refused.
    ///
    /// # Errors
    /// The answer, when it is no stream.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn try_listen(&self, path: &str, last_id: Option<&str>) -> Result<Listener, Box<Answer>> {
        let call = self.call("GET", path);
        let call = if let Some(id) = last_id { call.header("last-event-id", id) } else { call };
        let response = call.open(LONGEST).await.unwrap_or_else(|error| panic!("GET {path}: {error:?}"))?;
        Ok(Listener::begin(response).await.expect("a stream says where it begins"))
    }

    /// Listens to a stream from behind `last_id`, unless nobody is there or has time.
    ///
    /// # Panics
    /// It is refused for another reason.
    pub async fn listen_if_there(&self, path: &str, last_id: &str) -> Option<Listener> {
        match self.call("GET", path).header("last-event-id", last_id).open(LONGEST).await.ok()? {
            Ok(response) => Listener::begin(response).await,
            Err(answer) => {
                answer.problem(503, "SERVICE_UNAVAILABLE");
                None
            }
        }
    }
}

impl Listener {
    /// Waits until the stream has said where it begins, so that whoever is cut off before the first event misses nothing. `None` when it
    /// breaks before.
    async fn begin(response: Response) -> Option<Self> {
        let mut listener = Self { response, bytes: Vec::new(), last_id: String::new() };
        while listener.last_id.is_empty() {
            assert!(listener.block().await?.is_none(), "it begins with an event");
        }
        Some(listener)
    }

    /// The next event; waits for it. `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Event> {
        let next = async {
            loop {
                if let Some(event) = self.block().await? {
                    return Some(event);
                }
            }
        };
        wait::within("the next event of a stream", PATIENCE, next).await
    }

    /// The next change; waits for it.
    ///
    /// # Panics
    /// The connection ends, or something else is told.
    pub async fn change(&mut self) -> Value {
        let event = self.next().await.expect("the stream goes on");
        assert_eq!(event.name, "", "{event:?}");
        event.data
    }

    /// The next block: an event, or something that is none. `None` when the connection has ended or broken.
    async fn block(&mut self) -> Option<Option<Event>> {
        let end = loop {
            match self.bytes.windows(2).position(|two| two == b"\n\n") {
                Some(end) => break end,
                None => self.bytes.extend(self.response.chunk().await.ok()??),
            }
        };
        let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
        let block = String::from_utf8(block).expect("a stream is text");
        let (mut name, mut data) = (String::new(), None);
        for line in block.lines() {
            let (member, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match member {
                "id" => self.last_id = value.to_owned(),
                "event" => name = value.to_owned(),
                "data" => data = Some(serde_json::from_str(value).expect("data are JSON")),
                _ => {}
            }
        }
        Some(data.map(|data| Event { id: self.last_id.clone(), name, data }))
    }
}

/// What was told of each shipment, in the order in which it came, each event once.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<String, Vec<String>>);

impl Told {
    /// A change was told.
    pub fn hear(&mut self, change: &Value) {
        let told = self.0.entry(text(change, "tracking_number")).or_default();
        let event = text(change, "event_id");
        // A processor that was killed may publish a change again; whoever hears it knows it by its event.
        if !told.contains(&event) {
            told.push(event);
        }
    }

    /// Whether as much was told of the shipments as moved them.
    #[must_use]
    pub fn holds(&self, moves: &Moves) -> bool {
        moves.iter().all(|(number, moves)| self.0.get(number).is_some_and(|told| told.len() >= moves.len()))
    }

    /// Holds what was told to account: it is what moved each shipment, in that order.
    ///
    /// # Panics
    /// Something is missing, or stands in another order.
    pub fn assert_is(&self, moves: &Moves) {
        for (number, moves) in moves {
            assert_eq!(self.0.get(number), Some(moves), "the changes of {number}");
        }
    }
}
