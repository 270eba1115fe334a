//! Following the log: each entry in turn, past what a void makes void.

use std::ops::RangeInclusive;

use super::packs::Feed;
use super::slot::Slot;
use super::{Log, LogError};
use crate::manifest::action::{Action, Void};
use crate::manifest::entry::{Entry, EntryError};
use crate::manifest::invariants::Violation;
use crate::manifest::state::{Blocked, Manifest, Voided};

/// Entries after which progress is kept for the first time.
const KEPT_AFTER: u64 = 10_000;

/// Why following ended before the tail.
#[derive(Debug)]
pub(super) enum Halt {
    Log(LogError),
    /// A part of the fold that the manifest came from is missing or altered: begin again without it.
    Part,
}

/// Why an entry has no effect, or could not be judged.
enum Refused {
    Halt(Halt),
    Entry { why: String, newer: bool },
}

impl From<LogError> for Halt {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl<E: Into<Halt>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Halt(error.into())
    }
}

impl From<Violation> for Refused {
    fn from(violation: Violation) -> Self {
        Self::Entry { why: violation.what, newer: false }
    }
}

impl Log {
    /// Applies every entry that stands after `manifest`, up to the tail or the first without effect.
    pub(super) async fn follow(&self, manifest: &mut Manifest) -> Result<(), Halt> {
        let mut feed = Feed::from(self, manifest.next);
        let Some(mut slot) = feed.next().await? else { return Ok(()) };
        let (mut state, mut safe) = (manifest.clone(), manifest.next);
        loop {
            let n = state.next;
            match self.take(&mut state, &slot).await {
                Ok(()) => {}
                Err(Refused::Halt(halt)) => return Err(halt),
                Err(Refused::Entry { why, newer }) => {
                    self.not_exchanged(manifest, n).await?;
                    state = self.again(manifest, n).await?;
                    if !self.pass(&mut state).await? {
                        state.blocked = Some(Blocked { n, why, newer });
                        break;
                    }
                    feed = Feed::from(self, state.next);
                    (*manifest, safe) = (state.clone(), state.next);
                }
            }
            state.blocked = None;
            // Progress is kept at times, so that a refusal does not begin again from far behind; ever more rarely,
            // for a copy costs as much as the manifest is long.
            if state.next >= KEPT_AFTER + 2 * safe {
                (*manifest, safe) = (state.clone(), state.next);
            }
            match feed.next().await? {
                Some(next) => slot = next,
                None => break,
            }
        }
        *manifest = state;
        Ok(())
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
        let days = state.unloaded_for(entry);
        self.load_days(state, &days).await?;
        let without = self.without_range(entry, state).await?;
        state.apply_in_place(entry, &slot.stored, without.as_ref())?;
        Ok(())
    }

    /// What the entries before `n` say after `manifest`; each of them was valid when it was read before.
    async fn again(&self, manifest: &Manifest, n: u64) -> Result<Manifest, Halt> {
        let mut state = manifest.clone();
        let mut feed = Feed::from(self, state.next);
        while state.next < n {
            let slot = feed.next().await?.ok_or(LogError::Hole { n: state.next })?;
            match self.take(&mut state, &slot).await {
                Ok(()) => {}
                Err(Refused::Halt(halt)) => return Err(halt),
                Err(Refused::Entry { .. }) => return Err(LogError::Forked { n: state.next }.into()),
            }
        }
        Ok(state)
    }

    /// Looks ahead for the first valid void that holds the entry due next, and applies all up to it.
    async fn pass(&self, state: &mut Manifest) -> Result<bool, Halt> {
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
    ) -> Result<Option<Manifest>, Halt> {
        let mut state = state.clone();
        for slot in slots {
            let mut next = state.clone();
            match self.take(&mut next, slot).await {
                Ok(()) => state = next,
                Err(Refused::Halt(halt)) => return Err(halt),
                // The bytes as they lie are what the next entry chains to.
                Err(Refused::Entry { .. }) if range.contains(&state.next) => state.step(&slot.stored),
                Err(Refused::Entry { .. }) => return Ok(None),
            }
        }
        Ok(Some(state))
    }

    /// What `Manifest::apply` needs for an entry with a void.
    pub(crate) async fn without_range(&self, entry: &Entry, state: &Manifest) -> Result<Option<Manifest>, LogError> {
        match void_of(entry) {
            Some(void) if void.to < entry.n => self.without(entry.n, void, &state.voids).await,
            _ => Ok(None),
        }
    }

    /// The log before entry `n` as if `void`, and those of `earlier` (the voids before it that had effect), held from
    /// the start; none if that log is not valid.
    async fn without(&self, n: u64, void: &Void, earlier: &[Voided]) -> Result<Option<Manifest>, LogError> {
        let skips = |at: u64| {
            (void.from..=void.to).contains(&at) || earlier.iter().any(|void| (void.from..=void.to).contains(&at))
        };
        let mut state = Manifest::default();
        let mut feed = Feed::from(self, 0);
        while state.next < n {
            let at = state.next;
            let slot = feed.next().await?.ok_or(LogError::Hole { n: at })?;
            // A void that takes nothing out beside what is out already holds at its place, too.
            let had_effect = earlier.iter().any(|void| void.n == at);
            let idle = |void: &Void| (void.from..=void.to).all(skips) && void.from <= void.to && void.to < at;
            let holds = had_effect || slot.entry.as_ref().ok().and_then(void_of).is_some_and(idle);
            if !state.apply_without(&slot, skips(at), holds) {
                return Ok(None);
            }
        }
        Ok(Some(state))
    }

    /// A broken chain may be our own memory of a slot that was exchanged since.
    pub(super) async fn not_exchanged(&self, manifest: &Manifest, n: u64) -> Result<(), LogError> {
        let Some(tail) = manifest.next.checked_sub(1).filter(|_| manifest.next == n) else {
            return Ok(());
        };
        let same = self.filled(tail).await?.stored.sha256;
        if manifest.tail_sha256.as_ref() == Some(&same) { Ok(()) } else { Err(LogError::Forked { n: tail }) }
    }
}

impl Manifest {
    /// Applies what stands in the next slot. A `skipped` one counts with its number and bytes only, whatever they are: the
    /// next entry that is not skipped binds them. False, and the manifest is of no use, if the log is not valid so.
    fn apply_without(&mut self, slot: &Slot, skipped: bool, void_holds: bool) -> bool {
        match &slot.entry {
            _ if skipped => {
                self.step(&slot.stored);
                true
            }
            Ok(entry) if void_holds => {
                entry.prev_sha256 == self.tail_sha256 && self.void_again(entry, &slot.stored).is_ok()
            }
            Ok(entry) => self.apply_in_place(entry, &slot.stored, None).is_ok(),
            Err(_) => false,
        }
    }
}

fn void_of(entry: &Entry) -> Option<&Void> {
    entry.actions.iter().find_map(|action| match action {
        Action::Void(void) => Some(void),
        _ => None,
    })
}
