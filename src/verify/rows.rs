//! Whether the rows of one segment agree with each other, with their images, and with what the log says of them.

use std::collections::BTreeMap;

use crate::change::{ChangeKind, ItemKey, KeyHash, KeySchema, KeyValue, Text, digest};
use crate::segment::{BaseRow, OldImage, Row, SegmentMeta, Tier};

/// The key of a table, by stream.
pub(super) type Schemas = BTreeMap<u32, KeySchema>;

/// Checks a raw or sealed segment. The error says what contradicts what.
pub(super) fn changes(rows: &[Row], meta: &SegmentMeta, schemas: &Schemas) -> Result<(), String> {
    bounds(meta, rows.iter().filter_map(|row| row.key_hash))?;
    let cuts = || rows.iter().map(|row| row.cut_at);
    if (cuts().min(), cuts().max()) != (meta.min_cut_at, meta.max_cut_at) {
        return Err("the times of its rows are not those that the log gives".to_owned());
    }
    for (at, pair) in rows.windows(2).enumerate() {
        if order(&pair[0]) >= order(&pair[1]) {
            return Err(format!("row {} does not sort behind the row before it", at + 1));
        }
    }
    for (at, row) in rows.iter().enumerate() {
        let wrong = |what: String| format!("row {at} (sequence {}): {what}", row.sequence);
        if row.cut_at.day() != meta.dt {
            return Err(wrong(format!("{} is not on the day of its segment", row.cut_at)));
        }
        let schema = schemas.get(&row.epoch).ok_or_else(|| wrong(format!("epoch {} is not in the log", row.epoch)))?;
        change(row, schema).map_err(wrong)?;
    }
    parts(rows, meta.tier)
}

/// What a sealed day says of a key's versions, as far as one file tells: `heads` holds the last, `rest` all before it,
/// from the first of the day on. Whether a head follows its key's versions in `rest` takes both files.
fn parts(rows: &[Row], tier: Tier) -> Result<(), String> {
    let mut before: Option<&Row> = None;
    for (at, row) in rows.iter().enumerate() {
        let same = before.filter(|before| {
            row.key_hash.is_some() && (before.key_hash, &before.pk, &before.sk) == (row.key_hash, &row.pk, &row.sk)
        });
        let wrong = |what: &str| Err(format!("row {at} (sequence {}): {what}", row.sequence));
        match tier {
            Tier::Heads if same.is_some() => return wrong("it is not the only head of its key"),
            Tier::Rest if row.kind != ChangeKind::Unknown => {
                if let OldImage::Previous(digest) = row.old_image_json().map_err(|error| error.to_string())?
                    && same.and_then(|before| before.new_digest) != Some(digest)
                {
                    return wrong("its old image is not the new image of the version before it");
                }
            }
            _ => {}
        }
        before = Some(row);
    }
    Ok(())
}

/// Checks a base segment, likewise.
pub(super) fn base(rows: &[BaseRow], meta: &SegmentMeta, schema: &KeySchema) -> Result<(), String> {
    bounds(meta, rows.iter().map(|row| row.key_hash))?;
    for (at, pair) in rows.windows(2).enumerate() {
        let key = |row: &BaseRow| (row.key_hash, row.pk.clone(), row.sk.clone());
        if key(&pair[0]) >= key(&pair[1]) {
            return Err(format!("row {} does not sort behind the row before it", at + 1));
        }
    }
    for (at, row) in rows.iter().enumerate() {
        let wrong = |what: String| format!("row {at}: {what}");
        let key = key(schema, Some(&row.pk), row.sk.as_ref()).map_err(wrong)?;
        hash(&key, Some(row.key_hash)).map_err(wrong)?;
        image(&row.image, Some(row.image_digest), &key, schema, "image").map_err(wrong)?;
    }
    Ok(())
}

fn order(row: &Row) -> impl Ord + '_ {
    (row.key_hash, &row.pk, &row.sk, row.epoch, row.shard_rank, row.sequence, &row.shard_id)
}

fn bounds(meta: &SegmentMeta, hashes: impl Iterator<Item = KeyHash>) -> Result<(), String> {
    let (mut least, mut most) = (None::<KeyHash>, None::<KeyHash>);
    for hash in hashes {
        least = Some(least.map_or(hash, |least| least.min(hash)));
        most = Some(most.map_or(hash, |most| most.max(hash)));
    }
    let text = |hash: Option<KeyHash>| hash.map(|hash| hex::encode(hash.0));
    if (text(least), text(most)) == (meta.min_key_hash.clone(), meta.max_key_hash.clone()) {
        return Ok(());
    }
    Err("the key hashes of its rows are not those that the log gives".to_owned())
}

