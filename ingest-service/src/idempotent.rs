//! `Idempotency-Key`: a request that is sent again gets the answer of the first time, and what it asks for is done once (contract section 4;
//! draft-ietf-httpapi-idempotency-key-header-07).
//!
//! # The way of a request with a key
//! 1. Known keys are answered at once: with the first answer, 409 while that is being worked out, 422 when the key belongs to another request.
//! 2. A request under a new key is validated and decided ([`Work::decide`]): the tracking number is drawn here. Nothing is done yet.
//! 3. The key is taken, and the plan kept with it.
//! 4. It is carried out by that plan ([`Work::carry_out`]).
//! 5. The answer is kept, and only then given.
//!
//! Whoever comes after a crash behind step 3 takes the plan over and goes on with step 4: the record that it appends is the same, and the
//! processor knows it for a duplicate. All that is a task of its own: a caller who hangs up, who is the one that will ask again, does not
//! cut it off. A request without a key is decided and carried out, and that is all.
//!
//! # Which answers are kept
//! Those that are final, which is all that are no errors. Not the others:
//! - A 4xx is found in step 2, before the key is taken: nothing was decided. The same request is refused in the same way again, and one that
//!   was mended may use the key.
//! - After a 5xx nobody knows what was done. The attempt is given back with its plan, and the next request goes on by it.
//! - A batch of which the log took a part says "send it again" of the rest; sent again under the same key, it is carried out again.
//! - An answer of more than [`ANSWER_BYTES`]. Only a batch of bad items can have one, and events know each other without a key: sent again, it
//!   is carried out again, none of them counts twice, and the answer is made anew.

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use shared::idempotency::{ANSWER_BYTES, Attempt, Claim, Fingerprint, KeptAnswer, KeyId, Standing};
use shared::shipment_store::StoreError;
use shared::telemetry::TraceContext;
use tracing::Instrument;

use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::{Code, Problem};
use crate::metrics::KeyResult;
use crate::rate_limit::Meter;
use crate::request::{self, BODY_BYTES, Media, REQUEST_BYTES, Trace};
use crate::router::Edge;

/// What carries the key.
pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// Longest key, in bytes: a UUID has 36, and two of them with a name before them have room in it.
const KEY_BYTES: usize = 255;

/// A request as it was read.
pub(crate) struct Posted {
    pub(crate) caller: Caller,
    pub(crate) media: Media,
    pub(crate) body: Bytes,
    pub(crate) trace: TraceContext,
    pub(crate) meter: Meter,
}

/// What a route does, in two steps, so that the second one can be done again.
pub(crate) trait Work: Sized + Send + 'static {
    /// What the caller must be allowed to do.
    const ACTION: Action;

    /// Refuses by its head a request whose body need not be read.
    fn admit(_headers: &HeaderMap) -> Result<(), Problem> {
        Ok(())
    }

    /// Validates a request, and decides all that must not be decided twice. `plan` is that of an earlier attempt, which is to be gone on with.
    fn decide(edge: &Edge, posted: &Posted, plan: Option<&Bytes>)
    -> impl Future<Output = Result<Self, Problem>> + Send;

    /// What was decided, to be kept until there is an answer.
    fn plan(&self) -> Bytes;

    /// Does it. Harmless when it was done before, by the same plan.
    fn carry_out(self, edge: &Edge, posted: &Posted) -> impl Future<Output = Result<Answer, Problem>> + Send;
}

/// What a piece of work answers.
pub(crate) enum Answer {
    /// Everything is decided.
    Final(Response),
    /// Some of it is to be sent again.
    Partial(Response),
}

impl Answer {
    /// What it says, where nobody keeps it.
    pub(crate) fn into_response(self) -> Response {
        let (Self::Final(response) | Self::Partial(response)) = self;
        response
    }
}

