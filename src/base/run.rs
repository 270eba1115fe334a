//! Taking a base by scan, beside a capture that goes on: begin in the log, scan, store, wait, commit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::output::{self, Shelf};
use super::ready::{self, Complete, Ready};
use super::scan::{self, TableScan};
use super::{BaseError, BaseSummary};
use crate::change::{ItemKey, KeySchema, Second};
use crate::manifest::action::IntentAbandoned;
use crate::manifest::{Action, BaseCommitted, BaseKind, BaseStarted, Log, Manifest, Proposed, Segments};
use crate::platform::clock;
use crate::platform::ids::Ids;
use crate::platform::rate::Cap;
use crate::segment::{BaseRow, Facts, SegmentMeta};
use crate::store::ObjectStore;

/// A base's files end at this size, counted from their rows.
const FILE_LIMIT: u64 = 128 << 20;

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
}

impl Default for BaseOptions {
    fn default() -> Self {
        Self { slack: 900, name: None, parts: 4, most_read_units: None, table_bytes: 0, poll: Duration::from_secs(5) }
    }
}

/// All that taking a base needs.
#[derive(Debug)]
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
    /// Ends the run early; what it began is then abandoned.
    pub stop: CancellationToken,
}

/// What was read of the table.
#[derive(Debug, Default)]
struct Scanned {
    rows: Vec<BaseRow>,
    first: Option<Second>,
    last: Option<Second>,
}

/// A begun base.
#[derive(Debug, Clone, Copy)]
struct Begun {
    intent: u64,
    fence: Second,
    started: Second,
    bits: u8,
}

/// Takes a base. Something must capture the table meanwhile, here or elsewhere: the base is complete only when
/// the archive has passed its last page by `slack`.
///
/// # Errors
/// [`BaseError`]; nothing of the base is then visible.
pub async fn run(input: BaseInput<'_>) -> Result<BaseSummary, BaseError> {
    let mut run = Run { cap: Cap::per_second(input.options.most_read_units), input };
    let begun = run.begin().await?;
    match run.fulfil(begun).await {
        Ok(summary) => Ok(summary),
        Err(error) => {
            // Best effort: the next run abandons what is left over.
            if let Err(second) = run.abandon(begun.intent).await {
                tracing::warn!(intent = begun.intent, error = %second, "a given-up base could not be abandoned in the log");
            }
            Err(error)
        }
    }
}

struct Run<'a> {
    input: BaseInput<'a>,
    cap: Cap,
}

