//! `tailrace base`: a snapshot of the table, taken beside a capture in the same process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use clap::Args;
use serde::Serialize;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::archive::{Archive, log_failure};
use super::live::{self, Regions};
use super::signal::Stop;
use super::table::TableName;
use super::{Context, capture};
use crate::base::scan::DynamoTable;
use crate::base::{self, BaseError, BaseInput, BaseOptions as RunOptions, BaseSummary};
use crate::capture::{Capture, CaptureError, CaptureSummary, Observer, Progress};
use crate::config::raw::{BaseOptions, CaptureOptions};
use crate::config::{BaseConfig, CaptureConfig};
use crate::failure::{Exit, Failure};
use crate::platform::aws::ServiceError;
use crate::platform::patience::{Tell, Waiting};
use crate::platform::tasks;
use crate::shard::table::TableFacts;

/// How often the log is read while the snapshot waits for it.
const POLL: Duration = Duration::from_secs(1);
/// Parts that are scanned side by side.
const PARTS: u32 = 4;
/// What a snapshot says that is stopped from outside.
const STOPPED: &str = "stopped before the snapshot was complete";
/// A million read request units of a table on demand cost 12.5 cents in us-east-1 (since November 2024).
const CENTS_PER_MILLION_TIMES_10: u64 = 125;

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
    /// Folder for temporary files, which take about the table's size [default: TMPDIR, or /var/tmp]
    #[arg(long, value_name = "FOLDER", env = "TAILRACE_SCRATCH")]
    scratch: Option<PathBuf>,
}

