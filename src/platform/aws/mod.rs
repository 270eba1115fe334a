//! The AWS settings of this process: region, credentials, retries, deadlines, endpoints.
//!
//! All from the SDK's own chain; endpoints come from `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3` and
//! so on, or from the profile. Beside it lies what all `DynamoDB` clients share: what an error means ([`ServiceError`]),
//! what is taken from a response beside the SDK (`answer`), and items as the SDK wants them (`attribute`).

pub(crate) mod answer;
pub(crate) mod attribute;
mod error;

pub use error::ServiceError;

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::service_config::ServiceConfigKey;

use super::{causes, clock};
use crate::failure::{Exit, Failure};

/// The longest a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest one attempt of a request may take; puts of large objects set their own.
const ATTEMPT: Duration = Duration::from_secs(30);
/// The longest all attempts of a request may take together.
const OPERATION: Duration = Duration::from_secs(60);
/// Attempts of one request.
const ATTEMPTS: u32 = 4;
/// How long the instance's own metadata service may take: it is one hop away, or not there at all.
const METADATA: Duration = Duration::from_secs(1);
/// The longest that finding credentials may take (a browser sign-in is not waited for).
const CREDENTIALS: Duration = Duration::from_secs(15);

/// Reads region, credentials and endpoints from environment, profile and instance. Never fails and
/// signs nothing: what is missing shows when it is first needed, or in [`check`].
pub async fn load(region: Option<String>) -> SdkConfig {
    let metadata = imds::Client::builder()
        .max_attempts(2)
        .connect_timeout(METADATA)
        .read_timeout(METADATA)
        .operation_timeout(METADATA * 3)
        .build();
    let region = RegionProviderChain::first_try(region.map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(ImdsRegionProvider::builder().imds_client(metadata.clone()).build());
    // Asked once: the credentials need it too, and the instance's metadata may answer slowly.
    let region = region.region().await;
    let credentials = DefaultCredentialsChain::builder().imds_client(metadata).region(region.clone()).build().await;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .credentials_provider(credentials)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts)
        .load()
        .await
}

/// No settings at all: for work that stays on this machine, and must not wait for an instance's metadata.
#[must_use]
pub fn none() -> SdkConfig {
    SdkConfig::builder().build()
}

/// The same settings, signing as `role_arn`, which the present credentials must be allowed to assume; `external_id` is
/// what the role's owner asks for.
pub async fn assume(config: &SdkConfig, role_arn: &str, external_id: Option<&str>) -> SdkConfig {
    let mut role = AssumeRoleProvider::builder(role_arn).session_name("tailrace").configure(config);
    if let Some(external_id) = external_id {
        role = role.external_id(external_id);
    }
    let role = role.build().await;
    config.to_builder().credentials_provider(SharedCredentialsProvider::new(role)).build()
}

/// Makes sure that there are a region and credentials before work begins.
///
/// # Errors
/// The failure to report, with what is missing.
pub async fn check(config: &SdkConfig) -> Result<(), Failure> {
    let missing = |what: String, next: &str| Failure::new(Exit::Credentials, what, "AWS settings", next);
    if config.region().is_none() && config.endpoint_url().is_none() {
        return Err(missing("no AWS region is set".to_owned(), "set AWS_REGION, or a region in the profile"));
    }
    let profile = std::env::var("AWS_PROFILE").map(|name| format!(" --profile {name}")).unwrap_or_default();
    let next = &format!(
        "sign in (`aws sso login{profile}`), set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give \
         the machine a role"
    );
    let Some(provider) = config.credentials_provider() else {
        return Err(missing("no AWS credentials are set".to_owned(), next));
    };
    match clock::within(CREDENTIALS, provider.provide_credentials()).await {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(missing(format!("no usable AWS credentials: {}", causes(&error)), next)),
        None => Err(missing(format!("no AWS credentials within {} s", CREDENTIALS.as_secs()), next)),
    }
}

/// The endpoint that stands in for AWS's own for this service (`S3`, `DynamoDB`, `DynamoDB Streams`), if one is set.
#[must_use]
pub fn endpoint_of(config: &SdkConfig, service_id: &str) -> Option<String> {
    let of_service = config.service_config().and_then(|settings| {
        let key = ServiceConfigKey::builder().service_id(service_id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        settings.load_config(key.build().ok()?)
    });
    of_service.or_else(|| config.endpoint_url().map(str::to_owned))
}
