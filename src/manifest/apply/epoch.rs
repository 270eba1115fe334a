//! Streams: one at a time.

use super::Context;
use crate::manifest::action::EpochStarted;
use crate::manifest::invariants::{Held, hold, rises};
use crate::manifest::state::{Epoch, Manifest};

impl Manifest {
    pub(super) fn epoch_started(&mut self, context: &Context<'_>, started: &EpochStarted) -> Held {
        let last = self.epochs.last_key_value();
        let due = last.map_or(1, |(number, _)| number + 1);
        hold(4, started.epoch == due, || format!("epoch {} where {due} is due", started.epoch))?;
        hold(4, last.is_none_or(|(_, epoch)| epoch.border_from.is_some()), || {
            format!("epoch {due} begins while the one before is open")
        })?;
        rises("an epoch's floor", context.closed, Some(started.floor))?;
        let started_in = context.entry.n;
        let epoch = Epoch { started: started.clone(), started_in, border_from: None, judged_in: None };
        self.epochs.insert(due, epoch);
        self.coverage_ended = None;
        Ok(())
    }

    pub(super) fn epoch_closed(&mut self, context: &Context<'_>, number: u32) -> Held {
        let done = |(key, shard): (&crate::manifest::ShardKey, &crate::manifest::Shard)| {
            key.epoch != number || shard.closed_at.is_some()
        };
        hold(4, self.is_open(number), || format!("epoch {number} is not open"))?;
        hold(4, self.shards.iter().all(done), || format!("epoch {number} has open shards"))?;
        hold(4, self.awaited.keys().all(|key| key.epoch != number), || format!("epoch {number} awaits shards"))?;
        if let Some(epoch) = self.epochs.get_mut(&number) {
            epoch.border_from = Some(context.closed.unwrap_or(epoch.started.floor).plus(1));
        }
        Ok(())
    }
}
