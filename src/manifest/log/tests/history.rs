//! Random valid histories: folded from entry 0, from any fold, and after any damage of what is derived, they say the
//! same. Every failure names its seed.

use super::*;
use crate::manifest::action::{CoverageEnded, Definition};
use crate::manifest::entry::{FoldPointer, sha256};
use crate::manifest::state::{IntentKind, Shard, ShardKey};
use crate::manifest::{BaseKind, EpochStarted, GapReason, ShardOpened};
use crate::segment::{SegmentMeta, Tier};

/// What may happen next, tried on a log whose predicates refuse what may not.
struct Chance<'a> {
    ids: &'a Ids,
    manifest: &'a Manifest,
}

impl Chance<'_> {
    fn below(&self, bound: i64) -> i64 {
        i64::try_from(self.ids.below(bound.max(1).cast_unsigned())).unwrap()
    }

    fn one_of<T>(&self, all: Vec<T>) -> Option<T> {
        let index = usize::try_from(self.ids.below(all.len().max(1) as u64)).unwrap();
        all.into_iter().nth(index)
    }

    fn shard(&self, wanted: impl Fn(&Shard) -> bool) -> Option<(ShardKey, Shard)> {
        let all = self.manifest.shards.iter().filter(|(_, shard)| wanted(shard));
        self.one_of(all.map(|(key, shard)| (key.clone(), shard.clone())).collect())
    }

    fn name(&self, letter: char) -> String {
        format!("{letter}{}", self.ids.below(10_000))
    }

    fn next(&self) -> Option<Vec<Action>> {
        let one = match self.below(20) {
            0..6 => self.rows()?,
            6..8 => self.beat()?,
            8 => self.gap()?,
            9 => self.close()?,
            10 => self.child()?,
            11 => released_of(&self.shard(|shard| shard.closed_at.is_some() && !shard.released)?.0),
            12 => self.awaited_or_opened()?,
            13 => self.sealing()?,
            14 => self.basing()?,
            15 => return self.aside(),
            16 => abandoned(*self.manifest.intents.keys().next()?),
            17 => collect(&[&self.collectable()?]),
            18 => return self.epochs(),
            _ => self.void()?,
        };
        Some(vec![one])
    }

    /// Often days ahead, so that months pass.
    fn ahead(&self, from: Second) -> i64 {
        let step = [1, 60, DAY / 3, 3 * DAY][usize::try_from(self.ids.below(4)).unwrap()];
        from.0 - at(0).0 + self.below(step)
    }

    fn rows(&self) -> Option<Action> {
        let (key, shard) = self.shard(|shard| shard.closed_at.is_none())?;
        let cut = self.ahead(shard.cut.max(shard.floor.plus(1)));
        let after = shard.through.as_delivered().parse::<u64>().unwrap();
        let count = 1 + self.ids.below(9);
        let mut said = span("", after, after + count, count, cut);
        (said.epoch, said.shard) = (key.epoch, key.id);
        if self.below(4) == 0 {
            said.late = vec![crate::manifest::Interval { from: at(cut - self.below(1000) - 1), to: at(cut) }];
            said.unknown = vec![at(cut)];
        }
        Some(added(vec![raw(&self.name('f'), count, cut)], vec![said]))
    }

    fn beat(&self) -> Option<Action> {
        let (key, shard) = self.shard(|shard| shard.closed_at.is_none())?;
        let floor = at(self.ahead(shard.floor.plus(1)));
        let (epoch, shard, through) = (key.epoch, key.id, shard.through);
        Some(Action::Heartbeat(crate::manifest::Heartbeat { epoch, shard, through, floor, settle: 120 }))
    }

    fn gap(&self) -> Option<Action> {
        let (key, shard) = self.shard(|shard| shard.closed_at.is_none())?;
        let from = shard.floor.plus(1);
        let to = from.max(shard.cut).plus(self.below(5000));
        let through = shard.through.as_delivered().parse::<u64>().unwrap();
        let mut said = span("", through, through + self.ids.below(3), 0, 0);
        (said.epoch, said.shard) = (key.epoch, key.id);
        let lifts = self.below(2) == 0;
        (said.cut, said.floor) = if lifts { (to, Some(to.plus(-1))) } else { (shard.cut, Some(shard.floor)) };
        said.gap = Some(crate::manifest::GapSpan { reason: GapReason::PossiblyTrimmed, from_cut: from, to_cut: to });
        Some(added(vec![], vec![said]))
    }

    fn close(&self) -> Option<Action> {
        let (key, shard) = self.shard(|shard| shard.closed_at.is_none())?;
        let (epoch, shard, through) = (key.epoch, key.id, shard.through);
        Some(Action::ShardClosed(crate::manifest::ShardClosed { epoch, shard, through }))
    }

    /// A shard above all others: a child of a closed one, or a new root.
    fn child(&self) -> Option<Action> {
        let (epoch, started) = self.manifest.open_epoch()?;
        let rank = self.manifest.shards.values().map(|shard| shard.rank + 1).max().unwrap_or_default();
        let floor = Some(started.started.floor).max(self.manifest.closed_through)?;
        let parent = self.shard(|shard| shard.closed_at.is_some()).filter(|(key, _)| key.epoch == epoch);
        let start = 1_000 + 100 * self.ids.below(50);
        let mut said = ShardOpened { epoch, rank, floor, cut: floor, ..root(&self.name('s'), start) };
        if let Some((key, parent)) = parent {
            said.parent = Some(key.id);
            (said.floor, said.cut) = (floor.max(parent.floor), floor.max(parent.cut));
        }
        Some(opened(said))
    }

    fn awaited_or_opened(&self) -> Option<Action> {
        let (epoch, started) = self.manifest.open_epoch()?;
        let Some((key, waits)) = self.manifest.awaited.iter().next() else {
            let floor = Some(started.started.floor).max(self.manifest.closed_through)?;
            let (shard, parent) = (id(&self.name('w')), id(&self.name('x')));
            return Some(Action::ShardAwaited(crate::manifest::ShardAwaited {
                epoch,
                shard,
                parent,
                start: seq(9_000),
                floor,
            }));
        };
        let rank = self.manifest.shards.values().map(|shard| shard.rank + 1).max().unwrap_or_default();
        let cut = self.manifest.shards.values().map(|shard| shard.cut).max().max(Some(waits.floor))?;
        let (parent, unlisted) = (Some(waits.parent.clone()), true);
        let shard = key.id.clone();
        let root = root("", 0);
        Some(opened(ShardOpened {
            epoch,
            shard,
            parent,
            unlisted,
            rank,
            start: waits.start,
            floor: waits.floor,
            cut,
            ..root
        }))
    }

    fn sealing(&self) -> Option<Action> {
        let open = self.manifest.intents.iter().find_map(|(n, intent)| match &intent.kind {
            IntentKind::Seal(started) => Some((*n, started)),
            IntentKind::Base(_) => None,
        });
        if let Some((n, started)) = open {
            let inputs =
                started.inputs.iter().filter_map(|path| self.manifest.segments.get(path.as_str()).map(|meta| &**meta));
            let named = |(k, meta): (usize, &SegmentMeta)| SegmentMeta {
                path: sealed(n, meta).path.replace("-0.parquet", &format!("-{k}.parquet")),
                ..sealed(n, meta)
            };
            return Some(seal(n, inputs.enumerate().map(named).collect()));
        }
        let day = self.manifest.next_day()?;
        let live = self.manifest.segments.values().map(|meta| &**meta);
        let inputs = live.filter(|meta| meta.tier == Tier::Raw && meta.dt == day);
        let inputs: Vec<&SegmentMeta> = inputs.collect();
        let Action::SealStarted(mut started) = seal_started(0, &inputs) else { return None };
        started.day = day;
        Some(Action::SealStarted(started))
    }

    fn basing(&self) -> Option<Action> {
        let open = self.manifest.intents.iter().find_map(|(n, intent)| match &intent.kind {
            IntentKind::Base(started) => Some((*n, started)),
            IntentKind::Seal(_) => None,
        });
        let closed = self.manifest.closed_through?;
        let Some((n, started)) = open else {
            let kind = if self.below(2) == 0 { BaseKind::Scan } else { BaseKind::Archive };
            return Some(base_started(kind, closed.0 - at(0).0));
        };
        let complete = if started.kind == BaseKind::Archive { started.fence } else { closed };
        Some(base(based(n, started.kind, started.fence.0 - at(0).0, complete.0 - at(0).0)))
    }

    /// What changes no image.
    fn aside(&self) -> Option<Vec<Action>> {
        let table = serde_json::json!({ "TableName": self.name('t'), "n": 1 });
        Some(vec![match self.below(4) {
            0 => unknown(&self.name('u'), Some("none")),
            1 => Action::Definition(Definition { at: at(self.below(1000)), table }),
            2 => Action::CoverageEnded(CoverageEnded { reason: "unselected".into() }),
            _ => acknowledged(&self.manifest.gaps.first()?.id.to_string()),
        }])
    }

    fn collectable(&self) -> Option<String> {
        let replaced: Vec<String> = self.manifest.sealed.values().flatten().cloned().collect();
        let orphan = raw(&self.name('o'), 1, self.below(90 * DAY)).path;
        self.one_of([vec![orphan], replaced].concat())
    }

    /// The open epoch ends, with everything that is open in it, and the next begins.
    fn epochs(&self) -> Option<Vec<Action>> {
        let (number, _) = self.manifest.open_epoch()?;
        let open = self.manifest.shards.iter().filter(|(_, shard)| shard.closed_at.is_none());
        let close = |(key, shard): (&ShardKey, &Shard)| {
            let (epoch, shard, through) = (key.epoch, key.id.clone(), shard.through);
            Action::ShardClosed(crate::manifest::ShardClosed { epoch, shard, through })
        };
        let mut actions: Vec<Action> = open.map(close).collect();
        let floor = self.manifest.closed_through?.plus(self.below(1000));
        let Action::EpochStarted(next) = epoch(number + 1, 0) else { return None };
        actions.push(epoch_closed(number));
        actions.push(Action::EpochStarted(EpochStarted { floor, ..next }));
        let shard = ShardOpened { epoch: number + 1, floor, cut: floor, ..root(&self.name('e'), START) };
        actions.push(opened(shard));
        Some(actions)
    }

    fn void(&self) -> Option<Action> {
        let last = self.manifest.next.checked_sub(1)?;
        let from = last.saturating_sub(self.ids.below(3)).max(1);
        (last >= 1).then(|| void(from, last))
    }
}

