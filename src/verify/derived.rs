//! Folds and packs: derived from the log, and so compared with what the log says at their entry. One that is gone is no
//! damage, for the log says the same; one that is there and says something else is.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::Walk;
use super::report::State;
use super::slots::slot;
use super::{Level, Scrub, VerifyError, orphans};
use crate::manifest::FoldPointer;
use crate::manifest::audit::{self, StoredFold};
use crate::manifest::entry::sha256;
use crate::store::{ObjectStore, StoreError};

/// Of the entries out of packs, the last so many have their folds compared: opening looks at no older ones while these
/// are sound.
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
    /// Behind the last full range of entries.
    unpacked: u64,
    /// Objects whose name says nothing.
    strange: Vec<String>,
    /// Hashes of roots that were found sound, until a newer one is named.
    sound: BTreeMap<u64, String>,
    /// Roots that were compared, sound or not.
    told: BTreeSet<u64>,
    /// Roots that name parts which are not there, and which this build would have named otherwise.
    doubtful: BTreeSet<u64>,
    /// Parts that were told to be gone.
    gone: BTreeSet<String>,
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

    /// First entries of the packs that are listed.
    pub(super) fn packs(&self) -> &BTreeSet<u64> {
        &self.packs
    }

    /// Behind the last entry that a pack holds.
    pub(super) fn packed_through(&self) -> u64 {
        self.packs.last().map_or(0, |first| first + audit::PACKED)
    }
}

fn root_path(n: u64) -> String {
    format!("fold/{n:020}.json.zst")
}

