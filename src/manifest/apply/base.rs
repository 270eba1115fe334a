//! Bases: complete or dropped.

use std::collections::BTreeSet;

use super::Context;
use super::seal::intent_of;
use crate::manifest::action::{BaseCommitted, BaseKind, BaseStarted, EXPORT_MARGIN};
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
        // Borders too: while the stream is off the table changes unseen.
        let open = unknown::all(self).into_iter().find(|unknown| Some(unknown.to) > context.closed);
        hold(10, !outside || open.is_none(), || "a gap or border reaches beyond closed_through".to_owned())?;
        let ordered = started.kind != BaseKind::Scan || started.started >= started.fence;
        hold(10, ordered, || format!("the scan begins at {}, before its fence", started.started))?;
        let ordered = started.export.is_some() == (started.kind == BaseKind::Export);
        hold(10, ordered, || "an export, and nothing else, says what was exported".to_owned())?;
        let most = started.export.as_ref().map(|export| export.time.plus(-EXPORT_MARGIN));
        hold(10, most.is_none_or(|most| started.fence <= most), || {
            format!("the fence {} lies less than 5 min before the export's time", started.fence)
        })?;
        let intent = Intent { kind: IntentKind::Base(started.clone()), writer: context.entry.writer.id.clone() };
        self.intents.insert(context.entry.n, intent);
        Ok(())
    }

    pub(super) fn base_committed(&mut self, context: &Context<'_>, base: &BaseCommitted) -> Held {
        match base.intent {
            None => self.empty_base(context, base)?,
            Some(intent) => self.begun_base(context, base, intent)?,
        }
        let mut named = BTreeSet::new();
        for meta in &base.segments {
            hold(8, named.insert(&meta.path), || format!("{} is named twice", meta.path))?;
            let rooted = meta.rows_root.is_some() && meta.bucket.is_some();
            let shape = meta.tier == Tier::Base && meta.path.starts_with("base/") && rooted;
            hold(10, shape && intent_of(&meta.path) == base.intent, || format!("{} is no output", meta.path))?;
            self.unused(&meta.path)?;
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
        let least = started.passed();
        hold(10, least.is_none() || context.closed >= least, || {
            format!("the base is not complete before {}", least.unwrap_or(base.complete_at))
        })?;
        hold(10, base.checked.is_none(), || "only the empty base is checked".to_owned())?;
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
        let empty = base.kind == BaseKind::Empty && base.segments.is_empty() && self.bases.is_empty();
        hold(10, valid && empty, || "the empty base is not valid here".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{KeySchema, Second, Sequence, ShardId};
    use crate::manifest::entry::Writer;
    use crate::manifest::invariants::Violation;
    use crate::manifest::{
        Action, Entry, EpochClosed, EpochStarted, ExportOrder, Heartbeat, ShardClosed, ShardOpened, ShardReleased,
        Stored,
    };
    use crate::segment::SegmentMeta;

    const BORN: Second = Second(1_795_305_600);

    fn at(seconds: i64) -> Second {
        BORN.plus(seconds)
    }

    /// Commits by a writer of this name.
    fn commit(manifest: &mut Manifest, writer: &str, actions: Vec<Action>) -> Result<u64, Violation> {
        let n = manifest.next;
        let entry = Entry {
            n,
            commit_id: format!("c{n}"),
            prev_sha256: manifest.tail_sha256.clone(),
            prev_version_id: None,
            at: at(0),
            writer: Writer { id: writer.to_owned(), build: "test".to_owned() },
            fold: None,
            actions,
        };
        manifest.apply(&entry, &Stored { sha256: format!("s{n}"), version_id: None }, None).map(|()| n)
    }

    fn begin_epoch(manifest: &mut Manifest, epoch: u32, floor: Second) {
        let (stream_arn, view_type) = (format!("arn{epoch}"), "NEW_IMAGE".to_owned());
        let started = EpochStarted { epoch, stream_arn, view_type, keys: KeySchema(vec![]), created: floor, floor };
        let (parent, start) = (None, Sequence::parse("100").unwrap());
        let (shard, unlisted, barred, rank) = (ShardId::new("s"), false, false, 0);
        let opened = ShardOpened { epoch, shard, parent, unlisted, barred, rank, start, floor, cut: floor };
        commit(manifest, "capture", vec![Action::EpochStarted(started), Action::ShardOpened(opened)]).unwrap();
    }

    fn beat(manifest: &mut Manifest, epoch: u32, floor: Second) {
        let (shard, through) = (ShardId::new("s"), Sequence::parse("99").unwrap());
        let beat = Heartbeat { epoch, shard, through, floor, settle: 120 };
        commit(manifest, "capture", vec![Action::Heartbeat(beat)]).unwrap();
    }

    /// The stream is turned off.
    fn end_epoch(manifest: &mut Manifest, epoch: u32) {
        let (shard, through) = (ShardId::new("s"), Sequence::parse("99").unwrap());
        let closed = Action::ShardClosed(ShardClosed { epoch, shard: shard.clone(), through });
        let released = Action::ShardReleased(ShardReleased { epoch, shard });
        let ended = Action::EpochClosed(EpochClosed { epoch });
        commit(manifest, "capture", vec![closed, released, ended]).unwrap();
    }

    /// An idle table, closed through 1,000 s after the birth of its stream.
    fn table() -> Manifest {
        let mut manifest = Manifest::default();
        begin_epoch(&mut manifest, 1, at(0));
        beat(&mut manifest, 1, at(1000));
        manifest
    }

    fn started(kind: BaseKind, fence: i64, started: i64) -> Action {
        let (fence, started) = (at(fence), at(started));
        let export = (kind == BaseKind::Export).then(|| order(started));
        Action::BaseStarted(BaseStarted { kind, fence, started, slack: 900, bits: 0, limit: 1, export })
    }

    fn order(time: Second) -> ExportOrder {
        ExportOrder { time, token: "t".to_owned(), bucket: "b".to_owned(), prefix: "p".to_owned() }
    }

    fn segment(intent: u64, k: u32) -> SegmentMeta {
        SegmentMeta {
            path: format!("base/at=2026-11-22T001640Z/bucket=000/{intent}-{k}.parquet"),
            version_id: None,
            bytes: 1,
            sha256: "00".repeat(32),
            rows: 1,
            row_digest: "0".repeat(32),
            tier: Tier::Base,
            dt: "2026-11-22".to_owned(),
            bucket: Some(0),
            min_cut_at: None,
            max_cut_at: None,
            min_key_hash: None,
            max_key_hash: None,
            rows_root: Some("00".repeat(32)),
        }
    }

    fn done(kind: BaseKind, intent: u64, fence: i64, complete_at: i64, segments: Vec<SegmentMeta>) -> Action {
        let (fence, complete_at) = (at(fence), at(complete_at));
        let (intent, name, checked) = (Some(intent), None, None);
        Action::Base(BaseCommitted { intent, kind, fence, complete_at, name, checked, segments })
    }

    fn refused(result: Result<u64, Violation>, why: &str) {
        let violation = result.unwrap_err();
        assert!(violation.what.contains(why), "{violation}");
    }

    #[test]
    fn a_scan_is_complete_when_the_archive_has_passed_its_start_by_the_slack() {
        let mut manifest = table();
        let intent = commit(&mut manifest, "w", vec![started(BaseKind::Scan, 1000, 1120)]).unwrap();
        beat(&mut manifest, 1, at(2019));
        let early = vec![done(BaseKind::Scan, intent, 1000, 2019, vec![segment(intent, 0)])];
        refused(commit(&mut manifest, "w", early), "not complete before");
        beat(&mut manifest, 1, at(2020));
        commit(&mut manifest, "w", vec![done(BaseKind::Scan, intent, 1000, 2020, vec![segment(intent, 0)])]).unwrap();
    }

    #[test]
    fn a_scan_does_not_begin_before_its_fence() {
        let mut manifest = table();
        refused(commit(&mut manifest, "w", vec![started(BaseKind::Scan, 1000, 999)]), "before its fence");
        commit(&mut manifest, "w", vec![started(BaseKind::Scan, 1000, 1000)]).unwrap();
    }

    #[test]
    fn an_export_lies_behind_its_fence_and_is_complete_when_the_archive_has_passed_its_time_by_the_slack() {
        let mut manifest = table();
        refused(commit(&mut manifest, "w", vec![started(BaseKind::Export, 1000, 1299)]), "less than 5 min");
        for (kind, export) in [(BaseKind::Export, None), (BaseKind::Scan, Some(order(at(1300))))] {
            let (fence, begun) = (at(1000), at(1300));
            let other = BaseStarted { kind, fence, started: begun, slack: 900, bits: 0, limit: 1, export };
            refused(commit(&mut manifest, "w", vec![Action::BaseStarted(other)]), "says what was exported");
        }
        let intent = commit(&mut manifest, "w", vec![started(BaseKind::Export, 1000, 1300)]).unwrap();
        beat(&mut manifest, 1, at(2199));
        let early = vec![done(BaseKind::Export, intent, 1000, 2199, vec![segment(intent, 0)])];
        refused(commit(&mut manifest, "w", early), "not complete before");
        beat(&mut manifest, 1, at(2200));
        // Another run may go on with it.
        let base = vec![done(BaseKind::Export, intent, 1000, 2200, vec![segment(intent, 0)])];
        commit(&mut manifest, "other", base).unwrap();
    }

    #[test]
    fn nothing_is_scanned_or_exported_while_the_stream_is_off_or_its_border_is_not_passed() {
        let mut manifest = table();
        end_epoch(&mut manifest, 1);
        for kind in [BaseKind::Scan, BaseKind::Export] {
            refused(commit(&mut manifest, "w", vec![started(kind, 1000, 1120)]), "reaches beyond");
        }
        // What the archive itself knows it may write down at any time.
        commit(&mut manifest, "w", vec![started(BaseKind::Archive, 1000, 1120)]).unwrap();
        // The border ends one second behind the floor of the next stream.
        begin_epoch(&mut manifest, 2, at(5000));
        refused(commit(&mut manifest, "w", vec![started(BaseKind::Scan, 5000, 5120)]), "reaches beyond");
        beat(&mut manifest, 2, at(5001));
        commit(&mut manifest, "w", vec![started(BaseKind::Scan, 5001, 5120)]).unwrap();
    }

    #[test]
    fn a_scan_that_met_the_end_of_the_stream_is_not_complete() {
        let mut manifest = table();
        let intent = commit(&mut manifest, "w", vec![started(BaseKind::Scan, 1000, 1120)]).unwrap();
        end_epoch(&mut manifest, 1);
        let still = vec![done(BaseKind::Scan, intent, 1000, 1000, vec![])];
        refused(commit(&mut manifest, "w", still), "not complete before");
        begin_epoch(&mut manifest, 2, at(5000));
        let across = vec![done(BaseKind::Scan, intent, 1000, 5000, vec![])];
        refused(commit(&mut manifest, "w", across), "a gap lies");
    }

    #[test]
    fn no_path_stands_twice_in_a_base() {
        let mut manifest = table();
        let intent = commit(&mut manifest, "w", vec![started(BaseKind::Archive, 900, 1120)]).unwrap();
        let twice = vec![segment(intent, 0), segment(intent, 1), segment(intent, 0)];
        refused(commit(&mut manifest, "w", vec![done(BaseKind::Archive, intent, 900, 900, twice)]), "named twice");
        let once = vec![segment(intent, 0), segment(intent, 1)];
        commit(&mut manifest, "w", vec![done(BaseKind::Archive, intent, 900, 900, once)]).unwrap();
    }

    #[test]
    fn a_base_from_the_archive_is_complete_at_its_fence() {
        let mut manifest = table();
        refused(commit(&mut manifest, "w", vec![started(BaseKind::Archive, 1001, 1120)]), "is not closed");
        let intent = commit(&mut manifest, "w", vec![started(BaseKind::Archive, 900, 1120)]).unwrap();
        for complete_at in [899, 901, 1000] {
            let other = vec![done(BaseKind::Archive, intent, 900, complete_at, vec![])];
            refused(commit(&mut manifest, "w", other), "not complete at");
        }
        commit(&mut manifest, "x", vec![done(BaseKind::Archive, intent, 900, 900, vec![])]).unwrap();
    }

    #[test]
    fn a_scan_is_finished_only_by_the_run_that_began_it() {
        let mut manifest = table();
        let intent = commit(&mut manifest, "w", vec![started(BaseKind::Scan, 1000, 1120)]).unwrap();
        beat(&mut manifest, 1, at(3000));
        let base = done(BaseKind::Scan, intent, 1000, 3000, vec![]);
        refused(commit(&mut manifest, "x", vec![base.clone()]), "another run");
        commit(&mut manifest, "w", vec![base]).unwrap();
        refused(commit(&mut manifest, "w", vec![done(BaseKind::Scan, intent, 1000, 3000, vec![])]), "no open base");
    }
}