fn released_of(key: &ShardKey) -> Action {
    Action::ShardReleased(crate::manifest::ShardReleased { epoch: key.epoch, shard: key.id.clone() })
}

/// Goes on until so many more entries are committed; gives how many proposals were refused.
async fn live(log: &Log, manifest: &mut Manifest, ids: &Ids, entries: u64) -> u64 {
    let (end, mut refused) = (manifest.next + entries, 0);
    while manifest.next < end {
        log.load_segments(manifest, None, None).await.unwrap();
        let Some(actions) = (Chance { ids, manifest }).next() else { continue };
        match log.propose(manifest, at(0), actions).await.unwrap() {
            Proposed::Refused(_) => refused += 1,
            Proposed::Committed { .. } | Proposed::Lost => {}
        }
    }
    refused
}

async fn derived(store: &Arc<dyn ObjectStore>) -> Vec<String> {
    let listed = store.list(&format!("{}/fold/", table().folder()), None, None).await.unwrap();
    listed.into_iter().map(|object| object.path).collect()
}

/// Each fold is a way into the log.
async fn from_every_fold(store: &Arc<dyn ObjectStore>, expected: &Manifest, seed: u64) -> usize {
    let (log, _) = open(store, seed).await;
    let mut roots = 0;
    for path in derived(store).await {
        let Some(n) = path.rsplit('/').next().and_then(|name| name.strip_suffix(".json.zst")?.parse::<u64>().ok())
        else {
            continue;
        };
        let sha256 = sha256(&store.get(&path, None).await.unwrap().bytes);
        let mut manifest = log.read_fold(&FoldPointer { n, sha256 }).await.unwrap().unwrap();
        log.follow(&mut manifest).await.unwrap();
        assert_eq!(whole(&log, manifest).await, *expected, "seed {seed}: from the fold of entry {n}");
        roots += 1;
    }
    roots
}

