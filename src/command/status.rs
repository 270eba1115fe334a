//! `tailrace status`: how far each table is archived, judged from the archive alone.

use std::fmt;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::archive::whole;
use super::cost::Cost;
use super::coverage::{Coverage, MadeAnew, Until};
use super::gaps;
use super::table::TableName;
use crate::change::Second;
use crate::config::StatusConfig;
use crate::config::raw::StatusOptions;
use crate::config::unit::Length;
use crate::failure::{Exit, Failure};
use crate::manifest::action::{TABLE_DELETED, UNSELECTED};
use crate::manifest::{Cause, Unknown};
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
    for (timeline, coverage) in opened.iter().zip(Coverage::of_all(&opened)) {
        let mut state = TableStatus::of(coverage, now, config, name.is_some());
        state.alarm = gaps::open(&timeline.manifest);
        state.cost = Cost::of(&timeline.manifest).filter(|_| state.live);
        judged.push(state);
    }
    judged.sort_by_key(TableStatus::standing);
    for state in &judged {
        if judged.len() == 1 {
            context.out.result("status", state);
        } else {
            context.out.result("status", &Line(state));
        }
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
    /// What reading its stream costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
    too_old: bool,
    /// Nobody means the table any more, though its stream goes on.
    unselected: bool,
    /// What became of the stream, where none is archived any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    over: Option<Unknown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made_anew: Option<MadeAnew>,
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
            over: coverage.over().cloned(),
            unselected: coverage.ended.as_deref() == Some(UNSELECTED),
            made_anew: coverage.made_anew,
            table: coverage.table,
            closed_through: coverage.closed_through,
            proven_through: coverage.proven_through,
            live: coverage.live,
            gaps: coverage.gaps.len(),
            alarm: vec![],
            cost: None,
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
            None if self.unselected => {
                writeln!(f, "  the table is not selected any more: later changes are not archived")?;
            }
            None if !self.live && self.over.is_none() => writeln!(f, "  no stream of this table is being archived")?,
            None => {}
        }
        if let Some(over) = &self.over {
            writeln!(f, "  {over}")?;
        }
        if let Some(cost) = &self.cost {
            writeln!(f, "  {cost}")?;
        }
        if let Some(anew) = &self.made_anew {
            writeln!(f, "  {anew}")?;
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

/// How much a table needs somebody: what needs it most comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// Changes were lost.
    Lost,
    /// Later than allowed, or so late that the service drops changes.
    Late,
    /// Its stream is off, and nothing says that this is as it should be.
    Off,
    /// None.
    None,
    /// The table is gone, or nobody means it any more.
    Gone,
}

impl Trouble {
    const fn words(self) -> &'static str {
        match self {
            Self::Lost => "LOST",
            Self::Late => "LATE",
            Self::Off => "OFF",
            Self::None => "ok",
            Self::Gone => "gone",
        }
    }
}

impl TableStatus {
    fn trouble(&self) -> Trouble {
        let deleted = |over: &Unknown| matches!(&over.cause, Cause::StreamOff { reason: Some(reason) } if reason == TABLE_DELETED);
        match self {
            _ if !self.alarm.is_empty() => Trouble::Lost,
            _ if self.too_old || self.seconds_left.is_some_and(|left| left <= 0) => Trouble::Late,
            _ if self.made_anew.is_some() || self.over.as_ref().is_some_and(deleted) => Trouble::Gone,
            _ if self.unselected => Trouble::Gone,
            _ if self.live => Trouble::None,
            _ => Trouble::Off,
        }
    }

    /// By trouble, the latest first.
    fn standing(&self) -> (Trouble, i64, String) {
        (self.trouble(), -self.behind_seconds.unwrap_or(i64::MAX), self.table.clone())
    }
}

/// One of many tables.
#[derive(Serialize)]
#[serde(transparent)]
struct Line<'a>(&'a TableStatus);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0;
        let age = state.behind_seconds.map(|seconds| format!(", {} ago", span(seconds))).unwrap_or_default();
        write!(f, "{:4}  {}  up to {}{age}", state.trouble().words(), state.table, Until(state.closed_through))?;
        match state.gaps {
            0 => Ok(()),
            1 => f.write_str(", 1 gap"),
            gaps => write!(f, ", {gaps} gaps"),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::action::STREAM_DISABLED;

    fn status(table: &str, change: impl FnOnce(&mut TableStatus)) -> TableStatus {
        let mut status = TableStatus {
            table: table.to_owned(),
            closed_through: Some(Second(0)),
            proven_through: None,
            behind_seconds: Some(60),
            seconds_left: Some(KEPT - 60),
            live: true,
            gaps: 0,
            alarm: vec![],
            cost: None,
            restorable_from: None,
            too_old: false,
            unselected: false,
            over: None,
            made_anew: None,
        };
        change(&mut status);
        status
    }

    fn ended(status: &mut TableStatus, reason: &str) {
        let cause = Cause::StreamOff { reason: Some(reason.to_owned()) };
        (status.live, status.seconds_left) = (false, None);
        status.over = Some(Unknown { from: Second(1), to: Second(i64::MAX), cause });
    }

    #[test]
    fn what_needs_somebody_most_comes_first() {
        let mut all = [
            status("deleted", |one| ended(one, TABLE_DELETED)),
            status("well", |_| {}),
            status("well-but-later", |one| one.behind_seconds = Some(90)),
            status("off", |one| ended(one, STREAM_DISABLED)),
            status("trimmed", |one| one.seconds_left = Some(0)),
            status("lost", |one| one.alarm = vec!["4.0".to_owned()]),
            status("anew", |one| {
                ended(one, STREAM_DISABLED);
                one.made_anew = Some(MadeAnew { table: "other".to_owned(), since: Second(5), read_to_end: true });
            }),
        ];
        all.sort_by_key(TableStatus::standing);
        let told: Vec<String> = all.iter().map(|one| Line(one).to_string()).collect();
        let heads: Vec<Vec<&str>> = told.iter().map(|line| line.split_whitespace().take(2).collect()).collect();
        assert_eq!(
            heads,
            [
                ["LOST", "lost"],
                ["LATE", "trimmed"],
                ["OFF", "off"],
                ["ok", "well-but-later"],
                ["ok", "well"],
                ["gone", "anew"],
                ["gone", "deleted"]
            ]
        );
    }

    #[test]
    fn a_line_of_many_and_the_whole_of_one_are_the_same_to_a_machine() {
        let one = status("off", |one| ended(one, STREAM_DISABLED));
        assert_eq!(serde_json::to_value(Line(&one)).unwrap(), serde_json::to_value(&one).unwrap());
        assert!(one.to_string().contains("the stream is off since"), "{one}");
    }
}
