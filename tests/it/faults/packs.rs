//! Packs: one put each, of what lies in the log anyway.

use super::*;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_whose_put_fails_is_written_by_the_next_run() {
    let world = World::long(40).await;
    let mut whole = None;
    for fault in every_way() {
        let faulty = Arc::new(FaultyStore::scripted(Arc::clone(&world.store), [(0, fault)], []));
        let (log, manifest) = Log::open(Arc::clone(&faulty) as Store, &world.table, Ids::random()).await.unwrap();
        let first = until_death(&faulty, log.write_packs(manifest.next)).await;
        let path = faulty.mutations().pop().expect("a pack is due");
        assert_eq!(kind_of(&path), "pack");
        assert_eq!(first.is_none(), DEATHS.contains(&fault), "{fault:?}");
        // A pack is best effort: a put that may have failed is left to the next run.
        assert!(first.is_none_or(|done| done.is_err() || !REFUSED.contains(&fault)), "{fault:?}");
        world.log.write_packs(world.manifest.next).await.unwrap();
        clock::sleep(SETTLED).await;
        let bytes = world.store.get(&path, None).await.unwrap().bytes;
        assert_eq!(whole.get_or_insert_with(|| bytes.clone()), &bytes, "{fault:?}");
        world.store.delete(&path, None).await.unwrap();
    }
    world.log.write_packs(world.manifest.next).await.unwrap();
    let counts = verify::table(&world.store, &world.table, Level::Log, |_| {}, |_, _| {}).await.unwrap();
    assert!(counts.is_sound() && counts.packs == 1, "{counts:?}");
}
