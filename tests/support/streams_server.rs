//! A fake DynamoDB Streams server for many shards: the real SDK talks to it over HTTP.
//!
//! It has a clock of its own, which is what its `Date` header says, and does only what a test tells it to.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_config::SdkConfig;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;

mod model;

use model::Model;

type Body = BoxBody<Bytes, std::io::Error>;

/// What a call gets instead of its answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This status and error code.
    Error(u16, &'static str),
    /// The first half of the answer, then the connection breaks.
    Cut,
    /// The answer is worked out but never sent.
    Lost,
    /// Status 200 with this body.
    Body(&'static str),
    /// The answer with a wrong checksum.
    WrongSum,
}

#[derive(Debug)]
struct State {
    model: Model,
    faults: HashMap<&'static str, VecDeque<Fault>>,
    calls: HashMap<String, usize>,
}

/// The server. It stops with the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct StreamsServer {
    state: Arc<Mutex<State>>,
    endpoint: String,
}

impl StreamsServer {
    /// The one stream it serves.
    pub(crate) const ARN: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-11-22T00:00:00.000";

    /// Starts a server without shards.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let state = State { model: Model::new(), faults: HashMap::new(), calls: HashMap::new() };
        let server = Self { state: Arc::new(Mutex::new(state)), endpoint };
        let serving = server.clone();
        tailrace::platform::tasks::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let server = serving.clone();
                tailrace::platform::tasks::spawn(async move {
                    let service = service_fn(move |request| server.clone().answer(request));
                    // A connection that breaks is what some tests ask for.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        server
    }

    /// Settings of a client.
    pub(crate) fn config(&self) -> SdkConfig {
        super::dynamo::config(&self.endpoint, "us-east-1")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked in here")
    }

    /// Works on the stream itself.
    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.state().model)
    }

    /// Opens a shard without a parent, or with one that need not exist.
    pub(crate) fn open(&self, parent: Option<&str>) -> String {
        self.with(|model| model.open(parent))
    }

    /// Closes a shard.
    pub(crate) fn close(&self, shard: &str) {
        self.with(|model| model.close(shard));
    }

    /// Closes a shard and opens children of it: two for a split, one for a roll-over.
    pub(crate) fn split(&self, shard: &str, children: usize) -> Vec<String> {
        self.close(shard);
        (0..children).map(|_| self.open(Some(shard))).collect()
    }

    /// Appends a change of an item with a string key `pk`.
    pub(crate) fn push(&self, shard: &str, kind: &str, pk: &str) -> u128 {
        let keys = serde_json::json!({"pk": {"S": pk}}).to_string();
        let new = (kind != "REMOVE").then(|| keys.clone());
        let old = (kind != "INSERT").then(|| keys.clone());
        self.with(|model| {
            model.push(shard, |sequence, at| record(kind, sequence, at, &keys, new.as_deref(), old.as_deref()))
        })
    }

    /// Appends an insert of so many items, each with a text of `pad` bytes.
    pub(crate) fn push_items(&self, shard: &str, from: u64, items: u64, pad: usize) {
        let pad = "x".repeat(pad);
        self.with(|model| {
            for n in from..from + items {
                let keys = format!(r#"{{"pk":{{"S":"{shard}-{n}"}}}}"#);
                let new = format!(r#"{{"pk":{{"S":"{shard}-{n}"}},"n":{{"N":"{n}"}},"pad":{{"S":"{pad}"}}}}"#);
                model.push(shard, |sequence, at| record("INSERT", sequence, at, &keys, Some(&new), None));
            }
        });
    }

    /// Lets the service's time follow the machine's.
    pub(crate) fn catch_up(&self) {
        self.with(|model| model.now = tailrace::platform::clock::wall().0);
    }

    /// Removes all records up to `through`, as the service does after 24 hours.
    pub(crate) fn trim(&self, shard: &str, through: u128) {
        self.with(|model| {
            let shard = model.shard(shard);
            shard.records = shard.records.split_off(&(through + 1));
            shard.trimmed = through;
        });
    }

    /// Takes a shard out of the listing, or puts it back.
    pub(crate) fn set_listed(&self, shard: &str, listed: bool) {
        self.with(|model| model.shard(shard).listed = listed);
    }

    /// Makes a shard unknown to every call.
    pub(crate) fn forget(&self, shard: &str) {
        self.with(|model| model.shard(shard).gone = true);
    }

    /// The next pages of a shard are empty.
    pub(crate) fn empty_pages(&self, shard: &str, pages: usize) {
        self.with(|model| model.shard(shard).empty_pages = pages);
    }

    /// Serves a whole body as the next page, whatever the iterator.
    pub(crate) fn serve(&self, body: impl Into<Vec<u8>>) {
        self.with(|model| model.canned.push_back(body.into()));
    }

    /// Shards per page of the listing.
    pub(crate) fn listing_page(&self, shards: usize) {
        self.with(|model| model.listing_page = shards);
    }

    /// Records per page.
    pub(crate) fn records_page(&self, records: usize) {
        self.with(|model| model.records_page = records);
    }

    /// The listing never ends.
    pub(crate) fn list_for_ever(&self) {
        self.with(|model| model.lists_for_ever = true);
    }

    /// The state of the stream.
    pub(crate) fn set_status(&self, status: &'static str) {
        self.with(|model| model.status = status);
    }

    /// The service's time, in seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.with(|model| model.now)
    }

    /// Moves the service's time on.
    pub(crate) fn advance(&self, seconds: i64) {
        self.with(|model| model.now += seconds);
    }

    /// Lets the next call of `operation` fail; several wait in line.
    pub(crate) fn fault(&self, operation: &'static str, fault: Fault) {
        self.state().faults.entry(operation).or_default().push_back(fault);
    }

    /// How often `operation` was called.
    pub(crate) fn calls(&self, operation: &str) -> usize {
        self.state().calls.get(operation).copied().unwrap_or_default()
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.split('.').nth(1)).unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).map_err(std::io::Error::other)?;
        let mut state = self.state();
        *state.calls.entry(operation.clone()).or_default() += 1;
        let date = http_date(state.model.now);
        let fault = state.faults.get_mut(operation.as_str()).and_then(VecDeque::pop_front);
        if let Some(Fault::Error(status, code)) = fault {
            return Ok(refusal(status, code, &date));
        }
        if let Some(Fault::Body(body)) = fault {
            return Ok(success(body.into(), &date, 0));
        }
        let answer = match operation.as_str() {
            "DescribeTable" => Ok(table(Self::ARN)),
            "DescribeStream" => state.model.describe_stream(Self::ARN, &body),
            "GetShardIterator" => state.model.get_shard_iterator(Self::ARN, &body),
            "GetRecords" => match state.model.canned.pop_front() {
                Some(canned) => return Ok(faulty(canned.into(), &date, fault.as_ref())),
                None => state.model.get_records(&body),
            },
            _ => Err((400, "UnknownOperationException")),
        };
        match (answer, fault) {
            (_, Some(Fault::Lost)) => Err(std::io::Error::other("the answer is lost")),
            (Ok(body), fault) => Ok(faulty(body.into(), &date, fault.as_ref())),
            (Err((status, code)), _) => Ok(refusal(status, code, &date)),
        }
    }
}

