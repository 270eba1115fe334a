//! The stretches of time in which a change may be missing: gaps, the borders between streams, and the time
//! before the first one. Each counts for every key, and says in plain words how it came about.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use super::action::{BaseKind, EpochStarted, GapReason, TABLE_DELETED, UNSELECTED};
use super::state::{Epoch, Gap, GapId, Manifest};
use crate::change::Second;
use crate::platform::bugs::{Bug, planted};

/// A stream that is archived from its first second on has its first known second so soon, in seconds.
const ON_TIME: i64 = 2;

/// Why nothing is known of a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cause {
    /// Nothing was archived yet.
    BeforeCoverage,
    /// Between two streams of the table: somebody turned the stream off and on again.
    StreamRestart {
        /// When the second one was turned on, by the service.
        on_again: Second,
        /// What the second one carries, if the first carried something else.
        #[serde(skip_serializing_if = "Option::is_none")]
        carries: Option<String>,
    },
    /// The stream was read to its end, and no other has begun.
    StreamOff {
        /// Why archiving ended, where the log says it.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A committed gap.
    Gap {
        /// Its id, `n.k`.
        id: String,
        /// Why it was committed.
        reason: &'static str,
    },
}

/// A stretch of time in which a change may be missing; both ends belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// First second.
    pub from: Second,
    /// Last second.
    pub to: Second,
    /// Why.
    #[serde(flatten)]
    pub cause: Cause,
}

impl Unknown {
    /// The gap that it is: other stretches have no id.
    #[must_use]
    pub fn gap(&self) -> Option<GapId> {
        match &self.cause {
            Cause::Gap { id, .. } => GapId::parse(id),
            _ => None,
        }
    }
}

/// All of them, in order of their first second.
#[must_use]
pub fn all(manifest: &Manifest) -> Vec<Unknown> {
    let gap = |gap: &Gap| Unknown {
        from: gap.from_cut,
        to: gap.to_cut,
        cause: Cause::Gap { id: gap.id.to_string(), reason: reason_text(gap.reason) },
    };
    let mut found: Vec<Unknown> = manifest.gaps.iter().map(gap).chain(borders(manifest)).collect();
    found.sort_by_key(|unknown| (unknown.from, unknown.to));
    found
}

/// Those with a second in `(after, through]`.
pub fn meeting(unknown: &[Unknown], after: Second, through: Second) -> impl Iterator<Item = &Unknown> {
    unknown.iter().filter(move |unknown| unknown.from <= through && unknown.to > after)
}

fn borders(manifest: &Manifest) -> Vec<Unknown> {
    let mut found = Vec::new();
    let empty = manifest.bases.iter().any(|base| base.base.kind == BaseKind::Empty);
    let mut before: Option<&Epoch> = None;
    for (number, epoch) in &manifest.epochs {
        let first_known = epoch.started.floor.plus(1);
        match before {
            None => {
                // With a valid empty base even the first second of the stream is known.
                let to = if empty { epoch.started.floor } else { first_known };
                found.push(Unknown { from: Second(i64::MIN), to, cause: Cause::BeforeCoverage });
            }
            Some(old) => found.extend(border_of(old).map(|from| {
                let to = first_known.max(greatest_cut(manifest, number - 1));
                Unknown { from, to, cause: restart(&old.started, &epoch.started) }
            })),
        }
        before = Some(epoch);
    }
    found.extend(before.and_then(border_of).map(|from| {
        let cause = Cause::StreamOff { reason: manifest.coverage_ended.clone() };
        Unknown { from, to: Second(i64::MAX), cause }
    }));
    found
}

fn border_of(epoch: &Epoch) -> Option<Second> {
    epoch.border_from.filter(|_| !planted(Bug::EpochsAreJoined))
}

fn restart(old: &EpochStarted, new: &EpochStarted) -> Cause {
    let carries = (new.view_type != old.view_type).then(|| new.view_type.clone());
    Cause::StreamRestart { on_again: new.created, carries }
}

fn greatest_cut(manifest: &Manifest, epoch: u32) -> Second {
    let cuts = manifest.shards.iter().filter(|(key, _)| key.epoch == epoch).map(|(_, shard)| shard.cut);
    cuts.max().unwrap_or(Second(i64::MIN))
}

const fn reason_text(reason: Option<GapReason>) -> &'static str {
    match reason {
        Some(GapReason::PossiblyTrimmed) => "changes were possibly trimmed by the service before they were read",
        Some(GapReason::NotFound) => "a shard of the stream vanished before its end was read",
        Some(GapReason::Barred) => "a shard of the stream was found too late to be read in order",
        None => "a record could not be decoded",
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, cause } = self;
        match cause {
            Cause::BeforeCoverage => write!(f, "nothing is archived up to {to}"),
            Cause::StreamRestart { on_again, carries } => {
                write!(f, "stream restart from {from} to {to}: ")?;
                restarted(f, (*from, *to), *on_again)?;
                carries.as_deref().map_or(Ok(()), |carries| f.write_str(carrying(carries)))
            }
            Cause::StreamOff { reason } => off(f, *from, reason.as_deref()),
            Cause::Gap { id, reason } => write!(f, "gap {id} from {from} to {to}: {reason}"),
        }
    }
}

/// The log knows when nothing was missing yet, and the service when the stream was turned on: the turning off lies
/// somewhere between the two.
fn restarted(f: &mut fmt::Formatter<'_>, (from, to): (Second, Second), on_again: Second) -> fmt::Result {
    if on_again <= from {
        return write!(
            f,
            "somebody turned the stream off and on again at about {from}; changes in between may be lost"
        );
    }
    write!(f, "somebody turned the stream off after {} and on again at {on_again}; ", from.plus(-1))?;
    if to.0 - on_again.0 > ON_TIME {
        return write!(f, "archiving went on so late that changes up to {to} may be lost");
    }
    f.write_str("changes in between are not archived")
}

fn carrying(view_type: &str) -> &'static str {
    match view_type {
        "NEW_IMAGE" => "; since then it carries new images only: later times need a snapshot taken before them",
        _ => "; since then it carries old images too",
    }
}

fn off(f: &mut fmt::Formatter<'_>, from: Second, reason: Option<&str>) -> fmt::Result {
    match reason {
        Some(TABLE_DELETED) => {
            write!(f, "the table was deleted, and changes from {from} on, if there were any, are not archived")
        }
        Some(UNSELECTED) => write!(f, "the table is not selected any more: changes from {from} on are not archived"),
        Some(_) => write!(f, "the stream is off since {from} or later: changes from then on are not archived"),
        None => write!(f, "the stream ended, and changes from {from} on are not archived"),
    }
}
