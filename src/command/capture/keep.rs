//! One table, for as long as the service runs: nobody restarts the process for one table of twenty.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use futures::future;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use super::crew::Leash;
use super::daily::Daily;
use super::first::First;
use super::fleet::Found;
use super::report::{Captured, observer};
use super::{check_settle, failure, input, options, over};
use crate::capture::{Capture, CaptureError, CaptureInput, CaptureOptions, Memory};
use crate::change::TableIdentity;
use crate::command::archive::Archive;
use crate::command::live;
use crate::command::output::Output;
use crate::command::table::TableName;
use crate::config::unit::Dollars;
use crate::config::{BaseConfig, CaptureConfig};
use crate::failure::Failure;
use crate::platform::clock::sleep;
use crate::platform::retry::Backoff;
use crate::platform::tasks;
use crate::service::Board;

/// Between two tries of a table that fails.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// What all tables of one `capture` share.
pub(super) struct Keeper<'a> {
    pub(super) archive: &'a Archive,
    pub(super) config: &'a CaptureConfig,
    pub(super) once: bool,
    /// More than one table may be archived: one that is alone has the service's own supervisor.
    pub(super) many: bool,
    /// Memory for what was read and is not written yet.
    pub(super) memory: Memory,
    /// Days are sealed one after another, whatever table they are of.
    pub(super) sealing: Mutex<()>,
    /// First snapshots, so many at a time.
    pub(super) snapshots: Semaphore,
    /// Tables whose first snapshot was looked into, however often their captures begin again.
    pub(super) tried: Mutex<BTreeSet<TableIdentity>>,
    /// How snapshots are taken.
    pub(super) base: BaseConfig,
    /// What the first snapshot of a table may cost.
    pub(super) base_budget: Dollars,
    pub(super) out: &'a Output,
    pub(super) board: &'a Arc<Board>,
}

impl Keeper<'_> {
    /// Everything that one capture needs; what is wrong with a table shows here.
    pub(super) async fn prepare(&self, aws: &SdkConfig, name: &TableName) -> Result<CaptureInput, Failure> {
        check_settle(aws, self.config)?;
        let facts = live::describe(aws, name).await?;
        let observer = self.board.watch(&name.to_string(), observer(self.out.clone(), facts.identity.clone()));
        let options = CaptureOptions { once: self.once, ..options(self.config) };
        let input = input(self.archive, aws, name.asked(), facts, options, observer);
        Ok(CaptureInput { memory: self.memory.clone(), ..input })
    }

    /// Whether a table that fails is tried again.
    pub(super) const fn tries_again(&self) -> bool {
        !self.once && self.many
    }

    /// Captures one table until it ends for good, or is told to stop. A table that is named is waited for after it was
    /// deleted: under the same name it is another timeline. One that was looked for is found again.
    pub(super) async fn keep(
        &self,
        found: Found,
        first: Result<CaptureInput, Failure>,
        leash: Leash,
    ) -> Result<Captured, Failure> {
        let Leash { let_go, stop } = leash;
        let Found { name, aws, looked_for, .. } = found;
        let mut prepared = first;
        let mut pause = Backoff::new(self.archive.ids.clone(), PAUSE.0, PAUSE.1);
        let (mut told, mut deleted) = (None, false);
        loop {
            let ended = match prepared {
                Ok(input) => {
                    let input = CaptureInput { let_go: let_go.clone(), ..input };
                    self.one((&name, &aws), input, stop.clone()).await
                }
                Err(failure) => Err(failure),
            };
            let failure = match ended {
                Ok(captured) => match over(&captured).filter(|_| !self.once && !looked_for && !stop.is_cancelled()) {
                    Some(failure) => {
                        (deleted, told) = (true, None);
                        pause.reset();
                        failure
                    }
                    None => return Ok(captured),
                },
                Err(failure) if self.tries_again() || deleted => failure,
                Err(failure) => return Err(failure),
            };
            self.board.failed(&name.to_string());
            if told.as_ref() != Some(&failure) {
                self.out.warn(&failure);
                told = Some(failure.clone());
            }
            let again = async {
                sleep(pause.step()).await;
                self.prepare(&aws, &name).await
            };
            match stop.run_until_cancelled(again).await {
                Some(next) => prepared = next,
                None => return Err(failure),
            }
        }
    }

    /// Runs on a task of its own: what one table computes does not hold up another.
    async fn one(
        &self,
        (name, aws): (&TableName, &SdkConfig),
        input: CaptureInput,
        stop: CancellationToken,
    ) -> Result<Captured, Failure> {
        let (table, over) = (name.to_string(), stop.child_token());
        let (daily, input) = Daily::beside(self, input);
        let first = First::beside(self, (name, aws), &input, daily.closed());
        let capturing = tasks::spawn(async move { Capture::new(input).run(stop).await });
        let ended = if self.once {
            capturing.await
        } else {
            let until_over = async {
                let ended = daily.until(capturing).await;
                over.cancel();
                ended
            };
            future::join(until_over, Box::pin(first.run(over.clone()))).await.0
        };
        match ended {
            Ok(Ok(summary)) => Ok(Captured::of(name.clone(), &summary)),
            Ok(Err(error)) => Err(failure(&error, &table)),
            Err(error) => Err(failure(&CaptureError::Task(error.to_string()), &table)),
        }
    }
}