/// The handler of a route that does `W`, once for each key that its callers send.
pub(crate) async fn once<W: Work>(
    State(edge): State<Edge>,
    caller: Caller,
    Trace(trace): Trace,
    route: MatchedPath,
    meter: Meter,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(W::ACTION)?;
    W::admit(request.headers())?;
    let id = key(request.headers())?.map(|key| key_id(&caller, request.method(), &route, key));
    let media = request::media(request.headers());
    let body = request::bytes(request, BODY_BYTES).await?;
    let posted = Posted { caller, media, body, trace, meter };
    let Some(id) = id else {
        let work = W::decide(&edge, &posted, None).await?;
        return Ok(work.carry_out(&edge, &posted).await?.into_response());
    };
    let claim = Claim { id, fingerprint: fingerprint(&posted) };
    match tokio::spawn(under_key::<W>(edge, claim, posted).in_current_span()).await {
        Ok(answered) => answered,
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(ended) => Err(Problem::unavailable("The service is shutting down; try again", ended)),
    }
}

/// What [`key`] accepts: visible characters, not counting the quotation marks around them.
pub(crate) fn key_pattern() -> String {
    let (most, but_one, but_two) = (KEY_BYTES, KEY_BYTES - 1, KEY_BYTES - 2);
    format!("^(\"[!-~]{{1,{most}}}\"|[!#-~][!-~]{{0,{but_one}}}|\"|\"[!-~]{{0,{but_two}}}[!#-~])$")
}

/// The key that a request carries.
///
/// # Errors
/// 400: there are two, or it is not one.
fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let refused = |code: &'static str, message: &str| Err(Problem::field(IDEMPOTENCY_KEY, code, message));
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return refused("not_allowed", "must be there once");
    }
    let Ok(text) = value.to_str() else { return refused("malformed", "must consist of visible ASCII characters") };
    // The draft writes a key between quotation marks, and most callers do not: it is the same key.
    let unquoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match unquoted.unwrap_or(text) {
        "" => refused("too_short", "must not be empty"),
        key if key.len() > KEY_BYTES => refused("too_long", &format!("must have at most {KEY_BYTES} characters")),
        key if key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(key)),
        _ => refused("malformed", "must consist of visible ASCII characters"),
    }
}

/// Two users never share a key, nor do one name's user of today and that of yesterday who belonged to another client; a path and its alias
/// under `/v1` are one route.
fn key_id(caller: &Caller, method: &Method, route: &MatchedPath, key: &str) -> KeyId {
    let pattern = route.as_str().strip_prefix("/v1").unwrap_or(route.as_str());
    let client_id = caller.client_id.as_deref().unwrap_or_default();
    let parts = [&caller.sub, caller.role.as_str(), client_id, method.as_str(), pattern, key];
    KeyId::of(&parts.map(str::as_bytes))
}

/// The body, byte for byte, and how it is to be read: that is all that a request on these routes says.
fn fingerprint(posted: &Posted) -> Fingerprint {
    let media: &[u8] = match posted.media {
        Media::Json => b"json",
        Media::Lines => b"lines",
        Media::Other => b"other",
    };
    Fingerprint::of(&[media, &posted.body])
}

