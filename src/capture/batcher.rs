//! The buffers of all open shards, and the entry they would make.

use std::collections::BTreeMap;

use super::buffer::{Arrived, Buffer, Disorder, Standing};
use super::heartbeat::{Rule, heartbeat};
use crate::change::{Second, Sequence, ShardId, Stamped};
use crate::manifest::{Action, Heartbeat, Manifest, Shard, ShardClosed, ShardKey, Span};
use crate::platform::clock::{Instant, now};
use crate::shard::Listing;

/// What the next entry would hold of all shards.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Gaps and spans, per shard in order.
    pub(super) spans: Vec<Span>,
    /// The rows of the spans.
    pub(super) rows: Vec<Stamped>,
    /// Shards read to their end.
    pub(super) closed: Vec<ShardClosed>,
    /// Idle shards.
    pub(super) heartbeats: Vec<Heartbeat>,
    /// Rows lifted past their stamp.
    pub(super) lifted: u64,
    /// Rows stamped by the service more than a minute ahead.
    pub(super) ahead: u64,
    /// Rows were left for another entry, for this one is large enough.
    pub(super) more: bool,
}

/// A row's place and second: two batches with the same ones make the same files.
pub(super) type Fingerprint = Vec<(ShardId, Sequence, Second)>;

/// Which rows these are, under which seconds.
#[must_use]
pub(super) fn fingerprint(rows: &[Stamped]) -> Fingerprint {
    rows.iter().map(|row| (row.origin.shard.clone(), row.change.sequence, row.cut_at)).collect()
}

impl Batch {
    /// Whether there is nothing to commit.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.closed.is_empty() && self.heartbeats.is_empty()
    }

    /// The actions behind the segments: ends and heartbeats.
    pub(super) fn tail(&self) -> impl Iterator<Item = Action> + '_ {
        let closed = self.closed.iter().cloned().map(Action::ShardClosed);
        closed.chain(self.heartbeats.iter().cloned().map(Action::Heartbeat))
    }
}

/// Which shards must be read again, and which need not be read any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    /// Read again from the log's `through`.
    pub(super) reread: Vec<ShardKey>,
    /// Closed.
    pub(super) closed: Vec<ShardKey>,
}

/// The buffers of one epoch's open shards.
#[derive(Debug, Default)]
pub(super) struct Batcher {
    buffers: BTreeMap<ShardKey, Buffer>,
    /// When the oldest row arrived.
    oldest: Option<Instant>,
}

impl Batcher {
    /// Begins to buffer an open shard.
    pub(super) fn open(&mut self, manifest: &Manifest, key: &ShardKey, shard: &Shard) {
        let parent = shard.parent.as_ref().map(|id| ShardKey { epoch: key.epoch, id: id.clone() });
        let parent = parent.and_then(|parent| manifest.shards.get(&parent)).map(|parent| parent.through);
        self.buffers.insert(key.clone(), Buffer::new(shard, parent));
    }

    /// Takes a page in; one of a shard that is not buffered is too late.
    ///
    /// # Errors
    /// A record that breaks the lineage's order.
    pub(super) fn push(&mut self, key: &ShardKey, page: Arrived) -> Result<(), Disorder> {
        let Some(buffer) = self.buffers.get_mut(key) else { return Ok(()) };
        buffer.push(page)?;
        if buffer.has_rows() {
            self.oldest.get_or_insert_with(now);
        }
        Ok(())
    }

    /// The shard's reading was interrupted.
    pub(super) fn disturb(&mut self, key: &ShardKey) {
        if let Some(buffer) = self.buffers.get_mut(key) {
            buffer.disturb();
        }
    }

    /// The shard vanished.
    pub(super) fn lose(&mut self, key: &ShardKey, at: Second) {
        if let Some(buffer) = self.buffers.get_mut(key) {
            buffer.lose(at);
        }
    }

    /// Bytes of pages held.
    #[must_use]
    pub(super) fn bytes(&self) -> u64 {
        self.buffers.values().map(Buffer::bytes).sum()
    }

    /// When the oldest row arrived that waits.
    #[must_use]
    pub(super) const fn oldest(&self) -> Option<Instant> {
        self.oldest
    }

    /// Whether an end or a loss waits.
    #[must_use]
    pub(super) fn urgent(&self, manifest: &Manifest) -> bool {
        self.buffers.iter().any(|(key, buffer)| manifest.shards.get(key).is_some_and(|shard| buffer.urgent(shard)))
    }

    /// Follows the log, whoever moved it.
    pub(super) fn reconcile(&mut self, manifest: &Manifest) -> Moves {
        let mut moves = Moves::default();
        self.buffers.retain(|key, buffer| match manifest.shards.get(key).map(|shard| buffer.reconcile(shard)) {
            Some(Standing::Kept) => true,
            Some(Standing::Reread) => {
                moves.reread.push(key.clone());
                true
            }
            // A shard that is no longer in the log was opened in a range that is void.
            Some(Standing::Closed) | None => {
                moves.closed.push(key.clone());
                false
            }
        });
        self.forget_age();
        moves
    }

    /// Our own entry is in the log; with `more` it left rows behind that are as old as its own.
    pub(super) fn committed(&mut self, manifest: &Manifest, more: bool) {
        for (key, buffer) in &mut self.buffers {
            if let Some(shard) = manifest.shards.get(key) {
                buffer.committed(shard);
            }
        }
        if !more {
            self.oldest = None;
        }
        self.forget_age();
    }

    /// Whether rows wait.
    #[must_use]
    pub(super) fn has_rows(&self) -> bool {
        self.buffers.values().any(Buffer::has_rows)
    }

    fn forget_age(&mut self) {
        let rows = self.has_rows();
        self.oldest = if rows { Some(self.oldest.unwrap_or_else(now)) } else { None };
    }

    /// What an entry would hold now: rows, losses and ends of every shard, heartbeats of idle ones. About `limit` bytes
    /// of rows go into one entry, those of the shards first that are furthest behind: encoding needs as much again.
    #[must_use]
    pub(super) fn draft(&self, manifest: &Manifest, listing: Option<&Listing>, rule: Rule, limit: u64) -> Batch {
        let (mut batch, mut left) = (Batch::default(), limit);
        let mut shards: Vec<_> =
            self.buffers.iter().filter_map(|(key, buffer)| Some((key, buffer, manifest.shards.get(key)?))).collect();
        shards.sort_by_key(|(_, _, shard)| shard.cut);
        for (key, buffer, shard) in shards {
            if left == 0 && buffer.has_rows() {
                batch.more = true;
                continue;
            }
            let epoch_floor = manifest.epochs.get(&key.epoch).map(|epoch| epoch.started.floor).unwrap_or_default();
            let draft = buffer.draft(key, shard, epoch_floor, left);
            left = left.saturating_sub(draft.bytes);
            batch.more |= draft.more;
            if let (true, Some(idle), Some(listing)) = (draft.is_empty(), buffer.idle(shard), listing) {
                batch.heartbeats.extend(heartbeat(key, shard, idle, listing, rule));
            }
            batch.spans.extend(draft.spans);
            batch.rows.extend(draft.rows);
            batch.closed.extend(draft.closed);
            batch.lifted += draft.lifted;
            batch.ahead += draft.ahead;
        }
        batch
    }
}
