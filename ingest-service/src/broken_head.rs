//! Requests whose head never becomes a request: it is no HTTP, too large, or does not end in time.
//!
//! The HTTP library answers the first two by itself, with a head and nothing else, and offers no way to say it otherwise; the third it does
//! not answer at all. So its answer is held back on the way to the socket ([`Wire`]), and when the library is done with the connection the
//! caller gets one in the one shape, which passes through [`crate::request`] like every other: with a trace, counted and logged. Should
//! the library begin to word its answer otherwise, then that is sent as it is; a test tells.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use shared::connections::{Broken, HEAD_BYTES};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::error::{Code, Problem};
use crate::rest_of_body::{DEADLINE, MOST_BYTES};

/// What stands in for a request that cannot be read. Its method is none that anybody sends, so it is counted as `other`.
const STAND_IN: &[u8] = b"UNREAD * HTTP/1.1\r\nconnection: close\r\n\r\n";

/// A connection on which the library's own answer is held back.
pub(crate) struct Wire {
    stream: TcpStream,
    held_back: bool,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, held_back: false }
    }
}

/// Where the library's own answer begins in what it writes: always the end of that. Ours never look like it, since each has a trace.
fn own_answer(written: &[u8]) -> Option<usize> {
    const BEGIN: &[u8] = b"HTTP/1.";
    const AFTER_STATUS: &[u8] = b"\r\nconnection: close\r\ncontent-length: 0\r\ndate: ";
    if !written.ends_with(b"\r\n\r\n") {
        return None; // nearly all answers have a body
    }
    let begin = written.windows(BEGIN.len()).rposition(|window| window == BEGIN)?;
    let answer = &written[begin..];
    let status_line = answer.iter().position(|&byte| byte == b'\r')?;
    answer[status_line..].starts_with(AFTER_STATUS).then_some(begin)
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let last = slices.iter().rposition(|slice| !slice.is_empty());
        let Some((last, begin)) = last.and_then(|last| Some((last, own_answer(&slices[last])?))) else {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        };
        // What stands before it is an answer of ours. The library offers again what we do not say is written.
        if begin > 0 {
            let (before, split) = (&slices[..last], IoSlice::new(&slices[last][..begin]));
            let ours: Vec<_> = before.iter().copied().chain([split]).collect();
            return Pin::new(&mut self.stream).poll_write_vectored(context, &ours);
        }
        if slices[..last].iter().any(|slice| !slice.is_empty()) {
            return Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..last]);
        }
        self.held_back = true;
        Poll::Ready(Ok(slices[last].len()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held_back {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        Poll::Ready(Ok(()))
    }
}

/// Answers on a connection that broke, if it was a head that broke it.
pub(crate) async fn answer(broken: Broken<Wire>, peer: SocketAddr, router: Router) {
    let Broken { error, stream: wire, unread } = broken;
    let Some(problem) = refusal(&error, wire.held_back, &unread) else { return };
    let mut stream = wire.stream;
    let told = async {
        if let Err(error) = tell(&mut stream, problem, peer, router).await {
            tracing::debug!(%error, "nobody is there to be told what is wrong with a request");
            return;
        }
        // A connection that is closed while its caller still sends breaks, and the answer is never read.
        let rest = &mut stream.take(MOST_BYTES as u64);
        if let Err(error) = tokio::io::copy(rest, &mut tokio::io::sink()).await {
            tracing::debug!(%error, "the rest of a request broke off");
        }
    };
    if tokio::time::timeout(DEADLINE, told).await.is_err() {
        tracing::debug!("the rest of a request did not come in time");
    }
}

fn refusal(error: &hyper::Error, held_back: bool, unread: &[u8]) -> Option<Problem> {
    if error.is_timeout() && !unread.is_empty() {
        return Some(Problem::new(Code::RequestTimeout, "The head of the request did not arrive in time"));
    }
    if error.is_parse_version_h2() {
        return Some(Problem::new(Code::MalformedRequest, "HTTP/2 is not spoken here; send HTTP/1.1"));
    }
    if !held_back {
        return None; // the connection broke, or lay idle for too long
    }
    if error.is_parse_too_large() {
        // So many lines the library takes unless it is told otherwise.
        let detail = format!("The path and the headers of a request may have at most {HEAD_BYTES} bytes, in 100 lines");
        return Some(Problem::new(Code::HeadersTooLarge, detail));
    }
    // The library's words: "invalid HTTP method parsed". They repeat nothing of what was sent.
    Some(Problem::new(Code::MalformedRequest, format!("The request is not HTTP/1.1: {error}")))
}

/// Lets the library write the answer to a request that stands in for the one that cannot be read.
async fn tell(stream: &mut TcpStream, problem: Problem, peer: SocketAddr, router: Router) -> hyper::Result<()> {
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(problem.clone());
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let stand_in = TokioIo::new(tokio::io::join(STAND_IN, stream));
    // What stands in ends behind its head, which is no reason not to answer it.
    http1::Builder::new().half_close(true).serve_connection(stand_in, TowerToHyperService::new(service)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_library_says_by_itself_is_held_back() {
        let own = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
            date: Fri, 27 Nov 2026 22:03:51 GMT\r\n\r\n";
        assert_eq!(own_answer(own), Some(0));
        let ours = b"HTTP/1.1 204 No Content\r\ntraceparent: 00-1-2-01\r\nconnection: close\r\ndate: Fri, 27\r\n\r\n";
        assert_eq!(own_answer(ours), None);
        assert_eq!(own_answer(&[&ours[..], &own[..]].concat()), Some(ours.len()), "behind an answer of ours");
        assert_eq!(own_answer(&[&own[..], &ours[..]].concat()), None, "it is always the last");
        assert_eq!(own_answer(b"{\"a\":1}"), None);
        assert_eq!(own_answer(b"\r\n\r\n"), None);
    }
}
