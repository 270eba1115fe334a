//! A snapshot of a live table: the real SDK, the real capture beside it, and less memory than the table needs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, StreamSpecification, StreamViewType, WriteRequest};
use futures::{StreamExt as _, stream};
use tailrace::base::scan::{DynamoTable, Page, Part, TableScan};
use tailrace::base::{self, BaseInput, BaseOptions, BaseSource, BaseSummary};
use tailrace::capture::{Capture, CaptureInput, CaptureOptions, Memory};
use tailrace::change::{ItemKey, Second, Text, digest};
use tailrace::manifest::{BaseKind, Log, Segments};
use tailrace::platform::aws::ServiceError;
use tailrace::platform::ids::Ids;
use tailrace::platform::tasks;
use tailrace::segment::Facts;
use tailrace::shard::StreamSource;
use tailrace::shard::dynamodb::DynamoStream;
use tailrace::shard::table::{self, TableFacts};
use tailrace::store::ObjectStore;
use tailrace::store::local::LocalStore;
use tokio_util::sync::CancellationToken;

use crate::support::dynamo::Dynamo;

const ITEMS: u32 = 20_500;
/// Bytes of rows in memory: the table has about 40 times as much.
const HELD: u64 = 256 << 10;

/// Writes items of all lengths; every 500th is large.
async fn fill(dynamo: &Dynamo) {
    let item = |n: u32| {
        let pad = (n % 90) as usize + if n.is_multiple_of(500) { 60_000 } else { 0 };
        let put = PutRequest::builder()
            .item("pk", AttributeValue::S(format!("k\u{e9}{}", n % 3001)))
            .item("sk", AttributeValue::N(n.to_string()))
            .item("n", AttributeValue::N(format!("{n}.{:03}1", n % 1000)))
            .item("tags", AttributeValue::Ss(vec!["b".into(), format!("t{n}")]))
            .item("pad", AttributeValue::S("x".repeat(pad)));
        WriteRequest::builder().put_request(put.build().unwrap()).build()
    };
    let keys: Vec<u32> = (0..ITEMS).collect();
    let batches = keys.chunks(25).map(|keys| keys.iter().copied().map(item).collect::<Vec<_>>());
    let put = |batch: Vec<WriteRequest>| dynamo.client.batch_write_item().request_items("orders", batch).send();
    stream::iter(batches.map(put)).buffer_unordered(4).for_each(async |put| drop(put.unwrap())).await;
}

fn capture(dynamo: &Dynamo, facts: &TableFacts, store: &Arc<dyn ObjectStore>) -> Capture {
    let (config, described) = (dynamo.config.clone(), facts.clone());
    let (settle, flush_age) = (Duration::from_secs(1), Duration::from_millis(300));
    Capture::new(CaptureInput {
        facts: facts.clone(),
        describe: Arc::new(move || {
            let described = described.clone();
            Box::pin(async move { Ok(described) })
        }),
        streams: Arc::new(move |arn| Arc::new(DynamoStream::new(&config, arn)) as Arc<dyn StreamSource>),
        store: Arc::clone(store),
        origin: "origin".into(),
        ids: Ids::random(),
        options: CaptureOptions { settle, flush_age, ends_mean_nothing: true, ..CaptureOptions::default() },
        let_go: CancellationToken::new(),
        memory: Memory::new(64 << 20),
        observer: Arc::new(|_| {}),
    })
}

async fn take(table: &dyn TableScan, facts: &TableFacts, store: &Arc<dyn ObjectStore>, scratch: &Path) -> BaseSummary {
    let (log, mut manifest) = Log::open(Arc::clone(store), &facts.identity, Ids::random()).await.unwrap();
    let options = BaseOptions {
        slack: 2,
        table_bytes: 1 << 30,
        poll: Duration::from_millis(100),
        held: HELD,
        scratch: scratch.to_path_buf(),
        ..BaseOptions::default()
    };
    let input = BaseInput {
        log: &log,
        manifest: &mut manifest,
        store: Arc::clone(store),
        folder: facts.identity.folder(),
        source: BaseSource::Scan(table),
        facts: Facts::new("origin", &facts.arn, &facts.identity.table_id, &facts.keys),
        options,
        ids: Ids::random(),
        tell: Arc::new(|_| {}),
        stop: CancellationToken::new(),
    };
    base::run(input).await.unwrap()
}

