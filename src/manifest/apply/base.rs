//! Bases: complete or dropped.

use super::Context;
use super::seal::intent_of;
use crate::manifest::action::{BaseCommitted, BaseKind, BaseStarted};
use crate::manifest::invariants::{Held, hold};
use crate::manifest::state::{Base, Intent, IntentKind, Manifest};
use crate::manifest::unknown;
use crate::segment::Tier;

/// A stream that is younger than this, in seconds, still serves everything since its creation.
const EMPTY_WITHIN: i64 = 23 * 3600 + 40 * 60;

impl Manifest {
    pub(super) fn base_started(&mut self, context: &Context<'_>, started: &BaseStarted) -> Held {
        let outside = matches!(started.kind, BaseKind::Scan | BaseKind::Export);
        hold(10, started.kind != BaseKind::Empty, || "an empty base has no intent".to_owned())?;
        hold(10, Some(started.fence) <= context.closed, || format!("fence {} is not closed", started.fence))?;
        let settled = self.gaps.iter().all(|gap| Some(gap.to_cut) <= context.closed);
        hold(10, !outside || settled, || "a gap reaches beyond closed_through".to_owned())?;
        let intent = Intent { kind: IntentKind::Base(started.clone()), writer: context.entry.writer.id.clone() };
        self.intents.insert(context.entry.n, intent);
        Ok(())
    }

    pub(super) fn base_committed(&mut self, context: &Context<'_>, base: &BaseCommitted) -> Held {
        match base.intent {
            None => self.empty_base(context, base)?,
            Some(intent) => self.begun_base(context, base, intent)?,
        }
        for meta in &base.segments {
            let shape = meta.tier == Tier::Base && meta.path.starts_with("base/") && meta.rows_root.is_some();
            hold(10, shape && intent_of(&meta.path) == base.intent, || format!("{} is no output", meta.path))?;
            hold(8, !self.is_used(&meta.path), || format!("{} was named before", meta.path))?;
        }
        self.bases.push(Base { n: context.entry.n, base: base.clone() });
        Ok(())
    }

    fn begun_base(&mut self, context: &Context<'_>, base: &BaseCommitted, intent: u64) -> Held {
        let Some(Intent { kind: IntentKind::Base(started), writer }) = self.intents.remove(&intent) else {
            return hold(10, false, || format!("entry {intent} began no open base"));
        };
        let same = (started.kind, started.fence) == (base.kind, base.fence);
        hold(10, same, || "the base is not as it was begun".to_owned())?;
        // A scan's rows depend on when they were read: another run's rows do not belong to this fence.
        let own = base.kind != BaseKind::Scan || writer == context.entry.writer.id;
        hold(10, own, || format!("the scan of entry {intent} was begun by another run"))?;
        let complete = if base.kind == BaseKind::Archive { Some(base.fence) } else { context.closed };
        hold(10, Some(base.complete_at) == complete, || format!("it is not complete at {}", base.complete_at))?;
        let unknown = unknown::all(self);
        let met = unknown::meeting(&unknown, base.fence, base.complete_at).next();
        hold(10, met.is_none(), || "a gap lies between its fence and its completion".to_owned())
    }

    fn empty_base(&self, context: &Context<'_>, base: &BaseCommitted) -> Held {
        let first = self.epochs.get(&1).filter(|epoch| epoch.started_in == context.entry.n);
        let valid = first.zip(base.checked).is_some_and(|(epoch, checked)| {
            let floor = epoch.started.floor;
            (base.fence, base.complete_at) == (floor, floor)
                && checked.stream_created.plus(-1) == floor
                && checked.stream_created.0.abs_diff(checked.table_created.0) <= 1
                && checked.at <= checked.stream_created.plus(EMPTY_WITHIN)
                && checked.not_restored
                && checked.no_replicas
        });
        let empty = base.kind == BaseKind::Empty && base.segments.is_empty();
        hold(10, valid && empty, || "the empty base is not valid here".to_owned())
    }
}
