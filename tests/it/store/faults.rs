//! Lost answers and late landings: a put is settled, never guessed.

use super::*;

async fn settled(fault: Fault) -> (Result<Landed, StoreError>, Arc<MemoryStore>) {
    let inner = Arc::new(MemoryStore::new());
    let store = FaultyStore::scripted(Arc::clone(&inner) as Store, [(0, fault)], []);
    (put_verified(&store, "a", &bytes("ours"), Keep::Full, &Ids::seeded(1)).await, inner)
}

#[tokio::test]
async fn row_12_every_lost_answer_is_settled_as_ours() {
    for fault in
        [Fault::Lost, Fault::Unanswered, Fault::Late(Duration::from_millis(10)), Fault::Slow(Duration::from_millis(50))]
    {
        let (landed, inner) = settled(fault).await;
        assert_eq!(landed.unwrap(), Landed::Ours { version_id: None }, "{fault:?}");
        assert_eq!(inner.get("a", None).await.unwrap().bytes, bytes("ours"));
    }
}

#[tokio::test]
async fn what_an_operator_must_mend_is_not_repeated() {
    for fault in [Fault::Refused, Fault::Denied] {
        let (landed, inner) = settled(fault).await;
        assert!(matches!(landed, Err(StoreError::Refused { .. } | StoreError::Denied { .. })), "{landed:?}");
        assert!(!inner.occupied("a").await.unwrap());
    }
}

#[tokio::test]
async fn a_put_that_lands_late_loses_to_what_came_between() {
    let inner: Store = Arc::new(MemoryStore::new());
    let store = FaultyStore::scripted(Arc::clone(&inner), [(0, Fault::Late(Duration::from_millis(300)))], []);
    let put = store.put_new("a", bytes("late"), Keep::Full).await;
    assert!(matches!(put, Err(StoreError::Unknown { .. })), "{put:?}");
    assert!(!store.occupied("a").await.unwrap(), "an empty slot does not mean that the put failed");
    store.put_new("a", bytes("between"), Keep::Full).await.unwrap();
    clock::sleep(Duration::from_millis(400)).await;
    assert_eq!(put_verified(&store, "a", &bytes("late"), Keep::Full, &Ids::seeded(1)).await.unwrap(), Landed::Foreign);
    assert_eq!(inner.get("a", None).await.unwrap().bytes, bytes("between"));
}

#[tokio::test]
async fn an_outage_ends_as_unknown_and_can_be_taken_up_again() {
    let inner: Store = Arc::new(MemoryStore::new());
    let outage = (0..6).map(|n| (n, Fault::Lost));
    let store = FaultyStore::scripted(Arc::clone(&inner), outage, []);
    let put = put_verified(&store, "a", &bytes("ours"), Keep::Full, &Ids::seeded(1)).await;
    assert!(matches!(put, Err(StoreError::Unknown { .. })), "{put:?}");
    let put = put_verified(&store, "a", &bytes("ours"), Keep::Full, &Ids::seeded(1)).await;
    assert_eq!(put.unwrap(), Landed::Ours { version_id: None });
}

#[tokio::test]
async fn a_failing_read_back_is_repeated() {
    let inner: Store = Arc::new(MemoryStore::new());
    let store = FaultyStore::scripted(Arc::clone(&inner), [(0, Fault::Unanswered)], [(0, Fault::Lost)]);
    let put = put_verified(&store, "a", &bytes("ours"), Keep::Full, &Ids::seeded(1)).await;
    assert_eq!(put.unwrap(), Landed::Ours { version_id: None });
    assert_eq!((store.mutations().len(), store.reads()), (3, 2));
}

#[tokio::test]
async fn row_20_a_stale_listing_misses_only_the_newest() {
    let store = FaultyStore::scripted(Arc::new(MemoryStore::new()), [], [(0, Fault::Stale)]);
    for path in ["a/1", "a/2"] {
        store.put_new(path, bytes("x"), Keep::Full).await.unwrap();
    }
    assert_eq!(store.list("a/", None, None).await.unwrap().len(), 1);
    assert_eq!(store.list("a/", None, None).await.unwrap().len(), 2);
}

