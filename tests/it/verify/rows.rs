//! Rows that contradict what their entry says of them, where every predicate of the log holds.

use tailrace::change::{Change, ChangeKind, ItemKey, Micros, Origin, Second, Stamped, Text};
use tailrace::manifest::{Interval, ShardClosed, ShardOpened};
use tailrace::segment::BaseRow;

use super::*;
use crate::support::world::{self, CREATED, sequence};

/// A row of the world's shard: what it is, when the service stamped it, and its second.
pub(super) fn row(number: u64, kind: ChangeKind, changed_at: Second, cut_at: Second) -> Stamped {
    let image = format!(r#"{{"id":{{"S":"r{number}"}}}}"#);
    let undecoded = kind == ChangeKind::Unknown;
    let change = Change {
        sequence: sequence(number),
        kind,
        changed_at: Micros(changed_at.0 * 1_000_000),
        key: (!undecoded).then(|| ItemKey::from_image(&world::keys(), &image).unwrap()),
        event_id: None,
        size_bytes: None,
        actor: None,
        new_image: Some(Text::from(image)),
        old_image: None,
        new_digest: None,
        old_digest: None,
    };
    let origin = Arc::new(Origin { epoch: 1, shard_rank: 1, shard: world::shard() });
    Stamped { origin, cut_at, change: change.with_digests().unwrap() }
}

pub(super) fn span(after: u64, through: u64, rows: u64, cut: Second) -> Span {
    Span {
        epoch: 1,
        shard: world::shard(),
        after: sequence(after),
        through: sequence(through),
        rows,
        cut,
        floor: None,
        late: Vec::new(),
        unknown: Vec::new(),
        gap: None,
    }
}

/// What is told of a world whose first rows are these, in one span that says this.
async fn told(rows: Vec<Stamped>, late: &[(i64, i64)], unknown: &[i64]) -> Option<String> {
    let mut world = World::begin(Arc::new(MemoryStore::new()), 31).await;
    let (last, cut, count) = (rows[rows.len() - 1].change.sequence, rows[rows.len() - 1].cut_at, rows.len() as u64);
    let last = last.as_delivered().parse().unwrap();
    let late = late.iter().map(|(from, to)| Interval { from: CREATED.plus(*from), to: CREATED.plus(*to) }).collect();
    let unknown = unknown.iter().map(|at| CREATED.plus(*at)).collect();
    world.now = CREATED.plus(5_000);
    world.commit_rows(rows, vec![Span { late, unknown, ..span(99, last, count, cut) }]).await;
    reason(&world).await
}

async fn reason(world: &World) -> Option<String> {
    let (_, findings) = verified(world, Arc::clone(&world.store), Level::Full).await;
    assert!(findings.iter().all(|finding| finding.state == State::Contradiction), "{findings:?}");
    assert!(findings.len() < 2, "{findings:?}");
    findings.into_iter().next().map(|finding| finding.reason)
}

fn says(told: Option<String>, what: &str) -> bool {
    told.is_some_and(|told| told.contains(what))
}

#[tokio::test]
async fn the_seconds_of_undecoded_rows_are_exactly_those_of_the_span() {
    let rows = || {
        let at = |seconds| CREATED.plus(seconds);
        vec![
            row(101, ChangeKind::Insert, at(10), at(10)),
            row(102, ChangeKind::Unknown, at(20), at(20)),
            row(103, ChangeKind::Unknown, at(20), at(20)),
            row(104, ChangeKind::Insert, at(30), at(30)),
        ]
    };
    assert_eq!(told(rows(), &[], &[20]).await, None);
    for wrong in [&[][..], &[30], &[20, 30]] {
        assert!(says(told(rows(), &[], wrong).await, "undecoded rows"), "{wrong:?}");
    }
}

#[tokio::test]
async fn the_times_of_late_rows_are_exactly_those_of_the_span() {
    let at = |seconds| CREATED.plus(seconds);
    // Lifted by 301 s and by 400 s, and one by no more than 300 s.
    let rows = || {
        vec![
            row(101, ChangeKind::Insert, at(699), at(1000)),
            row(102, ChangeKind::Insert, at(700), at(1000)),
            row(103, ChangeKind::Insert, at(2000), at(2400)),
        ]
    };
    assert_eq!(told(rows(), &[(694, 1000), (1995, 2400)], &[]).await, None);
    for wrong in [&[][..], &[(694, 1000)], &[(690, 1000), (1995, 2400)], &[(694, 2400)]] {
        assert!(says(told(rows(), wrong, &[]).await, "times late"), "{wrong:?}");
    }
    // Lifted only to the first second of the stream, before which nothing is known.
    let first = || vec![row(101, ChangeKind::Insert, at(-4000), CREATED)];
    assert_eq!(told(first(), &[], &[]).await, None);
    assert!(says(told(first(), &[(-4005, 0)], &[]).await, "times late"));
}

#[tokio::test]
async fn a_childs_rows_come_after_its_parents() {
    for (start, sound) in [(104, true), (102, false)] {
        let mut world = World::begin(Arc::new(MemoryStore::new()), 32).await;
        let at = CREATED.plus(10);
        let rows = vec![row(101, ChangeKind::Insert, at, at), row(103, ChangeKind::Insert, at, at)];
        world.commit_rows(rows, vec![span(99, 103, 2, at)]).await;
        let child = tailrace::change::ShardId::new("shardId-00000001795306600000-1a2b3c4d");
        let closed = ShardClosed { epoch: 1, shard: world::shard(), through: sequence(103) };
        let opened = ShardOpened {
            epoch: 1,
            shard: child.clone(),
            parent: Some(world::shard()),
            unlisted: false,
            barred: false,
            rank: 2,
            start: sequence(start),
            floor: at.plus(-1),
            cut: at,
        };
        world.commit(vec![Action::ShardClosed(closed), Action::ShardOpened(opened)]).await;
        let later = at.plus(5);
        let mut of_child = row(start, ChangeKind::Insert, later, later);
        of_child.origin = Arc::new(Origin { epoch: 1, shard_rank: 2, shard: child.clone() });
        let span = Span { shard: child, ..span(start - 1, start, 1, later) };
        world.commit_rows(vec![of_child], vec![span]).await;
        let told = reason(&world).await;
        assert_eq!(told.is_none(), sound, "{told:?}");
        assert!(sound || says(told, "after its parent's last"));
    }
}

#[tokio::test]
async fn a_base_parts_its_keys_by_bucket_and_into_one_file_each() {
    let begin = async || {
        let mut world = World::begin(Arc::new(MemoryStore::new()), 33).await;
        for key in ["a", "b", "c", "d", "e", "f"] {
            world.change(&[(key, Some("v"))]).await;
        }
        let mut rows = world.base_rows();
        rows.sort_by_key(|row| row.key_hash);
        (world, rows)
    };
    let of = |rows: &[BaseRow], bucket: u16| -> Vec<BaseRow> {
        rows.iter().filter(|row| row.key_hash.bucket(1) == bucket).cloned().collect()
    };
    let (mut sound, rows) = begin().await;
    assert!(of(&rows, 0).len() > 1 && !of(&rows, 1).is_empty(), "the keys of this test share a bucket");
    sound.base_of(1, vec![(0, of(&rows, 0)), (1, of(&rows, 1))]).await;
    sound.base_of(0, vec![(0, rows[..3].to_vec()), (0, rows[3..].to_vec())]).await;
    assert_eq!(reason(&sound).await, None);
    let (mut strays, rows) = begin().await;
    strays.base_of(1, vec![(0, rows)]).await;
    assert!(says(reason(&strays).await, "a key of bucket 1 stands in bucket 0"));
    let (mut twice, rows) = begin().await;
    twice.base_of(0, vec![(0, rows[..4].to_vec()), (0, rows[3..].to_vec())]).await;
    assert!(says(reason(&twice).await, "too"));
}

#[tokio::test]
async fn one_number_in_two_segments_breaks_a_span() {
    let mut world = World::begin(Arc::new(MemoryStore::new()), 34).await;
    let at = CREATED.plus(10);
    let twice = || vec![row(101, ChangeKind::Insert, at, at)];
    world.commit_rows(twice(), vec![span(99, 101, 1, at)]).await;
    // The next span begins behind it, and no row of its entry may lie before.
    world.commit_rows(twice(), vec![span(101, 102, 1, at)]).await;
    assert!(says(reason(&world).await, "its span says 1"));
}
