//! From the table's facts to the end of the capture: which stream is read, and how an epoch begins.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::CaptureInput;
use super::committer::{Committer, Outcome};
use super::error::CaptureError;
use super::openings::{self, View};
use super::pump::{Ending, Pump};
use super::report::{CaptureSummary, Ended, Progress};
use super::start::{self, Birth};
use super::uploader::Uploader;
use crate::change::{Second, ShardId};
use crate::manifest::action::{CoverageEnded, STREAM_DISABLED, TABLE_DELETED, UNSELECTED};
use crate::manifest::{Action, BaseCommitted, Definition, EpochStarted};
use crate::platform::aws::ServiceError;
use crate::platform::clock::sleep;
use crate::shard::table::{StreamFacts, TableError};
use crate::shard::{Listing, SourceError, StreamSource, StreamStatus};

/// How often in a row a stream must be missing before it counts as gone.
const MISSING: u32 = 3;

/// The capture of one table, between its streams.
pub(super) struct Run<'a> {
    pub(super) input: &'a CaptureInput,
    pub(super) committer: Committer,
    uploader: Uploader,
    /// The stream that the table has now, if it is still the same table.
    stream: Option<StreamFacts>,
    /// The table was deleted, or deleted and made anew, which is another timeline.
    deleted: bool,
    /// `once`: the service's time at the start.
    goal: Option<Second>,
}

/// How an epoch's beginning went.
enum Begun {
    Yes,
    Stopped,
}

/// What the table has to read.
enum Next {
    Stream(StreamFacts),
    /// Nothing, and why it ended.
    Nothing(&'static str),
    /// A stream whose images cannot bring items back.
    Useless(String),
}

impl<'a> Run<'a> {
    pub(super) fn new(input: &'a CaptureInput, committer: Committer) -> Self {
        let (uploader, stream) = (input.uploader(), input.facts.stream.clone());
        Self { input, committer, uploader, stream, deleted: false, goal: None }
    }

    /// What the run came to.
    pub(super) const fn summary(&self, ended: Ended) -> CaptureSummary {
        let manifest = &self.committer.manifest;
        let (closed_through, proven_through) = (manifest.closed_through, manifest.proven_through);
        CaptureSummary { ended, counts: self.committer.counts, closed_through, proven_through }
    }

    /// As [`Self::run`]; of a table that is let go, coverage ends in the log.
    pub(super) async fn until_done(&mut self, stop: &CancellationToken) -> Result<Ended, CaptureError> {
        let ended = self.run(stop).await?;
        if ended == Ended::Stopped && self.input.let_go.is_cancelled() {
            self.end_coverage(UNSELECTED).await?;
            return Ok(Ended::CoverageEnded { reason: UNSELECTED.to_owned() });
        }
        Ok(ended)
    }

    /// Reads the open epoch to its end, then the stream that the table has now. When there is nothing left to read,
    /// `once` ends; a service waits for the stream to be turned on again.
    async fn run(&mut self, stop: &CancellationToken) -> Result<Ended, CaptureError> {
        loop {
            if stop.is_cancelled() {
                return Ok(Ended::Stopped);
            }
            let open = self.committer.manifest.open_epoch().map(|(_, epoch)| epoch.started.clone());
            if let Some(started) = open {
                match self.pump(&started, stop).await? {
                    Ending::Stopped => return Ok(Ended::Stopped),
                    Ending::Undrained => return Ok(Ended::StoppedUndrained),
                    Ending::CaughtUp => return Ok(Ended::CaughtUp),
                    Ending::Over => self.look(stop).await?,
                }
                continue;
            }
            match self.next()? {
                Next::Stream(next) => {
                    if let Begun::Stopped = self.begin(&next, stop).await? {
                        return Ok(Ended::Stopped);
                    }
                }
                Next::Nothing(reason) => {
                    self.end_coverage(reason).await?;
                    if self.input.options.once || self.deleted {
                        return Ok(Ended::CoverageEnded { reason: reason.to_owned() });
                    }
                    self.wait(stop).await?;
                }
                Next::Useless(view_type) => {
                    let table = self.input.facts.identity.name.clone();
                    let error = CaptureError::ViewType { table, view_type };
                    if self.input.options.once || self.committer.manifest.epochs.is_empty() {
                        return Err(error);
                    }
                    self.committer.say(&Progress::Alarm { what: error.to_string() });
                    self.wait(stop).await?;
                }
            }
        }
    }

