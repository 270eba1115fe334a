//! From the archive itself: its own replay at a time, written as an image. Later replays begin with it, whatever the history
//! before it; the table is not asked, and need not exist any more.
//!
//! The image at a time that is closed is the same for ever, so that any run may go on with an intent: it makes the same files
//! and finds what is there.
//!
//! Before it is committed some of its files are made again another way, see [`super::sample`].
//!
//! **Memory.** What a replay takes, and beside it what [`super::run`] says of storing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::run::{Storing, stored};
use super::sample::compared;
use super::{BaseError, BaseSummary};
use crate::change::Second;
use crate::manifest::{Action, BaseCommitted, BaseKind, BaseStarted, IntentKind, Journal, Log, Manifest, Segments};
use crate::platform::patience::Patience;
use crate::platform::tasks;
use crate::replay::sink::{Item, SinkError};
use crate::replay::{self, Bounds, Options, Plan, Point, Sink, Steps};
use crate::segment::cut::{HELD, bits_for};
use crate::segment::{BaseRow, Facts};
use crate::spill::{Sorted, Spill};
use crate::store::ObjectStore;

/// All that an image of the archive's own needs.
pub struct ArchiveInput<'a> {
    /// The table's log, opened for this run.
    pub log: &'a Log,
    /// What it says; read again as the run goes on.
    pub manifest: &'a mut Manifest,
    /// The archive.
    pub store: Arc<dyn ObjectStore>,
    /// The table's folder in it.
    pub folder: String,
    /// What every segment of the table says in its footer.
    pub facts: Facts,
    /// A name for the base.
    pub name: Option<String>,
    /// The folder for temporary files.
    pub scratch: PathBuf,
    /// How failures that pass are borne.
    pub patience: Patience,
    /// What the replay may hold.
    pub bounds: Bounds,
}

/// Writes the image at the end of the second `at` as a base. It may be dropped at any point; the same call then goes on.
///
/// # Errors
/// [`BaseError`]; a time that the archive has no exact answer for is [`BaseError::Replay`].
pub async fn from_archive(input: ArchiveInput<'_>, at: Second) -> Result<BaseSummary, BaseError> {
    let ArchiveInput { log, manifest, store, folder, facts, name, scratch, patience, bounds } = input;
    let mut journal = Journal { log, manifest, patience };
    let archived = Segments::new(Arc::clone(&store), folder.clone());
    let plan = planned(&mut journal, at).await?;
    let (intent, started) = begun(&mut journal, &plan).await?;
    let (rows, items) = image(&mut journal, &archived, plan.clone(), (bounds, &scratch)).await?;
    let patience = journal.patience.clone();
    let storing = Storing { store: &*store, folder, facts: &facts, intent, started: &started, patience };
    let segments = stored(storing, rows).await?;
    if let Err(error) = compared(&archived, &plan, &segments, intent).await {
        if matches!(error, BaseError::Differs(_)) {
            journal.abandon(journal.last_time(), intent).await?;
        }
        return Err(error);
    }
    let base = BaseCommitted {
        intent: Some(intent),
        kind: BaseKind::Archive,
        fence: at,
        complete_at: at,
        name,
        checked: None,
        segments,
    };
    let (files, bytes) = (base.segments.len(), base.segments.iter().map(|meta| meta.bytes).sum());
    loop {
        let done = journal.manifest.bases.iter().find(|base| base.base.intent == Some(intent));
        if let Some(n) = done.map(|base| base.n) {
            let kind = BaseKind::Archive;
            return Ok(BaseSummary { n, items, files, bytes, fence: at, complete_at: at, read: (at, at), kind });
        }
        if !journal.manifest.intents.contains_key(&intent) {
            return Err(BaseError::Abandoned);
        }
        journal.propose(journal.last_time(), Action::Base(base.clone())).await?;
    }
}

async fn planned(journal: &mut Journal<'_>, at: Second) -> Result<Plan, BaseError> {
    journal.refresh().await?;
    journal.load(None, None).await?;
    let plan = replay::plan(journal.manifest, Point::at(at), &Options::default());
    plan.map_err(|refusal| BaseError::Replay(refusal.into()))
}

/// The intent: one of the same time that is open, or a new one.
async fn begun(journal: &mut Journal<'_>, plan: &Plan) -> Result<(u64, BaseStarted), BaseError> {
    let fence = plan.point.through;
    loop {
        let same = journal.manifest.intents.iter().find_map(|(n, intent)| match &intent.kind {
            IntentKind::Base(started) if (started.kind, started.fence) == (BaseKind::Archive, fence) => {
                Some((*n, started.clone()))
            }
            _ => None,
        });
        if let Some(same) = same {
            return Ok(same);
        }
        let bits = bits_for(plan.base.segments.iter().map(|meta| meta.bytes).sum());
        let (kind, started) = (BaseKind::Archive, journal.last_time().max(fence));
        let action = BaseStarted { kind, fence, started, slack: 0, bits, limit: HELD, export: None };
        journal.propose(journal.last_time(), Action::BaseStarted(action)).await?;
    }
}

/// The image, in order of key, and its number of items.
async fn image(
    journal: &mut Journal<'_>,
    segments: &Segments,
    plan: Plan,
    (bounds, scratch): (Bounds, &Path),
) -> Result<(Sorted<BaseRow>, u64), BaseError> {
    let mut rows = Rows(Ok(Spill::new(scratch, HELD)));
    let total = replay::run(journal.log, journal.manifest, segments, plan, (bounds, Steps::SILENT), &mut rows).await;
    // Where they could not be taken, that says more than the replay, which could not give them.
    let spill = rows.0?;
    let items = total.map_err(BaseError::Replay)?.items;
    Ok((tasks::computed(move || spill.sorted()).await??, items))
}

/// Takes an image on its way to files, or why it could not.
struct Rows(Result<Spill<BaseRow>, BaseError>);

#[async_trait]
impl Sink for Rows {
    async fn put(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        let row = |Item { key_hash, pk, sk, image, digest }| BaseRow { key_hash, pk, sk, image, image_digest: digest };
        let rows: Vec<BaseRow> = items.into_iter().map(row).collect();
        // A put that is dropped half way ends the run.
        if let Ok(spill) = std::mem::replace(&mut self.0, Err(BaseError::Stopped)) {
            self.0 = added(spill, rows).await;
        }
        match &self.0 {
            Ok(_) => Ok(()),
            Err(error) => Err(SinkError::Failed { place: "temporary files".to_owned(), reason: error.to_string() }),
        }
    }

    async fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

async fn added(mut spill: Spill<BaseRow>, rows: Vec<BaseRow>) -> Result<Spill<BaseRow>, BaseError> {
    Ok(tasks::computed(move || spill.add(rows).map(|()| spill)).await??)
}
