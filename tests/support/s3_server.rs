//! A strict S3 in the test's own process: conditional puts are atomic, checksums are proven before
//! an object appears, versions, delete markers and locks behave as AWS documents them. Faults are
//! planned by the number of the request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::SdkConfig;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tailrace::platform::{clock, tasks};
use tokio::net::{TcpListener, TcpStream};

pub(crate) mod bucket;

use bucket::Bucket;

/// The bucket that every server has.
pub(crate) const BUCKET: &str = "keep-here";
/// The keys that `dynamo::config` signs with.
const KEYS: (&str, &str) = ("AKIDTEST", "secret");

/// How the server differs from AWS at its best.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// The bucket keeps versions.
    pub(crate) versioned: bool,
    /// The bucket can lock, with this default in days where one is set.
    pub(crate) lock: Option<Option<i32>>,
    /// `If-None-Match` is taken and ignored, as some stores do.
    pub(crate) ignores_conditions: bool,
    /// Whole objects are served where a part is asked for, as some stores do.
    pub(crate) ignores_ranges: bool,
    /// Calls about the bucket itself are not implemented.
    pub(crate) plain: bool,
    /// Every answer comes this much later.
    pub(crate) latency: Duration,
}

/// What goes wrong on the way to or from the server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wire {
    /// The answer has this status, and nothing happened.
    Before(u16),
    /// It happened, but the answer has this status.
    After(u16),
    /// It happened, but the connection ends without an answer.
    Dropped,
    /// The answer's body breaks off half way.
    Cut,
    /// One bit of the request's body flips.
    FlippedUp,
    /// One bit of the answer's body flips.
    FlippedDown,
}

/// A running server.
pub(crate) struct S3Server {
    pub(crate) config: SdkConfig,
    pub(crate) bucket: Arc<Bucket>,
    plan: Arc<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    asked: Mutex<u64>,
    faults: Mutex<BTreeMap<u64, Wire>>,
    /// The same for puts and removals alone.
    mutated: Mutex<u64>,
    of_mutations: Mutex<BTreeMap<u64, Wire>>,
    latency: Duration,
    /// Nothing works.
    down: AtomicBool,
    /// The actions that the requests needed.
    actions: Mutex<BTreeSet<&'static str>>,
}

impl S3Server {
    /// Starts a server with one empty bucket. It ends with the test's runtime.
    pub(crate) async fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let plan = Arc::new(Plan { latency: rules.latency, ..Plan::default() });
        let bucket = Arc::new(Bucket::new(rules));
        let mut service = S3ServiceBuilder::new(bucket::Api(Arc::clone(&bucket)));
        service.set_auth(SimpleAuth::from_single(KEYS.0, KEYS.1));
        drop(tasks::spawn(accept(listener, service.build(), Arc::clone(&plan))));
        Self { config: super::dynamo::config(&endpoint, "eu-west-1"), bucket, plan }
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> u64 {
        *self.plan.asked.lock().unwrap()
    }

    /// The actions that the requests so far needed, as policies name them.
    pub(crate) fn actions(&self) -> BTreeSet<&'static str> {
        self.plan.actions.lock().unwrap().clone()
    }

    /// Begins to note actions anew.
    pub(crate) fn forget_actions(&self) {
        self.plan.actions.lock().unwrap().clear();
    }

    /// From now on every request is answered with 503, or none.
    pub(crate) fn set_down(&self, down: bool) {
        self.plan.down.store(down, Ordering::SeqCst);
    }

    /// Plans faults for the requests to come: the next one has number 0.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = (u64, Wire)>) {
        let base = self.asked();
        self.plan.faults.lock().unwrap().extend(faults.into_iter().map(|(n, wire)| (base + n, wire)));
    }

    /// Plans faults for the puts and removals to come, likewise.
    pub(crate) fn fail_mutations(&self, faults: impl IntoIterator<Item = (u64, Wire)>) {
        let base = *self.plan.mutated.lock().unwrap();
        self.plan.of_mutations.lock().unwrap().extend(faults.into_iter().map(|(n, wire)| (base + n, wire)));
    }
}

async fn accept(listener: TcpListener, service: S3Service, plan: Arc<Plan>) {
    while let Ok((stream, _)) = listener.accept().await {
        drop(tasks::spawn(serve(stream, service.clone(), Arc::clone(&plan))));
    }
}

