//! What one timeline covers, in the words that users read.

use std::fmt;

use serde::Serialize;

use super::archive::Opened;
use crate::change::Second;
use crate::manifest::{BaseKind, Manifest, Unknown, unknown};
use crate::replay::{Options, Point, plan};

/// What one timeline covers.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Coverage {
    /// `account/region/name@id`
    pub table: String,
    /// The table can be rebuilt from here on,
    pub restorable_from: Option<Second>,
    /// up to here, except inside gaps.
    pub restorable_to: Option<Second>,
    /// Likely complete up to.
    pub closed_through: Option<Second>,
    /// Confirmed up to.
    pub proven_through: Option<Second>,
    /// Archived changes.
    pub changes: u64,
    /// Streams of this table so far.
    pub streams: usize,
    /// Whether a stream is being archived.
    pub live: bool,
    /// Why coverage ended, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Times of which something is unknown, the time before the first change left out.
    pub gaps: Vec<Unknown>,
    /// Snapshots of the table.
    pub snapshots: Vec<Snapshot>,
}

/// A base, in short.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Snapshot {
    /// How it was made.
    pub kind: BaseKind,
    /// The first time that it serves.
    pub complete_at: Second,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Items in it.
    pub items: u64,
}

impl Coverage {
    pub(super) fn of(opened: &Opened) -> Self {
        let manifest = &opened.manifest;
        let all = unknown::all(manifest);
        let snapshot = |base: &crate::manifest::Base| Snapshot {
            kind: base.base.kind,
            complete_at: base.base.complete_at,
            name: base.base.name.clone(),
            items: base.base.segments.iter().map(|segment| segment.rows).sum(),
        };
        Self {
            table: opened.table.to_string(),
            restorable_from: restorable_from(manifest, &all),
            restorable_to: manifest.closed_through.filter(|to| serves(manifest, *to)),
            closed_through: manifest.closed_through,
            proven_through: manifest.proven_through,
            changes: manifest.rows,
            streams: manifest.epochs.len(),
            live: manifest.coverage_ended.is_none()
                && manifest.epochs.values().any(|epoch| epoch.border_from.is_none()),
            ended: manifest.coverage_ended.clone(),
            gaps: all.into_iter().filter(|unknown| unknown.from > Second(i64::MIN)).collect(),
            snapshots: manifest.bases.iter().map(snapshot).collect(),
        }
    }
}

/// The first time that a replay answers for: only where something begins or ends can the answer change.
fn restorable_from(manifest: &Manifest, all: &[Unknown]) -> Option<Second> {
    let ends = all.iter().filter(|unknown| unknown.to < Second(i64::MAX)).map(|unknown| unknown.to.plus(1));
    let bases = manifest.bases.iter().map(|base| base.base.complete_at);
    let mut points: Vec<Second> = ends.chain(bases).collect();
    points.sort_unstable();
    points.into_iter().find(|at| serves(manifest, *at))
}

fn serves(manifest: &Manifest, at: Second) -> bool {
    plan(manifest, Point::at(at), &Options::default()).is_ok()
}

/// A time, or that there is none yet.
pub(super) struct Until(pub Option<Second>);

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => at.fmt(f),
            None => f.write_str("no time yet"),
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table)?;
        match (self.restorable_from, self.restorable_to) {
            (Some(from), Some(to)) => writeln!(f, "  restorable          from {from} to {to}")?,
            (Some(from), None) => writeln!(f, "  restorable          from {from}")?,
            (None, _) => {
                writeln!(f, "  restorable          not yet: take a snapshot of the table with `tailrace base`")?;
            }
        }
        writeln!(f, "  likely complete     up to {}", Until(self.closed_through))?;
        writeln!(f, "  confirmed           up to {}", Until(self.proven_through))?;
        writeln!(f, "  changes             {}", self.changes)?;
        for snapshot in &self.snapshots {
            let name = snapshot.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
            writeln!(f, "  snapshot{name:12}complete at {}, {} items", snapshot.complete_at, snapshot.items)?;
        }
        for gap in &self.gaps {
            writeln!(f, "  {gap}")?;
        }
        self.ended.as_ref().map_or(Ok(()), |reason| writeln!(f, "  coverage ended      {reason}"))
    }
}
