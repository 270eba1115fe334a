//! The running readers of one epoch: at most one per open shard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::memory::Memory;
use super::reader::{self, Delivery, Reading};
use crate::change::KeySchema;
use crate::manifest::{Shard, ShardKey};
use crate::platform::ids::Ids;
use crate::shard::StreamSource;

/// Pages on their way to the task that owns the log: their memory is bounded already, their number by this.
const QUEUE: usize = 256;

/// Starts and ends readers.
#[derive(Debug)]
pub(super) struct Readers {
    source: Arc<dyn StreamSource>,
    keys: Arc<KeySchema>,
    settle: Duration,
    pace: Duration,
    memory: Memory,
    ids: Ids,
    to: mpsc::Sender<Delivery>,
    running: BTreeMap<ShardKey, (u64, CancellationToken)>,
    generation: u64,
}

impl Readers {
    /// No readers yet, and where they will deliver.
    #[must_use]
    pub(super) fn new(
        source: Arc<dyn StreamSource>,
        keys: KeySchema,
        (settle, pace): (Duration, Duration),
        memory: Memory,
        ids: Ids,
    ) -> (Self, mpsc::Receiver<Delivery>) {
        let (to, from) = mpsc::channel(QUEUE);
        let keys = Arc::new(keys);
        (Self { source, keys, settle, pace, memory, ids, to, running: BTreeMap::new(), generation: 0 }, from)
    }

    /// Whether the shard has a reader, also one that came to its end.
    #[must_use]
    pub(super) fn has(&self, key: &ShardKey) -> bool {
        self.running.contains_key(key)
    }

    /// Whether this delivery comes from the shard's present reader.
    #[must_use]
    pub(super) fn current(&self, delivery: &Delivery) -> bool {
        self.running.get(&delivery.key).is_some_and(|(generation, _)| *generation == delivery.generation)
    }

    /// Begins to read `shard` where the log's `through` ends, instead of whatever read it before.
    pub(super) fn start(&mut self, key: &ShardKey, shard: &Shard) {
        self.stop(key);
        self.generation += 1;
        let stop = reader::start(Reading {
            source: Arc::clone(&self.source),
            key: key.clone(),
            generation: self.generation,
            keys: Arc::clone(&self.keys),
            from: reader::position(shard.start, shard.through),
            settle: self.settle,
            pace: self.pace,
            unread: shard.cut.max(shard.floor),
            memory: self.memory.clone(),
            ids: self.ids.clone(),
            to: self.to.clone(),
        });
        self.running.insert(key.clone(), (self.generation, stop));
    }

    /// Ends the shard's reader.
    pub(super) fn stop(&mut self, key: &ShardKey) {
        if let Some((_, stop)) = self.running.remove(key) {
            stop.cancel();
        }
    }

    /// Ends all readers; what they delivered is still in the queue and still counts.
    pub(super) fn halt(&self) {
        for (_, stop) in self.running.values() {
            stop.cancel();
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.halt();
    }
}
