//! Which shards to open, await, bar and release: a pure judgement over the folded log and one full listing.
//!
//! A shard opened too early would sort an item's changes wrongly; one opened late with a fresh floor would
//! hide what was trimmed. Whoever asks must have begun the listing after reading the epoch's last
//! `shard_awaited` or unlisted `shard_opened`: [`fresh`] says so.

mod release;
mod sketch;

use std::collections::{BTreeMap, BTreeSet};

pub use release::{epoch_ended, releases, stand};

use super::stamp::Stamper;
use super::trim;
use crate::change::{Second, Sequence, ShardId};
use crate::manifest::{Action, EpochStarted, Manifest, SegmentsAdded, ShardAwaited, ShardClosed, ShardKey, Span};
use crate::platform::bugs::{Bug, planted};
use crate::shard::{ListedShard, Listing};
use sketch::Sketch;

/// What a judgement about shards rests on.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The folded log.
    pub manifest: &'a Manifest,
    /// The epoch.
    pub epoch: u32,
    /// Set when the epoch begins in the entry that is being made.
    pub starting: Option<&'a EpochStarted>,
    /// A full listing.
    pub listing: &'a Listing,
    /// Which unlisted shards the service was asked about after the listing, and whether it still knows them.
    pub known: &'a BTreeMap<ShardId, bool>,
    /// The service's latest time.
    pub at: Second,
}

/// What to put into the next entry, and what must be asked before more can be said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Openings, awaitings and barrings, in the order in which they apply.
    pub actions: Vec<Action>,
    /// Shards that the listing lacks: whether the service still knows them decides.
    pub ask: BTreeSet<ShardId>,
}

/// Whether openings, awaitings and releases may be judged on a listing that was begun when `read` entries had been read.
#[must_use]
pub fn fresh(manifest: &Manifest, epoch: u32, read: u64) -> bool {
    manifest.epochs.get(&epoch).and_then(|epoch| epoch.judged_in).is_none_or(|judged| judged < read)
}

/// Judges every listed and every awaited shard of the epoch.
#[must_use]
pub fn plan(view: &View<'_>) -> Plan {
    let mut planner = Planner { view, sketch: Sketch::of(view), plan: Plan::default() };
    let mut listed: Vec<&ListedShard> = view.listing.shards.iter().collect();
    listed.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
    for shard in listed {
        if !planner.sketch.holds(&shard.id) {
            planner.judge(shard);
        }
    }
    for id in planner.sketch.awaited.keys().cloned().collect::<Vec<_>>() {
        planner.judge_awaited(&id);
    }
    planner.plan
}

/// Whether shard `id`, which ends at `end`, may be an ancestor of one of `unlisted`: shards that were opened without
/// their parent, each with its parent's id and its start.
fn may_be_ancestor<'a>(
    mut unlisted: impl Iterator<Item = (Option<&'a ShardId>, Sequence)>,
    id: &ShardId,
    end: Option<Sequence>,
) -> bool {
    unlisted.any(|(parent, start)| parent == Some(id) || end.is_some_and(|end| end < start))
}

/// What is to be done about one shard.
enum Parent {
    /// It has none, or has been read to its end.
    Done,
    /// It is not in the log, not awaited, not listed, and the service does not know it.
    Unlisted,
    /// The shard waits for it.
    Waits,
}

struct Planner<'a> {
    view: &'a View<'a>,
    sketch: Sketch,
    plan: Plan,
}

