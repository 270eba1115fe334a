//! Items into a new table, and out of it again, through the real SDK over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tailrace::base::scan::{self, DynamoTable};
use tailrace::change::{ItemKey, KeyAttribute, KeySchema, KeyType, Text, digest};
use tailrace::platform::ids::Ids;
use tailrace::platform::patience::Patience;
use tailrace::platform::rate::Cap;
use tailrace::platform::tasks;
use tailrace::replay::sink::dynamodb::{NewTable, TableSink};
use tailrace::replay::sink::{Item, Sink, SinkError};

use crate::support::dynamo::{Dynamo, config};

fn keys() -> KeySchema {
    let attribute = |name: &str, kind| KeyAttribute { name: name.to_owned(), kind };
    KeySchema(vec![attribute("pk", KeyType::S), attribute("sk", KeyType::N)])
}

fn item(image: &str) -> Item {
    let key = ItemKey::from_image(&keys(), image).unwrap();
    let key_hash = key.hash().unwrap();
    let digest = digest::image(image).unwrap();
    Item { key_hash, pk: key.pk.text, sk: key.sk.map(|sk| sk.text), image: Text::from(image), digest }
}

/// Every type, and every tenth item as large as an item may be.
fn items(count: u32) -> Vec<Item> {
    let image = |n: u32| {
        let pad = "x".repeat(if n.is_multiple_of(10) { 390_000 } else { 10 });
        format!(
            r#"{{"pk":{{"S":"p\u00e9-{}"}},"sk":{{"N":"{n}"}},"n":{{"N":"123456789012345678901234567890.12345678"}},
            "b":{{"B":"AP8="}},"e":{{"S":""}},"t":{{"BOOL":false}},"z":{{"NULL":true}},"ss":{{"SS":["b","a"]}},
            "ns":{{"NS":["10","-3.5"]}},"bs":{{"BS":["AQ==","AA=="]}},"l":{{"L":[{{"N":"1"}},{{"L":[]}},{{"M":{{}}}}]}},
            "m":{{"M":{{"S":{{"S":"tag"}},"a.b":{{"N":"0.1"}}}}}},"pad":{{"S":"{pad}"}}}}"#,
            n % 7
        )
    };
    (0..count).map(|n| item(&image(n))).collect()
}

async fn create(client: &Client, name: &str) -> Result<TableSink, SinkError> {
    let keys = keys();
    let new = NewTable { name, keys: &keys, definition: None, most_write_units: None, note: None };
    TableSink::create(client.clone(), new, Ids::seeded(1)).await
}

/// Items and the sum of their digests, read back strongly consistent.
async fn total(client: &Client, name: &str) -> (usize, u128) {
    let (send, mut pages) = tokio::sync::mpsc::channel(2);
    let table = DynamoTable::new(client.clone(), name);
    let cap = Cap::default();
    let patience = Patience::new(Arc::new(|_| {}), Ids::seeded(1), false);
    let read = scan::all(&table, 3, &cap, &patience, send);
    let sum = async {
        let mut total = (0, 0_u128);
        while let Some(page) = pages.recv().await {
            for image in page.items {
                total = (total.0 + 1, total.1.wrapping_add(digest::image(image.as_str()).unwrap()));
            }
        }
        total
    };
    let (read, total) = tokio::join!(read, sum);
    read.unwrap();
    total
}

#[tokio::test]
async fn a_new_table_holds_exactly_the_items() {
    let dynamo = Dynamo::start().await;
    let items = items(80);
    let expected = items.iter().fold((0, 0_u128), |sum, item| (sum.0 + 1, sum.1.wrapping_add(item.digest)));
    let mut sink = create(&dynamo.client, "copy").await.unwrap();
    sink.put(items).await.unwrap();
    sink.finish().await.unwrap();
    assert_eq!(total(&dynamo.client, "copy").await, expected);
}

#[tokio::test]
async fn a_table_that_exists_is_left_alone() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("live", None).await;
    assert!(matches!(create(&dynamo.client, "live").await, Err(SinkError::Exists { .. })));
    assert_eq!(total(&dynamo.client, "live").await, (0, 0));
}

