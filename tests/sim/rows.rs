//! Rows of the fault catalogue (`tests/faults.md`) that need hours, many shards, or a service that turns bad on command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tailrace::capture::Memory;
use tailrace::platform::aws::ServiceError;
use tailrace::platform::clock::sleep;
use tailrace::store::ObjectStore;
use tailrace::store::fault::{FaultyStore, Rates};

use crate::flood::Flood;
use crate::load::{Archived, DOWN, Heard, Running, Told, hours, in_memory};
use crate::model::sound;

async fn minutes(minutes: u64) {
    sleep(Duration::from_secs(minutes * 60)).await;
}

/// A capture of `flood` that is told to stop when `story` ends; what is archived then, and what it told.
async fn captured(flood: &Flood, store: Arc<dyn ObjectStore>, story: impl Future<Output = ()>) -> (Archived, Heard) {
    let told = Told::default();
    let running = Running::start(flood, Arc::clone(&store), Memory::new(8 << 20), &told);
    story.await;
    running.stop().await;
    sound(&store).await;
    let heard = told.lock().unwrap().clone();
    (Archived::of(&store).await, heard)
}

/// The second of each lane's last archived change.
fn last(flood: &Flood, archived: &Archived) -> BTreeMap<u64, i64> {
    archived.lanes.iter().map(|(lane, rows)| (*lane, flood.made(*lane, *rows.iter().max().unwrap()))).collect()
}

#[tokio::test(start_paused = true)]
async fn row_02_a_shard_whose_reads_get_no_answer_holds_up_no_other() {
    let (flood, store) = (Flood::new(3, 10), in_memory());
    let silent = async {
        minutes(10).await;
        flood.mood().silent_lane = Some(0);
        minutes(20).await;
    };
    let (archived, heard) = captured(&flood, Arc::clone(&store), silent).await;
    let last = last(&flood, &archived);
    let now = flood.now();
    assert!(now - last[&0] > 1100 && now - last[&1] < 120 && now - last[&2] < 120, "{last:?} at {now}");
    assert!(heard.waits.iter().any(|(why, _)| why.contains("no answer")));
    let through = heard.commits.last().unwrap().1;
    assert!(through.0 <= last[&0], "complete up to {through}, and a change behind {} is not archived", last[&0]);
    let mended = async {
        flood.mood().silent_lane = None;
        minutes(10).await;
    };
    let (mut archived, _) = captured(&flood, store, mended).await;
    assert_eq!(archived.whole(&flood).1, 0);
}

#[tokio::test(start_paused = true)]
async fn row_03_row_04_throttled_shards_share_what_there_is_and_are_back_at_full_speed_within_a_minute() {
    let (flood, store) = (Flood { page: 1, ..Flood::new(8, 10) }, in_memory());
    flood.mood().throttled = 900;
    let square_wave = async {
        minutes(30).await;
        flood.mood().throttled = 0;
        minutes(30).await;
        flood.mood().throttled = 970;
        minutes(10).await;
    };
    let (archived, heard) = captured(&flood, Arc::clone(&store), square_wave).await;
    let rows: Vec<usize> = archived.lanes.values().map(Vec::len).collect();
    let (least, most) = (rows.iter().min().unwrap(), rows.iter().max().unwrap());
    assert!(rows.len() == 8 && most - least < most / 5, "one shard gets far more than another: {rows:?}");
    assert!(heard.waits.iter().all(|(_, operator)| !operator), "nobody needs to mend a throttle");
    flood.mood().throttled = 0;
    let (mut archived, _) = captured(&flood, store, sleep(Duration::from_secs(60))).await;
    let (now, last) = (flood.now(), last(&flood, &archived));
    assert!(last.values().all(|last| now - last < 60), "a minute later it is not up to date: {last:?} at {now}");
    assert_eq!(archived.whole(&flood).1, 0);
}

#[tokio::test(start_paused = true)]
async fn row_24_row_26_forty_generations_of_shards_are_read_from_their_first_record() {
    let (flood, store) = (Flood { roll: 600, ..Flood::new(4, 7) }, in_memory());
    let (mut archived, _) = captured(&flood, Arc::clone(&store), hours(7)).await;
    let (rows, lost) = archived.whole(&flood);
    let depth = archived.manifest.shards.values().map(|shard| shard.rank).max().unwrap();
    assert!(depth >= 40, "the deepest shard has {depth} above it");
    assert!(lost == 0 && rows > 4 * 3400, "{rows} archived, {lost} lost");
    archived.replays(&store, &flood).await;
}

#[tokio::test(start_paused = true)]
async fn row_27_without_listings_what_is_open_is_archived_for_an_hour_and_nothing_is_claimed_after_it() {
    let (flood, store) = (Flood { roll: 3 * 3600, ..Flood::new(3, 10) }, in_memory());
    let throttled = async {
        minutes(30).await;
        flood.mood().no_listing = true;
        hours(4).await;
    };
    let (archived, heard) = captured(&flood, Arc::clone(&store), throttled).await;
    let (at, through) = *heard.commits.last().unwrap();
    let since = at - crate::service::NOON - 1800;
    assert!((3000..=3700).contains(&since), "the last commit is {since} s after the last listing");
    assert!(through.0 <= at && last(&flood, &archived).values().all(|last| *last <= at));
    let listed = async {
        flood.mood().no_listing = false;
        minutes(20).await;
    };
    let (mut archived, _) = captured(&flood, Arc::clone(&store), listed).await;
    assert_eq!(archived.whole(&flood).1, 0);
    archived.replays(&store, &flood).await;
}

#[tokio::test(start_paused = true)]
async fn row_41_a_token_that_is_expired_for_forty_minutes_loses_nothing() {
    let (flood, store) = (Flood { roll: 1800, ..Flood::new(3, 5) }, in_memory());
    let expired = async {
        minutes(10).await;
        flood.mood().all = Some(ServiceError::Denied("the token has expired".into()));
        minutes(40).await;
        flood.mood().all = None;
        minutes(10).await;
    };
    let (mut archived, heard) = captured(&flood, Arc::clone(&store), expired).await;
    let told = |(why, operator): &&(String, bool)| why.contains("the token has expired") && *operator;
    assert!(heard.waits.iter().find(told).is_some(), "a person has to hear of it");
    assert_eq!(archived.whole(&flood).1, 0);
    let behind = flood.now() - archived.manifest.closed_through.unwrap().0;
    assert!(behind < 300, "ten minutes later it is {behind} s behind");
    archived.replays(&store, &flood).await;
}

#[tokio::test(start_paused = true)]
async fn row_43_a_region_that_is_away_for_20_hours_loses_nothing() {
    let (flood, store) = (Flood::new(3, 20), in_memory());
    let faulty = Arc::new(FaultyStore::seeded(Arc::clone(&store), 5, Rates::NONE));
    let told = Told::default();
    let behind: Arc<dyn ObjectStore> = Arc::<FaultyStore>::clone(&faulty);
    let running = Running::start(&flood, behind, Memory::new(8 << 20), &told);
    hours(1).await;
    faulty.set_rates(DOWN);
    flood.mood().all = Some(ServiceError::Unavailable("the region is away".into()));
    hours(20).await;
    faulty.set_rates(Rates::NONE);
    flood.mood().all = None;
    hours(1).await;
    running.stop().await;
    sound(&store).await;
    let mut archived = Archived::of(&store).await;
    assert_eq!(archived.whole(&flood).1, 0);
    archived.replays(&store, &flood).await;
}
