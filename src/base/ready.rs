//! When a base may begin, and when it is complete: pure judgements of the folded log.

use crate::change::Second;
use crate::manifest::{BaseKind, IntentKind, Manifest, Shard, Unknown, unknown};
use crate::segment::Row;

/// A row that the archive placed later than this (seconds) may be missing from a scan that is read as if it held it.
const LIFTED: i64 = 30;

/// Whether a base may begin, and with which fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// It may.
    Yes {
        /// `closed_through`.
        fence: Second,
    },
    /// No stream is archived yet, a shard's first page has not been judged, or a gap ends later than `closed_through`.
    NotYet {
        /// In words.
        why: String,
    },
}

/// Judges the start: every possible loss of the past must be in the log, behind the fence.
#[must_use]
pub fn ready(manifest: &Manifest) -> Ready {
    let open: Vec<u32> =
        manifest.epochs.iter().filter(|(_, epoch)| epoch.border_from.is_none()).map(|(epoch, _)| *epoch).collect();
    if open.is_empty() {
        return Ready::NotYet { why: "archiving has not begun yet".to_owned() };
    }
    let mut shards = manifest.shards.iter();
    if let Some((key, _)) = shards.find(|(key, shard)| open.contains(&key.epoch) && !is_begun(shard)) {
        return Ready::NotYet { why: format!("shard {} has not been read yet", key.id) };
    }
    let Some(fence) = manifest.closed_through else {
        return Ready::NotYet { why: "no shard has been opened yet".to_owned() };
    };
    match unknown::all(manifest).into_iter().map(|unknown| unknown.to).filter(|to| *to > fence).max() {
        Some(to) => {
            Ready::NotYet { why: format!("a gap ends at {to}, and the archive is likely complete up to {fence}") }
        }
        None => Ready::Yes { fence },
    }
}

/// Whether the shard's first page was judged by the trim rule: rows, a gap or a heartbeat are in the log.
fn is_begun(shard: &Shard) -> bool {
    shard.closed_at.is_some() || shard.through >= shard.start || shard.gaps > 0 || shard.floor > shard.proven
}

/// What a base waits for after its last page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complete {
    /// It may be committed.
    Yes {
        /// `closed_through`, for ever the first time that the base serves.
        complete_at: Second,
    },
    /// The archive must first be likely complete up to `until`.
    NotYet {
        /// The second.
        until: Second,
        /// Where it stands.
        now: Option<Second>,
    },
    /// A gap lies between the fence and now: the base is worthless.
    Spoilt(Unknown),
    /// Somebody ended the intent.
    Abandoned,
}

/// Judges the end.
#[must_use]
pub fn complete(manifest: &Manifest, intent: u64, fence: Second, until: Second) -> Complete {
    if !manifest.intents.contains_key(&intent) {
        return Complete::Abandoned;
    }
    let now = manifest.closed_through;
    let Some(complete_at) = now.filter(|now| *now >= until) else { return Complete::NotYet { until, now } };
    match unknown::meeting(&unknown::all(manifest), fence, complete_at).next() {
        Some(unknown) => Complete::Spoilt(unknown.clone()),
        None => Complete::Yes { complete_at },
    }
}

/// The second that a base must wait for because of this row, if it was lifted far, or its stamp was ahead.
#[must_use]
pub fn holds_back(row: &Row) -> Option<Second> {
    let changed = row.changed_at.second();
    (row.cut_at > changed.plus(LIFTED) || changed > row.cut_at).then_some(row.cut_at)
}

/// Intents for scans: only the run that began one can finish it, so those found at a start are left over.
#[must_use]
pub fn left_over(manifest: &Manifest) -> Vec<u64> {
    let is_scan = |kind: &IntentKind| matches!(kind, IntentKind::Base(started) if started.kind == BaseKind::Scan);
    manifest.intents.iter().filter(|(_, intent)| is_scan(&intent.kind)).map(|(n, _)| *n).collect()
}