/// Loses, flips or exchanges some of what is derived.
async fn damage(store: &Arc<dyn ObjectStore>, ids: &Ids) {
    let all = derived(store).await;
    for path in &all {
        match ids.below(6) {
            0 => store.delete(path, None).await.unwrap(),
            1 => {
                let mut bytes = store.get(path, None).await.unwrap().bytes.to_vec();
                let place = usize::try_from(ids.below(bytes.len() as u64)).unwrap();
                bytes[place] ^= 1 << ids.below(8);
                replace(store, path, bytes).await;
            }
            2 => {
                let other = &all[usize::try_from(ids.below(all.len() as u64)).unwrap()];
                if let Ok(object) = store.get(other, None).await {
                    replace(store, path, object.bytes).await;
                }
            }
            _ => {}
        }
    }
}

async fn history(seed: u64, kinds: &mut std::collections::BTreeSet<String>) {
    let (store, ids) = (memory(), Ids::seeded(seed));
    let (log, mut own) = open(&store, seed).await;
    commit(&log, &mut own, begin()).await;
    live(&log, &mut own, &ids, 70).await;
    let expected = from_entries(&store).await;
    assert_eq!(said(own), expected, "seed {seed}: the writer");
    assert!(from_every_fold(&store, &expected, seed).await >= 3, "seed {seed}: there are folds");
    for _ in 0..4 {
        damage(&store, &ids).await;
        let (reader, mut opened) = open(&store, seed + 1).await;
        assert_eq!(whole(&reader, opened.clone()).await, expected, "seed {seed}: after damage");
        if ids.below(2) == 0 {
            live(&reader, &mut opened, &ids, 20).await;
            let expected = from_entries(&store).await;
            let (reader, again) = open(&store, seed + 2).await;
            assert_eq!(whole(&reader, again).await, expected, "seed {seed}: after damage and more entries");
            break;
        }
    }
    for n in 0..60 {
        let bytes = store.get(&slot(n), None).await.unwrap().bytes;
        let entry = crate::manifest::Entry::decode(n, &bytes).unwrap();
        kinds.extend(
            entry.actions.iter().map(|action| format!("{action:?}").split(['(', ' ']).next().unwrap().to_owned()),
        );
    }
}

#[tokio::test]
async fn every_way_into_a_history_says_the_same() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..12 {
        history(seed, &mut kinds).await;
    }
    // The histories are only worth as much as what happens in them.
    assert_eq!(kinds.len(), 19, "{kinds:?}");
}
