//! Phase 2: the images of winners, each checked against its digest.
//!
//! The winners stand in order of key, and so do the rows of every segment: each segment is opened once for a run of
//! winners and gives only the rows that are wanted. When the images of the run do not fit into the bytes allowed
//! for them, the last ones are let go again, and the run ends before them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use futures::future::{self, BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::error::ReplayError;
use super::found::Place;
use super::objects::Objects;
use super::plan::Plan;
use super::winners::{Lies, Winner, lock};
use crate::change::{Text, digest};
use crate::manifest::{ReadError, unpacked};
use crate::platform::tasks;
use crate::segment::parts::{Parts, Wanted, one_by_one};
use crate::segment::{OldImage, Row, SegmentError, SegmentMeta, Tier, select};

/// Winners looked at before it is known how large their images are.
const FIRST_REACH: usize = 1 << 16;
/// What an image costs besides its bytes while it is held.
const IMAGE_BYTES: usize = 128;

/// How many winners a run looks ahead: about as many as have images that fit, judged by those before.
#[derive(Debug)]
pub(super) struct Reach {
    most_bytes: usize,
    items: usize,
}

impl Reach {
    pub(super) const fn new(most_bytes: usize) -> Self {
        Self { most_bytes, items: FIRST_REACH }
    }

    pub(super) const fn items(&self) -> usize {
        self.items
    }

    /// A quarter more than fits is tried: what is let go again costs less than another pass.
    pub(super) fn learn(&mut self, images: &[Text]) {
        let bytes: usize = images.iter().map(cost).sum();
        let mean = (bytes / images.len().max(1)).max(1);
        let fit = self.most_bytes / mean;
        self.items = (fit + fit / 4).max(1);
    }
}

fn cost(image: &Text) -> usize {
    image.len() + IMAGE_BYTES
}

/// Which image of a row is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// The new one, or the only one of a base.
    New,
    /// The old one; where sealing left it out, the new one of the row `before`.
    Old { before: Option<Place> },
}

/// A row that is wanted, for the winner number `winner` of the run.
#[derive(Debug, Clone, Copy)]
struct Want {
    place: Place,
    winner: usize,
    which: Which,
    digest: u128,
}

impl Want {
    const fn of(number: usize, winner: &Winner) -> Self {
        let (place, which) = match winner.lies {
            Lies::New(place) | Lies::Base(place) => (place, Which::New),
            Lies::Old { of, before } => (of, Which::Old { before }),
        };
        Self { place, winner: number, which, digest: winner.digest }
    }
}

/// The images of a run of winners, as far as they were found, and what is still to be looked up.
#[derive(Debug)]
struct Held {
    images: BTreeMap<usize, Text>,
    bytes: usize,
    most_bytes: usize,
    /// Winners from this number on are of the next run.
    until: usize,
    /// Old images that sealing left out.
    left: Vec<Want>,
}

/// The images of the first of `winners`, of at least one, as many as fit into `most_bytes`.
///
/// # Errors
/// What kept a segment from being read; [`ReadError::Damaged`](crate::manifest::ReadError::Damaged) for a row that
/// has not the image which its kind must have, or one that has not its digest.
pub(super) async fn of(
    plan: &Plan,
    objects: &Objects,
    winners: &[Winner],
    most_bytes: usize,
) -> Result<Vec<Text>, ReplayError> {
    let held = Held { images: BTreeMap::new(), bytes: 0, most_bytes, until: winners.len(), left: Vec::new() };
    let held = Arc::new(Mutex::new(held));
    let mut wanted: Vec<Want> = winners.iter().enumerate().map(|(number, winner)| Want::of(number, winner)).collect();
    while !wanted.is_empty() {
        wanted.sort_unstable_by_key(|want| (want.place, want.winner));
        let mut of_files: Vec<BoxFuture<'_, _>> = Vec::new();
        for (file, meta) in (0_u32..).zip(plan.objects()) {
            let begin = wanted.partition_point(|want| want.place.file < file);
            let end = wanted.partition_point(|want| want.place.file <= file);
            let wanted = wanted.get(begin..end).unwrap_or_default();
            if !wanted.is_empty() {
                of_files.push(of_file(objects, Arc::clone(&held), file, meta, wanted).boxed());
            }
        }
        let taken = stream::iter(of_files).buffer_unordered(tasks::width());
        taken.try_for_each(|()| future::ready(Ok(()))).await?;
        wanted = std::mem::take(&mut lock(&held).left);
    }
    let images = std::mem::take(&mut lock(&held).images);
    Ok(images.into_values().collect())
}