async fn serve(stream: TcpStream, service: S3Service, plan: Arc<Plan>) {
    let answer = hyper::service::service_fn(move |request| {
        let (service, plan) = (service.clone(), Arc::clone(&plan));
        async move { plan.answer(&service, request).await }
    });
    // A connection that a fault ended is an error here, as planned.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
}

/// Ends the connection.
#[derive(Debug)]
struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the connection ends, as planned")
    }
}
impl std::error::Error for Gone {}

impl Plan {
    fn next(&self, method: &Method) -> Option<Wire> {
        let planned = |asked: &Mutex<u64>, faults: &Mutex<BTreeMap<u64, Wire>>| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            faults.lock().unwrap().remove(&(*asked - 1))
        };
        let fault = planned(&self.asked, &self.faults);
        let mutates = method == Method::PUT || method == Method::DELETE;
        fault.or_else(|| mutates.then(|| planned(&self.mutated, &self.of_mutations)).flatten())
    }

    async fn answer(&self, service: &S3Service, request: Request<Incoming>) -> Result<Response<s3s::Body>, Gone> {
        let query = request.uri().query().unwrap_or_default();
        self.actions.lock().unwrap().insert(action(request.method(), request.uri().path(), query));
        let fault = self.next(request.method());
        clock::sleep(self.latency).await;
        if self.down.load(Ordering::SeqCst) {
            return Ok(failed(503));
        }
        if let Some(Wire::Before(status)) = fault {
            return Ok(failed(status));
        }
        let (head, body) = request.into_parts();
        let mut body = body.collect().await.map_err(|_| Gone)?.to_bytes();
        if matches!(fault, Some(Wire::FlippedUp)) {
            body = flipped(&body);
        }
        let request = Request::from_parts(head, s3s::Body::from(body));
        let answer = service.call(request).await.map_err(|_| Gone)?;
        match fault {
            Some(Wire::Dropped) => Err(Gone),
            Some(Wire::After(status)) => Ok(failed(status)),
            Some(Wire::Cut) => cut(answer).await,
            Some(Wire::FlippedDown) => {
                let (head, body) = answer.into_parts();
                let body = body.collect().await.map_err(|_| Gone)?.to_bytes();
                Ok(Response::from_parts(head, s3s::Body::from(flipped(&body))))
            }
            _ => Ok(answer),
        }
    }
}

/// What a policy must allow for this request.
fn action(method: &Method, path: &str, query: &str) -> &'static str {
    let asks = |word: &str| query.split('&').any(|part| part.split('=').next() == Some(word));
    let of_bucket = path.trim_matches('/').split('/').count() == 1;
    match *method {
        Method::GET if of_bucket && asks("versioning") => "s3:GetBucketVersioning",
        Method::GET if of_bucket && asks("object-lock") => "s3:GetBucketObjectLockConfiguration",
        Method::GET if of_bucket && asks("versions") => "s3:ListBucketVersions",
        Method::GET if of_bucket => "s3:ListBucket",
        Method::GET if asks("versionId") => "s3:GetObjectVersion",
        Method::GET | Method::HEAD => "s3:GetObject",
        Method::PUT => "s3:PutObject",
        Method::DELETE if asks("versionId") => "s3:DeleteObjectVersion",
        Method::DELETE => "s3:DeleteObject",
        _ => "another",
    }
}

fn failed(status: u16) -> Response<s3s::Body> {
    let code = match status {
        409 => "ConditionalRequestConflict",
        503 => "SlowDown",
        403 => "AccessDenied",
        _ => "InternalError",
    };
    let body = format!("<Error><Code>{code}</Code><Message>as planned</Message></Error>");
    let mut answer = Response::new(s3s::Body::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

fn flipped(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    if let Some(byte) = bytes.get_mut(0) {
        *byte ^= 0x10;
    }
    bytes.into()
}

/// The answer's head promises the whole body; half of it comes.
async fn cut(answer: Response<s3s::Body>) -> Result<Response<s3s::Body>, Gone> {
    let (head, body) = answer.into_parts();
    let bytes = body.collect().await.map_err(|_| Gone)?.to_bytes();
    let half = bytes.slice(..bytes.len() / 2);
    let frames = futures::stream::iter([Ok(hyper::body::Frame::data(half)), Err(std::io::Error::other(Gone))]);
    Ok(Response::from_parts(head, s3s::Body::http_body(http_body_util::StreamBody::new(frames))))
}
