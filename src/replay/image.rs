//! Running a plan: winners by key, then the images of the winners, in order of key, into a sink.
//!
//! Memory follows [`Bounds`], not the history. At most
//!
//! > `keys` + `images` + `kept` + `reading` + for each thread (64 rows with their images + one page of each column)
//!
//! are held, beside what the sink holds: every object is put whole into memory to prove its SHA-256, as many at a time as
//! `reading` allows, and of it only the columns and pages that are asked for are unpacked. Later only the pages are fetched
//! that hold images of winners. An object that is larger than `reading` is read alone. Where one key or one image alone is
//! larger than its bound, it is held all the same. The formula counts bytes in use; what the allocator keeps of bytes
//! that were given back comes on top.
//!
//! Reading follows the result: with K bytes of keys (some 120 for each, and twice that while runs merge) and I bytes of images in the result, the
//! objects are read ⌈K / `keys`⌉ times for the winners; of their images each page once or twice. The first objects, up to
//! `kept` bytes, are read once in all.

use std::sync::Arc;

use futures::future::{self, BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use serde::Serialize;

use super::error::ReplayError;
use super::images::{self, Reach};
use super::objects::Objects;
use super::plan::Plan;
use super::sink::{Item, Sink};
use super::steps::Steps;
use super::winners::{Stretch, Winner, Winners};
use crate::change::{KeyHash, Text};
use crate::manifest::{ReadError, Segments, unpacked};
use crate::platform::tasks;
use crate::segment::select;
use crate::segment::{SegmentMeta, Tier};

/// Items handed to the sink at once.
const HAND_OVER: usize = 1000;

/// How much a replay may hold, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Keys, and where their images lie.
    pub(super) keys: usize,
    /// Images.
    pub(super) images: usize,
    /// Objects that are kept to be read again.
    pub(super) kept: usize,
    /// Objects that are being read.
    pub(super) reading: usize,
}

impl Bounds {
    /// What a replay takes when nobody says otherwise.
    pub const DEFAULT: Self = Self::of(384 << 20);

    /// Shares of so many bytes. Keys have the most, as they decide how often the archive is read.
    #[must_use]
    pub const fn of(bytes: usize) -> Self {
        Self { keys: bytes / 2, images: bytes / 4, kept: bytes / 8, reading: bytes / 8 }
    }
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
    (bounds, steps): (Bounds, Steps<'_>),
    sink: &mut dyn Sink,
    given: &mut Total,
) -> Result<(), ReplayError> {
    let mut reader = Reader::new(plan, segments, bounds);
    let mut pass_over = usize::try_from(given.items).unwrap_or(usize::MAX);
    // The sink works on the last images while the next ones are read: each has half of the bytes.
    let (most_bytes, mut ready) = (bounds.images / 2, Vec::new());
    let mut reach = Reach::new(most_bytes);
    loop {
        let handing = hand_over(std::mem::take(&mut ready), sink, given);
        let (stretch, handed) = future::join(reader.next(steps), handing).await;
        handed?;
        let Some(Stretch { from, mut winners, next }) = stretch? else { return Ok(()) };
        let passed = pass_over.min(winners.len());
        pass_over -= passed;
        winners.drain(..passed);
        while !winners.is_empty() {
            let ahead = winners.get(..reach.items()).unwrap_or(&winners);
            let reading = images::of(&reader.plan, &reader.objects, ahead, most_bytes);
            let handing = hand_over(std::mem::take(&mut ready), sink, given);
            let (images, handed) = future::join(reading, handing).await;
            handed?;
            let images = images?;
            reach.learn(&images);
            winners.get(images.len() - 1).into_iter().for_each(|last| steps.given(from, next, last.key.hash));
            ready = winners.drain(..images.len()).zip(images).map(|(winner, image)| item(winner, image)).collect();
        }
    }
}

fn item(Winner { key, digest, .. }: Winner, image: Text) -> Item {
    let key_hash = key.hash;
    let (pk, sk) = key.texts();
    Item { key_hash, pk, sk, image, digest }
}

async fn hand_over(items: Vec<Item>, sink: &mut dyn Sink, given: &mut Total) -> Result<(), ReplayError> {
    let mut items = items.into_iter();
    loop {
        let some: Vec<Item> = items.by_ref().take(HAND_OVER).collect();
        if some.is_empty() {
            return Ok(());
        }
        let digests: Vec<u128> = some.iter().map(|item| item.digest).collect();
        sink.put(some).await?;
        digests.into_iter().for_each(|digest| given.add(digest));
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
        let objects = Objects::new(segments.clone(), bounds);
        Self { plan, objects, most_bytes: bounds.keys, next: Some(KeyHash::LEAST), begun }
    }

    /// Phase 1 of the next stretch.
    pub(super) async fn next(&mut self, steps: Steps<'_>) -> Result<Option<Stretch>, ReplayError> {
        let Some(from) = self.next else { return Ok(None) };
        let winners = Arc::new(Winners::new(Arc::clone(&self.plan), from, self.most_bytes));
        let mut gathering: Vec<BoxFuture<'_, _>> = Vec::with_capacity(self.begun.len());
        for ((file, meta), begun) in (0_u32..).zip(self.plan.objects()).zip(&mut self.begun) {
            gathering.push(gather(&self.objects, Arc::clone(&winners), file, meta, begun).boxed());
        }
        let all = gathering.len() as u64;
        let mut gathered = stream::iter(gathering).buffer_unordered(tasks::width()).zip(stream::iter(1..));
        while let Some((gathered, read)) = gathered.next().await {
            gathered?;
            steps.read(from, winners.until(), (read, all));
        }
        let stretch = tasks::computed(move || winners.decide()).await;
        let damaged = |file: u32, reason: String| {
            let path = self.plan.objects().nth(file as usize).map(|meta| meta.path.clone()).unwrap_or_default();
            ReadError::Damaged { path, reason }
        };
        let stretch = stretch.map_err(|error| damaged(0, error.to_string()))?;
        let stretch = stretch.map_err(|(file, error)| damaged(file, error.to_string()))?;
        self.next = stretch.next;
        Ok(Some(stretch))
    }
}

/// Gathers the rows of one object from row `begun` on, and says where the next stretch begins in it, as far as the
/// keys tell.
async fn gather(
    objects: &Objects,
    winners: Arc<Winners>,
    file: u32,
    meta: &SegmentMeta,
    begun: &mut usize,
) -> Result<(), ReadError> {
    // The stretch may have become shorter since this was called for.
    if !meta.meets_keys(&(winners.from()..=winners.last())) {
        return Ok(());
    }
    let room = objects.room(meta).await;
    let (parts, owned, from) = (objects.whole(file, meta).await?, meta.clone(), *begun);
    let gathered = unpacked(meta, move || {
        let _room = room;
        let mut gatherer = winners.gather(file);
        let mut passed = from;
        let mut pass = |hash: Option<KeyHash>| passed += usize::from(hash.is_none_or(|hash| hash < winners.from()));
        if owned.tier == Tier::Base {
            select::base_keys(&parts, &owned, from, |key| {
                pass(Some(key.key_hash));
                gatherer.base(key)
            })?;
        } else {
            select::positions(&parts, &owned, from, winners.beside(), |change| {
                pass(change.key_hash);
                gatherer.change(change)
            })?;
        }
        gatherer.end()?;
        Ok(passed)
    });
    *begun = gathered.await?;
    Ok(())
}
