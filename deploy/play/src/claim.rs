//! What a scan claims, in the words of the contract (section 2): a status, or the kind of a scan that claims none.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A status that a scan may claim. The order is that of the table that is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Registered.
    Created,
    /// With the first courier.
    PickedUp,
    /// At a hub.
    InWarehouse,
    /// Between two places.
    InTransit,
    /// Handed over.
    Delivered,
    /// Called off.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::PickedUp, Self::InWarehouse, Self::InTransit, Self::Delivered, Self::Cancelled];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::PickedUp => "picked_up",
            Self::InWarehouse => "in_warehouse",
            Self::InTransit => "in_transit",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// What a scan without a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The label exists; the parcel has not been seen.
    InfoReceived,
    /// On the delivery vehicle.
    OutForDelivery,
    /// Nobody there, or refused.
    DeliveryAttemptFailed,
    /// Something is wrong.
    Exception,
    /// A customs step.
    Customs,
    /// On its way back to the sender.
    Returned,
    /// Anything else.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::InfoReceived,
        Self::OutForDelivery,
        Self::DeliveryAttemptFailed,
        Self::Exception,
        Self::Customs,
        Self::Returned,
        Self::Other,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InfoReceived => "info_received",
            Self::OutForDelivery => "out_for_delivery",
            Self::DeliveryAttemptFailed => "delivery_attempt_failed",
            Self::Exception => "exception",
            Self::Customs => "customs",
            Self::Returned => "returned",
            Self::Other => "other",
        }
    }

    /// The kind of a published scan without a status. A file has no kind for a customs step: it is an `other` with the reason
    /// `customs`. `None`: no such kind.
    #[must_use]
    pub fn of_published(kind: Option<&str>, reason: Option<&str>) -> Option<Self> {
        match (kind.unwrap_or(Self::Other.as_str()), reason) {
            ("other", Some("customs")) => Some(Self::Customs),
            (word, _) => Self::ALL.into_iter().find(|kind| kind.as_str() == word),
        }
    }
}

/// What a scan claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// "It is now …".
    Status(Status),
    /// "I saw …".
    Kind(Kind),
}

impl Claim {
    /// The claimed status.
    #[must_use]
    pub fn status(self) -> Option<Status> {
        match self {
            Self::Status(status) => Some(status),
            Self::Kind(_) => None,
        }
    }

    /// The member of an event that it stands in.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Kind(_) => "kind",
        }
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status(status) => status.as_str(),
            Self::Kind(kind) => kind.as_str(),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_kind_becomes_a_kind_of_the_contract() {
        let kind = |kind, reason| Kind::of_published(kind, reason).map(Kind::as_str);
        assert_eq!(kind(Some("out_for_delivery"), None), Some("out_for_delivery"));
        assert_eq!(kind(Some("other"), Some("customs")), Some("customs"));
        assert_eq!(kind(Some("other"), Some("awaiting_collection")), Some("other"));
        assert_eq!(
            kind(Some("exception"), Some("customs")),
            Some("exception"),
            "what went wrong stays what went wrong"
        );
        assert_eq!(kind(None, None), Some("other"));
        assert_eq!(kind(Some("delivered"), None), None, "that is a status");
        assert_eq!(kind(Some("lost"), None), None);
    }
}
