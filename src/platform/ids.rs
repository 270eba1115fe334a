//! Random identifiers, from the system or from a seed.
#![expect(clippy::disallowed_methods, reason = "this file is where ambient randomness is let in")]

use std::sync::{Arc, Mutex};

/// A source of identifiers. Clones share one state, so a seeded run draws one fixed series.
#[derive(Debug, Clone)]
pub struct Ids {
    seeded: Option<Arc<Mutex<u64>>>,
}

impl Ids {
    /// Identifiers that nobody can foresee or repeat.
    #[must_use]
    pub const fn random() -> Self {
        Self { seeded: None }
    }

    /// The same identifiers for the same seed, for simulation.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seeded: Some(Arc::new(Mutex::new(seed))) }
    }

    /// 64 random bits.
    #[must_use]
    pub fn bits(&self) -> u64 {
        match &self.seeded {
            None => getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())),
            Some(state) => {
                // SplitMix64: one addition and a mix, enough for names and jitter.
                let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
        }
    }

    /// 128 random bits in hex: the identity of one commit.
    #[must_use]
    pub fn commit_id(&self) -> String {
        format!("{:016x}{:016x}", self.bits(), self.bits())
    }

    /// A name that sorts by `at_ms` (milliseconds since 1970), for a segment.
    #[must_use]
    pub fn ulid(&self, at_ms: u64) -> String {
        let random = (u128::from(self.bits()) << 64) | u128::from(self.bits());
        ulid::Ulid::from_parts(at_ms, random).to_string()
    }

    /// A number below `bound` (which must not be 0), for jitter.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }
}
