//! How much a caller may ask for in a time, by class of route: events, reads, other writes. Off unless `RATE_LIMIT_…` says otherwise.
//!
//! **Who** is counted: the user or the API key; whoever has neither, or one that is not valid, by address. **What**: items. Each event of a
//! batch is one, valid or not, and so is every other request. **When**: before anything is done for it. That is at the door, except for
//! batches, which are counted when they have been read: they are refused at the door when not even one item is left, and whole or not at all
//! afterwards. A batch that turns out to be none counts as one item.
//!
//! A bucket holds `burst` items and is refilled at an even rate. The burst of events is never smaller than `MAX_BATCH` (see `settings`), so
//! that a caller of whole batches always gets on: a batch that was counted fits when he has waited as long as `Retry-After` says.
//!
//! Buckets are this process's own: behind a load balancer, n instances allow n times as much. What operators and probes ask for is never
//! limited, and without limits nothing is counted at all.
//!
//! Headers as in draft-ietf-httpapi-ratelimit-headers-11, with a bucket as a quota `q` (the burst) for the window `w` in which it is refilled,
//! `r` what is left, and `t` the seconds until there is more.

mod bucket;
mod settings;

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use bucket::{Balance, Buckets, Holder};
pub(crate) use settings::LimitSettings;

use crate::authenticate::Caller;
use crate::client_address::network_of;
use crate::error::{Code, Problem, whole_seconds};
use crate::router::{Edge, UNMATCHED, is_for_operators};

/// What is limited together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Events that are sent.
    Events,
    Reads,
    /// Everything else that changes something: registrations, users, log-ins.
    Writes,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Events, Self::Reads, Self::Writes];

    /// Its name in headers, problems and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Reads => "reads",
            Self::Writes => "writes",
        }
    }

    /// The class of a request; `None` for what is never limited.
    pub(crate) fn of(method: &Method, route: &str) -> Option<Self> {
        match *method {
            _ if is_for_operators(route) => None,
            Method::GET | Method::HEAD | Method::OPTIONS => Some(Self::Reads),
            Method::POST if has_items(route) || unversioned(route) == "/events" => Some(Self::Events),
            _ => Some(Self::Writes),
        }
    }
}

/// Whether the handler of `route` counts items itself ([`Meter::charge`]).
fn has_items(route: &str) -> bool {
    matches!(unversioned(route), "/events/batch" | "/carriers/{carrier}/events")
}

/// Whether nobody need say who he is at `route`.
fn is_public(route: &str) -> bool {
    matches!(unversioned(route), "/auth/login" | UNMATCHED)
}

fn unversioned(route: &str) -> &str {
    route.strip_prefix("/v1").unwrap_or(route)
}

/// All buckets of the process.
pub(crate) struct RateLimits {
    events: Option<Buckets>,
    reads: Option<Buckets>,
    writes: Option<Buckets>,
    /// Names are kept as what this makes of them: small, and nobody can find two that share a bucket.
    hasher: RandomState,
}

impl RateLimits {
    pub(crate) fn new(settings: &LimitSettings) -> Self {
        let LimitSettings { events, reads, writes } = settings;
        let [events, reads, writes] = [events, reads, writes].map(|limit| limit.map(Buckets::new));
        Self { events, reads, writes, hasher: RandomState::new() }
    }

    fn of(&self, class: Class) -> Option<&Buckets> {
        match class {
            Class::Events => self.events.as_ref(),
            Class::Reads => self.reads.as_ref(),
            Class::Writes => self.writes.as_ref(),
        }
    }

    fn caller(&self, caller: &Caller) -> Holder {
        Holder::Caller(self.hasher.hash_one(&caller.sub))
    }

    fn address(&self, address: IpAddr) -> Holder {
        Holder::Address(self.hasher.hash_one(network_of(address)))
    }
}

/// Counts what one request asks for. Without a limit it counts nothing.
#[derive(Clone, Default)]
pub(crate) struct Meter(Option<Arc<Metered>>);

struct Metered {
    edge: Edge,
    class: Class,
    has_items: bool,
    /// Nobody will say whose request it is.
    anonymous: bool,
    address: Holder,
    account: Mutex<Account>,
}

/// Who pays, once that is known, and what is left to him.
#[derive(Default)]
struct Account {
    holder: Option<Holder>,
    balance: Option<Balance>,
}

impl Meter {
    /// The meter of `request`, which carries it to its handler.
    pub(crate) fn begin(edge: &Edge, route: &str, request: &mut Request) -> Self {
        let limited = Class::of(request.method(), route).filter(|&class| edge.limits.of(class).is_some());
        let Some(class) = limited else { return Self(None) };
        let anonymous = is_public(route) || !request.headers().contains_key(header::AUTHORIZATION);
        let address = edge.limits.address(edge.config.trusted_proxies.client_of(request));
        let (edge, has_items, account) = (edge.clone(), has_items(route), Mutex::default());
        let metered = Metered { edge, class, has_items, anonymous, address, account };
        let meter = Self(Some(Arc::new(metered)));
        request.extensions_mut().insert(meter.clone());
        meter
    }

    /// The meter that a request carries.
    pub(crate) fn of(parts: &Parts) -> Self {
        parts.extensions.get().cloned().unwrap_or_default()
    }

