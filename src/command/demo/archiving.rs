//! What the demo asks of tailrace: the same steps that `init`, `capture`, `replay` and `verify` take.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::workload::TABLE;
use crate::capture::{Capture, CaptureError, CaptureOptions, CaptureSummary};
use crate::change::{Second, TableIdentity};
use crate::command::archive::{Archive, Opened};
use crate::command::capture;
use crate::failure::{Exit, Failure};
use crate::manifest::Segments;
use crate::platform::ids::Ids;
use crate::platform::{clock, tasks};
use crate::replay::sink::dynamodb::{NewTable, TableSink};
use crate::replay::{self, Bounds, Options, Point, Steps, Total};
use crate::segment;
use crate::shard::table;
use crate::store;
use crate::store::archive::Modes;
use crate::verify::{self, Level};

/// How long the demo waits for the archive to cover a second.
const PATIENCE: Duration = Duration::from_secs(40);

/// A capture under way.
pub(super) struct Archiving {
    archive: Archive,
    table: TableIdentity,
    stop: CancellationToken,
    capture: JoinHandle<Result<CaptureSummary, CaptureError>>,
}

/// What the archive holds in the end.
pub(super) struct Held {
    pub(super) entries: u64,
    pub(super) segments: u64,
    pub(super) rows: u64,
    /// Bytes of the segments.
    pub(super) stored: u64,
    /// Bytes of the images in them, as the stream sent them.
    pub(super) delivered: u64,
}

impl Archiving {
    /// Makes an archive in `folder` and begins to capture the table.
    pub(super) async fn begin(folder: &Path, aws: &SdkConfig) -> Result<Self, Failure> {
        let ids = Ids::random();
        let made = store::init(&folder.display().to_string(), aws, Modes::default(), &ids).await?;
        let archive = Archive::new(made, ids);
        let facts = table::describe(aws, TABLE).await.map_err(failed)?;
        let table = facts.identity.clone();
        let (flush_age, settle) = (Duration::from_secs(1), Duration::from_secs(2));
        let options = CaptureOptions { flush_age, settle, ..CaptureOptions::default() };
        let input = capture::input(&archive, aws, TABLE, facts, options, Arc::new(|_| {}));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let capture = tasks::spawn(async move { Capture::new(input).run(stopped).await });
        Ok(Self { archive, table, stop, capture })
    }

    /// Waits until nothing more can arrive for the seconds before `at`.
    pub(super) async fn wait_until_closed(&self, at: Second) -> Result<(), Failure> {
        let begun = clock::now();
        let Opened { log, mut manifest, .. } = self.archive.open(self.table.clone()).await?;
        while manifest.closed_through.is_none_or(|closed| closed < at) {
            if self.capture.is_finished() || begun.elapsed() > PATIENCE {
                let what =
                    format!("the archive did not get to {at}; it is complete up to {:?}", manifest.closed_through);
                return Err(Failure::new(
                    Exit::Failure,
                    what,
                    self.archive.location(),
                    "run the demo again on a quieter machine",
                ));
            }
            clock::sleep(Duration::from_millis(200)).await;
            log.refresh(&mut manifest).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Rebuilds the table as it was at the end of `at`.
    pub(super) async fn replay_into(&self, client: Client, at: Second, name: &str) -> Result<Total, Failure> {
        let Opened { log, mut manifest, .. } = self.archive.open(self.table.clone()).await?;
        log.load_segments(&mut manifest, None, None).await.map_err(failed)?;
        let point = Point::at(at);
        let plan = replay::plan(&manifest, point, &Options::default()).map_err(failed)?;
        let keys = manifest.epochs.values().next().map(|epoch| epoch.started.keys.clone()).ok_or_else(nothing)?;
        let definition = manifest.definition.clone().map(|definition| definition.table);
        let new = NewTable { name, keys: &keys, definition: definition.as_ref(), most_write_units: None, note: None };
        let mut sink = TableSink::create(client, new, Ids::random()).await.map_err(failed)?;
        let segments = Segments::new(Arc::clone(&self.archive.store), self.table.folder());
        replay::run(&log, &mut manifest, &segments, plan, (Bounds::DEFAULT, Steps::SILENT), &mut sink)
            .await
            .map_err(failed)
    }

    /// Ends the capture as SIGTERM would, and checks everything that it wrote.
    pub(super) async fn stop_and_verify(self) -> Result<Held, Failure> {
        self.stop.cancel();
        let Opened { log, mut manifest, .. } = self.archive.open(self.table.clone()).await?;
        self.capture.await.map_err(failed)?.map_err(failed)?;
        let mut found = Vec::new();
        let tell = |finding: &verify::Finding| found.push(finding.object.clone());
        let counts =
            verify::table(&self.archive.store, &self.table, Level::Full, tell, |_, _| {}).await.map_err(failed)?;
        if counts.lost + counts.altered + counts.contradictions > 0 {
            let what = format!("the archive does not verify: {found:?}");
            return Err(Failure::new(
                Exit::VerificationFailed,
                what,
                self.archive.location(),
                "this is a bug: please report it",
            ));
        }
        log.refresh(&mut manifest).await.map_err(failed)?;
        log.load_segments(&mut manifest, None, None).await.map_err(failed)?;
        let segments = Segments::new(Arc::clone(&self.archive.store), self.table.folder());
        let (mut stored, mut delivered) = (0, 0);
        for meta in manifest.segments.values() {
            let rows = segments.changes(meta).await.map_err(failed)?;
            stored += meta.bytes;
            delivered += rows.iter().map(image_bytes).sum::<u64>();
        }
        Ok(Held { entries: counts.entries, segments: counts.segments, rows: counts.rows, stored, delivered })
    }
}

/// Bytes of both images as the stream sent them.
fn image_bytes(row: &segment::Row) -> u64 {
    let new = row.new_image.as_ref().map_or(0, |image| image.len());
    let old = match row.old_image_json() {
        Ok(segment::OldImage::Json(image)) => image.len(),
        _ => 0,
    };
    (new + old) as u64
}

fn nothing() -> Failure {
    Failure::new(Exit::Failure, "nothing was archived", "the demo's archive", "run the demo again")
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, error.to_string(), "the demo", "run the demo again; if it stays, this is a bug")
}
