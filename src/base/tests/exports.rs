//! Bases from exports, beside a capture that another process writes: a service and a bucket in memory.

use std::collections::BTreeMap;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest as _, Md5};

use super::*;
use crate::base::export::{ExportError, ExportState, Exporting, TableExport};
use crate::manifest::ExportOrder;

/// How long, in seconds, the service works on an export.
const TAKES: i64 = 1800;
/// How long it knows an order again.
const KNOWN: i64 = 8 * 3600;

/// What is wrong with the next export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// The service gives up.
    Fails,
    /// A file has an item less than the manifest says.
    Short,
    /// A file's bytes are not what the manifest says.
    Altered,
    /// Two files hold one key.
    Twice,
    /// The summary's hash does not hold.
    Summary,
    /// It is of another table of the name.
    OtherTable,
    /// A file of the manifest was removed.
    Removed,
}

/// A service that exports a table of `items` items in files of 40.
#[derive(Debug)]
struct Service {
    items: u32,
    now: Arc<AtomicI64>,
    bucket: Arc<dyn ObjectStore>,
    recovers: bool,
    wrong: Mutex<Wrong>,
    /// Whether it lets itself be asked.
    denies: Mutex<bool>,
    /// By token: the ARN, and when it was asked for.
    known: Mutex<BTreeMap<String, (String, Second)>>,
    orders: Mutex<BTreeMap<String, ExportOrder>>,
}

impl Service {
    fn of(world: &World, wrong: Wrong) -> Arc<Self> {
        Arc::new(Self {
            items: 100,
            now: Arc::clone(&world.now),
            bucket: Arc::new(MemoryStore::new()),
            recovers: true,
            wrong: Mutex::new(wrong),
            denies: Mutex::default(),
            known: Mutex::default(),
            orders: Mutex::default(),
        })
    }

    fn second(&self) -> Second {
        Second(self.now.load(Ordering::SeqCst))
    }

    /// Exports that were begun.
    fn begun(&self) -> usize {
        self.orders.lock().unwrap().len()
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) {
        let _ = self.bucket.put_new(key, bytes.into(), Keep::Full).await;
    }

    /// Writes the files, and then the manifest that names them.
    async fn write(&self, arn: &str, order: &ExportOrder, wrong: Wrong) -> String {
        let folder = format!("{}/AWSDynamoDB/{}", order.prefix, arn.rsplit('/').next().unwrap());
        let (mut lines, mut total) = (String::new(), 0);
        let numbers: Vec<u32> = (0..self.items).collect();
        // A file for every partition, also for one without items.
        for (n, file) in numbers.chunks(40).chain([&[][..]]).enumerate() {
            let mut file = file.to_vec();
            if wrong == Wrong::Twice && n == 1 {
                file.push(0);
            }
            let count = file.len() as u64 + u64::from(wrong == Wrong::Short && n == 1);
            let text: String = file.iter().map(|n| format!("{{\"Item\":{}}}\n", image(*n).as_str())).collect();
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            packed.write_all(text.as_bytes()).unwrap();
            let mut bytes = packed.finish().unwrap();
            let md5 = STANDARD.encode(Md5::digest(&bytes));
            if wrong == Wrong::Altered && n == 1 {
                bytes[4] ^= 1;
            }
            let key = format!("{folder}/data/{n}.json.gz");
            self.put(&key, bytes).await;
            let line = format!(r#"{{"itemCount":{count},"md5Checksum":"{md5}","etag":"e","dataFileS3Key":"{key}"}}"#);
            lines.push_str(&format!("{line}\n"));
            total += count;
        }
        let list = format!("{folder}/manifest-files.json");
        self.put(&format!("{folder}/manifest-files.md5"), STANDARD.encode(Md5::digest(&lines)).into_bytes()).await;
        if wrong != Wrong::Removed {
            self.put(&list, lines.into_bytes()).await;
        }
        let id = if wrong == Wrong::OtherTable { "made anew" } else { "id" };
        let summary = format!(
            r#"{{"version":"2020-06-30","exportArn":"{arn}","tableArn":"arn","tableId":"{id}","exportTime":"{}",
            "manifestFilesS3Key":"{list}","itemCount":{total},"outputFormat":"DYNAMODB_JSON"}}"#,
            order.time
        );
        let told = if wrong == Wrong::Summary { "other".to_owned() } else { summary.clone() };
        self.put(&format!("{folder}/manifest-summary.checksum"), STANDARD.encode(Md5::digest(told)).into_bytes()).await;
        let key = format!("{folder}/manifest-summary.json");
        self.put(&key, summary.into_bytes()).await;
        key
    }
}

