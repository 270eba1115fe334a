//! The embedded `DynamoDB` of the demo: `dynoxide` on a loopback port, in memory.

use std::net::SocketAddr;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failure::{Exit, Failure};
use crate::platform::tasks;

/// A running server; it stops when [`Embedded::stop`] is called.
pub(super) struct Embedded {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), String>>,
}

impl Embedded {
    /// Starts a server on a free loopback port.
    pub(super) async fn start() -> Result<Self, Failure> {
        let failed = |what: String| {
            Failure::new(
                Exit::Failure,
                what,
                "the embedded DynamoDB on 127.0.0.1",
                "check that loopback ports can be opened",
            )
        };
        let database = dynoxide::Database::memory().map_err(|e| failed(format!("it does not start: {e}")))?;
        let listener =
            tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|e| failed(format!("no free port: {e}")))?;
        let address = listener.local_addr().map_err(|e| failed(format!("the port has no address: {e}")))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tasks::spawn(dynoxide::server::serve_with_shutdown(listener, database, async {
            // An error means that the sender is gone: stop as well.
            let _ = stopped.await;
        }));
        Ok(Self { address, stop, server })
    }

    /// Where clients find it.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The settings of a client of this server: its address, and credentials that mean nothing.
    pub(super) fn aws(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.url())
            .credentials_provider(aws_sdk_dynamodb::config::SharedCredentialsProvider::new(Credentials::new(
                "demo", "demo", None, None, "demo",
            )))
            .build()
    }

    /// A client of its tables.
    pub(super) fn client(&self) -> Client {
        Client::new(&self.aws())
    }

    /// Stops the server.
    pub(super) async fn stop(self) {
        if self.stop.send(()).is_ok() {
            // Open keep-alive connections may hold the server back; the process ends anyway.
            let _ = crate::platform::clock::within(std::time::Duration::from_millis(200), self.server).await;
        }
    }
}
