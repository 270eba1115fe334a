//! `tailrace replay` (or `restore`): the table as it was, into a file, a folder or a new table.

mod report;

use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgGroup, ArgMatches, Args};
use jiff::tz::TimeZone;

use super::Context;
use super::archive::{Archive, Opened, log_failure};
use super::coverage::Coverage;
use super::gaps;
use super::live::Regions;
use super::table::{TableName, ambiguous};
use crate::config::ReplayConfig;
use crate::config::file::nearest;
use crate::config::raw::ReplayOptions;
use crate::failure::{Exit, Failure};
use crate::platform::{clock, tasks};
use crate::replay::sink::dynamodb::{NewTable, TableSink};
use crate::replay::sink::{
    Destination, DestinationError, ENDINGS, FileSink, FolderSink, LeftBehind, SCHEMES, SinkError,
};
use crate::replay::steps::WHOLE;
use crate::replay::{self, Asked, Bounds, Cost, Options, Plan, Refusal, ReplayError, Sink, Steps};
use report::{Planned, Replayed};

/// How often `--wait` looks whether the archive has got there.
const WAIT: Duration = Duration::from_secs(2);

/// Arguments.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("point").required(true).multiple(true))]
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
    /// The table just after the change with this sequence number (forward from a snapshot before it)
    #[arg(long, group = "point", value_name = "SEQUENCE", env = "TAILRACE_AT_SEQUENCE")]
    at_sequence: Option<String>,
    /// Where to: `dynamodb:NEW_TABLE`, or `file:PATH` ending in .jsonl, .jsonl.zst, .parquet, or / for a folder of parts
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
    /// Go past this gap (see `tailrace gaps`): changes in it may be missing from the answer. May be given several times
    #[arg(long = "accept-gap", value_name = "ID")]
    accept_gap: Vec<String>,
    #[command(flatten)]
    options: ReplayOptions,
}

pub(super) async fn run(context: &Context, args: &Replay) -> Result<(), Failure> {
    let name: TableName = args.table.parse()?;
    let asked = args.asked(&context.matches)?;
    let destination = args.into.as_deref().map(Destination::parse).transpose();
    let destination = destination.map_err(|error| usage(&error, "--into", &nearest_destination(&error)))?;
    let config = ReplayConfig::resolve(&args.options, &context.loaded.file.replay);
    let bounds = Bounds::of(config.memory);
    let stopped = || context.stop.stopped("the replay was stopped before its end", &args.table);
    let ready = context.stop.unless_stopped(Box::pin(ready(context, args, &name, &asked, bounds))).await;
    let (archive, mut timeline, plan) = ready.unwrap_or_else(|| Err(stopped()))?;
    let Some(destination) = destination.filter(|_| !args.dry_run) else { return Ok(()) };
    let mut sink = sink(&archive, &timeline, &plan, &destination, config).await?;
    let (point, accepted) = (plan.point.clone(), plan.accepted.clone());
    let (place, segments) = (timeline.place(&archive), timeline.segments(&archive));
    let bar = context.out.progress(WHOLE, "replay");
    let tell = |done| bar.set_position(done);
    let how = (bounds, Steps::new(&tell));
    let running = replay::run(&timeline.log, &mut timeline.manifest, &segments, plan, how, sink.as_mut());
    let done = context.stop.unless_stopped(Box::pin(running)).await;
    bar.finish_and_clear();
    let total = done.map_or_else(|| Err(stopped()), |done| done.map_err(|error| error.to_failure(&place)));
    let total = total.map_err(|failure| with_left_behind(failure, sink.left_behind()))?;
    let into = args.into.as_deref().unwrap_or_default();
    context.out.summary(&Replayed::of(&timeline.table, &point, accepted, &total, into));
    Ok(())
}

/// Everything that is known before a destination is made: a refusal leaves nothing behind.
async fn ready(
    context: &Context,
    args: &Replay,
    name: &TableName,
    asked: &Asked,
    bounds: Bounds,
) -> Result<(Archive, Opened, Plan), Failure> {
    let archive = context.archive().await?;
    let mut timeline = pick(&archive, name, asked).await?;
    let place = timeline.place(&archive);
    let plan = plan(context, args, &archive, &mut timeline, asked, &place).await?;
    timeline.serves(plan.is_final && !plan.point.latest, &context.out)?;
    context.out.result("plan", &Planned(&plan, Cost::of(&plan, bounds, tasks::processors())));
    Ok((archive, timeline, plan))
}

/// A file is not there before it is whole; a table that was made is.
fn with_left_behind(failure: Failure, left: Option<LeftBehind>) -> Failure {
    let Some(left) = left else { return failure };
    let what = format!("{}; {}", failure.what, left.what);
    Failure { what, next: format!("{}; {}", failure.next, left.next), ..failure }
}

