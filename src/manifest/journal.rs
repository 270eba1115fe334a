//! How a long piece of work deals with the log: propose, read on, abandon; failures that pass are waited out.

use super::{Action, IntentAbandoned, Log, LogError, Manifest, Proposed, Violation};
use crate::change::Second;
use crate::platform::patience::Patience;

/// Why the log did not take an entry, by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It could not be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its own rules refuse the entry: a bug.
    #[error("the log refuses it: {0}")]
    Refused(Violation),
}

/// The log of one table, as one run reads and writes it.
pub struct Journal<'a> {
    /// The log.
    pub log: &'a Log,
    /// What it says.
    pub manifest: &'a mut Manifest,
    /// How failures are borne.
    pub patience: Patience,
}

impl Journal<'_> {
    /// Proposes an entry. What came of it the manifest says, which is then read on: the caller judges anew.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn propose(&mut self, at: Second, action: Action) -> Result<(), JournalError> {
        match Box::pin(self.log.propose(self.manifest, at, vec![action])).await {
            Ok(Proposed::Committed { .. } | Proposed::Lost) => {
                self.patience.renew();
                Ok(())
            }
            Ok(Proposed::Refused(violation)) => Err(JournalError::Refused(violation)),
            Err(error) => {
                self.patience.bear("the log", error).await?;
                self.refresh().await
            }
        }
    }

    /// Ends an intent.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn abandon(&mut self, at: Second, intent: u64) -> Result<(), JournalError> {
        while self.manifest.intents.contains_key(&intent) {
            self.propose(at, Action::IntentAbandoned(IntentAbandoned { intent })).await?;
        }
        Ok(())
    }

    /// Reads what was committed meanwhile.
    ///
    /// # Errors
    /// [`JournalError::Log`].
    pub async fn refresh(&mut self) -> Result<(), JournalError> {
        while let Err(error) = Box::pin(self.log.refresh(self.manifest)).await {
            self.patience.bear("the log", error).await?;
        }
        self.patience.renew();
        Ok(())
    }

    /// Brings every segment into memory that can hold a row between these seconds.
    ///
    /// # Errors
    /// [`JournalError::Log`].
    pub async fn load(&mut self, from: Option<Second>, to: Option<Second>) -> Result<(), JournalError> {
        while let Err(error) = self.log.load_segments(self.manifest, from, to).await {
            self.patience.bear("the log", error).await?;
        }
        Ok(())
    }

    /// The log's own last time: it stands for the service's where none is asked.
    #[must_use]
    pub fn last_time(&self) -> Second {
        self.manifest.at.unwrap_or_default()
    }
}
