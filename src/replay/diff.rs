//! Two images of a table, walked side by side: neither is held.

use std::cmp::Ordering;

use async_trait::async_trait;
use futures::future;
use serde::Serialize;
use tokio::sync::mpsc;

use super::error::ReplayError;
use super::image::Bounds;
use super::plan::Plan;
use super::run;
use super::sink::{Item, Sink, SinkError};
use super::steps::Steps;
use crate::change::{KeyHash, Text};
use crate::manifest::{Log, Manifest, Segments};

/// Handings-over that may wait for the other side.
const WAITING: usize = 4;

/// One item that is not the same in both images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The partition key's text.
    pub pk: Text,
    /// The sort key's text.
    pub sk: Option<Text>,
    /// Its image before; none where it was not there.
    pub before: Option<Text>,
    /// Its image after.
    pub after: Option<Text>,
}

/// How many items differ, and how many do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Only in the later image.
    pub added: u64,
    /// Only in the earlier one.
    pub removed: u64,
    /// In both, with other values.
    pub changed: u64,
    /// The same in both. Values that are equal and spelled differently are the same.
    pub same: u64,
}

impl Differences {
    /// Counts an item in; false where it is the same on both sides.
    pub fn count(&mut self, difference: &Difference, same: bool) -> bool {
        let count = match (&difference.before, &difference.after) {
            _ if same => &mut self.same,
            (Some(_), Some(_)) => &mut self.changed,
            (Some(_), None) => &mut self.removed,
            (None, _) => &mut self.added,
        };
        *count += 1;
        !same
    }
}

/// Sends `to` the items that differ between the images of two plans, in order of key. Each of the two replays stays
/// within `bounds`. What was sent before an error is true of the items that it names, and says nothing of others.
///
/// # Errors
/// [`ReplayError`] of either.
pub async fn diff(
    log: &Log,
    manifest: &Manifest,
    segments: &Segments,
    (before, after): (Plan, Plan),
    bounds: Bounds,
    to: mpsc::Sender<Difference>,
) -> Result<Differences, ReplayError> {
    let (mut first, mut second) = (manifest.clone(), manifest.clone());
    let ((give_first, first_side), (give_second, second_side)) = (side(), side());
    let runs = future::join(
        given(log, &mut first, segments, before, bounds, give_first),
        given(log, &mut second, segments, after, bounds, give_second),
    );
    let walked = walk(first_side, second_side, to);
    match future::join(runs, walked).await {
        // One that is cut off says only that the other failed.
        ((Err(ReplayError::Sink(_)), Err(error)) | (Err(error), _) | (_, Err(error)), _) => Err(error),
        (_, walked) => walked.ok_or_else(|| ReplayError::Sink(cut_off())),
    }
}

/// One replay, whose side is let go as soon as it ends, so that the walk does not wait for one that failed.
async fn given(
    log: &Log,
    manifest: &mut Manifest,
    segments: &Segments,
    plan: Plan,
    bounds: Bounds,
    mut giving: Giving,
) -> Result<(), ReplayError> {
    run(log, manifest, segments, plan, (bounds, Steps::SILENT), &mut giving).await.map(|_| ())
}

fn cut_off() -> SinkError {
    SinkError::Failed { place: "the comparison".to_owned(), reason: "it ended before its images".to_owned() }
}

/// What one image hands over; none at its end, so that one that fails is not taken for one that ends.
type Batch = Option<Vec<Item>>;

fn side() -> (Giving, Side) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Giving(Some(sender)), Side { receiver, items: Vec::new().into_iter(), next: None, ended: false })
}

/// The sink of one image.
struct Giving(Option<mpsc::Sender<Batch>>);

#[async_trait]
impl Sink for Giving {
    async fn put(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        let sender = self.0.as_ref().ok_or_else(cut_off)?;
        sender.send(Some(items)).await.map_err(|_| cut_off())
    }

    async fn finish(&mut self) -> Result<(), SinkError> {
        let sender = self.0.take().ok_or_else(cut_off)?;
        sender.send(None).await.map_err(|_| cut_off())
    }
}

