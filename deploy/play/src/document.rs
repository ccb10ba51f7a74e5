//! What a shipment shows of the events that were posted about it.

/// The part of a shipment under the field policy that all of its scans together decide. An event is named by its place among the
/// posted ones, from 0: of an event that was posted twice, the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The events that moved the status, in order of their time.
    pub moves: Vec<usize>,
    /// Failed delivery attempts.
    pub attempts: u64,
    /// The newest event by time; `None`: only the creation is there.
    pub last_scan: Option<usize>,
    /// The newest exception or return since the last move.
    pub exception: Option<usize>,
}
