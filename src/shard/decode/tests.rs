//! Pages as the service sends them, and as it should not.

use bytes::Bytes;

use super::*;
use crate::change::{KeyAttribute, KeyType, Micros};
use crate::platform::aws::ServiceError;

fn keys() -> KeySchema {
    let attribute = |name: &str, kind| KeyAttribute { name: name.to_owned(), kind };
    KeySchema(vec![attribute("pk", KeyType::S), attribute("sk", KeyType::N)])
}

fn decode(body: &str) -> Result<Page, SourceError> {
    page(&RawPage { body: Bytes::copy_from_slice(body.as_bytes()), at: Second(1_795_305_700) }, &keys())
}

/// A page of one record, with `find` in it replaced.
fn one(find: &str, replace: &str) -> Result<Change, SourceError> {
    let record = r#"{"eventID":"e","eventName":"MODIFY","userIdentity":{"Type":"Service"},"dynamodb":{
        "ApproximateCreationDateTime":1.7953056005E9,"Keys":{"pk":{"S":"a\"b"},"sk":{"N":"1.50"}},
        "NewImage": {"pk":{"S":"a\"b"},"sk":{"N":"1.50"},"n":{"N":"1"}},"OldImage":{"pk":{"S":"a\"b"},"sk":{"N":"1.50"}},
        "SequenceNumber":"100000000003498069978","SizeBytes":59}}"#;
    assert!(record.contains(find), "{find}");
    let mut page = decode(&format!("{{\"Records\":[{}]}}", record.replace(find, replace)))?;
    Ok(page.changes.remove(0))
}

#[test]
fn a_record_keeps_its_bytes() {
    let change = one("MODIFY", "MODIFY").unwrap();
    assert_eq!(change.kind, ChangeKind::Modify);
    assert_eq!(change.changed_at, Micros(1_795_305_600_500_000));
    let key = change.key.unwrap();
    assert_eq!((key.pk.text.as_str(), key.sk.unwrap().text.as_str()), ("a\"b", "1.5"));
    assert_eq!(change.new_image.unwrap().as_str(), r#"{"pk":{"S":"a\"b"},"sk":{"N":"1.50"},"n":{"N":"1"}}"#);
    assert_eq!(change.old_image.unwrap().as_str(), r#"{"pk":{"S":"a\"b"},"sk":{"N":"1.50"}}"#);
    assert_eq!(change.sequence.to_string(), "100000000003498069978");
    assert_eq!((change.event_id.unwrap().as_str(), change.size_bytes), ("e", Some(59)));
    assert_eq!(change.actor.unwrap().as_str(), r#"{"Type":"Service"}"#);
}

#[test]
fn images_are_slices_of_the_page_and_not_copies() {
    let body = Bytes::from_static(
        br#"{"Records":[{"eventName":"INSERT","dynamodb":{"ApproximateCreationDateTime":1,"Keys":{"pk":{"S":"a"},"sk":{"N":"1"}},"NewImage":{"pk":{"S":"a"},"sk":{"N":"1"}},"SequenceNumber":"1"}}]}"#,
    );
    let page = page(&RawPage { body: body.clone(), at: Second(1) }, &keys()).unwrap();
    let image = page.changes[0].new_image.as_ref().unwrap().as_str().as_ptr();
    assert!(body.as_ptr_range().contains(&image));
}

#[test]
fn what_cannot_be_decoded_is_kept_whole() {
    for (find, replace, keyed) in [
        ("\"MODIFY\"", "\"MERGE\"", true),
        ("\"MODIFY\"", "\"UNKNOWN\"", true),
        ("\"eventName\"", "\"EventName\"", true),
        ("\"MODIFY\"", "\"REMOVE\"", true),
        ("\"MODIFY\"", "\"INSERT\"", true),
        ("NewImage", "OtherImage", true),
        ("\"n\":{\"N\":\"1\"}", "\"n\":{\"Q\":\"1\"}", true),
        ("\"n\":{\"N\":\"1\"}", "\"n\":{\"L\":[{\"M\":{\"x\":{\"Q\":1}}}]}", true),
        ("\"n\":{\"N\":\"1\"}", "\"n\":{\"N\":\"one\"}", true),
        ("1.7953056005E9", "null", true),
        ("\"Keys\"", "\"Kays\"", false),
        ("\"Keys\":{\"pk\":{\"S\"", "\"Keys\":{\"pk\":{\"N\"", false),
        ("\"Keys\":{\"pk\"", "\"Keys\":{\"p\"", false),
        ("\"Keys\":{", "\"Keys\":{\"x\":{\"S\":\"\"},", false),
    ] {
        let change = one(find, replace).unwrap();
        assert_eq!(change.kind, ChangeKind::Unknown, "{replace}");
        assert_eq!(change.key.is_some(), keyed, "{replace}");
        let whole = change.new_image.unwrap();
        assert!(whole.as_str().starts_with("{\"eventID\"") && whole.as_str().contains(replace), "{replace}");
        assert!(change.old_image.is_none() && change.new_digest.is_none());
        assert_eq!(change.sequence.to_string(), "100000000003498069978");
    }
    assert_eq!(one("1.7953056005E9", "null").unwrap().changed_at, Second(1_795_305_700).micros());
}

#[test]
fn what_cannot_be_placed_is_no_page() {
    for (find, replace) in [
        ("\"SequenceNumber\"", "\"Sequence\""),
        ("100000000003498069978", "10x"),
        ("\"100000000003498069978\"", "7"),
        ("\"dynamodb\"", "\"other\""),
    ] {
        assert!(matches!(one(find, replace), Err(SourceError::Service(ServiceError::Malformed(_)))), "{replace}");
    }
}

#[test]
fn only_a_page_with_records_ends_a_shard() {
    for body in ["", "{}", "{\"Records\":null}", "{\"NextShardIterator\":\"x\"}", "{\"Records\":[", "[]", "\u{0}"] {
        assert!(matches!(decode(body), Err(SourceError::Service(ServiceError::Malformed(_)))), "{body:?}");
    }
    assert!(matches!(
        page(&RawPage { body: Bytes::from_static(b"{\"Records\":[],\"x\":\"\xff\"}"), at: Second(1) }, &keys()),
        Err(SourceError::Service(ServiceError::Malformed(_)))
    ));
    assert_eq!(decode("{\"Records\":[]}").unwrap().next, None);
    assert_eq!(decode("{\"Records\":[],\"NextShardIterator\":null}").unwrap().next, None);
    let open = decode("{\"Records\":[],\"NextShardIterator\":\"x\\/y\"}").unwrap();
    assert_eq!(open.next, Some(ShardIterator("x/y".to_owned())));
}
