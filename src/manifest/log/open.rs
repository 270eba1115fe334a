//! Opening: the tail, the fold that it names, the entries after it; older folds and entry 0 when that fails.

use super::follow::Halt;
use super::{Log, LogError};
use crate::manifest::entry::FoldPointer;
use crate::manifest::state::Manifest;

/// How many folds are tried before the log is read from entry 0.
const FOLDS: usize = 8;

impl Log {
    pub(super) async fn load(&self) -> Result<Manifest, LogError> {
        let length = self.length().await?;
        let mut named_in = length;
        for _ in 0..FOLDS {
            let Some(fold) = self.fold_named_below(named_in).await? else { break };
            if let Some(mut manifest) = self.read_fold(&fold.pointer).await? {
                match self.follow(&mut manifest).await {
                    // Only an entry that has effect may name a fold.
                    Ok(()) if manifest.blocked.as_ref().is_none_or(|blocked| blocked.n > fold.named_in) => {
                        return whole(manifest, length);
                    }
                    // A part of this fold is gone, or it is the fold of another log: an older one may be sound.
                    Ok(()) | Err(Halt::Part | Halt::Log(LogError::Forked { .. })) => {}
                    Err(Halt::Log(error)) => return Err(error),
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

    /// The log from entry 0, by packs where they stand, at least up to `length`.
    pub(super) async fn read_all(&self, length: u64) -> Result<Manifest, LogError> {
        let mut manifest = Manifest::default();
        match self.follow(&mut manifest).await {
            Ok(()) => whole(manifest, length),
            Err(Halt::Log(error)) => Err(error),
            // From entry 0 on nothing rests on a part.
            Err(Halt::Part) => Err(LogError::Hole { n: manifest.next }),
        }
    }
}

fn whole(manifest: Manifest, length: u64) -> Result<Manifest, LogError> {
    if manifest.next < length && manifest.blocked.is_none() {
        return Err(LogError::Hole { n: manifest.next });
    }
    Ok(manifest)
}

struct Named {
    pointer: FoldPointer,
    named_in: u64,
}