const RATES: Rates =
    Rates { lost: 200, unanswered: 200, late: 200, late_within: Duration::from_millis(900), reads: 200, ..Rates::NONE };

/// How often `put_verified` puts before it gives up.
const ATTEMPTS: u64 = 6;

/// The faults of one writer's puts, drawn so that most fail: of each put, by its number.
fn drawn(ids: &Ids) -> Vec<Option<Fault>> {
    let fault = |_| match ids.below(5) {
        0 | 1 => None,
        2 => Some(Fault::Lost),
        3 => Some(Fault::Unanswered),
        _ => Some(Fault::Late(Duration::from_millis(ids.below(900)))),
    };
    (0..ATTEMPTS).map(fault).collect()
}

/// Two writers with different bytes for one name. A put that is answered settles its writer's case, whatever came
/// before it, and nothing else does: so it is known who must be told, and all that is told must be true.
async fn duel(seed: u64, reads_fail: bool) -> usize {
    let inner: Store = Arc::new(MemoryStore::new());
    let draw = Ids::seeded(seed);
    let scripts = [drawn(&draw), drawn(&draw)];
    let failing = |_: &u64| reads_fail && draw.below(5) == 0;
    let stores = scripts.clone().map(|script| {
        let mutations = (0..).zip(script).filter_map(|(n, fault)| Some((n, fault?)));
        let reads = (0..ATTEMPTS).filter(failing).map(|n| (n, Fault::Lost)).collect::<Vec<_>>();
        FaultyStore::scripted(Arc::clone(&inner), mutations, reads)
    });
    let bodies = [bytes("left"), bytes("right")];
    let ids = Ids::seeded(seed);
    let puts = stores.iter().zip(&bodies).map(|(store, body)| put_verified(store, "a", body, Keep::Full, &ids));
    let puts = join_all(puts).await;
    clock::sleep(Duration::from_secs(1)).await;
    let there = inner.get("a", None).await.map(|object| object.bytes);
    for ((put, body), script) in puts.iter().zip(&bodies).zip(&scripts) {
        let ours = there.as_ref().is_ok_and(|there| there == body);
        match put {
            Ok(Landed::Ours { .. }) => assert!(ours, "seed {seed}: told that it is ours, and it is not"),
            Ok(Landed::Foreign) => assert!(!ours, "seed {seed}: told that it is another's, and it is ours"),
            Err(error) => assert!(matches!(error, StoreError::Unknown { .. }), "seed {seed}: {error}"),
        }
        let answered = script.iter().any(Option::is_none);
        assert!(answered || put.is_err(), "seed {seed}: no put was answered, and it is told {put:?}");
        assert!(!answered || reads_fail || put.is_ok(), "seed {seed}: a put was answered, and it is told {put:?}");
    }
    puts.iter().filter(|put| put.is_ok()).count()
}

#[tokio::test]
async fn two_writers_under_random_faults_are_told_the_truth() {
    let duels = (0..400).map(|seed| duel(seed, seed % 2 == 1));
    let settled: usize = join_all(duels).await.into_iter().sum();
    // Both sides of every question were met.
    assert!(settled > 0 && settled < 800, "{settled} of 800 puts were settled");
}

#[tokio::test]
async fn a_seed_repeats_its_faults() {
    let run = async |seed| {
        let store = FaultyStore::seeded(Arc::new(MemoryStore::new()), seed, RATES);
        let mut told = Vec::new();
        for n in 0..200 {
            told.push(store.put_new(&format!("a/{n}"), bytes("x"), Keep::Full).await.is_ok());
            told.push(store.get("a/0", None).await.is_err());
        }
        told
    };
    assert_eq!(run(7).await, run(7).await);
    assert_ne!(run(7).await, run(8).await);
}
