//! Following the log: each entry in turn, past what a void makes void.

use std::ops::RangeInclusive;

use super::slot::Slot;
use super::{Log, LogError};
use crate::manifest::action::{Action, Void};
use crate::manifest::entry::{Entry, EntryError};
use crate::manifest::invariants::Violation;
use crate::manifest::state::{Blocked, Manifest};

/// Why an entry has no effect.
pub(super) enum Refused {
    Store(LogError),
    Entry { why: String, newer: bool },
}

impl From<LogError> for Refused {
    fn from(error: LogError) -> Self {
        Self::Store(error)
    }
}

impl From<Violation> for Refused {
    fn from(violation: Violation) -> Self {
        Self::Entry { why: violation.what, newer: false }
    }
}

impl Log {
    /// Applies every entry that stands after `manifest`, up to the tail or the first without effect.
    pub(super) async fn follow(&self, manifest: &mut Manifest) -> Result<(), LogError> {
        let Some(mut slot) = self.slot(manifest.next).await? else {
            return Ok(());
        };
        let (mut state, mut safe) = (manifest.clone(), manifest.next);
        loop {
            let n = state.next;
            match self.take(&mut state, &slot).await {
                Ok(()) => {}
                Err(Refused::Store(error)) => return Err(error),
                Err(Refused::Entry { why, newer }) => {
                    self.not_exchanged(manifest, n).await?;
                    state = self.again(manifest, n).await?;
                    if !self.pass(&mut state).await? {
                        state.blocked = Some(Blocked { n, why, newer });
                        break;
                    }
                    (*manifest, safe) = (state.clone(), state.next);
                }
            }
            state.blocked = None;
            // Progress is kept at times, so that a refusal does not begin again from far behind.
            if state.next - safe >= 10_000 {
                (*manifest, safe) = (state.clone(), state.next);
            }
            match self.slot(state.next).await? {
                Some(next) => slot = next,
                None => break,
            }
        }
        *manifest = state;
        Ok(())
    }

    /// Applies entries that stand in slots; false, with `manifest` as before, at the first without effect.
    pub(super) async fn take_all(&self, manifest: &mut Manifest, slots: &[Slot]) -> Result<bool, LogError> {
        let mut state = manifest.clone();
        for slot in slots {
            match self.take(&mut state, slot).await {
                Ok(()) => {}
                Err(Refused::Store(error)) => return Err(error),
                Err(Refused::Entry { .. }) => return Ok(false),
            }
        }
        *manifest = state;
        Ok(true)
    }

    /// Applies one entry; after an error `state` is of no use.
    async fn take(&self, state: &mut Manifest, slot: &Slot) -> Result<(), Refused> {
        let entry = match &slot.entry {
            Ok(entry) => entry,
            Err(error) => {
                let newer = matches!(error, EntryError::Newer(_));
                return Err(Refused::Entry { why: error.to_string(), newer });
            }
        };
        let months = state.unloaded_for(entry);
        self.load_months(state, &months).await?;
        let without = self.without_range(entry).await?;
        state.apply_in_place(entry, &slot.stored, without.as_ref())?;
        Ok(())
    }

    /// What the entries before `n` say after `manifest`; each of them was valid when it was read before.
    async fn again(&self, manifest: &Manifest, n: u64) -> Result<Manifest, LogError> {
        let mut state = manifest.clone();
        while state.next < n {
            let slot = self.filled(state.next).await?;
            match self.take(&mut state, &slot).await {
                Ok(()) => {}
                Err(Refused::Store(error)) => return Err(error),
                Err(Refused::Entry { .. }) => return Err(LogError::Forked { n: state.next }),
            }
        }
        Ok(state)
    }

    /// Looks ahead for the first valid void that holds the entry due next, and applies all up to it.
    async fn pass(&self, state: &mut Manifest) -> Result<bool, LogError> {
        let bad = state.next;
        let mut slots = vec![self.filled(bad).await?];
        while let Some(slot) = self.slot(bad + slots.len() as u64).await? {
            let void = slot.entry.as_ref().ok().and_then(void_of).filter(|void| (void.from..=void.to).contains(&bad));
            let range = void.map(|void| void.from..=void.to);
            slots.push(slot);
            if let Some(range) = range
                && let Some(passed) = self.attempt(state, &slots, &range).await?
            {
                *state = passed;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `slots` applied to `state`, those of `range` without effect where they are not valid.
    async fn attempt(
        &self,
        state: &Manifest,
        slots: &[Slot],
        range: &RangeInclusive<u64>,
    ) -> Result<Option<Manifest>, LogError> {
        let mut state = state.clone();
        for slot in slots {
            let mut next = state.clone();
            match self.take(&mut next, slot).await {
                Ok(()) => state = next,
                Err(Refused::Store(error)) => return Err(error),
                // The bytes as they lie are what the next entry chains to.
                Err(Refused::Entry { .. }) if range.contains(&state.next) => state.step(&slot.stored),
                Err(Refused::Entry { .. }) => return Ok(None),
            }
        }
        Ok(Some(state))
    }

    /// What `Manifest::apply` needs for an entry with a void.
    pub(super) async fn without_range(&self, entry: &Entry) -> Result<Option<Manifest>, LogError> {
        match void_of(entry) {
            Some(void) if void.to < entry.n => self.without(entry.n, void).await,
            _ => Ok(None),
        }
    }

    /// The log before entry `n` as if the voids before it and `void` held from the start; none if that log is not valid.
    async fn without(&self, n: u64, void: &Void) -> Result<Option<Manifest>, LogError> {
        let slots = self.slots(0, n).await?;
        let mut ranges = vec![void.from..=void.to];
        let voids = slots.iter().filter_map(|slot| slot.entry.as_ref().ok().and_then(void_of));
        ranges.extend(voids.map(|void| void.from..=void.to));
        let skipped = |n: u64| ranges.iter().any(|range| range.contains(&n));
        let mut state = Manifest::default();
        for slot in &slots {
            let Ok(entry) = &slot.entry else {
                if !skipped(state.next) {
                    return Ok(None);
                }
                state.step(&slot.stored);
                continue;
            };
            if skipped(entry.n) || void_of(entry).is_some() {
                if entry.prev_sha256 != state.tail_sha256 {
                    return Ok(None);
                }
                state.step(&slot.stored);
            } else if state.apply_in_place(entry, &slot.stored, None).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(state))
    }

    /// A broken chain may be our own memory of a slot that was exchanged since.
    async fn not_exchanged(&self, manifest: &Manifest, n: u64) -> Result<(), LogError> {
        let Some(tail) = manifest.next.checked_sub(1).filter(|_| manifest.next == n) else {
            return Ok(());
        };
        let same = self.filled(tail).await?.stored.sha256;
        if manifest.tail_sha256.as_ref() == Some(&same) { Ok(()) } else { Err(LogError::Forked { n: tail }) }
    }
}

fn void_of(entry: &Entry) -> Option<&Void> {
    entry.actions.iter().find_map(|action| match action {
        Action::Void(void) => Some(void),
        _ => None,
    })
}
