//! `tailrace status`: how far each table is archived, judged from the archive alone.

use std::fmt;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::archive::whole;
use super::coverage::{Coverage, Until};
use super::gaps;
use super::table::TableName;
use crate::change::Second;
use crate::config::StatusConfig;
use crate::config::raw::StatusOptions;
use crate::config::unit::Length;
use crate::failure::{Exit, Failure};
use crate::platform::clock;

/// The service keeps a record for this long.
const KEPT: i64 = 24 * 3600;

/// Arguments.
#[derive(Debug, Args)]
pub struct Status {
    /// Only this table
    #[arg(long = "table", short = 't', value_name = "TABLE")]
    table: Option<String>,
    #[command(flatten)]
    options: StatusOptions,
}

pub(super) async fn run(context: &Context, args: &Status) -> Result<(), Failure> {
    let config = StatusConfig::resolve(&args.options, &context.loaded.file.status);
    let name = args.table.as_deref().map(str::parse::<TableName>).transpose()?;
    let archive = context.archive().await?;
    let now = clock::wall();
    let mut judged = Vec::new();
    let opened = archive.open_all(name.as_ref()).await?;
    for timeline in &opened {
        let mut state = TableStatus::of(Coverage::of(timeline), now, config, name.is_some());
        state.alarm = gaps::open(&timeline.manifest);
        context.out.result("status", &state);
        judged.push(state);
    }
    let behind: Vec<&str> = judged.iter().filter(|state| state.too_old).map(|state| state.table.as_str()).collect();
    context.out.summary(&Summary { tables: judged.len(), behind: behind.len() });
    match config.fail_if_older {
        Some(limit) if !behind.is_empty() || judged.is_empty() => Err(too_old(&behind, limit, &archive.location())),
        _ => whole(&opened),
    }
}

fn too_old(behind: &[&str], limit: Duration, place: &str) -> Failure {
    let limit = Length(limit);
    let what = if behind.is_empty() {
        "nothing is archived here".to_owned()
    } else {
        format!("not likely complete up to {limit} ago: {}", behind.join(", "))
    };
    Failure::new(Exit::BehindLimit, what, place, "see that `tailrace capture` runs and what it logs")
}

#[derive(Debug, Serialize)]
struct TableStatus {
    table: String,
    closed_through: Option<Second>,
    proven_through: Option<Second>,
    /// Between now and `closed_through`.
    behind_seconds: Option<i64>,
    /// Until the service may drop what is not archived; none once nothing more comes.
    seconds_left: Option<i64>,
    live: bool,
    gaps: usize,
    /// The ids of gaps that nobody has acknowledged or repaired.
    alarm: Vec<String>,
    restorable_from: Option<Second>,
    too_old: bool,
}

impl TableStatus {
    /// A timeline that has ended is not late, unless it was asked for by name.
    fn of(coverage: Coverage, now: Second, config: StatusConfig, named: bool) -> Self {
        let behind = coverage.closed_through.map(|closed| (now.0 - closed.0).max(0));
        let limit = config.fail_if_older.map(|limit| i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
        let too_old = limit.is_some_and(|limit| behind.is_none_or(|behind| behind > limit));
        Self {
            behind_seconds: behind,
            seconds_left: behind.filter(|_| coverage.live).map(|behind| KEPT - behind),
            too_old: too_old && (coverage.live || named),
            table: coverage.table,
            closed_through: coverage.closed_through,
            proven_through: coverage.proven_through,
            live: coverage.live,
            gaps: coverage.gaps.len(),
            alarm: vec![],
            restorable_from: coverage.restorable_from,
        }
    }
}

impl fmt::Display for TableStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table)?;
        let age = self.behind_seconds.map(|seconds| format!(", {} ago", span(seconds))).unwrap_or_default();
        writeln!(f, "  likely complete up to {}{age}", Until(self.closed_through))?;
        writeln!(f, "  confirmed up to       {}", Until(self.proven_through))?;
        match self.seconds_left {
            Some(left) if left > 0 => writeln!(f, "  the service keeps what is missing for {} more", span(left))?,
            Some(_) => writeln!(f, "  the service has begun to drop what is missing: start `tailrace capture` now")?,
            None if !self.live => writeln!(f, "  no stream of this table is being archived")?,
            None => {}
        }
        if self.gaps > 0 {
            writeln!(f, "  {} gaps: `tailrace gaps list` prints them", self.gaps)?;
        }
        if !self.alarm.is_empty() {
            writeln!(f, "  ALARM: changes were lost, and nobody has dealt with it: gap {}", self.alarm.join(", "))?;
        }
        Ok(())
    }
}

/// Two parts of a length of time are enough to act on.
fn span(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[derive(Serialize)]
struct Summary {
    tables: usize,
    behind: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tables == 0 { f.write_str("nothing is archived here yet") } else { Ok(()) }
    }
}
