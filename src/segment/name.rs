//! Where segments lie, relative to the table's folder.

use crate::change::Second;

/// `raw/dt=2026-11-22/<ulid>.parquet`
#[must_use]
pub fn raw(dt: &str, ulid: &str) -> String {
    format!("raw/dt={dt}/{ulid}.parquet")
}

/// `base/at=2026-11-01T000000Z/bucket=017/<n>-<k>.parquet`: `started` is the service's time in `base_started`,
/// `n` that entry's number, `k` the file's place in its bucket, from 0.
#[must_use]
pub fn base(started: Second, bucket: u16, n: u64, k: u32) -> String {
    let at = started.to_string().replace(':', "");
    format!("base/at={at}/bucket={bucket:03}/{n}-{k}.parquet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_format() {
        assert_eq!(
            raw("2026-11-22", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            "raw/dt=2026-11-22/01ARZ3NDEKTSV4RRFFQ69G5FAV.parquet"
        );
        let started = Second::parse("2026-11-01T00:00:00Z").unwrap();
        assert_eq!(base(started, 17, 42, 3), "base/at=2026-11-01T000000Z/bucket=017/42-3.parquet");
    }
}
