//! `base`: its intent, its files, its commit, and what it abandons; a capture runs beside it as it always does.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tailrace::base::scan::{Page, Part, TableScan};
use tailrace::base::{self, BaseError, BaseInput, BaseOptions, BaseSource, BaseSummary};
use tailrace::capture::Capture;
use tailrace::change::{Second, Text};
use tailrace::platform::aws::ServiceError;
use tailrace::segment::Facts;
use tokio_util::sync::CancellationToken;

use super::capture::Scene;
use super::*;
use crate::capture::{facts, quick};

/// The table as the stream's records made it.
#[derive(Debug)]
struct Table(Arc<FakeStream>);

impl Table {
    fn items(&self) -> Vec<Text> {
        let mut items = BTreeMap::new();
        let mut all: Vec<u64> = self.0.records().values().flatten().map(|record| record.sequence).collect();
        all.sort_unstable();
        for n in all {
            items.insert(n % 7, format!(r#"{{"pk":{{"S":"k{}"}},"v":{{"N":"{n}"}}}}"#, n % 7));
        }
        items.into_values().map(Text::from).collect()
    }
}

#[async_trait]
impl TableScan for Table {
    async fn now(&self) -> Result<Second, ServiceError> {
        Ok(self.0.at())
    }
    async fn page(&self, part: Part, _: Option<&Text>) -> Result<Page, ServiceError> {
        let of_part = |(n, item): (u32, Text)| (n % part.of == part.number).then_some(item);
        let items = (0..).zip(self.items()).filter_map(of_part).collect();
        Ok(Page { items, next: None, at: self.0.at(), units: 1 })
    }
}

pub(super) async fn take(scene: &Scene, store: Store) -> Result<BaseSummary, BaseError> {
    let (log, mut manifest) = Log::open(Arc::clone(&store), &scene.table, Ids::random()).await?;
    let of_table = facts(400);
    let input = BaseInput {
        log: &log,
        manifest: &mut manifest,
        store,
        folder: scene.table.folder(),
        source: BaseSource::Scan(&Table(Arc::clone(&scene.stream))),
        facts: Facts {
            origin: "origin".into(),
            table_arn: of_table.arn,
            table_id: of_table.identity.table_id,
            keys: of_table.keys,
            writer: "tailrace/test".into(),
        },
        options: BaseOptions { slack: 0, poll: Duration::from_millis(100), ..BaseOptions::default() },
        ids: Ids::random(),
        tell: Arc::new(|_| {}),
        stop: CancellationToken::new(),
    };
    base::run(input).await
}

/// Runs `work` beside a capture that nothing disturbs.
pub(super) async fn beside<T>(scene: &Scene, work: impl Future<Output = T>) -> T {
    let stop = CancellationToken::new();
    let capture = Capture::new(scene.input(Arc::clone(&scene.place.store), quick())).run(stop.clone());
    let work = async {
        let done = work.await;
        stop.cancel();
        done
    };
    let (captured, done) = tokio::join!(capture, work);
    captured.unwrap();
    done
}

async fn one(case: Case) -> Option<String> {
    let text = format!("{case:?}");
    let scene = Scene::new(case.kind, 400).await;
    scene.once(Arc::clone(&scene.place.store)).await.unwrap();
    let faulty = scene.place.failing(case.k, case.fault);
    let first = beside(&scene, until_death(&faulty, take(&scene, Arc::clone(&faulty) as Store))).await;
    let met = faulty.mutations().get(usize::try_from(case.k).unwrap()).cloned();
    let taken = match &met {
        Some(path) if REFUSED.contains(&case.fault) && !path.contains("/fold/") => {
            // Before the scan a person is told at once; then hours of reading are at stake, and it is waited out.
            match first.expect("it lives") {
                Err(error) if case.k == 0 => {
                    assert!(matches!(error, BaseError::Log(_) | BaseError::Store(_)), "{text}: {error}");
                    0
                }
                Ok(_) if case.k > 0 => 1,
                other => panic!("{text}: {other:?}"),
            }
        }
        Some(_) if DEATHS.contains(&case.fault) => {
            assert!(first.is_none(), "{text}");
            // Its last entry may have landed all the same.
            scene.place.manifest(&scene.table).await.bases.len() - 1
        }
        _ => {
            first.expect("it lives").unwrap_or_else(|error| panic!("{text}: {error}"));
            1
        }
    };
    let again = beside(&scene, take(&scene, Arc::clone(&scene.place.store))).await;
    let again = again.unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(again.items, Table(Arc::clone(&scene.stream)).items().len() as u64, "{text}");
    scene.assert_sound(&text).await;
    let manifest = scene.place.manifest(&scene.table).await;
    // Nobody can tell a run that died from one that still reads: its intent stands for two days.
    let most = usize::from(DEATHS.contains(&case.fault)) - taken.min(usize::from(DEATHS.contains(&case.fault)));
    assert!(manifest.intents.len() <= most, "{text}: {:?}", manifest.intents);
    // The empty one with which the stream began, what the first run took, and the second run's.
    let late = case.fault == Fault::Hung(Effect::Late(LATE));
    let bases = manifest.bases.len();
    assert!(bases == 2 + taken || (late && bases == 3), "{text}: {bases} bases, {taken} of the first run");
    met
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_whose_any_mutation_fails_is_whole_or_not_there() {
    let scene = Scene::new(Kind::Memory, 400).await;
    scene.once(Arc::clone(&scene.place.store)).await.unwrap();
    let counting = scene.place.counting();
    beside(&scene, take(&scene, Arc::clone(&counting) as Store)).await.unwrap();
    scene.assert_sound("undisturbed").await;
    // The intent, a file, the commit; a fold where one is due.
    let mutations = counting.mutations().len();
    assert!(mutations >= 3, "{:?}", counting.mutations());
    let mut planned = cases(Kind::Memory, &every_way(), mutations);
    planned.extend(cases(Kind::Local, &[Fault::Unanswered, Fault::Hung(Effect::Now)], mutations));
    let met = all(planned, one).await;
    met.assert_all(&["log", "base"], &every_way());
}