/// The table whose stream this is, as `DescribeTable` tells it.
fn table(stream_arn: &str) -> String {
    serde_json::json!({"Table": {
        "TableArn": stream_arn.split("/stream/").next(), "TableName": "orders", "TableStatus": "ACTIVE",
        "TableId": "11111111-2222-3333-4444-555555555555", "CreationDateTime": 1_795_219_200.0,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}, "LatestStreamArn": stream_arn,
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }})
    .to_string()
}

/// A record as the service sends it.
pub(crate) fn record(kind: &str, sequence: &str, at: i64, keys: &str, new: Option<&str>, old: Option<&str>) -> String {
    let images = [("NewImage", new), ("OldImage", old)];
    let images: String =
        images.into_iter().filter_map(|(name, image)| Some(format!(",\"{name}\":{}", image?))).collect();
    format!(
        "{{\"eventID\":\"event-{sequence}\",\"eventName\":\"{kind}\",\"eventVersion\":\"1.1\",\
         \"eventSource\":\"aws:dynamodb\",\"awsRegion\":\"us-east-1\",\"dynamodb\":{{\
         \"ApproximateCreationDateTime\":{at},\"Keys\":{keys}{images},\"SequenceNumber\":\"{sequence}\",\
         \"SizeBytes\":59,\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}}}}"
    )
}

fn faulty(body: Bytes, date: &str, fault: Option<&Fault>) -> Response<Body> {
    match fault {
        Some(Fault::Cut) => cut(&body, date),
        Some(Fault::WrongSum) => success(body, date, 1),
        _ => success(body, date, 0),
    }
}

fn success(body: Bytes, date: &str, sum_error: u32) -> Response<Body> {
    let sum = crc32fast::hash(&body).wrapping_add(sum_error);
    Response::builder()
        .header("date", date)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-crc32", sum)
        .body(Full::new(body).map_err(never).boxed())
        .expect("a response")
}

fn refusal(status: u16, code: &str, date: &str) -> Response<Body> {
    let body = format!("{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{code}\",\"message\":\"told so\"}}");
    Response::builder()
        .status(status)
        .header("date", date)
        .header("content-type", "application/x-amz-json-1.0")
        .body(Full::new(Bytes::from(body)).map_err(never).boxed())
        .expect("a response")
}

/// Promises the whole length and breaks off in the middle.
fn cut(body: &Bytes, date: &str) -> Response<Body> {
    let frames = vec![Ok(Frame::data(body.slice(..body.len() / 2))), Err(std::io::Error::other("cut"))];
    Response::builder()
        .header("date", date)
        .header("content-length", body.len())
        .body(BodyExt::boxed(StreamBody::new(futures::stream::iter(frames))))
        .expect("a response")
}

fn never(never: Infallible) -> std::io::Error {
    match never {}
}

fn http_date(at: i64) -> String {
    let at = jiff::Timestamp::from_second(at).expect("a time");
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
