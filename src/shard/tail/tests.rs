//! A tail against a scripted source.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::change::{KeyAttribute, KeyType};
use crate::platform::aws::ServiceError;
use crate::shard::{Listing, RawPage};

/// Answers in the order given; notes what was asked.
#[derive(Debug, Default)]
struct Script {
    iterators: Mutex<VecDeque<Result<(), SourceError>>>,
    pages: Mutex<VecDeque<Result<String, SourceError>>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn of(pages: Vec<Result<String, SourceError>>) -> Arc<Self> {
        Arc::new(Self { pages: Mutex::new(pages.into()), ..Self::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl StreamSource for Script {
    async fn list(&self) -> Result<Listing, SourceError> {
        unreachable!("a tail reads one shard")
    }
    async fn knows(&self, _: &ShardId) -> Result<bool, SourceError> {
        unreachable!("a tail reads one shard")
    }
    async fn iterator(&self, _: &ShardId, from: ReadFrom) -> Result<ShardIterator, SourceError> {
        self.asked.lock().unwrap().push(format!("{from:?}"));
        self.iterators.lock().unwrap().pop_front().unwrap_or(Ok(()))?;
        Ok(ShardIterator("new".to_owned()))
    }
    async fn read(&self, iterator: &ShardIterator) -> Result<RawPage, SourceError> {
        self.asked.lock().unwrap().push(iterator.0.clone());
        let body = self.pages.lock().unwrap().pop_front().expect("a page for every read")?;
        Ok(RawPage { body: Bytes::from(body), at: Second(1_000) })
    }
}

fn body(sequences: &[u32], next: Option<&str>) -> Result<String, SourceError> {
    let records: Vec<_> = sequences
        .iter()
        .map(|sequence| {
            format!(
                "{{\"eventName\":\"REMOVE\",\"dynamodb\":{{\"ApproximateCreationDateTime\":1,\
                 \"Keys\":{{\"pk\":{{\"S\":\"a\"}}}},\"SequenceNumber\":\"{sequence}\"}}}}"
            )
        })
        .collect();
    let next = next.map(|next| format!(",\"NextShardIterator\":\"{next}\"")).unwrap_or_default();
    Ok(format!("{{\"Records\":[{}]{next}}}", records.join(",")))
}

fn tail(source: &Arc<Script>, from: ReadFrom) -> Tail {
    let keys = KeySchema(vec![KeyAttribute { name: "pk".to_owned(), kind: KeyType::S }]);
    let source: Arc<dyn StreamSource> = Arc::<Script>::clone(source);
    Tail::new(
        source,
        ShardId::new("s"),
        Arc::new(keys),
        from,
        (Duration::from_secs(120), Duration::ZERO),
        Ids::seeded(1),
    )
}

async fn page_of(tail: &mut Tail) -> TailPage {
    match tail.step().await {
        TailEvent::Page(page) => page,
        other => panic!("no page but {other:?}"),
    }
}

fn sequences(page: &TailPage) -> Vec<String> {
    page.changes.iter().map(|change| change.sequence.to_string()).collect()
}

fn sequence(number: u32) -> Sequence {
    Sequence::parse(&number.to_string()).unwrap()
}

#[tokio::test]
async fn only_the_first_page_of_a_horizon_read_is_judged_by_the_trim_rule() {
    let source = Script::of(vec![body(&[5, 6], Some("b")), body(&[7], None)]);
    let mut tail = tail(&source, ReadFrom::TrimHorizon);
    let first = page_of(&mut tail).await;
    assert!(first.from_trim_horizon && !first.null);
    let last = page_of(&mut tail).await;
    assert!(!last.from_trim_horizon && last.null, "records and the end come in one page");
    assert_eq!(sequences(&last), ["7"]);
    assert!(matches!(tail.step().await, TailEvent::Ended));
    assert_eq!(source.asked(), ["TrimHorizon", "new", "b"]);
}

#[tokio::test]
async fn row_05_an_expired_iterator_is_renewed_after_the_last_change_that_was_emitted() {
    let source = Script::of(vec![
        Err(SourceError::Expired),
        body(&[5, 6], Some("b")),
        Err(SourceError::Expired),
        body(&[6, 7], Some("c")),
    ]);
    let mut tail = tail(&source, ReadFrom::TrimHorizon);
    assert!(matches!(tail.step().await, TailEvent::Retrying { error: SourceError::Expired, .. }));
    assert!(page_of(&mut tail).await.from_trim_horizon, "nothing was emitted: from the horizon again");
    assert!(matches!(tail.step().await, TailEvent::Retrying { .. }));
    let page = page_of(&mut tail).await;
    assert_eq!((sequences(&page), page.repeated, page.from_trim_horizon), (vec!["7".to_owned()], 1, false));
    assert_eq!(source.asked(), ["TrimHorizon", "new", "TrimHorizon", "new", "b", "After(6)", "new"]);
}

#[tokio::test]
async fn a_trimmed_position_is_told_and_the_horizon_read_marked() {
    let source = Script::of(vec![Err(SourceError::Trimmed), Err(SourceError::Trimmed), body(&[4, 9], Some("b"))]);
    let mut tail = tail(&source, ReadFrom::After(sequence(4)));
    assert!(matches!(tail.step().await, TailEvent::Trimmed));
    let again = tail.step().await;
    assert!(matches!(again, TailEvent::Retrying { error: SourceError::Trimmed, .. }), "no loss is told twice");
    let page = page_of(&mut tail).await;
    assert!(page.from_trim_horizon);
    assert_eq!((sequences(&page), page.repeated), (vec!["9".to_owned()], 1));
}

#[tokio::test]
async fn not_found_tells_the_services_time_and_never_ends_the_shard() {
    let at = Second(77);
    let source = Script::of(vec![Err(SourceError::Service(ServiceError::NotFound { at })), body(&[1], None)]);
    let mut tail = tail(&source, ReadFrom::After(sequence(0)));
    assert!(matches!(tail.step().await, TailEvent::NotFound { at: Second(77) }));
    assert!(page_of(&mut tail).await.from_trim_horizon);
}

#[tokio::test]
async fn a_failing_call_is_repeated_with_the_same_iterator() {
    let source = Script::of(vec![
        body(&[1], Some("b")),
        Err(SourceError::Service(ServiceError::Throttled("slow".to_owned()))),
        Err(SourceError::Service(ServiceError::Unavailable("500".to_owned()))),
        Ok("{}".to_owned()),
        Err(SourceError::Service(ServiceError::Denied("key".to_owned()))),
        body(&[2], Some("c")),
        Err(SourceError::Service(ServiceError::Invalid("bug".to_owned()))),
    ]);
    let mut tail = tail(&source, ReadFrom::TrimHorizon);
    page_of(&mut tail).await;
    for expected in 1..=4 {
        let TailEvent::Retrying { attempts, .. } = tail.step().await else { panic!("a retry") };
        assert_eq!(attempts, expected);
    }
    assert_eq!(sequences(&page_of(&mut tail).await), ["2"]);
    assert!(matches!(tail.step().await, TailEvent::Stopped(TailStop::Refused { .. })));
    assert_eq!(source.asked(), ["TrimHorizon", "new", "b", "b", "b", "b", "b", "c"]);
}

#[tokio::test]
async fn sequence_numbers_that_do_not_rise_stop_the_shard_and_drop_nothing() {
    for pages in [vec![body(&[5, 7, 6], Some("b"))], vec![body(&[7], Some("b")), body(&[6], Some("c"))]] {
        let count = pages.len();
        let source = Script::of(pages);
        let mut tail = tail(&source, ReadFrom::TrimHorizon);
        for _ in 1..count {
            page_of(&mut tail).await;
        }
        let stopped = tail.step().await;
        let TailEvent::Stopped(TailStop::Disorder { first, second, .. }) = stopped else { panic!("{stopped:?}") };
        assert_eq!((first, second), (sequence(7), sequence(6)));
    }
}

#[tokio::test]
async fn a_rewound_tail_emits_again() {
    let source = Script::of(vec![body(&[5, 6], Some("b")), body(&[5, 6], Some("b"))]);
    let mut tail = tail(&source, ReadFrom::TrimHorizon);
    page_of(&mut tail).await;
    tail.rewind(ReadFrom::After(sequence(4)));
    assert_eq!(sequences(&page_of(&mut tail).await), ["5", "6"]);
}

/// Feeds empty pages at these seconds; which of them call the shard idle.
fn idle_at(tail: &mut Tail, times: impl IntoIterator<Item = i64>) -> Vec<bool> {
    times.into_iter().map(|at| tail.count_quiet(true, Second(at))).collect()
}

#[tokio::test]
async fn a_shard_is_idle_after_ten_empty_pages_that_span_the_settling_time() {
    let source = Script::of(vec![]);
    let mut tail = tail(&source, ReadFrom::TrimHorizon);
    let idle = idle_at(&mut tail, (0..=120).step_by(10));
    assert_eq!(idle.iter().position(|idle| *idle), Some(12), "ten pages alone are not enough");
    assert!(!tail.count_quiet(false, Second(121)), "a record ends it");
    assert!(idle_at(&mut tail, (200..=380).step_by(20)).last().unwrap());
    assert!(!idle_at(&mut tail, [441])[0], "a pause of more than a minute ends it");
    assert!(!idle_at(&mut tail, (441..=861).step_by(60))[7], "the time alone is not enough");
    let stepping_back = (0..=130).step_by(10).map(|at| 1_000 + at - i64::from(at % 20 == 0));
    assert!(idle_at(&mut tail, stepping_back).last().unwrap(), "two servers of the service differ by a second");
    tail.fail(SourceError::Service(ServiceError::Throttled(String::new())));
    assert!(!idle_at(&mut tail, [1_131])[0], "an error ends it");
}

#[tokio::test]
async fn a_throttled_reader_leaves_time_to_others_unless_it_is_pressed() {
    let source = Script::of(vec![]);
    let mut tail = tail(&source, ReadFrom::TrimHorizon);
    let wait = |tail: &mut Tail, pressed: bool| {
        tail.schedule(PAGE_RECORDS, false);
        tail.leave_time(pressed);
        tail.due.saturating_duration_since(now())
    };
    assert_eq!(wait(&mut tail, false), Duration::ZERO, "nobody complained");
    tail.fail(SourceError::Service(ServiceError::Unavailable(String::new())));
    assert_eq!(wait(&mut tail, false), Duration::ZERO, "a failure is no complaint");
    for _ in 0..9 {
        tail.fail(SourceError::Service(ServiceError::Throttled(String::new())));
    }
    assert!(wait(&mut tail, false) > YIELD.1 - Duration::from_millis(100), "no longer than that");
    assert_eq!(wait(&mut tail, true), Duration::ZERO, "what is far behind is read before it is trimmed");
    let waits: Vec<Duration> = (0..30).map(|_| wait(&mut tail, false)).collect();
    assert!(waits.is_sorted_by(|a, b| a >= b) && waits[0] > Duration::from_secs(1), "{waits:?}");
    assert_eq!(waits[29], Duration::ZERO, "the others have gone: {waits:?}");
}

#[tokio::test]
async fn row_07_an_idle_shard_is_asked_ever_more_slowly_and_one_with_more_at_once() {
    let source = Script::of(vec![]);
    let mut tail = tail(&source, ReadFrom::TrimHorizon);
    let waits: Vec<_> = (0..5)
        .map(|_| {
            tail.schedule(0, false);
            (tail.due - now()).as_millis().div_ceil(100) * 100
        })
        .collect();
    assert_eq!(waits, [200, 400, 800, 1_000, 1_000]);
    tail.pace = Duration::from_secs(5);
    tail.schedule(PAGE_RECORDS, false);
    assert!(tail.due <= now(), "more stands behind a full page");
    tail.schedule(1, true);
    assert!(tail.due <= now(), "there is a backlog");
    tail.schedule(PAGE_RECORDS - 1, false);
    assert!(tail.due > now() + Duration::from_secs(4), "every call is billed");
}
