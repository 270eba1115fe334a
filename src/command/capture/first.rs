//! The first snapshot of a table that has none, taken beside its capture while it costs little: without one nobody can
//! rebuild the table as a whole, and whoever forgot it would learn so on the worst day.
//!
//! It is tried once in the life of a process. A scan that nobody ended in the log counts as tried, too: a process that
//! dies again and again must not pay for one each time.

use std::sync::Arc;

use aws_config::SdkConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::keep::Keeper;
use crate::base::scan::DynamoTable;
use crate::base::{self, BaseError, BaseInput, BaseSource, BaseSummary};
use crate::capture::CaptureInput;
use crate::change::Second;
use crate::command::archive::Opened;
use crate::command::base::price::Price;
use crate::command::base::{failure, options};
use crate::command::seal::Step;
use crate::command::table::TableName;
use crate::config::BaseConfig;
use crate::config::unit::Dollars;
use crate::failure::Failure;
use crate::manifest::IntentKind;
use crate::platform::patience::Waiting;
use crate::shard::table::{Billing, TableFacts};

/// Snapshots that are taken at a time: each holds memory, and waits for a quarter of an hour.
pub(super) const AT_ONCE: usize = 2;

/// The first snapshot of one table.
pub(super) struct First<'a> {
    keeper: &'a Keeper<'a>,
    name: &'a TableName,
    aws: &'a SdkConfig,
    facts: TableFacts,
    closed: watch::Receiver<Option<Second>>,
}

impl<'a> First<'a> {
    /// Of the table that `input` will capture, which tells by `closed` that it does.
    pub(super) fn beside(
        keeper: &'a Keeper<'a>,
        (name, aws): (&'a TableName, &'a SdkConfig),
        input: &CaptureInput,
        closed: watch::Receiver<Option<Second>>,
    ) -> Self {
        Self { keeper, name, aws, facts: input.facts.clone(), closed }
    }

    /// Takes it if it is needed and affordable, and tells what became of it. What was begun when `stop` comes is ended in
    /// the log.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        if !matches!(stop.run_until_cancelled(self.closed.changed()).await, Some(Ok(()))) {
            return;
        }
        let Some(Ok(_one)) = stop.run_until_cancelled(self.keeper.snapshots.acquire()).await else { return };
        let (out, table) = (self.keeper.out, self.facts.identity.to_string());
        match self.taken(stop).await {
            Ok(Some(snapshot)) => out.note(&format!("{table}: wrote {}", Step::Snapshot(snapshot))),
            Ok(None) => {}
            Err(failure) => out.warn(&failure),
        }
    }

    async fn taken(&self, stop: CancellationToken) -> Result<Option<BaseSummary>, Failure> {
        let mut opened = self.keeper.archive.open(self.facts.identity.clone()).await?;
        let is_new = self.keeper.tried.lock().await.insert(self.facts.identity.clone());
        if !is_new || !self.is_wanted(&opened) {
            return Ok(None);
        }
        let table = self.facts.identity.to_string();
        let live = DynamoTable::connect(self.aws, self.name.asked());
        let input = BaseInput {
            log: &opened.log,
            manifest: &mut opened.manifest,
            store: Arc::clone(&self.keeper.archive.store),
            folder: self.facts.identity.folder(),
            source: BaseSource::Scan(&live),
            facts: self.keeper.archive.facts(&self.facts),
            options: options(&self.config(), &self.facts),
            ids: self.keeper.archive.ids.clone(),
            tell: Arc::new(|Waiting { why, .. }: Waiting| tracing::warn!(why, "the first snapshot waits")),
            stop,
        };
        match Box::pin(base::run(input)).await {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(BaseError::Stopped) => Ok(None),
            Err(error) => Err(failure(&error, &self.facts.identity.name, &table)),
        }
    }

    /// Whether there is none, nobody else began one, and its price is within the budget. Where one lacks, that is told.
    fn is_wanted(&self, opened: &Opened) -> bool {
        if !opened.manifest.bases.is_empty() {
            return false;
        }
        let (keeper, table) = (self.keeper, &self.facts.identity);
        let begun = opened.manifest.intents.values().any(|intent| matches!(intent.kind, IntentKind::Base(_)));
        let config = self.config();
        let price = Price::of(&self.facts, &config);
        let never = keeper.base_budget == Dollars(0) || keeper.base.export.is_some();
        let affordable = !never && price.dollars() <= keeper.base_budget;
        let what = match (begun, affordable) {
            (true, _) => format!("one was begun and has not ended; {} takes another", self.by_hand()),
            (false, true) => price.to_string(),
            (false, false) => format!("{} takes one: {price}", self.by_hand()),
        };
        let lacks = "has no snapshot yet, without which only what changes can be replayed";
        keeper.out.note(&format!("{table} {lacks}: {what}"));
        affordable && !begun
    }

    fn by_hand(&self) -> String {
        format!("`tailrace base --table {}`", self.facts.identity.name)
    }

    /// As for every snapshot, but for the rate: nobody asked for this one now.
    fn config(&self) -> BaseConfig {
        let config = self.keeper.base.clone();
        BaseConfig { read_units: gentle(config.read_units, self.facts.billing), ..config }
    }
}

/// At most a tenth of what a table may read that is not billed by request.
fn gentle(read_units: u32, billing: Billing) -> u32 {
    match billing {
        Billing::OnDemand => read_units,
        Billing::Provisioned { read, .. } => read_units.min(u32::try_from(read.max(0) / 10).unwrap_or(u32::MAX)).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tables_own_readers_keep_nine_tenths_of_what_is_provisioned() {
        let provisioned = |read| gentle(100, Billing::Provisioned { read, write: 5 });
        assert_eq!([0, 5, 50, 900, 40_000].map(provisioned), [1, 1, 5, 90, 100]);
        assert_eq!(gentle(100, Billing::OnDemand), 100);
    }
}