#[tokio::test]
async fn billing_follows_the_archived_definition() {
    let dynamo = Dynamo::start().await;
    let definition = json!({"ProvisionedThroughput": {"ReadCapacityUnits": 7, "WriteCapacityUnits": 9}});
    let keys = keys();
    let new =
        NewTable { name: "units", keys: &keys, definition: Some(&definition), most_write_units: None, note: None };
    TableSink::create(dynamo.client.clone(), new, Ids::seeded(1)).await.unwrap();
    let table = dynamo.client.describe_table().table_name("units").send().await.unwrap().table.unwrap();
    let units = table.provisioned_throughput.unwrap();
    assert_eq!((units.read_capacity_units, units.write_capacity_units), (Some(7), Some(9)));
    let attributes: BTreeMap<_, _> = table
        .attribute_definitions
        .unwrap()
        .into_iter()
        .map(|attribute| (attribute.attribute_name, attribute.attribute_type.as_str().to_owned()))
        .collect();
    assert_eq!(attributes, BTreeMap::from([("pk".into(), "S".into()), ("sk".into(), "N".into())]));
}

/// A service that takes a third of every batch, and throttles or fails every fourth call.
#[derive(Default)]
struct Reluctant {
    calls: usize,
    most: usize,
    twice: usize,
    taken: BTreeMap<String, Value>,
}

impl Reluctant {
    fn answer(&mut self, call: &str, body: &Value) -> (u16, Value) {
        match call {
            "CreateTable" => (200, json!({"TableDescription": {"TableStatus": "CREATING"}})),
            "DescribeTable" => {
                self.calls += 1;
                let status = if self.calls > 2 { "ACTIVE" } else { "CREATING" };
                (200, json!({"Table": {"TableStatus": status}}))
            }
            _ => self.write(body["RequestItems"]["copy"].as_array().unwrap()),
        }
    }

    fn write(&mut self, puts: &[Value]) -> (u16, Value) {
        self.calls += 1;
        if self.calls.is_multiple_of(4) {
            let kind = ["ProvisionedThroughputExceededException", "InternalServerError"][self.calls / 4 % 2];
            let status = if kind == "InternalServerError" { 500 } else { 400 };
            return (status, json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{kind}")}));
        }
        self.most = self.most.max(puts.len());
        let key = |put: &Value| put["PutRequest"]["Item"]["sk"]["N"].as_str().unwrap().to_owned();
        self.twice += puts.len() - puts.iter().map(key).collect::<BTreeSet<_>>().len();
        let (taken, left) = puts.split_at(puts.len().div_ceil(3));
        for put in taken {
            self.taken.insert(key(put), put["PutRequest"]["Item"].clone());
        }
        let left = if left.is_empty() { json!({}) } else { json!({ "copy": left }) };
        (200, json!({ "UnprocessedItems": left }))
    }
}

async fn serve(service: Arc<Mutex<Reluctant>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tasks::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = Arc::clone(&service);
            tasks::spawn(async move {
                let answer = service_fn(move |request: Request<Incoming>| {
                    let service = Arc::clone(&service);
                    async move {
                        let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let call = target.split('.').next_back().unwrap();
                        let (status, body) =
                            service.lock().unwrap().answer(call, &serde_json::from_slice(&body).unwrap());
                        let body = Full::new(Bytes::from(body.to_string()));
                        Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    });
    endpoint
}

#[tokio::test]
async fn row_04_unprocessed_and_throttled_puts_are_sent_until_all_are_taken() {
    let service = Arc::new(Mutex::new(Reluctant::default()));
    let endpoint = serve(Arc::clone(&service)).await;
    let client = Client::new(&config(&endpoint, "us-east-1"));
    let mut sink = create(&client, "copy").await.unwrap();
    let image = |n: u32| format!(r#"{{"pk":{{"S":"p"}},"sk":{{"N":"{n}"}},"v":{{"N":"{n}.50"}}}}"#);
    sink.put((0..90).map(|n| item(&image(n))).collect()).await.unwrap();
    sink.finish().await.unwrap();
    let service = service.lock().unwrap();
    assert_eq!((service.most <= 25, service.twice), (true, 0));
    let expected: BTreeMap<String, Value> =
        (0..90).map(|n| (n.to_string(), serde_json::from_str(&image(n)).unwrap())).collect();
    assert_eq!(service.taken, expected);
}
