//! What each level reads of a log that is long enough for packs.

use tailrace::manifest::entry::sha256;
use tailrace::manifest::{Entry, Heartbeat, Writer};
use tailrace::store::counting::CountingStore;

use super::*;
use crate::support::world::{CREATED, shard};

/// A world whose log has so many entries, made without asking its predicates.
async fn long(entries: u64) -> World {
    let mut world = World::begin(Arc::new(MemoryStore::new()), 6).await;
    let path = |n: u64| world.log.path(&format!("log/{n:020}.entry"));
    let mut before = bytes(&world, &path(0)).await;
    let through = world.manifest.shards.values().next().unwrap().through;
    for n in 1..entries {
        let floor = CREATED.plus(i64::try_from(n).unwrap());
        let beat = Heartbeat { epoch: 1, shard: shard(), through, floor, settle: 120 };
        let entry = Entry {
            n,
            commit_id: format!("{n:032x}"),
            prev_sha256: Some(sha256(&before)),
            prev_version_id: None,
            at: floor.plus(120),
            writer: Writer { id: "by hand".to_owned(), build: "test".to_owned() },
            fold: None,
            actions: vec![Action::Heartbeat(beat)],
        };
        let encoded = entry.encode().unwrap();
        before = encoded.to_vec();
        world.store.put_new(&path(n), encoded, Keep::Full).await.unwrap();
    }
    world.now = CREATED.plus(i64::try_from(entries).unwrap());
    world.log.refresh(&mut world.manifest).await.unwrap();
    world
}

#[tokio::test]
async fn packs_stand_for_their_entries_at_one_level_and_are_compared_at_the_other() {
    let mut world = long(10_000).await;
    for _ in 0..20 {
        world.idle().await;
    }
    assert_eq!(world.manifest.next, 10_020);
    assert_eq!(world.log.write_packs(world.manifest.next).await.unwrap(), 1);
    let pack = world.log.path("pack/0000000000-0000009999.zst");
    for level in [Level::Log, Level::Full] {
        let counting = Arc::new(CountingStore::new(Arc::clone(&world.store)));
        let (counts, findings) = verified(&world, Arc::clone(&counting) as Arc<dyn ObjectStore>, level).await;
        assert_eq!((findings, counts.packs, counts.entries), (Vec::new(), 1, 10_020));
        assert!(counts.folds >= 2, "{counts:?}");
        let asked = counting.take();
        let requests = asked.reads + asked.probes + asked.lists;
        println!("{level:?}: {requests} requests");
        // The pack, its end, the twenty entries behind it and as many looks ahead, the folds near the tail, listings.
        assert_eq!(requests < 60, level == Level::Log, "{asked:?}");
    }
    // A byte of an entry that a pack stands for.
    let entry = world.log.path(&format!("log/{:020}.entry", 4_321));
    let mut flipped = bytes(&world, &entry).await;
    flipped[50] ^= 4;
    let flipped = Some(Bytes::from(flipped));
    assert_eq!(bent(&world, &entry, flipped.clone(), Level::Log).await, []);
    let findings = bent(&world, &entry, flipped, Level::Full).await;
    assert!(findings.iter().any(|f| f.state == State::Altered && f.object == entry), "{findings:?}");
    // A byte of the pack.
    let whole = bytes(&world, &pack).await;
    let ids = Ids::seeded(6);
    for level in [Level::Log, Level::Full] {
        let mut flipped = whole.clone();
        let at = 16 + usize::try_from(ids.below(whole.len() as u64 - 16)).unwrap();
        flipped[at] ^= 1 << ids.below(8);
        let findings = bent(&world, &pack, Some(Bytes::from(flipped)), level).await;
        let told: Vec<_> = findings.iter().map(|f| (f.state, &f.object)).collect();
        assert_eq!(told, [(State::Altered, &pack)], "byte {at}, {level:?}");
    }
    // A pack that is gone is no damage; nothing tells of it until a later one stands.
    assert_eq!(bent(&world, &pack, None, Level::Log).await, []);
    let later = world.log.path("pack/0000010000-0000019999.zst");
    world.store.put_new(&later, Bytes::from_static(b"none"), Keep::Derived).await.unwrap();
    let findings = bent(&world, &pack, None, Level::Log).await;
    let told: Vec<_> = findings.iter().map(|f| (f.state, f.object.clone())).collect();
    let tail = world.log.path(&format!("log/{:020}.entry", 10_020));
    // A pack of entries that are not there says that the log was cut.
    assert_eq!(told, [(State::Missing, pack), (State::Lost, tail)]);
}
