//! Making a client for a bucket.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Region};
use tokio::sync::OnceCell;

use super::{S3Store, deadlines};
use crate::platform::aws;
use crate::store::StoreError;
use crate::store::archive::Retention;

/// The region that endpoints other than AWS's are signed for when none is set.
const ANY_REGION: &str = "us-east-1";

impl S3Store {
    /// The store in `bucket` below `prefix` (without slashes at its ends). No request is made.
    ///
    /// # Errors
    /// [`StoreError::Denied`] when no region is set and the endpoint is AWS's.
    pub fn new(
        config: &SdkConfig,
        bucket: &str,
        prefix: &str,
        retention: Option<Retention>,
    ) -> Result<Self, StoreError> {
        // Other servers seldom answer to a name per bucket.
        let elsewhere = aws::endpoint_of(config, "S3").is_some();
        let mut builder = Builder::from(config).force_path_style(elsewhere).timeout_config(deadlines(0));
        if config.region().is_none() {
            if !elsewhere {
                let reason = "no AWS region is set; set AWS_REGION, or a region in the profile".to_owned();
                return Err(StoreError::Denied { path: format!("s3://{bucket}"), reason });
            }
            builder = builder.region(Region::from_static(ANY_REGION));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let client = Client::from_conf(builder.build());
        Ok(Self { client, bucket: bucket.to_owned(), prefix, retention, versioned: OnceCell::new() })
    }
}
