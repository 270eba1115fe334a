//! `tailrace base`: a snapshot of the table, by scan or by export, taken beside a capture in the same process.

mod beside;
mod export;
pub(super) mod past;
pub(super) mod price;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use clap::Args;
use serde::Serialize;

use super::archive::{Archive, log_failure};
use super::live::{self, Regions};
use super::signal::Stop;
use super::table::TableName;
use super::{Context, capture};
use crate::base::export::ExportError;
use crate::base::scan::DynamoTable;
use crate::base::{self, BaseError, BaseInput, BaseOptions as RunOptions, BaseSource, BaseSummary};
use crate::capture::{Capture, Observer, Progress};
use crate::config::raw::{BaseOptions, CaptureOptions};
use crate::config::{BaseConfig, CaptureConfig};
use crate::failure::{Exit, Failure};
use crate::manifest::{BaseKind, ShelfError};
use crate::platform::aws::ServiceError;
use crate::platform::patience::{Tell, Waiting};
use crate::shard::table::TableFacts;
use beside::{Short, beside, ended_early};
use price::Price;

/// How often the log is read while the snapshot waits for it.
const POLL: Duration = Duration::from_secs(1);
/// Parts that are scanned side by side.
const PARTS: u32 = 4;
/// What a snapshot says that is stopped from outside.
const STOPPED: &str = "stopped before the snapshot was complete";

/// Arguments.
#[derive(Debug, Args)]
pub struct Base {
    /// Write the table as the archive has it at the end of this second, instead of reading the table itself
    #[arg(long, value_name = "TIME", conflicts_with_all = ["slack", "read_units", "export"])]
    at: Option<String>,
    #[command(flatten)]
    snapshot: Snapshot,
}

/// What a snapshot of the live table takes.
#[derive(Debug, Args)]
pub(super) struct Snapshot {
    /// Options of the capture that runs beside it.
    #[command(flatten)]
    capture: CaptureOptions,
    #[command(flatten)]
    options: BaseOptions,
    /// A name for the snapshot
    #[arg(long, value_name = "NAME", env = "TAILRACE_NAME")]
    name: Option<String>,
    /// Folder for temporary files, which take about the table's size [default: TMPDIR, or /var/tmp]
    #[arg(long, value_name = "FOLDER", env = "TAILRACE_SCRATCH")]
    scratch: Option<PathBuf>,
}

impl Snapshot {
    fn captured(&self, context: &Context) -> Result<CaptureConfig, Failure> {
        Ok(CaptureConfig::resolve(&self.capture, &context.loaded.file)?)
    }

    fn options(&self, config: &BaseConfig, facts: &TableFacts) -> RunOptions {
        let scratch = self.scratch.clone().unwrap_or_else(scratch);
        RunOptions { name: self.name.clone(), poll: POLL, scratch, ..options(config, facts) }
    }

    /// The one table, as the user names it.
    pub(super) fn only_table(&self, context: &Context) -> Result<String, Failure> {
        match self.captured(context)?.tables.as_slice() {
            [table] => Ok(table.clone()),
            _ => {
                let next = "give one --table; run it again for the next";
                Err(Failure::new(Exit::Usage, "a snapshot is taken of one table at a time", "--table", next))
            }
        }
    }
}

pub(super) async fn run(context: &Context, args: &Base) -> Result<(), Failure> {
    match &args.at {
        Some(at) => past::run(context, &args.snapshot, at).await,
        None => take(context, &args.snapshot).await,
    }
}

/// Takes a snapshot of the live table.
pub(super) async fn take(context: &Context, args: &Snapshot) -> Result<(), Failure> {
    let captured = args.captured(context)?;
    let config = BaseConfig::resolve(&args.options, &context.loaded.file.base);
    let place = config.export.as_deref().map(export::place).transpose()?;
    let table = &args.only_table(context)?;
    let name: TableName = table.parse()?;
    let prepared = context.stop.unless_stopped(Box::pin(prepare(context, &name, &captured))).await;
    let (archive, aws, facts) = prepared.ok_or_else(|| context.stop.stopped(STOPPED, table))??;
    context.out.note(&Price::of(&facts, &config).to_string());
    let live = DynamoTable::connect(&aws, name.asked());
    let exporting = place.map(|place| export::exporting(&live, place, &aws));
    let source = exporting.as_ref().map_or(BaseSource::Scan(&live), BaseSource::Export);
    let observer = capture::observer(context.out.clone(), facts.identity.clone());
    let both = context.stop.drain.child_token();
    let mut opened = archive.open(facts.identity.clone()).await?;
    let input = BaseInput {
        log: &opened.log,
        manifest: &mut opened.manifest,
        store: Arc::clone(&archive.store),
        folder: facts.identity.folder(),
        source,
        facts: archive.facts(&facts),
        options: args.options(&config, &facts),
        ids: archive.ids.clone(),
        tell: tell(Arc::clone(&observer)),
        stop: both.clone(),
    };
    let capturing = capture::input(&archive, &aws, name.asked(), facts.clone(), capture::options(&captured), observer);
    let capturing = Box::pin(Capture::new(capturing).run(both.clone()));
    let place = facts.identity.to_string();
    let taken = beside(capturing, Box::pin(base::run(input)), &both).await.map_err(|short| match short {
        Short::Base(error) => not_taken(&error, &facts.identity.name, &place, &context.stop),
        Short::Capture(ended) => ended_early(ended, &place),
    })?;
    context.out.summary(&Taken { table: place, snapshot: taken });
    Ok(())
}

