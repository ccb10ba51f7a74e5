//! The six statuses, the strict whitelist, and the kinds of scan that claim no status. Contract section 2 is the
//! source of every rule in this file.

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// All of them, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands for it on the wire and in the stores.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one that `word` stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": Self::ALL})
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}
pub(super) use words;

words! {
    /// Where a shipment stands.
    Status {
        /// Registered; nobody has it yet.
        Created = "created",
        /// With the first courier.
        PickedUp = "picked_up",
        /// At a hub.
        InWarehouse = "in_warehouse",
        /// Between two places.
        InTransit = "in_transit",
        /// Handed over. Terminal.
        Delivered = "delivered",
        /// Called off. Terminal.
        Cancelled = "cancelled",
    }
}

words! {
    /// What a scan without a status says. It is always recorded and never moves the status.
    Kind {
        /// The label exists; the parcel has not been seen.
        InfoReceived = "info_received",
        /// On the delivery vehicle.
        OutForDelivery = "out_for_delivery",
        /// Nobody there, or refused.
        DeliveryAttemptFailed = "delivery_attempt_failed",
        /// Something is wrong.
        Exception = "exception",
        /// A customs step.
        Customs = "customs",
        /// On its way back to the sender.
        Returned = "returned",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// How a shipment's events are judged, for its whole life.
    Policy {
        /// The whitelist, in log order.
        Strict = "strict",
        /// The fold of all scans in order of their time.
        Field = "field",
    }
}

impl Status {
    /// Whether nothing may follow.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Delivered | Self::Cancelled)
    }

    /// How far along a shipment is in this status (contract section 2, the field policy): two statuses of one rank can alternate, a lower
    /// one never follows a higher one.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Created => 0,
            Self::PickedUp => 1,
            Self::InWarehouse | Self::InTransit => 2,
            Self::Delivered | Self::Cancelled => 3,
        }
    }

    /// The strict whitelist: whether a shipment in `from` (`None`: there is none yet) may go to `self`.
    #[must_use]
    pub fn may_follow(self, from: Option<Self>, allow_cancel_in_transit: bool) -> bool {
        match from {
            None => self == Self::Created,
            Some(Self::Created) => matches!(self, Self::PickedUp | Self::Cancelled),
            Some(Self::PickedUp) => matches!(self, Self::InWarehouse | Self::Cancelled),
            Some(Self::InWarehouse) => matches!(self, Self::InTransit | Self::Cancelled),
            Some(Self::InTransit) => self == Self::Delivered || (self == Self::Cancelled && allow_cancel_in_transit),
            Some(Self::Delivered | Self::Cancelled) => false,
        }
    }
}
