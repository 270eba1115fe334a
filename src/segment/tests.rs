//! Segments through their public face.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue as FooterFact;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use serde_json::Value;

use super::encode::Encoded;
use super::parts::Parts;
use super::{
    BaseRow, Facts, OldImage, Row, SegmentError, SegmentMeta, Tier, decode, digest, encode, open_checked,
    open_checked_base, schema, select,
};
use crate::change::{
    Change, ChangeKind, ItemKey, KeyAttribute, KeyHash, KeySchema, KeyType, KeyValue, Micros, Origin, Second, Sequence,
    ShardId, Stamped, Text, arbitrary, image,
};

pub(super) const NOON: Second = Second(1_795_348_800);

pub(crate) fn facts() -> Facts {
    Facts {
        origin: "origin".to_owned(),
        table_arn: "arn:aws:dynamodb:eu-west-1:000000000000:table/t".to_owned(),
        table_id: "id".to_owned(),
        keys: KeySchema(vec![KeyAttribute { name: "pk".to_owned(), kind: KeyType::S }]),
        writer: "test".to_owned(),
    }
}

pub(crate) fn key(text: &str) -> ItemKey {
    ItemKey { pk: KeyValue { kind: KeyType::S, text: Text::from(text) }, sk: None }
}

pub(crate) fn stamped(at: Second, pk: &str, sequence: u64, new: Option<&str>, old: Option<&str>) -> Stamped {
    let kind = match (new, old) {
        (Some(_), Some(_)) => ChangeKind::Modify,
        (Some(_), None) => ChangeKind::Insert,
        (None, _) => ChangeKind::Remove,
    };
    let change = Change {
        sequence: Sequence::parse(&format!("{sequence:021}")).unwrap(),
        kind,
        changed_at: Micros(at.micros().0 + 17),
        key: Some(key(pk)),
        event_id: Some(Text::from("e")),
        size_bytes: Some(12),
        actor: None,
        new_image: new.map(Text::from),
        old_image: old.map(Text::from),
        new_digest: None,
        old_digest: None,
    };
    let origin = Arc::new(Origin { epoch: 1, shard_rank: 0, shard: ShardId::new("shardId-1") });
    Stamped { origin, cut_at: at, change: change.with_digests().unwrap() }
}

