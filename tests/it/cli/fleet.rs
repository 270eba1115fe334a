//! Many tables of one process: patterns, tags, shares, other accounts.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType, Tag};

use super::*;
use crate::support::identity_server::IdentityServer;
use crate::support::tap::Tap;

const QUICK: &[&str] = &["--settle", "1s", "--flush-age", "200ms"];

async fn tables(dynamo: &Dynamo, names: &[&str]) {
    for name in names {
        dynamo.create_table(name, Some(StreamViewType::NewAndOldImages)).await;
        let put = dynamo.client.put_item().table_name(*name);
        put.item("pk", AttributeValue::S("a".into())).item("sk", AttributeValue::N("1".into())).send().await.unwrap();
    }
}

fn words<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, QUICK].concat()
}

/// Names of the tables that are archived.
async fn archived(shell: &Shell) -> BTreeSet<String> {
    let listed = shell.run(&["list", "--json"]).await.lines();
    let names = listed.iter().filter_map(|line| line["table"].as_str()?.rsplit('/').next()?.split('@').next());
    names.map(str::to_owned).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn tag(dynamo: &Dynamo, table: &str, tagged: bool) {
    let described = dynamo.client.describe_table().table_name(table).send().await.unwrap();
    let arn = described.table.unwrap().table_arn.unwrap();
    if tagged {
        let tag = Tag::builder().key("archive").value("yes").build().unwrap();
        dynamo.client.tag_resource().resource_arn(arn).tags(tag).send().await.unwrap();
    } else {
        dynamo.client.untag_resource().resource_arn(arn).tag_keys("archive").send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_match_are_found_also_later_and_the_others_are_left_alone() {
    let dynamo = Dynamo::start().await;
    tables(&dynamo, &["orders-a", "orders-b", "payments"]).await;
    let shell = Shell::with_archive(&dynamo).await;
    let mut capture = shell.start(&words(&["capture", "--table", "orders-*"]));
    capture.until("archiving 2 tables, and whatever comes to match").await;
    tables(&dynamo, &["orders-c"]).await;
    capture.until("orders-c@").await;
    // Deleted and made anew: the first timeline is read to its end, and the second is found.
    dynamo.client.delete_table().table_name("orders-a").send().await.unwrap();
    capture.until("the table was deleted").await;
    let before = capture.told().matches("archiving begins after").count();
    tables(&dynamo, &["orders-a"]).await;
    let again = async {
        while capture.told().matches("archiving begins after").count() == before {
            clock::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(clock::within(PATIENCE, again).await.is_some(), "it was not found again: {}", capture.told());
    capture.signal("TERM");
    capture.end().await;
    assert_eq!(archived(&shell).await, set(&["orders-a", "orders-b", "orders-c"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_matches_nothing_or_is_none_is_refused_with_the_nearest() {
    let dynamo = Dynamo::start().await;
    tables(&dynamo, &["orders-a"]).await;
    let shell = Shell::with_archive(&dynamo).await;
    shell
        .refuses(
            &words(&["capture", "--once", "--table", "ordes-*"]),
            Exit::Usage,
            &["ordes-*", "did you mean orders-a?"],
        )
        .await;
    shell.refuses(&words(&["capture", "--once", "--table", "a/b/*"]), Exit::Usage, &["a/b/*", "tag:KEY=VALUE"]).await;
    shell.refuses(&words(&["capture", "--table", "orders-a", "--worker", "3/2"]), Exit::Usage, &["3/2", "I/N"]).await;
    shell.write("tailrace.toml", "[[source]]\nregions = [\"dynoxide\"]\n");
    shell.refuses(&words(&["capture"]), Exit::Configuration, &["source", "include"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_choose_tables_and_their_removal_ends_the_capture_of_one() {
    let dynamo = Dynamo::start().await;
    tables(&dynamo, &["orders", "orders-staging", "payments"]).await;
    for table in ["orders", "orders-staging"] {
        tag(&dynamo, table, true).await;
    }
    let shell = Shell::with_archive(&dynamo).await;
    let source = "[[source]]\nregions = [\"dynoxide\"]\ninclude = [\"tag:archive=yes\"]\nexclude = [\"*-staging\"]\n";
    shell.write("tailrace.toml", source);
    shell.run(&words(&["capture", "--once"])).await.is(0);
    assert_eq!(archived(&shell).await, set(&["orders"]));
    let mut capture = shell.start(&words(&["capture"]));
    capture.until("archiving 1 table, and whatever comes to match").await;
    tag(&dynamo, "orders", false).await;
    capture.until("orders is not meant any more").await;
    capture.until("coverage ends").await;
    capture.until("orders: 0 changes").await;
    let status = shell.run(&["status"]).await;
    assert!(status.out.contains("the table is not selected any more"), "{}", status.out);
    // Tagged again, it is archived as before: its stream never ended.
    tag(&dynamo, "orders", true).await;
    let again = async {
        while !shell.run(&["status", "--json"]).await.out.contains("\"live\":true") {
            clock::sleep(Duration::from_millis(200)).await;
        }
    };
    assert!(clock::within(PATIENCE, again).await.is_some(), "{}", capture.told());
    capture.signal("TERM");
    capture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_is_archived_by_exactly_one_of_the_workers() {
    let dynamo = Dynamo::start().await;
    let names: Vec<String> = (0..8).map(|n| format!("table-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    tables(&dynamo, &names).await;
    let mut all = Vec::new();
    for worker in ["1/2", "2/2"] {
        let shell = Shell::with_archive(&dynamo).await;
        shell.run(&words(&["capture", "--once", "--table", "table-*", "--worker", worker])).await.is(0);
        all.extend(archived(&shell).await);
    }
    all.sort_unstable();
    assert_eq!(all, names);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_read_in_the_role_that_it_names() {
    let dynamo = Dynamo::start().await;
    tables(&dynamo, &["orders-a"]).await;
    let (tap, identity) = (Tap::before(dynamo.config.endpoint_url().unwrap()).await, IdentityServer::start().await);
    let shell = Shell::with_archive(&dynamo).await;
    let shell = shell.with("AWS_ENDPOINT_URL", &tap.endpoint).with("AWS_ENDPOINT_URL_STS", &identity.endpoint);
    let role = "role = \"arn:aws:iam::111122223333:role/archive\"\nexternal_id = \"agreed\"\n";
    shell.write("tailrace.toml", format!("[[source]]\n{role}include = [\"orders-*\"]\n"));
    shell.run(&words(&["capture", "--once"])).await.is(0);
    assert_eq!(archived(&shell).await, set(&["orders-a"]));
    assert_eq!(tap.keys(), set(&["ASIAROLE"]), "everything is signed as the role");
    let asked = identity.asked();
    assert!(asked[0].contains("ExternalId=agreed") && asked[0].contains("111122223333%3Arole%2Farchive"), "{asked:?}");
}
