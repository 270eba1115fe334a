//! Live tables: AWS settings by region.

use std::collections::BTreeMap;

use aws_config::SdkConfig;

use crate::failure::Failure;
use crate::platform::aws;

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
