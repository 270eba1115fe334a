//! Folds and packs: derived from the log, and so compared with what the log says at their entry.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::Walk;
use super::report::State;
use super::{Level, Scrub, VerifyError, orphans};
use crate::manifest::FoldPointer;
use crate::manifest::audit::{self, StoredFold};
use crate::manifest::entry::sha256;
use crate::store::{Object, ObjectStore, StoreError};

/// Folds of so many of the last entries are compared at every level: opening uses no others while these are sound.
const NEAR: u64 = 64;

/// Folds and packs as a listing shows them, less what was compared already.
#[derive(Debug, Default)]
pub(super) struct Derived {
    /// Roots of folds by entry.
    roots: BTreeSet<u64>,
    /// Parts of folds, by path.
    parts: BTreeSet<String>,
    /// Packs by first entry.
    packs: BTreeSet<u64>,
    /// Objects whose name says nothing.
    strange: Vec<String>,
    /// Hashes of roots that were found sound, until a newer one is named.
    sound: BTreeMap<u64, String>,
    /// Roots that were told of, sound or not.
    told: BTreeSet<u64>,
    /// Hashes of the entries since the last full pack.
    hashes: Vec<String>,
    /// The hash of the entry before those.
    before: Option<String>,
}

impl Derived {
    pub(super) async fn list(store: &dyn ObjectStore, folder: &str) -> Result<Self, StoreError> {
        let mut found = Self::default();
        for tier in ["fold/", "pack/"] {
            orphans::each(store, &format!("{folder}/{tier}"), None, |object| {
                found.sort(object.path.strip_prefix(folder).unwrap_or_default().trim_start_matches('/'));
            })
            .await?;
        }
        Ok(found)
    }

    fn sort(&mut self, path: &str) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let root = name.strip_suffix(".json.zst").filter(|digits| digits.len() == 20).and_then(|d| d.parse().ok());
        let pack =
            name.get(..10).and_then(|digits| digits.parse().ok()).filter(|first| audit::pack_path(*first) == path);
        match (root, pack) {
            (Some(n), _) if path == root_path(n) => drop(self.roots.insert(n)),
            (_, Some(first)) => drop(self.packs.insert(first)),
            _ if path.starts_with("fold/day=") => drop(self.parts.insert(path.to_owned())),
            _ => self.strange.push(path.to_owned()),
        }
    }
}

fn root_path(n: u64) -> String {
    format!("fold/{n:020}.json.zst")
}

