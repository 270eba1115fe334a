//! The fold: one entry applied to what the entries before it say.
//!
//! Actions apply in list order, each predicate sees what those before it did; only `closed_through` is that
//! of the entry before, computed once at the end.

mod base;
mod epoch;
mod seal;
mod segments;
mod shard;
mod void;

use super::action::{Action, GapAcknowledged, UNSELECTED};
use super::entry::Entry;
use super::invariants::{Broken, Held, Violation, hold, rises};
use super::state::{GapId, Manifest, UnknownAction};
use crate::change::Second;

/// Where an entry lies: what the next one chains to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// SHA-256 of all its bytes, hex.
    pub sha256: String,
    /// Its version, in a versioned bucket.
    pub version_id: Option<String>,
}

/// The entry that is being applied.
pub(super) struct Context<'e> {
    entry: &'e Entry,
    /// `closed_through` after the entry before.
    closed: Option<Second>,
    proven: Option<Second>,
    /// Gaps of this entry so far.
    gaps: u32,
}

impl Manifest {
    /// Applies the next entry, whole or not at all. `without` is, for an entry that holds a `void`, the log
    /// before it folded without the voided range (see [`Log`](super::Log)); other entries need none.
    ///
    /// # Errors
    /// The first predicate that fails; the manifest is as before.
    pub fn apply(&mut self, entry: &Entry, stored: &Stored, without: Option<&Self>) -> Result<(), Violation> {
        let mut next = self.clone();
        next.apply_in_place(entry, stored, without)?;
        *self = next;
        Ok(())
    }

    /// The same without the copy: after an error the manifest is of no use.
    pub(crate) fn apply_in_place(
        &mut self,
        entry: &Entry,
        stored: &Stored,
        without: Option<&Self>,
    ) -> Result<(), Violation> {
        let named = |broken: Broken| Violation { n: entry.n, invariant: broken.invariant, what: broken.what };
        self.numbered(entry).map_err(named)?;
        self.act(entry, without).map_err(named)?;
        self.at = Some(entry.at);
        self.step(stored);
        Ok(())
    }

    /// Goes past an entry that has no effect.
    pub(crate) fn step(&mut self, stored: &Stored) {
        self.next += 1;
        self.tail_sha256 = Some(stored.sha256.clone());
        self.tail_version_id.clone_from(&stored.version_id);
    }

    /// 11: the number and the hash of the entry before.
    fn numbered(&self, entry: &Entry) -> Held {
        hold(11, entry.n == self.next, || format!("number {} where {} is due", entry.n, self.next))?;
        hold(11, entry.prev_sha256 == self.tail_sha256, || "it does not chain to the entry before".to_owned())?;
        let Some(fold) = &entry.fold else {
            return hold(6, self.fold.is_none(), || "it forgets the fold named before".to_owned());
        };
        hold(11, fold.n < entry.n, || format!("it names the fold of entry {}", fold.n))?;
        self.fold.as_ref().map_or(Ok(()), |before| rises("fold.n", before.n, fold.n))
    }

    fn act(&mut self, entry: &Entry, without: Option<&Self>) -> Held {
        self.fold.clone_from(&entry.fold);
        let mut context = Context { entry, closed: self.closed_through, proven: self.proven_through, gaps: 0 };
        let mut voids = false;
        for action in &entry.actions {
            if let Action::Void(void) = action {
                hold(11, entry.actions.len() == 1, || "a void stands alone".to_owned())?;
                self.void(entry, void, without)?;
                voids = true;
            } else {
                self.one(&mut context, action)?;
            }
        }
        hold(4, !self.shards.values().any(|shard| shard.barred && shard.closed_at.is_none()), || {
            "a barred shard is not closed in its entry".to_owned()
        })?;
        self.close_time((!voids).then_some((context.closed, context.proven)))
    }

    /// A table that nobody meant any more is archived again: its stream never ended.
    fn covered_again(&mut self) {
        self.coverage_ended.take_if(|reason| reason == UNSELECTED);
    }

    fn one(&mut self, context: &mut Context<'_>, action: &Action) -> Held {
        let entry = context.entry;
        match action {
            Action::EpochStarted(started) => self.epoch_started(context, started),
            Action::EpochClosed(closed) => self.epoch_closed(context, closed.epoch),
            Action::ShardAwaited(awaited) => self.shard_awaited(context, awaited),
            Action::ShardOpened(opened) => self.shard_opened(context, opened),
            Action::ShardClosed(closed) => self.shard_closed(entry.at, closed),
            Action::ShardReleased(released) => self.shard_released(released),
            Action::Segments(added) => {
                self.covered_again();
                self.segments_added(context, added)
            }
            Action::Heartbeat(heartbeat) => {
                self.covered_again();
                self.heartbeat(heartbeat)
            }
            Action::SealStarted(started) => self.seal_started(context, started),
            Action::Seal(seal) => self.seal(seal),
            Action::BaseStarted(started) => self.base_started(context, started),
            Action::Base(base) => self.base_committed(context, base),
            Action::IntentAbandoned(abandoned) => self.intent_abandoned(abandoned.intent),
            Action::Collect(collect) => self.collect(&collect.paths),
            Action::GapAcknowledged(acknowledged) => self.gap_acknowledged(acknowledged),
            Action::Definition(definition) => {
                self.definition = Some(definition.clone());
                Ok(())
            }
            Action::CoverageEnded(ended) => {
                self.coverage_ended = Some(ended.reason.clone());
                Ok(())
            }
            Action::Unknown { name, need, json } => {
                let (name, json) = (name.clone(), json.clone());
                self.unknown.push(UnknownAction { n: entry.n, name, need: *need, json });
                Ok(())
            }
            Action::Void(_) => Ok(()),
        }
    }

    fn gap_acknowledged(&mut self, acknowledged: &GapAcknowledged) -> Held {
        let id = GapId::parse(&acknowledged.gap);
        let gap = self.gaps.iter_mut().find(|gap| Some(gap.id) == id);
        let Some(gap) = gap else {
            return hold(1, false, || format!("there is no gap {}", acknowledged.gap));
        };
        gap.acknowledged = Some(acknowledged.reason.clone());
        Ok(())
    }

    /// Times computed anew, which may fall.
    fn times_after_void(&mut self) -> Held {
        self.close_time(None)
    }

    /// `closed_through` and `proven_through` from the shards that count. They never fall behind those `before`; after a
    /// void there are none.
    fn close_time(&mut self, before: Option<(Option<Second>, Option<Second>)>) -> Held {
        let counted = self
            .shards
            .iter()
            .filter(|(key, shard)| !shard.released && self.is_open(key.epoch))
            .map(|(_, shard)| shard);
        let proven = counted.clone().map(|shard| shard.proven).min();
        let awaited = self.awaited.values().map(|awaited| awaited.floor);
        let closed = counted.map(|shard| shard.floor).chain(awaited).min();
        if let Some(closed) = closed {
            if let Some((before, _)) = before {
                rises("closed_through", before, Some(closed))?;
            }
            self.closed_through = Some(closed);
        }
        // An awaited shard's floor may rest on heartbeats: while one waits nothing more is proven.
        if self.awaited.is_empty() && proven.is_some() {
            self.proven_through = before.map_or(proven, |(_, before)| proven.max(before));
        }
        self.proven_through = self.proven_through.min(self.closed_through);
        Ok(())
    }

    /// Whether this epoch has begun and is not closed.
    fn is_open(&self, epoch: u32) -> bool {
        self.epochs.get(&epoch).is_some_and(|epoch| epoch.border_from.is_none())
    }
}

#[cfg(test)]
mod tests;
