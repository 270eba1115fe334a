//! Phase 2: the images of winners, each checked against its digest.
//!
//! The winners stand in order of key, and so do the rows of every segment: each segment is opened once for a run of
//! winners and gives only the rows that are wanted. When the images of the run do not fit into the bytes allowed
//! for them, the last ones are let go again, and the run ends before them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::error::ReplayError;
use super::objects::Objects;
use super::plan::Plan;
use super::winners::{Lies, Place, Winner};
use crate::change::{Text, digest};
use crate::manifest::unpacked;
use crate::segment::{OldImage, Row, SegmentError, SegmentMeta, Tier, select};

/// An image and its digest.
pub(super) type Image = (Text, u128);

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
    pub(super) fn learn(&mut self, images: &[Image]) {
        let bytes: usize = images.iter().map(cost).sum();
        let mean = (bytes / images.len().max(1)).max(1);
        let fit = self.most_bytes / mean;
        self.items = (fit + fit / 4).max(1);
    }
}

fn cost(image: &Image) -> usize {
    image.0.len() + IMAGE_BYTES
}

/// Which image of a row is wanted.
#[derive(Debug, Clone, Copy)]
enum Which {
    New,
    /// The old one; where sealing left it out, the new one of the row `before`.
    Old {
        before: Option<Place>,
    },
    /// The new one, which must have this digest.
    Left(u128),
    Base,
}

/// A row that is wanted, for the winner number `winner` of the run.
#[derive(Debug, Clone, Copy)]
struct Want {
    place: Place,
    winner: usize,
    which: Which,
}

impl Want {
    const fn of(winner: usize, lies: Lies) -> Self {
        let (place, which) = match lies {
            Lies::New(place) => (place, Which::New),
            Lies::Old { of, before } => (of, Which::Old { before }),
            Lies::Base(place) => (place, Which::Base),
        };
        Self { place, winner, which }
    }
}

/// The images of a run of winners, as far as they were found, and what is still to be looked up.
#[derive(Debug)]
struct Held {
    images: BTreeMap<usize, Image>,
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
    objects: &mut Objects,
    winners: &[Winner],
    most_bytes: usize,
) -> Result<Vec<Image>, ReplayError> {
    let mut held = Held { images: BTreeMap::new(), bytes: 0, most_bytes, until: winners.len(), left: Vec::new() };
    let mut wanted: Vec<Want> = winners.iter().enumerate().map(|(at, winner)| Want::of(at, winner.lies)).collect();
    while !wanted.is_empty() {
        wanted.sort_unstable_by_key(|want| (want.place, want.winner));
        for (file, meta) in (0_u32..).zip(plan.objects()) {
            let begin = wanted.partition_point(|want| want.place.file < file);
            let end = wanted.partition_point(|want| want.place.file <= file);
            let until = held.until;
            let of_file = wanted.get(begin..end).unwrap_or_default().iter().copied();
            let of_file: Vec<Want> = of_file.filter(|want| want.winner < until).collect();
            if of_file.is_empty() {
                continue;
            }
            let (bytes, owned) = (objects.get(file, meta).await?, meta.clone());
            held = unpacked(meta, move || held.take(bytes, &owned, &of_file)).await?;
        }
        wanted = std::mem::take(&mut held.left);
    }
    Ok(held.images.into_values().collect())
}

/// A decoded text may share the memory of many others: the one that is kept is copied out.
fn copy(text: &Text) -> Text {
    Text::from(text.as_str())
}

impl Held {
    /// Takes the wanted rows of one segment.
    fn take(mut self, bytes: Bytes, meta: &SegmentMeta, wanted: &[Want]) -> Result<Self, SegmentError> {
        let rows: Vec<usize> = wanted.iter().map(|want| want.place.row as usize).collect();
        let mut wants = wanted.iter();
        if meta.tier == Tier::Base {
            select::base(bytes, meta, &rows, |number, row| match wants.next() {
                Some(want) => self.put(want, number, Some((copy(&row.image), row.image_digest))),
                None => Ok(ControlFlow::Break(())),
            })?;
        } else {
            select::changes(bytes, meta, &rows, |number, row| match wants.next() {
                Some(want) => self.change(want, number, &row),
                None => Ok(ControlFlow::Break(())),
            })?;
        }
        Ok(self)
    }

    fn change(&mut self, want: &Want, number: usize, row: &Row) -> Result<ControlFlow<()>, SegmentError> {
        let image = match want.which {
            Which::Old { before } => match row.old_image_json()? {
                OldImage::Json(text) => row.old_digest.map(|digest| (copy(&text), digest)),
                OldImage::NotSent => None,
                OldImage::Previous(digest) => {
                    let lacks =
                        || SegmentError::Damaged(format!("row {number} leaves out an old image that is nowhere"));
                    let place = before.ok_or_else(lacks)?;
                    self.left.push(Want { place, winner: want.winner, which: Which::Left(digest) });
                    return Ok(self.goes_on(want));
                }
            },
            Which::Left(expected) if row.new_digest != Some(expected) => {
                let what = "the next row of this key leaves its old image out, which is another than the new image of";
                return Err(SegmentError::Damaged(format!("{what} row {number}")));
            }
            Which::New | Which::Left(_) | Which::Base => row.new_image.as_ref().map(copy).zip(row.new_digest),
        };
        self.put(want, number, image)
    }

    /// Keeps an image if it has its digest; lets the last ones go until the others fit.
    fn put(&mut self, want: &Want, number: usize, image: Option<Image>) -> Result<ControlFlow<()>, SegmentError> {
        let damaged = |what: &str| SegmentError::Damaged(format!("the image of row {number} {what}"));
        let (text, stored) = image.ok_or_else(|| damaged("is not there, and its kind must have one"))?;
        let found = digest::image(text.as_str()).map_err(|error| damaged(&format!("cannot be read: {error}")))?;
        if found != stored {
            return Err(damaged("does not have its digest"));
        }
        let image = (text, stored);
        self.bytes += cost(&image);
        self.images.insert(want.winner, image);
        while self.bytes > self.most_bytes && self.images.len() > 1 {
            let Some((winner, image)) = self.images.pop_last() else { break };
            self.bytes -= cost(&image);
            self.until = self.until.min(winner);
        }
        Ok(self.goes_on(want))
    }

    /// The winners after this one may have left the run.
    const fn goes_on(&self, want: &Want) -> ControlFlow<()> {
        if want.winner < self.until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
