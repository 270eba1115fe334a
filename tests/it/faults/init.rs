//! `init`: its probes, and `archive.json`.

use tailrace::change::Second;
use tailrace::failure::Exit;
use tailrace::store::archive::{self, Archive, ArchiveError, Modes};

use super::*;

async fn init(store: Store) -> Result<Archive, ArchiveError> {
    archive::init(&store, Modes::default(), &Ids::random(), Second(1_795_305_600)).await
}

async fn one(case: Case) -> Option<String> {
    let text = format!("{case:?}");
    let place = Place::new(case.kind).await;
    let faulty = place.failing(case.k, case.fault);
    let first = until_death(&faulty, init(Arc::clone(&faulty) as Store)).await;
    let standing = archive::open(place.store.as_ref()).await.ok();
    if let Some(Ok(made)) = &first {
        assert_eq!(standing.as_ref(), Some(made), "{text}");
    }
    match (init(Arc::clone(&place.store)).await, &standing) {
        (Ok(made), None) => assert_eq!(archive::open(place.store.as_ref()).await.unwrap(), made, "{text}"),
        (Err(error), _) => {
            assert_eq!(error.failure().exit, Exit::DestinationNotEmpty, "{text}: {error}");
            archive::open(place.store.as_ref()).await.unwrap();
        }
        (Ok(_), Some(_)) => panic!("{text}: an archive was made over another"),
    }
    clock::sleep(SETTLED).await;
    assert_nothing_dangles(&place, case).await;
    faulty.mutations().get(usize::try_from(case.k).unwrap()).cloned()
}

/// Only `archive.json`, and what `verify` names. Nothing at all where everything landed before its removal.
async fn assert_nothing_dangles(place: &Place, case: Case) {
    let mut told = BTreeSet::new();
    let counts = verify::root(&place.store, |found| told.extend([found.object.clone()])).await.unwrap();
    assert!(counts.is_sound());
    let listed = place.store.list("", None, None).await.unwrap();
    let listed: BTreeSet<String> = listed.into_iter().map(|object| object.path).collect();
    let known: BTreeSet<String> = told.iter().cloned().chain(["archive.json".to_owned()]).collect();
    assert_eq!(listed, known, "{case:?}");
    let late = matches!(case.fault, Fault::Late(_) | Fault::Hung(Effect::Late(_)));
    assert!(late || told.is_empty(), "{case:?}: {told:?}");
    place.assert_no_temporaries(&format!("{case:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_that_fails_anywhere_leaves_nothing_untold_and_can_be_run_again() {
    let place = Place::new(Kind::Memory).await;
    let counting = place.counting();
    init(Arc::clone(&counting) as Store).await.unwrap();
    let mutations = counting.mutations().len();
    assert!(mutations >= 12, "two puts, eight that race, two removals, archive.json: {:?}", counting.mutations());
    let kinds = [Kind::Memory, Kind::Versioned, Kind::Local];
    let mut planned: Vec<Case> = kinds.iter().flat_map(|kind| cases(*kind, &every_way(), mutations)).collect();
    planned.extend(cases(Kind::S3, &[Fault::Unanswered, Fault::Hung(Effect::Now)], mutations));
    let met = all(planned, one).await;
    met.assert_all(&["probe", "archive.json"], &every_way());
}
