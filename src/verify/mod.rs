//! 9. Scrub: every object of a table is what the log committed, and log, rows and images agree.
//!
//! ```text
//! slots in order (slots) → hash, chain, predicates (chain), voids as every reader takes them (voids)
//!                        → segments of each entry, side by side (segments): rows against their images (rows),
//!                          their spans (spans), and the other files of their base or seal (files)
//!                        → folds and packs against what was refolded (derived)
//! then: slots that no listing shows (listing), named objects that are gone, objects that nothing names (orphans)
//! ```
//!
//! Memory: two copies of the folded log (the newest, and an earlier one to start again from when an entry proves
//! invalid), four segments with the places of the rows of their entries, one pack, and a line for each object under
//! `fold/` and for each finding; not what else the archive holds.

mod chain;
mod derived;
mod files;
mod listing;
mod orphans;
mod report;
mod rows;
mod segments;
mod slots;
mod spans;
mod voids;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use report::{Counts, Finding, State};

use slots::Slots;

use crate::change::{Second, TableIdentity};
use crate::manifest::{Log, LogError};
use crate::platform::ids::Ids;
use crate::store::{ObjectStore, StoreError, archive};

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The log and what opening it needs. Full packs stand for their entries, bound to the chain by the last of each,
    /// and of those entries' folds only the ones near the tail are compared.
    Log,
    /// Every object, down to the rows.
    Full,
}

/// Why nothing can be said: no statement about the archive.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log needs a newer tailrace, or could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Verifies one timeline. `found` hears of every finding, `progress` of entries done and entries in all.
///
/// # Errors
/// [`VerifyError`] if the check could not be done; damage is a finding, not an error.
pub async fn table(
    store: &Arc<dyn ObjectStore>,
    table: &TableIdentity,
    level: Level,
    found: impl FnMut(&Finding),
    progress: impl Fn(u64, u64),
) -> Result<Counts, VerifyError> {
    let folder = table.folder();
    let log = Log::unread(Arc::clone(store), table, Ids::random());
    let packs = BTreeSet::new();
    let mut scrub = Scrub { store, log, folder, level, packs, found, progress, counts: Counts::default() };
    scrub.run().await?;
    Ok(scrub.counts)
}

/// Looks for objects in the archive's root that are no part of any archive: what a killed `init` left, or a stranger's.
///
/// # Errors
/// [`VerifyError`] if the store did not answer.
pub async fn root(store: &Arc<dyn ObjectStore>, mut found: impl FnMut(&Finding)) -> Result<Counts, VerifyError> {
    let mut counts = Counts::default();
    orphans::strays(store.as_ref(), "", &[archive::PATH], &OWN, |object| {
        counts.found(State::Orphan);
        found(&Finding {
            state: State::Orphan,
            object: object.path.clone(),
            reason: "no archive has such an object".to_owned(),
            written: object.modified,
        });
    })
    .await?;
    Ok(counts)
}

/// The folders of an archive.
const OWN: [&str; 5] = ["tables/", "access/", "keys/", "heads/", "exports/"];

/// One verification under way.
struct Scrub<'a, F, P> {
    store: &'a Arc<dyn ObjectStore>,
    log: Log,
    folder: String,
    level: Level,
    /// Packs that may stand for their entries, by first entry.
    packs: BTreeSet<u64>,
    found: F,
    progress: P,
    counts: Counts,
}

impl<F, P> Scrub<'_, F, P> {
    /// The slots from `next` on, as this level reads them.
    fn slots(&self, next: u64) -> Slots {
        Slots::new(Arc::clone(self.store), self.folder.clone(), next, self.packs.clone())
    }
}

impl<F: FnMut(&Finding), P> Scrub<'_, F, P> {
    /// Tells of an object, named relative to the table's folder.
    fn tell(&mut self, state: State, path: &str, reason: impl Into<String>) {
        self.tell_of(state, path, reason, None);
    }

    fn tell_of(&mut self, state: State, path: &str, reason: impl Into<String>, written: Option<Second>) {
        let object = format!("{}/{path}", self.folder);
        self.counts.found(state);
        (self.found)(&Finding { state, object, reason: reason.into(), written });
    }
}
