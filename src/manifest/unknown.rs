//! The stretches of time in which a change may be missing: gaps, the borders between streams, and the time
//! before the first one. Each counts for every key.

use std::fmt;

use serde::Serialize;

use super::action::{BaseKind, GapReason};
use super::state::{Gap, GapId, Manifest};
use crate::change::Second;
use crate::platform::bugs::{Bug, planted};

/// Why nothing is known of a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cause {
    /// Nothing was archived yet.
    BeforeCoverage,
    /// Between two streams of the table (the stream was off, or was made anew).
    StreamRestart,
    /// The stream is off since, and no other has begun.
    StreamOff,
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
    let mut border = Some((Second(i64::MIN), Cause::BeforeCoverage));
    for (number, epoch) in &manifest.epochs {
        let first_known = epoch.started.floor.plus(1);
        if let Some((from, cause)) = border.take() {
            let to = match cause {
                // With a valid empty base even the first second of the stream is known.
                Cause::BeforeCoverage if empty => epoch.started.floor,
                Cause::BeforeCoverage => first_known,
                _ => first_known.max(greatest_cut(manifest, number - 1)),
            };
            found.push(Unknown { from, to, cause });
        }
        let joined = planted(Bug::EpochsAreJoined);
        border = epoch.border_from.filter(|_| !joined).map(|from| (from, Cause::StreamRestart));
    }
    if let Some((from, Cause::StreamRestart)) = border {
        found.push(Unknown { from, to: Second(i64::MAX), cause: Cause::StreamOff });
    }
    found
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
        match &self.cause {
            Cause::BeforeCoverage => write!(f, "nothing is archived up to {}", self.to),
            Cause::StreamRestart => write!(f, "stream restart from {} to {}: the stream was off", self.from, self.to),
            Cause::StreamOff => write!(f, "the stream is off since {}", self.from),
            Cause::Gap { id, reason } => write!(f, "gap {id} from {} to {}: {reason}", self.from, self.to),
        }
    }
}
