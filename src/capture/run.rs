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
use crate::manifest::action::CoverageEnded;
use crate::manifest::{Action, BaseCommitted, Definition, EpochStarted};
use crate::platform::clock::sleep;
use crate::shard::table::StreamFacts;
use crate::shard::{Listing, SourceError, StreamSource, StreamStatus};

/// Why coverage ends when a stream has been read out and no other is there.
const STREAM_DISABLED: &str = "stream_disabled";

/// The capture of one table, between its streams.
pub(super) struct Run<'a> {
    pub(super) input: &'a CaptureInput,
    pub(super) committer: Committer,
    pub(super) uploader: Uploader,
    /// `once`: the service's time at the start.
    pub(super) goal: Option<Second>,
}

/// How an epoch's beginning went.
enum Begun {
    Yes,
    Stopped,
}

impl Run<'_> {
    /// What the run came to.
    pub(super) const fn summary(&self, ended: Ended) -> CaptureSummary {
        let manifest = &self.committer.manifest;
        let (closed_through, proven_through) = (manifest.closed_through, manifest.proven_through);
        CaptureSummary { ended, counts: self.committer.counts, closed_through, proven_through }
    }

    /// Reads the open epoch to its end, then the stream that the table has now, until there is nothing left to read.
    pub(super) async fn run(&mut self, stop: &CancellationToken) -> Result<Ended, CaptureError> {
        loop {
            if stop.is_cancelled() {
                return Ok(Ended::Stopped);
            }
            let open = self.committer.manifest.open_epoch().map(|(_, epoch)| epoch.started.clone());
            if let Some(started) = open {
                match self.pump(&started, stop).await? {
                    Ending::Stopped => return Ok(Ended::Stopped),
                    Ending::CaughtUp => return Ok(Ended::CaughtUp),
                    Ending::Over => continue,
                }
            }
            let Some(next) = self.next_stream()? else { return self.end_coverage().await };
            if let Begun::Stopped = self.begin(&next, stop).await? {
                return Ok(Ended::Stopped);
            }
        }
    }

    async fn pump(&mut self, started: &EpochStarted, stop: &CancellationToken) -> Result<Ending, CaptureError> {
        let input = self.input;
        let replaced = input.facts.stream.as_ref().is_some_and(|stream| stream.arn != started.stream_arn);
        let source = (input.streams)(&started.stream_arn);
        let (options, ids) = (&input.options, input.ids.clone());
        let mut pump = Pump::new(&mut self.committer, &self.uploader, options, source, started, ids, replaced);
        pump.goal = self.goal;
        pump.definition = Some(input.facts.definition.clone());
        let ending = pump.run(stop).await;
        self.goal = pump.goal;
        ending
    }

    /// The stream that the table has now, unless it was read to its end already.
    fn next_stream(&self) -> Result<Option<StreamFacts>, CaptureError> {
        let facts = &self.input.facts;
        let known = |arn: &str| self.committer.manifest.epochs.values().any(|epoch| epoch.started.stream_arn == arn);
        let Some(stream) = facts.stream.clone().filter(|stream| !known(&stream.arn)) else {
            if self.committer.manifest.epochs.is_empty() {
                return Err(CaptureError::NoStream { table: facts.identity.name.clone() });
            }
            return Ok(None);
        };
        match stream.view_type.as_str() {
            "NEW_AND_OLD_IMAGES" | "NEW_IMAGE" => Ok(Some(stream)),
            other => Err(CaptureError::ViewType { table: facts.identity.name.clone(), view_type: other.to_owned() }),
        }
    }

    async fn end_coverage(&mut self) -> Result<Ended, CaptureError> {
        let open = |run: &Self| run.committer.manifest.open_epoch().is_some();
        while self.committer.manifest.coverage_ended.is_none() && !open(self) {
            let ended = Action::CoverageEnded(CoverageEnded { reason: STREAM_DISABLED.into() });
            self.committer.propose(vec![ended]).await?;
        }
        let reason = self.committer.manifest.coverage_ended.clone();
        Ok(Ended::CoverageEnded { reason: reason.unwrap_or_else(|| STREAM_DISABLED.into()) })
    }

    /// Commits the entry with which an epoch begins, unless another writer is faster.
    async fn begin(&mut self, stream: &StreamFacts, stop: &CancellationToken) -> Result<Begun, CaptureError> {
        let source = (self.input.streams)(&stream.arn);
        let Some(listing) = stop.run_until_cancelled(self.both_listings(&*source)).await else {
            return Ok(Begun::Stopped);
        };
        let listing = listing?;
        if self.input.options.once && self.goal.is_none() {
            self.goal = Some(listing.begun);
        }
        let (started, base) = self.epoch(stream, listing.begun);
        let epoch = started.epoch;
        let floor = started.floor;
        let empty_base = base.is_some();
        let mut known = BTreeMap::new();
        let openings = self.openings(&started, &listing, &*source, &mut known).await;
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
    async fn both_listings(&mut self, source: &dyn StreamSource) -> Result<Listing, CaptureError> {
        let first = self.listing(source).await?;
        sleep(self.input.options.second_listing()).await;
        let second = self.listing(source).await?;
        let listing = first.union(second);
        self.committer.tell(listing.begun);
        Ok(listing)
    }

    /// A full listing of a stream that lists shards at all: one that is being turned on lists none.
    async fn listing(&self, source: &dyn StreamSource) -> Result<Listing, CaptureError> {
        let mut attempts = 0;
        loop {
            let why = match source.list().await {
                Ok(listing) if listing.status == StreamStatus::Enabling => "the stream is being turned on".to_owned(),
                Ok(listing) => return Ok(listing),
                Err(SourceError::Invalid(reason)) => return Err(CaptureError::Listing(reason)),
                Err(SourceError::NotFound { at }) => {
                    return Ok(Listing { begun: at, status: StreamStatus::Disabled, shards: vec![] });
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
                // A shard that nobody answers for is taken to exist: its children wait for a later listing.
                let answer = source.knows(&shard).await.unwrap_or(true);
                known.insert(shard, answer);
            }
        }
    }
}
