//! `capture`: segments, entries, the parts and roots of folds.

use tailrace::capture::{Capture, CaptureError, CaptureInput, CaptureOptions, CaptureSummary, Ended, Memory};
use tailrace::change::Second;
use tailrace::manifest::{Action, Definition, Proposed};
use tailrace::shard::StreamSource;
use tailrace::store::archive::{self, Modes};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::capture::{NOON, facts, quick};
use crate::support::s3_server::Wire;

/// Entries before the capture: the first fold is due soon.
const BEFORE: i64 = 14;

/// A table with a stream, and an archive of it that has begun to grow.
pub(super) struct Scene {
    pub(super) place: Place,
    pub(super) stream: Arc<FakeStream>,
    pub(super) table: TableIdentity,
    seed: u64,
}

impl Scene {
    pub(super) async fn new(kind: Kind, seed: u64) -> Self {
        let place = Place::new(kind).await;
        archive::init(&place.store, Modes::default(), &Ids::random(), NOON).await.unwrap();
        let table = facts(seed).identity;
        let (log, mut manifest) = Log::open(Arc::clone(&place.store), &table, Ids::random()).await.unwrap();
        for n in 0..BEFORE {
            let at = Second(NOON.0 - BEFORE + n);
            let action = Action::Definition(Definition { at, table: serde_json::json!({ "n": n }) });
            let proposed = log.propose(&mut manifest, at, vec![action]).await.unwrap();
            assert!(matches!(proposed, Proposed::Committed { .. }));
        }
        let stream = FakeStream::new(seed, NOON, 0);
        for _ in 0..5 {
            stream.write();
        }
        stream.split();
        for _ in 0..5 {
            stream.write();
        }
        Self { place, stream, table, seed }
    }

    /// The same table and stream, archived in another place.
    pub(super) fn beside(&self, place: Place) -> Self {
        Self { place, stream: Arc::clone(&self.stream), table: self.table.clone(), seed: self.seed }
    }

    pub(super) fn input(&self, store: Store, options: CaptureOptions) -> CaptureInput {
        let stream: Arc<dyn StreamSource> = Arc::<FakeStream>::clone(&self.stream);
        let seed = self.seed;
        CaptureInput {
            facts: facts(seed),
            describe: Arc::new(move || Box::pin(async move { Ok(facts(seed)) })),
            streams: Arc::new(move |_| Arc::clone(&stream)),
            store,
            origin: "origin".into(),
            ids: Ids::random(),
            options,
            let_go: CancellationToken::new(),
            memory: Memory::new(64 << 20),
            observer: Arc::new(|_| {}),
        }
    }

    /// `capture --once`.
    pub(super) async fn once(&self, store: Store) -> Result<CaptureSummary, CaptureError> {
        let options = CaptureOptions { once: true, ..quick() };
        Capture::new(self.input(store, options)).run(CancellationToken::new()).await
    }

    pub(super) async fn assert_sound(&self, case: &str) {
        clock::sleep(SETTLED).await;
        assert_exactly_once(&self.place, &self.table, &self.stream, case).await;
        self.place.assert_accounted_for(&self.table, case).await;
    }
}

async fn one(case: Case) -> Option<String> {
    let text = format!("{case:?}");
    let scene = Scene::new(case.kind, 400).await;
    let faulty = scene.place.failing(case.k, case.fault);
    let first = until_death(&faulty, scene.once(Arc::clone(&faulty) as Store)).await;
    let met = faulty.mutations().get(usize::try_from(case.k).unwrap()).cloned();
    match &met {
        // A fold is only a shortcut: what becomes of it stops nobody.
        Some(path) if REFUSED.contains(&case.fault) && !path.contains("/fold/") => {
            let error = first.expect("it lives").unwrap_err();
            assert!(matches!(error, CaptureError::Log(_) | CaptureError::Store(_)), "{text}: {error}");
        }
        Some(_) if DEATHS.contains(&case.fault) => assert!(first.is_none(), "{text}"),
        _ => assert_eq!(first.expect("it lives").unwrap().ended, Ended::CaughtUp, "{text}"),
    }
    scene.stream.write();
    let again = scene.once(Arc::clone(&scene.place.store)).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(again.ended, Ended::CaughtUp, "{text}");
    scene.assert_sound(&text).await;
    met
}

/// The mutations of a capture that nothing disturbs.
async fn undisturbed() -> usize {
    let scene = Scene::new(Kind::Memory, 400).await;
    let counting = scene.place.counting();
    scene.once(Arc::clone(&counting) as Store).await.unwrap();
    scene.assert_sound("undisturbed").await;
    let mutations = counting.mutations();
    for kind in ["log", "raw", "fold", "fold/day"] {
        assert!(mutations.iter().any(|path| kind_of(path) == kind), "no {kind}: {mutations:?}");
    }
    mutations.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_a_capture_whose_any_mutation_fails_loses_doubles_and_leaves_nothing() {
    let mutations = undisturbed().await;
    let mut planned = cases(Kind::Memory, &every_way(), mutations);
    planned.extend(cases(Kind::Versioned, &[Fault::Unanswered, Fault::Hung(Effect::Now)], mutations));
    planned.extend(cases(Kind::Local, &[Fault::Unanswered, Fault::Late(LATE), Fault::Hung(Effect::Now)], mutations));
    let met = all(planned, one).await;
    met.assert_all(&["log", "raw", "fold"], &every_way());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_over_http_whose_any_mutation_fails_loses_doubles_and_leaves_nothing() {
    let mutations = undisturbed().await;
    let ways = [Fault::Hung(Effect::Now)];
    let met = all(cases(Kind::S3, &ways, mutations), one).await;
    met.assert_all(&["log", "raw", "fold"], &ways);
    // The same on the wire, under the SDK's own retries: two ways for each.
    let wires = [Wire::Before(500), Wire::After(500), Wire::Before(409), Wire::Dropped];
    let planned = (0..mutations).flat_map(|k| [wires[k % 4], wires[(k + 1) % 4]].map(|wire| (wire, k as u64)));
    let runs: Vec<_> = planned.map(|(wire, k)| tasks::spawn(on_the_wire(wire, k))).collect();
    for run in runs {
        run.await.unwrap();
    }
}

async fn on_the_wire(wire: Wire, k: u64) {
    let text = format!("{wire:?} {k}");
    let scene = Scene::new(Kind::S3, 400).await;
    scene.place.server.as_ref().unwrap().fail_mutations([(k, wire)]);
    assert_eq!(scene.once(Arc::clone(&scene.place.store)).await.unwrap().ended, Ended::CaughtUp, "{text}");
    scene.assert_sound(&text).await;
}
