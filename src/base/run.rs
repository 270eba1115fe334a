//! Taking a base beside a capture that goes on: begin in the log, read the table, store, wait, commit.
//!
//! **Memory.** However large the table is, a run holds either the rows of one run while it scans (`held`, 64 MiB, and
//! the pages on their way: at most 4 and one for each part), or one output while it stores (rows, columns and bytes of
//! at most `held` each: about three times as much) and of every run one row and 64 KiB. What is scanned waits in
//! temporary files, which take about the table's size.
//!
//! A scan ends with the run that began it. An export goes on in the service, whatever becomes of the run, and another run
//! goes on with it: it is ended in the log only when it cannot become a base.
//!
//! **Patience.** Hours of reading are not thrown away for a failure that passes, or that a person can mend while we
//! wait: from the first page on both are waited out. Before it, what a person must mend is told at once.

use std::sync::Arc;
use std::time::Duration;

use super::export::{self, Contents, ExportError, Exporting};
use super::gather::{Gather, Gathered};
use super::journal::Journal;
use super::output::{Output, Outputs};
use super::ready::{self, Complete, Ready};
use super::scan::{self, TableScan};
use super::watch::Watch;
use super::{BaseError, BaseInput, BaseOptions, BaseSource, BaseSummary};
use crate::change::Second;
use crate::manifest::{
    self, Action, BaseCommitted, BaseKind, BaseStarted, EXPORT_MARGIN, Label, Manifest, ReadError, Segments, Shelf,
    ShelfError,
};
use crate::platform::bugs::{Bug, planted};
use crate::platform::ids::Ids;
use crate::platform::patience::{Curable as _, Cure, Patience, Tell};
use crate::platform::rate::Cap;
use crate::platform::{clock, tasks};
use crate::segment::cut::bits_for;
use crate::segment::{BaseRow, Facts, SegmentMeta, Tier, encode, name, open_checked_base};
use crate::spill::Sorted;
use crate::store::ObjectStore;

/// How long a capture may take to begin with the table's stream before it is said that none does.
const STREAM_BEGINS: Duration = Duration::from_secs(300);
/// How far (seconds) the time of an export lies before the service's own: one in the future is refused.
const IN_THE_PAST: i64 = 10;
/// How long a run that failed or was stopped tries to say so in the log. Another ends what it leaves.
const GIVE_UP: Duration = Duration::from_secs(10);

/// A begun base.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) intent: u64,
    pub(super) started: BaseStarted,
    /// This run began it.
    pub(super) own: bool,
}

impl Begun {
    /// How it stands, whatever else has to be waited for.
    pub(super) fn judged(&self, manifest: &Manifest) -> Complete {
        ready::complete(manifest, self.intent, self.started.fence, self.passed())
    }

    /// What the archive must have passed at least before the base can be complete.
    fn passed(&self) -> Second {
        self.started.passed().unwrap_or(self.started.started)
    }
}

/// Takes a base. Something must capture the table meanwhile, here or elsewhere: the base is complete only when
/// the archive has passed its last page by `slack`.
///
/// # Errors
/// [`BaseError`]; nothing of the base is then visible.
pub async fn run(input: BaseInput<'_>) -> Result<BaseSummary, BaseError> {
    let patience = Patience::new(Arc::clone(&input.tell), input.ids.clone(), false);
    let BaseInput { log, manifest, source, options, .. } = input;
    let log = manifest::Journal { log, manifest, patience };
    let journal = Journal { log, source, poll: options.poll };
    let mut run = Run {
        journal,
        store: input.store,
        folder: input.folder,
        facts: input.facts,
        options,
        ids: input.ids,
        tell: input.tell,
    };
    // Wherever it stands: what was begun is abandoned in the log, and an entry on its way says itself what became of it.
    let done = input.stop.run_until_cancelled(Box::pin(run.all())).await.unwrap_or(Err(BaseError::Stopped));
    match &done {
        Err(error) if run.is_over(error) => run.give_up().await,
        _ => {}
    }
    done
}

