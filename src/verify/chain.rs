//! The log, entry by entry from the first: hash, chain, predicates, and what each entry makes visible.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{self, FuturesUnordered};
use futures::{StreamExt as _, future::BoxFuture};

use super::derived::Derived;
use super::report::State;
use super::rows::Schemas;
use super::segments::{self, Checked, Job};
use super::{Level, Scrub, VerifyError, orphans, spans};
use crate::manifest::audit::PACKED;
use crate::manifest::{Action, Entry, EntryError, FoldPointer, Log, LogError, Manifest, Need, Segments, Stored, newer};
use crate::platform::ids::Ids;
use crate::segment::SegmentMeta;
use crate::store::{Object, StoreError};

/// Entries read ahead.
const ENTRIES_AHEAD: usize = 16;
/// Entries whose segments are read side by side.
const JOBS: usize = 4;

type Running = FuturesUnordered<BoxFuture<'static, Result<Checked, StoreError>>>;

/// What the entries so far say.
pub(super) struct Walk {
    /// The log folded so far; while `folds` holds.
    pub manifest: Manifest,
    /// Whether every entry so far is valid in itself: without that no predicate can be judged.
    pub folds: bool,
    /// The next slot.
    pub next: u64,
    /// SHA-256 of the entry before.
    pub before: Option<String>,
    /// The fold that the entry just read names.
    pub named: Option<FoldPointer>,
    /// Paths that an entry gave up.
    given_up: BTreeSet<String>,
    /// Named objects that are not there.
    absent: Vec<String>,
    schemas: Arc<Schemas>,
    /// How many entries there seemed to be at the start.
    pub length: u64,
}

impl Walk {
    fn new(length: u64) -> Self {
        Self {
            length,
            manifest: Manifest::default(),
            folds: true,
            next: 0,
            before: None,
            named: None,
            given_up: BTreeSet::new(),
            absent: Vec::new(),
            schemas: Arc::default(),
        }
    }
}