    /// Lets a request in whose caller nobody will ask for.
    ///
    /// # Errors
    /// 429: its address has used up what it may.
    pub(crate) fn admit(&self) -> Result<(), Problem> {
        match &self.0 {
            Some(metered) if metered.anonymous => metered.admit(metered.address, false),
            _ => Ok(()),
        }
    }

    /// Lets a request in whose caller is known, or who said something that is not true of anybody.
    ///
    /// # Errors
    /// 429: he has used up what he may.
    pub(crate) fn identify(&self, caller: Option<&Caller>) -> Result<(), Problem> {
        let Some(metered) = &self.0 else { return Ok(()) };
        match caller {
            Some(caller) => metered.admit(metered.edge.limits.caller(caller), metered.has_items),
            None => metered.admit(metered.address, false),
        }
    }

    /// Counts the items of a request whose route has them. Once: what is decided anew under an `Idempotency-Key` is the same items.
    ///
    /// # Errors
    /// 429: so many are not left, and none of them counts.
    pub(crate) fn charge(&self, items: usize) -> Result<(), Problem> {
        match &self.0 {
            Some(metered) if metered.account().balance.is_none() => metered.take(items),
            _ => Ok(()),
        }
    }

    /// Tells the caller what is left, once the request is answered. Whoever was refused before it was asked who he is, is told nothing.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let Some(metered) = &self.0 else { return };
        if metered.account().balance.is_none() {
            // It was answered before its items were counted: broken JSON, say. When nothing is left there is nothing to pay with.
            let (Ok(()) | Err(_)) = metered.pay(1);
        }
        let Some(balance) = metered.account().balance else { return };
        let (name, limit) = (metered.class.name(), metered.buckets().limit());
        let (quota, window) = (limit.burst, whole_seconds(limit.refilled_in()));
        let (left, more_in) = (balance.left, whole_seconds(balance.wait));
        let values = [
            ("ratelimit-policy", format!("\"{name}\";q={quota};w={window}")),
            ("ratelimit", format!("\"{name}\";r={left};t={more_in}")),
        ];
        for (name, value) in values {
            let value = HeaderValue::try_from(value).expect("words of ours and numbers");
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

impl Metered {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn buckets(&self) -> &Buckets {
        self.edge.limits.of(self.class).expect("a class without a limit has no meter")
    }

    /// Lets `holder` in, who pays now, or when his items are counted.
    fn admit(&self, holder: Holder, later: bool) -> Result<(), Problem> {
        self.account().holder = Some(holder);
        if later { self.refuse_when_empty(holder) } else { self.take(1) }
    }

    fn take(&self, items: usize) -> Result<(), Problem> {
        self.pay(items).map_err(|balance| self.refusal(balance, items))
    }

    fn pay(&self, items: usize) -> Result<(), Balance> {
        let mut account = self.account();
        let Some(holder) = account.holder else { return Ok(()) };
        let paid = self.buckets().take(holder, items);
        let (Ok(balance) | Err(balance)) = paid;
        account.balance = Some(balance);
        paid.map(|_| ())
    }

    fn refuse_when_empty(&self, holder: Holder) -> Result<(), Problem> {
        let Some(balance) = self.buckets().empty(holder) else { return Ok(()) };
        self.account().balance = Some(balance);
        Err(self.refusal(balance, 1))
    }

    fn refusal(&self, balance: Balance, items: usize) -> Problem {
        self.edge.metrics.rate_limited(self.class);
        let (class, limit) = (self.class.name(), self.buckets().limit());
        let (left, seconds) = (balance.left, whole_seconds(balance.wait));
        let asked =
            if items > 1 { format!("{items} were asked for, and {left} are left") } else { "none is left".to_owned() };
        let detail = format!("The limit of {class} is {limit} for each caller; {asked}. Try again in {seconds} s");
        Problem::new(Code::RateLimited, detail).with_retry_after(balance.wait)
    }
}

impl FromRequestParts<Edge> for Meter {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_its_class_and_those_who_watch_us_have_none() {
        let cases = [
            (Method::POST, "/events", Some(Class::Events)),
            (Method::POST, "/v1/events/batch", Some(Class::Events)),
            (Method::POST, "/carriers/{carrier}/events", Some(Class::Events)),
            (Method::GET, "/events/{event_id}", Some(Class::Reads)),
            (Method::HEAD, "/v1/shipments", Some(Class::Reads)),
            (Method::POST, "/shipments", Some(Class::Writes)),
            (Method::POST, "/auth/login", Some(Class::Writes)),
            (Method::DELETE, "/auth/users/{username}", Some(Class::Writes)),
            (Method::GET, UNMATCHED, Some(Class::Reads)),
            (Method::GET, "/health", None),
            (Method::GET, "/livez", None),
            (Method::HEAD, "/v1/readyz", None),
            (Method::GET, "/v1/metrics", None),
        ];
        for (method, route, class) in cases {
            assert_eq!(Class::of(&method, route), class, "{method} {route}");
        }
    }

    #[test]
    fn a_network_that_is_given_out_whole_is_one_caller() {
        let limits = RateLimits::new(&LimitSettings::default());
        let of = |text: &str| limits.address(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::7"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::7"), of("2001:db8:1:3::7"));
        assert_eq!(of("203.0.113.7"), of("::ffff:203.0.113.7"));
        assert_ne!(of("203.0.113.7"), of("203.0.113.8"));
    }
}
