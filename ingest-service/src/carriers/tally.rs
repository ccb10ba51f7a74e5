//! Counts the codes that no mapping knows, in memory, and hands the counts to the store every few seconds: a scan waits for nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::shipment::{CarrierScan, Timestamp, TrackingNumber};
use shared::shipment_store::StoreError;
use shared::unmapped_codes::{Seen, UnmappedCode, UnmappedCodes};

/// How long counts lie here before they are handed on; a kill -9 loses no more of them.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// Most codes that are gathered between two hand-overs, of all carriers together: about 4 MB. Beyond, and as long as the store is away, a
/// new one is counted with the rest of its carrier.
const GATHERED: usize = 4_096;
/// Longest time for the last hand-over, at the end of the process.
const LAST_FLUSH: Duration = Duration::from_secs(3);

/// What was seen and not handed on yet.
type Gathered = HashMap<(String, Seen), UnmappedCode>;

/// Counts what is not mapped.
pub struct UnmappedTally {
    store: Arc<dyn UnmappedCodes>,
    gathered: Mutex<Gathered>,
    /// One hand-over at a time, so that whoever waited for it finds everything in the store.
    flushing: tokio::sync::Mutex<()>,
    failing: AtomicBool,
}

impl UnmappedTally {
    /// A tally that hands on to `store` until it is dropped. Call it within the runtime, and [`UnmappedTally::finish`] at the end.
    #[must_use]
    pub fn start(store: Arc<dyn UnmappedCodes>) -> Arc<Self> {
        let (gathered, flushing, failing) = (Mutex::default(), tokio::sync::Mutex::default(), AtomicBool::new(false));
        let tally = Arc::new(Self { store, gathered, flushing, failing });
        let weak = Arc::downgrade(&tally);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(FLUSH_EVERY);
            loop {
                ticks.tick().await;
                let Some(tally) = weak.upgrade() else { return };
                let flushed = tally.flush().await;
                tally.tell(&flushed);
            }
        });
        tally
    }

    /// A scan of the shipment `number` was not mapped.
    pub(crate) fn note(&self, scan: &CarrierScan, number: TrackingNumber, now: Timestamp) {
        let seen = match (&scan.code, &scan.text) {
            (Some(code), _) => Seen::Code(code.trim().to_owned()),
            (None, Some(text)) => Seen::Text(text.trim().to_owned()),
            (None, None) => Seen::Rest, // no scan is without both
        };
        let sighting = UnmappedCode {
            carrier: scan.carrier.clone(),
            seen,
            text: scan.text.clone(),
            count: 1,
            first_seen: now,
            last_seen: now,
            tracking_number: number,
        };
        gather(&mut self.gathered(), sighting);
    }

    /// Hands on what was gathered. What the store did not take is kept for the next time.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let _one = self.flushing.lock().await;
        let sightings: Vec<_> = std::mem::take(&mut *self.gathered()).into_values().collect();
        if sightings.is_empty() {
            return Ok(());
        }
        let added = self.store.add(&sightings).await;
        if added.is_err() {
            let mut gathered = self.gathered();
            for sighting in sightings {
                gather(&mut gathered, sighting);
            }
        }
        added
    }

    /// At most `limit` codes of `carrier`, or of all, with what was gathered here.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn list(&self, carrier: Option<&str>, limit: u32) -> Result<Vec<UnmappedCode>, StoreError> {
        self.flush().await?;
        self.store.list(carrier, limit).await
    }

    /// Hands on what is left, within three seconds.
    pub async fn finish(&self) {
        match tokio::time::timeout(LAST_FLUSH, self.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last counts of unmapped codes are lost"),
            Err(_) => tracing::warn!("the last counts of unmapped codes are lost: the store took too long"),
        }
    }

    /// Says that the store fails when that begins, and no more.
    fn tell(&self, flushed: &Result<(), StoreError>) {
        let was_failing = self.failing.swap(flushed.is_err(), Ordering::Relaxed);
        if let Err(error) = flushed
            && !was_failing
        {
            tracing::warn!(%error, "unmapped codes cannot be written down; they are counted here until they can");
        }
    }

    fn gathered(&self) -> std::sync::MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gather(gathered: &mut Gathered, sighting: UnmappedCode) {
    let key = |sighting: &UnmappedCode| (sighting.carrier.clone(), sighting.seen.clone());
    let has_room = gathered.len() < GATHERED || gathered.contains_key(&key(&sighting));
    // One for each carrier, and those are bounded by the files.
    let sighting = if has_room { sighting } else { sighting.into_rest() };
    match gathered.get_mut(&key(&sighting)) {
        Some(known) => known.absorb(sighting),
        None => _ = gathered.insert(key(&sighting), sighting),
    }
}

#[cfg(test)]
mod tests {
    use shared::unmapped_codes::memory::MemoryUnmappedCodes;

    use super::*;

    fn scan(code: Option<&str>, text: &str) -> CarrierScan {
        CarrierScan {
            carrier: "andes".to_owned(),
            code: code.map(str::to_owned),
            text: Some(text.to_owned()),
            time: "2025-06-15 12:00".to_owned(),
            zone: None,
            scan_id: None,
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(1_750_000_000_000)
    }

    fn number() -> TrackingNumber {
        "99M-ABC12345".parse().expect("well-formed")
    }

    #[tokio::test]
    async fn counts_outlive_a_store_that_is_away() {
        let store = Arc::new(MemoryUnmappedCodes::default());
        let tally = UnmappedTally::start(store.clone());
        store.set_away(true);
        tally.note(&scan(Some("Q1"), "What"), number(), now());
        assert!(tally.flush().await.is_err());
        tally.note(&scan(Some(" Q1 "), "What now"), number(), now());
        tally.note(&scan(None, "What now"), number(), now());
        assert!(tally.list(None, 10).await.is_err());
        store.set_away(false);
        let listed = tally.list(None, 10).await.expect("reachable");
        let counts: Vec<_> = listed.iter().map(|entry| (entry.seen.clone(), entry.count)).collect();
        assert_eq!(counts, [(Seen::Code("Q1".to_owned()), 2), (Seen::Text("What now".to_owned()), 1)]);
        assert_eq!(tally.list(None, 10).await.expect("reachable"), listed, "nothing is handed on twice");
    }

    #[tokio::test]
    async fn what_is_gathered_is_bounded_whatever_comes() {
        let tally = UnmappedTally::start(Arc::new(MemoryUnmappedCodes::default()));
        let more = 100;
        for code in 0..GATHERED + more {
            tally.note(&scan(Some(&code.to_string()), "flood"), number(), now());
        }
        let gathered = tally.gathered();
        assert_eq!(gathered.len(), GATHERED + 1);
        assert_eq!(gathered[&("andes".to_owned(), Seen::Rest)].count, more as u64);
    }
}
