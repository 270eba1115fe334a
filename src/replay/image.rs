//! Running a plan: winners by key, then the images of the winners, in order of key, into a sink.
//!
//! Many rows are taken in several passes, each over one stretch of key hashes, so that memory follows the
//! stretch and not the history.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::ReplayError;
use super::plan::{Plan, Way};
use super::sink::{Item, Sink};
use super::winners::{Key, Place, Verdict, Winners};
use crate::change::{KeyHash, Text, digest};
use crate::manifest::{ReadError, Segments};
use crate::segment::{OldImage, Row, SegmentMeta};

/// Rows that one pass may hold the positions of.
const PASS_ROWS: u64 = 1 << 20;
/// Stored bytes of one pass: images unpack to some eight times of it.
const PASS_BYTES: u64 = 48 << 20;
/// Key hashes are split by at most this many leading bits.
const MOST_BITS: u8 = 9;
/// Items handed to the sink at once.
const HAND_OVER: usize = 1000;

/// What a replay gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Items.
    pub items: u64,
    /// Wrapping sum of the digests of their images: equal for equal sets of items, in any order.
    pub digest: u128,
}

impl Total {
    /// Counts one item in.
    pub const fn add(&mut self, digest: u128) {
        self.items += 1;
        self.digest = self.digest.wrapping_add(digest);
    }
}

impl Serialize for Total {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut total = serializer.serialize_struct("Total", 2)?;
        total.serialize_field("items", &self.items)?;
        total.serialize_field("digest", &format!("{:032x}", self.digest))?;
        total.end()
    }
}

/// One stretch of key hashes: those whose leading `bits` are `bucket`.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    bits: u8,
    bucket: u16,
}

impl Stretch {
    fn holds(self, hash: &KeyHash) -> bool {
        hash.bucket(self.bits) == self.bucket
    }

    /// Whether a segment may hold keys of this stretch.
    fn meets(self, meta: &SegmentMeta) -> bool {
        let end = |text: &Option<String>| {
            let bytes = hex::decode(text.as_deref()?).ok()?;
            Some(KeyHash(bytes.try_into().ok()?).bucket(self.bits))
        };
        end(&meta.min_key_hash).is_none_or(|min| min <= self.bucket)
            && end(&meta.max_key_hash).is_none_or(|max| max >= self.bucket)
    }
}

/// Runs `plan` into `sink`, without finishing it. `given` counts what the sink has; items that it already has
/// from a run of the same plan are passed over.
///
/// # Errors
/// [`ReplayError`]; the sink must then be dropped, unless the run is taken up again.
pub(super) async fn run(
    plan: &Plan,
    segments: &Segments,
    sink: &mut dyn Sink,
    given: &mut Total,
) -> Result<(), ReplayError> {
    judge(plan, segments).await?;
    let mut pass_over = given.items;
    for stretch in stretches(plan) {
        let decided = decide(plan, segments, stretch).await?;
        let mut images = images(plan, segments, &decided).await?;
        let mut items = Vec::new();
        for (key, place) in decided.into_iter().filter_map(|(key, verdict)| Some((key, place_of(&verdict)?))) {
            if pass_over > 0 {
                pass_over -= 1;
                continue;
            }
            let Some((image, digest)) = images.remove(&place) else { continue };
            given.add(digest);
            items.push(Item { key_hash: key.hash, pk: key.pk, sk: key.sk, image, digest });
            if items.len() == HAND_OVER {
                sink.put(std::mem::take(&mut items)).await?;
            }
        }
        if !items.is_empty() {
            sink.put(items).await?;
        }
    }
    Ok(())
}

/// Backward across a gap, single items may be hidden: known before anything is written.
async fn judge(plan: &Plan, segments: &Segments) -> Result<(), ReplayError> {
    if plan.way == Way::Forward || plan.unknown.is_empty() {
        return Ok(());
    }
    let (mut items, mut first) = (0, None);
    for stretch in stretches(plan) {
        for (_, verdict) in decide(plan, segments, stretch).await? {
            if let Verdict::Hidden(unknown) = verdict {
                items += 1;
                first.get_or_insert(unknown);
            }
        }
    }
    first.map_or(Ok(()), |unknown| Err(ReplayError::Unknown { items, asked: plan.point.horizon(), unknown }))
}

