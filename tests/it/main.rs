//! The integration tests: one binary, one module per topic.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, helpers included; futures of tests may be large, and servers have a clock"
)]

#[path = "../support/mod.rs"]
mod support;

mod base;
mod capture;
mod cli;
mod faults;
mod long_log;
mod pace;
mod replay;
mod schemas;
mod source;
mod store;
mod verify;
