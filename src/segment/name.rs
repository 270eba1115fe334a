//! Where segments lie, relative to the table's folder.

use super::Tier;
use crate::change::Second;

/// `raw/dt=2026-11-22/<ulid>.parquet`
#[must_use]
pub fn raw(dt: &str, ulid: &str) -> String {
    format!("raw/dt={dt}/{ulid}.parquet")
}

/// `sealed/dt=2026-11-22/part=heads/bucket=017/<n>-<k>.parquet`: `n` is the number of the entry with `seal_started`, `k`
/// the file's place in its part and bucket, from 0.
#[must_use]
pub fn sealed(dt: &str, part: Tier, bucket: u16, n: u64, k: u32) -> String {
    format!("sealed/dt={dt}/part={}/bucket={bucket:03}/{n}-{k}.parquet", part.word())
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
        assert_eq!(
            sealed("2026-11-22", Tier::Heads, 17, 42, 3),
            "sealed/dt=2026-11-22/part=heads/bucket=017/42-3.parquet"
        );
        let started = Second::parse("2026-11-01T00:00:00Z").unwrap();
        assert_eq!(base(started, 17, 42, 3), "base/at=2026-11-01T000000Z/bucket=017/42-3.parquet");
    }
}
