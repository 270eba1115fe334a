//! Logs: to stderr, as text or JSON. Item data never appears above debug.

use std::io::IsTerminal;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::clock;

/// Whoever waits longer than this wants to know for what.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts logging; `filter` as in `RUST_LOG` (`info`, `tailrace=debug`, …). A second call does nothing.
pub fn start(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // A subscriber that stands already is the caller's choice: keep it.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}

/// Does `work`, and says so if `who` keeps it waiting.
pub async fn patiently<T>(who: &str, work: impl Future<Output = T>) -> T {
    let mut work = Box::pin(work);
    if let Some(done) = clock::within(PATIENCE, &mut work).await {
        return done;
    }
    tracing::warn!("{who} has not answered for {} s: still trying", PATIENCE.as_secs());
    work.await
}
