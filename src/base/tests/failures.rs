//! Failures of the service, the store and the disk while a base is taken.

use std::collections::VecDeque;

use super::*;
use crate::store::fault::{FaultyStore, Rates};

/// A table whose calls fail as a script says; the counts are of calls so far.
#[derive(Debug)]
struct Failing {
    table: Table,
    /// For each page in turn, its failure.
    pages: Mutex<VecDeque<Option<ServiceError>>>,
    /// For each question for the time, likewise.
    times: Mutex<VecDeque<Option<ServiceError>>>,
    /// All pages fail from here on.
    broken: Option<ServiceError>,
}

impl Failing {
    fn new(world: &World, pages: Vec<Option<ServiceError>>) -> Self {
        let table = Table { items: 100, now: Arc::clone(&world.now) };
        Self { table, pages: Mutex::new(pages.into()), times: Mutex::default(), broken: None }
    }
}

#[async_trait]
impl TableScan for Failing {
    async fn now(&self) -> Result<Second, ServiceError> {
        let failure = self.times.lock().unwrap().pop_front().flatten();
        failure.map_or(Ok(self.table.now().await?), Err)
    }
    async fn page(&self, part: Part, after: Option<&Text>) -> Result<Page, ServiceError> {
        let scripted = self.pages.lock().unwrap().pop_front();
        match scripted.unwrap_or_else(|| self.broken.clone()) {
            Some(error) => Err(error),
            None => self.table.page(part, after).await,
        }
    }
}

fn expired() -> ServiceError {
    ServiceError::Denied("ExpiredTokenException".to_owned())
}

fn unavailable() -> ServiceError {
    ServiceError::Unavailable("reset by peer".to_owned())
}

/// One part, so that pages come in the order of the script.
fn in_turn() -> BaseOptions {
    BaseOptions { parts: 1, ..options() }
}

async fn items(world: &World, base: &BaseSummary) -> usize {
    let found = world.found().await;
    let base = found.bases.iter().find(|found| found.n == base.n).unwrap();
    let segments = Segments::new(Arc::clone(&world.store), identity().folder());
    let mut items = 0;
    for meta in &base.base.segments {
        items += segments.base(meta).await.unwrap().len();
    }
    items
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_of_a_scan_is_waited_out() {
    let mut world = World::begin().await;
    let pages = vec![Some(unavailable()), None, Some(expired()), Some(expired()), None, Some(unavailable())];
    let mut table = Failing::new(&world, pages);
    table.times = Mutex::new(vec![Some(unavailable())].into());
    let base = world.take_of(Arc::new(table), Arc::clone(&world.store), in_turn(), &CancellationToken::new());
    let base = world.outcome(base).await.unwrap();
    assert_eq!((base.items, items(&world, &base).await), (100, 100));
}

#[tokio::test]
async fn a_permission_that_never_was_is_told_at_once() {
    let mut world = World::begin().await;
    let table = Failing::new(&world, vec![Some(expired())]);
    let base = world.take_of(Arc::new(table), Arc::clone(&world.store), in_turn(), &CancellationToken::new());
    assert!(matches!(world.outcome(base).await, Err(BaseError::Service(ServiceError::Denied(_)))));
    assert_eq!(world.found().await.intents.len(), 0);
}

#[tokio::test]
async fn a_table_that_is_gone_ends_the_scan() {
    let mut world = World::begin().await;
    let gone = ServiceError::NotFound { at: FLOOR };
    let table = Failing::new(&world, vec![None, Some(gone)]);
    let base = world.take_of(Arc::new(table), Arc::clone(&world.store), in_turn(), &CancellationToken::new());
    assert!(matches!(world.outcome(base).await, Err(BaseError::Service(ServiceError::NotFound { .. }))));
    assert_eq!(world.found().await.intents.len(), 0);
}

#[tokio::test]
async fn a_stop_ends_the_waiting_and_the_intent() {
    let mut world = World::begin().await;
    let mut table = Failing::new(&world, vec![None]);
    table.broken = Some(expired());
    let stop = CancellationToken::new();
    let base = world.take_of(Arc::new(table), Arc::clone(&world.store), in_turn(), &stop);
    world.idle(FLOOR.plus(4200)).await;
    assert_eq!((world.found().await.intents.len(), base.is_finished()), (1, false));
    stop.cancel();
    assert!(matches!(world.outcome(base).await, Err(BaseError::Stopped)));
    assert_eq!(world.found().await.intents.len(), 0);
}

#[tokio::test]
async fn a_store_that_fails_and_loses_answers_never_loses_or_doubles_a_base() {
    futures::future::join_all((0..6).map(faulty)).await;
}

/// The capture commits five times in a second, as fast as one ever does.
async fn faulty(seed: u64) {
    let mut world = World::begin().await;
    let rates = Rates { lost: 150, unanswered: 150, reads: 50, ..Rates::NONE };
    let store = FaultyStore::seeded(Arc::clone(&world.store), seed, rates);
    let table = Table { items: 100, now: Arc::clone(&world.now) };
    // Several files, so that many puts fail.
    let options = BaseOptions { held: 2000, ..options() };
    let base = world.take_of(Arc::new(table), Arc::new(store), options, &CancellationToken::new());
    while !base.is_finished() {
        world.now.fetch_add(300, Ordering::SeqCst);
        world.beat().await;
        clock::sleep(20 * TICK).await;
    }
    let base = base.await.unwrap().unwrap();
    let found = world.found().await;
    assert_eq!((found.intents.len(), found.bases.len()), (0, 1), "seed {seed}");
    assert_eq!((items(&world, &base).await, base.files > 4), (100, true), "seed {seed}");
}

#[tokio::test]
async fn a_folder_that_takes_no_temporary_files_is_named_and_the_base_given_up() {
    let mut world = World::begin().await;
    let table = Table { items: 100, now: Arc::clone(&world.now) };
    let options = BaseOptions { held: 1, scratch: "nowhere/at/all".into(), ..options() };
    let base = world.take_of(Arc::new(table), Arc::clone(&world.store), options, &CancellationToken::new());
    let error = world.outcome(base).await.unwrap_err();
    assert!(matches!(error, BaseError::Spill(_)) && error.to_string().contains("nowhere/at/all"), "{error}");
    assert_eq!(world.found().await.intents.len(), 0);
}