/// One image as it comes.
struct Side {
    receiver: mpsc::Receiver<Batch>,
    items: std::vec::IntoIter<Item>,
    next: Option<Item>,
    ended: bool,
}

impl Side {
    /// Makes its next item known; false where it ended without saying so.
    async fn fill(&mut self) -> bool {
        while self.next.is_none() && !self.ended {
            self.next = self.items.next();
            if self.next.is_none() {
                match self.receiver.recv().await {
                    Some(Some(items)) => self.items = items.into_iter(),
                    Some(None) => self.ended = true,
                    None => return false,
                }
            }
        }
        true
    }
}

fn order(item: &Item) -> (KeyHash, &Text, &Option<Text>) {
    (item.key_hash, &item.pk, &item.sk)
}

/// None where a side was cut off, or nobody wants to know any more.
async fn walk(mut first: Side, mut second: Side, to: mpsc::Sender<Difference>) -> Option<Differences> {
    let mut counts = Differences::default();
    loop {
        if !(first.fill().await && second.fill().await) {
            return None;
        }
        let order = match (&first.next, &second.next) {
            (None, None) => return Some(counts),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => order(before).cmp(&order(after)),
        };
        let before = if order.is_le() { first.next.take() } else { None };
        let after = if order.is_ge() { second.next.take() } else { None };
        let same = before.as_ref().map(|item| item.digest) == after.as_ref().map(|item| item.digest);
        let key = before.as_ref().or(after.as_ref())?;
        let (pk, sk) = (key.pk.clone(), key.sk.clone());
        let image = |item: Option<Item>| item.map(|item| item.image);
        let difference = Difference { pk, sk, before: image(before), after: image(after) };
        if counts.count(&difference, same) {
            to.send(difference).await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::tasks;

    fn item(key: u8, value: u8) -> Item {
        Item {
            key_hash: KeyHash([key; 16]),
            pk: Text::from(key.to_string()),
            sk: None,
            image: Text::from(value.to_string()),
            digest: u128::from(value),
        }
    }

    async fn walked(
        sides: [(&[(u8, u8)], bool); 2],
    ) -> (Option<Differences>, Vec<(String, Option<String>, Option<String>)>) {
        let mut made = sides.map(|(items, whole)| {
            let items: Vec<Item> = items.iter().map(|(key, value)| item(*key, *value)).collect();
            let (mut giving, side) = side();
            tasks::spawn(async move {
                for item in items {
                    giving.put(vec![item]).await.unwrap();
                }
                if whole {
                    giving.finish().await.unwrap();
                }
            });
            Some(side)
        });
        let (send, mut receive) = mpsc::channel(WAITING);
        let walking = walk(made[0].take().unwrap(), made[1].take().unwrap(), send);
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.as_str().to_owned());
        let found = async {
            let mut found = Vec::new();
            while let Some(Difference { pk, before, after, .. }) = receive.recv().await {
                found.push((pk.as_str().to_owned(), text(&before), text(&after)));
            }
            found
        };
        future::join(walking, found).await
    }

    #[tokio::test]
    async fn what_differs_is_told_in_order_of_key() {
        let (counts, found) = walked([(&[(1, 1), (2, 1), (4, 1)], true), (&[(2, 1), (3, 7), (4, 2)], true)]).await;
        assert_eq!(counts, Some(Differences { added: 1, removed: 1, changed: 1, same: 1 }));
        let own = |key: &str, before: Option<&str>, after: Option<&str>| {
            (key.to_owned(), before.map(str::to_owned), after.map(str::to_owned))
        };
        assert_eq!(found, [own("1", Some("1"), None), own("3", None, Some("7")), own("4", Some("1"), Some("2"))]);
    }

    #[tokio::test]
    async fn a_side_that_is_cut_off_is_not_taken_for_one_that_ends() {
        let (counts, found) = walked([(&[(1, 1)], false), (&[(1, 1), (2, 1)], true)]).await;
        assert_eq!((counts, found.len()), (None, 0));
    }
}
