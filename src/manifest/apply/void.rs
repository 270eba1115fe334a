//! Voids: the log as if a range of its entries said nothing.

use std::collections::BTreeSet;

use super::Stored;
use super::seal::day_end;
use crate::manifest::action::Void;
use crate::manifest::entry::Entry;
use crate::manifest::invariants::{Held, hold};
use crate::manifest::state::{Manifest, Voided};

impl Manifest {
    /// Takes over what the log says without the range. Used and collected paths are never undone, no floor
    /// falls below the last sealed second, and every open intent is abandoned.
    pub(super) fn void(&mut self, entry: &Entry, void: &Void, without: Option<&Self>) -> Held {
        hold(11, void.from <= void.to && void.to < entry.n, || "a void stands after its range".to_owned())?;
        let Some(without) = without.filter(|without| without.next == entry.n) else {
            return hold(11, false, || format!("the log without entries {} to {} does not hold", void.from, void.to));
        };
        let live: BTreeSet<&str> = without.named().collect();
        let collected = self.collected.iter().find(|path| live.contains(path.as_str()));
        hold(8, collected.is_none(), || format!("{collected:?} was collected and would be live again"))?;
        let gone: Vec<String> = self.named().filter(|path| !live.contains(path)).map(str::to_owned).collect();
        let before = std::mem::replace(self, without.clone());
        self.retired.extend(before.retired);
        self.retired.extend(gone);
        self.collected.extend(before.collected);
        self.fold = entry.fold.clone();
        self.verified = before.verified;
        self.voids = before.voids;
        self.voids.push(Voided { n: entry.n, from: void.from, to: void.to });
        self.closed_through = before.closed_through;
        self.proven_through = before.proven_through;
        (self.tail_sha256, self.tail_version_id) = (before.tail_sha256, before.tail_version_id);
        self.void_settled();
        self.touch_all();
        Ok(())
    }

    /// What every void does beside taking its range out.
    fn void_settled(&mut self) {
        self.intents.clear();
        self.keep_sealed_final();
    }

    /// Goes past an earlier void at its place in the log that is read without its range: what it does beside that it
    /// does again.
    pub(in crate::manifest) fn void_again(&mut self, entry: &Entry, stored: &Stored) -> Held {
        self.fold.clone_from(&entry.fold);
        self.void_settled();
        self.times_after_void()?;
        self.at = Some(entry.at);
        self.step(stored);
        Ok(())
    }

    /// Paths that are live: of segments and bases.
    fn named(&self) -> impl Iterator<Item = &str> {
        let bases = self.bases.iter().flat_map(|base| base.base.segments.iter().map(|meta| meta.path.as_str()));
        self.segments.keys().map(|path| &**path).chain(bases)
    }

    fn keep_sealed_final(&mut self) {
        let Some(end) = self.sealed_through.as_deref().and_then(day_end) else { return };
        self.shards.values_mut().for_each(|shard| shard.floor = shard.floor.max(end));
        self.awaited.values_mut().for_each(|awaited| awaited.floor = awaited.floor.max(end));
    }
}
