//! The log, its fold, and the only place that proposes entries.

use std::time::Duration;

use super::error::CaptureError;
use super::report::{Counts, Observer, Progress};
use crate::change::Second;
use crate::manifest::audit::PACKED;
use crate::manifest::{Action, Log, LogError, Manifest, Proposed, Violation};
use crate::platform::clock::{Instant, now, sleep};
use crate::platform::patience::Patience;
use crate::platform::tasks;

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
    /// Pages that were read since the last entry.
    pub(super) pages: u64,
    observer: Observer,
    last: Option<Instant>,
    refusals: u32,
    patience: Patience,
    /// Full packs that this process has seen to.
    packs: u64,
}

impl Committer {
    /// A committer for an opened log.
    pub(super) fn new(log: Log, manifest: Manifest, observer: Observer, patience: Patience) -> Self {
        let at = manifest.at.unwrap_or_default();
        let counts = Counts::default();
        Self { log, manifest, at, counts, observer, last: None, refusals: 0, patience, packs: 0, pages: 0 }
    }

    /// The service told its time.
    pub(super) fn tell(&mut self, at: Second) {
        self.at = self.at.max(at);
    }

    /// Says something to whoever watches.
    pub(super) fn say(&self, progress: &Progress) {
        (self.observer)(progress);
    }

    /// Reads entries that others wrote, however long the store takes to answer.
    ///
    /// # Errors
    /// The log cannot be read, and waiting does not help.
    pub(super) async fn refresh(&mut self) -> Result<(), CaptureError> {
        loop {
            match self.log.refresh(&mut self.manifest).await {
                Ok(_) => {
                    self.patience.renew();
                    return Ok(());
                }
                Err(error) => self.bear(error).await?,
            }
        }
    }

    /// Waits where the cause may pass or a person can mend it while we wait; what was read stays buffered meanwhile.
    async fn bear(&mut self, error: LogError) -> Result<(), CaptureError> {
        Ok(self.patience.bear("the log", error).await?)
    }

    /// Proposes one entry.
    ///
    /// # Errors
    /// The log cannot be written, or our own checks refuse what we propose again and again.
    pub(super) async fn propose(&mut self, actions: Vec<Action>) -> Result<Outcome, CaptureError> {
        if let Some(last) = self.last {
            sleep(PACE.saturating_sub(now().saturating_duration_since(last))).await;
        }
        let proposed = match self.log.propose(&mut self.manifest, self.at, actions).await {
            Ok(proposed) => proposed,
            Err(error) => {
                // Whatever came of it, the log says: read on, then make the actions anew.
                self.bear(error).await?;
                self.refresh().await?;
                return Ok(Outcome::Again);
            }
        };
        self.patience.renew();
        self.last = Some(now());
        match proposed {
            Proposed::Committed { n } => {
                self.refusals = 0;
                self.counts.entries += 1;
                self.pack(n + 1);
                Ok(Outcome::Committed(n))
            }
            Proposed::Lost => {
                self.counts.lost_races += 1;
                Ok(Outcome::Again)
            }
            Proposed::Refused(violation) => self.refused(violation).await,
        }
    }

    /// Sees to it that full packs stand, beside the commits: at the first commit, for a process that ended before it
    /// had written one, and whenever the log has become long enough for another. Nothing waits for it or fails by it.
    fn pack(&mut self, length: u64) {
        let packs = length / PACKED;
        if packs <= self.packs {
            return;
        }
        self.packs = packs;
        let log = self.log.clone();
        drop(tasks::spawn(async move {
            match log.write_packs(length).await {
                Ok(written) => tracing::debug!(written, "packs of the log"),
                Err(error) => tracing::warn!(%error, "a pack of the log was not written; the next to be due brings it"),
            }
        }));
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
