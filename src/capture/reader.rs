//! One task per open shard: steps its tail and hands what it brings to the task that owns the log.
//!
//! A page is paid for out of a budget of bytes before it is read, so a slow store slows the reading down
//! instead of filling the memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::change::{KeySchema, Sequence, ShardId};
use crate::manifest::ShardKey;
use crate::platform::ids::Ids;
use crate::platform::tasks;
use crate::shard::tail::{Tail, TailEvent, TailStop};
use crate::shard::{Listing, RawPage, ReadFrom, ShardIterator, SourceError, StreamSource};

/// The unit of the budget, in bytes: a semaphore counts in 32 bits.
const UNIT: u64 = 1024;
/// What a page is taken to need before it is there: the service gives at most 1 MB of records.
const PAGE_UNITS: u32 = 1024;
/// How often in a row a shard must be missing before it counts as gone.
const MISSING: u32 = 3;

/// The memory that one page holds; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    bytes: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Memory that nobody counts.
    #[must_use]
    pub(super) const fn free(bytes: u64) -> Self {
        Self { bytes, _permit: None }
    }

    /// Its size.
    #[must_use]
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

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

/// The memory that all readers of one table share.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    units: Arc<Semaphore>,
    page: u32,
}

impl Budget {
    /// A budget of `bytes`, at least one page.
    #[must_use]
    pub(super) fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes / UNIT).unwrap_or(Semaphore::MAX_PERMITS).clamp(1, Semaphore::MAX_PERMITS);
        let page = PAGE_UNITS.min(u32::try_from(units).unwrap_or(PAGE_UNITS));
        Self { units: Arc::new(Semaphore::new(units)), page }
    }

    async fn page(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.units).acquire_many_owned(self.page).await.ok()
    }
}

/// A stream whose pages are paid for.
#[derive(Debug)]
struct Metered {
    source: Arc<dyn StreamSource>,
    budget: Budget,
    last: Mutex<Option<Held>>,
}

impl Metered {
    /// The memory of the page read last.
    fn held(&self) -> Held {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Held::free(0))
    }

    /// Gives back what a page of `bytes` does not need.
    fn keep(&self, permit: Option<OwnedSemaphorePermit>, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let needed = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
        let mut permit = permit;
        if let Some(permit) = permit.as_mut() {
            drop(permit.split(permit.num_permits().saturating_sub(needed)));
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { bytes, _permit: permit });
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
        let permit = self.budget.page().await;
        let page = self.source.read(iterator).await?;
        self.keep(permit, page.body.len());
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
    /// Its memory.
    pub(super) budget: Budget,
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
    let Reading { source, key, generation, keys, from, settle, pace, budget, ids, to } = reading;
    let metered = Arc::new(Metered { source, budget, last: Mutex::new(None) });
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
            TailEvent::Page(page) => page.null,
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
