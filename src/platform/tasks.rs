//! Spawning, and the threads that compute.
#![expect(clippy::disallowed_methods, reason = "this file is where spawning is let in")]

use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio::task::{JoinError, JoinHandle};

/// The runtime ended a task.
#[derive(Debug, thiserror::Error)]
#[error("a task was interrupted: {0}")]
pub struct Interrupted(#[from] JoinError);

/// Objects for each processor.
const AT_ONCE: usize = 4;

/// Runs `work` beside the caller. Dropping the handle does not stop it.
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

/// Threads that only compute, one for each processor. Those that wait for disks and names are others, as many as it
/// takes; were these so many too, nothing would be faster, and each would keep memory that it once needed.
static COMPUTING: LazyLock<Option<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(processors()).thread_name("compute").build().ok());

/// Processors that this process may use.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs `work`, which computes for long, where it does not hold up the reactor. On a runtime of one thread, where a
/// simulation runs, there is no such place: it takes its turn there, so that the same seed gives the same order.
pub fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let computing = if takes_turns() { None } else { COMPUTING.as_ref() };
    match computing {
        Some(computing) => computing.spawn(async move { work() }),
        None => wait(work),
    }
}

/// The same for `work` that waits for a disk.
pub fn wait<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    if takes_turns() { tokio::spawn(async move { work() }) } else { tokio::task::spawn_blocking(work) }
}

/// Whether the runtime has one thread.
fn takes_turns() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}

/// How many objects are fetched and worked on at once: some for each processor, as each is also waited for; one where
/// there is only one thread.
#[must_use]
pub fn width() -> usize {
    if takes_turns() { 1 } else { AT_ONCE * processors() }
}

/// [`compute`], awaited.
///
/// # Errors
/// [`Interrupted`].
pub async fn computed<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Interrupted> {
    Ok(compute(work).await?)
}
