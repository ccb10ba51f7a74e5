//! The connections between programs and servers, disturbed through Toxiproxy's HTTP API.

use serde_json::{Value, json};

/// What is done to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Toxic {
    /// Every reply comes late.
    Slow,
    /// Connections are cut, and no new one comes about.
    Cut,
    /// Replies are swallowed, and the connections stay.
    Hang,
    /// After some more bytes of replies each connection is cut: in the middle of a reply, mostly.
    Half,
}

impl Toxic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Slow, Self::Cut, Self::Hang, Self::Half];

    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Cut => "cut",
            Self::Hang => "hanging",
            Self::Half => "half-delivered",
        }
    }
}

/// Name of the one toxic that a proxy has at a time.
const NAME: &str = "fault";
/// How late slow replies come, in milliseconds: longer than Redis is waited for, shorter than MongoDB and Kafka are.
const SLOW_MS: u64 = 400;
/// How much that varies.
const JITTER_MS: u64 = 300;

/// The fault proxy.
#[derive(Clone, Debug)]
pub struct Network {
    http: reqwest::Client,
    api: String,
}

impl Network {
    /// The proxy whose API is at `api` (`http://host:port`).
    ///
    /// # Panics
    /// There is no HTTP client.
    #[must_use]
    pub fn at(api: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client needs nothing");
        Self { http, api: api.to_owned() }
    }

    /// Forwards what comes to `listen` to `upstream`, both ports of this machine.
    ///
    /// # Panics
    /// The proxy does not do it.
    pub async fn forward(&self, name: &str, listen: u16, upstream: u16) {
        let (listen, upstream) = (format!("127.0.0.1:{listen}"), format!("127.0.0.1:{upstream}"));
        self.post("/proxies", &json!({"name": name, "listen": listen, "upstream": upstream, "enabled": true})).await;
    }

    /// Begins to disturb the connections of `link`. `bytes` is how much more of the replies comes through when they are cut in the middle.
    ///
    /// # Panics
    /// The proxy does not do it.
    pub async fn disturb(&self, link: &str, toxic: Toxic, bytes: usize) {
        let (kind, attributes) = match toxic {
            Toxic::Cut => return self.post(&format!("/proxies/{link}"), &json!({"enabled": false})).await,
            Toxic::Slow => ("latency", json!({"latency": SLOW_MS, "jitter": JITTER_MS})),
            Toxic::Hang => ("timeout", json!({"timeout": 0})),
            Toxic::Half => ("limit_data", json!({"bytes": bytes})),
        };
        let toxic = json!({"name": NAME, "type": kind, "stream": "downstream", "attributes": attributes});
        self.post(&format!("/proxies/{link}/toxics"), &toxic).await;
    }

    /// Leaves the connections of `link` alone again.
    ///
    /// # Panics
    /// The proxy does not do it.
    pub async fn heal(&self, link: &str, toxic: Toxic) {
        if toxic == Toxic::Cut {
            return self.post(&format!("/proxies/{link}"), &json!({"enabled": true})).await;
        }
        let path = format!("{}/proxies/{link}/toxics/{NAME}", self.api);
        expect_done(&path, self.http.delete(&path)).await;
    }

    async fn post(&self, path: &str, body: &Value) {
        let path = format!("{}{path}", self.api);
        expect_done(&path, self.http.post(&path).json(body)).await;
    }
}

async fn expect_done(what: &str, request: reqwest::RequestBuilder) {
    let answer = request.send().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let status = answer.status();
    assert!(status.is_success(), "{what}: {status} {}", answer.text().await.unwrap_or_default());
}
