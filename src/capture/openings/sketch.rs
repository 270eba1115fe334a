//! The shards of one epoch as they will stand after the actions planned so far.

use std::collections::BTreeMap;

use super::{View, may_be_ancestor};
use crate::change::{Second, Sequence, ShardId};
use crate::manifest::{Awaited, ShardAwaited, ShardOpened};
use crate::platform::bugs::{Bug, planted};

/// One shard of the log, or of the entry being made.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) parent: Option<ShardId>,
    pub(super) unlisted: bool,
    pub(super) start: Sequence,
    pub(super) closed: bool,
    rank: u32,
    through: Sequence,
    floor: Second,
    cut: Second,
    sure: Option<Second>,
}

/// The epoch, planned ahead.
#[derive(Debug)]
pub(super) struct Sketch {
    pub(super) shards: BTreeMap<ShardId, Node>,
    pub(super) awaited: BTreeMap<ShardId, Awaited>,
    pub(super) epoch_floor: Second,
    closed_through: Option<Second>,
    /// Parents, as the listing shows them.
    parents: BTreeMap<ShardId, Option<ShardId>>,
}

impl Sketch {
    pub(super) fn of(view: &View<'_>) -> Self {
        let manifest = view.manifest;
        let shards = manifest.shards.iter().filter(|(key, _)| key.epoch == view.epoch).map(|(key, shard)| {
            let node = Node {
                parent: shard.parent.clone(),
                unlisted: shard.unlisted,
                start: shard.start,
                closed: shard.closed_at.is_some(),
                rank: shard.rank,
                through: shard.through,
                floor: shard.floor,
                cut: shard.cut,
                sure: shard.sure,
            };
            (key.id.clone(), node)
        });
        let awaited = manifest.awaited.iter().filter(|(key, _)| key.epoch == view.epoch);
        let started = view.starting.or_else(|| manifest.epochs.get(&view.epoch).map(|epoch| &epoch.started));
        Self {
            shards: shards.collect(),
            awaited: awaited.map(|(key, awaited)| (key.id.clone(), awaited.clone())).collect(),
            epoch_floor: started.map(|started| started.floor).unwrap_or_default(),
            closed_through: manifest.closed_through,
            parents: if planted(Bug::RankFromListing) { listed_parents(view) } else { BTreeMap::new() },
        }
    }

    pub(super) fn holds(&self, id: &ShardId) -> bool {
        self.shards.contains_key(id) || self.awaited.contains_key(id)
    }

    /// Whether a shard found only now, with this end, may be the ancestor of one that was opened without it.
    pub(super) fn may_be_ancestor(&self, id: &ShardId, end: Option<Sequence>) -> bool {
        let unlisted = self.shards.values().filter(|opened| opened.unlisted && !planted(Bug::LateAncestorIsRead));
        may_be_ancestor(unlisted.map(|opened| (opened.parent.as_ref(), opened.start)), id, end)
    }

    /// The floor of a shard that nothing lifts: no answer that was final may change.
    pub(super) fn fresh_floor(&self) -> Second {
        self.closed_through.map_or(self.epoch_floor, |closed| closed.max(self.epoch_floor))
    }

    /// What a new shard without rows inherits about what may be unread.
    pub(super) fn sure_of(&self, parent: Option<&ShardId>) -> Option<Second> {
        match parent {
            None => Some(self.epoch_floor),
            Some(parent) => self.shards.get(parent).and_then(|parent| parent.sure),
        }
    }

    /// The opening of a shard; `awaited` is the floor it was awaited with.
    pub(super) fn opening(
        &self,
        epoch: u32,
        id: &ShardId,
        parent: Option<&ShardId>,
        start: Sequence,
        awaited: Option<Second>,
    ) -> ShardOpened {
        let logged = parent.and_then(|parent| self.shards.get(parent));
        let floor = awaited.unwrap_or_else(|| {
            let fresh = self.fresh_floor();
            logged.map_or(fresh, |parent| parent.floor.max(fresh))
        });
        let (rank, cut) = match (logged, awaited, parent) {
            (Some(parent), None, _) => (parent.rank + 1, parent.cut),
            (_, None, None) => (self.next_rank(), floor),
            _ => (self.next_rank(), self.greatest_cut_below(start).max(floor)),
        };
        let rank = if planted(Bug::RankFromListing) { self.listed_depth(id) } else { rank };
        let unlisted = awaited.is_some() || (parent.is_some() && logged.is_none());
        ShardOpened {
            epoch,
            shard: id.clone(),
            parent: parent.cloned(),
            unlisted,
            barred: false,
            rank,
            start,
            floor,
            cut,
        }
    }

    fn listed_depth(&self, id: &ShardId) -> u32 {
        let parent = self.parents.get(id).and_then(Option::as_ref);
        parent.filter(|parent| self.parents.contains_key(parent)).map_or(0, |parent| self.listed_depth(parent) + 1)
    }

    fn next_rank(&self) -> u32 {
        self.shards.values().map(|shard| shard.rank + 1).max().unwrap_or(0)
    }

    fn greatest_cut_below(&self, start: Sequence) -> Second {
        self.shards.values().filter(|shard| shard.through < start).map(|shard| shard.cut).max().unwrap_or_default()
    }

    pub(super) fn apply(&mut self, opened: &ShardOpened, closed: bool) {
        let node = Node {
            parent: opened.parent.clone(),
            unlisted: opened.unlisted,
            start: opened.start,
            closed,
            rank: opened.rank,
            through: opened.start.before(),
            floor: opened.floor,
            cut: opened.cut,
            sure: self.sure_of(opened.parent.as_ref()),
        };
        self.awaited.remove(&opened.shard);
        self.shards.insert(opened.shard.clone(), node);
    }

    pub(super) fn await_shard(&mut self, awaited: &ShardAwaited) {
        let node = Awaited { parent: awaited.parent.clone(), start: awaited.start, floor: awaited.floor };
        self.awaited.insert(awaited.shard.clone(), node);
    }
}

fn listed_parents(view: &View<'_>) -> BTreeMap<ShardId, Option<ShardId>> {
    view.listing.shards.iter().map(|shard| (shard.id.clone(), shard.parent.clone())).collect()
}
