//! `tailrace replay` (or `restore`): the table as it was, into a file or a new table.

mod report;

use std::time::Duration;

use clap::{ArgGroup, Args};
use jiff::tz::TimeZone;

use super::Context;
use super::archive::{Archive, Opened, log_failure};
use super::coverage::Coverage;
use super::live::Regions;
use super::table::{TableName, ambiguous};
use crate::config::ReplayConfig;
use crate::config::raw::ReplayOptions;
use crate::failure::{Exit, Failure};
use crate::manifest::Segments;
use crate::platform::clock;
use crate::replay::sink::dynamodb::{NewTable, TableSink};
use crate::replay::sink::{Destination, FileSink, SinkError};
use crate::replay::{self, Asked, Options, Plan, Refusal, ReplayError, Sink};
use report::{Planned, Replayed};

/// How often `--wait` looks whether the archive has got there.
const WAIT: Duration = Duration::from_secs(2);

/// Arguments.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("point").required(true))]
pub struct Replay {
    /// The table: NAME, REGION/NAME, ACCOUNT/REGION/NAME or an ARN; add @`TABLE_ID` to pick one timeline
    #[arg(long = "table", short = 't', value_name = "TABLE", env = "TAILRACE_TABLE")]
    table: String,
    /// The table just before this time or event: RFC 3339 with an offset, epoch seconds, `10m ago`, or an event id
    #[arg(long, group = "point", value_name = "TIME", env = "TAILRACE_BEFORE", allow_hyphen_values = true)]
    before: Option<String>,
    /// The table at the end of this second, or `latest`
    #[arg(long, group = "point", value_name = "TIME", env = "TAILRACE_AT", allow_hyphen_values = true)]
    at: Option<String>,
    /// The table just after the change with this sequence number (streams of a single shard)
    #[arg(long, group = "point", value_name = "SEQUENCE", env = "TAILRACE_AT_SEQUENCE")]
    at_sequence: Option<String>,
    /// Where to: `dynamodb:NEW_TABLE`, or `file:PATH` ending in .jsonl, .jsonl.zst or .parquet
    #[arg(long, value_name = "DESTINATION", env = "TAILRACE_INTO", required_unless_present = "dry_run")]
    into: Option<String>,
    /// Print the plan and stop
    #[arg(long, env = "TAILRACE_DRY_RUN", value_parser = clap::builder::BoolishValueParser::new())]
    dry_run: bool,
    /// Wait until the archive covers the time
    #[arg(long, env = "TAILRACE_WAIT", value_parser = clap::builder::BoolishValueParser::new())]
    wait: bool,
    /// Answer only for times that are confirmed, not merely likely complete
    #[arg(long, env = "TAILRACE_PROVEN", value_parser = clap::builder::BoolishValueParser::new())]
    proven: bool,
    #[command(flatten)]
    options: ReplayOptions,
}

pub(super) async fn run(context: &Context, args: &Replay) -> Result<(), Failure> {
    let name: TableName = args.table.parse()?;
    let asked = args.asked()?;
    let destination = args.into.as_deref().map(Destination::parse).transpose();
    let destination = destination.map_err(|error| usage(error, "--into", "see `tailrace replay --help`"))?;
    let archive = context.archive().await?;
    let mut timeline = pick(&archive, &name, &asked).await?;
    let place = format!("{} in {}", timeline.table, archive.location());
    let plan = plan(context, args, &archive, &mut timeline, &asked, &place).await?;
    context.out.result("plan", &Planned(&plan));
    let Some(destination) = destination.filter(|_| !args.dry_run) else { return Ok(()) };
    let config = ReplayConfig::resolve(&args.options, &context.loaded.file.replay);
    let mut sink = sink(&archive, &timeline, &destination, config).await?;
    let segments = Segments::new(std::sync::Arc::clone(&archive.store), timeline.table.folder());
    let point = plan.point.clone();
    let total = replay::run(&timeline.log, &mut timeline.manifest, &segments, plan, sink.as_mut()).await;
    let total = total.map_err(|error| error.to_failure(&place))?;
    context.out.summary(&Replayed::of(&timeline.table, &point, &total, args.into.as_deref().unwrap_or_default()));
    Ok(())
}

