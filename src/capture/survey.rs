//! The shards of the stream, and the entries that open, await, bar and release them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::committer::Outcome;
use super::error::CaptureError;
use super::openings::{self, Plan, View};
use super::pump::Pump;
use super::report::Progress;
use crate::change::ShardId;
use crate::manifest::{Action, Definition, EpochClosed};
use crate::platform::aws::ServiceError;
use crate::platform::clock::now;
use crate::shard::{Listing, SourceError, StreamStatus};

/// Listings in one survey: an awaiting or an unlisted opening asks for another.
const ROUNDS: usize = 6;
/// While a shard's child is not seen yet, the shards are listed this often, for so many seconds after its end.
const CHILD_PACE: Duration = Duration::from_secs(2);
const CHILD_WITHIN: i64 = 300;
/// How often in a row the stream must be missing before it counts as gone.
const MISSING: u32 = 3;

/// A full listing, and what judgements on it need.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) listing: Listing,
    /// Entries read when it was begun.
    read: u64,
    /// What the service said of shards that it lacks.
    known: BTreeMap<ShardId, bool>,
}

impl Pump<'_> {
    /// Lists the shards and commits what follows for them.
    pub(super) async fn survey(&mut self) -> Result<(), CaptureError> {
        self.survey_due = now() + self.options.listing_pace();
        for _ in 0..ROUNDS {
            let Some(seen) = self.look().await? else { return Ok(()) };
            self.seen = Some(seen);
            if self.open_shards().await? {
                break;
            }
        }
        self.define().await?;
        self.release_shards().await?;
        self.close_epoch().await?;
        self.follow();
        self.note_standing();
        Ok(())
    }

    /// A full listing; none if the service does not answer now.
    async fn look(&mut self) -> Result<Option<Seen>, CaptureError> {
        let read = self.committer.manifest.next;
        let stop = self.stop.clone();
        let Some(listed) = stop.run_until_cancelled(self.source.list()).await else { return Ok(None) };
        let listing = match listed {
            Ok(listing) => listing,
            Err(SourceError::Service(ServiceError::NotFound { at })) if self.missing + 1 == MISSING => {
                Listing::of_none(at)
            }
            // One such answer alone may be a server's that has not heard of the stream yet.
            Err(error @ SourceError::Service(ServiceError::NotFound { .. })) => {
                self.missing += 1;
                self.say_unlisted(&error);
                return Ok(None);
            }
            Err(SourceError::Service(ServiceError::Invalid(reason))) => return Err(CaptureError::Listing(reason)),
            Err(error) => {
                self.say_unlisted(&error);
                return Ok(None);
            }
        };
        if listing.status != StreamStatus::Disabled {
            self.missing = 0;
        }
        self.committer.tell(listing.begun);
        if self.options.once && self.goal.is_none() {
            self.goal = Some(listing.begun);
        }
        Ok(Some(Seen { listing, read, known: BTreeMap::new() }))
    }

    fn say_unlisted(&self, error: &SourceError) {
        let operator = matches!(error, SourceError::Service(ServiceError::Denied(_)));
        let why = format!("listing the shards: {error}");
        self.committer.say(&Progress::Waiting { why, attempts: self.missing.max(1), operator });
    }

    /// Commits openings, awaitings and barrings until the listing asks for no more; `false` asks for another listing.
    async fn open_shards(&mut self) -> Result<bool, CaptureError> {
        loop {
            if !self.fresh() {
                return Ok(false);
            }
            let plan = self.planned(openings::plan).await;
            if plan.actions.is_empty() {
                return Ok(true);
            }
            let barred = plan.actions.clone();
            if let Outcome::Committed(_) = self.committer.propose(plan.actions).await? {
                self.report_barred(&barred);
            }
        }
    }

    fn report_barred(&mut self, actions: &[Action]) {
        let spans = actions.iter().filter_map(|action| match action {
            Action::Segments(added) => Some(&added.spans),
            _ => None,
        });
        for span in spans.flatten() {
            if let Some(gap) = span.gap {
                self.committer.counts.gaps += 1;
                self.committer.say(&Progress::Gap { shard: span.shard.clone(), gap });
            }
        }
    }

    /// Commits the table's definition if it is another than the log's.
    async fn define(&mut self) -> Result<(), CaptureError> {
        while let Some(table) = &self.definition {
            let at = self.committer.at;
            if self.committer.manifest.definition.as_ref().is_some_and(|known| known.table == *table) {
                self.definition = None;
                break;
            }
            let definition = Action::Definition(Definition { at, table: table.clone() });
            self.committer.propose(vec![definition]).await?;
        }
        Ok(())
    }

    async fn release_shards(&mut self) -> Result<(), CaptureError> {
        let settle = self.options.settle_seconds();
        while self.fresh() {
            let plan = self.planned(|view| openings::releases(view, settle)).await;
            if plan.actions.is_empty() || matches!(self.committer.propose(plan.actions).await?, Outcome::Committed(_)) {
                break;
            }
        }
        Ok(())
    }

    async fn close_epoch(&mut self) -> Result<(), CaptureError> {
        let settle = self.options.settle_seconds();
        let ended = |pump: &Self| {
            let manifest = &pump.committer.manifest;
            let open = manifest.epochs.get(&pump.epoch).is_some_and(|epoch| epoch.border_from.is_none());
            let ended = |seen: &Seen| openings::epoch_ended(manifest, pump.epoch, &seen.listing, pump.replaced, settle);
            open && pump.fresh() && pump.seen.as_ref().is_some_and(ended)
        };
        while ended(self) {
            let closed = Action::EpochClosed(EpochClosed { epoch: self.epoch });
            if let Outcome::Committed(_) = self.committer.propose(vec![closed]).await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the latest listing may be judged on.
    fn fresh(&self) -> bool {
        let manifest = &self.committer.manifest;
        self.seen.as_ref().is_some_and(|seen| openings::fresh(manifest, self.epoch, seen.read))
    }

    /// A plan with all its questions answered, as far as the service answers.
    async fn planned(&mut self, plan: impl Fn(&View<'_>) -> Plan) -> Plan {
        loop {
            let Some(seen) = &self.seen else { return Plan::default() };
            let made = plan(&View {
                manifest: &self.committer.manifest,
                epoch: self.epoch,
                starting: None,
                listing: &seen.listing,
                known: &seen.known,
                at: self.committer.at,
            });
            if made.ask.is_empty() || !self.ask(&made.ask).await {
                return made;
            }
        }
    }

    /// Asks whether the service knows these shards; `false` if it did not answer for any.
    async fn ask(&mut self, shards: &BTreeSet<ShardId>) -> bool {
        let mut answered = false;
        for shard in shards {
            let stop = self.stop.clone();
            let Some(told) = stop.run_until_cancelled(self.source.knows(shard)).await else { break };
            let answer = match told {
                Ok(known) => known,
                Err(SourceError::Service(ServiceError::NotFound { .. })) => false,
                Err(error) => {
                    let why = format!("asking for shard {shard}: {error}");
                    self.committer.say(&Progress::Waiting { why, attempts: 1, operator: false });
                    continue;
                }
            };
            if let Some(seen) = &mut self.seen {
                answered |= seen.known.insert(shard.clone(), answer).is_none();
            }
        }
        answered
    }

    /// Notes that every listed shard is open, awaited or waits, and when the shards are to be listed next.
    fn note_standing(&mut self) {
        let Some(seen) = &self.seen else { return };
        let manifest = &self.committer.manifest;
        if openings::stand(manifest, self.epoch, &seen.listing, &seen.known, true) {
            self.stood = Some((now(), seen.listing.begun));
        }
        let parents: BTreeSet<_> = manifest.shards.values().filter_map(|shard| shard.parent.as_ref()).collect();
        let recent = self.committer.at.plus(-CHILD_WITHIN);
        let childless = manifest.shards.iter().any(|(key, shard)| {
            key.epoch == self.epoch
                && !parents.contains(&key.id)
                && shard.closed_at.is_some_and(|closed| closed > recent)
        });
        let pace = self.options.listing_pace();
        let pace = if childless && seen.listing.status == StreamStatus::Enabled { pace.min(CHILD_PACE) } else { pace };
        self.survey_due = now() + pace;
    }
}
