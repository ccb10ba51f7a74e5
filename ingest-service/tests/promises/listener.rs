//! Whoever listens to a stream.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, Request, StatusCode, header};
use futures::StreamExt;
use http_body_util::BodyExt;
use serde_json::Value;
use shared::change_feed::Change;
use shared::event_log::{EventAppender, Topic};
use shared::shipment::Status;
use tower::ServiceExt;

use crate::world::{Answer, World, now};

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// One block of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Block {
    pub(crate) id: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) data: Option<Value>,
    pub(crate) retry: Option<String>,
    pub(crate) comment: Option<String>,
}

/// An open stream.
pub(crate) struct Listener {
    pub(crate) headers: HeaderMap,
    body: BodyDataStream,
    text: String,
    /// What its header `Last-Event-ID` would say now.
    pub(crate) last_id: String,
}

impl World {
    /// Opens a stream, which must be answered with 200.
    pub(crate) async fn listen(&self, user: &str, path: &str, last_id: Option<&str>) -> Listener {
        self.try_listen(user, path, last_id).await.unwrap_or_else(|answer| panic!("{path}: {answer:?}"))
    }

    /// Opens a stream, or gives the answer of which there is none.
    pub(crate) async fn try_listen(&self, user: &str, path: &str, last_id: Option<&str>) -> Result<Listener, Answer> {
        let bearer = self.bearer(user).await;
        self.listen_with(&bearer, path, last_id).await
    }

    /// Opens a stream for whoever presents `bearer`, or gives the answer of which there is none.
    pub(crate) async fn listen_with(
        &self,
        bearer: &str,
        path: &str,
        last_id: Option<&str>,
    ) -> Result<Listener, Answer> {
        let mut request = Request::get(path).header(header::AUTHORIZATION, bearer);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Body::empty()).expect("well-formed");
        let response = self.router.clone().oneshot(request).await.expect("the router is infallible");
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            let bytes = body.collect().await.expect("a whole body").to_bytes();
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            return Err(Answer { status: parts.status, headers: parts.headers, text });
        }
        let (headers, body) = (parts.headers, body.into_data_stream());
        let mut listener = Listener { headers, body, text: String::new(), last_id: String::new() };
        let opening = listener.block().await.expect("a stream says where it begins");
        assert!(opening.retry.is_some() && opening.data.is_none() && !listener.last_id.is_empty(), "{opening:?}");
        Ok(listener)
    }

    /// Publishes changes that no event made: numbers `range`, about shipments of `client_id`.
    pub(crate) async fn publish(&self, client_id: &str, range: std::ops::Range<i64>) {
        let records = range.map(|n| change(client_id, n).record()).collect();
        self.log.append(Topic::Changes, records).await.all().expect("the log is there");
    }
}

/// Change number `n`; its version tells the number, and it is about one of 50 shipments.
pub(crate) fn change(client_id: &str, n: i64) -> Change {
    let number = format!("99M-{:08}", n % 50);
    Change {
        event_id: format!("evt_{}_{n:022}", &number[4..]).parse().expect("well-formed"),
        tracking_number: number.parse().expect("well-formed"),
        client_id: Some(client_id.to_owned()),
        from: Some(Status::Created),
        to: Some(Status::PickedUp),
        late: false,
        previous_status: None,
        version: Some(n),
        timestamp: now(),
        recorded_at: now(),
        source: "driver_app".to_owned(),
        partition: 0,
        offset: n,
    }
}

impl Listener {
    /// The next block, heartbeats too; `None` when the stream has ended.
    pub(crate) async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (read(block), rest.to_owned());
                self.text = rest;
                if let Some(id) = &block.id {
                    self.last_id.clone_from(id);
                }
                return Some(block);
            }
            let piece = self.body.next().await?.expect("a stream does not break off");
            self.text.push_str(std::str::from_utf8(&piece).expect("text"));
        }
    }

    /// The next event; waits for it.
    pub(crate) async fn event(&mut self) -> Block {
        let next = async {
            loop {
                let block = self.block().await.expect("the stream goes on");
                if block.data.is_some() {
                    return block;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("an event comes")
    }

    /// The next `count` changes: what member `name` of each says.
    pub(crate) async fn changes(&mut self, count: usize, name: &str) -> Vec<Value> {
        let mut found = Vec::new();
        while found.len() < count {
            let block = self.event().await;
            assert_eq!(block.event, None, "{block:?}");
            assert!(block.id.is_some(), "{block:?}");
            found.push(block.data.expect("an event has data")[name].clone());
        }
        found
    }
}

fn read(block: &str) -> Block {
    let mut read = Block::default();
    for line in block.lines() {
        let (name, value) = line.split_once(':').expect("every line has a name");
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        let member = match name {
            "" => &mut read.comment,
            "id" => &mut read.id,
            "event" => &mut read.event,
            "retry" => &mut read.retry,
            "data" => {
                read.data = Some(serde_json::from_str(&value).expect("JSON"));
                continue;
            }
            _ => panic!("{line}"),
        };
        assert!(member.replace(value).is_none(), "{line} stands there twice");
    }
    read
}
