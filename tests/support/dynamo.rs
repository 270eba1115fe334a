//! An embedded `DynamoDB` in the process, over HTTP, and the SDK's configuration for it.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, StreamSpecification,
    StreamViewType,
};
use std::time::Duration;

/// Settings for a server at `endpoint` that takes any credentials; retries come fast.
pub(crate) fn config(endpoint: &str, region: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "AKIDTEST", "secret", None, None, "test",
        )))
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(5)))
        .build()
}

/// A running server; it stops with the test's runtime.
pub(crate) struct Dynamo {
    /// Settings of a client.
    pub(crate) config: SdkConfig,
    /// A client.
    pub(crate) client: Client,
}

impl Dynamo {
    /// Starts an empty database.
    pub(crate) async fn start() -> Self {
        let database = dynoxide::Database::memory().expect("a database in memory");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        tailrace::platform::tasks::spawn(dynoxide::server::serve_on(listener, database));
        let config = config(&endpoint, "dynoxide");
        Self { client: Client::new(&config), config }
    }

    /// Creates a table with a string partition key `pk` and a number sort key `sk`; `view` turns its stream on.
    pub(crate) async fn create_table(&self, name: &str, view: Option<StreamViewType>) {
        let attribute = |name: &str, kind| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().expect("complete")
        };
        let element = |name: &str, role| {
            KeySchemaElement::builder().attribute_name(name).key_type(role).build().expect("complete")
        };
        let stream = view.map(|view| {
            StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build().expect("complete")
        });
        self.client
            .create_table()
            .table_name(name)
            .attribute_definitions(attribute("pk", ScalarAttributeType::S))
            .attribute_definitions(attribute("sk", ScalarAttributeType::N))
            .key_schema(element("pk", KeyType::Hash))
            .key_schema(element("sk", KeyType::Range))
            .billing_mode(BillingMode::PayPerRequest)
            .set_stream_specification(stream)
            .send()
            .await
            .expect("a table");
    }
}
