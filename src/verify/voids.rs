//! Entries that cannot be applied, and the voids that go past them: as every reader of the log takes them.

use std::ops::RangeInclusive;

use super::slots::{Slot, slot, stored};
use super::{Scrub, VerifyError};
use crate::manifest::action::Void;
use crate::manifest::{Action, Entry, LogError, Manifest};
use crate::store::Object;

/// A valid void that goes past an entry.
#[derive(Debug, Clone)]
pub(super) struct Passage {
    /// What it makes void.
    pub range: RangeInclusive<u64>,
    /// Its own entry.
    pub at: u64,
}

impl<F, P> Scrub<'_, F, P> {
    /// What the log says in front of entry `n`: `safe`, and the entries since, each of which was valid when it was
    /// read. None if one of them is not any more.
    pub(super) async fn again(&self, safe: &Manifest, n: u64) -> Result<Option<Manifest>, VerifyError> {
        let mut state = safe.clone();
        let mut slots = self.slots(state.next);
        while state.next < n {
            let Slot::Filled { object, .. } = slots.next().await? else { return Ok(None) };
            let Ok(entry) = Entry::decode(state.next, &object.bytes) else { return Ok(None) };
            if state.apply_in_place(&entry, &stored(&object), None).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(state))
    }

    /// The first valid void behind `state` that holds entry `bad`.
    pub(super) async fn void_past(&self, state: &Manifest, bad: u64) -> Result<Option<Passage>, VerifyError> {
        let mut slots = self.slots(state.next);
        let mut n = state.next;
        while let Slot::Filled { object, .. } = slots.next().await? {
            let range = Entry::decode(n, &object.bytes).ok().and_then(|entry| void_of(&entry).map(range_of));
            if let Some(range) = range.filter(|range| range.contains(&bad) && *range.end() < n) {
                let passage = Passage { range, at: n };
                if self.holds(state, &passage).await? {
                    return Ok(Some(passage));
                }
            }
            n += 1;
        }
        Ok(None)
    }

    /// Whether everything from `state` up to the void applies, entries of its range aside.
    async fn holds(&self, state: &Manifest, passage: &Passage) -> Result<bool, VerifyError> {
        let mut state = state.clone();
        let mut slots = self.slots(state.next);
        while state.next <= passage.at {
            let Slot::Filled { object, .. } = slots.next().await? else { return Ok(false) };
            if !self.advance(&mut state, &object, &passage.range).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Applies what stands in the next slot; of `voided` what cannot be applied counts for the chain only. False, and
    /// `state` is of no use, where anything else cannot be applied.
    pub(super) async fn advance(
        &self,
        state: &mut Manifest,
        object: &Object,
        voided: &RangeInclusive<u64>,
    ) -> Result<bool, VerifyError> {
        let (n, stored) = (state.next, stored(object));
        let inside = voided.contains(&n);
        let done = match Entry::decode(n, &object.bytes) {
            Err(_) => false,
            Ok(entry) => {
                let without = self.without_range(&entry, state).await?;
                if inside {
                    state.apply(&entry, &stored, without.as_ref()).is_ok()
                } else {
                    state.apply_in_place(&entry, &stored, without.as_ref()).is_ok()
                }
            }
        };
        if !done && inside {
            state.step(&stored);
        }
        Ok(done || inside)
    }

    /// For an entry with a void: the log without its range; none if that does not hold.
    pub(super) async fn without_range(&self, entry: &Entry, state: &Manifest) -> Result<Option<Manifest>, VerifyError> {
        match self.log.without_range(entry, state).await {
            Ok(without) => Ok(without),
            Err(LogError::Hole { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The void that an entry holds.
pub(super) fn void_of(entry: &Entry) -> Option<&Void> {
    entry.actions.iter().find_map(|action| match action {
        Action::Void(void) => Some(void),
        _ => None,
    })
}

/// The entries that a void makes void.
pub(super) fn range_of(void: &Void) -> RangeInclusive<u64> {
    void.from..=void.to
}

/// What an operator reads of an entry that this build is too old for.
pub(super) fn newer(n: u64, what: &str) -> VerifyError {
    LogError::FormatNewer { n, what: format!("{what} ({})", slot(n)) }.into()
}
