//! Seals, given-up intents, and what may be collected.

use super::Context;
use crate::change::Second;
use crate::manifest::action::{Seal, SealStarted};
use crate::manifest::invariants::{Held, conserves, hold};
use crate::manifest::state::{Intent, IntentKind, Manifest};
use crate::segment::{SegmentMeta, Tier};

impl Manifest {
    /// The open seal, if there is one.
    #[must_use]
    pub fn sealing(&self) -> Option<(u64, &SealStarted)> {
        self.intents.iter().find_map(|(n, intent)| match &intent.kind {
            IntentKind::Seal(started) => Some((*n, started)),
            IntentKind::Base(_) => None,
        })
    }

    /// The last second of the last sealed day.
    #[must_use]
    pub fn sealed_until(&self) -> Option<Second> {
        self.sealed_through.as_deref().and_then(day_end)
    }

    /// The day to seal next: the one after the last, or the first that has anything known.
    #[must_use]
    pub fn next_day(&self) -> Option<String> {
        match &self.sealed_through {
            Some(last) => day_end(last).map(|end| end.plus(1).day()),
            None => self.epochs.values().next().map(|epoch| epoch.started.floor.plus(1).day()),
        }
    }

    /// The same, once nothing can be added to it any more.
    #[must_use]
    pub fn closed_day(&self) -> Option<String> {
        self.next_day().filter(|day| day_end(day).is_some_and(|end| self.closed_through >= Some(end)))
    }

    pub(super) fn seal_started(&mut self, context: &Context<'_>, started: &SealStarted) -> Held {
        let day = &started.day;
        hold(9, self.next_day().as_ref() == Some(day), || format!("{day} is not the next day to seal"))?;
        hold(9, self.sealing().is_none(), || "a seal is open already".to_owned())?;
        let past = day_end(day).is_some_and(|end| context.closed >= Some(end));
        hold(9, past, || format!("{day} is not closed yet"))?;
        let live: Vec<&str> = self.raw_of(day).map(|meta| &*meta.path).collect();
        hold(9, started.inputs.iter().map(String::as_str).eq(live), || {
            format!("the inputs are not all live raw segments of {day}")
        })?;
        let intent = Intent { kind: IntentKind::Seal(started.clone()), writer: context.entry.writer.id.clone() };
        self.intents.insert(context.entry.n, intent);
        Ok(())
    }

    /// The live raw segments of a day that is loaded, in order of path.
    pub fn raw_of<'m>(&'m self, day: &'m str) -> impl Iterator<Item = &'m SegmentMeta> {
        self.segments.values().map(|meta| &**meta).filter(move |meta| meta.tier == Tier::Raw && meta.dt == day)
    }

    pub(super) fn seal(&mut self, seal: &Seal) -> Held {
        let Some(Intent { kind: IntentKind::Seal(started), .. }) = self.intents.remove(&seal.intent) else {
            return hold(10, false, || format!("entry {} began no open seal", seal.intent));
        };
        let inputs: Vec<_> = started.inputs.iter().filter_map(|path| self.segments.remove(path.as_str())).collect();
        hold(10, inputs.len() == started.inputs.len(), || "an input is no longer live".to_owned())?;
        conserves(inputs.iter().map(|meta| &**meta), seal.segments.iter())?;
        self.touch_day(started.day.clone());
        for meta in &seal.segments {
            let folder = format!("sealed/dt={}/", started.day);
            let shape = meta.tier.is_sealed()
                && meta.dt == started.day
                && meta.path.starts_with(&folder)
                && meta.rows_root.is_some()
                && meta.bucket.is_some();
            hold(10, shape && intent_of(&meta.path) == Some(seal.intent), || {
                format!("{} is no output of entry {}", meta.path, seal.intent)
            })?;
            self.add_segment(meta)?;
        }
        self.sealed_through = Some(started.day.clone());
        if !inputs.is_empty() {
            self.sealed_rows_through = Some(started.day.clone());
        }
        self.sealed.insert(started.day, started.inputs);
        Ok(())
    }

    pub(super) fn intent_abandoned(&mut self, intent: u64) -> Held {
        hold(10, self.intents.remove(&intent).is_some(), || format!("entry {intent} began no open intent"))
    }

    /// 12: only what nothing needs, and no plain listing of the archive relies on.
    pub(super) fn collect(&mut self, paths: &[String]) -> Held {
        for path in paths {
            let based = self.bases.iter().any(|base| base.base.segments.iter().any(|meta| meta.path == *path));
            hold(12, !self.segments.contains_key(path.as_str()) && !based, || format!("{path} is live"))?;
            let output = intent_of(path).is_some_and(|n| self.intents.contains_key(&n));
            hold(12, !output, || format!("{path} is an output of an open intent"))?;
            let day = self.sealed.iter().find(|(_, inputs)| inputs.contains(path)).map(|(day, _)| day);
            let kept = day.is_some_and(|day| self.sealed_rows_through.as_ref().is_none_or(|last| last <= day));
            hold(12, !kept, || format!("{path} is needed until a later day with rows is sealed"))?;
        }
        for path in paths {
            self.touch(path);
            self.collected.insert(path.clone());
        }
        Ok(())
    }
}

/// The last second of a day.
pub(super) fn day_end(day: &str) -> Option<Second> {
    Second::parse(&format!("{day}T23:59:59Z"))
}

/// The intent whose output a sealed or base path is: outputs are named `<n>-<k>`.
pub(super) fn intent_of(path: &str) -> Option<u64> {
    let named = path.starts_with("sealed/") || path.starts_with("base/");
    let (n, _) = path.rsplit('/').next()?.split_once('-')?;
    n.parse().ok().filter(|_| named)
}
