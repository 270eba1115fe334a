//! 9. Scrub: every object of a table is what the log committed, and log, rows and images agree.
//!
//! ```text
//! entries in order → hash, chain, predicates (chain) → segments of each entry, side by side (segments)
//!                                                    → rows against images (rows) and spans (spans)
//! then: folds and packs against what was refolded, named objects that are gone, objects that nothing names
//! ```
//!
//! Memory is bounded by the folded log and a handful of segments, whatever the archive holds.

mod chain;
mod derived;
mod orphans;
mod report;
mod rows;
mod segments;
mod spans;

use std::sync::Arc;

pub use report::{Counts, Finding, State};

use crate::change::{Second, TableIdentity};
use crate::manifest::LogError;
use crate::store::{ObjectStore, StoreError, archive};

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The log and what is derived from it. Full packs stand for their entries, bound to the chain by the last of
    /// each, and only the folds near the tail are compared: some hundreds of requests for a million entries.
    Log,
    /// Every object that it names, down to the rows.
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
    let mut scrub = Scrub { store, table, folder, level, found, progress, counts: Counts::default() };
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
    table: &'a TableIdentity,
    folder: String,
    level: Level,
    found: F,
    progress: P,
    counts: Counts,
}

impl<F: FnMut(&Finding), P: Fn(u64, u64)> Scrub<'_, F, P> {
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
