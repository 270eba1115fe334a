//! 4. The write path of one table.
//!
//! ```text
//! open the log → list shards → tails → buffers → stamp → encode → upload → commit
//! ```
//!
//! One task owns the folded log and makes every decision; the tails run beside it and hand over pages
//! through a bounded queue. The judgements themselves ([`openings`], [`trim`], [`stamp`], [`heartbeat`],
//! [`start`]) are pure.

mod batcher;
mod buffer;
mod committer;
mod error;
mod flush;
pub mod heartbeat;
mod memory;
pub mod openings;
mod options;
mod pump;
mod reader;
mod readers;
mod report;
mod run;
pub mod stamp;
pub mod start;
mod survey;
pub mod trim;
mod uploader;

#[cfg(test)]
pub(crate) mod fixture;

use std::sync::Arc;

use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

pub use error::CaptureError;
pub use memory::Memory;
pub use options::CaptureOptions;
pub use report::{CaptureSummary, Counts, Ended, Observer, Progress};

use crate::manifest::{Log, Manifest};
use crate::platform::clock::sleep;
use crate::platform::ids::Ids;
use crate::platform::patience::{Patience, Tell, Waiting};
use crate::segment::Facts;
use crate::shard::StreamSource;
use crate::shard::table::{TableError, TableFacts};
use crate::store::ObjectStore;
use committer::Committer;
use run::Run;
use uploader::Uploader;

/// Opens a stream by its ARN: an epoch that was left open is read to its end before the next begins.
pub type Streams = Arc<dyn Fn(&str) -> Arc<dyn StreamSource> + Send + Sync>;

/// Describes the table anew: a stream that was turned off may have been turned on again since.
pub type Describe = Arc<dyn Fn() -> BoxFuture<'static, Result<TableFacts, TableError>> + Send + Sync>;

/// What a capture of one table needs.
pub struct CaptureInput {
    /// The live table, as it was described at the start.
    pub facts: TableFacts,
    /// How it is described later.
    pub describe: Describe,
    /// Its streams.
    pub streams: Streams,
    /// The archive.
    pub store: Arc<dyn ObjectStore>,
    /// The archive's origin id, for the footers of segments.
    pub origin: String,
    /// Names and jitter.
    pub ids: Ids,
    /// How to go about it.
    pub options: CaptureOptions,
    /// What it may hold of what was read and is not written yet; other tables may share it.
    pub memory: Memory,
    /// Nobody means the table any more: the capture that is then told to stop says so in the log.
    pub let_go: CancellationToken,
    /// Who is told.
    pub observer: Observer,
}

/// How long a capture that is told to stop may go on committing what it has read.
const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// The capture of one table.
pub struct Capture {
    input: CaptureInput,
}

impl Capture {
    /// A capture that has not begun.
    #[must_use]
    pub const fn new(input: CaptureInput) -> Self {
        Self { input }
    }

    /// Captures until `stop`, the goal of `once`, or the end of the table's streams.
    ///
    /// # Errors
    /// As [`CaptureError`] says. Nothing is lost by any of them: the next run begins where the log ends.
    pub async fn run(self, stop: CancellationToken) -> Result<CaptureSummary, CaptureError> {
        let input = &self.input;
        let Some((log, manifest)) = input.open_log(&stop).await? else {
            return Ok(CaptureSummary {
                ended: Ended::Stopped,
                counts: Counts::default(),
                closed_through: None,
                proven_through: None,
            });
        };
        let committer = Committer::new(log, manifest, Arc::clone(&input.observer), input.patience());
        let mut run = Run::new(input, committer);
        let late = async {
            stop.cancelled().await;
            sleep(DRAIN_LIMIT).await;
        };
        let ended = tokio::select! {
            biased;
            ended = run.until_done(&stop) => ended?,
            () = late => Ended::StoppedUndrained,
        };
        Ok(run.summary(ended))
    }
}

impl CaptureInput {
    /// Opens the log; while the store does not answer, tries again until told to stop. What a person must mend is
    /// told at once: nobody has seen this capture run yet.
    async fn open_log(&self, stop: &CancellationToken) -> Result<Option<(Log, Manifest)>, CaptureError> {
        // Nothing is read yet that a stop could lose: it ends the opening wherever it stands.
        let opened = stop.run_until_cancelled(Box::pin(self.opened())).await;
        opened.transpose()
    }

    async fn opened(&self) -> Result<(Log, Manifest), CaptureError> {
        let mut patience = Patience::new(self.tell(), self.ids.clone(), false);
        loop {
            match Log::open(Arc::clone(&self.store), &self.facts.identity, self.ids.clone()).await {
                Ok((log, manifest)) => {
                    // Segments are put before the entry that names them: none for a log that takes no entry.
                    log.writable(&manifest).await?;
                    return Ok((log, manifest));
                }
                Err(error) => patience.bear("opening the log", error).await?,
            }
        }
    }

    /// How failures are borne once the capture runs.
    fn patience(&self) -> Patience {
        Patience::new(self.tell(), self.ids.clone(), !self.options.once)
    }

    /// Whoever watches hears of every wait.
    fn tell(&self) -> Tell {
        let observer = Arc::clone(&self.observer);
        Arc::new(move |Waiting { why, attempts, operator }| observer(&Progress::Waiting { why, attempts, operator }))
    }

    fn uploader(&self) -> Uploader {
        let TableFacts { identity, arn, keys, .. } = &self.facts;
        Uploader {
            store: Arc::clone(&self.store),
            folder: identity.folder(),
            facts: Facts::new(&self.origin, arn, &identity.table_id, keys),
            ids: self.ids.clone(),
            memory: self.memory.clone(),
            patience: self.patience(),
        }
    }
}
