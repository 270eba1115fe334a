//! Live tables: AWS settings by region, and what the service says of a table.

use std::collections::BTreeMap;

use aws_config::SdkConfig;

use super::table::TableName;
use crate::config::file::nearest;
use crate::failure::{Exit, Failure};
use crate::platform::{aws, telemetry};
use crate::shard::table::{self, TableError, TableFacts};

/// AWS settings, loaded once for each region that a table names.
#[derive(Debug, Default)]
pub(super) struct Regions(BTreeMap<Option<String>, SdkConfig>);

impl Regions {
    /// Settings for `region`, or for the one that the environment says.
    pub(super) async fn of(&mut self, region: Option<&str>) -> Result<SdkConfig, Failure> {
        let key = region.map(str::to_owned);
        if let Some(config) = self.0.get(&key) {
            return Ok(config.clone());
        }
        let config = aws::load(key.clone()).await;
        aws::check(&config).await?;
        self.0.insert(key, config.clone());
        Ok(config)
    }
}

/// What the service says of the table that `name` means now.
pub(super) async fn describe(config: &SdkConfig, name: &TableName) -> Result<TableFacts, Failure> {
    let endpoint = aws::endpoint_of(config, "DynamoDB");
    let who = endpoint.unwrap_or_else(|| "DynamoDB".to_owned());
    let facts = match telemetry::patiently(&who, table::describe(config, name.asked())).await {
        Ok(facts) => facts,
        Err(TableError::Unavailable { reason, .. }) => {
            let what = format!("describing table {name} failed: {reason}");
            return Err(Failure::new(Exit::Failure, what, &who, "see that this endpoint answers, and run it again"));
        }
        Err(error) => return Err(with_nearest(failure(&error, &name.to_string()), &error, config, name).await),
    };
    if name.means(&facts.identity) {
        return Ok(facts);
    }
    let what = format!("the live table is {}, not {name}", facts.identity);
    Err(Failure::new(
        Exit::Usage,
        what,
        "--table",
        "use the credentials and the region of that table, or leave account, region and id out",
    ))
}

/// A table that is not there may be another's name misspelt: the region's own tables tell, if they may be listed.
async fn with_nearest(failure: Failure, error: &TableError, config: &SdkConfig, name: &TableName) -> Failure {
    if !matches!(error, TableError::Missing { .. }) {
        return failure;
    }
    let names = table::names(config).await;
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    match nearest(&name.name, &known) {
        Some(near) => Failure { next: format!("did you mean {near}? else {}", failure.next), ..failure },
        None => failure,
    }
}

/// What a command says of a table that cannot be described.
pub(super) fn failure(error: &TableError, place: &str) -> Failure {
    let text = error.to_string();
    let (exit, parts) = match error {
        TableError::Missing { .. } => (Exit::Usage, text.split_once("; ")),
        TableError::StreamOff { .. } => (Exit::OutsideCoverage, text.split_once("; ")),
        TableError::ViewType { .. } => (Exit::Configuration, text.split_once("; ")),
        TableError::Denied { .. } => (Exit::Credentials, text.rsplit_once("; ")),
        TableError::Unavailable { .. } => (Exit::Failure, None),
    };
    let (what, next) = parts.unwrap_or((&text, "see that the endpoint answers, and run it again"));
    Failure::new(exit, what, place, next)
}
