//! One keep-alive connection, one request at a time. It connects when it is first needed and again after a failure.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long one request may take: the longest wait that is asked for, and what a platform under load needs.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);

const JSON: &str = "application/json";

/// The request did not get through, or its answer did not come back.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    /// It broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// No answer in time.
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TooLate,
    /// The request cannot be written.
    #[error("not a request: {0}")]
    Request(#[from] hyper::http::Error),
}

/// Where requests go.
#[derive(Clone)]
pub struct Target {
    authority: String,
    authorization: Option<HeaderValue>,
}

/// The URL is not one that is understood here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected http://host:port")]
pub struct BadUrl;

impl Target {
    /// The server at `url`, `http://host:port`.
    ///
    /// # Errors
    /// It is another kind of URL.
    pub fn of(url: &str) -> Result<Self, BadUrl> {
        let authority = url.strip_prefix("http://").ok_or(BadUrl)?.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or(BadUrl)?;
        if host.is_empty() || port.parse::<u16>().is_err() || HeaderValue::from_str(authority).is_err() {
            return Err(BadUrl);
        }
        Ok(Self { authority: authority.to_owned(), authorization: None })
    }

    /// The same with the token of a caller; without one that cannot stand in a header.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        let authorization = HeaderValue::try_from(format!("Bearer {token}")).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Self { authority: self.authority.clone(), authorization }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}", self.authority)
    }
}

/// One connection to a [`Target`].
#[derive(Debug)]
pub struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection that is made when the first request is sent.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        Self { target: target.clone(), sender: None }
    }

    /// GETs `path`.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), ConnectionError> {
        self.send(Method::GET, path, Bytes::new(), JSON, None).await
    }

    /// POSTs a JSON `body`; with `wait` the answer may wait for so many seconds for the outcome (`Prefer: wait`).
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub async fn post(
        &mut self,
        path: &str,
        body: Bytes,
        wait: Option<u32>,
    ) -> Result<(StatusCode, Bytes), ConnectionError> {
        self.send(Method::POST, path, body, JSON, wait).await
    }

    /// POSTs a `body` of another kind.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub async fn post_as(
        &mut self,
        path: &str,
        body: Bytes,
        content: &'static str,
        wait: Option<u32>,
    ) -> Result<(StatusCode, Bytes), ConnectionError> {
        self.send(Method::POST, path, body, content, wait).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        content: &'static str,
        wait: Option<u32>,
    ) -> Result<(StatusCode, Bytes), ConnectionError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.target.authority.as_str());
        if let Some(authorization) = &self.target.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(content));
        }
        if let Some(seconds) = wait {
            request = request.header(HeaderName::from_static("prefer"), format!("wait={seconds}"));
        }
        let request = request.body(Full::new(body))?;
        let exchanged = tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(request)).await;
        let result = exchanged.unwrap_or(Err(ConnectionError::TooLate));
        if result.is_err() {
            self.sender = None;
        }
        result
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ConnectionError> {
        let sender = match &mut self.sender {
            Some(sender) if !sender.is_closed() => sender,
            empty => empty.insert(connect(&self.target.authority).await?),
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, ConnectionError> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the sender is dropped; what breaks it, the request that was under way reports.
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_plain_http_with_a_port() {
        for url in ["https://127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1", "http://:80", "http://a:b", ""] {
            assert_eq!(Target::of(url).err(), Some(BadUrl), "{url}");
        }
        let target = Target::of("http://127.0.0.1:8080/").expect("a URL").with_token("secret");
        assert_eq!(format!("{target:?}"), "http://127.0.0.1:8080", "the token is not shown");
    }
}
