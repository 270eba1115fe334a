//! One epoch from its first page to its last: the task that owns the log.
//!
//! It surveys the shards, takes pages in, and commits what they hold, one thing at a time. Whatever moves
//! the log (our entry, another writer's, a void), [`Pump::follow`] brings buffers and readers behind it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::CaptureInput;
use super::batcher::{Batcher, Fingerprint};
use super::buffer::Arrived;
use super::committer::Committer;
use super::error::CaptureError;
use super::heartbeat::Rule;
use super::memory::Share;
use super::options::CaptureOptions;
use super::reader::Delivery;
use super::readers::Readers;
use super::report::Progress;
use super::survey::Seen;
use super::uploader::Uploader;
use crate::change::Second;
use crate::manifest::{EpochStarted, ShardKey};
use crate::platform::aws::ServiceError;
use crate::platform::clock::{Instant, now, sleep};
use crate::segment::SegmentMeta;
use crate::shard::SourceError;
use crate::shard::StreamSource;
use crate::shard::tail::TailEvent;

/// An idle writer reads what others wrote at least this often.
const REFRESH: Duration = Duration::from_secs(60);
/// Ends that are seen within this time share an entry.
const TOGETHER: Duration = Duration::from_millis(500);
/// Pages taken in before anything else is looked at.
const AT_ONCE: usize = 64;

/// How the reading of an epoch came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Told to stop; everything read is committed.
    Stopped,
    /// Told to stop while nothing could be committed: the next run reads again what is left.
    Undrained,
    /// `once`: `closed_through` reached the service's time at the start.
    CaughtUp,
    /// The epoch is closed in the log.
    Over,
}

