//! The log, entry by entry from the first: hash, chain, predicates, and what each entry makes visible.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::derived::Derived;
use super::report::State;
use super::rows::Schemas;
use super::segments::{self, Checked, Job};
use super::slots::{Slot, slot, stored};
use super::voids::{Passage, newer, range_of, void_of};
use super::{Level, Scrub, VerifyError, spans};
use crate::manifest::{Action, Entry, EntryError, FoldPointer, IntentKind, Manifest, Need, Segments};
use crate::segment::SegmentMeta;
use crate::store::{Object, StoreError};

/// Entries whose segments are read side by side.
const JOBS: usize = 4;
/// Entries after which the folded log is kept for the first time, to start again from.
const KEPT_AFTER: u64 = 10_000;

type Running = FuturesUnordered<BoxFuture<'static, Result<Checked, StoreError>>>;

/// What the entries so far say.
pub(super) struct Walk {
    /// The log folded so far; while `folds` holds.
    pub manifest: Manifest,
    /// Whether every entry so far applies, or a void goes past it: without that no predicate can be judged.
    pub folds: bool,
    /// The next slot.
    pub next: u64,
    /// SHA-256 of the entry before.
    pub before: Option<String>,
    /// The fold that the entry just read names.
    pub named: Option<FoldPointer>,
    /// What entries say of objects that differ, by entry: no damage if a void turns out to hold that.
    pub wrong: Vec<(u64, State, String, String)>,
    /// Whether the log ends before its tail, so that nobody can say what stands behind.
    pub cut: bool,
    /// The folded log some entries ago. All since are valid and hold no void.
    safe: Manifest,
    /// The void that goes past the entries due.
    passage: Option<Passage>,
    /// Entries that valid voids hold.
    voided: Vec<RangeInclusive<u64>>,
    /// Entries with segments that only a newer tailrace can read, and why.
    newer: Vec<(u64, String)>,
    /// Paths that entries without effect gave up.
    given_up: BTreeSet<String>,
    schemas: Arc<Schemas>,
}

/// What becomes of an entry.
enum Effect {
    /// It has the effect that it says.
    Applied,
    /// A void holds it.
    Voided,
    /// It breaks a rule, or stands behind one that does.
    Refused,
}

/// Why an entry does not apply.
struct Refusal {
    state: State,
    reason: String,
    /// It needs a newer tailrace.
    newer: bool,
    /// The folded log is of no use any more.
    spoiled: bool,
}

impl Walk {
    fn new() -> Self {
        Self {
            manifest: Manifest::default(),
            folds: true,
            next: 0,
            before: None,
            named: None,
            wrong: Vec::new(),
            cut: false,
            safe: Manifest::default(),
            passage: None,
            voided: Vec::new(),
            newer: Vec::new(),
            given_up: BTreeSet::new(),
            schemas: Arc::default(),
        }
    }

    /// What the newest entry changes besides the folded log; `void` if it holds one.
    fn moved(&mut self, void: Option<RangeInclusive<u64>>) {
        let voids = void.is_some();
        self.voided.extend(void);
        self.learn(voids);
        // Ever more rarely, for a copy costs as much as the log is long.
        if voids || self.manifest.next >= KEPT_AFTER + 2 * self.safe.next {
            self.safe = self.manifest.clone();
        }
    }

    /// The keys of the table by stream, where a new one began; `anew` after a void.
    fn learn(&mut self, anew: bool) {
        if anew || self.schemas.len() != self.manifest.epochs.len() {
            let keys = self.manifest.epochs.iter().map(|(epoch, said)| (*epoch, said.started.keys.clone()));
            self.schemas = Arc::new(keys.collect());
        }
    }

    fn is_void(&self, n: u64) -> bool {
        self.voided.iter().any(|range| range.contains(&n))
    }

    fn absorb(&mut self, checked: Checked) {
        let n = checked.n;
        self.newer.extend(checked.newer.map(|what| (n, what)));
        let lost = |path| (n, State::Lost, path, "the log names it and it is not there".to_owned());
        self.wrong.extend(checked.absent.into_iter().map(lost));
        self.wrong.extend(checked.wrong.into_iter().map(|(state, path, reason)| (n, state, path, reason)));
    }
}

