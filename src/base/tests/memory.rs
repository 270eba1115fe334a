//! A table that is much larger than what a run may hold in memory.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::change::digest;
use crate::store::local::LocalStore;

/// Bytes of an item.
const ITEM: usize = 20_000;
/// Items of a page: 200 kB.
const PAGE: u32 = 10;

/// Bytes of pages that somebody holds, now and at most.
#[derive(Debug, Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Counted(Vec<u8>, Arc<Gauge>);

impl Counted {
    fn page(bytes: Vec<u8>, gauge: &Arc<Gauge>) -> Bytes {
        let now = gauge.now.fetch_add(bytes.len(), Ordering::SeqCst) + bytes.len();
        gauge.most.fetch_max(now, Ordering::SeqCst);
        Bytes::from_owner(Self(bytes, Arc::clone(gauge)))
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.now.fetch_sub(self.0.len(), Ordering::SeqCst);
    }
}

/// Compresses to about half its size.
fn large(n: u32) -> String {
    let ids = Ids::seeded(u64::from(n));
    let mut image = format!(r#"{{"id":{{"N":"{n}"}},"pad":{{"S":""#);
    while image.len() < ITEM {
        image.push_str(&ids.commit_id());
    }
    image + r#""}}"#
}

#[derive(Debug)]
struct Large {
    items: u32,
    now: Arc<AtomicI64>,
    gauge: Arc<Gauge>,
}

#[async_trait]
impl TableScan for Large {
    async fn now(&self) -> Result<Second, ServiceError> {
        Ok(Second(self.now.load(Ordering::SeqCst)))
    }
    async fn page(&self, part: Part, after: Option<&Text>) -> Result<Page, ServiceError> {
        let begin: u32 = after.map_or(part.number, |after| after.as_str().parse().unwrap());
        let keys: Vec<u32> = (begin..self.items).step_by(part.of as usize).take(PAGE as usize).collect();
        let next = begin + PAGE * part.of;
        let images: Vec<String> = keys.into_iter().map(large).collect();
        let page = Counted::page(images.concat().into_bytes(), &self.gauge);
        let (mut items, mut from) = (Vec::new(), 0);
        for image in &images {
            let part = std::str::from_utf8(&page[from..from + image.len()]).unwrap();
            items.push(Text::slice_of(&page, part));
            from += image.len();
        }
        let next = (next < self.items).then(|| Text::from(next.to_string()));
        Ok(Page { items, next, at: self.now().await?, units: 1 })
    }
}

/// Takes a base of so many large items, holding at most `held` bytes; gives the most that was held of pages.
async fn take(items: u32, held: u64) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::create(folder.path().join("archive")).await.unwrap();
    let mut world = World::over(Arc::new(store)).await;
    let gauge = Arc::new(Gauge::default());
    let table = Large { items, now: Arc::clone(&world.now), gauge: Arc::clone(&gauge) };
    let options = BaseOptions { held, scratch: folder.path().to_path_buf(), ..options() };
    let base = world.take_of(Arc::new(table), Arc::clone(&world.store), options, &CancellationToken::new());
    while !base.is_finished() {
        world.now.fetch_add(60, Ordering::SeqCst);
        world.beat().await;
        clock::sleep(20 * TICK).await;
    }
    let base = base.await.unwrap().unwrap();
    assert_eq!(base.items, u64::from(items));
    assert!(base.files as u64 >= u64::from(items) * ITEM as u64 / held, "{} files", base.files);
    assert_eq!(gauge.now.load(Ordering::SeqCst), 0);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["archive"], "no temporary file is left");
    compare(&world, items).await;
    gauge.most.load(Ordering::SeqCst)
}

/// Every item once, in order, byte for byte; one segment in memory at a time.
async fn compare(world: &World, items: u32) {
    let found = world.found().await;
    let segments = Segments::new(Arc::clone(&world.store), identity().folder());
    let (mut count, mut sum, mut last) = (0, 0_u128, None);
    for meta in &found.bases[0].base.segments {
        for row in segments.base(meta).await.unwrap() {
            let n: u32 = row.pk.as_str().parse().unwrap();
            assert!(row.image.as_str() == large(n), "item {n}");
            assert!(last < Some(row.key_hash), "item {n} is out of order");
            last = Some(row.key_hash);
            (count, sum) = (count + 1, sum.wrapping_add(row.image_digest));
        }
    }
    let expected = (0..items).fold(0_u128, |sum, n| sum.wrapping_add(digest::image(&large(n)).unwrap()));
    assert_eq!((count, sum), (items, expected));
}

#[tokio::test]
async fn pages_are_held_only_up_to_the_bound() {
    // 70 runs and more, so that runs are merged into larger ones, too.
    let most = take(1500, 400_000).await;
    // One run, and 200 kB each for the pages of 4 parts, of the queue and of the sorter.
    assert!(most <= 400_000 + 10 * 220_000, "{most} bytes of 30,000,000 were held");
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "measures the whole process: the next test runs it in one of its own"]
async fn alone() {
    take(3000, 1 << 20).await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("peak {} KiB", peak.trim().trim_end_matches(" kB"));
}

/// 60 MB of items; a run that held them, and their files besides, would need twice as much at least.
#[cfg(target_os = "linux")]
#[test]
fn a_table_is_taken_in_less_memory_than_it_has() {
    let test = std::env::current_exe().unwrap();
    let arguments = ["--exact", "base::tests::memory::alone", "--ignored", "--nocapture"];
    let output = std::process::Command::new(test).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let peak = text.lines().find_map(|line| line.split("peak ").nth(1)).unwrap();
    let kib: u64 = peak.trim_end_matches(" KiB").parse().unwrap();
    assert!(kib < 64 << 10, "{kib} KiB");
}
