//! The memory that all tables of one process share for what is read and not written yet.
//!
//! A page is paid for before it is read, so a store that does not answer slows the reading down instead of filling
//! the memory. Where there is not enough for all, the shard goes first whose unread records will be trimmed first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};

use crate::change::Second;

/// What a page is taken to need before it is there: the service gives at most 1 MB of records.
const PAGE: u64 = 1 << 20;
/// Batches that are encoded at a time: each needs about as much again as it holds.
const ENCODERS: usize = 2;

/// A bound in bytes; clones share it.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    total: u64,
    /// What is reserved for a page on its way: [`PAGE`], or all there is.
    page: u64,
    state: Mutex<State>,
    /// Rung whenever a page has to wait.
    pressing: Notify,
    encoders: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    /// Below zero where a page was larger than what was reserved for it.
    free: i64,
    /// Bytes of pages that have arrived.
    kept: u64,
    /// Tables that share the bound.
    tables: u64,
    /// Who waits, by the time of the first unread record, then in the order of coming.
    waiting: BTreeMap<(Second, u64), oneshot::Sender<Held>>,
    came: u64,
}

/// The memory that one page holds; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    bytes: u64,
    /// Whose it is; nobody counts the others.
    memory: Option<Memory>,
    arrived: bool,
}

impl Held {
    /// Memory that nobody counts.
    #[must_use]
    pub(super) const fn free(bytes: u64) -> Self {
        Self { bytes, memory: None, arrived: true }
    }

    /// Its size.
    #[must_use]
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The page is there and has this size: what it does not need is given back, and what it needs beyond is taken
    /// from the next ones, for it is there already (the service's megabyte is of records, not of their JSON).
    pub(super) fn arrive(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let rest = signed(self.bytes).saturating_sub(signed(bytes));
        self.bytes = bytes;
        let Some(memory) = &self.memory else { return };
        if !std::mem::replace(&mut self.arrived, true) {
            memory.state().kept += bytes;
        }
        memory.give_back(rest);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        if self.arrived {
            memory.state().kept -= self.bytes;
        }
        memory.give_back(signed(self.bytes));
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// One table's part in the memory, for as long as it is read.
#[derive(Debug)]
pub(super) struct Share(Memory);

impl Share {
    /// Whether a page waits somewhere, and this table, which holds so many bytes of rows, holds no less than the
    /// others on average: its rows are committed early to make room.
    pub(super) fn makes_room(&self, bytes: u64) -> bool {
        let mut state = self.0.state();
        state.waiting.retain(|_, waiting| !waiting.is_closed());
        bytes > 0 && !state.waiting.is_empty() && bytes.saturating_mul(state.tables) >= state.kept
    }

    /// The memory of which this is a part.
    pub(super) const fn whole(&self) -> &Memory {
        &self.0
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.state().tables -= 1;
    }
}

impl Memory {
    /// A bound of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let (total, page) = (bytes.max(1), PAGE.min(bytes.max(1)));
        let state = Mutex::new(State { free: signed(total), ..State::default() });
        Self(Arc::new(Shared { total, page, state, pressing: Notify::new(), encoders: Semaphore::new(ENCODERS) }))
    }

    /// The bound.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// Begins to share it.
    pub(super) fn share(&self) -> Share {
        self.state().tables += 1;
        Share(self.clone())
    }

    /// Waits until a page may be read whose first record was made at about `unread`.
    pub(super) async fn page(&self, unread: Second) -> Held {
        let turn = {
            let mut state = self.state();
            if state.free >= signed(self.0.page) && state.waiting.is_empty() {
                state.free -= signed(self.0.page);
                return self.held();
            }
            let (sender, turn) = oneshot::channel();
            state.came += 1;
            let place = (unread, state.came);
            state.waiting.insert(place, sender);
            turn
        };
        // Those who gave up may be all who stood before.
        self.give_back(0);
        self.0.pressing.notify_waiters();
        // A sender is only ever dropped with the whole memory.
        turn.await.unwrap_or(Held::free(0))
    }

    /// Resolves when a page has to wait that did not when this was called.
    pub(super) fn pressing(&self) -> Notified<'_> {
        self.0.pressing.notified()
    }