impl<F: FnMut(&super::Finding), P: Fn(u64, u64)> Scrub<'_, F, P> {
    /// The entries of the pack that begins at the next entry, if they are sound; they count as one pack then.
    pub(super) async fn packed(
        &mut self,
        derived: &mut Derived,
        walk: &Walk,
    ) -> Result<Option<Vec<Object>>, VerifyError> {
        let first = walk.next;
        if !first.is_multiple_of(audit::PACKED) || !derived.packs.contains(&first) {
            return Ok(None);
        }
        // Whatever becomes of it, it is judged here: hashes are gathered for entries that were read one by one.
        let Some(bytes) = self.bytes(&audit::pack_path(first)).await? else { return Ok(None) };
        let Some(end) = self.bytes_of_slot(first + audit::PACKED - 1).await? else { return Ok(None) };
        let entries = audit::pack_entries(first, walk.before.as_deref(), &bytes);
        let Some(entries) = entries.filter(|entries| entries.last() == Some(&end.bytes)) else { return Ok(None) };
        derived.packs.remove(&first);
        self.counts.packs += 1;
        let mut objects: Vec<Object> = entries.into_iter().map(|bytes| Object { bytes, version_id: None }).collect();
        if let Some(last) = objects.last_mut() {
            *last = end;
        }
        Ok(Some(objects))
    }

    async fn bytes_of_slot(&self, n: u64) -> Result<Option<Object>, VerifyError> {
        match self.store.get_oldest(&format!("{}/log/{n:020}.entry", self.folder)).await {
            Ok(object) => Ok(Some(object)),
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Scrub::derived`], for an entry out of a pack: folds far behind the tail only have to be there.
    pub(super) async fn derived_of_packed(
        &mut self,
        derived: &mut Derived,
        walk: &mut Walk,
    ) -> Result<(), VerifyError> {
        let Some(n) = walk.next.checked_sub(1) else { return Ok(()) };
        if derived.roots.contains(&n) && n + NEAR < walk.length {
            derived.roots.remove(&n);
            derived.told.insert(n);
        }
        self.folds(derived, walk, n).await?;
        derived.before = walk.before.clone();
        Ok(())
    }

    /// Compares what is derived from the entries up to the one just read.
    pub(super) async fn derived(&mut self, derived: &mut Derived, walk: &mut Walk) -> Result<(), VerifyError> {
        let Some(n) = walk.next.checked_sub(1) else { return Ok(()) };
        self.folds(derived, walk, n).await?;
        derived.hashes.extend(walk.before.clone());
        if derived.hashes.len() as u64 == audit::PACKED {
            self.pack(derived, n + 1 - audit::PACKED).await?;
        }
        Ok(())
    }

    /// The fold of entry `n`, and the one that it names.
    async fn folds(&mut self, derived: &mut Derived, walk: &mut Walk, n: u64) -> Result<(), VerifyError> {
        if derived.roots.remove(&n) {
            self.root(derived, walk, n).await?;
        }
        if let Some(named) = walk.named.take() {
            match derived.sound.get(&named.n) {
                Some(hash) if *hash == named.sha256 => derived.sound = derived.sound.split_off(&named.n),
                Some(_) => self.tell(State::Altered, &root_path(named.n), format!("entry {n} names another hash")),
                None if walk.folds && derived.told.insert(named.n) => self.unlisted(derived, n, named).await?,
                None => {}
            }
        }
        Ok(())
    }

    /// A root that entry `n` names and the listing did not show: lost, or written since by a capture that goes on. Then
    /// its writer compared it, and its hash says that it is still the same.
    async fn unlisted(&mut self, derived: &mut Derived, n: u64, named: FoldPointer) -> Result<(), VerifyError> {
        let path = root_path(named.n);
        match self.bytes(&path).await? {
            None => self.tell(State::Lost, &path, format!("entry {n} names it and it is not there")),
            Some(bytes) if sha256(&bytes) == named.sha256 => drop(derived.sound.insert(named.n, named.sha256)),
            Some(_) => self.tell(State::Altered, &path, format!("entry {n} names another hash")),
        }
        Ok(())
    }

    async fn root(&mut self, derived: &mut Derived, walk: &mut Walk, n: u64) -> Result<(), VerifyError> {
        let path = root_path(n);
        let Some(bytes) = self.bytes(&path).await? else { return Ok(()) };
        let hash = sha256(&bytes);
        derived.told.insert(n);
        let Some(root) = StoredFold::read(&bytes) else {
            self.tell(State::Altered, &path, "it is no fold");
            return Ok(());
        };
        if !walk.folds {
            derived.sound.insert(n, hash);
            return Ok(());
        }
        for part in walk.manifest.parts_to_compare(&root) {
            let part_path = part.path();
            derived.parts.remove(&part_path);
            let bytes = self.bytes(&part_path).await?;
            match (walk.manifest.compare_part(&part, bytes.as_deref()), bytes) {
                (true, _) => {}
                (false, None) => {
                    self.tell(State::Lost, &part_path, format!("the fold of entry {n} names it and it is not there"));
                }
                (false, Some(_)) => self.tell(State::Altered, &part_path, "it is not what the log says"),
            }
        }
        if walk.manifest.equals(&root) {
            self.counts.folds += 1;
            derived.sound.insert(n, hash);
        } else {
            self.tell(State::Altered, &path, "it is not what the log says at its entry");
        }
        Ok(())
    }

    async fn pack(&mut self, derived: &mut Derived, first: u64) -> Result<(), VerifyError> {
        let hashes = std::mem::take(&mut derived.hashes);
        let before = std::mem::replace(&mut derived.before, hashes.last().cloned());
        if !derived.packs.remove(&first) {
            return Ok(());
        }
        let path = audit::pack_path(first);
        let Some(bytes) = self.bytes(&path).await? else { return Ok(()) };
        let held = audit::pack_entries(first, before.as_deref(), &bytes);
        if held.is_some_and(|held| held.iter().map(|entry| sha256(entry)).eq(hashes)) {
            self.counts.packs += 1;
        } else {
            self.tell(State::Altered, &path, "it does not hold the bytes of its entries");
        }
        Ok(())
    }

    /// What no entry reached: parts by the hash in their name, the rest by what it claims.
    pub(super) async fn left_over(&mut self, derived: &Derived, walk: &Walk) -> Result<(), VerifyError> {
        // A part says nothing without its root: one whose root was not read is not read either.
        let full = self.level == Level::Full;
        for path in derived.parts.iter().filter(|_| full) {
            let Some(bytes) = self.bytes(path).await? else { continue };
            if !path.ends_with(&format!("/{}.json.zst", sha256(&bytes))) {
                self.tell(State::Altered, path, "its hash is not the one in its name");
            } else if walk.folds {
                // With the log in doubt its folds were not read, so nobody knows what they name.
                self.tell(State::Orphan, path, "no fold names it: the rest of an interrupted write");
            }
        }
        let roots = derived.roots.iter().map(|n| root_path(*n));
        for path in roots.chain(derived.packs.iter().map(|first| audit::pack_path(*first))) {
            self.tell(State::Altered, &path, "the entries that it is made of are not there");
        }
        for path in &derived.strange {
            self.tell(State::Orphan, path, "nothing of this format has such a name");
        }
        Ok(())
    }

    async fn bytes(&mut self, path: &str) -> Result<Option<bytes::Bytes>, VerifyError> {
        match self.store.get(&format!("{}/{path}", self.folder), None).await {
            Ok(object) => {
                self.counts.bytes += object.bytes.len() as u64;
                Ok(Some(object.bytes))
            }
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