/// Takes the images that are wanted of one object.
async fn of_file(
    objects: &Objects,
    held: Arc<Mutex<Held>>,
    file: u32,
    meta: &SegmentMeta,
    wanted: &[Want],
) -> Result<(), ReadError> {
    // The run may have become shorter since this was called for.
    let until = lock(&held).until;
    let wanted: Vec<Want> = wanted.iter().filter(|want| want.winner < until).copied().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let (new, old): (Vec<Want>, Vec<Want>) = wanted.into_iter().partition(|want| want.which == Which::New);
    let image = if meta.tier == Tier::Base { "image" } else { "new_image" };
    let wanted =
        [(Some(image), &new), (None, &old)].map(|(column, wants)| Wanted { column, rows: one_by_one(&rows(wants)) });
    let room = objects.room(meta).await;
    let (parts, owned) = (objects.part(file, meta, wanted.into()).await?, meta.clone());
    unpacked(meta, move || {
        let _room = room;
        take_new(&held, &parts, &owned, &new)?;
        take_old(&held, &parts, &owned, &old)
    })
    .await
}

fn rows(wants: &[Want]) -> Vec<usize> {
    wants.iter().map(|want| want.place.row as usize).collect()
}

/// Takes the new images of the wanted rows of one segment, or those of a base.
fn take_new(held: &Mutex<Held>, parts: &Parts, meta: &SegmentMeta, wanted: &[Want]) -> Result<(), SegmentError> {
    let mut wants = wanted.iter();
    if wanted.is_empty() {
        return Ok(());
    }
    select::images(parts, meta, &rows(wanted), |number, image| match wants.next() {
        Some(want) => put(held, want, number, image.map(Text::from)),
        None => Ok(ControlFlow::Break(())),
    })
}

/// Takes the old ones.
fn take_old(held: &Mutex<Held>, parts: &Parts, meta: &SegmentMeta, wanted: &[Want]) -> Result<(), SegmentError> {
    let mut wants = wanted.iter();
    if wanted.is_empty() {
        return Ok(());
    }
    select::changes(parts, meta, &rows(wanted), |number, row| match wants.next() {
        Some(want) => old_image(held, want, number, &row),
        None => Ok(ControlFlow::Break(())),
    })
}

fn old_image(held: &Mutex<Held>, want: &Want, number: usize, row: &Row) -> Result<ControlFlow<()>, SegmentError> {
    let image = match row.old_image_json()? {
        OldImage::Json(text) => Some(copy(&text)),
        OldImage::NotSent => None,
        OldImage::Previous(_) => {
            let lacks = || SegmentError::Damaged(format!("row {number} leaves out an old image that is nowhere"));
            let Which::Old { before: Some(place) } = want.which else { return Err(lacks()) };
            let mut held = lock(held);
            held.left.push(Want { place, which: Which::New, ..*want });
            return Ok(held.goes_on(want));
        }
    };
    put(held, want, number, image)
}

/// Keeps an image if it has its digest.
fn put(held: &Mutex<Held>, want: &Want, number: usize, image: Option<Text>) -> Result<ControlFlow<()>, SegmentError> {
    let damaged = |what: &str| SegmentError::Damaged(format!("the image of row {number} {what}"));
    let image = image.ok_or_else(|| damaged("is not there, and its kind must have one"))?;
    let found = digest::image(image.as_str()).map_err(|error| damaged(&format!("cannot be read: {error}")))?;
    if found != want.digest {
        return Err(damaged("does not have its digest"));
    }
    let mut held = lock(held);
    held.keep(want.winner, image);
    Ok(held.goes_on(want))
}

/// A decoded text may share the memory of many others: the one that is kept is copied out.
fn copy(text: &Text) -> Text {
    Text::from(text.as_str())
}

impl Held {
    /// Lets the last ones go until the others fit.
    fn keep(&mut self, winner: usize, image: Text) {
        if winner >= self.until {
            return;
        }
        self.bytes += cost(&image);
        self.images.insert(winner, image);
        while self.bytes > self.most_bytes && self.images.len() > 1 {
            let Some((winner, image)) = self.images.pop_last() else { break };
            self.bytes -= cost(&image);
            self.until = self.until.min(winner);
        }
    }

    /// The winners after this one may have left the run.
    const fn goes_on(&self, want: &Want) -> ControlFlow<()> {
        if want.winner < self.until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
