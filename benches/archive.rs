//! An archive on disk, as large as is asked for: one table, captured into segments of 50,000 changes.

use std::sync::Arc;

use tailrace::manifest::Log;
use tailrace::platform::ids::Ids;
use tailrace::segment::{Tier, encode, name};
use tailrace::store::local::LocalStore;
use tailrace::store::{Keep, ObjectStore, archive};
use tokio::runtime::Runtime;

use crate::support::log::{added, commit, first, idle, table};
use crate::support::traffic::{BEGIN, Habit, Traffic, before_first, facts};

const ROWS: u64 = 50_000;
const DAY: u64 = 86_400;

/// What is asked for.
struct Asked {
    folder: String,
    changes: u64,
    keys: u64,
    days: u64,
    skewed: bool,
}

impl Asked {
    fn read(words: &[String]) -> Self {
        let mut asked = Self { folder: String::new(), changes: 10_000_000, keys: 500_000, days: 10, skewed: false };
        for word in words {
            let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("{text:?} is not a number"));
            match word.split_once('=') {
                Some(("changes", text)) => asked.changes = number(text),
                Some(("keys", text)) => asked.keys = number(text),
                Some(("days", text)) => asked.days = number(text),
                None if word == "skewed" => asked.skewed = true,
                None if asked.folder.is_empty() => asked.folder.clone_from(word),
                _ => panic!("{word:?} means nothing here: FOLDER [changes=N] [keys=N] [days=N] [skewed]"),
            }
        }
        assert!(!asked.folder.is_empty(), "say into which folder");
        asked
    }
}

pub(crate) fn make(words: &[String]) {
    let asked = Asked::read(words);
    Runtime::new().unwrap().block_on(write(&asked));
}

async fn write(asked: &Asked) {
    let local = LocalStore::new(std::path::Path::new(&asked.folder));
    LocalStore::create(std::path::Path::new(&asked.folder)).await.unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(local);
    archive::init(&store, archive::Modes::default(), &Ids::seeded(1), BEGIN).await.unwrap();
    let (log, mut manifest) = Log::open(Arc::clone(&store), &table(), Ids::seeded(2)).await.unwrap();
    commit(&log, &mut manifest, BEGIN, first()).await;
    let records_per_second = (asked.changes / (asked.days * DAY)).max(1);
    let habit = Habit { skewed: asked.skewed, records_per_second, words: 6, lines: 2 };
    let mut traffic = Traffic::with(usize::try_from(asked.keys).unwrap(), habit);
    let (ids, mut after, mut left) = (Ids::seeded(3), before_first(), asked.changes);
    while left > 0 {
        let rows = left.min(ROWS);
        let changes = traffic.changes(usize::try_from(rows).unwrap());
        let last = changes.last().unwrap();
        let (through, cut) = (last.change.sequence, last.cut_at);
        let mut metas = Vec::new();
        for encoded in encode::changes(changes, &facts()).unwrap() {
            let path = name::raw(&encoded.dt, &ids.ulid(u64::try_from(cut.0).unwrap() * 1000));
            store.put_new(&log.path(&path), encoded.bytes.clone(), Keep::Short).await.unwrap();
            metas.push(encoded.meta(path, None, Tier::Raw, None));
        }
        commit(&log, &mut manifest, traffic.now(), added(metas, after, through, rows, cut)).await;
        after = through;
        left -= rows;
    }
    let now = traffic.now().plus(600);
    commit(&log, &mut manifest, now, idle(after, now.plus(-120))).await;
    let rows: u64 = manifest.segments.values().map(|meta| meta.rows).sum();
    let bytes: u64 = manifest.segments.values().map(|meta| meta.bytes).sum();
    println!("{} segments, {rows} changes, {bytes} bytes; closed through {now}", manifest.segments.len());
}