impl<F: FnMut(&super::Finding), P: Fn(u64, u64)> Scrub<'_, F, P> {
    pub(super) async fn run(&mut self) -> Result<(), VerifyError> {
        let mut derived = Derived::list(self.store.as_ref(), &self.folder).await?;
        let mut walk = Walk::new(self.expected_length().await?);
        let mut running = Running::new();
        while self.stretch(&mut derived, &mut walk, &mut running).await? {}
        while let Some(done) = running.next().await {
            self.absorb(&mut walk, Some(done))?;
        }
        // What this build may not ignore it cannot judge either.
        if let Some(action) = walk.manifest.unknown.iter().find(|action| action.need == Need::Read) {
            let path = format!("{}/{}", self.folder, slot(action.n));
            return Err(newer(self.store.as_ref(), &path, action).await.into());
        }
        self.holes(&walk).await?;
        self.left_over(&derived, &walk).await?;
        self.named_but_gone(&walk);
        self.orphans(&walk).await
    }

    /// Checks the entries up to the next that begins a pack, out of that pack where it may stand for them. False at
    /// the end of the log.
    async fn stretch(
        &mut self,
        derived: &mut Derived,
        walk: &mut Walk,
        running: &mut Running,
    ) -> Result<bool, VerifyError> {
        if self.level == Level::Log
            && let Some(objects) = self.packed(derived, walk).await?
        {
            for object in objects {
                self.entry(walk, &object).await?;
                self.derived_of_packed(derived, walk).await?;
                (self.progress)(walk.next, walk.length.max(walk.next));
            }
            return Ok(true);
        }
        let (store, folder) = (Arc::clone(self.store), self.folder.clone());
        let stored = Segments::new(Arc::clone(self.store), self.folder.clone());
        let slots = stream::iter(walk.next..(walk.next / PACKED + 1) * PACKED).map(|n| {
            let (store, path) = (Arc::clone(&store), format!("{folder}/{}", slot(n)));
            async move { store.get_oldest(&path).await }
        });
        let mut slots = std::pin::pin!(slots.buffered(ENTRIES_AHEAD));
        while let Some(object) = slots.next().await {
            let object = match object {
                Ok(object) => object,
                Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            for job in self.entry(walk, &object).await? {
                while running.len() >= JOBS {
                    self.absorb(walk, running.next().await)?;
                }
                running.push(Box::pin(segments::check(stored.clone(), job)));
            }
            self.derived(derived, walk).await?;
            (self.progress)(walk.next, walk.length.max(walk.next));
        }
        Ok(true)
    }

    /// How many entries there seem to be: for the progress only, and to know which folds lie near the tail.
    async fn expected_length(&self) -> Result<u64, VerifyError> {
        match Log::unread(Arc::clone(self.store), self.table, Ids::random()).length().await {
            Ok(length) => Ok(length),
            // Damage is what the walk itself finds.
            Err(LogError::Hole { n }) => Ok(n),
            Err(error) => Err(error.into()),
        }
    }

    /// Judges one entry; gives the segments that it makes visible.
    async fn entry(&mut self, walk: &mut Walk, object: &Object) -> Result<Vec<Job>, VerifyError> {
        let n = walk.next;
        self.counts.bytes += object.bytes.len() as u64;
        let decoded = Entry::decode(n, &object.bytes);
        let sha256 = crate::manifest::entry::sha256(&object.bytes);
        let stored = Stored { sha256: sha256.clone(), version_id: object.version_id.clone() };
        let jobs = match &decoded {
            Ok(entry) => {
                let jobs = self.jobs(walk, entry);
                self.judge(walk, entry, &stored).await?;
                jobs
            }
            Err(error @ EntryError::Newer(_)) => {
                return Err(LogError::FormatNewer { n, what: error.to_string() }.into());
            }
            Err(error) => {
                self.refuse(walk, State::Altered, error.to_string()).await?;
                Vec::new()
            }
        };
        walk.named = decoded.ok().and_then(|entry| entry.fold);
        (walk.next, walk.before) = (n + 1, Some(sha256));
        Ok(jobs)
    }

    async fn judge(&mut self, walk: &mut Walk, entry: &Entry, stored: &Stored) -> Result<(), VerifyError> {
        for action in &entry.actions {
            if let Action::Collect(collect) = action {
                walk.given_up.extend(collect.paths.iter().cloned());
            }
        }
        if entry.prev_sha256 != walk.before {
            return self.refuse(walk, State::Altered, "it does not chain to the entry before it".to_owned()).await;
        }
        if !walk.folds {
            self.counts.entries += 1;
            return Ok(());
        }
        if entry.actions.iter().any(|action| matches!(action, Action::Void(_))) {
            return self.refuse(walk, State::Contradiction, "its void is not valid".to_owned()).await;
        }
        match walk.manifest.apply_in_place(entry, stored, None) {
            Ok(()) => self.counts.entries += 1,
            Err(violation) => self.refuse(walk, State::Contradiction, violation.to_string()).await?,
        }
        if walk.schemas.len() != walk.manifest.epochs.len() {
            let keys = walk.manifest.epochs.iter().map(|(epoch, said)| (*epoch, said.started.keys.clone()));
            walk.schemas = Arc::new(keys.collect());
        }
        Ok(())
    }

    /// An entry that has no effect, or that voids others. Whether a void goes past it is for the log's own reader
    /// to say: it judged every entry then, and what is left here is the chain.
    async fn refuse(&mut self, walk: &mut Walk, state: State, reason: String) -> Result<(), VerifyError> {
        let n = walk.next;
        let passed = if walk.folds { self.past_void(n).await? } else { None };
        walk.folds = false;
        match passed {
            Some(manifest) => {
                self.counts.entries += 1;
                walk.given_up.extend(manifest.retired.iter().chain(&manifest.collected).cloned());
            }
            None => self.tell(state, &slot(n), reason),
        }
        Ok(())
    }

    /// The log from its start as a reader sees it, if that goes past entry `n`.
    async fn past_void(&self, n: u64) -> Result<Option<Manifest>, VerifyError> {
        let table = self.table.clone();
        let mut manifest = Manifest::default();
        let log = match Log::open(Arc::clone(self.store), &table, Ids::random()).await {
            Ok((log, _)) => log,
            Err(LogError::Store(error)) => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        match log.refresh(&mut manifest).await {
            Ok(_) => Ok(Some(manifest).filter(|manifest| manifest.next > n)),
            Err(LogError::Store(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    fn jobs(&self, walk: &Walk, entry: &Entry) -> Vec<Job> {
        if self.level == Level::Log {
            return Vec::new();
        }
        let mut schemas = Arc::clone(&walk.schemas);
        let mut jobs = Vec::new();
        let job = |segments: &[SegmentMeta], expected, schemas: &Arc<Schemas>| Job {
            n: entry.n,
            segments: segments.to_vec(),
            expected,
            schemas: Arc::clone(schemas),
        };
        let mut raw: Vec<SegmentMeta> = Vec::new();
        for action in &entry.actions {
            match action {
                Action::EpochStarted(started) => {
                    Arc::make_mut(&mut schemas).insert(started.epoch, started.keys.clone());
                }
                Action::Segments(added) => raw.extend(added.segments.iter().cloned()),
                Action::Seal(seal) => jobs.push(job(&seal.segments, None, &schemas)),
                Action::Base(base) => jobs.push(job(&base.segments, None, &schemas)),
                _ => {}
            }
        }
        let expected = walk.folds.then(|| spans::expected(&entry.actions, &walk.manifest));
        jobs.push(job(&raw, expected, &schemas));
        jobs.retain(|job| !job.segments.is_empty());
        jobs
    }

    fn absorb(&mut self, walk: &mut Walk, done: Option<Result<Checked, StoreError>>) -> Result<(), VerifyError> {
        let Some(checked) = done.transpose()? else { return Ok(()) };
        self.counts.segments += checked.segments;
        self.counts.rows += checked.rows;
        self.counts.bytes += checked.bytes;
        for (state, path, reason) in &checked.wrong {
            self.tell(*state, path, reason);
        }
        walk.absent.extend(checked.absent);
        Ok(())
    }

    fn named_but_gone(&mut self, walk: &Walk) {
        for path in walk.absent.iter().filter(|path| !walk.given_up.contains(*path)) {
            self.tell(State::Lost, path, "the log names it and it is not there");
        }
    }

    /// 11: entries number without holes.
    async fn holes(&mut self, walk: &Walk) -> Result<(), VerifyError> {
        let (folder, missing) = (format!("{}/log/", self.folder), slot(walk.next));
        let (mut last, mut strange) = (None, Vec::new());
        orphans::each(self.store.as_ref(), &folder, Some(format!("{}/{missing}", self.folder)), |object| {
            let name = object.path.rsplit('/').next().unwrap_or_default();
            match number(name) {
                None => strange.push((format!("log/{name}"), object.modified)),
                n => last = last.max(n),
            }
        })
        .await?;
        for (path, written) in strange {
            self.tell_of(State::Orphan, &path, "it has no entry's name", written);
        }
        if let Some(last) = last {
            let reason = format!("entries up to {last} stand behind it, and cannot be checked without it");
            self.tell(State::Lost, &missing, reason);
        }
        Ok(())
    }

    async fn orphans(&mut self, walk: &Walk) -> Result<(), VerifyError> {
        // With the log in doubt nobody can say what it does not name.
        if self.level == Level::Log || !walk.folds {
            return Ok(());
        }
        let mut left = Vec::new();
        orphans::find(self.store.as_ref(), &self.folder, &walk.manifest, |path, object| {
            left.push((path.to_owned(), object.modified));
        })
        .await?;
        for (path, written) in left {
            self.tell_of(State::Orphan, &path, "nothing names it: the rest of an interrupted write", written);
        }
        Ok(())
    }
}

/// The path of entry `n`.
fn slot(n: u64) -> String {
    format!("log/{n:020}.entry")
}

/// The number in the name of an entry.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".entry")?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}
