//! `tailrace timeline`: what changed when, and the bursts, each with the commands that show and undo it.

use std::collections::BTreeMap;
use std::fmt;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::gaps::one;
use super::moment::{missing, range};
use crate::change::Second;
use crate::config::unit::Length;
use crate::failure::{Exit, Failure};
use crate::manifest::Unknown;
use crate::replay::timeline::{Burst, Counts, Of, Part, Stretch};
use crate::replay::{self, ReplayError};

/// More lines than that nobody reads, and memory follows them.
const MOST_LINES: i64 = 10_000;
/// The width of the longest bar.
const BAR: u64 = 30;
const MINUTE: i64 = 60;

/// Arguments.
#[derive(Debug, Args)]
pub struct Timeline {
    /// The table
    #[arg(long = "table", short = 't', value_name = "TABLE", env = "TAILRACE_TABLE")]
    table: String,
    /// From this time on [default: the beginning]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Up to the end of this second [default: the last change]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// One line for so long, whole minutes [default: from 1m to 28 days, as fits on a screen or two]
    #[arg(long, value_name = "LENGTH")]
    every: Option<Length>,
}

pub(super) async fn run(context: &Context, args: &Timeline) -> Result<(), Failure> {
    let asked = range(args.from.as_deref(), args.to.as_deref())?;
    let every = args.every.map(whole_minutes).transpose()?;
    let archive = context.archive().await?;
    let mut timeline = one(&archive, &args.table).await?;
    let place = timeline.place(&archive);
    timeline.load_all(&place).await?;
    let manifest = &timeline.manifest;
    let (from, to) = replay::timeline::bounds(manifest, asked);
    if let Some(every) = every.filter(|every| (to.0 - from.0) / every > MOST_LINES) {
        return Err(too_many((to.0 - from.0) / every));
    }
    let segments = timeline.segments(&archive);
    let reading = Box::pin(replay::timeline(manifest, &segments, (from, to), every));
    let read = context.stop.unless_stopped(reading).await;
    let stopped = || context.stop.stopped("stopped before everything was read", &args.table);
    let read = read.ok_or_else(stopped)?.map_err(|error: ReplayError| error.to_failure(&place))?;
    let most = read.stretches.iter().map(|stretch| stretch.counts.all()).max().unwrap_or_default();
    for stretch in &read.stretches {
        context.out.result("stretch", &Line::of(stretch, read.every, most));
    }
    let tool = Tool::of(context, &args.table);
    for burst in &read.bursts {
        context.out.result("burst", &Told::of(burst, &tool));
    }
    timeline.serves(manifest.closed_through.is_some_and(|closed| asked.1 <= closed), &context.out)?;
    context.out.summary(&Done {
        table: timeline.table.to_string(),
        changes: read.stretches.iter().map(|stretch| stretch.counts.all()).sum(),
        bursts: read.bursts.len(),
        every_seconds: read.every,
        unknown: missing(manifest, asked),
    });
    Ok(())
}

fn whole_minutes(Length(every): Length) -> Result<i64, Failure> {
    let seconds = i64::try_from(every.as_secs()).unwrap_or(i64::MAX);
    if seconds == 0 || seconds % MINUTE != 0 || every.subsec_nanos() > 0 {
        let what = format!("{} is not a number of minutes", Length(every));
        return Err(Failure::new(Exit::Usage, what, "--every", "e.g. --every 1m, --every 15m or --every 24h"));
    }
    Ok(seconds)
}

fn too_many(lines: i64) -> Failure {
    let next = "give a longer --every, or less time with --from and --to";
    Failure::new(Exit::Usage, format!("that would be {lines} lines"), "--every", next)
}

/// A stretch of time as it is printed.
#[derive(Debug, Serialize)]
struct Line {
    from: Second,
    /// The first second after it.
    until: Second,
    #[serde(flatten)]
    counts: Counts,
    changes: u64,
    items: u64,
    /// Its length as people see it.
    #[serde(skip)]
    bar: u64,
}

