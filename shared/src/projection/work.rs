//! A tool at work on the generations: one at a time, and one that shows that it lives.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::{BEAT_INTERVAL, Projection, ProjectionControl, WORK_LEASE};
use crate::number_lease::random_key;
use crate::shipment_store::StoreError;

/// Why a tool cannot work, or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Another one is at work.
    #[error("another rebuild, rollback or gc is at work; it goes on after that one, or 10 s after it died")]
    Busy,
    /// Somebody has taken over: processors that saw no sign of life for too long, or another tool.
    #[error(
        "the right to change the live generation was lost: this tool showed no sign of life for too long. Nothing was switched; run it again"
    )]
    Lost,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The work of one tool. While it lives, the revision moves.
pub struct Working {
    control: Arc<dyn ProjectionControl>,
    tool: String,
    known: Arc<tokio::sync::Mutex<Projection>>,
    lost: CancellationToken,
    beating: tokio::task::AbortHandle,
}

impl Working {
    /// Takes the work up. When another tool seems to be at it, waits until that has shown no sign of life for [`WORK_LEASE`].
    ///
    /// # Errors
    /// Another tool is at work; the store is away.
    pub async fn begin(control: Arc<dyn ProjectionControl>) -> Result<Self, WorkError> {
        let key = random_key()?;
        let tool: String = key[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut known = control.read().await?;
        let mut since = Instant::now();
        // A tool that ended in order has let go; one that died is seen by its silence.
        let mut moved = 0;
        while known.work.is_some() && since.elapsed() < WORK_LEASE {
            tokio::time::sleep(BEAT_INTERVAL).await;
            let now = control.read().await?;
            if now.revision != known.revision {
                moved += 1;
                if moved > 1 {
                    return Err(WorkError::Busy);
                }
                (known, since) = (now, Instant::now());
            }
        }
        let taken = known.taken_by(&tool);
        if !control.replace(&taken).await? {
            return Err(WorkError::Busy);
        }
        let known = Arc::new(tokio::sync::Mutex::new(taken));
        let lost = CancellationToken::new();
        let beating = tokio::spawn(beat(control.clone(), known.clone(), lost.clone())).abort_handle();
        Ok(Self { control, tool, known, lost, beating })
    }

    /// What is known now. While this tool has the right nobody else changes it, except that a new generation settles.
    pub async fn known(&self) -> Projection {
        self.known.lock().await.clone()
    }

    /// Makes a change.
    ///
    /// # Errors
    /// The right was lost; the store is away.
    pub async fn change(&self, change: impl Fn(&Projection) -> Projection) -> Result<Projection, WorkError> {
        let mut known = self.known.lock().await;
        loop {
            let next = change(&known);
            match self.control.replace(&next).await {
                Ok(true) => {
                    *known = next.clone();
                    return Ok(next);
                }
                // It may have happened: what is there tells.
                Err(StoreError::Unavailable(_)) | Ok(false) => {}
                Err(error) => return Err(error.into()),
            }
            let there = self.control.read().await?;
            if there == next {
                *known = next.clone();
                return Ok(next);
            }
            if there.work.as_deref() != Some(&self.tool) || there.quiesce != known.quiesce {
                self.lost.cancel();
                return Err(WorkError::Lost);
            }
            *known = there;
        }
    }

    /// Is cancelled when the right is lost.
    #[must_use]
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Lets go.
    ///
    /// # Errors
    /// The store is away: others find out by our silence.
    pub async fn end(self) -> Result<(), WorkError> {
        self.beating.abort();
        let released = self.change(Projection::released).await;
        match released {
            Ok(_) | Err(WorkError::Lost) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

async fn beat(
    control: Arc<dyn ProjectionControl>,
    known: Arc<tokio::sync::Mutex<Projection>>,
    lost: CancellationToken,
) {
    let mut ticks = tokio::time::interval(BEAT_INTERVAL);
    ticks.tick().await; // the first one is due at once, and the work has just been taken up
    loop {
        ticks.tick().await;
        let mut known = known.lock().await;
        let next = known.beat();
        match control.replace(&next).await {
            Ok(true) => *known = next,
            failed => {
                let read = control.read().await;
                tracing::debug!(?failed, "a sign of life did not get through");
                match read {
                    Ok(there) if there.work == known.work && there.quiesce == known.quiesce => *known = there,
                    Ok(_) => {
                        lost.cancel();
                        return;
                    }
                    Err(error) => tracing::warn!(%error, "no sign of life could be given"),
                }
            }
        }
    }
}
