//! How many different keys there are among many, in bounded memory.

use std::collections::BTreeMap;

/// So many of the least hashes are kept: up to as many keys are counted, more are estimated to some 4 %.
const KEPT: usize = 512;

/// The keys with the least hashes, with what is remembered of each. Hashes are evenly spread, so that the greatest of
/// them tells how many there are.
#[derive(Debug, Clone)]
pub(super) struct Distinct<T> {
    least: BTreeMap<u64, T>,
    /// No greater hash is kept.
    most: u64,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { least: BTreeMap::new(), most: u64::MAX }
    }
}

impl<T> Distinct<T> {
    /// Takes a key; `remembered` is asked for if it is kept.
    pub(super) fn add(&mut self, hash: u64, remembered: impl FnOnce() -> T) {
        if hash > self.most {
            return;
        }
        self.least.entry(hash).or_insert_with(remembered);
        if self.least.len() > KEPT {
            self.least.pop_last();
            self.most = self.least.last_key_value().map_or(u64::MAX, |(hash, _)| *hash);
        }
    }

    /// Takes all that another has.
    pub(super) fn merge(&mut self, other: Self) {
        for (hash, remembered) in other.least {
            self.add(hash, || remembered);
        }
    }

    /// How many there were, about.
    pub(super) fn count(&self) -> u64 {
        match self.least.last_key_value() {
            // In integers: the mean distance of the hashes that are kept, as a share of all.
            Some((greatest, _)) if self.least.len() == KEPT => {
                let kept = KEPT as u128 - 1;
                u64::try_from((kept << 64) / (u128::from(*greatest) + 1)).unwrap_or(u64::MAX)
            }
            _ => self.least.len() as u64,
        }
    }

    /// What is remembered of a fair sample of them.
    pub(super) fn sample(&self) -> impl Iterator<Item = &T> {
        self.least.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    fn of(keys: std::ops::Range<u64>) -> Distinct<u64> {
        let mut distinct = Distinct::default();
        for key in keys.clone().chain(keys) {
            distinct.add(xxh3_64(&key.to_be_bytes()), || key);
        }
        distinct
    }

    #[test]
    fn few_are_counted_and_many_are_estimated() {
        assert_eq!(of(0..0).count(), 0);
        assert_eq!(of(0..500).count(), 500);
        for many in [2_000_u64, 100_000, 1_000_000] {
            let found = of(0..many).count();
            assert!(found.abs_diff(many) * 100 <= many * 15, "{found} of {many}");
        }
    }

    #[test]
    fn what_is_merged_is_as_if_it_had_been_added_to_one() {
        let mut merged = of(0..60_000);
        merged.merge(of(30_000..100_000));
        let whole = of(0..100_000);
        assert_eq!(merged.count(), whole.count());
        assert!(merged.sample().eq(whole.sample()));
    }
}
