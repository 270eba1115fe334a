//! Opening: the tail, the fold that it names, the entries after it; older folds and entry 0 when that fails.

use super::slot::Slot;
use super::{Log, LogError};
use crate::manifest::entry::FoldPointer;
use crate::manifest::pack;
use crate::manifest::state::Manifest;

/// How many folds are tried before the log is read from entry 0.
const FOLDS: usize = 8;

impl Log {
    pub(super) async fn load(&self) -> Result<Manifest, LogError> {
        let length = self.length(0).await?;
        let mut named_in = length;
        for _ in 0..FOLDS {
            let Some(fold) = self.fold_named_below(named_in).await? else { break };
            if let Some(mut manifest) = self.read_fold(&fold.pointer).await? {
                match self.follow(&mut manifest).await {
                    // Only an entry that has effect may name a fold.
                    Ok(()) if manifest.blocked.as_ref().is_none_or(|blocked| blocked.n > fold.named_in) => {
                        return self.whole(manifest, length);
                    }
                    // A part of this fold is gone: an older fold may still have its own.
                    Ok(()) | Err(LogError::Part { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            named_in = fold.named_in.min(fold.pointer.n + 1);
        }
        self.read_all(length).await
    }

    /// The fold named by the newest readable entry below `end`.
    async fn fold_named_below(&self, end: u64) -> Result<Option<Named>, LogError> {
        for n in (end.saturating_sub(FOLDS as u64)..end).rev() {
            if let Ok(entry) = self.filled(n).await?.entry {
                return Ok(entry.fold.map(|pointer| Named { pointer, named_in: n }));
            }
        }
        Ok(None)
    }

    /// The log from entry 0, by packs where they stand.
    async fn read_all(&self, length: u64) -> Result<Manifest, LogError> {
        let mut manifest = Manifest::default();
        while let Some(slots) = self.pack(manifest.next).await? {
            if !self.take_all(&mut manifest, &slots).await? {
                break;
            }
        }
        self.follow(&mut manifest).await?;
        self.whole(manifest, length)
    }

    fn whole(&self, manifest: Manifest, length: u64) -> Result<Manifest, LogError> {
        if manifest.next < length && manifest.blocked.is_none() {
            return Err(LogError::Hole { n: manifest.next });
        }
        Ok(manifest)
    }

    /// The slots of `[from, to)`, all of them filled.
    pub(super) async fn slots(&self, from: u64, to: u64) -> Result<Vec<Slot>, LogError> {
        let mut slots = Vec::new();
        let mut packed = None;
        while from + (slots.len() as u64) < to {
            let n = from + slots.len() as u64;
            if n.is_multiple_of(pack::ENTRIES) && n + pack::ENTRIES <= to {
                packed = self.pack(n).await?;
            }
            match packed.take() {
                Some(pack) => slots.extend(pack),
                None => slots.push(self.filled(n).await?),
            }
        }
        Ok(slots)
    }
}

struct Named {
    pointer: FoldPointer,
    named_in: u64,
}
