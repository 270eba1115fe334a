//! Voids: what they hold is no damage, and what follows them is judged as before.

use bytes::Bytes;
use tailrace::change::{ChangeKind, Origin, Sequence, ShardId};
use tailrace::manifest::action::Void;
use tailrace::manifest::entry::sha256;
use tailrace::manifest::{
    Entry, EpochClosed, EpochStarted, FoldPointer, Log, LogError, Need, ShardClosed, ShardOpened, Writer,
};
use tailrace::verify::VerifyError;

use super::*;
use crate::support::world;

/// The first empty slot.
async fn next(world: &World) -> u64 {
    let mut n = 0;
    while world.store.occupied(&slot(world, n)).await.unwrap() {
        n += 1;
    }
    n
}

fn slot(world: &World, n: u64) -> String {
    world.log.path(&format!("log/{n:020}.entry"))
}

async fn put(world: &World, n: u64, bytes: Bytes) {
    world.store.put_new(&slot(world, n), bytes, Keep::Full).await.unwrap();
}

/// Fills the next slot with bytes that are no entry.
async fn garbage(world: &World) -> u64 {
    let n = next(world).await;
    put(world, n, Bytes::from_static(b"no entry\n")).await;
    n
}

/// An entry that nobody's predicates have seen.
async fn forged(world: &World, n: u64, actions: Vec<Action>) -> Entry {
    let prev_sha256 = Some(sha256(&bytes(world, &slot(world, n - 1)).await));
    let mut fold: Option<FoldPointer> = None;
    for n in 0..n {
        let entry = Entry::decode(n, &bytes(world, &slot(world, n)).await);
        fold = entry.ok().and_then(|entry| entry.fold).or(fold);
    }
    let writer = Writer { id: "by hand".to_owned(), build: "test".to_owned() };
    Entry {
        n,
        commit_id: format!("{n:032x}"),
        prev_sha256,
        prev_version_id: None,
        at: world.now,
        writer,
        fold,
        actions,
    }
}

/// Puts such an entry into the next slot.
async fn force(world: &World, actions: Vec<Action>) -> u64 {
    let n = next(world).await;
    put(world, n, forged(world, n, actions).await.encode().unwrap()).await;
    n
}

/// Voids a range, and lets the world go on behind it.
async fn void(world: &mut World, from: u64, to: u64) {
    force(world, vec![Action::Void(Void { from, to, reason: "by hand".to_owned() })]).await;
    world.log.refresh(&mut world.manifest).await.unwrap();
}

fn newer() -> Vec<Action> {
    let json = r#"{"action":"teleport","need":"read","where":"Mars"}"#.to_owned();
    vec![Action::Unknown { name: "teleport".to_owned(), need: Need::Read, json }]
}

