//! The graph of shards that listings show. Listings are unordered and may be a moment behind, so nothing
//! here concludes anything from a shard's absence: that is judged by the log's rules.

use std::collections::BTreeMap;

use super::{ListedShard, Listing};
use crate::change::ShardId;

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
    use crate::change::{Second, Sequence};
    use crate::shard::StreamStatus;

    fn shard(id: &str, parent: Option<&str>, end: Option<&str>) -> ListedShard {
        ListedShard {
            id: ShardId::new(id),
            parent: parent.map(ShardId::new),
            start: Sequence::parse("1").unwrap(),
            end: end.map(|end| Sequence::parse(end).unwrap()),
        }
    }

    fn listing(begun: i64, status: StreamStatus, shards: Vec<ListedShard>) -> Listing {
        Listing { begun: Second(begun), status, shards }
    }

    #[test]
    fn a_union_keeps_every_shard_and_every_end() {
        let first = vec![shard("a", None, Some("9")), shard("b", None, None), shard("d", None, Some("4"))];
        let later = vec![shard("b", None, Some("5")), shard("c", Some("a"), None), shard("d", None, None)];
        let both = listing(1, StreamStatus::Enabled, first).union(listing(11, StreamStatus::Disabling, later));
        assert_eq!((both.begun, both.status), (Second(11), StreamStatus::Disabling));
        let ends: Vec<_> = both.shards.iter().map(|shard| (shard.id.as_str(), shard.end.is_some())).collect();
        assert_eq!(ends, [("a", true), ("b", true), ("c", false), ("d", true)]);
        assert_eq!(both.shards[2].parent, Some(ShardId::new("a")));
    }
}
