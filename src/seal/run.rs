//! Sealing day after day, oldest first.
//!
//! **Memory.** However large the day is, a run holds one raw file with its rows and `held` bytes of other rows while it
//! reads, and one file of each part, its columns and its Parquet bytes while it writes (about six times `held`). What does
//! not fit waits in temporary files, which take about the size of the day's images.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::outputs::{Output, Outputs};
use super::{SealError, SealedDay};
use crate::change::Second;
use crate::manifest::{Action, Journal, Label, ReadError, Seal, SealStarted, Segments, Shelf, ShelfError};
use crate::platform::tasks;
use crate::segment::cut::{HELD, bits_for};
use crate::segment::encode::{self, Layout};
use crate::segment::{Facts, Row, SegmentMeta, name, open_checked};
use crate::spill::{Sorted, Spill};
use crate::store::ObjectStore;

/// zstd's level. The versions of a key lie side by side already: level 3 takes 1 % off the size and a fifth longer.
const LEVEL: i32 = 1;
/// The levels that there are.
const LEVELS: RangeInclusive<i32> = 1..=22;

/// What the caller chooses.
#[derive(Debug, Clone)]
pub struct SealOptions {
    /// Bytes of rows that are held in memory, and at which a file ends.
    pub held: u64,
    /// The folder for temporary files.
    pub scratch: PathBuf,
}

impl Default for SealOptions {
    fn default() -> Self {
        Self { held: HELD, scratch: std::env::temp_dir() }
    }
}

/// All that sealing a table needs.
pub struct SealInput<'a> {
    /// The table's log, opened for this run, and how failures that pass are borne.
    pub journal: Journal<'a>,
    /// The archive.
    pub store: Arc<dyn ObjectStore>,
    /// The table's folder in it.
    pub folder: String,
    /// What every segment of the table says in its footer.
    pub facts: Facts,
    /// Choices.
    pub options: SealOptions,
}

/// Seals the days of one table. It may be dropped at any point.
pub struct Sealer<'a>(SealInput<'a>);

/// How outputs are written, as the intent says it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    zstd: i32,
}

/// The files of a day.
struct Written {
    segments: Vec<SegmentMeta>,
    items: u64,
    left_out: u64,
}

impl Settings {
    /// None where they are not all known and possible: another build's.
    fn of(started: &SealStarted) -> Option<Self> {
        let settings: Self = serde_json::from_value(started.settings.clone()).ok()?;
        LEVELS.contains(&settings.zstd).then_some(settings)
    }
}

impl<'a> Sealer<'a> {
    /// Nothing yet.
    #[must_use]
    pub const fn new(input: SealInput<'a>) -> Self {
        Self(input)
    }

    /// Seals the next day; `None` when no closed day is left.
    ///
    /// # Errors
    /// [`SealError`]; the day is not sealed then, and a later run goes on with it.
    pub async fn next(&mut self) -> Result<Option<SealedDay>, SealError> {
        self.0.journal.refresh().await?;
        loop {
            if let Some((intent, started)) = self.0.journal.manifest.sealing() {
                let started = started.clone();
                match self.finish(intent, started).await? {
                    Some(sealed) => return Ok(Some(sealed)),
                    None => continue,
                }
            }
            match self.0.journal.manifest.closed_day() {
                Some(day) => self.begin(day).await?,
                None => return Ok(None),
            }
        }
    }

    /// Begins a day in the log, unless another did meanwhile.
    async fn begin(&mut self, day: String) -> Result<(), SealError> {
        let inputs = self.load(&day).await?;
        let bits = bits_for(inputs.iter().map(|meta| meta.bytes).sum());
        let inputs = inputs.into_iter().map(|meta| meta.path).collect();
        let settings = serde_json::json!(Settings { zstd: LEVEL });
        let started = SealStarted { day, inputs, bits, limit: self.0.options.held, settings };
        self.propose(Action::SealStarted(started)).await
    }