#[async_trait]
impl TableExport for Service {
    async fn now(&self) -> Result<Second, ServiceError> {
        Ok(self.second())
    }
    async fn recoverable(&self) -> Result<bool, ServiceError> {
        Ok(self.recovers)
    }
    async fn order(&self, table_arn: &str, order: &ExportOrder) -> Result<String, ServiceError> {
        if *self.denies.lock().unwrap() {
            return Err(ServiceError::Denied("AccessDeniedException: the bucket is another's".to_owned()));
        }
        let (mut known, mut orders) = (self.known.lock().unwrap(), self.orders.lock().unwrap());
        if let Some((arn, since)) = known.get(&order.token)
            && since.plus(KNOWN) > self.second()
        {
            return Ok(arn.clone());
        }
        let arn = format!("{table_arn}/export/{:04}", orders.len());
        known.insert(order.token.clone(), (arn.clone(), self.second()));
        orders.insert(arn.clone(), order.clone());
        Ok(arn)
    }
    async fn state(&self, export_arn: &str) -> Result<ExportState, ServiceError> {
        let order = self.orders.lock().unwrap().get(export_arn).cloned();
        let order = order.ok_or(ServiceError::NotFound { at: self.second() })?;
        if self.second() < order.time.plus(TAKES) {
            let folder = format!("{}/AWSDynamoDB/{}", order.prefix, export_arn.rsplit('/').next().unwrap());
            self.put(&format!("{folder}/_started"), vec![]).await;
            return Ok(ExportState::Running);
        }
        let wrong = *self.wrong.lock().unwrap();
        if wrong == Wrong::Fails {
            return Ok(ExportState::Failed { reason: "S3NoSuchBucket".to_owned() });
        }
        Ok(ExportState::Done { manifest: self.write(export_arn, &order, wrong).await })
    }
}

impl World {
    /// Takes a base from an export in a process of its own.
    fn export(&self, service: &Arc<Service>, stop: &CancellationToken) -> Taking {
        let (service, store, stop) = (Arc::clone(service), Arc::clone(&self.store), stop.clone());
        tasks::spawn(async move {
            let (log, mut manifest) = Log::open(Arc::clone(&store), &identity(), Ids::random()).await.unwrap();
            let bucket = Arc::clone(&service.bucket);
            let buckets = Arc::new(move |_: &str| Ok(Arc::clone(&bucket)));
            let exporting = Exporting { table: &*service, bucket: "b".into(), prefix: "p".into(), buckets };
            run(BaseInput {
                log: &log,
                manifest: &mut manifest,
                store,
                folder: identity().folder(),
                source: BaseSource::Export(&exporting),
                facts: facts(),
                options: options(),
                ids: Ids::random(),
                tell: Arc::new(|_| {}),
                stop,
            })
            .await
        })
    }

    /// A run that is stopped once the service exports.
    async fn leave_behind(&mut self, service: &Arc<Service>) {
        let stop = CancellationToken::new();
        let base = self.export(service, &stop);
        while service.begun() == 0 {
            self.idle(self.second().plus(60)).await;
        }
        // Asked where it stands once, so that its folder is there.
        clock::sleep(5 * TICK).await;
        stop.cancel();
        assert!(matches!(base.await.unwrap(), Err(BaseError::Stopped)));
    }

    /// The stored items, in order of their numbers.
    async fn items(&self) -> Vec<u32> {
        let found = self.found().await;
        let segments = Segments::new(Arc::clone(&self.store), identity().folder());
        let mut items = Vec::new();
        for meta in &found.bases[0].base.segments {
            items.extend(segments.base(meta).await.unwrap().iter().map(|row| row.pk.as_str().parse::<u32>().unwrap()));
        }
        items.sort_unstable();
        items
    }
}

#[tokio::test]
async fn row_32_an_export_gives_a_base_whose_fence_lies_before_its_time() {
    let mut world = World::begin().await;
    let service = Service::of(&world, Wrong::Nothing);
    let base = world.export(&service, &CancellationToken::new());
    let summary = world.outcome(base).await.unwrap();
    let time = summary.read.0;
    assert_eq!((summary.items, summary.kind, summary.read.1), (100, BaseKind::Export, time));
    assert!(summary.fence <= time.plus(-300) && summary.complete_at >= time.plus(900));
    assert_eq!(world.items().await, (0..100).collect::<Vec<_>>());
    let found = world.found().await;
    assert_eq!((found.intents.len(), found.bases.len(), service.begun()), (0, 1, 1));
    plan(&found, Point::at(summary.complete_at), &Options::default()).unwrap();
}

#[tokio::test]
async fn another_run_goes_on_with_an_export_however_long_it_took() {
    for hours in [0, 1, 30, 300] {
        let mut world = World::begin().await;
        let service = Service::of(&world, Wrong::Nothing);
        world.leave_behind(&service).await;
        let found = world.found().await;
        let (intent, _) = found.intents.first_key_value().expect("the service goes on with it");
        for _ in 0..hours {
            world.now.fetch_add(3600, Ordering::SeqCst);
            world.beat().await;
        }
        let base = world.export(&service, &CancellationToken::new());
        let summary = world.outcome(base).await.unwrap();
        assert_eq!((summary.items, service.begun()), (100, 1), "after {hours} h");
        let found = world.found().await;
        assert_eq!((found.bases[0].base.intent, found.intents.len()), (Some(*intent), 0));
    }
}

