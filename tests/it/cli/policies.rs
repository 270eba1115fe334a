//! The policies under `deploy/`: what each role does is allowed, and what is allowed is done, or told here why not.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};

use super::*;
use crate::support::export_server::ExportServer;
use crate::support::s3_server::{BUCKET, Rules, S3Server};
use crate::support::tap::Tap;

/// Allowed for what no ordinary run meets.
const RARE: &[(&str, &str)] = &[
    ("s3:GetObjectVersion", "an object of a versioned bucket was overwritten or hidden"),
    ("s3:ListBucketVersions", "a slot of the log is hidden by a delete marker"),
    ("s3:PutObjectRetention", "an archive whose objects are locked"),
    ("s3:GetBucketObjectLockConfiguration", "doctor, in a bucket that can lock"),
    ("dynamodb:TagResource", "a replay that goes past a gap tags its table"),
    ("s3:AbortMultipartUpload", "the service, which writes an export in the caller's name"),
];

/// The actions that a policy allows.
fn allowed(policy: &str) -> BTreeSet<String> {
    let policy: Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        // Tables are listed all or not at all: the service knows no resource for it.
        let lists = statement["Action"] == serde_json::json!(["dynamodb:ListTables"]);
        assert!(lists || statement["Resource"] != "*", "a policy names its resources");
        statement["Action"].as_array().unwrap()
    });
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

struct Scene {
    shell: Shell,
    dynamo: Tap,
    service: ExportServer,
    s3: S3Server,
}

impl Scene {
    /// A server of its own for the archive, so that it has seen nobody else: the archive's objects are copied over.
    async fn begin(dynamo: &Dynamo, before: Option<&Self>) -> Self {
        let rules = Rules { versioned: true, ..Rules::default() };
        let s3 = S3Server::start(rules).await;
        let root = tailrace::store::Location::parse(&format!("s3://{BUCKET}")).unwrap();
        let bucket = tailrace::store::connect(&root, &s3.config, None).unwrap();
        let service = ExportServer::before(dynamo.config.endpoint_url().unwrap(), bucket).await;
        let tap = Tap::before(&service.endpoint).await;
        if let Some(before) = before {
            let open = |server: &S3Server| {
                let location = tailrace::store::Location::parse(&format!("s3://{BUCKET}/archive")).unwrap();
                tailrace::store::connect(&location, &server.config, None).unwrap()
            };
            let (from, to) = (open(&before.s3), open(&s3));
            for object in from.list("", None, None).await.unwrap() {
                let bytes = from.get(&object.path, None).await.unwrap().bytes;
                to.put_new(&object.path, bytes, tailrace::store::Keep::Full).await.unwrap();
            }
            s3.forget_actions();
        }
        let shell = Shell::new()
            .with_aws(&dynamo.config)
            .with("AWS_ENDPOINT_URL", &tap.endpoint)
            .with("AWS_ENDPOINT_URL_S3", s3.config.endpoint_url().unwrap())
            .with("TAILRACE_ARCHIVE", &format!("s3://{BUCKET}/archive"));
        Self { shell, dynamo: tap, service, s3 }
    }

    /// What was asked for, in the words of policies.
    fn seen(&self) -> BTreeSet<String> {
        let operation = |target: String| format!("dynamodb:{}", target.rsplit('.').next().unwrap());
        let seen = self.dynamo.seen().into_iter().map(operation);
        seen.chain(self.s3.actions().into_iter().map(str::to_owned)).collect()
    }

    fn is_what(&self, policy: &str) {
        let (seen, allowed) = (self.seen(), allowed(policy));
        let more: Vec<_> = seen.difference(&allowed).collect();
        assert!(more.is_empty(), "not allowed: {more:?}");
        let rare = |action: &&String| RARE.iter().any(|(known, _)| known == *action);
        let never: Vec<_> = allowed.difference(&seen).filter(|action| !rare(action)).collect();
        assert!(never.is_empty(), "allowed and never done: {never:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_its_policy_allows_and_nothing_else() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    // Its tags have to be asked for: `orders` is known by its name.
    dynamo.create_table("payments", None).await;
    for key in ["a", "b"] {
        let put = dynamo.client.put_item().table_name("orders");
        let put = put.item("pk", AttributeValue::S(key.into())).item("sk", AttributeValue::N("1".into()));
        put.send().await.unwrap();
    }
    let capture = Scene::begin(&dynamo, None).await;
    capture.shell.run(&["init"]).await.is(0);
    // Whoever makes the archive may remove its own probes; the roles may not remove anything.
    capture.s3.forget_actions();
    let settle = ["--settle", "1s", "--flush-age", "1s"];
    capture.shell.run(&[&["capture", "--once", "--table", "orders"], &settle[..]].concat()).await.is(0);
    capture
        .shell
        .run(&[&["capture", "--once", "--table", "orders", "--table", "tag:archive"], &settle[..]].concat())
        .await
        .is(0);
    capture.shell.run(&[&["base", "--table", "orders", "--slack", "1s"], &settle[..]].concat()).await.is(0);
    capture.shell.run(&["doctor", "--table", "orders"]).await.is(0);
    // An export lies five minutes behind the beginning of the archive.
    capture.service.ahead.store(400, Ordering::SeqCst);
    let export = format!("s3://{BUCKET}/exports");
    let by_export = ["base", "--table", "orders", "--slack", "1s", "--export", &export];
    let taking = capture.shell.start(&[&by_export[..], &settle[..]].concat());
    while capture.service.orders() == 0 {
        clock::sleep(Duration::from_millis(50)).await;
    }
    capture.service.ahead.store(800, Ordering::SeqCst);
    taking.end().await.is(0);
    capture.is_what(include_str!("../../../deploy/iam-capture.json"));

    let replay = Scene::begin(&dynamo, Some(&capture)).await;
    let point = ["replay", "--table", "orders", "--at", "latest", "--into"];
    replay.shell.run(&[&point[..], &["dynamodb:restored"]].concat()).await.is(0);
    replay.shell.run(&[&point[..], &["file:out.jsonl"]].concat()).await.is(0);
    let listed = replay.shell.run(&["list", "--table", "orders", "--json"]).await;
    let from = listed.is(0).lines()[0]["restorable_from"].as_str().unwrap().to_owned();
    replay.shell.run(&["diff", "--table", "orders", "--from", &from, "--to", "live"]).await.is(0);
    replay.is_what(include_str!("../../../deploy/iam-replay.json"));

    let audit = Scene::begin(&dynamo, Some(&capture)).await;
    for verb in [
        &["status"][..],
        &["list"],
        &["gaps", "list"],
        &["verify"],
        &["files", "--table", "orders"],
        &["timeline", "--table", "orders"],
    ] {
        audit.shell.run(verb).await.is(0);
    }
    audit.is_what(include_str!("../../../deploy/iam-audit.json"));
}
