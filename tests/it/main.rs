//! The integration tests: one binary, one module per topic.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, helpers included"
)]

#[path = "../support/mod.rs"]
mod support;

mod schemas;
mod source;
mod verify;
