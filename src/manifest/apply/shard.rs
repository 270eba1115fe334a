//! Shards: awaited, opened, idle, closed, released.

use super::Context;
use crate::change::{Second, Sequence, ShardId};
use crate::manifest::action::{Heartbeat, ShardAwaited, ShardClosed, ShardOpened, ShardReleased};
use crate::manifest::invariants::{Broken, Held, hold, rises};
use crate::manifest::state::{Awaited, Epoch, Manifest, Shard, ShardKey};

/// How far behind a floor or a cut an unread record may be, in seconds.
pub(super) const DOUBT: i64 = 5 * 60;

impl Manifest {
    pub(super) fn shard_awaited(&mut self, context: &Context<'_>, said: &ShardAwaited) -> Held {
        let key = ShardKey { epoch: said.epoch, id: said.shard.clone() };
        let floor = self.open_epoch_of(said.epoch)?.started.floor;
        self.is_new(&key)?;
        hold(5, !self.awaited.contains_key(&key), || format!("{} is awaited already", said.shard))?;
        hold(4, self.shard(said.epoch, &said.parent).is_none(), || format!("the parent of {} is known", said.shard))?;
        rises("an awaited floor", context.closed.max(Some(floor)), Some(said.floor))?;
        let awaited = Awaited { parent: said.parent.clone(), start: said.start, floor: said.floor };
        self.awaited.insert(key, awaited);
        self.judged(said.epoch, context.entry.n);
        Ok(())
    }

    pub(super) fn shard_opened(&mut self, context: &Context<'_>, said: &ShardOpened) -> Held {
        let key = ShardKey { epoch: said.epoch, id: said.shard.clone() };
        let epoch = self.open_epoch_of(said.epoch)?.clone();
        self.is_new(&key)?;
        let awaited = self.awaited.remove(&key);
        self.parentage(context, said, &epoch, awaited.as_ref())?;
        self.barring(said)?;
        let parent = said.parent.as_ref().and_then(|parent| self.shard(said.epoch, parent));
        if awaited.is_none() {
            rises("a shard's floor", context.closed.max(Some(epoch.started.floor)), Some(said.floor))?;
        }
        let known = parent.map_or(epoch.started.floor, |parent| parent.proven);
        let shard = Shard {
            parent: said.parent.clone(),
            unlisted: said.unlisted,
            barred: said.barred,
            rank: said.rank,
            start: said.start,
            through: said.start.before(),
            floor: said.floor,
            cut: said.cut,
            sure: sure(context, said, &epoch, awaited.as_ref(), parent),
            proven: context.proven.max(Some(known)).unwrap_or(known).min(said.floor),
            closed_at: None,
            released: false,
            gaps: 0,
        };
        self.shards.insert(key, shard);
        if said.unlisted {
            self.judged(said.epoch, context.entry.n);
        }
        Ok(())
    }

    /// 4, 5, 6: what an opening owes to its parent, or to the epoch where it has none.
    fn parentage(&self, context: &Context<'_>, said: &ShardOpened, epoch: &Epoch, awaited: Option<&Awaited>) -> Held {
        let parent = said.parent.as_ref().and_then(|parent| self.shard(said.epoch, parent));
        let unlisted = awaited.is_some() || (said.parent.is_some() && parent.is_none());
        hold(4, said.unlisted == unlisted, || format!("{} is wrong about its parent", said.shard))?;
        if let Some(parent) = parent {
            hold(4, parent.closed_at.is_some(), || format!("{} opens before its parent closed", said.shard))?;
        }
        if let Some(awaited) = awaited {
            let same =
                (said.parent.as_ref(), said.start, said.floor) == (Some(&awaited.parent), awaited.start, awaited.floor);
            hold(6, same, || format!("{} is not opened as it was awaited", said.shard))?;
            return self.after_all(said);
        }
        match (&said.parent, parent) {
            (Some(_), Some(parent)) => {
                hold(5, said.rank > parent.rank, || format!("rank {} of {}", said.rank, said.shard))?;
                rises("the floor along a lineage", parent.floor, said.floor)?;
                rises("the cut along a lineage", parent.cut, said.cut)
            }
            (Some(_), None) => {
                let first = epoch.started_in == context.entry.n;
                hold(4, first || said.barred, || format!("{} must be awaited first", said.shard))?;
                self.after_all(said)
            }
            (None, _) => {
                self.outranks(said)?;
                rises("the cut over the floor", said.floor, said.cut)
            }
        }
    }

