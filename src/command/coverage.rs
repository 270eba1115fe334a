//! What one timeline covers, in the words that users read.

use std::fmt;

use serde::Serialize;

use super::archive::Opened;
use crate::change::{Second, TableIdentity};
use crate::manifest::{BaseKind, Cause, Manifest, Unknown, unknown};
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
    /// The table that has its name now: it was deleted and made anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_anew: Option<MadeAnew>,
    /// Times of which something is unknown, the time before the first change left out.
    pub gaps: Vec<Unknown>,
    /// Snapshots of the table.
    pub snapshots: Vec<Snapshot>,
}

/// A later table of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct MadeAnew {
    /// `account/region/name@id`
    pub table: String,
    /// Its stream was turned on at this time.
    pub since: Second,
    /// Whether the stream of the table before it was read to its end.
    pub read_to_end: bool,
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
    /// Of each, in the same order.
    pub(super) fn of_all(opened: &[Opened]) -> Vec<Self> {
        let of = |one: &Opened| Self { made_anew: made_anew(one, opened), ..Self::of(one) };
        opened.iter().map(of).collect()
    }

    fn of(opened: &Opened) -> Self {
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
            made_anew: None,
            gaps: all.into_iter().filter(|unknown| unknown.from > Second(i64::MIN)).collect(),
            snapshots: manifest.bases.iter().map(snapshot).collect(),
        }
    }
}

/// The next table with the name of `one`, by the times when their streams were turned on.
fn made_anew(one: &Opened, all: &[Opened]) -> Option<MadeAnew> {
    let name = |opened: &Opened| {
        let TableIdentity { account, region, name, .. } = opened.table.clone();
        (account, region, name)
    };
    let on = |opened: &Opened| opened.manifest.epochs.values().next().map(|first| first.started.created);
    let mine = on(one)?;
    let later = all.iter().filter(|other| name(other) == name(one));
    let later = later.filter_map(|other| Some((on(other)?, other))).filter(|(since, _)| *since > mine);
    let (since, next) = later.min_by_key(|(since, _)| *since)?;
    let read_to_end = one.manifest.open_epoch().is_none();
    Some(MadeAnew { table: next.table.to_string(), since, read_to_end })
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

impl Coverage {
    /// What became of the last stream, if no other is archived.
    pub(super) fn over(&self) -> Option<&Unknown> {
        self.gaps.last().filter(|unknown| matches!(unknown.cause, Cause::StreamOff { .. }))
    }
}

impl fmt::Display for MadeAnew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the table was made anew: since {} its name belongs to {}", self.since, self.table)?;
        if self.read_to_end {
            return Ok(());
        }
        f.write_str("; its own last changes may not be archived, for its stream was not read to its end")
    }
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
        if let Some(reason) = &self.ended {
            writeln!(f, "  coverage ended      {}", reason.replace('_', " "))?;
        }
        self.made_anew.as_ref().map_or(Ok(()), |anew| writeln!(f, "  {anew}"))
    }
}
