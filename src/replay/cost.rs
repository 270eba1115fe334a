//! What running a plan will take, about: requests and time. Nothing is decided by it.

use serde::Serialize;

use super::image::Bounds;
use super::plan::Plan;
use crate::manifest::WHOLE_BYTES;
use crate::segment::SegmentMeta;

/// Processor time for each row whose key is looked at, in nanoseconds, as measured on ten million.
const NANOS_A_ROW: u64 = 1_200;
/// The same for each byte: all are hashed, and those of images unpacked.
const NANOS_A_BYTE: u64 = 4;
/// A large object whose images are wanted is asked for its end, and then for some of its pages; a small one comes whole.
const REQUESTS_AGAIN: (u64, u64) = (2, 1);

/// An estimate, for keys that fit into memory at once. With less memory the objects are read so much more often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Requests to the store.
    pub requests: u64,
    /// Seconds on so many processors, if the store is no slower.
    pub seconds: u64,
}

impl Cost {
    /// What it takes within `bounds` on so many processors.
    #[must_use]
    pub fn of(plan: &Plan, bounds: Bounds, processors: usize) -> Self {
        let (mut requests, mut kept) = (0, bounds.kept as u64);
        for SegmentMeta { bytes, .. } in plan.objects() {
            requests += 1;
            match kept.checked_sub(*bytes) {
                Some(left) => kept = left,
                None if *bytes > WHOLE_BYTES => requests += REQUESTS_AGAIN.0,
                None => requests += REQUESTS_AGAIN.1,
            }
        }
        let nanos = plan.rows.saturating_mul(NANOS_A_ROW) + plan.bytes.saturating_mul(NANOS_A_BYTE);
        let seconds = nanos.div_ceil(1_000_000_000).div_ceil(processors.max(1) as u64);
        Self { requests, seconds }
    }
}