impl Replay {
    /// The one point that is asked for: what the command line says goes before what the environment says.
    fn asked(&self, matches: &ArgMatches) -> Result<Asked, Failure> {
        let source = |id: &str| matches.subcommand().and_then(|(_, verb)| verb.value_source(id));
        let points = [("--before", &self.before), ("--at", &self.at), ("--at-sequence", &self.at_sequence)];
        let from = |wanted: ValueSource| {
            let given = points.iter().filter(move |(option, _)| source(&option[2..].replace('-', "_")) == Some(wanted));
            given.filter_map(|(option, text)| Some((*option, text.as_deref()?))).collect::<Vec<_>>()
        };
        let mut given = from(ValueSource::CommandLine);
        if given.is_empty() {
            given = from(ValueSource::EnvVariable);
        }
        let [(option, text)] = given[..] else {
            let options: Vec<&str> = given.iter().map(|(option, _)| *option).collect();
            return Err(usage(&"more than one point is asked for", &options.join(", "), "give only one of them"));
        };
        let (now, zone) = (clock::wall(), TimeZone::system());
        let asked = match option {
            "--before" => Asked::before(text, now, &zone),
            "--at" => Asked::at(text, now, &zone),
            _ => Asked::at_sequence(text),
        };
        asked.map_err(|error| usage(&error, option, "e.g. --before 2026-11-22T14:03:00Z, or --before '10m ago'"))
    }
}

/// What was probably meant.
fn nearest_destination(error: &DestinationError) -> String {
    let forms = "write file:PATH with a path that ends in .jsonl, .jsonl.zst or .parquet, or in / for a folder of parts; \
                 or dynamodb:NEW_TABLE";
    let near = match error {
        DestinationError::NoScheme(text) => {
            ENDINGS.iter().any(|ending| text.ends_with(ending)).then(|| format!("file:{text}"))
        }
        DestinationError::Scheme(scheme) => nearest(scheme, SCHEMES).map(|near| format!("{near}:")),
        DestinationError::Ending(path) => {
            let name = path.rsplit('/').next().unwrap_or_default();
            let endings = name.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| &name[at..]);
            endings.filter_map(|ending| nearest(ending, ENDINGS)).next().map(str::to_owned)
        }
        DestinationError::TableName(_) => None,
    };
    near.map_or_else(|| forms.to_owned(), |near| format!("did you mean {near}? {forms}"))
}

fn usage(error: &dyn std::fmt::Display, option: &str, next: &str) -> Failure {
    Failure::new(Exit::Usage, error.to_string(), option, next)
}

/// The timeline that `name` means: where there are several, the only one that answers for the point.
async fn pick(archive: &Archive, name: &TableName, asked: &Asked) -> Result<Opened, Failure> {
    let mut opened = archive.open_all(Some(name)).await?;
    if opened.len() > 1 {
        let described = Coverage::of_all(&opened).iter().map(one_line).collect::<Vec<_>>();
        opened.retain(|one| covers(one, asked));
        if opened.len() != 1 {
            return Err(ambiguous(name, &described));
        }
    }
    opened.pop().ok_or_else(|| ambiguous(name, &[]))
}

fn covers(opened: &Opened, asked: &Asked) -> bool {
    let point = replay::Point::resolve(asked, &opened.manifest);
    point.is_some_and(|point| replay::plan(&opened.manifest, point, &Options::default()).is_ok())
}

fn one_line(coverage: &Coverage) -> String {
    match (coverage.restorable_from, coverage.restorable_to) {
        (Some(from), Some(to)) => format!("{} (restorable from {from} to {to})", coverage.table),
        _ => format!("{} (not restorable)", coverage.table),
    }
}

/// The plan; with `--wait`, once the archive covers the point. A log that is blocked never gets there by itself.
async fn plan(
    context: &Context,
    args: &Replay,
    archive: &Archive,
    timeline: &mut Opened,
    asked: &Asked,
    place: &str,
) -> Result<Plan, Failure> {
    let segments = timeline.segments(archive);
    let accepted = gaps::named(&timeline.manifest, &args.accept_gap, "--accept-gap", place)?;
    let options = Options { proven: args.proven, accepted: accepted.into_iter().map(|gap| gap.id).collect() };
    let mut told = false;
    loop {
        timeline.load_all(&archive.location()).await?;
        let planned = replay::planned(asked, &timeline.log, &mut timeline.manifest, &segments, &options).await;
        match planned {
            Err(ReplayError::Refused(Refusal::NotCovered { ref over, .. })) => match timeline.cut_short() {
                Some(cut_short) => return Err(cut_short),
                None if args.wait && over.is_none() => {}
                None => return planned.map_err(|error| error.to_failure(place)),
            },
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
    plan: &Plan,
    destination: &Destination,
    config: ReplayConfig,
) -> Result<Box<dyn Sink>, Failure> {
    let failed = |error: SinkError| ReplayError::from(error);
    let note = report::note(&timeline.table, plan);
    match destination {
        Destination::File(path, form) => {
            let sink = FileSink::create(path, *form, note).map_err(failed);
            Ok(Box::new(sink.map_err(|error| error.to_failure(&path.display().to_string()))?))
        }
        Destination::Folder(path) => {
            let sink = FolderSink::create(path, note).map_err(failed);
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
                note: note.as_deref(),
            };
            let sink = TableSink::connect(&aws, new, archive.ids.clone()).await.map_err(failed);
            Ok(Box::new(sink.map_err(|error| error.to_failure(&format!("dynamodb:{name}")))?))
        }
    }
}