fn unknown(at: Second, sequence: u64) -> Stamped {
    let mut row = stamped(at, "x", sequence, Some("{}"), None);
    row.change.kind = ChangeKind::Unknown;
    row.change.key = None;
    row.change.new_image = Some(Text::from(r#"{"eventName":"ODD"}"#));
    row.change = row.change.with_digests().unwrap();
    row
}

pub(super) fn one(rows: Vec<Stamped>) -> Encoded {
    let mut days = encode::changes(rows, &facts()).unwrap();
    assert_eq!(days.len(), 1);
    days.pop().unwrap()
}

fn sample() -> Vec<Stamped> {
    let (a, b) = (r#"{"pk":{"S":"a"},"n":{"N":"1"}}"#, r#"{"pk":{"S":"a"},"n":{"N":"2"}}"#);
    vec![
        stamped(NOON, "a", 1, Some(a), None),
        stamped(NOON, "a", 2, Some(b), Some(a)),
        stamped(NOON.plus(1), "a", 3, None, Some(b)),
        stamped(NOON.plus(1), "b", 4, None, None),
        unknown(NOON.plus(2), 5),
    ]
}

#[test]
fn published_columns_are_those_of_the_code() {
    let published = [
        (include_str!("../../schemas/segment.v1.json"), &schema::CHANGES[..], &schema::CHANGES_ORDER[..]),
        (include_str!("../../schemas/base.v1.json"), &schema::BASE[..], &schema::BASE_ORDER[..]),
    ];
    let footer =
        super::Footer { facts: facts(), epochs: vec![1], tier: Tier::Raw, dt: "2026-11-22".to_owned(), bucket_bits: 0 };
    for (json, columns, order) in published {
        let file: Value = serde_json::from_str(json).unwrap();
        assert_eq!(file["format"], schema::FORMAT);
        assert_eq!(file["order"], serde_json::json!(order));
        let found: Vec<_> = (file["columns"].as_array().unwrap().iter())
            .map(|c| (c["name"].clone(), c["type"].clone(), c["nullable"].clone(), c["field_id"].clone()))
            .collect();
        let expected: Vec<_> = (columns.iter().enumerate())
            .map(|(at, c)| (c.name.into(), c.kind.word().into(), c.nullable.into(), (at + 1).into()))
            .collect();
        assert_eq!(found, expected);
        let names: Vec<&String> = file["footer"].as_object().unwrap().keys().collect();
        let mut written: Vec<String> = footer.key_values().unwrap().into_iter().map(|pair| pair.key).collect();
        written.sort();
        assert_eq!(names, written.iter().collect::<Vec<_>>());
    }
}

fn fixed(value: &Value) -> Option<[u8; 16]> {
    value.as_str().map(|text| hex::decode(text).unwrap().try_into().unwrap())
}

/// A row as the vectors write it; what a file leaves out is null.
fn row(json: &Value) -> Row {
    let text = |name: &str| json[name].as_str().map(Text::from);
    Row {
        key_hash: fixed(&json["key_hash"]).map(KeyHash),
        pk: text("pk"),
        sk: text("sk"),
        kind: ChangeKind::from_word(json["kind"].as_str().unwrap()).unwrap(),
        changed_at: Micros(json["changed_at"].as_i64().unwrap()),
        cut_at: Micros(json["cut_at"].as_i64().unwrap()).second(),
        epoch: u32::try_from(json["epoch"].as_u64().unwrap()).unwrap(),
        shard_rank: u32::try_from(json["shard_rank"].as_u64().unwrap_or_default()).unwrap(),
        sequence: Sequence::parse(json["sequence"].as_str().unwrap()).unwrap(),
        shard_id: ShardId::new(json["shard_id"].as_str().unwrap()),
        event_id: text("event_id"),
        size_bytes: json["size_bytes"].as_i64(),
        actor: text("actor"),
        new_image: text("new_image"),
        old_image: text("old_image"),
        old_delta: text("old_delta"),
        new_digest: fixed(&json["new_digest"]).map(u128::from_be_bytes),
        old_digest: fixed(&json["old_digest"]).map(u128::from_be_bytes),
    }
}

fn base_row(json: &Value) -> BaseRow {
    BaseRow {
        key_hash: KeyHash(fixed(&json["key_hash"]).unwrap()),
        pk: Text::from(json["pk"].as_str().unwrap()),
        sk: json["sk"].as_str().map(Text::from),
        image: Text::from(json["image"].as_str().unwrap()),
        image_digest: u128::from_be_bytes(fixed(&json["image_digest"]).unwrap()),
    }
}

fn vectors(file: &str, least: usize) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert!(cases.len() >= least);
    cases
}

fn rows_of<R>(case: &Value, row: fn(&Value) -> R) -> Vec<R> {
    case["rows"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn row_digests_are_those_of_the_vectors() {
    for case in vectors(include_str!("../../schemas/vectors/row_digest.json"), 4) {
        let found = digest::changes(&rows_of(&case, row));
        assert_eq!(format!("{found:032x}"), case["digest"].as_str().unwrap());
    }
    for case in vectors(include_str!("../../schemas/vectors/base_row_digest.json"), 4) {
        let found = digest::base(&rows_of(&case, base_row));
        assert_eq!(format!("{found:032x}"), case["digest"].as_str().unwrap());
    }
}

#[test]
fn roots_over_rows_are_those_of_the_vectors() {
    for case in vectors(include_str!("../../schemas/vectors/rows_root.json"), 8) {
        let found = match case["of"].as_str().unwrap() {
            "base" => digest::base_root(&rows_of(&case, base_row)),
            _ => digest::changes_root(&rows_of(&case, row)),
        };
        assert_eq!(hex::encode(found), case["root"].as_str().unwrap());
    }
}

#[test]
fn the_root_is_that_of_rfc_6962() {
    use sha2::{Digest as _, Sha256};
    let hash = |parts: &[&[u8]]| -> [u8; 32] { Sha256::digest(parts.concat()).into() };
    // The definition, recursively.
    fn tree(entries: &[[u8; 32]], hash: &dyn Fn(&[&[u8]]) -> [u8; 32]) -> [u8; 32] {
        match entries {
            [] => hash(&[]),
            [entry] => hash(&[&[0], entry]),
            _ => {
                let split = entries.len().next_power_of_two() / 2;
                hash(&[&[1], &tree(&entries[..split], hash), &tree(&entries[split..], hash)])
            }
        }
    }
    let entries: Vec<[u8; 32]> = (0..70_u8).map(|at| [at; 32]).collect();
    for size in 0..entries.len() {
        assert_eq!(digest::root(entries[..size].iter().copied()), tree(&entries[..size], &hash), "{size}");
    }
}

#[test]
fn a_row_gives_every_image_back_and_unknown_stays_whole() {
    let rows = decode::changes(one(sample()).bytes).unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!((rows[0].kind, rows[0].key_hash), (ChangeKind::Unknown, None));
    assert_eq!(rows[0].new_image.as_ref().unwrap().as_str(), r#"{"eventName":"ODD"}"#);
    let modify = rows.iter().find(|row| row.kind == ChangeKind::Modify).unwrap();
    assert_eq!(modify.old_delta.as_ref().unwrap().as_str(), r#"{"set":{"n":{"N":"1"}},"drop":[]}"#);
    assert_eq!(modify.old_image_json().unwrap(), OldImage::Json(Text::from(r#"{"pk":{"S":"a"},"n":{"N":"1"}}"#)));
    let removes: Vec<_> = rows.iter().filter(|row| row.kind == ChangeKind::Remove).collect();
    let olds: Vec<_> = removes.iter().map(|row| row.old_image_json().unwrap()).collect();
    assert!(olds.contains(&OldImage::NotSent));
    assert!(olds.contains(&OldImage::Json(Text::from(r#"{"pk":{"S":"a"},"n":{"N":"2"}}"#))));
    let mut previous = modify.clone();
    previous.old_delta = None;
    assert!(matches!(previous.old_image_json().unwrap(), OldImage::Previous(_)));
    assert!(previous.check(Tier::Rest).is_ok() && previous.check(Tier::Raw).is_err());
    previous.old_image = Some(Text::from("{}"));
    previous.old_delta = Some(Text::from("{}"));
    assert!(previous.old_image_json().is_err() && previous.check(Tier::Rest).is_err());
}

#[test]
fn midnight_parts_a_batch_and_the_meta_says_what_is_there() {
    let midnight = NOON.plus(43_200);
    let rows = [midnight, midnight.plus(-1), midnight.plus(5)];
    let rows = rows.into_iter().zip(1..).map(|(at, n)| stamped(at, "k", n, Some("{}"), None)).collect();
    let days = encode::changes(rows, &facts()).unwrap();
    assert_eq!(
        days.iter().map(|day| (day.rows, day.dt.clone())).collect::<Vec<_>>(),
        [(1, midnight.plus(-1).day()), (2, midnight.day())]
    );
    let meta = days[1].meta("p".to_owned(), None, Tier::Raw, None);
    assert_eq!((meta.min_cut_at, meta.max_cut_at), (Some(midnight), Some(midnight.plus(5))));
    assert_eq!(open_checked(days[1].bytes.clone(), &meta).unwrap().len(), 2);
    assert!(encode::changes(Vec::new(), &facts()).unwrap().is_empty());
}

#[test]
fn a_change_without_digests_or_with_an_odd_image_is_not_written() {
    let mut row = stamped(NOON, "a", 1, Some("{}"), None);
    row.change.new_digest = None;
    assert!(matches!(encode::changes(vec![row], &facts()), Err(SegmentError::Rows(_))));
    let mut change = stamped(NOON, "a", 1, Some("{}"), None).change;
    change.new_image = Some(Text::from(r#"{"a":{"XX":"y"}}"#));
    assert!(matches!(change.clone().with_digests(), Err(image::ImageError::UnknownType(_))));
    change.new_image = None;
    assert_eq!(change.with_digests().unwrap_err(), image::ImageError::Shape);
}

#[test]
fn other_files_and_other_facts_are_refused() {
    let encoded = one(sample());
    let good = encoded.meta("p".to_owned(), None, Tier::Raw, None);
    assert_eq!(open_checked(encoded.bytes.clone(), &good).unwrap().len(), 5);
    let lies: [fn(&mut SegmentMeta); 6] = [
        |m| m.bytes += 1,
        |m| m.sha256 = "0".repeat(64),
        |m| m.rows += 1,
        |m| m.row_digest = "0".repeat(32),
        |m| m.tier = Tier::Rest,
        |m| m.dt = "2026-11-23".to_owned(),
    ];
    for lie in lies {
        let mut meta = good.clone();
        lie(&mut meta);
        assert!(matches!(open_checked(encoded.bytes.clone(), &meta), Err(SegmentError::Damaged(_))), "{meta:?}");
    }
    assert!(matches!(decode::base(encoded.bytes.clone()), Err(SegmentError::Damaged(_))));
    assert!(matches!(decode::changes(Bytes::from_static(b"PAR1")), Err(SegmentError::Damaged(_))));
    let newer = replaced(&encoded.bytes, b"tailrace.format\x18\x011", b"tailrace.format\x18\x012");
    assert!(matches!(decode::changes(newer), Err(SegmentError::Newer { found: 2 })));
}

/// `bytes` with the one place that reads `from` made `to`.
type Columns = Vec<(Field, ArrayRef)>;

/// The file with its columns changed by `with`, and one more fact in its footer.
fn rewritten(bytes: &Bytes, with: impl Fn(&mut Columns)) -> Bytes {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
    let mut pairs = builder.metadata().file_metadata().key_value_metadata().unwrap().clone();
    pairs.insert(0, FooterFact::new("tailrace.later".to_owned(), "7".to_owned()));
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let fields = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>();
    let mut columns: Columns = fields.into_iter().zip(batch.columns().iter().cloned()).collect();
    with(&mut columns);
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    Bytes::from(writer.into_inner().unwrap())
}

#[test]
fn columns_count_by_name_and_type_and_further_ones_cost_nothing() {
    let written = one(sample()).bytes;
    let rows = decode::changes(written.clone()).unwrap();
    let later = rewritten(&written, |columns| {
        columns.reverse();
        let texts = StringArray::from(vec![Some("new"); columns[0].1.len()]);
        columns.insert(3, (Field::new("region", DataType::Utf8, true), Arc::new(texts)));
        // Another writer may say that every column can be null.
        for (field, _) in columns {
            *field = field.clone().with_nullable(true);
        }
    });
    assert_eq!(decode::changes(later).unwrap(), rows);
    let images = BTreeMap::from([("a", r#"{"pk":{"S":"a"}}"#), ("b", r#"{"pk":{"S":"b"}}"#)]);
    let items = images.iter().map(|(pk, image)| BaseRow::new(key(pk), Text::from(*image)).unwrap()).collect();
    let base = encode::base(items, &facts(), NOON, 0).unwrap().bytes;
    let moved = rewritten(&base, |columns| columns.swap(0, 4));
    assert_eq!(decode::base(moved).unwrap(), decode::base(base).unwrap());
    let place = |columns: &[(Field, ArrayRef)], name: &str| columns.iter().position(|(f, _)| f.name() == name).unwrap();
    let refused = |with: &dyn Fn(&mut Columns)| {
        let error = decode::changes(rewritten(&written, with)).unwrap_err();
        assert!(matches!(error, SegmentError::Damaged(_)), "{error}");
        error.to_string()
    };
    let missing = refused(&|columns| drop(columns.remove(place(columns, "actor"))));
    assert!(missing.contains("no column actor"), "{missing}");
    let typed = refused(&|columns| {
        let at = place(columns, "epoch");
        let wide = Int64Array::from(vec![1; columns[at].1.len()]);
        columns[at] = (Field::new("epoch", DataType::Int64, false), Arc::new(wide));
    });
    assert!(typed.contains("its column epoch is Int64"), "{typed}");
    let null = refused(&|columns| {
        let at = place(columns, "epoch");
        let nulls = UInt32Array::from(vec![None; columns[at].1.len()]);
        columns[at] = (Field::new("epoch", DataType::UInt32, true), Arc::new(nulls));
    });
    assert!(null.contains("its column epoch holds a null"), "{null}");
}

fn replaced(bytes: &Bytes, from: &[u8], to: &[u8]) -> Bytes {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    let mut changed = bytes.to_vec();
    changed[at..at + to.len()].copy_from_slice(to);
    Bytes::from(changed)
}

#[test]
fn a_base_holds_every_item_once_in_order() {
    let row = |pk: &str| BaseRow::new(key(pk), Text::from(format!("{{\"pk\":{{\"S\":\"{pk}\"}}}}"))).unwrap();
    let rows: Vec<BaseRow> = (0..500).map(|at| row(&format!("k{at}"))).collect();
    let encoded = encode::base(rows.clone(), &facts(), NOON, 3).unwrap();
    let meta = encoded.meta("p".to_owned(), None, Tier::Base, Some(0));
    let found = open_checked_base(encoded.bytes.clone(), &meta).unwrap();
    assert!(found.is_sorted_by_key(|row| row.key_hash));
    let mut expected = rows.clone();
    expected.sort_by_key(|row| row.key_hash);
    assert_eq!(found, expected);
    let mut lie = meta.clone();
    lie.rows_root = Some("0".repeat(64));
    assert!(open_checked_base(encoded.bytes, &lie).is_err());
    let twice = vec![row("a"), row("a")];
    assert!(matches!(encode::base(twice, &facts(), NOON, 0), Err(SegmentError::Rows(_))));
}

#[test]
fn every_flipped_byte_is_seen() {
    let encoded = one(sample());
    let meta = encoded.meta("p".to_owned(), None, Tier::Raw, None);
    for at in 0..encoded.bytes.len() {
        let mut bytes = encoded.bytes.to_vec();
        bytes[at] ^= 0x20;
        assert!(open_checked(Bytes::from(bytes), &meta).is_err(), "byte {at}");
    }
}

#[test]
fn large_images_lie_in_pages_that_can_be_skipped() {
    use parquet::file::reader::FileReader as _;
    use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
    let filler = "x".repeat(4_000);
    let image = format!("{{\"pk\":{{\"S\":\"{filler}\"}}}}");
    let rows = (0..400).map(|at| stamped(NOON, &format!("k{at}"), at, Some(&image), None)).collect();
    let options = ReadOptionsBuilder::new().with_page_index().build();
    let reader = SerializedFileReader::new_with_options(one(rows).bytes, options).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 1);
    let pages = reader.metadata().offset_index().unwrap()[0][13].page_locations().len();
    assert!((20..40).contains(&pages), "{pages} pages of 64 KiB");
    assert!(reader.metadata().row_group(0).column(13).dictionary_page_offset().is_none());
}

/// 400 rows whose new images fill some 25 pages; for each page its first row, and the bytes that it takes.
fn many_pages() -> (Encoded, SegmentMeta, Vec<(usize, Range<usize>)>) {
    use parquet::file::reader::FileReader as _;
    use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
    let image = |at: u64| format!("{{\"pk\":{{\"S\":\"{}\"}}}}", format!("{at:04}").repeat(1000));
    let rows = (0..400).map(|at| stamped(NOON, &format!("k{at}"), at, Some(&image(at)), None)).collect();
    let encoded = one(rows);
    let options = ReadOptionsBuilder::new().with_page_index().build();
    let reader = SerializedFileReader::new_with_options(encoded.bytes.clone(), options).unwrap();
    let pages = reader.metadata().offset_index().unwrap()[0][13].page_locations().iter();
    let pages = pages.map(|page| {
        let at = usize::try_from(page.offset).unwrap();
        (usize::try_from(page.first_row_index).unwrap(), at..at + usize::try_from(page.compressed_page_size).unwrap())
    });
    let pages = pages.collect();
    let meta = encoded.meta("p".to_owned(), None, Tier::Raw, None);
    (encoded, meta, pages)
}

/// The same bytes with one page that cannot be unpacked.
fn spoilt(bytes: &Bytes, page: &Range<usize>) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[page.clone()].fill(0xff);
    bytes.into()
}

#[test]
fn pages_without_a_wanted_row_are_not_unpacked() {
    let (encoded, meta, pages) = many_pages();
    let expected = open_checked(encoded.bytes.clone(), &meta).unwrap();
    let read = |bytes: Bytes, rows: &[usize]| {
        let mut found = Vec::new();
        select::changes(&Parts::whole(&meta, bytes), &meta, rows, |at, row| {
            found.push((at, row));
            Ok(ControlFlow::Continue(()))
        })
        .map(|()| found)
    };
    let (first, second) = (pages[3].0, pages[4].0);
    let bytes = spoilt(&encoded.bytes, &pages[3].1);
    let wanted = [0, 1, first - 1, second, second + 1, 399];
    let found = read(bytes.clone(), &wanted).unwrap();
    assert_eq!(found, wanted.map(|at| (at, expected[at].clone())));
    assert!(read(bytes.clone(), &[0, first]).is_err());
    assert!(read(encoded.bytes.clone(), &[0, 400]).is_err(), "a row that is not there");
    let all: Vec<usize> = (0..400).collect();
    assert_eq!(read(encoded.bytes.clone(), &all).unwrap().len(), 400);

    let mut seen = 0;
    let every_image_spoilt = pages.iter().fold(encoded.bytes.clone(), |bytes, page| spoilt(&bytes, &page.1));
    select::positions(&Parts::whole(&meta, every_image_spoilt), &meta, 7, select::Beside::EventId, |position| {
        let row = &expected[position.row];
        assert_eq!((position.row, position.key_hash, position.kind), (7 + seen, row.key_hash, row.kind));
        assert_eq!((position.pk, position.sk), (row.pk.as_ref().map(Text::as_str), None));
        assert_eq!((position.cut_at, position.epoch, position.shard_rank), (row.cut_at, row.epoch, row.shard_rank));
        assert_eq!((&position.sequence, position.shard_id), (&row.sequence, &row.shard_id));
        assert_eq!(position.event_id, row.event_id.as_ref().map(Text::as_str));
        seen += 1;
        Ok(if seen == 300 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .unwrap();
    assert_eq!(seen, 300);
}

#[test]
fn parts_of_a_base_are_the_rows_of_the_base() {
    let image = |at: u32| format!("{{\"pk\":{{\"S\":\"k{at}\"}}}}");
    let rows = (0..50).map(|at| BaseRow::new(key(&format!("k{at}")), Text::from(image(at))).unwrap()).collect();
    let encoded = encode::base(rows, &facts(), NOON, 0).unwrap();
    let meta = encoded.meta("p".to_owned(), None, Tier::Base, Some(0));
    let expected = open_checked_base(encoded.bytes.clone(), &meta).unwrap();
    let (mut keys, mut found) = (Vec::new(), Vec::new());
    select::base_keys(&Parts::whole(&meta, encoded.bytes.clone()), &meta, 10, |key| {
        keys.push((key.row, key.key_hash, key.pk.to_owned()));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    select::images(&Parts::whole(&meta, encoded.bytes), &meta, &[3, 4, 49], |at, image| {
        found.push((at, image.unwrap().to_owned()));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    let of = |at: usize| (at, expected[at].key_hash, expected[at].pk.as_str().to_owned());
    assert_eq!(keys, (10..50).map(of).collect::<Vec<_>>());
    assert_eq!(found, [3, 4, 49].map(|at| (at, expected[at].image.as_str().to_owned())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_byte_for_byte_whatever_the_order(
        items in proptest::collection::vec((arbitrary::attributes(), proptest::option::of(arbitrary::attributes()), "[a-c]"), 1..12),
        turn in 0_usize..12,
    ) {
        let rows: Vec<Stamped> = items.iter().zip(1..).map(|((new, old, pk), n)| {
            let old = old.as_ref().map(|old| arbitrary::image(old));
            stamped(NOON, pk, n, Some(&arbitrary::image(new)), old.as_deref())
        }).collect();
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        let encoded = one(rows.clone());
        prop_assert_eq!(&encoded.bytes, &one(turned).bytes);
        let meta = encoded.meta("p".to_owned(), None, Tier::Raw, None);
        let found = open_checked(encoded.bytes.clone(), &meta).unwrap();
        let mut expected: Vec<Row> = rows.into_iter().map(|row| Row::from_stamped(row).unwrap()).collect();
        expected.sort_by(|a, b| (a.key_hash, &a.pk, a.sequence).cmp(&(b.key_hash, &b.pk, b.sequence)));
        prop_assert_eq!(found, expected);
    }
}