/// Notes the items that a scan was sent: the service may spell an item differently each time.
#[derive(Debug)]
struct Noting(DynamoTable, Mutex<Vec<Text>>);

#[async_trait]
impl TableScan for Noting {
    async fn now(&self) -> Result<Second, ServiceError> {
        self.0.now().await
    }
    async fn page(&self, part: Part, after: Option<&Text>) -> Result<Page, ServiceError> {
        let page = self.0.page(part, after).await?;
        self.1.lock().unwrap().extend(page.items.iter().map(|image| Text::from(image.as_str())));
        Ok(page)
    }
}

fn by_key(facts: &TableFacts, items: &[Text]) -> BTreeMap<ItemKey, Text> {
    let key = |image: &Text| ItemKey::from_image(&facts.keys, image.as_str()).unwrap();
    items.iter().map(|image| (key(image), image.clone())).collect()
}

/// What every item must be, whatever its spelling.
async fn digests(table: &DynamoTable, facts: &TableFacts) -> BTreeMap<ItemKey, u128> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = table.page(Part { number: 0, of: 1 }, after.as_ref()).await.unwrap();
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    by_key(facts, &items).into_iter().map(|(key, image)| (key, digest::image(image.as_str()).unwrap())).collect()
}

/// The stream begins once the items are there, so that the snapshot alone has them.
async fn turn_on(dynamo: &Dynamo) {
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewAndOldImages)
        .build()
        .unwrap();
    dynamo.client.update_table().table_name("orders").stream_specification(stream).send().await.unwrap();
}

#[tokio::test]
async fn a_snapshot_in_little_memory_equals_the_table_byte_for_byte() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", None).await;
    fill(&dynamo).await;
    turn_on(&dynamo).await;
    let facts = table::describe(&dynamo.config, "orders").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::create(folder.path()).await.unwrap());
    let stop = CancellationToken::new();
    let capturing = tasks::spawn(capture(&dynamo, &facts, &store).run(stop.clone()));
    let table = DynamoTable::new(dynamo.client.clone(), "orders");
    let noting = Noting(table.clone(), Mutex::default());
    let taken = take(&noting, &facts, &store, scratch.path()).await;
    stop.cancel();
    capturing.await.unwrap().unwrap();

    let expected = by_key(&facts, &noting.1.into_inner().unwrap());
    let bytes: usize = expected.values().map(Text::len).sum();
    assert!(bytes as u64 > 20 * HELD, "only {bytes} bytes");
    assert_eq!((expected.len(), taken.items), (ITEMS as usize, u64::from(ITEMS)));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "temporary files are left");
    let (_, manifest) = Log::open(Arc::clone(&store), &facts.identity, Ids::random()).await.unwrap();
    let base = manifest.bases.iter().find(|base| base.base.kind == BaseKind::Scan).unwrap();
    assert_eq!((base.n, base.base.segments.len(), manifest.intents.len()), (taken.n, taken.files, 0));
    assert!(taken.files as u64 > bytes as u64 / HELD);
    let segments = Segments::new(Arc::clone(&store), facts.identity.folder());
    let (mut found, mut last) = (BTreeMap::new(), None);
    for meta in &base.base.segments {
        for row in segments.base(meta).await.unwrap() {
            assert_eq!(meta.bucket, Some(row.key_hash.bucket(2)));
            assert!(last < Some((row.key_hash, row.pk.clone(), row.sk.clone())), "rows and files are in order");
            last = Some((row.key_hash, row.pk.clone(), row.sk.clone()));
            let key = ItemKey::from_image(&facts.keys, row.image.as_str()).unwrap();
            assert!(found.insert(key, row.image).is_none());
        }
    }
    assert!(found == expected, "the snapshot is not what was scanned");
    let digest = |(key, image): (ItemKey, Text)| (key, digest::image(image.as_str()).unwrap());
    let found: BTreeMap<ItemKey, u128> = found.into_iter().map(digest).collect();
    assert!(found == digests(&table, &facts).await, "the snapshot is not the table");
}