    /// A shard that may descend from any: above every rank, and not below the cut of any that ends before it.
    fn after_all(&self, said: &ShardOpened) -> Held {
        self.outranks(said)?;
        let before = self.of_epoch(said.epoch).filter(|shard| shard.through < said.start).map(|shard| shard.cut);
        rises("the cut of an unlisted shard", before.max().max(Some(said.floor)), Some(said.cut))
    }

    fn outranks(&self, said: &ShardOpened) -> Held {
        let below = self.of_epoch(said.epoch).all(|shard| shard.rank < said.rank);
        hold(5, below, || format!("rank {} of {} is not above all others", said.rank, said.shard))
    }

    fn barring(&self, said: &ShardOpened) -> Held {
        let child = self.of_epoch(said.epoch).any(|shard| shard.unlisted && shard.parent.as_ref() == Some(&said.shard));
        hold(4, said.barred || !child, || format!("{} has a child already: it can only be barred", said.shard))?;
        let later = self.of_epoch(said.epoch).any(|shard| shard.unlisted && shard.start > said.start);
        hold(4, !said.barred || later, || format!("{} is barred without a cause", said.shard))
    }

    pub(super) fn heartbeat(&mut self, said: &Heartbeat) -> Held {
        let shard = self.open_shard(said.epoch, &said.shard)?;
        at_through(shard, &said.shard, said.through)?;
        hold(6, said.floor > shard.floor && !shard.barred, || format!("a heartbeat of {} lifts nothing", said.shard))?;
        shard.floor = said.floor;
        shard.sure = shard.sure.max(Some(said.floor.plus(-DOUBT)));
        Ok(())
    }

    pub(super) fn shard_closed(&mut self, at: Second, said: &ShardClosed) -> Held {
        let shard = self.open_shard(said.epoch, &said.shard)?;
        at_through(shard, &said.shard, said.through)?;
        shard.closed_at = Some(at);
        Ok(())
    }

    pub(super) fn shard_released(&mut self, said: &ShardReleased) -> Held {
        let key = ShardKey { epoch: said.epoch, id: said.shard.clone() };
        let shard = self.shards.get_mut(&key).filter(|shard| shard.closed_at.is_some() && !shard.released);
        let Some(shard) = shard else {
            return hold(4, false, || format!("{} is not closed, or released already", said.shard));
        };
        shard.released = true;
        Ok(())
    }

    pub(super) fn open_shard(&mut self, epoch: u32, id: &ShardId) -> Result<&mut Shard, Broken> {
        let key = ShardKey { epoch, id: id.clone() };
        self.shards
            .get_mut(&key)
            .filter(|shard| shard.closed_at.is_none())
            .ok_or_else(|| Broken { invariant: 1, what: format!("{id} is not open") })
    }

    fn open_epoch_of(&self, number: u32) -> Result<&Epoch, Broken> {
        let open = self.epochs.get(&number).filter(|epoch| epoch.border_from.is_none());
        open.ok_or_else(|| Broken { invariant: 4, what: format!("epoch {number} is not open") })
    }

    fn is_new(&self, key: &ShardKey) -> Held {
        hold(5, !self.shards.contains_key(key), || format!("{} is in the log already", key.id))
    }

    fn shard(&self, epoch: u32, id: &ShardId) -> Option<&Shard> {
        self.shards.get(&ShardKey { epoch, id: id.clone() })
    }

    fn of_epoch(&self, epoch: u32) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(move |(key, _)| key.epoch == epoch).map(|(_, shard)| shard)
    }

    fn judged(&mut self, epoch: u32, n: u64) {
        if let Some(epoch) = self.epochs.get_mut(&epoch) {
            epoch.judged_in = Some(n);
        }
    }
}

fn at_through(shard: &Shard, id: &ShardId, through: Sequence) -> Held {
    hold(1, shard.through == through, || format!("{id} stands at {}, not at {through}", shard.through))
}

/// What is known to be older than every unread record of a new shard.
fn sure(
    context: &Context<'_>,
    said: &ShardOpened,
    epoch: &Epoch,
    awaited: Option<&Awaited>,
    parent: Option<&Shard>,
) -> Option<Second> {
    match (awaited, parent, &said.parent) {
        (Some(_), _, _) => None,
        (None, Some(parent), _) => parent.sure,
        (None, None, None) => Some(epoch.started.floor),
        (None, None, Some(_)) => (epoch.started_in == context.entry.n && !said.barred).then_some(epoch.started.floor),
    }
}
