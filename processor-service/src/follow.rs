//! From one generation of the projection to the next: a processor works in the live one until that is to change, drains, commits and leaves
//! the group, and goes on in the group of the one that is live then ([`shared::projection`]).

use std::sync::Arc;
use std::time::Instant;

use shared::applied::AppliedAnnouncer;
use shared::event_log::SubscribeError;
use shared::event_log::replay::EventReplay;
use shared::projection::{Generation, Generations, Projection, SETTLE_TIME, WATCH_INTERVAL, WORK_LEASE};
use tokio_util::sync::CancellationToken;

use crate::{Ports, Processor};

type Announce = dyn Fn(Generation) -> Arc<dyn AppliedAnnouncer> + Send + Sync;

/// What a processor needs to follow the live generation.
pub struct Follow {
    /// The generations.
    pub generations: Arc<dyn Generations>,
    /// The log.
    pub replay: Arc<dyn EventReplay>,
    /// Whom to tell of what is applied in a generation: positions of two generations must not be taken for one another.
    pub announce: Box<Announce>,
}

impl Follow {
    /// Runs `processor` in the live generation, and in the next one, until `stop` is cancelled.
    ///
    /// # Errors
    /// A subscription cannot go on; the process must end and be started again.
    pub async fn run(&self, processor: &Processor, stop: CancellationToken) -> Result<(), SubscribeError> {
        while let Some(generation) = self.open_generation(&stop).await {
            tracing::info!(%generation, "working in the live generation");
            let ports = Ports {
                store: self.generations.writer(generation),
                announcer: (self.announce)(generation),
                ..processor.ports.clone()
            };
            let leave = stop.child_token();
            let running = processor.run_with(ports, self.replay.member(generation), leave.clone());
            tokio::pin!(running);
            tokio::select! {
                ended = &mut running => ended?,
                () = self.until_left(generation) => {
                    tracing::info!(%generation, "leaving the generation: another one is to be live");
                    leave.cancel();
                    running.await?;
                }
            }
        }
        Ok(())
    }

    /// The live generation, as soon as one may work in it; `None` when `stop` was cancelled before.
    async fn open_generation(&self, stop: &CancellationToken) -> Option<Generation> {
        let mut waiting = Waiting::default();
        let found = async {
            loop {
                match self.look(&mut waiting).await {
                    Some(generation) => return generation,
                    None => tokio::time::sleep(WATCH_INTERVAL).await,
                }
            }
        };
        stop.run_until_cancelled(found).await
    }

    async fn look(&self, waiting: &mut Waiting) -> Option<Generation> {
        let control = self.generations.control();
        let known = match control.read().await {
            Ok(known) => known,
            Err(error) => {
                waiting.complain(&error);
                return None;
            }
        };
        let (next, then) = match waiting.judge(&known, Instant::now()) {
            Turn::Work => return Some(known.live),
            Turn::Wait => return None,
            Turn::Resume => {
                tracing::warn!("the tool that asked the processors to leave is dead; going on in the live generation");
                (known.resumed(), None)
            }
            // Whether we say so or somebody else does: no reader is left in another generation.
            Turn::Settle => (known.settled(), Some(known.live)),
        };
        match control.replace(&next).await {
            Ok(_) => then,
            Err(error) => {
                waiting.complain(&error);
                None
            }
        }
    }

    /// Waits until `generation` is not the one to work in. What cannot be looked up has not changed as far as we know: whoever
    /// wants to change it waits until we have left.
    async fn until_left(&self, generation: Generation) {
        let control = self.generations.control();
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            match control.read().await {
                Ok(known) if known.live == generation && known.is_open() => {}
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, "which generation is live could not be looked up"),
            }
        }
    }
}

/// What a processor does that has no generation to work in yet.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Work,
    Wait,
    Resume,
    Settle,
}

#[derive(Default)]
struct Waiting {
    /// The revision of a quiesced projection, and since when it stands still.
    quiesced: Option<(i64, Instant)>,
    /// The generation that is live and not settled, and since when that is known.
    unsettled: Option<(Generation, Instant)>,
    complained: bool,
}

impl Waiting {
    fn judge(&mut self, known: &Projection, now: Instant) -> Turn {
        if !known.is_open() {
            match self.quiesced {
                Some((revision, since)) if revision == known.revision => {
                    if now.duration_since(since) >= WORK_LEASE {
                        return Turn::Resume;
                    }
                }
                _ => self.quiesced = Some((known.revision, now)),
            }
            return Turn::Wait;
        }
        self.quiesced = None;
        if known.settled {
            return Turn::Work;
        }
        match self.unsettled {
            Some((generation, since)) if generation == known.live => {
                if now.duration_since(since) >= SETTLE_TIME {
                    Turn::Settle
                } else {
                    Turn::Wait
                }
            }
            _ => {
                self.unsettled = Some((known.live, now));
                Turn::Wait
            }
        }
    }

    fn complain(&mut self, error: &(dyn std::error::Error + 'static)) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(error, "which generation is live cannot be looked up; waiting for it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::event_log::replay::Offsets;

    use super::*;

    #[test]
    fn a_dead_tool_is_seen_by_its_silence_and_a_living_one_is_waited_for() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        let begun = Projection::default().taken_by("tool").building();
        let mut quiesced = begun.quiescing(begun.last);
        assert_eq!(waiting.judge(&quiesced, start), Turn::Wait);
        for second in 1..60 {
            quiesced = quiesced.beat();
            assert_eq!(waiting.judge(&quiesced, start + Duration::from_secs(second)), Turn::Wait, "it lives");
        }
        let last = start + Duration::from_secs(59);
        assert_eq!(waiting.judge(&quiesced, last + WORK_LEASE / 2), Turn::Wait);
        assert_eq!(waiting.judge(&quiesced, last + WORK_LEASE), Turn::Resume);
        assert_eq!(waiting.judge(&quiesced.resumed(), last + WORK_LEASE), Turn::Work);
    }

    #[test]
    fn a_new_generation_is_worked_in_when_no_reader_is_left_in_the_old_one() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        let begun = Projection::default().taken_by("tool").building();
        let switched = begun.switched(begun.last, &Offsets::new());
        assert_eq!(waiting.judge(&switched, start), Turn::Wait);
        assert_eq!(waiting.judge(&switched.beat(), start + SETTLE_TIME / 2), Turn::Wait);
        assert_eq!(waiting.judge(&switched.settled(), start + SETTLE_TIME / 2), Turn::Work, "another one has waited");
        assert_eq!(waiting.judge(&switched, start + SETTLE_TIME), Turn::Settle);
    }
}
