//! A base's dealings with the log and the service's time.

use std::time::Duration;

use super::{BaseError, BaseSource};
use crate::change::Second;
use crate::manifest::{self, Action};
use crate::platform::clock;
use crate::platform::patience::Curable;

/// The table's log, as one run reads and writes it.
pub(super) struct Journal<'a> {
    pub(super) log: manifest::Journal<'a>,
    pub(super) source: BaseSource<'a>,
    /// How often the log is read while waiting.
    pub(super) poll: Duration,
}

impl Journal<'_> {
    /// Proposes an entry: the caller judges anew what came of it.
    pub(super) async fn propose(&mut self, at: Second, action: Action) -> Result<(), BaseError> {
        Ok(self.log.propose(at, action).await?)
    }

    /// Ends an intent.
    pub(super) async fn abandon(&mut self, intent: u64) -> Result<(), BaseError> {
        let at = self.now().await?;
        Ok(self.log.abandon(at, intent).await?)
    }

    pub(super) async fn refresh(&mut self) -> Result<(), BaseError> {
        Ok(self.log.refresh().await?)
    }

    /// The service's time.
    pub(super) async fn now(&mut self) -> Result<Second, BaseError> {
        loop {
            match self.source.now().await {
                Err(error) => self.bear("asking the service for its time", error).await?,
                Ok(now) => return Ok(now),
            }
        }
    }

    /// Waits before a call is made again, unless waiting cannot help.
    pub(super) async fn bear<E: Curable>(&mut self, what: &str, error: E) -> Result<(), BaseError>
    where
        BaseError: From<E>,
    {
        Ok(self.log.patience.bear(what, error).await?)
    }

    /// Waits, then reads on.
    pub(super) async fn pause(&mut self) -> Result<(), BaseError> {
        clock::sleep(self.poll).await;
        self.refresh().await
    }
}
