//! `tailrace base`: a snapshot of the table, taken beside a capture in the same process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::archive::{Archive, log_failure};
use super::live::{self, Regions};
use super::table::TableName;
use super::{Context, capture};
use crate::base::scan::DynamoTable;
use crate::base::{self, BaseError, BaseInput, BaseOptions as RunOptions, BaseSummary};
use crate::capture::{Capture, CaptureError, CaptureInput, CaptureSummary};
use crate::config::raw::{BaseOptions, CaptureOptions};
use crate::config::{BaseConfig, CaptureConfig};
use crate::failure::{Exit, Failure};
use crate::platform::aws::ServiceError;
use crate::platform::tasks;
use crate::shard::table::TableFacts;

/// How often the log is read while the snapshot waits for it.
const POLL: Duration = Duration::from_secs(1);
/// Parts that are scanned side by side.
const PARTS: u32 = 4;

/// Arguments.
#[derive(Debug, Args)]
pub struct Base {
    /// Options of the capture that runs beside it.
    #[command(flatten)]
    capture: CaptureOptions,
    #[command(flatten)]
    options: BaseOptions,
    /// A name for the snapshot
    #[arg(long, value_name = "NAME", env = "TAILRACE_NAME")]
    name: Option<String>,
}

pub(super) async fn run(context: &Context, args: &Base) -> Result<(), Failure> {
    let captured = CaptureConfig::resolve(&args.capture, &context.loaded.file.capture)?;
    let config = BaseConfig::resolve(&args.options, &context.loaded.file.base);
    let [table] = captured.tables.as_slice() else {
        let next = "give one --table; run it again for the next";
        return Err(Failure::new(Exit::Usage, "a snapshot is taken of one table at a time", "--table", next));
    };
    let name: TableName = table.parse()?;
    let stopped = |place: &str| context.stop.stopped("stopped before the snapshot was complete", place);
    let prepared = context.stop.unless_stopped(Box::pin(prepare(context, &name, &captured))).await;
    let (archive, aws, facts) = prepared.ok_or_else(|| stopped(table))??;
    price(context, &facts);
    let observer = capture::observer(context.out.clone(), facts.identity.clone());
    let input = capture::input(&archive, &aws, name.asked(), facts.clone(), capture::options(&captured), observer);
    let options = RunOptions {
        slack: u32::try_from(config.slack.as_secs()).unwrap_or(u32::MAX),
        name: args.name.clone(),
        parts: PARTS,
        most_read_units: Some(config.read_units),
        table_bytes: u64::try_from(facts.bytes).unwrap_or_default(),
        poll: POLL,
    };
    let scan = DynamoTable::connect(&aws, name.asked());
    let taken = beside(input, |stop| take(&archive, &facts, &scan, options, stop), &context.stop.drain).await;
    let taken = taken.map_err(|failure| if context.stop.drain.is_cancelled() { stopped(table) } else { failure })?;
    context.out.summary(&Taken { table: facts.identity.to_string(), snapshot: taken });
    Ok(())
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

/// What the scan reads, before it begins: half a unit for each 4 KiB would be eventually consistent, this is not.
fn price(context: &Context, facts: &TableFacts) {
    let units = u64::try_from(facts.bytes).unwrap_or_default().div_ceil(4096);
    let text = format!("the scan reads about {} items, {} bytes: {units} read units", facts.items, facts.bytes);
    context.out.note(&text);
}

/// Runs `work` while `input` is captured; whichever fails ends both.
async fn beside<T, W: Future<Output = Result<T, Failure>>>(
    input: CaptureInput,
    work: impl FnOnce(CancellationToken) -> W,
    stop: &CancellationToken,
) -> Result<T, Failure> {
    let table = input.facts.identity.to_string();
    let both = stop.child_token();
    let capturing = Capture::new(input).run(both.clone());
    let mut capturing = tasks::spawn(capturing);
    let done = tokio::select! {
        done = work(both.clone()) => done,
        ended = &mut capturing => return Err(ended_early(ended, &table)),
    };
    both.cancel();
    // The snapshot stands or failed by now; what the capture still held is read again by the next one.
    match capturing.await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the capture beside the snapshot failed at its end"),
        Err(error) => tracing::warn!(%error, "the capture beside the snapshot died at its end"),
    }
    done
}

fn ended_early(ended: Result<Result<CaptureSummary, CaptureError>, tokio::task::JoinError>, table: &str) -> Failure {
    match ended {
        Ok(Ok(_)) => {
            let what = "the capture beside the snapshot ended before the snapshot was complete";
            Failure::new(Exit::OutsideCoverage, what, table, "see that the table's stream is on, and run it again")
        }
        Ok(Err(error)) => capture::failure(&error, table),
        Err(error) => capture::failure(&CaptureError::Task(error.to_string()), table),
    }
}

async fn take(
    archive: &Archive,
    facts: &TableFacts,
    scan: &DynamoTable,
    options: RunOptions,
    stop: CancellationToken,
) -> Result<BaseSummary, Failure> {
    let mut opened = archive.open(facts.identity.clone()).await?;
    let input = BaseInput {
        log: &mut opened.log,
        manifest: &mut opened.manifest,
        store: Arc::clone(&archive.store),
        folder: facts.identity.folder(),
        table: scan,
        facts: archive.facts(facts),
        options,
        ids: archive.ids.clone(),
        stop,
    };
    base::run(input).await.map_err(|error| failure(&error, &facts.identity.to_string()))
}

fn failure(error: &BaseError, table: &str) -> Failure {
    let again = "run it again; nothing of this snapshot is visible";
    let (exit, next) = match error {
        BaseError::Service(ServiceError::Denied(_)) => {
            (Exit::Credentials, "grant dynamodb:Scan and dynamodb:DescribeTable")
        }
        BaseError::Store(error) => return error.failure(table),
        BaseError::Log(error) => return log_failure(error, table),
        _ => (Exit::Failure, again),
    };
    Failure::new(exit, error.to_string(), table, next)
}

#[derive(Serialize)]
struct Taken {
    table: String,
    snapshot: BaseSummary,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BaseSummary { items, files, bytes, complete_at, .. } = &self.snapshot;
        writeln!(f, "snapshot of the table {}: {items} items, {files} files, {bytes} bytes", self.table)?;
        write!(f, "times from {complete_at} on are served from it")
    }
}
