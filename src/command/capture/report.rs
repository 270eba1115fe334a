//! What `capture` tells while it runs and when it ends.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{CaptureSummary, Ended, count};
use crate::capture::{Observer, Progress};
use crate::change::{Second, TableIdentity};
use crate::command::coverage::Until;
use crate::command::output::Output;
use crate::command::table::TableName;

/// One table's end.
#[derive(Debug, Serialize)]
pub(super) struct Captured {
    pub table: String,
    /// The table's name alone.
    #[serde(skip)]
    pub name: String,
    changes: u64,
    entries: u64,
    bytes: u64,
    gaps: u64,
    undecoded: u64,
    lost_races: u64,
    closed_through: Option<Second>,
    proven_through: Option<Second>,
    /// Whether everything that was read is committed.
    drained: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage_ended: Option<String>,
}

impl Captured {
    pub(super) fn of(asked: TableName, summary: &CaptureSummary) -> Self {
        let coverage_ended = match &summary.ended {
            Ended::CoverageEnded { reason } => Some(reason.clone()),
            _ => None,
        };
        let counts = summary.counts;
        Self {
            table: asked.to_string(),
            name: asked.name,
            changes: counts.rows,
            entries: counts.entries,
            bytes: counts.bytes,
            gaps: counts.gaps,
            undecoded: counts.unknown,
            lost_races: counts.lost_races,
            closed_through: summary.closed_through,
            proven_through: summary.proven_through,
            drained: summary.ended != Ended::StoppedUndrained,
            coverage_ended,
        }
    }
}

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, changes, entries, bytes, .. } = self;
        write!(f, "{table}: {changes} changes in {entries} commits, {bytes} bytes")?;
        write!(f, "; likely complete up to {}", Until(self.closed_through))?;
        if self.gaps > 0 {
            write!(f, "; {} gaps: `tailrace list` prints them", self.gaps)?;
        }
        if !self.drained {
            f.write_str("; stopped before everything read was written: the next run reads it again")?;
        }
        Ok(())
    }
}

/// All tables together.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    tables: usize,
    failed: usize,
    changes: u64,
    bytes: u64,
}

impl Summary {
    pub(super) fn of(done: &[Captured], failed: usize) -> Self {
        let (changes, bytes) = (done.iter().map(|one| one.changes).sum(), done.iter().map(|one| one.bytes).sum());
        Self { tables: done.len(), failed, changes, bytes }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tables + self.failed < 2 {
            return Ok(());
        }
        write!(f, "{} archived, {} failed, {} changes", count(self.tables), self.failed, self.changes)
    }
}

/// One step, as a line.
#[derive(Debug, Serialize)]
struct Told {
    table: String,
    what: String,
    #[serde(flatten)]
    more: serde_json::Value,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.table, self.what)
    }
}

/// Prints what an operator may want to see at once, and logs the rest.
pub(in crate::command) fn observer(out: Output, table: TableIdentity) -> Observer {
    Arc::new(move |progress| {
        let say = |kind: &str, what: String, more: serde_json::Value| {
            out.result(kind, &Told { table: table.to_string(), what, more });
        };
        match progress {
            Progress::EpochStarted { epoch, floor, empty_base } => {
                let known =
                    if *empty_base { "the table was empty then" } else { "earlier changes are not in the archive" };
                let what = format!("archiving begins after {floor}; {known}");
                say("started", what, json!({"stream": epoch, "floor": floor, "empty_base": empty_base}));
            }
            Progress::Committed { n, rows, bytes, closed_through, .. } => {
                tracing::info!(%table, n, rows, bytes, closed_through = %Until(*closed_through), "committed");
            }
            Progress::Gap { gap, .. } => {
                let what = format!("changes may be lost from {} to {}", gap.from_cut, gap.to_cut);
                say("gap", what, json!({"from": gap.from_cut, "to": gap.to_cut, "reason": gap.reason}));
            }
            Progress::Unknown { cut_at, .. } => {
                say(
                    "undecoded",
                    format!("a record of {cut_at} could not be decoded; it is kept whole"),
                    json!({"at": cut_at}),
                );
            }
            Progress::Ahead { rows } => {
                say(
                    "alarm",
                    format!("{rows} changes are stamped more than a minute ahead of the service's time"),
                    json!({}),
                );
            }
            Progress::Waiting { why, attempts, operator } => {
                tracing::warn!(%table, %why, attempts, operator, "waiting");
            }
            Progress::Alarm { what } => say("alarm", what.clone(), json!({})),
        }
    })
}