fn change(row: &Row, schema: &KeySchema) -> Result<(), String> {
    if row.kind == ChangeKind::Unknown && row.pk.is_none() {
        return Ok(());
    }
    let key = key(schema, row.pk.as_ref(), row.sk.as_ref())?;
    hash(&key, row.key_hash)?;
    if row.kind == ChangeKind::Unknown {
        return Ok(());
    }
    if let Some(new) = &row.new_image {
        image(new, row.new_digest, &key, schema, "new image")?;
    }
    match row.old_image_json().map_err(|error| error.to_string())? {
        OldImage::Json(old) => image(&old, row.old_digest, &key, schema, "old image"),
        // The previous version of this key proves it: see `parts`.
        OldImage::Previous(_) | OldImage::NotSent => Ok(()),
    }
}

fn key(schema: &KeySchema, pk: Option<&Text>, sk: Option<&Text>) -> Result<ItemKey, String> {
    let value = |at: usize, text: Option<&Text>| match (schema.0.get(at), text) {
        (Some(attribute), Some(text)) => Ok(Some(KeyValue { kind: attribute.kind, text: text.clone() })),
        (None, None) => Ok(None),
        _ => Err("its key columns are not those of the table's key".to_owned()),
    };
    let pk = value(0, pk)?.ok_or("it has no partition key")?;
    Ok(ItemKey { pk, sk: value(1, sk)? })
}

fn hash(key: &ItemKey, stored: Option<KeyHash>) -> Result<(), String> {
    if key.hash() == stored && stored.is_some() { Ok(()) } else { Err("its key has another hash".to_owned()) }
}

fn image(json: &Text, stored: Option<u128>, key: &ItemKey, schema: &KeySchema, which: &str) -> Result<(), String> {
    let of = |error: &dyn std::fmt::Display| format!("its {which} cannot be read: {error}");
    if Some(digest::image(json.as_str()).map_err(|error| of(&error))?) != stored {
        return Err(format!("its {which} has another digest"));
    }
    if ItemKey::from_image(schema, json.as_str()).map_err(|error| of(&error))? == *key {
        return Ok(());
    }
    Err(format!("its {which} is of another item"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{KeyAttribute, KeyType, Micros, Second, Sequence, ShardId};

    fn row(key: &str, sequence: u64, kind: ChangeKind) -> Row {
        let schema = KeySchema(vec![KeyAttribute { name: "k".to_owned(), kind: KeyType::S }]);
        let image = format!(r#"{{"k":{{"S":"{key}"}},"n":{{"N":"{sequence}"}}}}"#);
        let of = ItemKey::from_image(&schema, &image).unwrap();
        let new = (kind != ChangeKind::Remove).then(|| Text::from(image.as_str()));
        Row {
            key_hash: of.hash(),
            pk: Some(of.pk.text),
            sk: None,
            kind,
            changed_at: Micros(0),
            cut_at: Second(0),
            epoch: 1,
            shard_rank: 0,
            sequence: Sequence::parse(&sequence.to_string()).unwrap(),
            shard_id: ShardId::new("s"),
            event_id: None,
            size_bytes: None,
            actor: None,
            new_digest: new.as_ref().map(|_| digest::image(&image).unwrap()),
            new_image: new,
            old_image: None,
            old_delta: None,
            old_digest: None,
        }
    }

    /// A version whose old image is the new image of `before`.
    fn after(before: &Row, mut row: Row) -> Row {
        row.old_digest = before.new_digest.or(Some(7));
        row
    }

    #[test]
    fn a_sealed_day_holds_one_head_of_a_key_and_old_images_lean_on_the_version_before() {
        let first = row("a", 1, ChangeKind::Insert);
        let second = after(&first, row("a", 2, ChangeKind::Modify));
        let removed = after(&second, row("a", 3, ChangeKind::Remove));
        let rest = |rows: &[&Row]| parts(&rows.iter().map(|row| (*row).clone()).collect::<Vec<_>>(), Tier::Rest);
        assert_eq!(rest(&[&first, &second, &removed]), Ok(()));
        let leans = "not the new image of the version before it";
        for wrong in [
            // The first row of a key, a version left out, another key's version, and one that has no image.
            vec![&second],
            vec![&first, &removed],
            vec![&row("b", 1, ChangeKind::Insert), &second],
            vec![&first, &second, &removed, &after(&removed, row("a", 4, ChangeKind::Modify))],
        ] {
            assert!(rest(&wrong).is_err_and(|why| why.contains(leans)), "{wrong:?}");
        }
        // A head leans on a version in the other file.
        assert_eq!(parts(std::slice::from_ref(&second), Tier::Heads), Ok(()));
        assert!(parts(&[first, second], Tier::Heads).is_err_and(|why| why.contains("not the only head")));
    }
}
