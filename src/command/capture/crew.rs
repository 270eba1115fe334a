//! The captures that run: begun as tables are found, ended as they end or are not meant any more.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::fleet::{Fleet, Found, Key, Look};
use super::keep::Keeper;
use super::report::Captured;
use super::{count, over};
use crate::command::signal::Stop;
use crate::failure::Failure;
use crate::platform::clock::sleep;

/// Ends the capture of one table.
#[derive(Debug, Clone)]
pub(super) struct Leash {
    /// The table is not meant any more, which is told before it is stopped.
    pub(super) let_go: CancellationToken,
    pub(super) stop: CancellationToken,
}

/// What a table came to.
type Ended = (Key, Result<Captured, Failure>);

/// All captures of this process.
pub(super) struct Crew<'a> {
    keeper: &'a Keeper<'a>,
    fleet: Fleet,
    stop: &'a Stop,
    running: FuturesUnordered<BoxFuture<'a, Ended>>,
    /// Ends one table.
    stops: BTreeMap<Key, Leash>,
    /// Failures of looking that were told already.
    told: Vec<Failure>,
    pub(super) done: Vec<Captured>,
    pub(super) failed: Vec<Failure>,
}

impl<'a> Crew<'a> {
    pub(super) fn new(keeper: &'a Keeper<'a>, fleet: Fleet, stop: &'a Stop) -> Self {
        let (running, stops) = (FuturesUnordered::new(), BTreeMap::new());
        Self { keeper, fleet, stop, running, stops, told: vec![], done: vec![], failed: vec![] }
    }

    /// Begins every table that is meant now; how many run.
    ///
    /// # Errors
    /// Nothing is meant, or nothing could be looked at.
    pub(super) async fn muster(&mut self) -> Result<usize, Failure> {
        let Some(mut look) = self.stop.unless_stopped(Box::pin(self.fleet.look())).await else { return Ok(0) };
        if look.found.is_empty() && !look.failures.is_empty() {
            return Err(look.failures.swap_remove(0));
        }
        if look.found.is_empty() && self.keeper.once {
            return Err(self.fleet.nothing(&look));
        }
        if look.found.is_empty() {
            self.keeper.out.warn(&self.fleet.nothing(&look));
        }
        self.follow(look).await;
        Ok(self.running.len())
    }

    /// Runs until every table has ended, or the process is told to stop and all have drained.
    pub(super) async fn run(&mut self) {
        let pace = look_pace(self.keeper.config.settle);
        let drain = self.stop.drain.clone();
        loop {
            let stopping = drain.is_cancelled();
            // What could not be looked at is looked at again, too.
            let looks = self.fleet.must_look() || !self.told.is_empty();
            let waits = looks && !self.keeper.once && !stopping;
            if self.running.is_empty() && !waits {
                return;
            }
            let look = async { if waits { sleep(pace).await } else { pending().await } };
            tokio::select! {
                biased;
                Some((key, ended)) = self.running.next() => self.note(&key, ended),
                () = drain.cancelled(), if !stopping => self.keeper.board.draining(),
                () = look => {
                    if let Some(look) = drain.run_until_cancelled(Box::pin(self.fleet.look())).await {
                        self.follow(look).await;
                    }
                }
            }
        }
    }

    /// Begins what is new, and ends what is not meant any more.
    async fn follow(&mut self, look: Look) {
        let Look { found, listed, failures } = look;
        if self.told != failures {
            failures.iter().for_each(|failure| self.keeper.out.warn(failure));
            if self.keeper.once {
                self.failed.extend(failures.iter().cloned());
            }
            self.told = failures;
        }
        let meant: BTreeSet<Key> = found.iter().map(|found| found.key.clone()).collect();
        // A table that is not listed was deleted: what its stream still has is read to the end.
        for (key, leash) in self.stops.iter().filter(|(key, _)| listed.contains(*key) && !meant.contains(*key)) {
            if !leash.stop.is_cancelled() {
                self.keeper.out.note(&format!("{} is not meant any more: what was read of it is written", key.2));
                leash.let_go.cancel();
                leash.stop.cancel();
            }
        }
        for found in found {
            if !self.stops.contains_key(&found.key) && self.begin(found).await.is_none() {
                return;
            }
        }
    }

    /// Begins one table; nothing when the process is told to stop meanwhile.
    async fn begin(&mut self, found: Found) -> Option<()> {
        let keeper = self.keeper;
        let prepared = self.stop.unless_stopped(Box::pin(keeper.prepare(&found.aws, &found.name))).await?;
        let name = found.name.to_string();
        if prepared.is_err() && !keeper.tries_again() {
            keeper.board.failed(&name);
            self.refuse(prepared.err()?);
            return Some(());
        }
        let (key, leash) =
            (found.key.clone(), Leash { let_go: CancellationToken::new(), stop: self.stop.drain.child_token() });
        self.stops.insert(key.clone(), leash.clone());
        self.running.push(Box::pin(async move { (key, keeper.keep(found, prepared, leash).await) }));
        Some(())
    }

    fn note(&mut self, key: &Key, ended: Result<Captured, Failure>) {
        self.stops.remove(key);
        match ended {
            Ok(captured) => {
                self.keeper.out.result("captured", &captured);
                if let Some(failure) = over(&captured).filter(|_| self.keeper.many) {
                    self.keeper.out.warn(&failure);
                }
                if !self.stop.drain.is_cancelled() {
                    self.keeper.board.forget(&captured.table);
                }
                self.done.push(captured);
            }
            Err(failure) => self.refuse(failure),
        }
    }

    /// Where one table of several fails, the user hears of it at once: the others may go on for months.
    fn refuse(&mut self, failure: Failure) {
        if self.keeper.many {
            self.keeper.out.warn(&failure);
        }
        self.failed.push(failure);
    }

    /// What is archived, in words.
    pub(super) fn tables(&self) -> String {
        let looks = if self.fleet.must_look() { ", and whatever comes to match" } else { "" };
        format!("{}{looks}", count(self.running.len()))
    }
}

/// Between two looks: a minute, less for an endpoint that settles fast and so is no AWS.
fn look_pace(settle: Duration) -> Duration {
    (settle / 2).clamp(Duration::from_secs(1), Duration::from_secs(60))
}
