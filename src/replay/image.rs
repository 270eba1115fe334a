//! Running a plan: winners by key, then the images of the winners, in order of key, into a sink.
//!
//! Memory follows [`Bounds`], not the history. At most
//!
//! > `keys` + `images` + `kept` + the largest object + 64 rows with their images + one page of each column
//!
//! are held, beside what the sink holds: every object is put whole into memory to prove its SHA-256, one at a time,
//! and of it only the columns and pages that are asked for are unpacked. Where one key or one image alone is
//! larger than its bound, it is held all the same. The formula counts bytes in use; what the allocator keeps of bytes
//! that were given back comes on top.
//!
//! Reading follows the result: with K bytes of keys (some 300 for each) and I bytes of images in the result, the
//! objects are read ⌈K / `keys`⌉ times for the winners, and ⌈I / `images`⌉ times at most for their images. The
//! first objects, up to `kept` bytes, are read once in all.

use std::sync::Arc;

use serde::Serialize;

use super::error::ReplayError;
use super::images::{self, Reach};
use super::objects::Objects;
use super::plan::Plan;
use super::sink::{Item, Sink};
use super::winners::{Stretch, Winner, Winners};
use crate::change::KeyHash;
use crate::manifest::{Segments, unpacked};
use crate::segment::{SegmentError, SegmentMeta, Tier, select};

/// Items handed to the sink at once.
const HAND_OVER: usize = 1000;

/// How much a replay may hold, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Keys, and where their images lie.
    pub(super) keys: usize,
    /// Images.
    pub(super) images: usize,
    /// Objects that are kept to be read again.
    pub(super) kept: usize,
}

impl Bounds {
    /// What a replay takes when nobody says otherwise.
    pub(super) const DEFAULT: Self = Self { keys: 192 << 20, images: 128 << 20, kept: 64 << 20 };
}

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

/// Runs `plan` into `sink`, without finishing it. `given` counts what the sink has; items that it already has
/// from a run of the same plan are passed over.
///
/// # Errors
/// [`ReplayError`]; the sink must then be dropped, unless the run is taken up again.
pub(super) async fn run(
    plan: &Plan,
    segments: &Segments,
    bounds: Bounds,
    sink: &mut dyn Sink,
    given: &mut Total,
) -> Result<(), ReplayError> {
    let mut reader = Reader::new(plan, segments, bounds);
    let mut pass_over = usize::try_from(given.items).unwrap_or(usize::MAX);
    let mut reach = Reach::new(bounds.images);
    while let Some(Stretch { mut winners, .. }) = reader.next().await? {
        let passed = pass_over.min(winners.len());
        pass_over -= passed;
        winners.drain(..passed);
        while !winners.is_empty() {
            let ahead = winners.get(..reach.items()).unwrap_or(&winners);
            let images = images::of(&reader.plan, &mut reader.objects, ahead, bounds.images).await?;
            reach.learn(&images);
            let items = winners.drain(..images.len()).zip(images).map(|(Winner { key, .. }, (image, digest))| {
                given.add(digest);
                let key_hash = key.hash;
                let (pk, sk) = key.texts();
                Item { key_hash, pk, sk, image, digest }
            });
            hand_over(items, sink).await?;
        }
    }
    Ok(())
}

async fn hand_over(mut items: impl Iterator<Item = Item> + Send, sink: &mut dyn Sink) -> Result<(), ReplayError> {
    loop {
        let some: Vec<Item> = items.by_ref().take(HAND_OVER).collect();
        if some.is_empty() {
            return Ok(());
        }
        sink.put(some).await?;
    }
}

/// Reads the stretches of a plan, one after another.
pub(super) struct Reader {
    plan: Arc<Plan>,
    objects: Objects,
    most_bytes: usize,
    /// Where the next stretch begins; none at the end.
    next: Option<KeyHash>,
    /// For each object, the first row that the stretch before had not passed over.
    begun: Vec<usize>,
}

impl Reader {
    pub(super) fn new(plan: &Plan, segments: &Segments, bounds: Bounds) -> Self {
        let plan = Arc::new(plan.clone());
        let begun = vec![0; plan.changes.len() + plan.base.segments.len()];
        let objects = Objects::new(segments.clone(), bounds.kept);
        Self { plan, objects, most_bytes: bounds.keys, next: Some(KeyHash([0; 16])), begun }
    }

    /// Phase 1 of the next stretch.
    pub(super) async fn next(&mut self) -> Result<Option<Stretch>, ReplayError> {
        let Some(from) = self.next else { return Ok(None) };
        let mut winners = Winners::new(Arc::clone(&self.plan), from, self.most_bytes);
        for (file, meta) in (0_u32..).zip(self.plan.objects()) {
            if !meets(meta, from, winners.until()) {
                continue;
            }
            let begun = self.begun.get_mut(file as usize);
            let row = begun.as_deref().copied().unwrap_or_default();
            let (bytes, owned) = (self.objects.get(file, meta).await?, meta.clone());
            let scanned = unpacked(meta, move || {
                // The first row of this stretch, as far as the keys tell: the next stretch lies behind it.
                let mut passed = row;
                let mut pass = |hash: Option<KeyHash>| passed += usize::from(hash.is_none_or(|hash| hash < from));
                if owned.tier == Tier::Base {
                    select::base_keys(bytes, &owned, row, |key| {
                        pass(Some(key.key_hash));
                        winners.base(file, key)
                    })?;
                } else {
                    select::positions(bytes, &owned, row, false, |change| {
                        pass(change.key_hash);
                        winners.change(file, change)
                    })?;
                }
                Ok::<_, SegmentError>((winners, passed))
            });
            let passed;
            (winners, passed) = scanned.await?;
            begun.into_iter().for_each(|begun| *begun = passed);
        }
        let stretch = winners.decide();
        self.next = stretch.next;
        Ok(Some(stretch))
    }
}

/// Whether a segment may hold keys with hashes in `from..until`.
fn meets(meta: &SegmentMeta, from: KeyHash, until: Option<KeyHash>) -> bool {
    let hash = |text: &Option<String>| Some(KeyHash(hex::decode(text.as_deref()?).ok()?.try_into().ok()?));
    hash(&meta.max_key_hash).is_none_or(|greatest| greatest >= from)
        && hash(&meta.min_key_hash).is_none_or(|least| until.is_none_or(|until| least < until))
}