    /// Goes on with an open intent, whoever began it; `None` if the log must be looked at anew.
    async fn finish(&mut self, intent: u64, started: SealStarted) -> Result<Option<SealedDay>, SealError> {
        let Some(settings) = Settings::of(&started) else { return self.abandon(intent).await };
        let inputs: Vec<SegmentMeta> = self.load(&started.day).await?;
        let layout = Layout { bits: started.bits, level: settings.zstd };
        let rows = self.sorted(&inputs).await?;
        let written = match self.written(intent, &started, layout, rows).await {
            Err(SealError::Shelf(ShelfError::Differs { path })) => {
                tracing::warn!(path, "what stands there has other rows: this seal is given up for a new one");
                return self.abandon(intent).await;
            }
            written => written?,
        };
        let Written { segments, items, left_out } = written;
        let total = |of: &[SegmentMeta]| (of.len(), of.iter().map(|meta| meta.bytes).sum());
        let changes = segments.iter().map(|meta| meta.rows).sum();
        let (day, raw, sealed) = (started.day, total(&inputs), total(&segments));
        let sealed = SealedDay { day, changes, items, left_out, raw, sealed };
        while self.0.journal.manifest.intents.contains_key(&intent) {
            // It still holds after a lost race: only another seal of this intent, or its end, can change that.
            self.propose(Action::Seal(Seal { intent, segments: segments.clone() })).await?;
        }
        Ok(self.0.journal.manifest.sealed.contains_key(&sealed.day).then_some(sealed))
    }

    /// The live raw segments of a day.
    async fn load(&mut self, day: &str) -> Result<Vec<SegmentMeta>, SealError> {
        let noon = Second::parse(&format!("{day}T12:00:00Z"));
        self.0.journal.load(noon, noon).await?;
        Ok(self.0.journal.manifest.raw_of(day).cloned().collect())
    }

    /// All rows of `inputs`, in order.
    async fn sorted(&mut self, inputs: &[SegmentMeta]) -> Result<Sorted<Row>, SealError> {
        let segments = Segments::new(Arc::clone(&self.0.store), self.0.folder.clone());
        let SealOptions { held, scratch } = &self.0.options;
        let mut spill = Spill::new(scratch, *held);
        for meta in inputs {
            let rows = loop {
                match segments.changes(meta).await {
                    Ok(rows) => break rows,
                    Err(ReadError::Store(error)) => {
                        let borne = self.0.journal.patience.bear("reading what was captured", error).await;
                        borne.map_err(ReadError::Store)?;
                    }
                    Err(error) => return Err(error.into()),
                }
            };
            spill = tasks::computed(move || spill.add(rows).map(|()| spill)).await??;
        }
        Ok(tasks::computed(move || spill.sorted()).await??)
    }

    /// Writes the files, one after the other.
    async fn written(
        &self,
        intent: u64,
        started: &SealStarted,
        layout: Layout,
        rows: Sorted<Row>,
    ) -> Result<Written, SealError> {
        let SealInput { store, folder, facts, journal, .. } = &self.0;
        let (folder, patience) = (folder.clone(), journal.patience.clone());
        let shelf = Shelf { store: &**store, folder, patience, what: "writing a sealed day" };
        let (mut outputs, mut segments) = (Outputs::new(rows, started.bits, started.limit), Vec::new());
        loop {
            let (rest, next) = tasks::computed(move || outputs.next().map(|output| (outputs, output))).await??;
            outputs = rest;
            let Some(Output { part, bucket, k, rows }) = next else {
                return Ok(Written { segments, items: outputs.items, left_out: outputs.left_out });
            };
            let path = name::sealed(&started.day, part, bucket, intent, k);
            let (facts, at) = (facts.clone(), rows.first().map_or(Second::default(), |row| row.cut_at));
            let encode = move || encode::of_day(part, at, rows, &facts, layout);
            segments.push(shelf.put(Label { path, tier: part, bucket }, encode, open_checked).await?);
        }
    }

    async fn abandon(&mut self, intent: u64) -> Result<Option<SealedDay>, SealError> {
        let at = self.0.journal.last_time();
        self.0.journal.abandon(at, intent).await?;
        Ok(None)
    }

    async fn propose(&mut self, action: Action) -> Result<(), SealError> {
        let at = self.0.journal.last_time();
        Ok(self.0.journal.propose(at, action).await?)
    }
}
