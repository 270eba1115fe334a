//! Segments as captured, the spans they hold, and gaps.

use super::Context;
use super::shard::DOUBT;
use std::sync::Arc;

use crate::change::Second;
use crate::manifest::action::{GapReason, GapSpan, SegmentsAdded, Span};
use crate::manifest::invariants::{Held, chains, counts, cut_rises, hold, rises, rows_equal};
use crate::manifest::state::{Gap, GapId, Manifest, Shard, ShardKey};
use crate::segment::{SegmentMeta, Tier};

impl Manifest {
    pub(super) fn segments_added(&mut self, context: &mut Context<'_>, added: &SegmentsAdded) -> Held {
        rows_equal(&added.segments, &added.spans)?;
        for meta in &added.segments {
            self.raw_segment(meta)?;
            self.add_segment(meta)?;
        }
        for span in &added.spans {
            self.span(context, span)?;
            self.rows = self.rows.saturating_add(span.rows);
        }
        Ok(())
    }

    /// 9: a raw segment lies in one day, and that day is open.
    fn raw_segment(&self, meta: &SegmentMeta) -> Held {
        let path = &meta.path;
        let inside = |cut: Option<Second>| cut.is_some_and(|cut| cut.day() == meta.dt);
        let shape = meta.tier == Tier::Raw && path.starts_with(&format!("raw/dt={}/", meta.dt)) && meta.rows > 0;
        hold(2, shape, || format!("{path} is no raw segment of {}", meta.dt))?;
        hold(9, inside(meta.min_cut_at) && inside(meta.max_cut_at), || format!("{path} leaves its day"))?;
        let sealing = self.sealing().is_some_and(|(_, started)| started.day >= meta.dt);
        let sealed = self.sealed_through.as_ref().is_some_and(|last| *last >= meta.dt);
        hold(9, !sealed && !sealing, || format!("{path} enters a sealed day"))
    }

    /// 8: a path is added once, and never after it was collected or un-named.
    pub(super) fn add_segment(&mut self, meta: &SegmentMeta) -> Held {
        self.unused(&meta.path)?;
        self.touch(&meta.path);
        self.segments.insert(meta.path.as_str().into(), Arc::new(meta.clone()));
        Ok(())
    }

    /// 8, and that the path stays in the table's folder.
    pub(super) fn unused(&self, path: &str) -> Held {
        let inside = path.split('/').all(|part| !["", ".", ".."].contains(&part));
        hold(8, inside, || format!("{path} leads out of the table's folder"))?;
        hold(8, !self.is_used(path), || format!("{path} was named before"))
    }

    fn is_used(&self, path: &str) -> bool {
        self.segments.contains_key(path)
            || self.sealed.values().any(|inputs| inputs.binary_search_by(|input| input.as_str().cmp(path)).is_ok())
            || self.bases.iter().any(|base| base.base.segments.iter().any(|meta| meta.path == path))
            || self.collected.contains(path)
            || self.retired.contains(path)
    }

    fn span(&mut self, context: &mut Context<'_>, span: &Span) -> Held {
        counts(span)?;
        let shard = self.open_shard(span.epoch, &span.shard)?;
        chains(shard, span)?;
        let barring = span.gap.is_some_and(|gap| gap.reason == GapReason::Barred);
        hold(4, shard.barred == barring, || format!("a span of {} that is barred, or not", span.shard))?;
        let floor = shard.floor;
        match span.gap {
            Some(gap) => lose(shard, span, gap, context.closed)?,
            None => gain(shard, span)?,
        }
        shard.through = span.through;
        self.note(context, span, floor)
    }

    /// Remembers what the span says about lost and late changes; `floor` is the shard's before it.
    fn note(&mut self, context: &mut Context<'_>, span: &Span, floor: Second) -> Held {
        let shard = ShardKey { epoch: span.epoch, id: span.shard.clone() };
        let lost = span.gap.iter().map(|gap| (Some(gap.reason), gap.from_cut, gap.to_cut));
        let unknown = span.unknown.iter().map(|cut| (None, *cut, *cut));
        for (reason, from_cut, to_cut) in lost.chain(unknown) {
            hold(3, reason.is_some() || (from_cut > floor && from_cut <= span.cut), || {
                format!("an undecoded row of {} at {from_cut}", span.shard)
            })?;
            let id = GapId { n: context.entry.n, k: context.gaps };
            context.gaps += 1;
            self.gaps.push(Gap { id, shard: shard.clone(), reason, from_cut, to_cut, acknowledged: None });
        }
        for interval in &span.late {
            hold(3, interval.from < interval.to, || format!("a late interval of {} is empty", span.shard))?;
            interval.join(&mut self.late);
        }
        Ok(())
    }
}

/// A span with rows: everything up to its last row is archived.
fn gain(shard: &mut Shard, span: &Span) -> Held {
    cut_rises(shard, span)?;
    hold(6, span.floor.is_none(), || format!("a span of {} with rows names a floor", span.shard))?;
    hold(2, span.unknown.len() as u64 <= span.rows, || format!("more undecoded rows of {} than rows", span.shard))?;
    shard.cut = span.cut;
    shard.floor = shard.floor.max(span.cut.plus(-1));
    shard.proven = shard.proven.max(span.cut.plus(-1));
    if span.late.is_empty() {
        shard.sure = shard.sure.max(Some(span.cut.plus(-DOUBT)));
    }
    Ok(())
}

/// A gap: either it changes neither cut nor floor, or it lifts both to its end.
fn lose(shard: &mut Shard, span: &Span, gap: GapSpan, closed: Option<Second>) -> Held {
    let begins = gap.from_cut == shard.floor.plus(1) && closed.is_none_or(|closed| gap.from_cut > closed);
    hold(6, begins && gap.to_cut >= gap.from_cut, || {
        format!("the gap of {} from {} does not begin behind floor {}", span.shard, gap.from_cut, shard.floor)
    })?;
    hold(2, span.unknown.is_empty(), || format!("a gap of {} with undecoded rows", span.shard))?;
    let after = (span.cut, span.floor);
    let lifts = after == (gap.to_cut, Some(gap.to_cut.plus(-1))) && gap.reason != GapReason::Barred;
    let keeps = after == (shard.cut, Some(shard.floor)) && gap.reason != GapReason::NotFound;
    hold(6, lifts || keeps, || format!("the gap of {} moves its cut or floor elsewhere", span.shard))?;
    shard.gaps += 1;
    if lifts {
        let floor = gap.to_cut.plus(-1);
        rises("the cut behind a gap", shard.cut, span.cut)?;
        rises("the floor behind a gap", shard.floor, floor)?;
        (shard.cut, shard.floor) = (span.cut, floor);
        shard.proven = shard.proven.max(floor);
        shard.sure = shard.sure.max(Some(floor));
    }
    Ok(())
}
