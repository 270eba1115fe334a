//! Objects that nothing names: what an interrupted write leaves behind. Told with their age, no damage.

use std::collections::BTreeSet;

use super::chain::Walk;
use super::report::State;
use super::slots::Slot;
use super::{Level, Scrub, VerifyError};
use crate::manifest::{Action, Entry, Manifest};
use crate::store::{ObjectInfo, ObjectStore, StoreError};

/// Objects of one listing.
const PAGE: usize = 1000;
/// Folders of segments, under a table's own.
const FOLDERS: [&str; 4] = ["raw/", "sealed/", "base/", "repair/"];
/// All folders of a table.
const OF_TABLE: [&str; 7] = ["raw/", "sealed/", "base/", "repair/", "log/", "fold/", "pack/"];

impl<F: FnMut(&super::Finding), P> Scrub<'_, F, P> {
    pub(super) async fn orphans(&mut self, walk: &Walk) -> Result<(), VerifyError> {
        // With the log in doubt nobody can say what it does not name.
        if self.level == Level::Log || !walk.folds || walk.cut {
            return Ok(());
        }
        let mut left = Vec::new();
        find(self.store.as_ref(), &self.folder, &walk.manifest, |path, object| {
            left.push((path.to_owned(), object.modified));
        })
        .await?;
        let named = if left.is_empty() { BTreeSet::new() } else { self.named_since(walk.next).await? };
        for (path, written) in left.into_iter().filter(|(path, _)| !named.contains(path)) {
            let reason = "nothing names it: the rest of an interrupted write, or one that is under way";
            self.tell_of(State::Orphan, &path, reason, written);
        }
        Ok(())
    }

    /// What a capture has named since the log was read up to entry `n`.
    async fn named_since(&self, mut n: u64) -> Result<BTreeSet<String>, VerifyError> {
        let mut named = BTreeSet::new();
        let mut slots = self.slots(n);
        while let Slot::Filled { object, .. } = slots.next().await? {
            for action in Entry::decode(n, &object.bytes).map(|entry| entry.actions).unwrap_or_default() {
                let segments = match action {
                    Action::Segments(added) => added.segments,
                    Action::Seal(seal) => seal.segments,
                    Action::Base(base) => base.segments,
                    _ => Vec::new(),
                };
                named.extend(segments.into_iter().map(|meta| meta.path));
            }
            n += 1;
        }
        Ok(named)
    }
}

/// Calls `found` with every object under the table's folder that neither the log nor an open intent names, but for the log,
/// folds and packs themselves.
async fn find(
    store: &dyn ObjectStore,
    folder: &str,
    manifest: &Manifest,
    mut found: impl FnMut(&str, &ObjectInfo),
) -> Result<(), StoreError> {
    let bases: BTreeSet<&str> =
        manifest.bases.iter().flat_map(|base| &base.base.segments).map(|meta| meta.path.as_str()).collect();
    let intents: Vec<String> = manifest.intents.keys().map(|n| format!("{n}-")).collect();
    let replaced: BTreeSet<&str> = manifest.sealed.values().flatten().map(String::as_str).collect();
    let known = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        manifest.segments.contains_key(path)
            || bases.contains(path)
            || replaced.contains(path)
            || intents.iter().any(|intent| !path.starts_with("raw/") && name.starts_with(intent.as_str()))
    };
    for tier in FOLDERS {
        each(store, &format!("{folder}/{tier}"), None, |object| {
            let path = object.path.strip_prefix(folder).and_then(|path| path.strip_prefix('/'));
            if let Some(path) = path.filter(|path| !known(path)) {
                found(path, object);
            }
        })
        .await?;
    }
    let folder = format!("{folder}/");
    strays(store, &folder, &[], &OF_TABLE, |object| {
        found(object.path.strip_prefix(&folder).unwrap_or(&object.path), object);
    })
    .await
}

/// Calls `found` with every object under `prefix` (empty, or ending in `/`) that is none of `objects` and lies in none
/// of `folders` (ending in `/`); those are passed over, whatever they hold.
pub(super) async fn strays(
    store: &dyn ObjectStore,
    prefix: &str,
    objects: &[&str],
    folders: &[&str],
    mut found: impl FnMut(&ObjectInfo),
) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let page = store.list(prefix, after.as_deref(), Some(PAGE)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.path.clone());
        for object in &page {
            let name = object.path.strip_prefix(prefix).unwrap_or_default();
            if let Some(own) = folders.iter().find(|own| name.starts_with(**own)) {
                // `0` is the character after the slash: the next listing begins behind the folder.
                after = Some(format!("{prefix}{}0", own.trim_end_matches('/')));
                break;
            }
            if !objects.contains(&name) {
                found(object);
            }
        }
    }
}

/// Lists page by page what stands after `after`: a folder may hold millions.
pub(super) async fn each(
    store: &dyn ObjectStore,
    prefix: &str,
    mut after: Option<String>,
    mut with: impl FnMut(&ObjectInfo),
) -> Result<(), StoreError> {
    loop {
        let page = store.list(prefix, after.as_deref(), Some(PAGE)).await?;
        page.iter().for_each(&mut with);
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.path.clone()),
            _ => return Ok(()),
        }
    }
}
