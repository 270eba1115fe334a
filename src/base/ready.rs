//! When a base may begin, and when it is complete: pure judgements of the folded log.

use crate::change::Second;
use crate::manifest::{BaseKind, BaseStarted, IntentKind, Manifest, Shard, Unknown, unknown};
use crate::platform::bugs::{Bug, planted};
use crate::segment::Row;

/// A row that the archive placed later than this (seconds) may be missing from a scan that is read as if it held it.
const LIFTED: i64 = 30;

/// How old (seconds) a scan's intent must be before another run may end it. Nothing in the log tells a run that
/// died from one that is still reading. An intent that stays costs nothing but its orphans; a run that is ended costs
/// hours of reading. So this is longer than the scan of tens of gigabytes takes under the default cap.
const LEFT_OVER: i64 = 48 * 3600;

/// Whether a base may begin, and with which fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// It may.
    Yes {
        /// `closed_through`.
        fence: Second,
    },
    /// No stream is archived (yet).
    NoStream,
    /// A shard's first page has not been judged, or a gap ends later than `closed_through`.
    NotYet {
        /// In words.
        why: String,
    },
}

/// Judges the start: every possible loss of the past must be in the log, behind the fence, which is not above `most`
/// where that is given.
#[must_use]
pub fn ready(manifest: &Manifest, most: Option<Second>) -> Ready {
    let open: Vec<u32> =
        manifest.epochs.iter().filter(|(_, epoch)| epoch.border_from.is_none()).map(|(epoch, _)| *epoch).collect();
    if open.is_empty() {
        return Ready::NoStream;
    }
    let mut shards = manifest.shards.iter();
    if let Some((key, _)) = shards.find(|(key, shard)| open.contains(&key.epoch) && !is_begun(shard)) {
        return Ready::NotYet { why: format!("shard {} has not been read yet", key.id) };
    }
    let Some(fence) = manifest.closed_through else {
        return Ready::NotYet { why: "no shard has been opened yet".to_owned() };
    };
    let fence = most.map_or(fence, |most| fence.min(most));
    match unknown::all(manifest).into_iter().map(|unknown| unknown.to).filter(|to| *to > fence).max() {
        Some(to) => Ready::NotYet { why: format!("a gap ends at {to}, and the snapshot would begin at {fence}") },
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
    /// It stands in the log.
    Done {
        /// The entry of its commit.
        n: u64,
        /// The first time that it serves forward.
        complete_at: Second,
    },
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
    /// A gap lies between the fence and now, or where it would have to be complete: the base is worthless.
    Spoilt(Unknown),
    /// Somebody ended the intent.
    Abandoned,
}

/// Judges the end.
#[must_use]
pub fn complete(manifest: &Manifest, intent: u64, fence: Second, until: Second) -> Complete {
    // An earlier proposal of ours may have landed although its answer was lost.
    if let Some(base) = manifest.bases.iter().find(|base| base.base.intent == Some(intent)) {
        return Complete::Done { n: base.n, complete_at: base.base.complete_at };
    }
    if !manifest.intents.contains_key(&intent) {
        return Complete::Abandoned;
    }
    let now = manifest.closed_through;
    // It can never be complete before `until`: what meets the time up to there need not be waited for.
    let needed = now.map_or(until, |now| now.max(until));
    match (unknown::meeting(&unknown::all(manifest), fence, needed).next(), now) {
        (Some(unknown), _) if !planted(Bug::SnapshotAcrossGap) => Complete::Spoilt(unknown.clone()),
        (_, Some(complete_at)) if complete_at >= until => Complete::Yes { complete_at },
        (_, now) => Complete::NotYet { until, now },
    }
}

/// The second that a base must wait for because of this row, if it was lifted far, or its stamp was ahead.
#[must_use]
pub fn holds_back(row: &Row) -> Option<Second> {
    let changed = row.changed_at.second();
    (row.cut_at > changed.plus(LIFTED) || changed > row.cut_at).then_some(row.cut_at)
}

/// The open intent that `writer` may go on with, and who began it: its own scan, whatever the answer to its proposal
/// was; any export.
#[must_use]
pub fn begun<'m>(manifest: &'m Manifest, kind: BaseKind, writer: &str) -> Option<(u64, &'m str, &'m BaseStarted)> {
    open(manifest, kind).find(|(_, by, _)| kind == BaseKind::Export || *by == writer)
}

/// Scans that a run began and cannot still be reading; `now` is the service's time.
#[must_use]
pub fn left_over(manifest: &Manifest, now: Second) -> Vec<u64> {
    open(manifest, BaseKind::Scan)
        .filter(|(_, _, started)| started.started.plus(LEFT_OVER) < now)
        .map(|(n, ..)| n)
        .collect()
}

/// Open intents for bases of this kind, with their writers.
fn open(manifest: &Manifest, kind: BaseKind) -> impl Iterator<Item = (u64, &str, &BaseStarted)> {
    manifest.intents.iter().filter_map(move |(n, intent)| match &intent.kind {
        IntentKind::Base(started) if started.kind == kind => Some((*n, intent.writer.as_str(), started)),
        _ => None,
    })
}