impl Base {
    fn captured(&self, context: &Context) -> Result<CaptureConfig, Failure> {
        Ok(CaptureConfig::resolve(&self.capture, &context.loaded.file)?)
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
    let captured = args.captured(context)?;
    let config = BaseConfig::resolve(&args.options, &context.loaded.file.base);
    let table = &args.only_table(context)?;
    let name: TableName = table.parse()?;
    let prepared = context.stop.unless_stopped(Box::pin(prepare(context, &name, &captured))).await;
    let (archive, aws, facts) = prepared.ok_or_else(|| context.stop.stopped(STOPPED, table))??;
    let place = facts.identity.to_string();
    let scratch = args.scratch.clone().unwrap_or_else(scratch);
    context.out.note(&Price::of(&facts, config.read_units).to_string());
    let observer = capture::observer(context.out.clone(), facts.identity.clone());
    let both = context.stop.drain.child_token();
    let mut opened = archive.open(facts.identity.clone()).await?;
    let scan = DynamoTable::connect(&aws, name.asked());
    let input = BaseInput {
        log: &opened.log,
        manifest: &mut opened.manifest,
        store: Arc::clone(&archive.store),
        folder: facts.identity.folder(),
        table: &scan,
        facts: archive.facts(&facts),
        options: RunOptions {
            slack: u32::try_from(config.slack.as_secs()).unwrap_or(u32::MAX),
            name: args.name.clone(),
            parts: PARTS,
            most_read_units: Some(config.read_units),
            table_bytes: u64::try_from(facts.bytes).unwrap_or_default(),
            poll: POLL,
            scratch,
            ..RunOptions::default()
        },
        ids: archive.ids.clone(),
        tell: tell(Arc::clone(&observer)),
        stop: both.clone(),
    };
    let capturing = capture::input(&archive, &aws, name.asked(), facts.clone(), capture::options(&captured), observer);
    let capturing = Box::pin(Capture::new(capturing).run(both.clone()));
    let taken = beside(capturing, Box::pin(base::run(input)), &both).await.map_err(|short| match short {
        Short::Base(error) => failure(&error, &place, &context.stop),
        Short::Capture(ended) => ended_early(ended, &place),
    })?;
    context.out.summary(&Taken { table: place, snapshot: taken });
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

/// Where large temporary files go by default: what `TMPDIR` says, else the system's folder for large ones, for its other
/// one is often kept in memory.
fn scratch() -> PathBuf {
    let large = Path::new("/var/tmp");
    let unset = std::env::var_os("TMPDIR").is_none();
    if unset && large.is_dir() { large.to_path_buf() } else { std::env::temp_dir() }
}

/// Waits of the snapshot are told like those of the capture beside it.
fn tell(observer: Observer) -> Tell {
    Arc::new(move |Waiting { why, attempts, operator }| observer(&Progress::Waiting { why, attempts, operator }))
}

/// What the scan reads and costs.
struct Price {
    items: i64,
    bytes: i64,
    /// One for each 4 KiB; half of that would be eventually consistent, and this is not.
    units: u64,
    units_per_second: u32,
}

impl Price {
    fn of(facts: &TableFacts, units_per_second: u32) -> Self {
        let units = u64::try_from(facts.bytes).unwrap_or_default().div_ceil(4096);
        Self { items: facts.items, bytes: facts.bytes, units, units_per_second }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { items, bytes, units, units_per_second } = self;
        let cents = units.saturating_mul(CENTS_PER_MILLION_TIMES_10).div_ceil(10 * 1_000_000);
        let minutes = units.div_ceil(u64::from(*units_per_second).max(1)).div_ceil(60);
        writeln!(f, "the scan reads about {items} items, {bytes} bytes: {units} read units")?;
        writeln!(
            f,
            "  about ${}.{:02} on demand (an estimate, by the list price of us-east-1)",
            cents / 100,
            cents % 100
        )?;
        write!(
            f,
            "  about {} h {:02} min at {units_per_second} units a second (--read-units), and as many bytes of \
             temporary files (--scratch)",
            minutes / 60,
            minutes % 60
        )
    }
}

/// How the capture beside a snapshot ended.
type CaptureEnd = Result<Result<CaptureSummary, CaptureError>, JoinError>;

/// Why there is no snapshot.
#[derive(Debug)]
enum Short {
    /// It failed, or was stopped from outside.
    Base(BaseError),
    /// The capture ended before it.
    Capture(CaptureEnd),
}

/// Runs `work` beside a capture; whichever fails ends both, and so does `both`. Neither is dropped: what they began they
/// end in the log.
async fn beside<T>(
    capture: impl Future<Output = Result<CaptureSummary, CaptureError>> + Send + 'static,
    work: impl Future<Output = Result<T, BaseError>>,
    both: &CancellationToken,
) -> Result<T, Short> {
    let mut capturing = tasks::spawn(capture);
    let mut work = pin!(work);
    let (done, ended, early) = tokio::select! {
        done = &mut work => {
            both.cancel();
            (done, capturing.await, false)
        }
        ended = &mut capturing => {
            let early = !both.is_cancelled();
            both.cancel();
            (work.await, ended, early)
        }
    };
    let value = match done {
        Ok(value) => value,
        Err(BaseError::Stopped) if early => return Err(Short::Capture(ended)),
        Err(error) => return Err(Short::Base(error)),
    };
    // The snapshot stands; what the capture still held is read again by the next one.
    match ended {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the capture beside the snapshot failed at its end"),
        Err(error) => tracing::warn!(%error, "the capture beside the snapshot died at its end"),
    }
    Ok(value)
}

fn ended_early(ended: CaptureEnd, table: &str) -> Failure {
    match ended {
        Ok(Ok(_)) => {
            let what = "the capture beside the snapshot ended before the snapshot was complete";
            Failure::new(Exit::OutsideCoverage, what, table, "see that the table's stream is on, and run it again")
        }
        Ok(Err(error)) => capture::failure(&error, table),
        Err(error) => capture::failure(&CaptureError::Task(error.to_string()), table),
    }
}

fn failure(error: &BaseError, table: &str, stop: &Stop) -> Failure {
    let again = "run it again; nothing of this snapshot is visible";
    let (exit, next) = match error {
        BaseError::Stopped => return stop.stopped(STOPPED, table),
        BaseError::NoStream => (Exit::OutsideCoverage, "turn the table's stream on, and run it again"),
        BaseError::Service(ServiceError::Denied(_)) => {
            (Exit::Credentials, "grant dynamodb:Scan and dynamodb:DescribeTable")
        }
        BaseError::Spill(_) => (
            Exit::Failure,
            "make room there for as many bytes as the table has, or name a folder on another disk with --scratch, \
             and run it again",
        ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Counts, Ended};

    fn summary() -> CaptureSummary {
        CaptureSummary { ended: Ended::Stopped, counts: Counts::default(), closed_through: None, proven_through: None }
    }

    /// A snapshot that lasts until it is told to stop, and then still has something to say in the log.
    async fn until_stopped(stop: CancellationToken, said: &Stop) -> Result<(), BaseError> {
        stop.cancelled().await;
        tokio::task::yield_now().await;
        said.drain.cancel();
        Err(BaseError::Stopped)
    }

    #[tokio::test]
    async fn a_capture_that_ends_first_is_the_reason_and_the_snapshot_says_so_in_the_log() {
        let (both, said) = (CancellationToken::new(), Stop::default());
        let capture = async { Err(CaptureError::NoStream { table: "orders".into() }) };
        let short = beside(capture, until_stopped(both.clone(), &said), &both).await.unwrap_err();
        assert!(said.drain.is_cancelled(), "the snapshot was dropped in the middle");
        let Short::Capture(ended) = short else { panic!("{short:?}") };
        assert_eq!(ended_early(ended, "orders").exit, Exit::OutsideCoverage);
    }

    #[tokio::test]
    async fn a_signal_is_told_as_a_signal_whichever_ends_first() {
        for capture_is_faster in [true, false] {
            let (stop, said) = (Stop::default(), Stop::default());
            let both = stop.drain.child_token();
            let capture_stop = both.clone();
            let capture = async move {
                capture_stop.cancelled().await;
                for _ in 0..if capture_is_faster { 0 } else { 20 } {
                    tokio::task::yield_now().await;
                }
                Ok(summary())
            };
            let work = until_stopped(both.clone(), &said);
            let signal = async { stop.drain.cancel() };
            let (short, ()) = tokio::join!(beside(capture, work, &both), signal);
            assert!(said.drain.is_cancelled());
            let Err(Short::Base(error)) = short else { panic!("{short:?}") };
            let failure = failure(&error, "orders", &stop);
            assert_eq!(failure.exit, Exit::Terminated);
            assert!(failure.what.contains("stopped before"), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_snapshot_that_stands_or_fails_ends_the_capture() {
        for fails in [false, true] {
            let both = CancellationToken::new();
            let capture_stop = both.clone();
            let capture = async move {
                capture_stop.cancelled().await;
                Ok(summary())
            };
            let work = async { if fails { Err(BaseError::Abandoned) } else { Ok(7) } };
            match beside(capture, work, &both).await {
                Ok(value) => assert_eq!((value, fails), (7, false)),
                Err(Short::Base(BaseError::Abandoned)) => assert!(fails),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_price_is_told_in_units_money_and_time() {
        let price =
            |bytes| Price { items: 1, bytes, units: bytes.unsigned_abs().div_ceil(4096), units_per_second: 100 };
        let text = price(50 << 30).to_string();
        assert!(
            text.contains("13107200 read units") && text.contains("about $1.64 ") && text.contains("36 h 25 min"),
            "{text}"
        );
        let text = price(1).to_string();
        assert!(
            text.contains("1 read units") && text.contains("about $0.01 ") && text.contains("0 h 01 min"),
            "{text}"
        );
    }
}
