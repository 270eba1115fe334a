//! The graph of shards that a listing shows. Listings are unordered and may be a moment behind, so nothing
//! here concludes anything from a shard's absence: that is judged by the log's rules.

use std::collections::BTreeMap;

use super::{ListedShard, Listing};
use crate::change::{Sequence, ShardId};

/// An index over one listing.
#[derive(Debug)]
pub struct Lineage<'a> {
    shards: BTreeMap<&'a ShardId, &'a ListedShard>,
    children: BTreeMap<&'a ShardId, Vec<&'a ListedShard>>,
}

impl<'a> Lineage<'a> {
    /// Indexes `listing`.
    #[must_use]
    pub fn of(listing: &'a Listing) -> Self {
        let mut children: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for shard in &listing.shards {
            if let Some(parent) = &shard.parent {
                children.entry(parent).or_default().push(shard);
            }
        }
        Self { shards: listing.shards.iter().map(|shard| (&shard.id, shard)).collect(), children }
    }

    /// The listed shard of this id.
    #[must_use]
    pub fn get(&self, id: &ShardId) -> Option<&'a ListedShard> {
        self.shards.get(id).copied()
    }

    /// The listed shards that name `id` as their parent; `id` itself need not be listed.
    #[must_use]
    pub fn children(&self, id: &ShardId) -> &[&'a ListedShard] {
        self.children.get(id).map_or(&[], Vec::as_slice)
    }

    /// The listed shards that ended before `start`: possible ancestors of a shard that begins there.
    pub fn ended_before(&self, start: Sequence) -> impl Iterator<Item = &'a ListedShard> + '_ {
        self.shards.values().copied().filter(move |shard| shard.end.is_some_and(|end| end < start))
    }
}

impl Listing {
    /// What either of two listings shows; an end that one of them shows counts. Begun when the later one was, in its state.
    #[must_use]
    pub fn union(self, later: Self) -> Self {
        let mut shards: BTreeMap<ShardId, ListedShard> =
            self.shards.into_iter().map(|shard| (shard.id.clone(), shard)).collect();
        for shard in later.shards {
            let known = shards.entry(shard.id.clone()).or_insert_with(|| shard.clone());
            known.end = known.end.or(shard.end);
            known.parent = known.parent.take().or(shard.parent);
        }
        Self { begun: later.begun, status: later.status, shards: shards.into_values().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Second;
    use crate::shard::StreamStatus;

    fn shard(id: &str, parent: Option<&str>, start: &str, end: Option<&str>) -> ListedShard {
        ListedShard {
            id: ShardId::new(id),
            parent: parent.map(ShardId::new),
            start: Sequence::parse(start).unwrap(),
            end: end.map(|end| Sequence::parse(end).unwrap()),
        }
    }

    fn listing(begun: i64, shards: Vec<ListedShard>) -> Listing {
        Listing { begun: Second(begun), status: StreamStatus::Enabled, shards }
    }

    #[test]
    fn children_are_found_also_of_an_unlisted_parent() {
        let listing = listing(
            1,
            vec![
                shard("c", Some("gone"), "30", None),
                shard("b", Some("a"), "20", None),
                shard("a", None, "1", Some("19")),
            ],
        );
        let lineage = Lineage::of(&listing);
        assert_eq!(lineage.children(&ShardId::new("a"))[0].id, ShardId::new("b"));
        assert_eq!(lineage.children(&ShardId::new("gone"))[0].id, ShardId::new("c"));
        assert!(lineage.children(&ShardId::new("b")).is_empty());
        assert!(lineage.get(&ShardId::new("gone")).is_none());
    }

    #[test]
    fn only_ended_shards_end_before_a_start_and_digits_compare_as_numbers() {
        let listing = listing(
            1,
            vec![shard("a", None, "1", Some("9")), shard("b", None, "1", None), shard("c", None, "1", Some("10"))],
        );
        let lineage = Lineage::of(&listing);
        let ended: Vec<_> =
            lineage.ended_before(Sequence::parse("10").unwrap()).map(|shard| shard.id.clone()).collect();
        assert_eq!(ended, [ShardId::new("a")]);
    }

    #[test]
    fn a_union_keeps_every_shard_and_every_end() {
        let first = listing(1, vec![shard("a", None, "1", Some("9")), shard("b", None, "1", None)]);
        let later = listing(11, vec![shard("b", None, "1", Some("5")), shard("c", Some("a"), "10", None)]);
        let both = first.union(later);
        assert_eq!(both.begun, Second(11));
        let ends: Vec<_> = both.shards.iter().map(|shard| (shard.id.as_str(), shard.end.is_some())).collect();
        assert_eq!(ends, [("a", true), ("b", true), ("c", false)]);
    }
}
