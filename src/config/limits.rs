//! Every default and bound that a user can move, in one place.

use std::time::Duration;

use super::raw::{BaseOptions, CaptureOptions, File, ReplayOptions, ServiceOptions, StatusOptions};
use super::unit::{Dollars, Length, Size};

/// `capture --settle`: below [`SETTLE_LEAST`] only for endpoints that are not AWS's.
pub const SETTLE: Duration = Duration::from_secs(120);
/// The service gives no bound for its delay; a minute has been seen to be enough, less has not.
pub const SETTLE_LEAST: Duration = Duration::from_secs(60);
/// `capture --flush-age`
pub const FLUSH_AGE: Duration = Duration::from_secs(60);
/// `capture --flush-bytes`
pub const FLUSH_BYTES: u64 = 32 << 20;
/// An object is put in one request: 128 MiB with room for what encoding may add.
pub const FLUSH_BYTES_MOST: u64 = 96 << 20;
/// What all tables of one `capture` share for what was read and is not written yet, in bytes; encoding needs about as
/// much again of two tables at a time.
pub const MEMORY: u64 = 192 << 20;
/// `capture --base-budget`
pub const BASE_BUDGET: Dollars = Dollars(100);
/// `base --slack`
pub const SLACK: Duration = Duration::from_secs(900);
/// `base --read-units`, per second.
pub const READ_UNITS: u32 = 100;
/// `replay --write-units`, per second.
pub const WRITE_UNITS: u32 = 1000;
/// `replay --memory`, in bytes.
pub const REPLAY_MEMORY: u64 = 384 << 20;
/// With less than this, a replay would read the archive again and again.
pub const REPLAY_MEMORY_LEAST: u64 = 32 << 20;
/// How long a stopping capture may take to write what it holds.
pub const DRAIN: Duration = Duration::from_secs(30);

const _: () = assert!(SETTLE_LEAST.as_secs() <= SETTLE.as_secs());
const _: () = assert!(FLUSH_BYTES <= FLUSH_BYTES_MOST);
const _: () = assert!(FLUSH_BYTES_MOST <= MEMORY / 2);

/// What holds where neither flag, environment nor file says anything, in the form of a file.
#[must_use]
pub fn defaults() -> File {
    File {
        archive: None,
        sources: vec![],
        capture: CaptureOptions {
            tables: None,
            settle: Some(Length(SETTLE)),
            flush_age: Some(Length(FLUSH_AGE)),
            flush_bytes: Some(Size(FLUSH_BYTES)),
        },
        service: ServiceOptions { listen: None, heartbeat_url: None, base_budget: Some(BASE_BUDGET) },
        base: BaseOptions { slack: Some(Length(SLACK)), read_units: Some(READ_UNITS), export: None },
        replay: ReplayOptions { write_units: Some(WRITE_UNITS), memory: Some(Size(REPLAY_MEMORY)) },
        status: StatusOptions { fail_if_older: None },
    }
}
