//! What is left of the body of a request that was answered before it was read.
//!
//! A connection that is closed while its caller still sends breaks, and the caller never reads why it was refused: 401, 404 or 413 would be a
//! lost connection. So the rest is taken in and thrown away, within bounds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use crate::request::BODY_BYTES;

/// How much is taken in at most: sixteen times what any request may have. More is no mistake in good faith.
pub(crate) const MOST_BYTES: usize = 16 * BODY_BYTES;
/// Longest time for that.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

/// A hold on a body that was lent to a handler.
pub(crate) struct RestOfBody(Option<Arc<Mutex<Body>>>);

/// The body, as the handler sees it.
struct Lent(Arc<Mutex<Body>>);

impl RestOfBody {
    /// Lends the body of `request`.
    pub(crate) fn of(request: Request) -> (Request, Self) {
        // Whoever asks before it sends (`Expect: 100-continue`) is told before it sends, unless somebody begins to read.
        if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
            return (request, Self(None));
        }
        let (head, body) = request.into_parts();
        let body = Arc::new(Mutex::new(body));
        (Request::from_parts(head, Body::new(Lent(body.clone()))), Self(Some(body)))
    }

    /// Takes in what nobody read.
    pub(crate) async fn discard(self) {
        let Some(body) = self.0 else { return };
        let (mut body, mut left) = (Lent(body), MOST_BYTES);
        if body.is_end_stream() || body.size_hint().lower() > MOST_BYTES as u64 {
            return;
        }
        let reading = async {
            while let Some(Ok(frame)) = body.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    return;
                }
            }
        };
        if tokio::time::timeout(DEADLINE, reading).await.is_err() {
            tracing::debug!("the rest of a body did not come in time");
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // Never contended: we look at it when its handler is done.
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
