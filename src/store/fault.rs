//! A store that fails on purpose, the same way for the same script or seed.
//!
//! Mutations and reads are numbered apart, each from 0, in the order they are asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use super::{Keep, Object, ObjectInfo, ObjectStore, StoreError};
use crate::platform::ids::Ids;
use crate::platform::{clock, tasks};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and the caller does not learn so: `Unknown` for a mutation, `Unavailable` for a read.
    Lost,
    /// It happens, but the caller is not told: `Unknown`. For a read the same as `Lost`.
    Unanswered,
    /// `Unknown` at once; it happens this much later. For a read the same as `Lost`.
    Late(Duration),
    /// Refused for good, without effect (a full disk, say).
    Refused,
    /// No permission, without effect.
    Denied,
    /// A listing misses its newest name. Any other request is served well.
    Stale,
    /// The answer comes this much later.
    Slow(Duration),
    /// The caller dies while it waits: it is never answered. [`FaultyStore::hung`] tells the test to drop it.
    Hung(Effect),
}

/// What becomes of a mutation whose caller dies. A read has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It never happens.
    Never,
    /// It happens.
    Now,
    /// It happens this much later, perhaps into the work of the caller's successor.
    Late(Duration),
}

/// How often a seeded store fails, in requests of a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Mutations that are lost.
    pub lost: u64,
    /// Mutations that happen without an answer.
    pub unanswered: u64,
    /// Mutations that happen later.
    pub late: u64,
    /// How much later at most.
    pub late_within: Duration,
    /// Requests that are answered later.
    pub slow: u64,
    /// How much later at most.
    pub slow_within: Duration,
    /// Reads and listings that fail.
    pub reads: u64,
    /// Listings that miss their newest name.
    pub stale: u64,
}

impl Rates {
    /// Nothing fails.
    pub const NONE: Self = Self {
        lost: 0,
        unanswered: 0,
        late: 0,
        late_within: Duration::ZERO,
        slow: 0,
        slow_within: Duration::ZERO,
        reads: 0,
        stale: 0,
    };
}