impl Planner<'_> {
    fn judge(&mut self, shard: &ListedShard) {
        let parent = self.parent(shard.parent.as_ref());
        if self.sketch.may_be_ancestor(&shard.id, shard.end) {
            let settled = match parent {
                Parent::Done => true,
                Parent::Unlisted => self.settled_below(&shard.id, shard.start),
                Parent::Waits => false,
            };
            if let (true, Some(end)) = (settled, shard.end) {
                self.bar(shard, end);
            }
            return;
        }
        match (parent, &shard.parent) {
            (Parent::Done, _) => self.open(&shard.id, shard.parent.as_ref(), shard.start, None),
            (Parent::Unlisted, Some(parent)) => {
                if self.view.starting.is_some() && self.settled_below(&shard.id, shard.start) {
                    self.open(&shard.id, Some(parent), shard.start, None);
                } else {
                    self.wait(shard, parent);
                }
            }
            _ => {}
        }
    }

    /// An awaited shard opens, listed or not, once everything that may be its ancestor is read.
    fn judge_awaited(&mut self, id: &ShardId) {
        let Some(awaited) = self.sketch.awaited.get(id).cloned() else { return };
        let parent_open = self.sketch.shards.get(&awaited.parent).is_some_and(|parent| !parent.closed);
        let before = self.view.manifest.awaited.contains_key(&self.key(id));
        if before && !parent_open && self.settled_below(id, awaited.start) {
            self.open(id, Some(&awaited.parent), awaited.start, Some(awaited.floor));
        }
    }

    fn parent(&mut self, parent: Option<&ShardId>) -> Parent {
        let Some(parent) = parent else { return Parent::Done };
        if let Some(parent) = self.sketch.shards.get(parent) {
            return if parent.closed || planted(Bug::ChildBeforeParent) { Parent::Done } else { Parent::Waits };
        }
        if self.sketch.awaited.contains_key(parent) || self.listed(parent).is_some() {
            return Parent::Waits;
        }
        match self.view.known.get(parent) {
            Some(false) => Parent::Unlisted,
            Some(true) => Parent::Waits,
            None => {
                self.plan.ask.insert(parent.clone());
                Parent::Waits
            }
        }
    }

    /// Whether every shard that may be an ancestor of `id` (it begins below `start`, and the service does not list it
    /// or lists it with an end below `start`) is closed in the log.
    fn settled_below(&self, id: &ShardId, start: Sequence) -> bool {
        let over = |other: &ShardId| self.listed(other).is_none_or(|listed| listed.end.is_some_and(|end| end < start));
        let logged =
            self.sketch.shards.iter().all(|(other, shard)| shard.closed || shard.start >= start || !over(other));
        let awaited =
            self.sketch.awaited.iter().all(|(other, shard)| other == id || shard.start >= start || !over(other));
        let listed = self.view.listing.shards.iter().all(|other| {
            self.sketch.shards.contains_key(&other.id) || other.id == *id || other.end.is_none_or(|end| end >= start)
        });
        logged && awaited && listed
    }

    fn listed(&self, id: &ShardId) -> Option<&ListedShard> {
        self.view.listing.shards.iter().find(|listed| listed.id == *id)
    }

    fn key(&self, id: &ShardId) -> ShardKey {
        ShardKey { epoch: self.view.epoch, id: id.clone() }
    }

    fn open(&mut self, id: &ShardId, parent: Option<&ShardId>, start: Sequence, awaited: Option<Second>) {
        let opened = self.sketch.opening(self.view.epoch, id, parent, start, awaited);
        self.sketch.apply(&opened, false);
        self.plan.actions.push(Action::ShardOpened(opened));
    }

    fn wait(&mut self, shard: &ListedShard, parent: &ShardId) {
        let awaited = ShardAwaited {
            epoch: self.view.epoch,
            shard: shard.id.clone(),
            parent: parent.clone(),
            start: shard.start,
            floor: self.sketch.fresh_floor(),
        };
        self.sketch.await_shard(&awaited);
        self.plan.actions.push(Action::ShardAwaited(awaited));
    }

    /// Opens, declares lost and closes a shard that may be the ancestor of one that is read already.
    fn bar(&mut self, shard: &ListedShard, end: Sequence) {
        let mut opened = self.sketch.opening(self.view.epoch, &shard.id, shard.parent.as_ref(), shard.start, None);
        opened.barred = true;
        let sure = self.sketch.sure_of(shard.parent.as_ref());
        let times = Stamper { cut: opened.cut, floor: opened.floor, epoch_floor: self.sketch.epoch_floor };
        let (loss, late) = trim::barred(times, sure, self.view.at);
        self.sketch.apply(&opened, true);
        let span = Span {
            epoch: opened.epoch,
            shard: opened.shard.clone(),
            after: opened.start.before(),
            through: end,
            rows: 0,
            cut: loss.cut,
            floor: Some(loss.floor),
            late: vec![late],
            unknown: vec![],
            gap: Some(loss.gap),
        };
        let closed = ShardClosed { epoch: opened.epoch, shard: opened.shard.clone(), through: end };
        self.plan.actions.push(Action::ShardOpened(opened));
        self.plan.actions.push(Action::Segments(SegmentsAdded { segments: vec![], spans: vec![span] }));
        self.plan.actions.push(Action::ShardClosed(closed));
    }
}

#[cfg(test)]
mod tests;
