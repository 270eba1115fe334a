//! A base's dealings with the log: read on, propose, abandon; failures are waited out.

use std::time::Duration;

use super::{BaseError, BaseSource};
use crate::change::Second;
use crate::manifest::action::IntentAbandoned;
use crate::manifest::{Action, Log, Manifest, Proposed};
use crate::platform::clock;
use crate::platform::patience::{Curable, Patience};

/// The table's log, as one run reads and writes it.
pub(super) struct Journal<'a> {
    pub(super) log: &'a Log,
    pub(super) manifest: &'a mut Manifest,
    pub(super) source: BaseSource<'a>,
    /// With the log, and with what is asked of the service besides items.
    pub(super) patience: Patience,
    /// How often the log is read while waiting.
    pub(super) poll: Duration,
}

impl Journal<'_> {
    /// Proposes an entry. What came of it the manifest says, which is then read on: the caller judges anew.
    pub(super) async fn propose(&mut self, at: Second, action: Action) -> Result<(), BaseError> {
        match Box::pin(self.log.propose(self.manifest, at, vec![action])).await {
            Ok(Proposed::Committed { .. } | Proposed::Lost) => {
                self.patience.renew();
                Ok(())
            }
            Ok(Proposed::Refused(violation)) => Err(BaseError::Refused(violation.to_string())),
            Err(error) => {
                self.bear("the log", error).await?;
                self.refresh().await
            }
        }
    }

    /// Ends an intent.
    pub(super) async fn abandon(&mut self, intent: u64) -> Result<(), BaseError> {
        while self.manifest.intents.contains_key(&intent) {
            let at = self.now().await?;
            self.propose(at, Action::IntentAbandoned(IntentAbandoned { intent })).await?;
        }
        Ok(())
    }

    pub(super) async fn refresh(&mut self) -> Result<(), BaseError> {
        loop {
            match Box::pin(self.log.refresh(self.manifest)).await {
                Err(error) => self.bear("the log", error).await?,
                Ok(_) => {
                    self.patience.renew();
                    return Ok(());
                }
            }
        }
    }

    /// Brings every segment into memory that can hold a row above the fence.
    pub(super) async fn load(&mut self, fence: Second) -> Result<(), BaseError> {
        loop {
            match self.log.load_segments(self.manifest, Some(fence), None).await {
                Ok(()) => return Ok(()),
                Err(error) => self.bear("the log", error).await?,
            }
        }
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
        Ok(self.patience.bear(what, error).await?)
    }

    /// Waits, then reads on.
    pub(super) async fn pause(&mut self) -> Result<(), BaseError> {
        clock::sleep(self.poll).await;
        self.refresh().await
    }
}
