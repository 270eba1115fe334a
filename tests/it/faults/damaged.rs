//! A capture and a base begin on an archive in which one object is damaged: they refuse it where they read it and
//! change nothing; where it is derived, or not read, they go on, and nothing is lost or doubled.

use bytes::Bytes;
use tailrace::base::BaseError;
use tailrace::capture::{CaptureError, Ended};
use tailrace::manifest::LogError;
use tailrace::manifest::ReadError;
use tailrace::store::Keep;

use super::base::{beside, take};
use super::capture::Scene;
use super::*;
use crate::support::bent::Bent;
use crate::support::world::World;

/// An object that is to be damaged.
#[derive(Clone)]
struct Target {
    path: String,
    whole: Bytes,
    /// What lies there now, if anything.
    now: Option<Bytes>,
    /// Whether whoever commits must have read it.
    is_read: bool,
}

/// The newest object of each kind, flipped or gone, and an entry that a fold covers.
async fn targets(scene: &Scene) -> Vec<Target> {
    let manifest = scene.place.manifest(&scene.table).await;
    let fold = manifest.fold.clone().expect("a fold is named").n;
    let listed = scene.place.store.list("", None, None).await.unwrap();
    let newest = |kind: &str| listed.iter().rev().map(|object| &object.path).find(|path| kind_of(path) == kind);
    let entry = |n: u64| format!("{}/log/{n:020}.entry", scene.table.folder());
    let mut found = Vec::new();
    for (path, is_read, removed) in [
        (entry(manifest.next - 1), true, false),
        (entry(fold + 1), true, true),
        (entry(fold - 1), false, true),
        (newest("fold").unwrap().clone(), false, true),
        (newest("fold/day").unwrap().clone(), false, true),
        (newest("raw").unwrap().clone(), false, false),
        (newest("base").unwrap().clone(), false, false),
    ] {
        let whole = scene.place.store.get(&path, None).await.unwrap().bytes;
        let mut flipped = whole.to_vec();
        let at = usize::try_from(Ids::seeded(whole.len() as u64).below(whole.len() as u64)).unwrap();
        flipped[at] ^= 4;
        found.push(Target { path: path.clone(), whole: whole.clone(), now: Some(flipped.into()), is_read });
        if removed {
            found.push(Target { path, whole, now: None, is_read });
        }
    }
    found
}

/// What `scene` holds, in a place of its own, with `target` damaged.
async fn damaged(scene: &Scene, target: &Target) -> Scene {
    let place = Place::new(Kind::Memory).await;
    for object in scene.place.store.list("", None, None).await.unwrap() {
        let mut bytes = Some(scene.place.store.get(&object.path, None).await.unwrap().bytes);
        if object.path == target.path {
            bytes.clone_from(&target.now);
        }
        if let Some(bytes) = bytes {
            place.store.put_new(&object.path, bytes, Keep::Full).await.unwrap();
        }
    }
    scene.beside(place)
}

async fn mend(scene: &Scene, target: &Target) {
    scene.place.store.delete(&target.path, None).await.unwrap();
    scene.place.store.put_new(&target.path, target.whole.clone(), Keep::Full).await.unwrap();
}

const fn is_refusal(error: &LogError) -> bool {
    matches!(error, LogError::Blocked { .. } | LogError::Hole { .. })
}

async fn capture_meets(scene: Scene, target: Target) {
    let text = format!("{}, {}", target.path, if target.now.is_some() { "flipped" } else { "gone" });
    let before = scene.place.store.list("", None, None).await.unwrap();
    match scene.once(Arc::clone(&scene.place.store)).await {
        Ok(summary) => assert!(!target.is_read && summary.ended == Ended::CaughtUp, "{text}"),
        Err(CaptureError::Log(error)) => {
            assert!(target.is_read && is_refusal(&error), "{text}: {error}");
            assert_eq!(scene.place.store.list("", None, None).await.unwrap(), before, "{text}: it wrote");
        }
        Err(error) => panic!("{text}: {error}"),
    }
    mend(&scene, &target).await;
    assert_eq!(scene.once(Arc::clone(&scene.place.store)).await.unwrap().ended, Ended::CaughtUp, "{text}");
    scene.assert_sound(&text).await;
}