/// The reading of one epoch.
pub(super) struct Pump<'a> {
    pub(super) committer: &'a mut Committer,
    pub(super) uploader: &'a Uploader,
    pub(super) options: &'a CaptureOptions,
    pub(super) source: Arc<dyn StreamSource>,
    pub(super) epoch: u32,
    /// Another stream has taken this one's place.
    pub(super) replaced: bool,
    pub(super) batcher: Batcher,
    pub(super) readers: Readers,
    pub(super) deliveries: mpsc::Receiver<Delivery>,
    memory: Share,
    /// Bytes at which a batch is committed, and at most about so many: less than there is, or reading would wait for ever.
    pub(super) flush_at: u64,
    /// The latest full listing, and when the shards are listed next.
    pub(super) seen: Option<Seen>,
    pub(super) survey_due: Instant,
    /// When every listed shard was last seen to be open, awaited, or waiting for a parent: ours and the service's time.
    pub(super) stood: Option<(Instant, Second)>,
    /// Listings in a row that did not find the stream.
    pub(super) missing: u32,
    /// Ends the capture.
    pub(super) stop: CancellationToken,
    /// The first heartbeat may be committed then; the next ones ever later while nothing else happens.
    pub(super) heartbeat_due: Instant,
    pub(super) heartbeat_pace: Duration,
    /// Files written for rows that another writer's entry kept out of the log.
    pub(super) written: Option<(Fingerprint, Vec<SegmentMeta>)>,
    urgent_since: Option<Instant>,
    refresh_due: Instant,
    /// `once`: the service's time at the start.
    pub(super) goal: Option<Second>,
    /// The table's definition, until it is known to be in the log.
    pub(super) definition: Option<serde_json::Value>,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        committer: &'a mut Committer,
        uploader: &'a Uploader,
        input: &'a CaptureInput,
        source: Arc<dyn StreamSource>,
        started: &EpochStarted,
        replaced: bool,
        stop: CancellationToken,
    ) -> Self {
        let (options, ids) = (&input.options, input.ids.clone());
        let stream = Arc::clone(&source);
        let settle = Duration::from_secs(options.settle_seconds().unsigned_abs());
        let (readers, deliveries) =
            Readers::new(stream, started.keys.clone(), (settle, options.pace()), input.memory.clone(), ids);
        let begun = now();
        Self {
            committer,
            uploader,
            options,
            source,
            epoch: started.epoch,
            replaced,
            batcher: Batcher::default(),
            readers,
            deliveries,
            memory: input.memory.share(),
            flush_at: options.flush_bytes.min(input.memory.total() / 2),
            seen: None,
            survey_due: begun,
            stood: None,
            missing: 0,
            stop,
            heartbeat_due: begun + options.heartbeat_pace(),
            heartbeat_pace: options.heartbeat_pace(),
            written: None,
            urgent_since: None,
            refresh_due: begun + REFRESH,
            goal: None,
            definition: None,
        }
    }

    /// Reads until the epoch is over, the goal of `once` is reached, or `stop`.
    ///
    /// # Errors
    /// As [`CaptureError`] says; nothing is lost.
    pub(super) async fn run(&mut self) -> Result<Ending, CaptureError> {
        let (stop, memory) = (self.stop.clone(), self.memory.whole().clone());
        loop {
            let pressing = memory.pressing();
            if now() >= self.survey_due {
                self.survey().await?;
            }
            if self.over() {
                return Ok(Ending::Over);
            }
            if now() >= self.flush_due() {
                self.flush().await?;
            }
            if now() >= self.refresh_due {
                self.committer.refresh().await?;
                self.refresh_due = now() + REFRESH;
                self.follow();
            }
            if self.reached() {
                self.drain().await?;
                return Ok(Ending::CaughtUp);
            }
            let wait = self.next_due().saturating_duration_since(now());
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let drained = self.drain().await?;
                    return Ok(if drained { Ending::Stopped } else { Ending::Undrained });
                }
                Some(delivery) = self.deliveries.recv() => self.take_all(delivery)?,
                () = pressing => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Whether the epoch was closed, by us or another writer, or undone.
    fn over(&self) -> bool {
        self.committer.manifest.epochs.get(&self.epoch).is_none_or(|epoch| epoch.border_from.is_some())
    }

    fn reached(&self) -> bool {
        self.options.once && self.goal.is_some_and(|goal| self.committer.manifest.closed_through >= Some(goal))
    }

    fn next_due(&self) -> Instant {
        self.survey_due.min(self.refresh_due).min(self.flush_due())
    }

    /// When the next entry with rows, ends or heartbeats is wanted.
    fn flush_due(&self) -> Instant {
        let full = self.batcher.bytes() >= self.flush_at || self.memory.makes_room(self.batcher.bytes());
        let aged = self.batcher.oldest().map(|oldest| oldest + self.options.flush_age);
        let urgent = self.urgent_since.map(|since| since + TOGETHER);
        let due = [aged, urgent, full.then(now)].into_iter().flatten().min();
        let due = due.map_or(self.heartbeat_due, |due| due.min(self.heartbeat_due));
        // Nothing may be committed before the shards are known to stand: a survey is due first.
        if self.may_commit() { due } else { due.max(self.survey_due) }
    }

    /// Takes in a page and those that wait behind it.
    fn take_all(&mut self, first: Delivery) -> Result<(), CaptureError> {
        self.take(first)?;
        for _ in 0..AT_ONCE {
            let Ok(delivery) = self.deliveries.try_recv() else { break };
            self.take(delivery)?;
        }
        self.note_urgency();
        Ok(())
    }

    fn note_urgency(&mut self) {
        let urgent = self.batcher.urgent(&self.committer.manifest);
        self.urgent_since = if urgent { Some(self.urgent_since.unwrap_or_else(now)) } else { None };
    }

    fn take(&mut self, delivery: Delivery) -> Result<(), CaptureError> {
        if !self.readers.current(&delivery) {
            return Ok(());
        }
        let Delivery { key, event, held, .. } = delivery;
        match event {
            TailEvent::Page(page) => {
                self.committer.pages += 1;
                self.committer.tell(page.at);
                if !page.changes.is_empty() {
                    tracing::debug!(shard = %key.id, rows = page.changes.len(), "read from the stream");
                }
                let page = Arrived {
                    changes: page.changes,
                    at: page.at,
                    from_trim_horizon: page.from_trim_horizon,
                    first: page.first,
                    null: page.null,
                    idle: page.idle,
                    held,
                };
                self.batcher.push(&key, page).map_err(|disorder| CaptureError::Disorder {
                    shard: key.id,
                    sequence: disorder.sequence,
                    above: disorder.above,
                })?;
            }
            TailEvent::NotFound { at } => {
                self.committer.tell(at);
                self.batcher.lose(&key, at);
            }
            TailEvent::Stopped(stopped) => return Err(stopped.into()),
            TailEvent::Retrying { error, attempts } => {
                self.batcher.disturb(&key);
                self.waiting(&key, &error, attempts);
            }
            TailEvent::Trimmed => self.batcher.disturb(&key),
            TailEvent::Ended => {}
        }
        Ok(())
    }

    fn waiting(&self, key: &ShardKey, error: &SourceError, attempts: u32) {
        let operator = matches!(error, SourceError::Service(ServiceError::Denied(_)));
        let why = format!("reading shard {}: {error}", key.id);
        self.committer.say(&Progress::Waiting { why, attempts, operator });
    }

    /// Brings buffers and readers behind the log, whoever moved it.
    pub(super) fn follow(&mut self) {
        let manifest = &self.committer.manifest;
        let moves = self.batcher.reconcile(manifest);
        for key in &moves.closed {
            self.readers.stop(key);
            self.survey_due = now();
        }
        for key in &moves.reread {
            if let Some(shard) = manifest.shards.get(key) {
                self.readers.start(key, shard);
            }
        }
        let open = manifest.shards.iter().filter(|(key, shard)| key.epoch == self.epoch && shard.closed_at.is_none());
        for (key, shard) in open {
            if !self.readers.has(key) {
                self.batcher.open(manifest, key, shard);
                self.readers.start(key, shard);
            }
        }
        self.note_urgency();
    }

    /// What heartbeats go by.
    pub(super) const fn rule(&self, settle: i64) -> Rule {
        Rule { settle, ends_mean_nothing: self.options.ends_mean_nothing }
    }

    /// Stops reading and commits what was read; says whether nothing is left.
    async fn drain(&mut self) -> Result<bool, CaptureError> {
        self.readers.halt();
        self.deliveries.close();
        while let Some(delivery) = self.deliveries.recv().await {
            self.take(delivery)?;
        }
        self.flush_all().await?;
        Ok(!self.batcher.has_rows())
    }
}
