//! Verification: a sound archive passes; a byte flipped anywhere, an object lost, a lie in the log are found.

use std::sync::Arc;

use bytes::Bytes;
use tailrace::manifest::{Action, Span};
use tailrace::platform::ids::Ids;
use tailrace::store::memory::MemoryStore;
use tailrace::store::{Keep, ObjectStore};
use tailrace::verify::{self, Counts, Finding, Level, State};

use crate::support::bent::Bent;
use crate::support::world::World;

mod beside;
mod damage;
mod levels;
mod rows;
mod voids;

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

/// The archive with another object under `path`, or none.
fn with_one_bent(world: &World, path: &str, now: Option<Bytes>) -> Arc<dyn ObjectStore> {
    let path = path.to_owned();
    Bent::over(&world.store, |_| false, move |read, bytes| if read == path { now.clone() } else { Some(bytes) })
}

async fn bent(world: &World, path: &str, now: Option<Bytes>, level: Level) -> Vec<Finding> {
    verified(world, with_one_bent(world, path, now), level).await.1
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
    findings.iter().filter(|finding| finding.state.is_damage()).collect()
}

#[tokio::test]
async fn what_was_copied_out_of_a_bucket_with_versions_or_into_one_is_whole_and_goes_on() {
    for (from, to) in [(MemoryStore::versioned(), MemoryStore::new()), (MemoryStore::new(), MemoryStore::versioned())] {
        let mut world = World::begin(Arc::new(from), 19).await;
        world.live().await;
        let to: Arc<dyn ObjectStore> = Arc::new(to);
        let mut copy = World::copy_into(&world.store, to, 20).await;
        for _ in 0..20 {
            copy.idle().await;
        }
        let (counts, findings) = verified(&copy, Arc::clone(&copy.store), Level::Full).await;
        assert_eq!((findings, counts.folds >= 3), (Vec::new(), true), "{counts:?}");
    }
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
    let (mut untold, mut folds) = (0, 0);
    for path in objects(&world).await {
        let findings = bent(&world, &path, None, Level::Full).await;
        let newest_entry = path.ends_with(&format!("{:020}.entry", world.manifest.next - 1));
        if path.contains("/fold/") {
            // The log says the same without it.
            assert_eq!(damage(&findings), Vec::<&Finding>::new(), "{path}");
            folds += usize::from(findings.iter().any(|f| f.state == State::Missing && f.object == path));
            continue;
        }
        if newest_entry {
            // Without its last entry a log is that log as it was: only an anchor outside can tell.
            untold += 1;
            continue;
        }
        let named = damage(&findings).into_iter().find(|finding| finding.object == path);
        assert_eq!(named.map(|finding| finding.state), Some(State::Lost), "{path}: {findings:?}");
    }
    assert!(untold == 1 && folds >= 2, "{untold} entries were not missed, {folds} folds were");
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
