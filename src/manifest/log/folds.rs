//! Folds in the store: written beside the log, named only after they were read back and found equal.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::follow::Halt;
use super::{Log, LogError};
use crate::manifest::entry::{FoldPointer, sha256};
use crate::manifest::fold::{NAMES, Part, Root, pack, unpack};
use crate::manifest::state::{Manifest, PartPointer};
use crate::store::{Keep, StoreError};

/// Entries between two folds: opening reads at most about so many entries.
const EVERY: u64 = 16;
/// Parts read side by side.
const AT_ONCE: usize = 16;

impl Log {
    /// Writes a fold when the last one is far behind. It is only a shortcut, so a failure is no error:
    /// the fold is not named then, and the next proposal tries again.
    pub(super) async fn fold_if_due(&self, manifest: &mut Manifest) {
        let named = manifest.newest_fold().map_or(0, |fold| fold.n + 1);
        if manifest.next < named + EVERY {
            return;
        }
        match self.write_fold(manifest).await {
            Ok(Some(fold)) => manifest.verified = Some(fold),
            Ok(None) => tracing::warn!(next = manifest.next, "the stored fold differs from our own: it is not named"),
            Err(error) => tracing::debug!(next = manifest.next, %error, "no fold was written"),
        }
    }

    async fn write_fold(&self, manifest: &mut Manifest) -> Result<Option<FoldPointer>, StoreError> {
        for part in manifest.unstored() {
            let Some(stored) = self.write_part(&part).await? else { return Ok(None) };
            if let Some(day) = manifest.days.get_mut(part.day()) {
                day.stored = Some(stored);
            }
        }
        let Some(root) = manifest.root() else { return Ok(None) };
        let path = self.path(&format!("fold/{:020}.json.zst", root.n));
        let Some(back) = self.write_back(&path, &root).await? else { return Ok(None) };
        let equal = unpack::<Root>(&back).is_some_and(|back| back == root);
        Ok(equal.then(|| FoldPointer { n: root.n, sha256: sha256(&back) }))
    }

    /// A part is named by its bytes. Where damaged ones lie under that name they stay, for nothing is put twice: the
    /// same content with a line feed behind it has another name.
    async fn write_part(&self, part: &Part) -> Result<Option<PartPointer>, StoreError> {
        for feeds in 0..NAMES {
            let Some(bytes) = pack(part, feeds) else { return Ok(None) };
            let stored = PartPointer { day: part.day().to_owned(), sha256: sha256(&bytes) };
            let path = self.part_path(&stored);
            self.put_derived(&path, bytes.into()).await?;
            if sha256(&self.store.get(&path, None).await?.bytes) == stored.sha256 {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// Another writer's fold of the same entry may stand there: what counts is what is read back.
    async fn write_back(&self, path: &str, root: &Root) -> Result<Option<Bytes>, StoreError> {
        let Some(bytes) = pack(root, 0) else { return Ok(None) };
        self.put_derived(path, bytes.into()).await?;
        Ok(Some(self.store.get(path, None).await?.bytes))
    }

    /// Puts a derived object; where one stands already, or the outcome is unknown, reading back decides.
    pub(super) async fn put_derived(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        match self.store.put_new(path, bytes, Keep::Derived).await {
            Ok(_) | Err(StoreError::Taken { .. } | StoreError::Unknown { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn part_path(&self, part: &PartPointer) -> String {
        self.path(&format!("fold/day={}/{}.json.zst", part.day, part.sha256))
    }

    /// The fold that an entry names; none if it is missing or not what the entry says.
    pub(super) async fn read_fold(&self, fold: &FoldPointer) -> Result<Option<Manifest>, LogError> {
        let path = self.path(&format!("fold/{:020}.json.zst", fold.n));
        let bytes = match self.store.get(&path, None).await {
            Ok(object) => object.bytes,
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let root = Some(bytes).filter(|bytes| sha256(bytes) == fold.sha256).and_then(|bytes| unpack::<Root>(&bytes));
        Ok(root.filter(|root| root.n == fold.n).map(Manifest::from))
    }

    /// Brings days into memory; [`Halt::Part`], with the manifest as before, where a part is missing or altered.
    pub(super) async fn load_days(&self, manifest: &mut Manifest, days: &[String]) -> Result<(), Halt> {
        let stored = |day: &String| manifest.days.get(day).and_then(|day| day.stored.clone());
        let pointers: Vec<PartPointer> = days.iter().filter_map(stored).collect();
        let read = stream::iter(pointers).map(|pointer| self.read_part(pointer)).buffered(AT_ONCE);
        let parts: Vec<Part> = read.try_collect().await?;
        parts.into_iter().for_each(|part| manifest.add_part(part));
        Ok(())
    }

    async fn read_part(&self, pointer: PartPointer) -> Result<Part, Halt> {
        let path = self.part_path(&pointer);
        let bytes = match self.store.get(&path, None).await {
            Ok(object) => Some(object.bytes).filter(|bytes| sha256(bytes) == pointer.sha256),
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => None,
            Err(error) => return Err(LogError::from(error).into()),
        };
        let part = bytes.and_then(|bytes| unpack::<Part>(&bytes)).filter(|part| part.day() == pointer.day);
        part.ok_or_else(|| {
            tracing::warn!(path, "a part of a fold is not what the fold says: reading the log without it");
            Halt::Part
        })
    }

    /// The log anew from its entries, after a fold's part was found missing or altered.
    pub(super) async fn without_parts(&self, manifest: &mut Manifest) -> Result<(), LogError> {
        *manifest = self.read_all(manifest.next).await?;
        Ok(())
    }
}
