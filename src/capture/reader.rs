//! One task per open shard: steps its tail and hands what it brings to the task that owns the log.
//!
//! A page is paid for out of the [`Memory`] that all share before it is read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::memory::{Held, Memory};
use crate::change::{KeySchema, Second, Sequence, ShardId};
use crate::manifest::ShardKey;
use crate::platform::ids::Ids;
use crate::platform::tasks;
use crate::shard::tail::{Tail, TailEvent, TailPage, TailStop};
use crate::shard::{Listing, RawPage, ReadFrom, ShardIterator, SourceError, StreamSource};

/// How often in a row a shard must be missing before it counts as gone.
const MISSING: u32 = 3;

/// What a reader hands over.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The shard.
    pub(super) key: ShardKey,
    /// Which reader of this shard sent it: those of an earlier one are too late.
    pub(super) generation: u64,
    /// What happened.
    pub(super) event: TailEvent,
    /// The memory of its page.
    pub(super) held: Held,
}

/// A stream whose pages are paid for.
#[derive(Debug)]
struct Metered {
    source: Arc<dyn StreamSource>,
    memory: Memory,
    page: Mutex<Paid>,
}

/// What is known of the pages of one shard.
#[derive(Debug)]
struct Paid {
    /// The memory of the last page, until it is handed over.
    held: Option<Held>,
    /// Every unread record was made at about this time or later.
    unread: Second,
}

impl Metered {
    fn page(&self) -> MutexGuard<'_, Paid> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory of the page read last.
    fn held(&self) -> Held {
        self.page().held.take().unwrap_or(Held::free(0))
    }

    /// Notes how far the shard is read.
    fn note(&self, page: &TailPage) {
        let last = page.changes.last().map_or(page.at, |last| last.changed_at.second());
        let mut paid = self.page();
        paid.unread = paid.unread.max(last);
    }
}

#[async_trait]
impl StreamSource for Metered {
    async fn list(&self) -> Result<Listing, SourceError> {
        self.source.list().await
    }

    async fn knows(&self, shard: &ShardId) -> Result<bool, SourceError> {
        self.source.knows(shard).await
    }

    async fn iterator(&self, shard: &ShardId, from: ReadFrom) -> Result<ShardIterator, SourceError> {
        self.source.iterator(shard, from).await
    }

    async fn read(&self, iterator: &ShardIterator) -> Result<RawPage, SourceError> {
        drop(self.held());
        let unread = self.page().unread;
        let mut held = self.memory.page(unread).await;
        let page = self.source.read(iterator).await?;
        held.arrive(page.body.len());
        self.page().held = Some(held);
        Ok(page)
    }
}

/// What a reader needs to run.
#[derive(Debug)]
pub(super) struct Reading {
    /// The stream.
    pub(super) source: Arc<dyn StreamSource>,
    /// The shard.
    pub(super) key: ShardKey,
    /// Counts the readers of this shard.
    pub(super) generation: u64,
    /// The table's key.
    pub(super) keys: Arc<KeySchema>,
    /// Where it begins.
    pub(super) from: ReadFrom,
    /// How long a shard must be empty before it is idle.
    pub(super) settle: Duration,
    /// How long it waits behind a page with records once it has caught up.
    pub(super) pace: Duration,
    /// Every unread record was made at about this time or later.
    pub(super) unread: Second,
    /// The memory of all.
    pub(super) memory: Memory,
    /// Jitter.
    pub(super) ids: Ids,
    /// Where it delivers.
    pub(super) to: mpsc::Sender<Delivery>,
}

/// Starts reading; the token ends it.
pub(super) fn start(reading: Reading) -> CancellationToken {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let (key, generation, to) = (reading.key.clone(), reading.generation, reading.to.clone());
    let read = tasks::spawn(async move {
        stopped.run_until_cancelled(read(reading)).await;
    });
    // A reader that dies must not leave its shard unread in silence.
    tasks::spawn(async move {
        if let Err(error) = read.await {
            let died = TailStop::Died { shard: key.id.clone(), reason: error.to_string() };
            let event = TailEvent::Stopped(died);
            // Nobody listens any more: the capture has ended.
            let _ = to.send(Delivery { key, generation, event, held: Held::free(0) }).await;
        }
    });
    stop
}

async fn read(reading: Reading) {
    let Reading { source, key, generation, keys, from, settle, pace, unread, memory, ids, to } = reading;
    let metered = Arc::new(Metered { source, memory, page: Mutex::new(Paid { held: None, unread }) });
    let stream: Arc<dyn StreamSource> = Arc::<Metered>::clone(&metered);
    let mut tail = Tail::new(stream, key.id.clone(), keys, from, (settle, pace), ids);
    let mut missing = 0;
    loop {
        let event = tail.step().await;
        missing = if matches!(event, TailEvent::NotFound { .. }) { missing + 1 } else { 0 };
        if (1..MISSING).contains(&missing) {
            continue;
        }
        let last = match &event {
            TailEvent::Page(page) => {
                metered.note(page);
                page.null
            }
            TailEvent::NotFound { .. } | TailEvent::Stopped(_) | TailEvent::Ended => true,
            TailEvent::Trimmed | TailEvent::Retrying { .. } => false,
        };
        let delivery = Delivery { key: key.clone(), generation, event, held: metered.held() };
        if to.send(delivery).await.is_err() || last {
            return;
        }
    }
}

/// Where reading begins behind what the log holds: at the trim horizon if nothing of the shard was archived yet.
#[must_use]
pub(super) fn position(start: Sequence, through: Sequence) -> ReadFrom {
    if through < start { ReadFrom::TrimHorizon } else { ReadFrom::After(through) }
}
