//! What a listing of the log shows, against what was read: entries under a delete marker, and holes.

use std::ops::RangeInclusive;

use super::chain::Walk;
use super::report::State;
use super::slots::slot;
use super::{Level, Scrub, VerifyError, orphans};
use crate::store::StoreError;

/// How far below the tail the log is listed at [`Level::Log`].
const NEAR: u64 = 1_000;

/// Which slots a listing shows, from the first one on that was asked for.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// The slot behind the last one shown.
    next: u64,
    /// Slots below that are not shown.
    missing: Vec<RangeInclusive<u64>>,
}

impl Listed {
    fn see(&mut self, n: u64) {
        if n > self.next {
            self.missing.push(self.next..=n - 1);
        }
        self.next = self.next.max(n + 1);
    }

    /// Entries that seem to be there.
    pub(super) fn length(&self) -> u64 {
        self.next
    }

    /// Slots below `end` that were filled when they were listed, and are not shown.
    fn unseen(&self, end: u64) -> impl Iterator<Item = u64> {
        self.missing.iter().cloned().flatten().chain(self.next..end).filter(move |n| *n < end)
    }
}

impl<F: FnMut(&super::Finding), P> Scrub<'_, F, P> {
    /// Lists the log before it is read, where every slot is compared with what is listed.
    pub(super) async fn listed(&self) -> Result<Listed, VerifyError> {
        let mut listed = Listed::default();
        if self.level == Level::Full {
            self.list(&mut listed).await?;
        }
        Ok(listed)
    }

    async fn list(&self, listed: &mut Listed) -> Result<(), VerifyError> {
        let after = listed.next.checked_sub(1).map(|n| format!("{}/{}", self.folder, slot(n)));
        orphans::each(self.store.as_ref(), &format!("{}/log/", self.folder), after, |object| {
            if let Some(n) = object.path.rsplit('/').next().and_then(number) {
                listed.see(n);
            }
        })
        .await?;
        Ok(())
    }

    /// 11: entries number without holes, and none is hidden. `hidden` is whether a marker ended the walk.
    pub(super) async fn tail(&mut self, walk: &mut Walk, mut listed: Listed, hidden: bool) -> Result<(), VerifyError> {
        if self.level == Level::Log {
            listed.next = walk.next.saturating_sub(NEAR);
        }
        self.list(&mut listed).await?;
        for n in listed.unseen(walk.next) {
            // The log is as it was, for the oldest version counts; but somebody tried to remove it.
            if let Err(StoreError::Hidden { .. }) = self.store.get(&format!("{}/{}", self.folder, slot(n)), None).await
            {
                self.tell(State::Hidden, &slot(n), "a delete marker hides it: remove the marker");
            }
        }
        let behind = listed.next > walk.next;
        let next = slot(walk.next);
        let path = format!("{}/{next}", self.folder);
        if hidden {
            let reason = "a delete marker is all that is left of it, and what stands behind it cannot be read";
            self.tell(State::Hidden, &next, reason);
        } else if behind && !self.store.occupied(&path).await? {
            let last = listed.next - 1;
            let reason = format!("entries up to {last} stand behind it, and cannot be checked without it");
            self.tell(State::Lost, &next, reason);
        } else {
            // It is the tail, or it was until a moment ago.
            return Ok(());
        }
        walk.cut = true;
        Ok(())
    }
}

/// The number in the name of an entry.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".entry")?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}