async fn under_key<W: Work>(edge: Edge, claim: Claim, posted: Posted) -> Result<Response, Problem> {
    // This may go on when the request, and the memory that was held for it, is gone.
    let bytes = u32::try_from(posted.body.len().max(REQUEST_BYTES)).unwrap_or(u32::MAX);
    let held = edge.memory.try_acquire_many(bytes);
    let Ok(_held) = held else {
        return Err(Problem::unavailable("Too many requests at once; try again", "no memory to spare"));
    };

    let not_begun = "The Idempotency-Key cannot be kept now, so nothing was done; try again";
    let keys = &edge.ports.keys;
    let known = keys.resume(&claim, edge.now()).await.map_err(|error| unkept(&edge, not_begun, error))?;
    let (decided, standing) = match known {
        Some(standing) => (None, standing),
        None => {
            let work = W::decide(&edge, &posted, None).await?;
            let begun = keys.begin(&claim, work.plan(), edge.now()).await;
            (Some(work), begun.map_err(|error| unkept(&edge, not_begun, error))?)
        }
    };
    let (attempt, plan) = match standing {
        Standing::Started { attempt, plan } => (attempt, plan),
        Standing::Done(answer) => {
            edge.metrics.key(KeyResult::Replayed);
            return replay(answer);
        }
        Standing::Running => {
            edge.metrics.key(KeyResult::InUse);
            let detail = "A request with this Idempotency-Key is being answered; try again to get its answer";
            return Err(Problem::new(Code::IdempotencyKeyInUse, detail));
        }
        Standing::Reused => {
            edge.metrics.key(KeyResult::Reused);
            let detail = "The Idempotency-Key was used for another request; a new request needs a new key";
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
    };
    if attempt.took_over() {
        edge.metrics.key(KeyResult::TakenOver);
        tracing::info!("an attempt under an Idempotency-Key was cut off; this one goes on with it");
    } else {
        edge.metrics.key(KeyResult::Started);
    }
    let answer = async {
        let work = match decided {
            Some(work) if !attempt.took_over() => work,
            _ => W::decide(&edge, &posted, Some(&plan)).await?,
        };
        work.carry_out(&edge, &posted).await
    };
    match answer.await {
        Ok(Answer::Final(response)) => keep(&edge, &attempt, response).await,
        Ok(Answer::Partial(response)) => {
            give_back(&edge, &attempt).await;
            Ok(response)
        }
        Err(problem) => {
            give_back(&edge, &attempt).await;
            Err(problem)
        }
    }
}

/// Keeps the answer and gives it; or the one that another attempt kept before.
async fn keep(edge: &Edge, attempt: &Attempt, response: Response) -> Result<Response, Problem> {
    let answer = kept(response).await?;
    if answer.size() > ANSWER_BYTES {
        give_back(edge, attempt).await;
        return unkeep(answer);
    }
    let not_kept = "It was done, but its answer cannot be kept now; try again with the same Idempotency-Key to get it";
    let first = edge.ports.keys.finish(attempt, &answer).await.map_err(|error| unkept(edge, not_kept, error))?;
    first.map_or_else(|| unkeep(answer), replay)
}

/// Lets the next request go on at once.
async fn give_back(edge: &Edge, attempt: &Attempt) {
    edge.metrics.key(KeyResult::NotKept);
    if let Err(error) = edge.ports.keys.release(attempt).await {
        tracing::debug!(%error, "the lease of an attempt runs out by itself");
    }
}

fn unkept(edge: &Edge, what: &'static str, error: StoreError) -> Problem {
    edge.metrics.key(KeyResult::Unavailable);
    match error {
        StoreError::Unavailable(_) => Problem::unavailable(what, error),
        StoreError::Refused(_) | StoreError::Corrupt(_) => Problem::internal(error),
    }
}

/// An answer of ours as it is kept. Its headers are those of the handler: what belongs to the one exchange (trace) is added further out.
async fn kept(response: Response) -> Result<KeptAnswer, Problem> {
    let (head, body) = response.into_parts();
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).map_err(Problem::internal);
    let header = |(name, value): (&HeaderName, &HeaderValue)| Ok::<_, Problem>((name.to_string(), text(value)?));
    let headers = head.headers.iter().map(header).collect::<Result<_, _>>()?;
    let body = body.collect().await.map_err(Problem::internal)?.to_bytes();
    Ok(KeptAnswer { status: head.status.as_u16(), headers, body })
}

/// The answer that was kept.
fn unkeep(answer: KeptAnswer) -> Result<Response, Problem> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(Problem::internal)?;
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(Problem::internal)?;
        response.headers_mut().append(name, HeaderValue::from_str(value).map_err(Problem::internal)?);
    }
    Ok(response)
}

/// The answer that was kept, to one who asks again.
fn replay(answer: KeptAnswer) -> Result<Response, Problem> {
    let mut response = unkeep(answer)?;
    response.headers_mut().insert(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        key(&headers).map(|key| key.map(str::to_owned)).map_err(|problem| problem.code().word())
    }

    #[test]
    fn a_key_is_1_to_255_visible_characters_with_or_without_quotation_marks() {
        let (longest, too_long) = ("k".repeat(KEY_BYTES), "k".repeat(KEY_BYTES + 1));
        assert_eq!(read(&[]), Ok(None));
        for (value, expected) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("\"8e03978e\"", "8e03978e"),
            ("!\\|~", "!\\|~"),
            ("\"", "\""),
            (&longest, &longest),
            (&format!("\"{longest}\""), &longest),
        ] {
            assert_eq!(read(&[value]), Ok(Some(expected.to_owned())), "{value}");
        }
        for bad in [&["a", "a"] as &[_], &[""], &["\"\""], &["a b"], &["a, b"], &["ñ"], &["a\tb"], &[&too_long]] {
            assert_eq!(read(bad), Err("VALIDATION_ERROR"), "{bad:?}");
        }
    }
}
