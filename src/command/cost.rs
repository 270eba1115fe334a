//! What a month of archiving one table costs in requests, by the list prices of us-east-1.

use std::fmt;

use serde::Serialize;

use crate::config::unit::Dollars;
use crate::manifest::Manifest;

/// Seconds of a month.
const MONTH: u64 = 30 * 86_400;
/// Billionths of a dollar: 100,000 `GetRecords` calls cost 2 cents, a million puts into S3 $5.
const READ: u64 = 200;
const PUT: u64 = 5_000;
/// Thousandths of a second between two reads of a shard: while nothing is written, and while something is.
const READS: (u64, u64) = (5_500, 1_000);
/// Seconds between two entries: of an idle table, whose entry is one object, and of one that is written to, which puts a
/// segment beside each.
const ENTRIES: (u64, u64) = (900, 60);

/// In cents a month; what is stored, and what a change is billed for by bytes, come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Cost {
    open_shards: u64,
    idle_cents: u64,
    busy_cents: u64,
}

impl Cost {
    /// Of the stream that is read now.
    pub(super) fn of(manifest: &Manifest) -> Option<Self> {
        let (open, _) = manifest.open_epoch()?;
        let shards = manifest.shards.iter().filter(|(key, shard)| key.epoch == open && shard.closed_at.is_none());
        Some(Self::of_shards(shards.count() as u64))
    }

    fn of_shards(open_shards: u64) -> Self {
        let cents = |every: u64, entries: u64, puts: u64| {
            let billionths = open_shards * (MONTH * 1000 / every) * READ + (MONTH / entries) * puts * PUT;
            billionths.div_ceil(10_000_000)
        };
        let (idle_cents, busy_cents) = (cents(READS.0, ENTRIES.0, 1), cents(READS.1, ENTRIES.1, 2));
        Self { open_shards, idle_cents, busy_cents }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open_shards, idle_cents, busy_cents } = self;
        let shards = if *open_shards == 1 { "1 open shard".to_owned() } else { format!("{open_shards} open shards") };
        write!(
            f,
            "{} a month while idle, {} while busy, in requests for {shards} (list prices of us-east-1)",
            Dollars(*idle_cents),
            Dollars(*busy_cents)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_told_in_dollars() {
        let one = Cost::of_shards(1).to_string();
        // 471,272 reads and 2,880 puts; 2,592,000 reads and 86,400 puts.
        assert!(
            one.starts_with("$0.11 a month while idle, $0.96 while busy") && one.contains("1 open shard "),
            "{one}"
        );
        let many = Cost::of_shards(1000).to_string();
        assert!(many.contains("$94.27") && many.contains("$518.84"), "{many}");
    }
}
