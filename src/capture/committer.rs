//! The log, its fold, and the only place that proposes entries.

use std::time::Duration;

use super::error::CaptureError;
use super::report::{Counts, Observer, Progress};
use crate::change::Second;
use crate::manifest::{Action, Log, Manifest, Proposed, Violation};
use crate::platform::clock::{Instant, now, sleep};

/// At most five entries a second: a store that answers fast must not make the log long.
const PACE: Duration = Duration::from_millis(200);
/// How often in a row our own checks may refuse before the table stops.
const REFUSALS: u32 = 5;

/// How a proposal went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is in the log as entry `n`.
    Committed(u64),
    /// Another writer took the slot, or our own checks refused: the fold has moved or must be read anew; make it anew.
    Again,
}

/// The log of one table and what it says.
pub(super) struct Committer {
    log: Log,
    /// The folded log.
    pub(super) manifest: Manifest,
    /// The service's latest time.
    pub(super) at: Second,
    /// What was added.
    pub(super) counts: Counts,
    observer: Observer,
    last: Option<Instant>,
    refusals: u32,
}

impl Committer {
    /// A committer for an opened log.
    pub(super) fn new(log: Log, manifest: Manifest, observer: Observer) -> Self {
        let at = manifest.at.unwrap_or_default();
        Self { log, manifest, at, counts: Counts::default(), observer, last: None, refusals: 0 }
    }

    /// The service told its time.
    pub(super) fn tell(&mut self, at: Second) {
        self.at = self.at.max(at);
    }

    /// Says something to whoever watches.
    pub(super) fn say(&self, progress: &Progress) {
        (self.observer)(progress);
    }

    /// Reads entries that others wrote.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) async fn refresh(&mut self) -> Result<(), CaptureError> {
        self.log.refresh(&mut self.manifest).await?;
        Ok(())
    }

    /// Proposes one entry.
    ///
    /// # Errors
    /// The log cannot be written, or our own checks refuse what we propose again and again.
    pub(super) async fn propose(&mut self, actions: Vec<Action>) -> Result<Outcome, CaptureError> {
        if let Some(last) = self.last {
            sleep(PACE.saturating_sub(now().saturating_duration_since(last))).await;
        }
        let proposed = self.log.propose(&mut self.manifest, self.at, actions).await?;
        self.last = Some(now());
        match proposed {
            Proposed::Committed { n } => {
                self.refusals = 0;
                self.counts.entries += 1;
                Ok(Outcome::Committed(n))
            }
            Proposed::Lost => {
                self.counts.lost_races += 1;
                Ok(Outcome::Again)
            }
            Proposed::Refused(violation) => self.refused(violation).await,
        }
    }

    /// What we propose rests on a fold that may be behind: read on before it is made anew.
    async fn refused(&mut self, violation: Violation) -> Result<Outcome, CaptureError> {
        self.refusals += 1;
        if self.refusals >= REFUSALS {
            return Err(CaptureError::Refused(violation));
        }
        tracing::warn!(%violation, "our own checks refuse an entry: it is made anew");
        self.refresh().await?;
        Ok(Outcome::Again)
    }
}
