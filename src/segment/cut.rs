//! Where one segment ends and the next begins: when captured rows are flushed, and how sorted rows are cut.

use std::time::Duration;

/// When captured rows become a segment: at whichever limit is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushPolicy {
    /// Bytes of delivered records.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Age of the oldest row held.
    pub age: Duration,
}

impl Default for FlushPolicy {
    fn default() -> Self {
        Self { bytes: 32 << 20, rows: 500_000, age: Duration::from_secs(60) }
    }
}

impl FlushPolicy {
    /// Whether what is held must be flushed now. Nothing is ever flushed without rows.
    #[must_use]
    pub fn is_due(&self, bytes: u64, rows: u64, oldest: Duration) -> bool {
        rows > 0 && (bytes >= self.bytes || rows >= self.rows || oldest >= self.age)
    }
}

/// Bytes of rows that sorting holds in memory, and at which a sorted file ends: 50 GB make 3,200 files. With more of
/// them nothing is faster, and memory follows them six times over.
pub const HELD: u64 = 16 << 20;
/// A table, or a day, up to this size has one bucket.
const BUCKET_BYTES: u64 = 256 << 20;
/// At most 512 buckets.
const MOST_BITS: u8 = 9;

/// Leading hash bits that choose a bucket, for a table or a day of this size.
#[must_use]
pub fn bits_for(bytes: u64) -> u8 {
    let buckets = bytes.div_ceil(BUCKET_BYTES).max(1).next_power_of_two();
    u8::try_from(buckets.trailing_zeros()).unwrap_or(MOST_BITS).min(MOST_BITS)
}

/// Cuts sorted rows into outputs: a file ends before the first key that would pass the limit, so a key never
/// straddles two files, and a key that passes it alone has a file to itself.
#[derive(Debug, Clone)]
pub struct OutputCut {
    limit: u64,
    held: u64,
}

impl OutputCut {
    /// Outputs of at most `limit`, counted in [`Row::weight`](super::Row::weight).
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self { limit, held: 0 }
    }

    /// Takes the next key, whose rows together weigh `weight`; `true` if a new file begins with it.
    /// The first key of all begins no new file.
    pub fn begins_file(&mut self, weight: u64) -> bool {
        let begins = self.held > 0 && self.held.saturating_add(weight) > self.limit;
        self.held = if begins { weight } else { self.held.saturating_add(weight) };
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_at_the_first_limit_and_never_without_rows() {
        let policy = FlushPolicy::default();
        assert!(!policy.is_due(policy.bytes - 1, 1, Duration::from_secs(59)));
        assert!(policy.is_due(policy.bytes, 1, Duration::ZERO));
        assert!(policy.is_due(0, policy.rows, Duration::ZERO));
        assert!(policy.is_due(0, 1, Duration::from_secs(60)));
        assert!(!policy.is_due(policy.bytes, 0, Duration::from_secs(60)));
    }

    #[test]
    fn a_file_ends_before_the_key_that_would_pass_the_limit() {
        let mut cut = OutputCut::new(100);
        let begins: Vec<bool> = [60, 40, 1, 500, 1, 99].into_iter().map(|weight| cut.begins_file(weight)).collect();
        assert_eq!(begins, [false, false, true, true, true, false]);
    }

    #[test]
    fn buckets_follow_the_size() {
        let mib = |n: u64| bits_for(n << 20);
        assert_eq!([mib(0), mib(256), mib(257), mib(1024), mib(1 << 40)], [0, 0, 1, 2, 9]);
    }
}
