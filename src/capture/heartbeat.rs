//! Heartbeats: how `closed_through` goes on while a shard is idle.
//!
//! That nothing more will come cannot be proven from empty pages; a row that shows up later is lifted.

use crate::change::{Second, Sequence};
use crate::manifest::{Heartbeat, Shard, ShardKey};
use crate::platform::bugs::{Bug, planted};
use crate::shard::{Listing, StreamStatus};

/// What is known of an idle shard.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// The service's time of the last page of a run of empty ones that is long enough (the tail judges that).
    pub at: Second,
    /// Where the reader stands.
    pub through: Sequence,
}

/// How far back a heartbeat stays, and whether a listed ending sequence means that the shard is closed.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Seconds for which a record may be on its way.
    pub settle: i64,
    /// The endpoint lists an ending sequence on open shards too.
    pub ends_mean_nothing: bool,
}

/// The heartbeat that an idle shard may commit now, if any.
#[must_use]
pub fn heartbeat(key: &ShardKey, shard: &Shard, idle: Idle, listing: &Listing, rule: Rule) -> Option<Heartbeat> {
    let floor = if planted(Bug::HeartbeatClaimsNow) { idle.at } else { idle.at.plus(-rule.settle) };
    let open =
        |listed: &crate::shard::ListedShard| listed.id == key.id && (rule.ends_mean_nothing || listed.end.is_none());
    let may = shard.closed_at.is_none()
        && !shard.barred
        && idle.through == shard.through
        && floor > shard.floor
        && (listing.begun > floor || planted(Bug::HeartbeatClaimsNow))
        && listing.status == StreamStatus::Enabled
        && listing.shards.iter().any(open);
    may.then(|| Heartbeat {
        epoch: key.epoch,
        shard: key.id.clone(),
        through: shard.through,
        floor,
        settle: u32::try_from(rule.settle).unwrap_or(u32::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::ShardId;
    use crate::shard::ListedShard;

    fn seq(n: u64) -> Sequence {
        Sequence::parse(&n.to_string()).unwrap()
    }

    fn world() -> (ShardKey, Shard, Idle, Listing, Rule) {
        let key = ShardKey { epoch: 1, id: ShardId::new("shardId-1") };
        let shard = Shard {
            parent: None,
            unlisted: false,
            barred: false,
            rank: 0,
            start: seq(1),
            through: seq(7),
            floor: Second(100),
            cut: Second(101),
            sure: Some(Second(0)),
            proven: Second(100),
            closed_at: None,
            released: false,
            gaps: 0,
        };
        let listed = ListedShard { id: key.id.clone(), parent: None, start: seq(1), end: None };
        let listing = Listing { begun: Second(900), status: StreamStatus::Enabled, shards: vec![listed] };
        let rule = Rule { settle: 120, ends_mean_nothing: false };
        (key, shard, Idle { at: Second(1_000), through: seq(7) }, listing, rule)
    }

    #[test]
    fn an_idle_open_shard_beats_settle_behind_the_service() {
        let (key, shard, idle, listing, rule) = world();
        let beat = heartbeat(&key, &shard, idle, &listing, rule).unwrap();
        assert_eq!((beat.floor, beat.through, beat.settle), (Second(880), seq(7), 120));
    }

    #[test]
    fn each_condition_is_needed() {
        type Spoil = fn(&mut Shard, &mut Idle, &mut Listing);
        let spoils: [Spoil; 7] = [
            |shard, _, _| shard.closed_at = Some(Second(5)),
            |_, idle, _| idle.through = seq(8),
            |shard, _, _| shard.floor = Second(880),
            |_, _, listing| listing.begun = Second(880),
            |_, _, listing| listing.status = StreamStatus::Disabling,
            |_, _, listing| listing.shards[0].end = Some(seq(9)),
            |_, _, listing| listing.shards.clear(),
        ];
        for (n, spoil) in spoils.iter().enumerate() {
            let (key, mut shard, mut idle, mut listing, rule) = world();
            spoil(&mut shard, &mut idle, &mut listing);
            assert!(heartbeat(&key, &shard, idle, &listing, rule).is_none(), "condition {n}");
        }
    }

    #[test]
    fn an_emulator_that_always_lists_an_end_is_exempt_by_name() {
        let (key, shard, idle, mut listing, rule) = world();
        listing.shards[0].end = Some(seq(9));
        let rule = Rule { ends_mean_nothing: true, ..rule };
        assert!(heartbeat(&key, &shard, idle, &listing, rule).is_some());
    }
}