/// A time below `most`.
fn within(ids: &Ids, most: Duration) -> Duration {
    Duration::from_millis(ids.below(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
}

/// Which requests fail: those of the script, and of the others as many as the rates say.
#[derive(Debug, Default)]
struct Plan {
    mutations: BTreeMap<u64, Fault>,
    reads: BTreeMap<u64, Fault>,
    seeded: Option<(Ids, Mutex<Rates>)>,
}

impl Plan {
    fn drawn_at(&self) -> Option<(&Ids, Rates)> {
        let (ids, rates) = self.seeded.as_ref()?;
        Some((ids, *rates.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A store between a caller and a sound store.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: Plan,
    asked: Mutex<Asked>,
    hung: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Asked {
    /// The path of each.
    mutations: Vec<String>,
    reads: u64,
}

impl FaultyStore {
    /// Fails exactly the mutations (puts and removals) and reads whose number is named.
    pub fn scripted(
        inner: Arc<dyn ObjectStore>,
        mutations: impl IntoIterator<Item = (u64, Fault)>,
        reads: impl IntoIterator<Item = (u64, Fault)>,
    ) -> Self {
        let (mutations, reads) = (mutations.into_iter().collect(), reads.into_iter().collect());
        let plan = Plan { mutations, reads, seeded: None };
        Self { inner, plan, asked: Mutex::default(), hung: Arc::default() }
    }

    /// Fails at random, at these rates, the same way for the same seed and order of requests.
    #[must_use]
    pub fn seeded(inner: Arc<dyn ObjectStore>, seed: u64, rates: Rates) -> Self {
        let plan = Plan { seeded: Some((Ids::seeded(seed), Mutex::new(rates))), ..Plan::default() };
        Self { inner, plan, asked: Mutex::default(), hung: Arc::default() }
    }

    /// From now on a seeded store fails at these rates.
    pub fn set_rates(&self, rates: Rates) {
        if let Some((_, now)) = &self.plan.seeded {
            *now.lock().unwrap_or_else(PoisonError::into_inner) = rates;
        }
    }

    /// Besides, fails this mutation in this way.
    #[must_use]
    pub fn and(mut self, mutation: u64, fault: Fault) -> Self {
        self.plan.mutations.insert(mutation, fault);
        self
    }

    /// The paths of all mutations asked so far, in order: what a script for the next run can name by number.
    #[must_use]
    pub fn mutations(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).mutations.clone()
    }

    /// Waits until a request hangs for ever.
    pub async fn hung(&self) {
        self.hung.notified().await;
    }

    /// Reads and listings asked so far.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).reads
    }

    fn next_read(&self) -> Option<Fault> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let n = asked.reads;
        asked.reads += 1;
        self.plan.reads.get(&n).copied().or_else(|| {
            let (ids, rates) = self.plan.drawn_at()?;
            let slow = Fault::Slow(within(ids, rates.slow_within));
            drawn(ids.below(1000), [(rates.reads, Fault::Lost), (rates.stale, Fault::Stale), (rates.slow, slow)])
        })
    }

    fn next_mutation(&self, path: &str) -> Option<Fault> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let n = asked.mutations.len() as u64;
        asked.mutations.push(path.to_owned());
        self.plan.mutations.get(&n).copied().or_else(|| {
            let (ids, rates) = self.plan.drawn_at()?;
            let late = Fault::Late(within(ids, rates.late_within));
            let slow = Fault::Slow(within(ids, rates.slow_within));
            let kinds = [
                (rates.lost, Fault::Lost),
                (rates.unanswered, Fault::Unanswered),
                (rates.late, late),
                (rates.slow, slow),
            ];
            drawn(ids.below(1000), kinds)
        })
    }

    /// The fault of a read: the error to give instead of an answer, or none; slowness is lived through here.
    async fn before_read(&self, path: &str) -> Result<Option<Fault>, StoreError> {
        let fault = self.next_read();
        match fault {
            Some(Fault::Lost | Fault::Unanswered | Fault::Late(_)) => {
                Err(StoreError::Unavailable { path: path.to_owned(), reason: REASON.to_owned() })
            }
            Some(Fault::Refused) => Err(refused(path)),
            Some(Fault::Denied) => Err(denied(path)),
            Some(Fault::Slow(time)) => {
                clock::sleep(time).await;
                Ok(fault)
            }
            Some(Fault::Hung(_)) => self.hang().await,
            Some(Fault::Stale) | None => Ok(fault),
        }
    }

    /// Mutates under the fault of this request.
    async fn mutate<T, F>(&self, path: &str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        match self.next_mutation(path) {
            None | Some(Fault::Stale) => work.await,
            Some(Fault::Slow(time)) => {
                let done = work.await;
                clock::sleep(time).await;
                done
            }
            Some(Fault::Lost) => Err(unknown(path)),
            Some(Fault::Unanswered) => {
                // The caller is not told what the store said, good or bad.
                let _ = work.await;
                Err(unknown(path))
            }
            Some(Fault::Late(time)) => {
                later(time, work);
                Err(unknown(path))
            }
            Some(Fault::Refused) => Err(refused(path)),
            Some(Fault::Denied) => Err(denied(path)),
            Some(Fault::Hung(effect)) => {
                match effect {
                    Effect::Never => {}
                    Effect::Now => drop(work.await),
                    Effect::Late(time) => later(time, work),
                }
                self.hang().await
            }
        }
    }

    async fn hang<T>(&self) -> T {
        self.hung.notify_one();
        std::future::pending().await
    }
}

fn later<T: Send + 'static>(time: Duration, work: impl Future<Output = T> + Send + 'static) {
    drop(tasks::spawn(async move {
        clock::sleep(time).await;
        work.await
    }));
}

const REASON: &str = "a fault was injected";

fn drawn<const N: usize>(mut draw: u64, rates: [(u64, Fault); N]) -> Option<Fault> {
    for (rate, fault) in rates {
        if draw < rate {
            return Some(fault);
        }
        draw -= rate;
    }
    None
}

fn unknown(path: &str) -> StoreError {
    StoreError::Unknown { path: path.to_owned(), reason: REASON.to_owned() }
}

fn refused(path: &str) -> StoreError {
    StoreError::Refused { path: path.to_owned(), reason: REASON.to_owned() }
}

fn denied(path: &str) -> StoreError {
    StoreError::Denied { path: path.to_owned(), reason: REASON.to_owned() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn get(&self, path: &str, version_id: Option<&str>) -> Result<Object, StoreError> {
        self.before_read(path).await?;
        self.inner.get(path, version_id).await
    }

    async fn get_range(&self, path: &str, from: u64, length: u64) -> Result<Bytes, StoreError> {
        self.before_read(path).await?;
        self.inner.get_range(path, from, length).await
    }

    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError> {
        self.before_read(path).await?;
        self.inner.get_oldest(path).await
    }

    async fn occupied(&self, path: &str) -> Result<bool, StoreError> {
        self.before_read(path).await?;
        self.inner.occupied(path).await
    }

    async fn put_new(&self, path: &str, bytes: Bytes, keep: Keep) -> Result<Option<String>, StoreError> {
        let (inner, place) = (Arc::clone(&self.inner), path.to_owned());
        self.mutate(path, async move { inner.put_new(&place, bytes, keep).await }).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        let fault = self.before_read(prefix).await?;
        let mut seen = self.inner.list(prefix, after, limit).await?;
        if fault == Some(Fault::Stale) {
            seen.pop();
        }
        Ok(seen)
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let fault = self.before_read(prefix).await?;
        let mut seen = self.inner.list_folders(prefix).await?;
        if fault == Some(Fault::Stale) {
            seen.pop();
        }
        Ok(seen)
    }

    async fn delete(&self, path: &str, version_id: Option<&str>) -> Result<(), StoreError> {
        let (inner, place) = (Arc::clone(&self.inner), path.to_owned());
        let version_id = version_id.map(str::to_owned);
        self.mutate(path, async move { inner.delete(&place, version_id.as_deref()).await }).await
    }

    async fn unfit(&self) -> Result<Option<String>, StoreError> {
        self.inner.unfit().await
    }
}
