//! For verification: what is derived from the log, compared with a manifest that was folded from entry 0.

use bytes::Bytes;

use super::entry::sha256;
use super::fold::{self, Part, Root, unpack};
use super::pack;
use super::state::{Manifest, PartPointer};

/// Entries in a pack.
pub const PACKED: u64 = pack::ENTRIES;

/// The root of a fold as it lies in the store.
#[derive(Debug)]
pub struct StoredFold(Root);

/// A part that a stored fold names.
#[derive(Debug, Clone)]
pub struct StoredPart(PartPointer);

impl StoredFold {
    /// Reads a root; none for bytes that are none of this version.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        unpack(bytes).map(Self)
    }
}

impl StoredPart {
    /// Its path in the table's folder.
    #[must_use]
    pub fn path(&self) -> String {
        format!("fold/day={}/{}.json.zst", self.0.day, self.0.sha256)
    }
}

impl Manifest {
    /// The parts of `fold` that were not compared with this manifest since their day last changed.
    #[must_use]
    pub fn parts_to_compare(&self, fold: &StoredFold) -> Vec<StoredPart> {
        let stored = |part: &&PartPointer| self.days.get(&part.day).and_then(|day| day.stored.as_ref()) == Some(*part);
        fold.0.parts.iter().filter(|part| !stored(part)).cloned().map(StoredPart).collect()
    }

    /// Whether `bytes` (none: it is gone) are the part, and say of their day what this manifest says. Whether or not,
    /// the part counts as compared: the folds that name it are not to blame.
    pub fn compare_part(&mut self, part: &StoredPart, bytes: Option<&[u8]>) -> bool {
        let same = bytes.is_some_and(|bytes| {
            sha256(bytes) == part.0.sha256 && unpack::<Part>(bytes).is_some_and(|read| read == self.part(&part.0.day))
        });
        if let Some(day) = self.days.get_mut(&part.0.day) {
            day.stored = Some(part.0.clone());
        }
        same
    }

    /// Whether this build would have given the part of this day that name: then a fold that names it is not to blame
    /// where it is gone.
    #[must_use]
    pub fn would_name(&self, part: &StoredPart) -> bool {
        let part_of_day = self.part(&part.0.day);
        let named = |bytes: Vec<u8>| sha256(&bytes) == part.0.sha256;
        (0..fold::NAMES).any(|feeds| fold::pack(&part_of_day, feeds).is_some_and(named))
    }

    /// Whether `fold` is this manifest, its parts having been compared. The version of its entry is a hint: where an
    /// archive was copied to every entry has another one, or none.
    #[must_use]
    pub fn equals(&self, fold: &StoredFold) -> bool {
        let Some(mut own) = self.root() else { return false };
        own.version_id.clone_from(&fold.0.version_id);
        own == fold.0
    }
}

/// The path in the table's folder of the pack that begins at entry `first`.
#[must_use]
pub fn pack_path(first: u64) -> String {
    pack::path(first)
}

/// An entry out of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Its exact bytes.
    pub bytes: Bytes,
    /// Its version, as the next entry names it.
    pub version_id: Option<String>,
}

/// The entries of a pack, in order; none if it is not whole or does not chain to `before`. They are the log's only if the
/// last of them is what stands in its slot.
#[must_use]
pub fn pack_entries(first: u64, before: Option<&str>, stored: &[u8]) -> Option<Vec<Packed>> {
    let slots = pack::decode(first, before, stored)?;
    let named = slots.iter().skip(1).map(|next| next.entry.as_ref().ok().and_then(|next| next.prev_version_id.clone()));
    let versions: Vec<Option<String>> = named.chain([None]).collect();
    let entries = slots.into_iter().zip(versions);
    Some(entries.map(|(slot, version_id)| Packed { bytes: slot.bytes, version_id }).collect())
}