struct Run<'a> {
    journal: Journal<'a>,
    store: Arc<dyn ObjectStore>,
    folder: String,
    facts: Facts,
    options: BaseOptions,
    ids: Ids,
    tell: Tell,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<BaseSummary, BaseError> {
        let begun = self.begin().await?;
        self.fulfil(begun).await
    }

    /// Waits until the log allows a base, and begins it there.
    async fn begin(&mut self) -> Result<Begun, BaseError> {
        let since = clock::now();
        self.journal.refresh().await?;
        loop {
            if let Some(begun) = self.begun() {
                match begun.judged(self.journal.log.manifest) {
                    // What another run began, and cannot come to stand any more.
                    Complete::Spoilt(_) if !begun.own => {
                        self.journal.abandon(begun.intent).await?;
                        continue;
                    }
                    _ => return Ok(begun),
                }
            }
            self.abandon_left_over().await?;
            let time = self.export_time().await?;
            match ready::ready(self.journal.log.manifest, time.map(|time| time.plus(-EXPORT_MARGIN))) {
                Ready::NoStream if since.elapsed() >= STREAM_BEGINS => return Err(BaseError::NoStream),
                Ready::NoStream => self.journal.pause().await?,
                Ready::NotYet { why } => {
                    tracing::info!(%why, "the snapshot waits");
                    self.journal.pause().await?;
                }
                Ready::Yes { fence } => self.start(fence, time).await?,
            }
        }
    }

    /// What this run may go on with, as the log has it.
    fn begun(&self) -> Option<Begun> {
        let (kind, writer) = (self.journal.source.kind(), &self.journal.log.log.writer().id);
        let (intent, by, started) = ready::begun(self.journal.log.manifest, kind, writer)?;
        Some(Begun { intent, started: started.clone(), own: by == writer })
    }

    /// The time that an export begun now is of; a scan has none.
    async fn export_time(&mut self) -> Result<Option<Second>, BaseError> {
        if self.journal.source.kind() != BaseKind::Export {
            return Ok(None);
        }
        // The machine that is asked for the export may be a second behind the one that told the time.
        Ok(Some(self.journal.now().await?.plus(-IN_THE_PAST)))
    }

    /// Begins in the log. An export is of the `time` by which its fence was chosen.
    async fn start(&mut self, fence: Second, time: Option<Second>) -> Result<(), BaseError> {
        // Servers' clocks differ by a little; the scan is never said to begin before its fence.
        let started = match time {
            Some(time) => time,
            None => self.journal.now().await?.max(fence),
        };
        let (slack, limit) = (self.options.slack, self.options.held);
        let bits = bits_for(self.options.table_bytes);
        let (kind, mut export) = (self.journal.source.kind(), None);
        if let BaseSource::Export(exporting) = self.journal.source {
            self.recoverable(exporting).await?;
            let token = self.ids.ulid(u64::try_from(started.0).unwrap_or_default() * 1000);
            export = Some(exporting.order(started, token));
        }
        let action = BaseStarted { kind, fence, started, slack, bits, limit, export };
        self.journal.propose(started, Action::BaseStarted(action)).await
    }

    /// What would refuse every export is told before one is begun.
    async fn recoverable(&mut self, exporting: &Exporting<'_>) -> Result<(), BaseError> {
        loop {
            match exporting.table.recoverable().await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(ExportError::NotRecoverable.into()),
                Err(error) => self.journal.bear("asking for the table's backups", error).await?,
            }
        }
    }

    async fn fulfil(&mut self, begun: Begun) -> Result<BaseSummary, BaseError> {
        let (fence, kind) = (begun.started.fence, begun.started.kind);
        self.journal.log.load(Some(fence), None).await?;
        let segments = Segments::new(Arc::clone(&self.store), self.folder.clone());
        let mut watch = match begun.own {
            true => Watch::from_now(segments, self.journal.log.manifest),
            false => Watch::from_the_start(segments),
        };
        let Gathered { rows, items, times } = self.gather(&begun).await?;
        // From here on a person is waited for, too.
        self.journal.log.patience = self.patient();
        let read = times.unwrap_or((begun.started.started, begun.started.started));
        let segments = self.stored(&begun, rows).await?;
        let passed = begun.passed().max(read.1.plus(i64::from(begun.started.slack)));
        self.journal.refresh().await?;
        loop {
            match watch.look(self.journal.log.manifest).await {
                Ok(()) => {}
                Err(ReadError::Store(error)) => {
                    self.journal.bear("reading what was archived meanwhile", error).await?;
                    self.journal.refresh().await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let lifted = watch.until.filter(|_| !planted(Bug::StragglerAfterBase));
            let until = lifted.map_or(passed, |lifted| passed.max(lifted));
            match ready::complete(self.journal.log.manifest, begun.intent, fence, until) {
                Complete::Abandoned => return Err(BaseError::Abandoned),
                Complete::Spoilt(unknown) => return Err(BaseError::Spoilt(unknown)),
                Complete::Done { n, complete_at } => {
                    let (files, bytes) = (segments.len(), segments.iter().map(|meta| meta.bytes).sum());
                    return Ok(BaseSummary { n, items, files, bytes, fence, complete_at, read, kind });
                }
                Complete::NotYet { until, now } => {
                    tracing::info!(%until, now = ?now, "the snapshot waits until the archive has passed what was read");
                    self.journal.pause().await?;
                }
                Complete::Yes { complete_at } => self.commit(&begun, complete_at, &segments).await?,
            }
        }
    }

    async fn commit(&mut self, begun: &Begun, complete_at: Second, segments: &[SegmentMeta]) -> Result<(), BaseError> {
        let base = BaseCommitted {
            intent: Some(begun.intent),
            kind: begun.started.kind,
            fence: begun.started.fence,
            complete_at,
            name: self.options.name.clone(),
            checked: None,
            segments: segments.to_vec(),
        };
        let at = self.journal.now().await?;
        self.journal.propose(at, Action::Base(base)).await
    }

    /// Waits for a person, too.
    fn patient(&self) -> Patience {
        Patience::new(Arc::clone(&self.tell), self.ids.clone(), true)
    }

    /// Reads the table.
    async fn gather(&mut self, begun: &Begun) -> Result<Gathered, BaseError> {
        match self.journal.source {
            BaseSource::Scan(table) => self.scanned(table).await,
            BaseSource::Export(exporting) => self.exported(exporting, begun).await,
        }
    }

    fn sorting(&self) -> Gather<'_> {
        let BaseOptions { scratch, held, .. } = &self.options;
        Gather { keys: &self.facts.keys, scratch, held: *held }
    }

    async fn scanned(&self, table: &dyn TableScan) -> Result<Gathered, BaseError> {
        let (parts, cap) = (self.options.parts, Cap::per_second(self.options.most_read_units));
        let patience = self.patient();
        self.sorting().run(async |items| scan::all(table, parts, &cap, &patience, items).await).await
    }

    async fn exported(&mut self, exporting: &Exporting<'_>, begun: &Begun) -> Result<Gathered, BaseError> {
        let Some(order) = &begun.started.export else {
            return Err(BaseError::Refused("an export that says nothing of what was exported".to_owned()));
        };
        let bucket = (exporting.buckets)(&order.bucket)?;
        let awaited = export::Awaited { exporting, order, table_arn: &self.facts.table_arn, bucket: &*bucket };
        let summary = awaited.summary(&mut self.journal, begun).await?;
        let mut patience = self.patient();
        let expected = export::Expected { facts: &self.facts, order };
        let Contents { files, .. } = Contents::of(&*bucket, &summary, &expected, &mut patience).await?;
        let read = async |items| export::read(&*bucket, files, order.time, &patience, items).await;
        self.sorting().run(read).await
    }

    /// Writes the files.
    async fn stored(&self, begun: &Begun, rows: Sorted<BaseRow>) -> Result<Vec<SegmentMeta>, BaseError> {
        let (folder, patience) = (self.folder.clone(), self.journal.log.patience.clone());
        let (intent, started) = (begun.intent, &begun.started);
        stored(Storing { store: &*self.store, folder, facts: &self.facts, intent, started, patience }, rows).await
    }

    /// Ends scans of runs that cannot be alive any more: nobody else can finish them.
    async fn abandon_left_over(&mut self) -> Result<(), BaseError> {
        if self.journal.log.manifest.intents.is_empty() {
            return Ok(());
        }
        let now = self.journal.now().await?;
        for intent in ready::left_over(self.journal.log.manifest, now) {
            self.journal.abandon(intent).await?;
        }
        Ok(())
    }

    /// Whether what was begun cannot become a base any more, now that this run ends with `error`.
    fn is_over(&self, error: &BaseError) -> bool {
        let lasting = match error {
            BaseError::Export(error) => !matches!(error, ExportError::NotRecoverable),
            BaseError::Service(error) => error.cure() == Cure::Nothing,
            BaseError::Spoilt(_) | BaseError::Item(_) | BaseError::Segment(_) => true,
            BaseError::Shelf(error) => matches!(error, ShelfError::Segment(_) | ShelfError::Differs { .. }),
            _ => false,
        };
        self.journal.source.kind() == BaseKind::Scan || lasting
    }

    /// Says in the log that this run ends without its base.
    async fn give_up(&mut self) {
        // A run that was stopped still has this to say, and only a moment for it.
        let said = clock::within(GIVE_UP, async {
            self.journal.refresh().await?;
            match self.begun() {
                Some(begun) => self.journal.abandon(begun.intent).await,
                None => Ok(()),
            }
        });
        match said.await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(%error, "a given-up base could not be abandoned in the log"),
            None => tracing::warn!("a given-up base could not be abandoned in the log in time"),
        }
    }
}