fn stretches(plan: &Plan) -> impl Iterator<Item = Stretch> + use<> {
    let passes = (plan.rows / PASS_ROWS).max(plan.bytes / PASS_BYTES) + 1;
    let bits = u8::try_from(passes.next_power_of_two().trailing_zeros()).unwrap_or(MOST_BITS).min(MOST_BITS);
    (0..1 << bits).map(move |bucket| Stretch { bits, bucket })
}

/// Phase 1 of one stretch. Segments are numbered: changes first, then the base.
async fn decide(plan: &Plan, segments: &Segments, stretch: Stretch) -> Result<Vec<(Key, Verdict)>, ReplayError> {
    let mut winners = Winners::new(plan);
    for (file, meta) in plan.changes.iter().enumerate().filter(|(_, meta)| stretch.meets(meta)) {
        for (row, change) in segments.changes(meta).await?.iter().enumerate() {
            if change.key_hash.is_some_and(|hash| stretch.holds(&hash)) {
                winners.change(change, Place { file, row });
            }
        }
    }
    for (file, meta) in base_files(plan).filter(|(_, meta)| stretch.meets(meta)) {
        for (row, item) in segments.base(meta).await?.iter().enumerate() {
            if stretch.holds(&item.key_hash) {
                winners.base(Key::copy(item.key_hash, &item.pk, item.sk.as_ref()), Place { file, row });
            }
        }
    }
    Ok(winners.decide().collect())
}

fn base_files(plan: &Plan) -> impl Iterator<Item = (usize, &SegmentMeta)> {
    plan.base.segments.iter().enumerate().map(|(file, meta)| (plan.changes.len() + file, meta))
}

const fn place_of(verdict: &Verdict) -> Option<Place> {
    match verdict {
        Verdict::New(place) | Verdict::Old(place) | Verdict::Base(place) => Some(*place),
        Verdict::Absent | Verdict::Hidden(_) => None,
    }
}

/// Phase 2 of one stretch: the images of the winners, each checked against its digest.
async fn images(
    plan: &Plan,
    segments: &Segments,
    decided: &[(Key, Verdict)],
) -> Result<BTreeMap<Place, (Text, u128)>, ReplayError> {
    let mut wanted: BTreeMap<usize, Vec<(usize, bool)>> = BTreeMap::new();
    for (_, verdict) in decided {
        if let Some(place) = place_of(verdict) {
            wanted.entry(place.file).or_default().push((place.row, matches!(verdict, Verdict::Old(_))));
        }
    }
    let mut images = BTreeMap::new();
    for (file, rows) in wanted {
        let stored: Vec<(usize, Option<(Text, u128)>)> = match plan.changes.get(file) {
            Some(meta) => {
                let found = segments.changes(meta).await?;
                rows.iter().map(|&(row, old)| (row, found.get(row).and_then(|change| pick(change, old)))).collect()
            }
            None => {
                let Some(meta) = plan.base.segments.get(file - plan.changes.len()) else { continue };
                let found = segments.base(meta).await?;
                let pick = |row: usize| found.get(row).map(|item| (Text::from(item.image.as_str()), item.image_digest));
                rows.iter().map(|&(row, _)| (row, pick(row))).collect()
            }
        };
        for (row, image) in stored {
            images.insert(Place { file, row }, checked(plan, file, row, image)?);
        }
    }
    Ok(images)
}

/// The new or the old image of a change, with the digest stored for it.
fn pick(change: &Row, old: bool) -> Option<(Text, u128)> {
    if !old {
        return Some((Text::from(change.new_image.as_ref()?.as_str()), change.new_digest?));
    }
    match change.old_image_json().ok()? {
        OldImage::Json(text) => Some((Text::from(text.as_str()), change.old_digest?)),
        OldImage::NotSent | OldImage::Previous(_) => None,
    }
}

fn checked(plan: &Plan, file: usize, row: usize, image: Option<(Text, u128)>) -> Result<(Text, u128), ReplayError> {
    let damaged = |reason: String| {
        let meta = plan.changes.get(file).or_else(|| plan.base.segments.get(file.wrapping_sub(plan.changes.len())));
        ReplayError::Read(ReadError::Damaged { path: meta.map(|meta| meta.path.clone()).unwrap_or_default(), reason })
    };
    let (text, stored) =
        image.ok_or_else(|| damaged(format!("row {row} has not the image that its kind must have")))?;
    let found = digest::image(text.as_str()).map_err(|error| damaged(format!("row {row}: {error}")))?;
    if found == stored {
        return Ok((text, found));
    }
    Err(damaged(format!("the image of row {row} does not have its digest")))
}
