//! One plain request to a server that is not AWS's, by the SDK's own client: no second one is linked.

use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use super::clock::within;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// An address that is called again and again.
#[derive(Debug)]
pub struct Page {
    connector: Connector,
    address: String,
    host: String,
}

impl Page {
    /// A page at `address` (`http://…` or `https://…`).
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn at(address: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        if !matches!(scheme, "http" | "https") || host.is_empty() {
            return Err("the address must begin with http:// or https:// and name a host");
        }
        HttpRequest::get(address).map_err(|_| "the address holds a character that must be written as %XX")?;
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build();
        Ok(Self { connector, address: address.to_owned(), host: host.to_owned() })
    }

    /// The host alone: the rest of an address may be a secret.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Asks for it; only a status of success is one.
    ///
    /// # Errors
    /// Why there was no answer, or which one.
    pub async fn get(&self) -> Result<(), String> {
        let request = HttpRequest::get(&self.address).map_err(|error| error.to_string())?;
        let answer = within(ANSWER, self.connector.call(request)).await.ok_or("no answer in ten seconds")?;
        let status = answer.map_err(|error| super::causes::causes(&error))?.status().as_u16();
        if (200..300).contains(&status) { Ok(()) } else { Err(format!("status {status}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_scheme_and_a_host() {
        let host = |address| Page::at(address).map(|page| page.host().to_owned());
        assert_eq!(host("https://u:secret@hc.example.com:8443/ping/uuid?x").as_deref(), Ok("hc.example.com:8443"));
        assert_eq!(host("http://[::1]:80").as_deref(), Ok("[::1]:80"));
        for wrong in ["", "hc.example.com/uuid", "ftp://host/a", "https://", "https:///a", "https://host/a b"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
