//! Verification: a sound archive passes; a byte flipped anywhere, an object lost, a lie in the log are found.

use std::sync::Arc;

use bytes::Bytes;
use tailrace::change::Second;
use tailrace::manifest::{Action, Span};
use tailrace::platform::ids::Ids;
use tailrace::store::counting::CountingStore;
use tailrace::store::memory::MemoryStore;
use tailrace::store::{Keep, ObjectStore};
use tailrace::verify::{self, Counts, Finding, Level, State};

use crate::support::bent::Bent;
use crate::support::long_log::LongLog;
use crate::support::world::World;

mod damage;

async fn world(seed: u64) -> World {
    let mut world = World::begin(Arc::new(MemoryStore::new()), seed).await;
    world.live().await;
    world
}

async fn verified(world: &World, store: Arc<dyn ObjectStore>, level: Level) -> (Counts, Vec<Finding>) {
    let mut findings = Vec::new();
    let counts = verify::table(&store, &world.table, level, |finding| findings.push(finding.clone()), |_, _| {}).await;
    (counts.unwrap(), findings)
}

async fn bent(world: &World, path: &str, now: Option<Bytes>, level: Level) -> Vec<Finding> {
    let path = path.to_owned();
    let store =
        Bent::over(&world.store, |_| false, move |read, bytes| if read == path { now.clone() } else { Some(bytes) });
    verified(world, store, level).await.1
}

async fn objects(world: &World) -> Vec<String> {
    let prefix = format!("{}/", world.table.folder());
    let listed = world.store.list(&prefix, None, None).await.unwrap();
    listed.into_iter().map(|object| object.path).collect()
}

async fn bytes(world: &World, path: &str) -> Vec<u8> {
    world.store.get(path, None).await.unwrap().bytes.to_vec()
}

fn damage(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.state != State::Orphan).collect()
}

#[tokio::test]
async fn a_sound_archive_is_found_whole() {
    let world = world(1).await;
    let (counts, findings) = verified(&world, Arc::clone(&world.store), Level::Full).await;
    assert_eq!(findings, []);
    assert!(counts.is_sound());
    assert_eq!(counts.entries, world.manifest.next);
    assert_eq!(counts.rows, world.manifest.rows + world.manifest.bases[1].base.segments[0].rows);
    assert!(counts.folds >= 2 && counts.segments >= 13, "{counts:?}");
    let (of_log, _) = verified(&world, Arc::clone(&world.store), Level::Log).await;
    assert_eq!((of_log.entries, of_log.folds, of_log.segments), (counts.entries, counts.folds, 0));
}

#[tokio::test]
async fn every_flipped_byte_is_found() {
    flips(200, 7).await;
}

/// Kinds of objects take turns, so that no kind is left out.
async fn flips(count: usize, seed: u64) {
    let world = world(seed).await;
    let all = objects(&world).await;
    let ids = Ids::seeded(seed);
    let kinds: Vec<Vec<&String>> = ["/log/", "/fold/", "/raw/", "/base/"]
        .iter()
        .map(|kind| all.iter().filter(|path| path.contains(kind)).collect())
        .collect();
    assert!(kinds.iter().all(|kind: &Vec<&String>| !kind.is_empty()), "{all:?}");
    for flip in 0..count {
        let kind = &kinds[flip % kinds.len()];
        let path = kind[usize::try_from(ids.below(kind.len() as u64)).unwrap()];
        let mut flipped = bytes(&world, path).await;
        let at = usize::try_from(ids.below(flipped.len() as u64)).unwrap();
        let bit = ids.below(8);
        flipped[at] ^= 1 << bit;
        let findings = bent(&world, path, Some(Bytes::from(flipped)), Level::Full).await;
        let named = findings.iter().any(|finding| finding.state == State::Altered && finding.object == *path);
        assert!(named, "seed {seed}: byte {at} bit {bit} of {path}: {findings:?}");
    }
}

#[tokio::test]
async fn every_lost_object_is_found() {
    let world = world(2).await;
    let mut untold = 0;
    for path in objects(&world).await {
        let findings = bent(&world, &path, None, Level::Full).await;
        let newest_entry = path.ends_with(&format!("{:020}.entry", world.manifest.next - 1));
        let unnamed_fold = path.contains("/fold/") && damage(&findings).is_empty();
        if newest_entry || unnamed_fold {
            // Without its last entry a log is that log as it was: only an anchor outside can tell. So is one
            // without the fold that no entry names yet, which has a root and a part at most.
            untold += 1;
            continue;
        }
        let named = damage(&findings).into_iter().find(|finding| finding.object == path);
        assert_eq!(named.map(|finding| finding.state), Some(State::Lost), "{path}: {findings:?}");
    }
    assert!(untold <= 3, "{untold} objects were not missed");
}