    /// Waits until a batch may be encoded.
    pub(super) async fn encoder(&self) -> Option<SemaphorePermit<'_>> {
        self.0.encoders.acquire().await.ok()
    }

    fn held(&self) -> Held {
        Held { bytes: self.0.page, memory: Some(self.clone()), arrived: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives pages to those who wait, as far as it goes.
    fn give_back(&self, bytes: i64) {
        let mut granted = vec![];
        {
            let mut state = self.state();
            state.free += bytes;
            while state.free >= signed(self.0.page)
                && let Some((_, waiting)) = state.waiting.pop_first()
            {
                state.free -= signed(self.0.page);
                granted.push(waiting);
            }
        }
        for waiting in granted {
            // What nobody takes comes back here as it is dropped.
            drop(waiting.send(self.held()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = tokio::task::yield_now() => None,
        }
    }

    /// Bytes that are free, and bytes of pages that have arrived.
    fn stand(memory: &Memory) -> (u64, u64) {
        let state = memory.state();
        (u64::try_from(state.free).unwrap(), state.kept)
    }

    #[tokio::test]
    async fn the_oldest_unread_record_goes_first() {
        let memory = Memory::new(2 * PAGE);
        let (first, second) = (memory.page(Second(9)).await, memory.page(Second(9)).await);
        let mut young = Box::pin(memory.page(Second(8)));
        let mut old = Box::pin(memory.page(Second(3)));
        assert!(ready(&mut young).await.is_none() && ready(&mut old).await.is_none());
        drop(first);
        assert!(ready(&mut young).await.is_none(), "it came first, and its records live longer");
        let held = ready(&mut old).await.unwrap();
        drop(held);
        assert!(ready(&mut young).await.is_some());
        drop(second);
    }

    #[tokio::test]
    async fn a_page_that_arrived_gives_the_rest_back() {
        let memory = Memory::new(PAGE + 1000);
        let mut held = memory.page(Second(1)).await;
        let mut next = Box::pin(memory.page(Second(1)));
        assert!(ready(&mut next).await.is_none());
        held.arrive(1000);
        assert_eq!(held.bytes(), 1000);
        assert!(ready(&mut next).await.is_some());
        assert_eq!(stand(&memory), (PAGE, 1000));
        drop(held);
        assert_eq!(stand(&memory), (PAGE + 1000, 0));
    }

    #[tokio::test]
    async fn a_page_that_is_larger_than_thought_counts_whole() {
        let memory = Memory::new(2 * PAGE);
        let mut held = memory.page(Second(1)).await;
        held.arrive(1_500_000);
        assert_eq!((held.bytes(), memory.state().kept), (1_500_000, 1_500_000));
        let mut next = Box::pin(memory.page(Second(1)));
        assert!(ready(&mut next).await.is_none(), "there is less left than a page");
        drop(held);
        assert!(ready(&mut next).await.is_some());
        drop(next);
        assert_eq!(stand(&memory), (2 * PAGE, 0));
    }

    #[tokio::test]
    async fn whoever_gives_up_holds_up_nobody() {
        let memory = Memory::new(PAGE);
        let held = memory.page(Second(1)).await;
        {
            let mut given_up = Box::pin(memory.page(Second(0)));
            assert!(ready(&mut given_up).await.is_none());
        }
        let mut next = Box::pin(memory.page(Second(5)));
        assert!(ready(&mut next).await.is_none());
        drop(held);
        assert!(ready(&mut next).await.is_some());
        assert_eq!(stand(&memory).0, PAGE);
    }

    #[tokio::test]
    async fn the_table_that_holds_most_makes_room() {
        let memory = Memory::new(2 * PAGE);
        let (large, small) = (memory.share(), memory.share());
        let (mut many, mut few) = (memory.page(Second(1)).await, memory.page(Second(1)).await);
        many.arrive(900_000);
        few.arrive(100);
        assert!(!large.makes_room(900_000), "nobody waits");
        let rung = memory.pressing();
        let (_first, mut second) = (memory.page(Second(1)).await, Box::pin(memory.page(Second(1))));
        assert!(ready(&mut second).await.is_none());
        assert!(ready(rung).await.is_some());
        assert!(large.makes_room(900_000) && !small.makes_room(100) && !small.makes_room(0));
        drop(large);
        assert!(!small.makes_room(100), "it still holds less than all");
        drop(second);
        assert!(!small.makes_room(900_100), "nobody waits any more");
    }

    #[tokio::test]
    async fn less_than_a_page_still_reads_one_at_a_time() {
        let memory = Memory::new(10);
        let held = memory.page(Second(1)).await;
        assert_eq!(held.bytes(), 10);
        let mut next = Box::pin(memory.page(Second(1)));
        assert!(ready(&mut next).await.is_none());
        drop(held);
        assert!(ready(&mut next).await.is_some());
    }
}