impl<F: FnMut(&super::Finding), P> Scrub<'_, F, P> {
    /// Compares what is derived from the entries up to the one just read; out of a pack if `packed`.
    pub(super) async fn derived(
        &mut self,
        derived: &mut Derived,
        walk: &mut Walk,
        packed: bool,
    ) -> Result<(), VerifyError> {
        let Some(n) = walk.next.checked_sub(1) else { return Ok(()) };
        if packed && n + NEAR < derived.packed_through() {
            // Folds of old entries only cost requests: nobody opens the log by them.
            derived.roots.remove(&n);
            walk.named = None;
        }
        if derived.roots.remove(&n) {
            self.root(derived, walk, n).await?;
        }
        if let Some(named) = walk.named.take().filter(|_| walk.folds) {
            self.named(derived, walk, n, &named).await?;
        }
        derived.hashes.extend(walk.before.clone());
        if derived.hashes.len() as u64 == audit::PACKED {
            self.pack(derived, n + 1 - audit::PACKED).await?;
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
            if walk.manifest.compare_part(&part, bytes.as_deref()) {
                continue;
            }
            if bytes.is_some() {
                self.tell(State::Altered, &part_path, "it is not what the log says");
                continue;
            }
            // Is it the part that is gone, or the name that is wrong? An entry that names the fold settles that, too.
            if !walk.manifest.would_name(&part) {
                derived.doubtful.insert(n);
            }
            if derived.gone.insert(part_path.clone()) {
                let reason = format!("the fold of entry {n} names it and it is not there; the entries say the same");
                self.tell(State::Missing, &part_path, reason);
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

    async fn named(
        &mut self,
        derived: &mut Derived,
        walk: &mut Walk,
        n: u64,
        named: &FoldPointer,
    ) -> Result<(), VerifyError> {
        match derived.sound.get(&named.n) {
            Some(hash) if *hash == named.sha256 => {
                derived.sound = derived.sound.split_off(&named.n);
                derived.doubtful.remove(&named.n);
            }
            Some(_) => {
                walk.wrong.push((n, State::Altered, root_path(named.n), format!("entry {n} names another hash")));
            }
            None if derived.told.insert(named.n) => self.unlisted(derived, walk, n, named).await?,
            None => {}
        }
        Ok(())
    }

    /// A fold that was not listed: written since, or gone. The log has moved on from its entry, so its hash is what binds
    /// it, and those of its parts are their names.
    async fn unlisted(
        &mut self,
        derived: &mut Derived,
        walk: &mut Walk,
        n: u64,
        named: &FoldPointer,
    ) -> Result<(), VerifyError> {
        let path = root_path(named.n);
        let Some(bytes) = self.bytes(&path).await? else {
            let reason = format!("entry {n} names it and it is not there; the entries before it say the same");
            self.tell(State::Missing, &path, reason);
            return Ok(());
        };
        let root = StoredFold::read(&bytes).filter(|_| sha256(&bytes) == named.sha256);
        let Some(root) = root else {
            walk.wrong.push((n, State::Altered, path, format!("entry {n} names another hash")));
            return Ok(());
        };
        for path in walk.manifest.parts_to_compare(&root).iter().map(audit::StoredPart::path) {
            derived.parts.remove(&path);
            if self.part(&path).await? && derived.gone.insert(path.clone()) {
                let reason = format!("the fold of entry {} names it and it is not there", named.n);
                self.tell(State::Missing, &path, reason);
            }
        }
        self.counts.folds += 1;
        derived.sound.insert(named.n, named.sha256.clone());
        Ok(())
    }

    /// Checks a part by the hash in its name; true if it is gone.
    async fn part(&mut self, path: &str) -> Result<bool, VerifyError> {
        let Some(bytes) = self.bytes(path).await? else { return Ok(true) };
        if !path.ends_with(&format!("/{}.json.zst", sha256(&bytes))) {
            self.tell(State::Altered, path, "its hash is not the one in its name");
        }
        Ok(false)
    }

    /// At the last entry of a full range: its pack, unless that stood for the entries already.
    async fn pack(&mut self, derived: &mut Derived, first: u64) -> Result<(), VerifyError> {
        let hashes = std::mem::take(&mut derived.hashes);
        let before = std::mem::replace(&mut derived.before, hashes.last().cloned());
        let path = audit::pack_path(first);
        derived.unpacked = first + audit::PACKED;
        if !derived.packs.contains(&first) {
            if first < derived.packed_through() {
                self.tell(State::Missing, &path, "later packs stand; the entries say the same");
            }
            return Ok(());
        }
        // Where packs may stand for their entries this one was judged before them.
        if self.level == Level::Log {
            return Ok(());
        }
        let Some(bytes) = self.bytes(&path).await? else { return Ok(()) };
        let held = audit::pack_entries(first, before.as_deref(), &bytes);
        if held.is_some_and(|held| held.iter().map(|entry| sha256(&entry.bytes)).eq(hashes)) {
            self.counts.packs += 1;
        } else {
            self.tell(State::Altered, &path, "it does not hold the bytes of its entries");
        }
        Ok(())
    }

    /// Tells of a pack that could not stand for its entries, which are read one by one then.
    pub(super) fn unsound_pack(&mut self, first: u64) {
        self.tell(State::Altered, &audit::pack_path(first), "its entries do not chain to those that stand in the log");
    }

    /// What no entry reached: parts by the hash in their name, the rest by what it claims.
    pub(super) async fn left_over(&mut self, derived: &Derived, walk: &Walk) -> Result<(), VerifyError> {
        // A part says nothing without its root: where roots are left out their parts are, too.
        if self.level == Level::Full || derived.packs.is_empty() {
            for path in &derived.parts {
                self.part(path).await?;
            }
        }
        for n in &derived.doubtful {
            self.tell(State::Altered, &root_path(*n), "it names parts that are not there");
        }
        let roots = derived.roots.iter().map(|n| (root_path(*n), *n));
        let packs = derived.packs.range(derived.unpacked..).map(|first| (audit::pack_path(*first), *first));
        if let Some((path, n)) = roots.chain(packs).next().filter(|_| !walk.cut) {
            let reason = format!("{path} was made when entry {n} stood, and the log ends before it");
            self.tell(State::Lost, &slot(walk.next), reason);
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