    async fn wait(&mut self, stop: &CancellationToken) -> Result<(), CaptureError> {
        if stop.run_until_cancelled(sleep(self.input.options.listing_pace())).await.is_some() {
            self.committer.refresh().await?;
            self.look(stop).await?;
        }
        Ok(())
    }

    /// Describes the table again; tries until it is told something, or to stop.
    async fn look(&mut self, stop: &CancellationToken) -> Result<(), CaptureError> {
        let mut patience = self.input.patience();
        loop {
            let Some(told) = stop.run_until_cancelled((self.input.describe)()).await else { return Ok(()) };
            let (why, operator) = match told {
                Ok(facts) if facts.identity.table_id == self.input.facts.identity.table_id => {
                    self.stream = facts.stream;
                    return Ok(());
                }
                Ok(_) | Err(TableError::Missing { .. }) => {
                    (self.stream, self.deleted) = (None, true);
                    return Ok(());
                }
                Err(error) => {
                    let operator = matches!(error, TableError::Denied { .. });
                    (error.to_string(), operator)
                }
            };
            if stop.run_until_cancelled(patience.wait(why, operator)).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn pump(&mut self, started: &EpochStarted, stop: &CancellationToken) -> Result<Ending, CaptureError> {
        let input = self.input;
        let replaced = self.stream.as_ref().is_some_and(|stream| stream.arn != started.stream_arn);
        let source = (input.streams)(&started.stream_arn);
        let (committer, stop) = (&mut self.committer, stop.clone());
        let mut pump = Pump::new(committer, &self.uploader, input, source, started, replaced, stop);
        pump.goal = self.goal;
        pump.definition = Some(input.facts.definition.clone());
        let ending = pump.run().await;
        self.goal = pump.goal;
        ending
    }

    /// The stream that the table has now, unless it was read to its end already.
    fn next(&self) -> Result<Next, CaptureError> {
        let known = |arn: &str| self.committer.manifest.epochs.values().any(|epoch| epoch.started.stream_arn == arn);
        let Some(stream) = self.stream.clone().filter(|stream| !known(&stream.arn)) else {
            if self.committer.manifest.epochs.is_empty() {
                return Err(CaptureError::NoStream { table: self.input.facts.identity.name.clone() });
            }
            return Ok(Next::Nothing(if self.deleted { TABLE_DELETED } else { STREAM_DISABLED }));
        };
        match stream.view_type.as_str() {
            "NEW_AND_OLD_IMAGES" | "NEW_IMAGE" => Ok(Next::Stream(stream)),
            _ => Ok(Next::Useless(stream.view_type)),
        }
    }

    /// Commits that nothing is archived any more, once, and raises the alarm.
    async fn end_coverage(&mut self, reason: &str) -> Result<(), CaptureError> {
        let goes_on = |run: &Self| {
            let manifest = &run.committer.manifest;
            manifest.coverage_ended.is_none() && (manifest.open_epoch().is_none() || reason == UNSELECTED)
        };
        while goes_on(self) {
            let ended = Action::CoverageEnded(CoverageEnded { reason: reason.into() });
            if let Outcome::Committed(_) = self.committer.propose(vec![ended]).await? {
                let what = match reason {
                    TABLE_DELETED => "the table was deleted: what its stream still had is archived, and coverage ends",
                    UNSELECTED => "the table is not meant any more: what was read of it is archived, and coverage ends",
                    _ => "the stream is off: what it still had is archived, and coverage ends until it is on again",
                };
                self.committer.say(&Progress::Alarm { what: what.to_owned() });
            }
        }
        Ok(())
    }

    /// Commits the entry with which an epoch begins, unless another writer is faster.
    async fn begin(&mut self, stream: &StreamFacts, stop: &CancellationToken) -> Result<Begun, CaptureError> {
        let source = (self.input.streams)(&stream.arn);
        let Some(listing) = stop.run_until_cancelled(self.both_listings(&*source)).await else {
            return Ok(Begun::Stopped);
        };
        let listing = listing?;
        self.committer.tell(listing.begun);
        if self.input.options.once && self.goal.is_none() {
            self.goal = Some(listing.begun);
        }
        let (started, base) = self.epoch(stream, listing.begun);
        let epoch = started.epoch;
        let floor = started.floor;
        let empty_base = base.is_some();
        let mut known = BTreeMap::new();
        let openings = self.openings(&started, &listing, &*source, &mut known);
        let Some(openings) = stop.run_until_cancelled(openings).await else { return Ok(Begun::Stopped) };
        let mut actions = vec![Action::EpochStarted(started)];
        actions.extend(base.map(Action::Base));
        let (at, table) = (listing.begun, self.input.facts.definition.clone());
        actions.push(Action::Definition(Definition { at, table }));
        actions.extend(openings);
        if let Outcome::Committed(_) = self.committer.propose(actions).await? {
            self.committer.say(&Progress::EpochStarted { epoch, floor, empty_base });
        }
        Ok(Begun::Yes)
    }

    fn epoch(&self, stream: &StreamFacts, at: Second) -> (EpochStarted, Option<BaseCommitted>) {
        let (facts, manifest) = (&self.input.facts, &self.committer.manifest);
        let birth = Birth {
            at,
            table_created: facts.created,
            stream_created: stream.created,
            restored: facts.restored,
            replicated: facts.replicated,
        };
        let (floor, base) = start::floor(birth, manifest);
        let started = EpochStarted {
            epoch: manifest.epochs.keys().next_back().map_or(1, |last| last + 1),
            stream_arn: stream.arn.clone(),
            view_type: stream.view_type.clone(),
            keys: facts.keys.clone(),
            created: stream.created.second(),
            floor,
        };
        (started, base)
    }

    /// The union of two full listings, some time apart: one alone may lack a shard.
    async fn both_listings(&self, source: &dyn StreamSource) -> Result<Listing, CaptureError> {
        let first = self.listing(source).await?;
        sleep(self.input.options.second_listing()).await;
        let second = self.listing(source).await?;
        Ok(first.union(second))
    }

    /// A full listing of a stream that lists shards at all: one that is being turned on lists none.
    async fn listing(&self, source: &dyn StreamSource) -> Result<Listing, CaptureError> {
        let (mut attempts, mut missing) = (0, 0);
        loop {
            let why = match source.list().await {
                Ok(listing) if listing.status == StreamStatus::Enabling => "the stream is being turned on".to_owned(),
                Ok(listing) => return Ok(listing),
                Err(SourceError::Service(ServiceError::Invalid(reason))) => return Err(CaptureError::Listing(reason)),
                Err(SourceError::Service(ServiceError::NotFound { at })) => {
                    missing += 1;
                    if missing == MISSING {
                        return Ok(Listing::of_none(at));
                    }
                    "the stream was not found".to_owned()
                }
                Err(error) => format!("listing the shards: {error}"),
            };
            attempts += 1;
            self.committer.say(&Progress::Waiting { why, attempts, operator: false });
            sleep(self.input.options.listing_pace()).await;
        }
    }

    /// Every root opens in the entry that begins the epoch; what may have an unread ancestor is awaited there.
    async fn openings(
        &self,
        started: &EpochStarted,
        listing: &Listing,
        source: &dyn StreamSource,
        known: &mut BTreeMap<ShardId, bool>,
    ) -> Vec<Action> {
        let mut patience = self.input.patience();
        loop {
            let plan = openings::plan(&View {
                manifest: &self.committer.manifest,
                epoch: started.epoch,
                starting: Some(started),
                listing,
                known,
                at: self.committer.at,
            });
            if plan.ask.is_empty() {
                return plan.actions;
            }
            for shard in plan.ask {
                // Without an answer the shard's children would be awaited, and their first read called a loss.
                match source.knows(&shard).await {
                    Ok(answer) => drop(known.insert(shard, answer)),
                    Err(SourceError::Service(ServiceError::NotFound { .. })) => drop(known.insert(shard, false)),
                    Err(error) => {
                        patience.wait(format!("asking for shard {shard}: {error}"), false).await;
                    }
                }
            }
        }
    }
}