async fn base_meets(scene: Scene, target: Target) {
    let text = format!("{}, {}", target.path, if target.now.is_some() { "flipped" } else { "gone" });
    let store = || Arc::clone(&scene.place.store);
    if target.is_read {
        let refused = take(&scene, store()).await;
        assert!(matches!(&refused, Err(BaseError::Log(error)) if is_refusal(error)), "{text}: {refused:?}");
    } else {
        beside(&scene, take(&scene, store())).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    mend(&scene, &target).await;
    beside(&scene, take(&scene, store())).await.unwrap();
    scene.assert_sound(&text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_and_a_base_refuse_a_damaged_object_or_do_without_it() {
    let scene = Scene::new(Kind::Memory, 400).await;
    scene.once(Arc::clone(&scene.place.store)).await.unwrap();
    beside(&scene, take(&scene, Arc::clone(&scene.place.store))).await.unwrap();
    let mut runs = Vec::new();
    for target in targets(&scene).await {
        let (one, two) = (damaged(&scene, &target).await, damaged(&scene, &target).await);
        runs.push(tasks::spawn(capture_meets(one, target.clone())));
        runs.push(tasks::spawn(base_meets(two, target)));
    }
    scene.stream.write();
    for run in runs {
        run.await.unwrap();
    }
}

/// A base reads what is archived while it is taken, for rows that were placed late.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_refuses_a_damaged_segment_that_it_reads() {
    let scene = Scene::new(Kind::Memory, 400).await;
    scene.once(Arc::clone(&scene.place.store)).await.unwrap();
    let bent = Bent::over(
        &scene.place.store,
        |_| true,
        |path, bytes| {
            let mut bytes = bytes.to_vec();
            if let Some(last) = bytes.last_mut().filter(|_| path.contains("/raw/")) {
                *last ^= 1;
            }
            Some(bytes.into())
        },
    );
    let writing = async {
        clock::sleep(Duration::from_millis(300)).await;
        for _ in 0..40 {
            scene.stream.write();
            clock::sleep(Duration::from_millis(100)).await;
        }
    };
    let (refused, ()) = beside(&scene, async { tokio::join!(take(&scene, bent), writing) }).await;
    let Err(BaseError::Read(error)) = refused else { panic!("{refused:?}") };
    assert!(matches!(error, ReadError::Damaged { ref path, .. } if path.starts_with("raw/")), "{error}");
    scene.once(Arc::clone(&scene.place.store)).await.unwrap();
    scene.assert_sound("a damaged segment").await;
    let manifest = scene.place.manifest(&scene.table).await;
    assert_eq!((manifest.intents.len(), manifest.bases.len()), (0, 1), "only the empty base");
}

/// The entries say what the part said, and the next fold gives it another name.
#[tokio::test]
async fn a_damaged_part_stops_neither_a_writer_nor_the_next_fold() {
    let mut world = World::begin(Arc::new(MemoryStore::new()), 12).await;
    world.change(&[("a", Some("one")), ("b", Some("two"))]).await;
    while world.manifest.fold.is_none() {
        world.idle().await;
    }
    let listed = world.store.list("", None, None).await.unwrap();
    let part = listed.into_iter().map(|object| object.path).find(|path| path.contains("/fold/day=")).unwrap();
    let whole = world.store.get(&part, None).await.unwrap().bytes;
    world.store.delete(&part, None).await.unwrap();
    world.store.put_new(&part, whole.slice(1..), Keep::Derived).await.unwrap();
    for first_is_a_change in [true, false] {
        let mut again = World::copy(&world.store, 13).await;
        let (folded, rows) = (again.manifest.fold.clone().unwrap().n, again.manifest.rows);
        if first_is_a_change {
            again.change(&[("c", Some("three"))]).await;
        }
        while again.manifest.fold.as_ref().unwrap().n == folded {
            again.idle().await;
            assert!(again.manifest.next < folded + 40, "no fold is named any more");
        }
        assert_eq!(again.manifest.rows, rows + u64::from(first_is_a_change));
        let mut told = Vec::new();
        let counts =
            verify::table(&again.store, &again.table, Level::Full, |found| told.push(found.object.clone()), |_, _| {});
        counts.await.unwrap();
        assert_eq!(told, *std::slice::from_ref(&part), "nothing else is wrong");
    }
}
