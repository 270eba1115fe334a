//! Taking a base by scan, beside a capture that goes on: begin in the log, scan, store, wait, commit.
//!
//! **Memory.** However large the table is, a run holds either the rows of one run while it scans (`held`, 64 MiB, and
//! the pages on their way: at most 4 and one for each part), or one output while it stores (rows, columns and bytes of
//! at most `held` each: about three times as much) and of every run one row and 64 KiB. What is scanned waits in
//! temporary files, which take about the table's size.
//!
//! **Patience.** Hours of reading are not thrown away for a failure that passes, or that a person can mend while we
//! wait: from the first page on both are waited out. Before it, what a person must mend is told at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::gather::{Gather, Gathered};
use super::output::{self, Outputs, Shelf};
use super::ready::{self, Complete, Ready};
use super::scan::TableScan;
use super::spill::Sorted;
use super::watch::Watch;
use super::{BaseError, BaseSummary};
use crate::change::Second;
use crate::manifest::action::IntentAbandoned;
use crate::manifest::{Action, BaseCommitted, BaseKind, BaseStarted, Log, Manifest, Proposed, ReadError};
use crate::platform::bugs::{Bug, planted};
use crate::platform::ids::Ids;
use crate::platform::patience::{Curable, Patience, Tell};
use crate::platform::rate::Cap;
use crate::platform::{clock, tasks};
use crate::segment::{Facts, SegmentMeta};
use crate::store::ObjectStore;

/// Bytes of rows that are held in memory, and at which a file ends: 50 GB make 800 files.
const HELD: u64 = 64 << 20;
/// How long a capture may take to begin with the table's stream before it is said that none does.
const STREAM_BEGINS: Duration = Duration::from_secs(300);
/// How long a run that failed or was stopped tries to say so in the log. Another ends what it leaves.
const GIVE_UP: Duration = Duration::from_secs(10);

/// What the caller chooses.
#[derive(Debug, Clone)]
pub struct BaseOptions {
    /// Seconds for which a change may become readable later than it was made (default 900).
    pub slack: u32,
    /// A name for the base.
    pub name: Option<String>,
    /// Parts that are scanned side by side.
    pub parts: u32,
    /// Read no more than this many capacity units a second.
    pub most_read_units: Option<u32>,
    /// The table's size as the service tells it; it decides how many buckets there are.
    pub table_bytes: u64,
    /// How often the log is read while waiting.
    pub poll: Duration,
    /// Bytes of rows that are held in memory, and at which a file ends.
    pub held: u64,
    /// The folder for temporary files.
    pub scratch: PathBuf,
}

impl Default for BaseOptions {
    fn default() -> Self {
        Self {
            slack: 900,
            name: None,
            parts: 4,
            most_read_units: None,
            table_bytes: 0,
            poll: Duration::from_secs(5),
            held: HELD,
            scratch: std::env::temp_dir(),
        }
    }
}

/// All that taking a base needs.
pub struct BaseInput<'a> {
    /// The table's log, opened for this run.
    pub log: &'a Log,
    /// What it says; read again as the run goes on.
    pub manifest: &'a mut Manifest,
    /// The archive.
    pub store: Arc<dyn ObjectStore>,
    /// The table's folder in it.
    pub folder: String,
    /// The table.
    pub table: &'a dyn TableScan,
    /// What every segment of the table says in its footer; its key schema is the table's.
    pub facts: Facts,
    /// Choices.
    pub options: BaseOptions,
    /// Randomness.
    pub ids: Ids,
    /// Told of every wait for something that fails.
    pub tell: Tell,
    /// Ends the run early; what it began is then abandoned.
    pub stop: CancellationToken,
}

/// A begun base.
#[derive(Debug, Clone, Copy)]
struct Begun {
    intent: u64,
    fence: Second,
    started: Second,
    bits: u8,
    limit: u64,
}

/// Takes a base. Something must capture the table meanwhile, here or elsewhere: the base is complete only when
/// the archive has passed its last page by `slack`.
///
/// # Errors
/// [`BaseError`]; nothing of the base is then visible.
pub async fn run(input: BaseInput<'_>) -> Result<BaseSummary, BaseError> {
    let patience = Patience::new(Arc::clone(&input.tell), input.ids.clone(), false);
    let stop = input.stop.clone();
    let mut run = Run { input, patience };
    // Wherever it stands: what was begun is abandoned in the log, and an entry on its way says itself what became of it.
    let done = stop.run_until_cancelled(Box::pin(run.all())).await.unwrap_or(Err(BaseError::Stopped));
    if done.is_err() {
        run.give_up().await;
    }
    done
}

