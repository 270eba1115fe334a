//! Logs: to stderr, as text or JSON. Item data never appears above debug.

use tracing_subscriber::EnvFilter;

/// Starts logging; `filter` as in `RUST_LOG` (`info`, `tailrace=debug`, …). A second call does nothing.
pub fn start(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A subscriber that stands already is the caller's choice: keep it.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}
