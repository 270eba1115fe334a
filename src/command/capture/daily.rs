//! Days that are over are sealed beside the capture, and snapshots written of them, one table after another: that holds
//! memory, and none of it is urgent.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::keep::Keeper;
use crate::capture::{CaptureInput, Observer, Progress};
use crate::change::{Second, TableIdentity};
use crate::command::base::scratch;
use crate::command::seal;
use crate::failure::Failure;
use crate::platform::clock::sleep;
use crate::platform::patience::Waiting;
use crate::seal::SealOptions;
use crate::segment::Facts;

/// After a failure, which is told, the day waits so long.
const RETRY: Duration = Duration::from_secs(3600);

/// The sealing of one table.
pub(super) struct Daily<'a> {
    keeper: &'a Keeper<'a>,
    table: TableIdentity,
    facts: Facts,
    closed: watch::Receiver<Option<Second>>,
}

impl<'a> Daily<'a> {
    /// Follows the capture that `input` will begin.
    pub(super) fn beside(keeper: &'a Keeper<'a>, input: CaptureInput) -> (Self, CaptureInput) {
        let (tell, closed) = watch::channel(None);
        let told = Arc::clone(&input.observer);
        let observer: Observer = Arc::new(move |progress| {
            if let Progress::Committed { closed_through, .. } = progress {
                tell.send_replace(*closed_through);
            }
            told(progress);
        });
        let facts = keeper.archive.facts(&input.facts);
        (Self { keeper, table: input.facts.identity.clone(), facts, closed }, CaptureInput { observer, ..input })
    }

    /// Tells how far the capture is, from its first commit on.
    pub(super) fn closed(&self) -> watch::Receiver<Option<Second>> {
        self.closed.clone()
    }

    /// Seals whenever `closed_through` has come to another day, beside `capturing`, with which it ends at any point.
    pub(super) async fn until<T>(self, capturing: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            ended = capturing => ended,
            never = self.run() => match never {},
        }
    }

    async fn run(mut self) -> Infallible {
        let mut done = None;
        while self.closed.changed().await.is_ok() {
            let day = self.closed.borrow_and_update().map(|closed| closed.day());
            if day <= done {
                continue;
            }
            match self.seal().await {
                Ok(()) => done = day,
                Err(failure) => {
                    self.keeper.out.warn(&failure);
                    sleep(RETRY).await;
                }
            }
        }
        std::future::pending().await
    }

    async fn seal(&self) -> Result<(), Failure> {
        let _alone = self.keeper.sealing.lock().await;
        let mut opened = self.keeper.archive.open(self.table.clone()).await?;
        let options = SealOptions { scratch: scratch(), ..SealOptions::default() };
        let tell = Arc::new(|Waiting { why, .. }: Waiting| tracing::warn!(why, "sealing waits"));
        let (out, table) = (self.keeper.out, &self.table);
        let each = |step: &seal::Step| match step {
            seal::Step::Day(_) => out.note(&format!("{table}: sealed {step}")),
            seal::Step::Snapshot(_) => out.note(&format!("{table}: wrote {step}")),
        };
        seal::days(self.keeper.archive, &mut opened, self.facts.clone(), options, tell, each).await
    }
}