struct Run<'a> {
    input: BaseInput<'a>,
    /// With the log, and with what is asked of the service besides pages.
    patience: Patience,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<BaseSummary, BaseError> {
        let begun = self.begin().await?;
        self.fulfil(begun).await
    }

    /// Waits until the log allows a base, and begins it there.
    async fn begin(&mut self) -> Result<Begun, BaseError> {
        let since = clock::now();
        self.refresh().await?;
        loop {
            if let Some(begun) = self.begun() {
                return Ok(begun);
            }
            self.abandon_left_over().await?;
            match ready::ready(self.input.manifest) {
                Ready::NoStream if since.elapsed() >= STREAM_BEGINS => return Err(BaseError::NoStream),
                Ready::NoStream => self.pause().await?,
                Ready::NotYet { why } => {
                    tracing::info!(%why, "the snapshot waits");
                    self.pause().await?;
                }
                Ready::Yes { fence } => {
                    // Servers' clocks differ by a little; the scan is never said to begin before its fence.
                    let started = self.now().await?.max(fence);
                    let (slack, limit) = (self.input.options.slack, self.input.options.held);
                    let bits = output::bits_for(self.input.options.table_bytes);
                    let action = BaseStarted { kind: BaseKind::Scan, fence, started, slack, bits, limit };
                    self.propose(started, Action::BaseStarted(action)).await?;
                }
            }
        }
    }

    /// What this run has begun, as the log has it.
    fn begun(&self) -> Option<Begun> {
        let (intent, started) = ready::begun_by(self.input.manifest, &self.input.log.writer().id)?;
        let BaseStarted { fence, started, bits, limit, .. } = *started;
        Some(Begun { intent, fence, started, bits, limit })
    }

    async fn fulfil(&mut self, begun: Begun) -> Result<BaseSummary, BaseError> {
        self.load(begun.fence).await?;
        let mut watch = Watch::new(&self.input.store, &self.input.folder, self.input.manifest);
        let Gathered { rows, items, times } = self.gather().await?;
        // From here on a person is waited for, too.
        self.patience = Patience::new(Arc::clone(&self.input.tell), self.input.ids.clone(), true);
        let (first, last) = times.unwrap_or((begun.started, begun.started));
        let segments = self.store(begun, rows).await?;
        let passed = last.max(begun.started).plus(i64::from(self.input.options.slack));
        self.refresh().await?;
        loop {
            match watch.look(self.input.manifest).await {
                Ok(()) => {}
                Err(ReadError::Store(error)) => {
                    self.bear("reading what was archived meanwhile", error).await?;
                    self.refresh().await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let lifted = watch.until.filter(|_| !planted(Bug::StragglerAfterBase));
            let until = lifted.map_or(passed, |lifted| passed.max(lifted));
            match ready::complete(self.input.manifest, begun.intent, begun.fence, until) {
                Complete::Abandoned => return Err(BaseError::Abandoned),
                Complete::Spoilt(unknown) => return Err(BaseError::Spoilt(unknown)),
                Complete::Done { n, complete_at } => {
                    let (files, bytes) = (segments.len(), segments.iter().map(|meta| meta.bytes).sum());
                    let (fence, scanned) = (begun.fence, (first, last));
                    return Ok(BaseSummary { n, items, files, bytes, fence, complete_at, scanned });
                }
                Complete::NotYet { until, now } => {
                    tracing::info!(%until, now = ?now, "the snapshot waits until the archive has passed its scan");
                    self.pause().await?;
                }
                Complete::Yes { complete_at } => self.commit(begun, complete_at, &segments).await?,
            }
        }
    }

    async fn commit(&mut self, begun: Begun, complete_at: Second, segments: &[SegmentMeta]) -> Result<(), BaseError> {
        let base = BaseCommitted {
            intent: Some(begun.intent),
            kind: BaseKind::Scan,
            fence: begun.fence,
            complete_at,
            name: self.input.options.name.clone(),
            checked: None,
            segments: segments.to_vec(),
        };
        let at = self.now().await?;
        self.propose(at, Action::Base(base)).await
    }

    /// Reads the table.
    async fn gather(&self) -> Result<Gathered, BaseError> {
        let options = &self.input.options;
        let gather = Gather {
            table: self.input.table,
            keys: &self.input.facts.keys,
            parts: options.parts,
            cap: &Cap::per_second(options.most_read_units),
            patience: &Patience::new(Arc::clone(&self.input.tell), self.input.ids.clone(), true),
            scratch: &options.scratch,
            held: options.held,
        };
        gather.run().await
    }

    /// Writes the files, one after the other.
    async fn store(&self, begun: Begun, rows: Sorted) -> Result<Vec<SegmentMeta>, BaseError> {
        let shelf = Shelf {
            store: &*self.input.store,
            folder: self.input.folder.clone(),
            facts: &self.input.facts,
            intent: begun.intent,
            started: begun.started,
            bits: begun.bits,
            patience: self.patience.clone(),
        };
        let (mut outputs, mut segments) = (Outputs::new(rows, begun.bits, begun.limit), Vec::new());
        loop {
            let next = tasks::compute(move || outputs.next().map(|output| (outputs, output))).await;
            let (rest, output) = next.map_err(|error| BaseError::Interrupted(error.to_string()))??;
            let Some(output) = output else { return Ok(segments) };
            outputs = rest;
            segments.push(shelf.put(output).await?);
        }
    }

    /// Brings every segment into memory that can hold a row above the fence.
    async fn load(&mut self, fence: Second) -> Result<(), BaseError> {
        loop {
            match self.input.log.load_segments(self.input.manifest, Some(fence), None).await {
                Ok(()) => return Ok(()),
                Err(error) => self.bear("the log", error).await?,
            }
        }
    }

    /// Ends scans of runs that cannot be alive any more: nobody else can finish them.
    async fn abandon_left_over(&mut self) -> Result<(), BaseError> {
        if self.input.manifest.intents.is_empty() {
            return Ok(());
        }
        let now = self.now().await?;
        for intent in ready::left_over(self.input.manifest, now) {
            self.abandon(intent).await?;
        }
        Ok(())
    }

    /// Says in the log that this run ends without its base.
    async fn give_up(&mut self) {
        // A run that was stopped still has this to say, and only a moment for it.
        let said = clock::within(GIVE_UP, async {
            self.refresh().await?;
            match self.begun() {
                Some(begun) => self.abandon(begun.intent).await,
                None => Ok(()),
            }
        });
        match said.await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(%error, "a given-up base could not be abandoned in the log"),
            None => tracing::warn!("a given-up base could not be abandoned in the log in time"),
        }
    }

    async fn abandon(&mut self, intent: u64) -> Result<(), BaseError> {
        while self.input.manifest.intents.contains_key(&intent) {
            let at = self.now().await?;
            self.propose(at, Action::IntentAbandoned(IntentAbandoned { intent })).await?;
        }
        Ok(())
    }

    /// Proposes an entry. What came of it the manifest says, which is then read on: the caller judges anew.
    async fn propose(&mut self, at: Second, action: Action) -> Result<(), BaseError> {
        match Box::pin(self.input.log.propose(self.input.manifest, at, vec![action])).await {
            Ok(Proposed::Committed { .. } | Proposed::Lost) => {
                self.patience.renew();
                Ok(())
            }
            Ok(Proposed::Refused(violation)) => Err(BaseError::Refused(violation.to_string())),
            Err(error) => {
                self.bear("the log", error).await?;
                self.refresh().await
            }
        }
    }

    async fn refresh(&mut self) -> Result<(), BaseError> {
        loop {
            match Box::pin(self.input.log.refresh(self.input.manifest)).await {
                Err(error) => self.bear("the log", error).await?,
                Ok(_) => {
                    self.patience.renew();
                    return Ok(());
                }
            }
        }
    }

    /// The service's time.
    async fn now(&mut self) -> Result<Second, BaseError> {
        loop {
            match self.input.table.now().await {
                Err(error) => self.bear("asking the service for its time", error).await?,
                Ok(now) => return Ok(now),
            }
        }
    }

    /// Waits before a call is made again, unless waiting cannot help.
    async fn bear<E: Curable>(&mut self, what: &str, error: E) -> Result<(), BaseError>
    where
        BaseError: From<E>,
    {
        Ok(self.patience.bear(what, error).await?)
    }

    /// Waits, then reads on.
    async fn pause(&mut self) -> Result<(), BaseError> {
        clock::sleep(self.input.options.poll).await;
        self.refresh().await
    }
}
