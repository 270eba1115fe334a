//! Entries with rows: stamp, encode, upload, propose, and begin again where another writer was faster.

use std::time::Duration;

use super::batcher::{self, Batch};
use super::committer::Outcome;
use super::error::CaptureError;
use super::pump::Pump;
use super::report::Progress;
use crate::change::Stamped;
use crate::manifest::{Action, SegmentsAdded};
use crate::platform::bugs::{Bug, planted};
use crate::platform::clock::now;
use crate::segment::SegmentMeta;

/// Without a full listing for this long nothing may be committed: an unseen shard would be left behind.
const LISTING_MAX_SECONDS: i64 = 3600;
const LISTING_MAX_AGE: Duration = Duration::from_secs(LISTING_MAX_SECONDS.unsigned_abs());
/// The longest time between two heartbeats of an idle table.
const HEARTBEAT_MAX: Duration = Duration::from_secs(15 * 60);

impl Pump<'_> {
    /// Whether a listing of this process, not older than an hour, found every shard open, awaited or waiting.
    pub(super) fn may_commit(&self) -> bool {
        // Both clocks: ours may stand still while the machine sleeps, the service's while it does not answer.
        self.stood.is_some_and(|(stood, begun)| {
            now().saturating_duration_since(stood) <= LISTING_MAX_AGE
                && self.committer.at.0 - begun.0 <= LISTING_MAX_SECONDS
        })
    }

    /// Commits everything that was read; more than one entry where a loss must follow the rows before it.
    pub(super) async fn flush_all(&mut self) -> Result<(), CaptureError> {
        while self.may_commit() && self.flush().await? {}
        Ok(())
    }

    /// Commits one entry, and says whether more than heartbeats went into it.
    pub(super) async fn flush(&mut self) -> Result<bool, CaptureError> {
        // Asked in every round: an upload may have taken longer than a listing is good for.
        while self.may_commit() {
            self.follow();
            let rule = self.rule(self.options.settle_seconds());
            let listing = self.seen.as_ref().map(|seen| &seen.listing);
            let mut batch = self.batcher.draft(&self.committer.manifest, listing, rule, self.flush_at);
            if batch.is_empty() {
                self.heartbeat_due = now() + self.options.heartbeat_pace();
                return Ok(false);
            }
            let segments = self.segments(std::mem::take(&mut batch.rows)).await?;
            if !self.may_commit() {
                break;
            }
            let mut actions = Vec::new();
            if !batch.spans.is_empty() {
                let spans = batch.spans.clone();
                actions.push(Action::Segments(SegmentsAdded { segments: segments.clone(), spans }));
            }
            actions.extend(batch.tail());
            if let Outcome::Committed(n) = self.committer.propose(actions).await? {
                let rows = !batch.spans.is_empty() || !batch.closed.is_empty();
                self.committed(n, &batch, &segments);
                self.beat_later(rows);
                return Ok(rows);
            }
            if planted(Bug::OrphanIsCommitted) {
                self.uploader.collect(&segments).await;
            }
        }
        Ok(false)
    }

    /// The files of these rows: those written for a lost race if the same rows stand under the same seconds.
    async fn segments(&mut self, rows: Vec<Stamped>) -> Result<Vec<SegmentMeta>, CaptureError> {
        let fingerprint = batcher::fingerprint(&rows);
        let collected = &self.committer.manifest.collected;
        if let Some((of, segments)) = &self.written
            && (*of == fingerprint || planted(Bug::FileReusedForNarrowedSpan))
            && !segments.iter().any(|segment| collected.contains(&segment.path))
        {
            return Ok(segments.clone());
        }
        let segments = self.uploader.upload(rows, self.committer.at).await?;
        self.written = Some((fingerprint, segments.clone()));
        Ok(segments)
    }

    fn committed(&mut self, n: u64, batch: &Batch, segments: &[SegmentMeta]) {
        self.written = None;
        self.batcher.committed(&self.committer.manifest, batch.more);
        self.follow();
        let counts = &mut self.committer.counts;
        let rows = batch.spans.iter().map(|span| span.rows).sum();
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        counts.rows += rows;
        counts.bytes += bytes;
        counts.lifted += batch.lifted;
        counts.ahead += batch.ahead;
        for span in &batch.spans {
            counts.gaps += u64::from(span.gap.is_some());
            counts.unknown += u64::try_from(span.unknown.len()).unwrap_or(u64::MAX);
        }
        self.report(n, batch, rows, bytes);
    }

    fn report(&mut self, n: u64, batch: &Batch, rows: u64, bytes: u64) {
        let closed_through = self.committer.manifest.closed_through;
        let pages = std::mem::take(&mut self.committer.pages);
        self.committer.say(&Progress::Committed { n, rows, bytes, pages, closed_through });
        for span in &batch.spans {
            if let Some(gap) = span.gap {
                self.committer.say(&Progress::Gap { shard: span.shard.clone(), gap });
            }
            for cut_at in &span.unknown {
                self.committer.say(&Progress::Unknown { shard: span.shard.clone(), cut_at: *cut_at });
            }
        }
        if batch.ahead > 0 {
            self.committer.say(&Progress::Ahead { rows: batch.ahead });
        }
    }

    /// Heartbeats alone come ever more rarely; rows bring them back to their first pace.
    fn beat_later(&mut self, rows: bool) {
        let first = self.options.heartbeat_pace();
        self.heartbeat_due = now() + if rows { first } else { self.heartbeat_pace };
        self.heartbeat_pace =
            if rows || self.options.once { first } else { (self.heartbeat_pace * 2).min(HEARTBEAT_MAX) };
    }
}
