//! When a closed shard no longer holds `closed_through`, and when a stream has been read to its end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, View, may_be_ancestor};
use crate::change::{Second, ShardId};
use crate::manifest::{Action, Manifest, Shard, ShardReleased};
use crate::platform::bugs::{Bug, planted};
use crate::shard::{Listing, StreamStatus};

/// Whether every listed shard is in the log, awaited, or waits for a parent. `barred_wait`: one that may only be barred
/// waits, too. Spans need it so: what it waits for is the closing of others, which they bring. Releases do not.
#[must_use]
pub fn stand(
    manifest: &Manifest,
    epoch: u32,
    listing: &Listing,
    known: &BTreeMap<ShardId, bool>,
    barred_wait: bool,
) -> bool {
    let logged = by_id(manifest, epoch);
    let awaited: BTreeSet<&ShardId> =
        manifest.awaited.keys().filter(|key| key.epoch == epoch).map(|key| &key.id).collect();
    let listed: BTreeSet<&ShardId> = listing.shards.iter().map(|shard| &shard.id).collect();
    let waits = |parent: &ShardId| match logged.get(parent) {
        Some(parent) => parent.closed_at.is_none(),
        None => awaited.contains(parent) || listed.contains(parent) || known.get(parent) == Some(&true),
    };
    let unlisted = || logged.values().filter(|shard| shard.unlisted).map(|shard| (shard.parent.as_ref(), shard.start));
    listing.shards.iter().all(|shard| {
        logged.contains_key(&shard.id)
            || awaited.contains(&shard.id)
            || shard.parent.as_ref().is_some_and(waits)
            || (barred_wait && may_be_ancestor(unlisted(), &shard.id, shard.end))
    })
}

/// The closed shards that may be released: a child of each is known, or the service has forgotten it and them.
#[must_use]
pub fn releases(view: &View<'_>, settle: i64) -> Plan {
    let mut plan = Plan::default();
    let (manifest, listing) = (view.manifest, view.listing);
    let early = planted(Bug::ParentReleasedEarly);
    let stands = early || stand(manifest, view.epoch, listing, view.known, false);
    if listing.status != StreamStatus::Enabled || !stands {
        return plan;
    }
    let logged = by_id(manifest, view.epoch);
    let mut parents: BTreeSet<&ShardId> = logged.values().filter_map(|shard| shard.parent.as_ref()).collect();
    let awaited = manifest.awaited.iter().filter(|(key, _)| key.epoch == view.epoch);
    parents.extend(awaited.map(|(_, awaited)| &awaited.parent));
    let mut seen: BTreeSet<&ShardId> = listing.shards.iter().map(|shard| &shard.id).collect();
    seen.extend(listing.shards.iter().filter_map(|shard| shard.parent.as_ref()));
    for (id, shard) in logged {
        let settled = shard.closed_at.is_some_and(|closed| early || listing.begun >= closed.plus(settle));
        if !settled || shard.released {
            continue;
        }
        let forgotten = || !seen.contains(id) && view.known.get(id) == Some(&false);
        if early || parents.contains(id) || forgotten() {
            plan.actions.push(Action::ShardReleased(ShardReleased { epoch: view.epoch, shard: id.clone() }));
        } else if !seen.contains(id) && !view.known.contains_key(id) {
            plan.ask.insert(id.clone());
        }
    }
    plan
}

/// Whether the epoch may be closed: its stream is off, everything of it is closed, and a listing begun `settle` after
/// the last closing shows no other shard.
#[must_use]
pub fn epoch_ended(manifest: &Manifest, epoch: u32, listing: &Listing, replaced: bool, settle: i64) -> bool {
    let logged = by_id(manifest, epoch);
    let off = replaced || matches!(listing.status, StreamStatus::Disabling | StreamStatus::Disabled);
    let last: Option<Second> = logged.values().filter_map(|shard| shard.closed_at).max();
    off && logged.values().all(|shard| shard.closed_at.is_some())
        && !manifest.awaited.keys().any(|key| key.epoch == epoch)
        && last.is_none_or(|last| listing.begun >= last.plus(settle))
        && listing.shards.iter().all(|shard| logged.contains_key(&shard.id))
}

fn by_id(manifest: &Manifest, epoch: u32) -> BTreeMap<&ShardId, &Shard> {
    manifest.shards.iter().filter(|(key, _)| key.epoch == epoch).map(|(key, shard)| (&key.id, shard)).collect()
}
