//! The files of a sealed day: a function of the sorted changes, the number of buckets and the limit alone, so that every
//! run of one intent makes the same ones.

use std::collections::VecDeque;

use super::SealError;
use super::split::Split;
use crate::segment::cut::OutputCut;
use crate::segment::{Row, Tier};
use crate::spill::SpillError;

/// One file to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) part: Tier,
    pub(super) bucket: u16,
    /// Its place in its part and bucket.
    pub(super) k: u32,
    pub(super) rows: Vec<Row>,
}

/// Cuts the versions of key after key into files. At most two are held, one of each part; a key's rows are never torn.
pub(super) struct Outputs<R> {
    keys: Split<R>,
    bits: u8,
    heads: Part,
    rest: Part,
    ready: VecDeque<Output>,
    /// Keys so far: those whose key cannot be read count as one.
    pub(super) items: u64,
    /// Old images that were left out so far.
    pub(super) left_out: u64,
}

impl<R: Iterator<Item = Result<Row, SpillError>>> Outputs<R> {
    pub(super) fn new(rows: R, bits: u8, limit: u64) -> Self {
        let part = |tier| Part { tier, limit, size: OutputCut::new(limit), place: None, rows: Vec::new() };
        let (heads, rest) = (part(Tier::Heads), part(Tier::Rest));
        Self { keys: Split::new(rows), bits, heads, rest, ready: VecDeque::new(), items: 0, left_out: 0 }
    }

    /// The next file.
    pub(super) fn next(&mut self) -> Result<Option<Output>, SealError> {
        while self.ready.is_empty() {
            let Some(mut versions) = self.keys.next()? else {
                self.ready.extend(self.heads.end().into_iter().chain(self.rest.end()));
                break;
            };
            self.items += 1;
            self.left_out += versions.left_out;
            let bucket = versions.rows.first().and_then(|row| row.key_hash).map_or(0, |hash| hash.bucket(self.bits));
            let head = versions.rows.pop().into_iter().collect();
            self.ready.extend(self.heads.take(bucket, head));
            self.ready.extend(self.rest.take(bucket, versions.rows));
        }
        Ok(self.ready.pop_front())
    }
}

/// The file of one part that is being filled.
struct Part {
    tier: Tier,
    limit: u64,
    size: OutputCut,
    /// Bucket and place of that file.
    place: Option<(u16, u32)>,
    rows: Vec<Row>,
}

impl Part {
    /// Takes a key's rows; gives the file that ends before them.
    fn take(&mut self, bucket: u16, rows: Vec<Row>) -> Option<Output> {
        if rows.is_empty() {
            return None;
        }
        let weight = rows.iter().map(Row::weight).sum();
        let next = match self.place {
            Some((last, k)) if last == bucket => self.size.begins_file(weight).then_some((bucket, k + 1)),
            _ => {
                self.size = OutputCut::new(self.limit);
                self.size.begins_file(weight);
                Some((bucket, 0))
            }
        };
        let ended = next.and_then(|_| self.end());
        self.place = next.or(self.place);
        self.rows.extend(rows);
        ended
    }

    fn end(&mut self) -> Option<Output> {
        let rows = std::mem::take(&mut self.rows);
        let (bucket, k) = self.place.filter(|_| !rows.is_empty())?;
        Some(Output { part: self.tier, bucket, k, rows })
    }
}