impl<F: FnMut(&super::Finding), P: Fn(u64, u64)> Scrub<'_, F, P> {
    pub(super) async fn run(&mut self) -> Result<(), VerifyError> {
        let mut derived = Derived::list(self.store.as_ref(), &self.folder).await?;
        if self.level == Level::Log {
            self.packs.clone_from(derived.packs());
        }
        let mut walk = Walk::new();
        let ended = self.walk(&mut walk, &mut derived).await;
        self.tell_wrong(&mut walk);
        ended?;
        if let Some((n, what)) = walk.newer.iter().find(|(n, _)| !walk.is_void(*n)) {
            return Err(newer(*n, what));
        }
        self.left_over(&derived, &walk).await?;
        self.orphans(&walk).await
    }

    async fn walk(&mut self, walk: &mut Walk, derived: &mut Derived) -> Result<(), VerifyError> {
        let listed = self.listed().await?;
        let length = listed.length().max(derived.packed_through());
        let segments = Segments::new(Arc::clone(self.store), self.folder.clone()).strict();
        let mut running = Running::new();
        let mut slots = self.slots(0);
        let hidden = loop {
            let (object, packed) = match slots.next().await? {
                Slot::Filled { object, packed } => (object, packed),
                Slot::Absent => break false,
                Slot::Hidden => break true,
            };
            for first in std::mem::take(&mut slots.unsound) {
                self.unsound_pack(first);
            }
            for job in self.entry(walk, &object).await? {
                while running.len() >= JOBS {
                    self.absorb(walk, running.next().await)?;
                }
                running.push(Box::pin(segments::check(segments.clone(), job)));
            }
            self.derived(derived, walk, packed).await?;
            (self.progress)(walk.next, length.max(walk.next));
        };
        while let Some(done) = running.next().await {
            self.absorb(walk, Some(done))?;
        }
        self.counts.bytes += slots.bytes;
        self.counts.packs += slots.used;
        self.tail(walk, listed, hidden).await
    }

    /// Judges one entry; gives the segments that it makes visible.
    async fn entry(&mut self, walk: &mut Walk, object: &Object) -> Result<Vec<Job>, VerifyError> {
        let decoded = Entry::decode(walk.next, &object.bytes);
        let mut jobs = decoded.as_ref().map(|entry| self.jobs(walk, entry)).unwrap_or_default();
        let effect = self.judge(walk, &decoded, object).await?;
        match effect {
            Effect::Applied => {}
            Effect::Voided => jobs.clear(),
            // Its objects may still be what it says; what it owes to the log cannot be judged.
            Effect::Refused => jobs.iter_mut().for_each(|job| job.expected = None),
        }
        walk.named = decoded.ok().filter(|_| !matches!(effect, Effect::Voided)).and_then(|entry| entry.fold);
        (walk.next, walk.before) = (walk.next + 1, Some(stored(object).sha256));
        Ok(jobs)
    }

    async fn judge(
        &mut self,
        walk: &mut Walk,
        decoded: &Result<Entry, EntryError>,
        object: &Object,
    ) -> Result<Effect, VerifyError> {
        if !walk.folds {
            self.alone(walk, decoded);
            return Ok(Effect::Refused);
        }
        if walk.passage.is_none() {
            match self.apply(walk, decoded, object).await? {
                Ok(()) => {
                    self.counts.entries += 1;
                    return Ok(Effect::Applied);
                }
                Err(refusal) if !self.passes(walk, &refusal).await? => {
                    walk.folds = false;
                    if let Ok(entry) = decoded {
                        note(walk, entry);
                    }
                    self.tell(refusal.state, &slot(walk.next), refusal.reason);
                    return Ok(Effect::Refused);
                }
                Err(_) => {}
            }
        }
        let Some(passage) = walk.passage.clone() else { return Ok(Effect::Refused) };
        let n = walk.next;
        if !self.advance(&mut walk.manifest, object, &passage.range).await? {
            walk.folds = false;
            self.tell(State::Altered, &slot(n), "it is not what stood here a moment ago");
            return Ok(Effect::Refused);
        }
        self.counts.entries += 1;
        walk.learn(false);
        if n == passage.at {
            walk.passage = None;
            walk.moved(Some(passage.range));
            return Ok(Effect::Applied);
        }
        Ok(if passage.range.contains(&n) { Effect::Voided } else { Effect::Applied })
    }

    /// Applies an entry that no void is known to hold.
    async fn apply(
        &self,
        walk: &mut Walk,
        decoded: &Result<Entry, EntryError>,
        object: &Object,
    ) -> Result<Result<(), Refusal>, VerifyError> {
        let altered = |reason: String, newer| Err(Refusal { state: State::Altered, reason, newer, spoiled: false });
        let entry = match decoded {
            Ok(entry) => entry,
            Err(error) => return Ok(altered(error.to_string(), matches!(error, EntryError::Newer(_)))),
        };
        if entry.prev_sha256 != walk.before {
            return Ok(altered("it does not chain to the entry before it".to_owned(), false));
        }
        let without = self.without_range(entry, &walk.manifest).await?;
        if let Err(violation) = walk.manifest.apply_in_place(entry, &stored(object), without.as_ref()) {
            let reason = violation.to_string();
            return Ok(Err(Refusal { state: State::Contradiction, reason, newer: false, spoiled: true }));
        }
        // Readers refuse it, unless a void comes.
        if let Some(name) = entry.actions.iter().find_map(unread)
            && self.void_past(&walk.manifest, entry.n).await?.is_none()
        {
            return Err(newer(entry.n, &format!("the action {name}, written by {}", entry.writer.build)));
        }
        walk.moved(void_of(entry).map(range_of));
        Ok(Ok(()))
    }

    /// Whether a void goes past the entry due. An entry of a newer tailrace that none goes past is an error.
    async fn passes(&self, walk: &mut Walk, refusal: &Refusal) -> Result<bool, VerifyError> {
        let n = walk.next;
        if refusal.spoiled {
            let Some(manifest) = self.again(&walk.safe, n).await? else { return Ok(false) };
            walk.manifest = manifest;
        }
        walk.passage = self.void_past(&walk.manifest, n).await?;
        if refusal.newer && walk.passage.is_none() {
            return Err(newer(n, &refusal.reason));
        }
        Ok(walk.passage.is_some())
    }

    /// An entry behind one that breaks a rule: only its own bytes and the chain can be judged.
    fn alone(&mut self, walk: &mut Walk, decoded: &Result<Entry, EntryError>) {
        match decoded {
            Ok(entry) if entry.prev_sha256 == walk.before => {
                note(walk, entry);
                self.counts.entries += 1;
            }
            Ok(_) => self.tell(State::Altered, &slot(walk.next), "it does not chain to the entry before it"),
            // Nobody here can read it; the entry after it binds its bytes.
            Err(EntryError::Newer(_)) => {}
            Err(error) => self.tell(State::Altered, &slot(walk.next), error.to_string()),
        }
    }

    fn jobs(&self, walk: &Walk, entry: &Entry) -> Vec<Job> {
        if self.level == Level::Log {
            return Vec::new();
        }
        let mut schemas = Arc::clone(&walk.schemas);
        let mut jobs = Vec::new();
        let job = |segments: &[SegmentMeta], expected, bits, schemas: &Arc<Schemas>| Job {
            n: entry.n,
            segments: segments.to_vec(),
            expected,
            bits,
            schemas: Arc::clone(schemas),
        };
        let bits = |intent: u64| {
            walk.manifest.intents.get(&intent).map(|intent| match &intent.kind {
                IntentKind::Seal(started) => started.bits,
                IntentKind::Base(started) => started.bits,
            })
        };
        let mut raw: Vec<SegmentMeta> = Vec::new();
        for action in &entry.actions {
            match action {
                Action::EpochStarted(started) => {
                    Arc::make_mut(&mut schemas).insert(started.epoch, started.keys.clone());
                }
                Action::Segments(added) => raw.extend(added.segments.iter().cloned()),
                Action::Seal(seal) => jobs.push(job(&seal.segments, None, bits(seal.intent), &schemas)),
                Action::Base(base) => {
                    jobs.push(job(&base.segments, None, base.intent.and_then(bits), &schemas));
                }
                _ => {}
            }
        }
        let expected = walk.folds.then(|| spans::expected(&entry.actions, &walk.manifest));
        jobs.push(job(&raw, expected, None, &schemas));
        jobs.retain(|job| !job.segments.is_empty());
        jobs
    }

    fn absorb(&mut self, walk: &mut Walk, done: Option<Result<Checked, StoreError>>) -> Result<(), VerifyError> {
        let Some(checked) = done.transpose()? else { return Ok(()) };
        self.counts.segments += checked.segments;
        self.counts.rows += checked.rows;
        self.counts.bytes += checked.bytes;
        walk.absorb(checked);
        Ok(())
    }

    /// What entries said of objects that differ, unless those entries are void, or gave the object up since.
    fn tell_wrong(&mut self, walk: &mut Walk) {
        for (n, state, path, reason) in std::mem::take(&mut walk.wrong) {
            let gone = state == State::Lost || state == State::Hidden;
            let given_up = gone && (walk.manifest.collected.contains(&path) || walk.given_up.contains(&path));
            if !given_up && !walk.is_void(n) {
                self.tell(state, &path, reason);
            }
        }
    }
}

/// The name of an action that every reader must know, and that this build does not.
fn unread(action: &Action) -> Option<&str> {
    match action {
        Action::Unknown { name, need: Need::Read, .. } => Some(name),
        _ => None,
    }
}

/// What an entry that cannot be folded says for those behind it.
fn note(walk: &mut Walk, entry: &Entry) {
    for action in &entry.actions {
        match action {
            Action::Collect(collect) => walk.given_up.extend(collect.paths.iter().cloned()),
            Action::EpochStarted(started) => {
                Arc::make_mut(&mut walk.schemas).insert(started.epoch, started.keys.clone());
            }
            _ => {}
        }
    }
}
