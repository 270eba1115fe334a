//! Spawning.
#![expect(clippy::disallowed_methods, reason = "this file is where spawning is let in")]

use tokio::task::JoinHandle;

/// Runs `work` beside the caller. Dropping the handle does not stop it.
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

/// Runs `work`, which computes for long, where it does not hold up the reactor.
pub fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}