/// Where the files of one base go.
pub(super) struct Storing<'a> {
    pub(super) store: &'a dyn ObjectStore,
    /// The table's folder.
    pub(super) folder: String,
    pub(super) facts: &'a Facts,
    /// The entry of `base_started`, and what it says.
    pub(super) intent: u64,
    pub(super) started: &'a BaseStarted,
    pub(super) patience: Patience,
}

/// Writes the files of a base, one after the other.
pub(super) async fn stored(storing: Storing<'_>, rows: Sorted<BaseRow>) -> Result<Vec<SegmentMeta>, BaseError> {
    let Storing { store, folder, facts, intent, started, patience } = storing;
    let BaseStarted { started, bits, limit, .. } = *started;
    let shelf = Shelf { store, folder, patience, what: "writing the snapshot" };
    let (mut outputs, mut segments) = (Outputs::new(rows, bits, limit), Vec::new());
    loop {
        let (rest, output) = tasks::computed(move || outputs.next().map(|output| (outputs, output))).await??;
        let Some(Output { bucket, k, rows }) = output else { return Ok(segments) };
        outputs = rest;
        let label = Label { path: name::base(started, bucket, intent, k), tier: Tier::Base, bucket };
        let facts = facts.clone();
        let encode = move || encode::base(rows, &facts, started, bits);
        segments.push(shelf.put(label, encode, open_checked_base).await?);
    }
}