/// An entry of a version that does not exist yet.
async fn of_version_two(world: &World) -> u64 {
    let n = next(world).await;
    let entry = forged(world, n, Vec::new()).await.encode().unwrap();
    let json = String::from_utf8(entry.to_vec()).unwrap();
    let json = json.lines().next().unwrap().replacen(r#""v":1"#, r#""v":2"#, 1);
    put(world, n, Bytes::from(format!("{json}\n{}\n", sha256(json.as_bytes())))).await;
    n
}

async fn sound(world: &World, level: Level) -> Counts {
    let (counts, findings) = verified(world, Arc::clone(&world.store), level).await;
    assert_eq!(findings, []);
    assert_eq!(counts.entries, next(world).await);
    counts
}

async fn refused(world: &World) -> u64 {
    match verify::table(&world.store, &world.table, Level::Full, |_| {}, |_, _| {}).await {
        Err(VerifyError::Log(LogError::FormatNewer { n, .. })) => n,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_kind_of_voided_entry_is_no_damage_and_what_follows_is_judged_as_before() {
    let mut world = world(11).await;
    for kind in 0..5 {
        let folds = sound(&world, Level::Full).await.folds;
        let n = match kind {
            0 => garbage(&world).await,
            1 => of_version_two(&world).await,
            2 => force(&world, newer()).await,
            // A predicate refuses it: a heartbeat that lifts nothing.
            3 => force(&world, vec![heartbeat(&world, world.now.plus(-100_000))]).await,
            // No predicate refuses it, and nobody asked for it.
            _ => force(&world, vec![heartbeat(&world, world.now.plus(5))]).await,
        };
        if kind < 4 {
            let (counts, _) = match kind {
                1 | 2 => {
                    assert_eq!(refused(&world).await, n);
                    (Counts::default(), Vec::<Finding>::new())
                }
                _ => verified(&world, Arc::clone(&world.store), Level::Full).await,
            };
            assert_eq!(counts.is_sound(), kind == 1 || kind == 2);
        }
        void(&mut world, n, n).await;
        sound(&world, Level::Log).await;
        // Folds behind the void are compared.
        for _ in 0..20 {
            world.idle().await;
        }
        world.change(&[("a1", Some("behind a void"))]).await;
        assert!(sound(&world, Level::Full).await.folds > folds, "kind {kind}");
    }
    // Rows against spans.
    world.change(&[("a1", Some("truth")), ("a2", Some("truth"))]).await;
    let n = next(&world).await - 1;
    let honest = Entry::decode(n, &bytes(&world, &slot(&world, n)).await).unwrap();
    let Action::Segments(mut said) = honest.actions[0].clone() else { panic!() };
    let through = said.spans[0].through.as_delivered().parse::<u64>().unwrap();
    said.spans[0].through = Sequence::parse(&format!("{:021}", through + 5)).unwrap();
    let lie = Entry { actions: vec![Action::Segments(said)], ..honest }.encode().unwrap();
    let findings = bent(&world, &slot(&world, n), Some(lie), Level::Full).await;
    assert_eq!(damage(&findings).iter().map(|f| f.state).collect::<Vec<_>>(), [State::Contradiction], "{findings:?}");
    // Orphans.
    let path = world.log.path("raw/dt=2026-11-22/01ARZ3NDEKTSV4RRFFQ69G5FAV.parquet");
    world.store.put_new(&path, Bytes::from_static(b"rest"), Keep::Short).await.unwrap();
    let (_, findings) = verified(&world, Arc::clone(&world.store), Level::Full).await;
    assert_eq!(findings.iter().map(|f| (f.state, &f.object)).collect::<Vec<_>>(), [(State::Orphan, &path)]);
    // An action that readers must know.
    let n = force(&world, newer()).await;
    assert_eq!(refused(&world).await, n);
}

fn heartbeat(world: &World, floor: tailrace::change::Second) -> Action {
    let through = world.manifest.shards.values().next().unwrap().through;
    Action::Heartbeat(tailrace::manifest::Heartbeat { epoch: 1, shard: world::shard(), through, floor, settle: 120 })
}

#[tokio::test]
async fn a_lie_about_rows_is_damage_until_it_is_voided() {
    let mut world = world(12).await;
    let n = next(&world).await;
    world.change(&[("a1", Some("truth"))]).await;
    let entry = Entry::decode(n, &bytes(&world, &slot(&world, n)).await).unwrap();
    let Action::Segments(said) = &entry.actions[0] else { panic!() };
    let segment = world.log.path(&said.segments[0].path);
    world.store.delete(&segment, None).await.unwrap();
    world.store.put_new(&segment, Bytes::from_static(b"other rows"), Keep::Short).await.unwrap();
    let (counts, _) = verified(&world, Arc::clone(&world.store), Level::Full).await;
    assert_eq!((counts.altered, counts.is_sound()), (1, false));
    void(&mut world, n, n).await;
    let (counts, findings) = verified(&world, Arc::clone(&world.store), Level::Full).await;
    assert!(counts.is_sound(), "{findings:?}");
    assert_eq!(findings.iter().map(|f| (f.state, &f.object)).collect::<Vec<_>>(), [(State::Orphan, &segment)]);
}

#[tokio::test]
async fn a_stream_that_began_behind_a_void_is_known() {
    let mut world = world(13).await;
    let n = garbage(&world).await;
    void(&mut world, n, n).await;
    let (shard, at) = (world::shard(), world.now);
    let through = world.manifest.shards.values().next().unwrap().through;
    world.commit(vec![Action::ShardClosed(ShardClosed { epoch: 1, shard, through })]).await;
    world.commit(vec![Action::EpochClosed(EpochClosed { epoch: 1 })]).await;
    let shard = ShardId::new("shardId-00000001795309900000-5e6f7a8b");
    let stream_arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2".to_owned();
    let view_type = "NEW_AND_OLD_IMAGES".to_owned();
    let started = EpochStarted { epoch: 2, stream_arn, view_type, keys: world::keys(), created: at, floor: at };
    let opened = ShardOpened {
        epoch: 2,
        shard: shard.clone(),
        parent: None,
        unlisted: false,
        barred: false,
        rank: 0,
        start: world::sequence(500),
        floor: at,
        cut: at,
    };
    world.commit(vec![Action::EpochStarted(started), Action::ShardOpened(opened)]).await;
    let cut = at.plus(10);
    let mut row = rows::row(500, ChangeKind::Insert, cut, cut);
    row.origin = Arc::new(Origin { epoch: 2, shard_rank: 0, shard: shard.clone() });
    let span = Span { epoch: 2, shard, ..rows::span(499, 500, 1, cut) };
    world.commit_rows(vec![row], vec![span]).await;
    sound(&world, Level::Full).await;
}

#[tokio::test]
async fn a_segment_of_a_later_format_is_refused_and_not_called_altered() {
    let mut world = world(14).await;
    let n = next(&world).await;
    world.change(&[("a1", Some("later"))]).await;
    let honest = Entry::decode(n, &bytes(&world, &slot(&world, n)).await).unwrap();
    let Action::Segments(mut said) = honest.actions[0].clone() else { panic!() };
    let path = world.log.path(&said.segments[0].path);
    let mut later = bytes(&world, &path).await;
    let fact = b"tailrace.format";
    let place = later.windows(fact.len()).position(|found| found == fact).unwrap() + fact.len();
    let digit = place + later[place..].iter().position(|byte| *byte == b'1').unwrap();
    later[digit] = b'2';
    said.segments[0].sha256 = sha256(&later);
    let entry = Entry { actions: vec![Action::Segments(said)], ..honest }.encode().unwrap();
    for (path, bytes) in [(path, Bytes::from(later)), (slot(&world, n), entry)] {
        world.store.delete(&path, None).await.unwrap();
        world.store.put_new(&path, bytes, Keep::Short).await.unwrap();
    }
    assert_eq!(refused(&world).await, n);
    world.log = Log::open(Arc::clone(&world.store), &world.table, Ids::seeded(1)).await.unwrap().0;
    world.manifest = tailrace::manifest::Manifest::default();
    void(&mut world, n, n).await;
    // What a void holds needs nothing; the segment is of nobody.
    let (counts, findings) = verified(&world, Arc::clone(&world.store), Level::Full).await;
    assert!(counts.is_sound() && findings.len() == 1, "{findings:?}");
}