/// How this table is read.
pub(super) fn options(config: &BaseConfig, facts: &TableFacts) -> RunOptions {
    RunOptions {
        slack: u32::try_from(config.slack.as_secs()).unwrap_or(u32::MAX),
        parts: PARTS,
        most_read_units: Some(config.read_units),
        table_bytes: u64::try_from(facts.bytes).unwrap_or_default(),
        scratch: scratch(),
        ..RunOptions::default()
    }
}

/// The archive, and a table that can be captured.
async fn prepare(
    context: &Context,
    name: &TableName,
    captured: &CaptureConfig,
) -> Result<(Archive, SdkConfig, TableFacts), Failure> {
    let archive = context.archive().await?;
    let aws = Regions::default().of(name.region.as_deref()).await?;
    capture::check_settle(&aws, captured)?;
    let facts = live::describe(&aws, name).await?;
    facts.live_stream().map_err(|error| live::failure(&error, &facts.identity.to_string()))?;
    Ok((archive, aws, facts))
}

/// Where large temporary files go by default: what `TMPDIR` says, else the system's folder for large ones, for its other
/// one is often kept in memory.
pub(super) fn scratch() -> PathBuf {
    let large = Path::new("/var/tmp");
    let unset = std::env::var_os("TMPDIR").is_none();
    if unset && large.is_dir() { large.to_path_buf() } else { std::env::temp_dir() }
}

/// Waits of the snapshot are told like those of the capture beside it.
fn tell(observer: Observer) -> Tell {
    Arc::new(move |Waiting { why, attempts, operator }| observer(&Progress::Waiting { why, attempts, operator }))
}

/// Why there is no snapshot: a signal, or [`failure`].
fn not_taken(error: &BaseError, table: &str, place: &str, stop: &Stop) -> Failure {
    match error {
        BaseError::Stopped => stop.stopped(STOPPED, place),
        error => failure(error, table, place),
    }
}

pub(super) fn failure(error: &BaseError, table: &str, place: &str) -> Failure {
    let again = "run it again; nothing of this snapshot is visible";
    let (exit, next) = match error {
        BaseError::NoStream => (Exit::OutsideCoverage, "turn the table's stream on, and run it again"),
        BaseError::Service(ServiceError::Denied(_)) => (
            Exit::Credentials,
            "grant dynamodb:Scan and dynamodb:DescribeTable; an export needs more, which deploy/iam-capture.json lists",
        ),
        BaseError::Export(ExportError::Denied(_)) => (
            Exit::Credentials,
            "grant dynamodb:ExportTableToPointInTime and dynamodb:DescribeExport for the table, and s3:PutObject and \
             s3:GetObject for what --export names",
        ),
        BaseError::Export(ExportError::NotRecoverable) => {
            let next = export::turn_on(table);
            return Failure::new(Exit::Failure, error.to_string(), place, &next);
        }
        BaseError::Spill(_) => (
            Exit::Failure,
            "make room there for as many bytes as the table has, or name a folder on another disk with --scratch, \
             and run it again",
        ),
        BaseError::Differs(_) => (
            Exit::VerificationFailed,
            "nothing of it is visible, and no answer has changed; run `tailrace verify`, and report this if it finds nothing",
        ),
        BaseError::Store(error) | BaseError::Shelf(ShelfError::Store(error)) => return error.failure(place),
        BaseError::Replay(error) => return error.to_failure(place),
        BaseError::Log(error) => return log_failure(error, place),
        _ => (Exit::Failure, again),
    };
    Failure::new(exit, error.to_string(), place, next)
}

#[derive(Serialize)]
struct Taken {
    table: String,
    snapshot: BaseSummary,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BaseSummary { items, files, bytes, complete_at, kind, read, .. } = &self.snapshot;
        writeln!(f, "snapshot of the table {}: {items} items, {files} files, {bytes} bytes", self.table)?;
        match kind {
            BaseKind::Export => writeln!(f, "it was made from the service's export of {}", read.0)?,
            BaseKind::Archive => writeln!(f, "it was made from what the archive has at {}", read.0)?,
            BaseKind::Empty | BaseKind::Scan => {}
        }
        write!(f, "times from {complete_at} on are served from it")
    }
}
