//! From the bytes of `GetRecords` to changes, through the SDK's own call.

use std::fmt::Write as _;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::SharedCredentialsProvider;
use aws_sdk_dynamodbstreams::types::AttributeValue;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use bytes::Bytes;
use serde_json::value::RawValue;
use tailrace::change::{Change, digest};
use tailrace::shard::dynamodb::DynamoStream;
use tailrace::shard::{RawPage, ShardIterator, StreamSource as _, decode};
use tokio::runtime::Runtime;

use crate::support::traffic::{Traffic, keys};
use crate::support::{Role, Table};

/// Answers every call with one body.
#[derive(Debug, Clone)]
struct Canned(Bytes);

impl HttpConnector for Canned {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let body = SdkBody::from(self.0.clone());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), body)))
    }
}

fn config(body: &Bytes) -> SdkConfig {
    let canned = SharedHttpConnector::new(Canned(body.clone()));
    let credentials = Credentials::new("AKIDBENCH", "secret", None, None, "bench");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client_fn(move |_, _| canned.clone()))
        .build()
}

/// The images of a typed record as the service's JSON again: what a pipeline of typed values has to do.
fn write_value(value: &AttributeValue, out: &mut String) {
    let text = |text: &str| serde_json::to_string(text).unwrap();
    let texts = |all: &[String]| serde_json::to_string(all).unwrap();
    let base64 = |blob: &[u8]| base64::engine::general_purpose::STANDARD.encode(blob);
    match value {
        AttributeValue::S(value) => write!(out, "{{\"S\":{}}}", text(value)).unwrap(),
        AttributeValue::N(value) => write!(out, "{{\"N\":\"{value}\"}}").unwrap(),
        AttributeValue::B(value) => write!(out, "{{\"B\":\"{}\"}}", base64(value.as_ref())).unwrap(),
        AttributeValue::Bool(value) => write!(out, "{{\"BOOL\":{value}}}").unwrap(),
        AttributeValue::Ss(values) => write!(out, "{{\"SS\":{}}}", texts(values)).unwrap(),
        AttributeValue::L(values) => {
            out.push_str("{\"L\":[");
            for (at, value) in values.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write_value(value, out);
            }
            out.push_str("]}");
        }
        AttributeValue::M(values) => {
            out.push_str("{\"M\":");
            write_image(values, out);
            out.push('}');
        }
        other => panic!("the traffic has no {other:?}"),
    }
}

fn write_image(values: &std::collections::HashMap<String, AttributeValue>, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in values.iter().enumerate() {
        write!(out, "{}{}:", if at > 0 { "," } else { "" }, serde_json::to_string(name).unwrap()).unwrap();
        write_value(value, out);
    }
    out.push('}');
}

/// An image as the service's JSON.
pub(crate) fn image_text(values: &std::collections::HashMap<String, AttributeValue>) -> String {
    let mut out = String::new();
    write_image(values, &mut out);
    out
}

/// A stream and a client that are answered with this body.
pub(crate) fn canned(body: &Bytes) -> (DynamoStream, Client) {
    let config = config(body);
    (DynamoStream::new(&config, "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/1"), Client::new(&config))
}

fn digests(changes: &[Change]) -> u128 {
    let images = changes.iter().flat_map(|change| change.new_image.iter().chain(&change.old_image));
    images.fold(0, |sum: u128, image| sum.wrapping_add(digest::image(image.as_str()).unwrap()))
}

pub(crate) fn run(runtime: &Runtime) {
    let mut traffic = Traffic::new(600);
    traffic.pages(2 * 425);
    let page: RawPage = traffic.pages(425).remove(0);
    let (stream, client) = canned(&page.body);
    let changes = decode::page(&page, &keys()).unwrap().changes;
    assert!(changes.len() == 425 && changes.iter().all(|change| change.key.is_some()));
    let mb = page.body.len() as f64 / 1e6;
    let title = format!("decode: one GetRecords response of {} records, {} bytes", changes.len(), page.body.len());
    let iterator = ShardIterator("iterator".to_owned());
    let typed = || runtime.block_on(client.get_records().shard_iterator("iterator").send()).unwrap();
    let mut table = Table::new(title, "MB");
    table.way(Role::Ours, "call, body passed through, changes with keys and digests", mb, || {
        let page = runtime.block_on(stream.read(&iterator)).unwrap();
        decode::page(&page, &keys()).unwrap()
    });
    table.way(Role::Step, "the call alone, body passed through", mb, || runtime.block_on(stream.read(&iterator)));
    table.way(Role::Step, "the digests of all images alone", mb, || digests(&changes));
    table.way(Role::Peer, "call, the SDK's typed records", mb, typed);
    table.way(Role::Peer, "call, the SDK's typed records, images back to JSON", mb, || {
        let records = typed().records.unwrap();
        let mut out = String::new();
        for record in records.iter().filter_map(|record| record.dynamodb.as_ref()) {
            for image in record.new_image().into_iter().chain(record.old_image()) {
                write_image(image, &mut out);
            }
        }
        out
    });
    table.way(Role::Floor, "serde_json finds the end of the body", mb, || {
        serde_json::from_slice::<&RawValue>(&page.body).unwrap().get().len()
    });
    table.way(Role::Floor, "memcpy", mb, || page.body.to_vec());
    table.print();
}