impl Replay {
    fn asked(&self) -> Result<Asked, Failure> {
        let (now, zone) = (clock::wall(), TimeZone::system());
        let (option, asked) = match (&self.before, &self.at, &self.at_sequence) {
            (Some(text), _, _) => ("--before", Asked::before(text, now, &zone)),
            (_, Some(text), _) => ("--at", Asked::at(text, now, &zone)),
            (_, _, text) => ("--at-sequence", Asked::at_sequence(text.as_deref().unwrap_or_default())),
        };
        asked.map_err(|error| usage(error, option, "e.g. --before 2026-11-22T14:03:00Z"))
    }
}

fn usage(error: impl std::fmt::Display, option: &str, next: &str) -> Failure {
    Failure::new(Exit::Usage, error.to_string(), option, next)
}

/// The timeline that `name` means: where there are several, the only one that answers for the point.
async fn pick(archive: &Archive, name: &TableName, asked: &Asked) -> Result<Opened, Failure> {
    let mut opened = archive.open_all(Some(name)).await?;
    if opened.len() > 1 {
        let described = opened.iter().map(|one| one_line(&Coverage::of(one))).collect::<Vec<_>>();
        opened.retain(|one| covers(one, asked));
        if opened.len() != 1 {
            return Err(ambiguous(name, &described));
        }
    }
    opened.pop().ok_or_else(|| ambiguous(name, &[]))
}

fn covers(opened: &Opened, asked: &Asked) -> bool {
    let point = replay::Point::resolve(asked, &opened.manifest);
    point.is_some_and(|point| replay::plan(&opened.manifest, point, Options { proven: false }).is_ok())
}

fn one_line(coverage: &Coverage) -> String {
    match (coverage.restorable_from, coverage.restorable_to) {
        (Some(from), Some(to)) => format!("{} (restorable from {from} to {to})", coverage.table),
        _ => format!("{} (not restorable)", coverage.table),
    }
}

/// The plan; with `--wait`, once the archive covers the point.
async fn plan(
    context: &Context,
    args: &Replay,
    archive: &Archive,
    timeline: &mut Opened,
    asked: &Asked,
    place: &str,
) -> Result<Plan, Failure> {
    let segments = Segments::new(std::sync::Arc::clone(&archive.store), timeline.table.folder());
    let mut told = false;
    loop {
        timeline.load_all(&archive.location()).await?;
        let point = replay::resolve(asked, &timeline.manifest, &segments).await;
        let planned = point.and_then(|point| {
            replay::plan(&timeline.manifest, point, Options { proven: args.proven }).map_err(ReplayError::from)
        });
        match planned {
            Err(ReplayError::Refused(Refusal::NotCovered { stream_off: false, .. })) if args.wait => {}
            planned => return planned.map_err(|error| error.to_failure(place)),
        }
        if !std::mem::replace(&mut told, true) {
            context.out.note("waiting until the archive covers the time");
        }
        clock::sleep(WAIT).await;
        timeline.log.refresh(&mut timeline.manifest).await.map_err(|error| log_failure(&error, place))?;
    }
}

async fn sink(
    archive: &Archive,
    timeline: &Opened,
    destination: &Destination,
    config: ReplayConfig,
) -> Result<Box<dyn Sink>, Failure> {
    let failed = |error: SinkError| ReplayError::from(error);
    match destination {
        Destination::File(path, form) => {
            let sink = FileSink::create(path, *form).map_err(failed);
            Ok(Box::new(sink.map_err(|error| error.to_failure(&path.display().to_string()))?))
        }
        Destination::Dynamodb(name) => {
            let aws = Regions::default().of(None).await?;
            let newest = timeline.manifest.epochs.values().next_back();
            let keys = newest.map(|epoch| epoch.started.keys.clone()).ok_or_else(|| {
                Failure::new(Exit::OutsideCoverage, "nothing is archived yet", timeline.table.to_string(), "")
            })?;
            let new = NewTable {
                name,
                keys: &keys,
                definition: timeline.manifest.definition.as_ref().map(|definition| &definition.table),
                most_write_units: Some(config.write_units),
            };
            let sink = TableSink::connect(&aws, new, archive.ids.clone()).await.map_err(failed);
            Ok(Box::new(sink.map_err(|error| error.to_failure(&format!("dynamodb:{name}")))?))
        }
    }
}