#[tokio::test]
async fn cut_and_exchanged_objects_are_found() {
    let world = world(3).await;
    let all = objects(&world).await;
    let segments: Vec<&String> = all.iter().filter(|path| path.contains("/raw/")).collect();
    let entries: Vec<&String> = all.iter().filter(|path| path.contains("/log/")).collect();
    for (path, other) in [(segments[0], segments[1]), (entries[3], entries[4]), (entries[5], segments[0])] {
        let whole = bytes(&world, path).await;
        for now in
            [whole[..whole.len() - 1].to_vec(), Vec::new(), [&whole[..], b"\n"].concat(), bytes(&world, other).await]
        {
            let findings = bent(&world, path, Some(Bytes::from(now)), Level::Full).await;
            assert!(damage(&findings).iter().any(|finding| finding.object == *path), "{path}: {findings:?}");
        }
    }
}

#[tokio::test]
async fn what_an_interrupted_write_leaves_is_told_and_is_no_damage() {
    let world = world(4).await;
    let path = world.log.path("raw/dt=2026-11-22/01ARZ3NDEKTSV4RRFFQ69G5FAV.parquet");
    world.store.put_new(&path, Bytes::from_static(b"rest"), Keep::Short).await.unwrap();
    let (counts, findings) = verified(&world, Arc::clone(&world.store), Level::Full).await;
    assert!(counts.is_sound());
    assert_eq!(counts.orphans, 1);
    assert_eq!((findings[0].state, &findings[0].object), (State::Orphan, &path));
    assert!(findings[0].written.is_some());
}

/// What a capture commits while a verification runs: the folds that it writes are in no listing from before.
#[tokio::test]
async fn folds_that_are_written_meanwhile_are_not_lost() {
    let mut world = World::begin(Arc::new(MemoryStore::new()), 11).await;
    while world.manifest.next < 60 {
        world.idle().await;
    }
    // Listings are asked about a path, not about its bytes.
    let unlisted = |path: &str, bytes: &Bytes| path.contains("/fold/") && bytes.is_empty();
    let store =
        Bent::over(&world.store, |_| false, move |path, bytes| Some(bytes).filter(|bytes| !unlisted(path, bytes)));
    let (counts, findings) = verified(&world, store, Level::Log).await;
    assert!(counts.is_sound(), "{findings:?}");
}

#[tokio::test]
async fn a_span_that_its_rows_contradict_is_found() {
    let mut world = world(5).await;
    let shard = crate::support::world::shard();
    let before = world.manifest.clone();
    world.change(&[("a1", Some("truth")), ("a2", Some("truth"))]).await;
    let n = before.next;
    let entry = world.log.path(&format!("log/{n:020}.entry"));
    let honest = tailrace::manifest::Entry::decode(n, &bytes(&world, &entry).await).unwrap();
    // The predicates see only the log: a span that reaches beyond its rows passes them.
    let Action::Segments(mut said) = honest.actions[0].clone() else { panic!() };
    let Span { through, .. } = &mut said.spans[0];
    let beyond = through.as_delivered().parse::<u64>().unwrap() + 5;
    *through = tailrace::change::Sequence::parse(&format!("{beyond:021}")).unwrap();
    let lie = tailrace::manifest::Entry { actions: vec![Action::Segments(said)], ..honest };
    let findings = bent(&world, &entry, Some(lie.encode().unwrap()), Level::Full).await;
    let found = damage(&findings);
    assert_eq!(found.len(), 1, "{findings:?}");
    assert_eq!(found[0].state, State::Contradiction);
    assert!(found[0].reason.contains(&format!("shard {shard} does not end where its span ends")), "{findings:?}");
}

#[tokio::test]
async fn a_pack_is_compared_with_its_entries() {
    let long = LongLog::build(Arc::new(MemoryStore::new()), None, 10_050, 100_000).await;
    let world = World::reopened(long.store, long.table).await;
    let counting = Arc::new(CountingStore::new(Arc::clone(&world.store)));
    let asked: Arc<dyn ObjectStore> = Arc::<CountingStore>::clone(&counting);
    let (counts, findings) = verified(&world, asked, Level::Log).await;
    assert_eq!((findings, counts.packs, counts.entries), (Vec::new(), 1, 10_050));
    // The pack stands for its entries; those behind it are read one by one.
    let asked = counting.take();
    assert!(asked.reads <= 80 && asked.lists <= 10, "{asked:?}");
    let path = world.log.path("pack/0000000000-0000009999.zst");
    let whole = bytes(&world, &path).await;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let findings = bent(&world, &path, Some(Bytes::from(flipped)), Level::Log).await;
    let told: Vec<_> = findings.iter().map(|finding| (finding.state, &finding.object)).collect();
    assert_eq!(told, [(State::Altered, &path)], "the entries themselves are sound");
}
