//! Lists of shipments: what is asked for, what a page is, and what one may cost.
//!
//! A list has one order, `(created_at, tracking_number)`, newest first, and what it is made of never changes. A filter has two
//! parts. Client, service type and time of creation **span** a stretch of that order, and an index begins and ends with it. Status and prefix
//! are **looked at** on the way through the stretch: an index on the status would be written with every event (docs/adr/0001).
//! How far a page and a total look is bounded ([`ListBounds`]), so a list costs the same however many shipments there are.

use super::StoredShipment;
use crate::shipment::{ServiceType, Status, Timestamp, TrackingNumber};

/// Which shipments to list. All filters hold at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// With this status.
    pub status: Option<Status>,
    /// Of this client. The edge sets it for every caller of role `client`.
    pub client_id: Option<String>,
    /// With this service type.
    pub service_type: Option<ServiceType>,
    /// Whose tracking number begins with this (upper case).
    pub prefix: Option<String>,
    /// Created at or after.
    pub created_from: Option<Timestamp>,
    /// Created before.
    pub created_to: Option<Timestamp>,
}

impl ListFilter {
    /// Whether the list is everything that there is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something has to be looked at on the way.
    #[must_use]
    pub fn looks(&self) -> bool {
        self.status.is_some() || self.prefix.is_some()
    }

    /// The prefix, when it is all that is asked for.
    #[must_use]
    pub fn only_prefix(&self) -> Option<&str> {
        let prefix = self.prefix.as_deref()?;
        let rest = Self { prefix: None, ..self.clone() };
        rest.is_empty().then_some(prefix)
    }
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// After this many.
    Offset(u64),
    /// Behind this place in the order, whether a shipment stands there or not.
    After(Timestamp, TrackingNumber),
}

impl PageStart {
    /// How many shipments to leave out.
    #[must_use]
    pub fn offset(self) -> u64 {
        match self {
            Self::Offset(offset) => offset,
            Self::After(..) => 0,
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The shipments, newest first, with empty histories. There may be fewer than were asked for, and even none, although more
    /// follow: when [`ListBounds::page`] was looked at and too few matched.
    pub shipments: Vec<StoredShipment>,
    /// How many match the filter in all.
    pub total: Total,
    /// Behind which place the next page begins, when this is not the last one.
    pub next: Option<(Timestamp, TrackingNumber)>,
}

/// How many shipments match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// So many.
    pub count: u64,
    /// Else there are at least so many.
    pub is_exact: bool,
}

impl Total {
    /// So many and no more.
    #[must_use]
    pub fn exactly(count: u64) -> Self {
        Self { count, is_exact: true }
    }

    /// What was counted with a limit of one more than `most`.
    #[must_use]
    pub fn up_to(most: u64, counted: u64) -> Self {
        Self { count: counted.min(most), is_exact: counted <= most }
    }
}

impl Page {
    /// The page of `found`, of which one more than `limit` was looked for. `end` is where the look stopped, when that was before
    /// the end of the list.
    #[must_use]
    pub fn of(
        mut found: Vec<StoredShipment>,
        start: PageStart,
        limit: u32,
        end: Option<(Timestamp, TrackingNumber)>,
        total: Total,
    ) -> Self {
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let last = found.last().map(|last| (last.created.created_at, last.created.tracking_number));
        let next = if more { last } else { end };
        // Who has seen the last one has counted them all.
        let total = match start {
            PageStart::Offset(offset) if next.is_none() && (offset == 0 || !found.is_empty()) => {
                Total::exactly(offset + found.len() as u64)
            }
            _ => total,
        };
        Self { shipments: found, total, next }
    }
}

/// What one request for a list may cost, whatever it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListBounds {
    /// How many shipments a page looks at for a status or a prefix. A hundred thousand take MongoDB a fifth of a second on one core.
    pub page: u64,
    /// How many a total looks at for the same: a tenth, since each page has one.
    pub total: u64,
    /// How many a total counts without a look at them, in an index: as far as an offset leads.
    pub counted: u64,
    /// How many shipments may have a prefix for them to be fetched and put in order, instead of being looked for in the order of the list.
    pub sorted: u64,
}

impl Default for ListBounds {
    fn default() -> Self {
        Self { page: 100_000, total: 10_000, counted: 100_000, sorted: 10_000 }
    }
}
