//! `--heartbeat-url`: somebody outside is told every minute that all is well, and raises the alarm when that stops.
//!
//! A page that is read from here cannot tell that the machine is gone. The address is a secret of its own (whoever
//! knows it can say that all is well), so no message holds more of it than its host.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use hyper::Uri;
use tokio::task::JoinHandle;

use super::board::Board;
use crate::platform::clock::{sleep, wall, within};
use crate::platform::tasks;

/// Between two pings.
const EVERY: Duration = Duration::from_secs(60);
/// Between two looks at a board that is not well, so that the first ping does not wait for a minute.
const LOOK: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Pings; it ends when this is dropped.
#[derive(Debug)]
pub struct Pinging(JoinHandle<()>);

impl Drop for Pinging {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Calls `address` (`http://` or `https://`) with GET once a minute, while every table of the board is healthy.
///
/// # Errors
/// What is wrong with the address.
pub fn ping(address: &str, board: Arc<Board>) -> Result<Pinging, &'static str> {
    let uri: Uri = address.parse().map_err(|_| "it is no address")?;
    let host = match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) => host.to_owned(),
        _ => return Err("it must begin with http:// or https:// and name a host"),
    };
    let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build();
    let target = Target { connector, address: address.to_owned(), host };
    Ok(Pinging(tasks::spawn(keep_telling(target, board))))
}

struct Target {
    connector: Connector,
    address: String,
    host: String,
}

async fn keep_telling(target: Target, board: Arc<Board>) {
    let mut failing = false;
    loop {
        if !board.healthy(wall()) {
            sleep(LOOK).await;
            continue;
        }
        let told = target.tell().await;
        match &told {
            Err(why) if !failing => {
                tracing::warn!(host = target.host, why, "the heartbeat was not taken; it is tried again every minute");
            }
            Ok(()) if failing => tracing::info!(host = target.host, "the heartbeat is taken again"),
            _ => {}
        }
        failing = told.is_err();
        sleep(EVERY).await;
    }
}

impl Target {
    async fn tell(&self) -> Result<(), String> {
        let request = HttpRequest::get(&self.address).map_err(|_| "it is no address".to_owned())?;
        let answer = within(ANSWER, self.connector.call(request)).await.ok_or("no answer in ten seconds")?;
        let status = answer.map_err(|error| error.to_string())?.status().as_u16();
        if (200..300).contains(&status) { Ok(()) } else { Err(format!("status {status}")) }
    }
}