impl Line {
    fn of(stretch: &Stretch, every: i64, most: u64) -> Self {
        let Stretch { from, counts, items } = stretch;
        let changes = counts.all();
        let bar = (changes * BAR).div_ceil(most.max(1));
        Self { from: *from, until: from.plus(every), counts: *counts, changes, items: *items, bar }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, counts, changes, items, bar, .. } = self;
        let bar = (0..*bar).map(|_| '█').collect::<String>();
        write!(f, "{from}  {changes:>9} changes of {items:>8} items, {:>8} deletes  {bar}", counts.removes)
    }
}

/// How tailrace is called for this table.
struct Tool {
    table: String,
    archive: String,
}

impl Tool {
    fn of(context: &Context, table: &str) -> Self {
        // One that the configuration names is found again without being told.
        let archive = context.global.archive.as_deref().map(|archive| format!(" --archive {}", quoted(archive)));
        Self { table: quoted(table), archive: archive.unwrap_or_default() }
    }

    fn command(&self, verb: &str, rest: &str) -> String {
        format!("tailrace {verb}{} --table {} {rest}", self.archive, self.table)
    }
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// A burst as it is printed.
#[derive(Debug, Serialize)]
struct Told<'a> {
    of: &'static str,
    from: Second,
    to: Second,
    #[serde(flatten)]
    counts: Counts,
    /// In a minute.
    usual: u64,
    items: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Keys<'a>>,
    /// What the service did by itself, by `userIdentity`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    actors: &'a BTreeMap<String, u64>,
    /// A command that shows what it did.
    see: String,
    /// A command that makes a table as it was before.
    undo: String,
}

/// How the keys of a burst begin.
#[derive(Debug, Serialize)]
struct Keys<'a> {
    part: &'static str,
    begin: &'a str,
    whole: bool,
    percent: usize,
}

impl<'a> Told<'a> {
    fn of(burst: &'a Burst, tool: &Tool) -> Self {
        let Burst { of, from, to, counts, usual, items, prefix, actors } = burst;
        let keys = prefix.as_ref().map(|(part, prefix)| Keys {
            part: if *part == Part::Partition { "partition" } else { "sort" },
            begin: &prefix.text,
            whole: prefix.whole,
            percent: prefix.percent,
        });
        Self {
            of: if *of == Of::Deletes { "deletes" } else { "changes" },
            from: *from,
            to: *to,
            counts: *counts,
            usual: *usual,
            items: *items,
            keys,
            actors,
            see: tool.command("diff", &format!("--from {} --to {to}", from.plus(-1))),
            undo: tool.command("replay", &format!("--before {from} --into dynamodb:NEW_TABLE")),
        }
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, from, to, counts, usual, items, .. } = self;
        let count = if *of == "deletes" { counts.removes } else { counts.all() };
        write!(f, "burst of {of} from {from} to {to}: {count}, of {items} items; {usual} in a minute are usual")?;
        if let Some(Keys { part, begin, whole, percent }) = &self.keys {
            let verb = if *whole { "are" } else { "begin with" };
            write!(f, "\n  {percent} % of the {part} keys {verb} {begin:?}")?;
        }
        self.actors.iter().try_for_each(|(actor, times)| write!(f, "\n  {times} by the service itself: {actor}"))?;
        write!(f, "\n  see it:  {}\n  undo it: {}", self.see, self.undo)
    }
}

#[derive(Debug, Serialize)]
struct Done {
    table: String,
    changes: u64,
    bursts: usize,
    every_seconds: i64,
    /// What is unknown of that time: changes may be missing.
    unknown: Vec<Unknown>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.changes, self.bursts) {
            (0, _) => write!(f, "no change is archived in that time")?,
            (changes, 0) => write!(f, "{changes} changes, no burst")?,
            (changes, 1) => write!(f, "{changes} changes, 1 burst")?,
            (changes, bursts) => write!(f, "{changes} changes, {bursts} bursts")?,
        }
        self.unknown.iter().try_for_each(|unknown| write!(f, "\nchanges may be missing: {unknown}"))
    }
}
