//! A worker that is frozen (a stopped process, a long pause): while its gate is shut, nothing of it moves.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use tailrace::store::{Keep, Object, ObjectInfo, ObjectStore, StoreError};

/// Shut or open. Those who wait are woken in the order in which they came (a channel's order may be random).
#[derive(Debug)]
pub(crate) struct Gate(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    shut: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    pub(crate) fn open() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, shut: bool) {
        let mut held = self.held();
        held.shut = shut;
        held.waiting.drain(..).for_each(Waker::wake);
    }

    fn poll_pass(&self, context: &Context<'_>) -> Poll<()> {
        let mut held = self.held();
        if held.shut {
            held.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Waits while it is shut.
    pub(crate) async fn pass(&self) {
        std::future::poll_fn(|context| self.poll_pass(context)).await;
    }

    /// Runs `work`, which is not touched while the gate is shut.
    pub(crate) async fn behind<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|context| self.poll(&mut work, context)).await
    }

    fn poll<T>(&self, work: &mut Pin<&mut impl Future<Output = T>>, context: &mut Context<'_>) -> Poll<T> {
        match self.poll_pass(context) {
            Poll::Ready(()) => work.as_mut().poll(context),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The archive behind a worker's gate: no request leaves, and no answer arrives, while it is shut.
#[derive(Debug)]
pub(crate) struct Gated {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) gate: Arc<Gate>,
}

impl Gated {
    async fn through<T>(&self, call: impl Future<Output = T>) -> T {
        self.gate.pass().await;
        let answer = call.await;
        self.gate.pass().await;
        answer
    }
}

#[async_trait]
impl ObjectStore for Gated {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn get(&self, path: &str, version_id: Option<&str>) -> Result<Object, StoreError> {
        self.through(self.inner.get(path, version_id)).await
    }

    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError> {
        self.through(self.inner.get_oldest(path)).await
    }

    async fn occupied(&self, path: &str) -> Result<bool, StoreError> {
        self.through(self.inner.occupied(path)).await
    }

    async fn put_new(&self, path: &str, bytes: Bytes, keep: Keep) -> Result<Option<String>, StoreError> {
        self.through(self.inner.put_new(path, bytes, keep)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        self.through(self.inner.list(prefix, after, limit)).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.through(self.inner.list_folders(prefix)).await
    }

    async fn delete(&self, path: &str, version_id: Option<&str>) -> Result<(), StoreError> {
        self.through(self.inner.delete(path, version_id)).await
    }
}