impl Run<'_> {
    /// Waits until the log allows a base, and begins it there.
    async fn begin(&mut self) -> Result<Begun, BaseError> {
        loop {
            self.refresh().await?;
            for intent in ready::left_over(self.input.manifest) {
                self.abandon(intent).await?;
            }
            match ready::ready(self.input.manifest) {
                Ready::NotYet { why } => {
                    tracing::info!(%why, "the snapshot waits");
                    self.pause().await?;
                }
                Ready::Yes { fence } => {
                    let (started, bits) = (self.now().await?, output::bits_for(self.input.options.table_bytes));
                    let slack = self.input.options.slack;
                    let action = BaseStarted { kind: BaseKind::Scan, fence, started, slack, bits, limit: FILE_LIMIT };
                    if let Some(intent) = self.propose(started, Action::BaseStarted(action)).await? {
                        return Ok(Begun { intent, fence, started, bits });
                    }
                }
            }
        }
    }

    async fn fulfil(&mut self, begun: Begun) -> Result<BaseSummary, BaseError> {
        let mut watch = Watch { known: paths(self.input.manifest), until: None };
        let scanned = self.scan().await?;
        let ended = scanned.last.unwrap_or(begun.started);
        let (items, first) = (scanned.rows.len() as u64, scanned.first.unwrap_or(begun.started));
        let segments = self.store(begun, scanned.rows).await?;
        let until = ended.plus(i64::from(self.input.options.slack));
        loop {
            self.refresh().await?;
            self.watch(&mut watch).await?;
            let until = watch.until.map_or(until, |lifted| until.max(lifted));
            match ready::complete(self.input.manifest, begun.intent, begun.fence, until) {
                Complete::Abandoned => return Err(BaseError::Abandoned),
                Complete::Spoilt(unknown) => return Err(BaseError::Spoilt(unknown)),
                Complete::NotYet { until, now } => {
                    tracing::info!(%until, now = ?now, "the snapshot waits until the archive has passed its scan");
                    self.pause().await?;
                }
                Complete::Yes { complete_at } => {
                    let base = BaseCommitted {
                        intent: Some(begun.intent),
                        kind: BaseKind::Scan,
                        fence: begun.fence,
                        complete_at,
                        name: self.input.options.name.clone(),
                        checked: None,
                        segments: segments.clone(),
                    };
                    let at = self.now().await?;
                    if let Some(n) = self.propose(at, Action::Base(base)).await? {
                        let bytes = segments.iter().map(|meta| meta.bytes).sum();
                        let files = segments.len();
                        return Ok(BaseSummary {
                            n,
                            items,
                            files,
                            bytes,
                            fence: begun.fence,
                            complete_at,
                            scanned: (first, ended),
                        });
                    }
                }
            }
        }
    }

    async fn scan(&self) -> Result<Scanned, BaseError> {
        let (send, mut pages) = mpsc::channel(4);
        let (options, keys) = (&self.input.options, &self.input.facts.keys);
        let read = scan::all(self.input.table, options.parts, &self.cap, &self.input.ids, send);
        let gather = async {
            let mut scanned = Scanned::default();
            while let Some(page) = pages.recv().await {
                gather_page(&mut scanned, page, keys)?;
            }
            Ok::<_, BaseError>(scanned)
        };
        tokio::select! {
            () = self.input.stop.cancelled() => Err(BaseError::Stopped),
            done = async { tokio::join!(read, gather) } => {
                // A page that cannot be read closes the channel, which ends the scan without an error.
                let (read, gathered) = done;
                let scanned = gathered?;
                read?;
                Ok(scanned)
            }
        }
    }

    async fn store(&self, begun: Begun, rows: Vec<BaseRow>) -> Result<Vec<SegmentMeta>, BaseError> {
        let shelf = Shelf {
            store: &*self.input.store,
            folder: self.input.folder.clone(),
            facts: &self.input.facts,
            intent: begun.intent,
            started: begun.started,
            bits: begun.bits,
            ids: &self.input.ids,
        };
        let mut segments = Vec::new();
        for output in output::cut(rows, begun.bits, FILE_LIMIT) {
            segments.push(shelf.put(output).await?);
        }
        Ok(segments)
    }

    /// Reads what was archived since the base began: rows that were placed late hold it back.
    async fn watch(&self, watch: &mut Watch) -> Result<(), BaseError> {
        let segments = Segments::new(Arc::clone(&self.input.store), self.input.folder.clone());
        for (path, meta) in self.input.manifest.segments.iter().filter(|(path, _)| !watch.known.contains(*path)) {
            let rows = segments.changes(meta).await?;
            watch.until = rows.iter().filter_map(ready::holds_back).chain(watch.until).max();
            tracing::debug!(%path, "read for late changes");
        }
        watch.known = paths(self.input.manifest);
        Ok(())
    }

    async fn abandon(&mut self, intent: u64) -> Result<(), BaseError> {
        loop {
            let at = self.now().await?;
            let action = Action::IntentAbandoned(IntentAbandoned { intent });
            if !self.input.manifest.intents.contains_key(&intent) || self.propose(at, action).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// `None` if another writer took the slot; the manifest then holds what it wrote.
    async fn propose(&mut self, at: Second, action: Action) -> Result<Option<u64>, BaseError> {
        match self.input.log.propose(self.input.manifest, at, vec![action]).await? {
            Proposed::Committed { n } => Ok(Some(n)),
            Proposed::Lost => Ok(None),
            Proposed::Refused(violation) => Err(BaseError::Refused(violation.to_string())),
        }
    }

    async fn refresh(&mut self) -> Result<(), BaseError> {
        self.input.log.refresh(self.input.manifest).await?;
        Ok(())
    }

    async fn now(&self) -> Result<Second, BaseError> {
        Ok(self.input.table.now().await?)
    }

    async fn pause(&self) -> Result<(), BaseError> {
        tokio::select! {
            () = self.input.stop.cancelled() => Err(BaseError::Stopped),
            () = clock::sleep(self.input.options.poll) => Ok(()),
        }
    }
}

/// Segments that were looked at, and the second that late rows in them make the base wait for.
struct Watch {
    known: BTreeSet<Arc<str>>,
    until: Option<Second>,
}

fn paths(manifest: &Manifest) -> BTreeSet<Arc<str>> {
    manifest.segments.keys().cloned().collect()
}

fn gather_page(scanned: &mut Scanned, page: scan::Page, keys: &KeySchema) -> Result<(), BaseError> {
    scanned.first = Some(scanned.first.map_or(page.at, |first| first.min(page.at)));
    scanned.last = scanned.last.max(Some(page.at));
    for image in page.items {
        let row = ItemKey::from_image(keys, image.as_str()).and_then(|key| BaseRow::new(key, image));
        scanned.rows.push(row.map_err(BaseError::Item)?);
    }
    Ok(())
}