#[tokio::test]
async fn what_another_run_began_and_a_gap_has_spoilt_since_is_not_gone_on_with() {
    let mut world = World::begin().await;
    let service = Service::of(&world, Wrong::Nothing);
    world.leave_behind(&service).await;
    let now = world.second();
    world.lose(now.plus(60)).await;
    let base = world.export(&service, &CancellationToken::new());
    assert_eq!((world.outcome(base).await.unwrap().items, service.begun()), (100, 2));
    let found = world.found().await;
    assert_eq!((found.intents.len(), found.bases.len()), (0, 1));
}

#[tokio::test]
async fn two_runs_take_one_export_together() {
    let mut world = World::begin().await;
    let service = Service::of(&world, Wrong::Nothing);
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let (first, second) = (world.export(&service, &first), world.export(&service, &second));
    let (first, second) = (world.outcome(first).await.unwrap(), world.outcome(second).await.unwrap());
    assert_eq!((first.n, service.begun()), (second.n, 1));
    assert_eq!(world.found().await.bases.len(), 1);
}

#[tokio::test]
async fn an_export_that_is_not_what_its_manifest_says_is_given_up_and_the_next_run_asks_for_another() {
    use Wrong::{Altered, Fails, OtherTable, Removed, Short, Summary, Twice};
    for wrong in [Fails, Short, Altered, Twice, Summary, OtherTable, Removed] {
        let mut world = World::begin().await;
        let service = Service::of(&world, wrong);
        let base = world.export(&service, &CancellationToken::new());
        let error = world.outcome(base).await.unwrap_err();
        match wrong {
            Twice => assert!(matches!(error, BaseError::Segment(_)), "{error}"),
            _ => assert!(matches!(error, BaseError::Export(_)), "{wrong:?}: {error}"),
        }
        let found = world.found().await;
        assert_eq!((found.intents.len(), found.bases.len()), (0, 0), "{wrong:?}");
        *service.wrong.lock().unwrap() = Wrong::Nothing;
        let base = world.export(&service, &CancellationToken::new());
        assert_eq!(world.outcome(base).await.unwrap().items, 100);
        assert_eq!(service.begun(), 2);
    }
}

#[tokio::test]
async fn nothing_is_begun_where_the_service_keeps_no_backups() {
    let mut world = World::begin().await;
    let mut service = Arc::into_inner(Service::of(&world, Wrong::Nothing)).unwrap();
    service.recovers = false;
    let base = world.export(&Arc::new(service), &CancellationToken::new());
    assert!(matches!(world.outcome(base).await, Err(BaseError::Export(ExportError::NotRecoverable))));
    assert_eq!(world.found().await.intents.len(), 0);
}

#[tokio::test]
async fn an_export_that_may_not_be_asked_for_is_given_up_so_that_another_bucket_can_be_named() {
    let mut world = World::begin().await;
    let service = Service::of(&world, Wrong::Nothing);
    *service.denies.lock().unwrap() = true;
    let base = world.export(&service, &CancellationToken::new());
    assert!(matches!(world.outcome(base).await, Err(BaseError::Export(ExportError::Denied(_)))));
    assert_eq!(world.found().await.intents.len(), 0);
    *service.denies.lock().unwrap() = false;
    let base = world.export(&service, &CancellationToken::new());
    assert_eq!(world.outcome(base).await.unwrap().items, 100);
}

#[tokio::test]
async fn a_gap_while_the_service_works_ends_the_wait_at_once() {
    let mut world = World::begin().await;
    let service = Service::of(&world, Wrong::Nothing);
    let base = world.export(&service, &CancellationToken::new());
    while service.begun() == 0 {
        world.idle(world.second().plus(60)).await;
    }
    let now = world.second();
    world.lose(now.plus(60)).await;
    let spoilt = clock::within(Duration::from_secs(30), base).await.expect("nothing waits for the export").unwrap();
    assert!(matches!(spoilt, Err(BaseError::Spoilt(_))));
    assert_eq!(world.found().await.intents.len(), 0);
}

#[tokio::test]
async fn a_change_that_was_placed_late_before_another_run_goes_on_holds_the_base_back() {
    let mut world = World::begin().await;
    let service = Service::of(&world, Wrong::Nothing);
    world.leave_behind(&service).await;
    let cut = world.second().plus(TAKES + 3600);
    world.now.store(cut.0, Ordering::SeqCst);
    world.change(cut.plus(-31), cut).await;
    let base = world.export(&service, &CancellationToken::new());
    // closed_through is one second short of the late change, and far behind the export.
    clock::sleep(50 * TICK).await;
    assert!(!base.is_finished());
    assert!(world.outcome(base).await.unwrap().complete_at >= cut);
}
