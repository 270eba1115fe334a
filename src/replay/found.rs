//! What the rows of a key say of its image, in sorted runs that merge. Positions only, no images.

use crate::change::{ChangeKind, KeyHash, Second, Sequence};
use crate::segment::SegmentError;

/// Where a row lies: the segment's number in the plan, and the row's in the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: u32,
    pub(super) row: u32,
}

impl Place {
    /// A segment has at most 128 MiB, so its rows count in 32 bits.
    pub(super) fn of(file: u32, row: usize) -> Result<Self, SegmentError> {
        let row = u32::try_from(row).map_err(|_| SegmentError::Damaged("it has too many rows".to_owned()))?;
        Ok(Self { file, row })
    }
}

/// What a row is to its key. Of each there is at most one for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Its row of the base.
    Base,
    /// The last change that counts.
    Last,
    /// The first change that does not; only a backward plan asks for it.
    Next,
}

/// Where a change stands among those of its key: epoch, rank of the shard, and the sequence number's 40 digits in 20
/// bytes, as so many of these are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order(u32, u32, [u8; 20]);

impl Order {
    /// Before every change: the place of a base's row.
    pub(super) const LEAST: Self = Self(0, 0, [0; 20]);

    pub(super) fn of(epoch: u32, shard_rank: u32, sequence: &Sequence) -> Self {
        let mut packed = [0; 20];
        for (pair, [tens, ones]) in packed.iter_mut().zip(sequence.digits().as_chunks().0) {
            *pair = tens << 4 | ones & 0xf;
        }
        Self(epoch, shard_rank, packed)
    }
}

/// A row that may decide the image of its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) hash: KeyHash,
    pub(super) part: Part,
    pub(super) kind: ChangeKind,
    pub(super) order: Order,
    pub(super) cut_at: Second,
    pub(super) place: Place,
    /// Of the image that it gives: the new one, or the old one of a `Next`.
    pub(super) digest: Option<[u8; 16]>,
    text: TextAt,
}

/// Where the key's texts stand in the run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TextAt {
    from: u32,
    pk: u16,
    /// [`NO_SORT_KEY`] where there is none.
    sk: u16,
}

/// A sort key has at most 1,024 bytes, and so less in base64.
const NO_SORT_KEY: u16 = u16::MAX;

impl TextAt {
    const NONE: Self = Self { from: 0, pk: 0, sk: NO_SORT_KEY };
}

impl Found {
    /// Without the key's texts: [`Run::push`] adds them.
    pub(super) const fn new(hash: KeyHash, part: Part, kind: ChangeKind, place: Place) -> Self {
        let (order, cut_at, text) = (Order::LEAST, Second(0), TextAt::NONE);
        Self { hash, part, kind, order, cut_at, place, digest: None, text }
    }

    /// Whether it decides rather than `other`, of the same key and part.
    fn beats(&self, other: &Self) -> bool {
        match self.part {
            Part::Base => false,
            Part::Last => self.order > other.order,
            Part::Next => self.order < other.order,
        }
    }
}

/// The texts of a key, as stored.
pub(super) type Texts<'a> = (&'a str, Option<&'a str>);

/// Rows in order of key and part, at most one of each.
#[derive(Debug, Default)]
pub(super) struct Run {
    found: Vec<Found>,
    texts: String,
    /// A base's row is let go where the key has a last change: going forward, that one decides alone.
    last_decides: bool,
}

impl Run {
    pub(super) fn new(last_decides: bool) -> Self {
        Self { last_decides, ..Self::default() }
    }

    pub(super) const fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Bytes that it takes.
    pub(super) const fn bytes(&self) -> usize {
        self.found.capacity() * size_of::<Found>() + self.texts.capacity()
    }

    pub(super) fn first(&self) -> Option<KeyHash> {
        self.found.first().map(|found| found.hash)
    }

    pub(super) fn last(&self) -> Option<KeyHash> {
        self.found.last().map(|found| found.hash)
    }

    /// The number of a segment that it has a row of.
    pub(super) fn a_file(&self) -> u32 {
        self.found.first().map_or(0, |found| found.place.file)
    }

    /// The hash in its middle.
    pub(super) fn middle(&self) -> Option<KeyHash> {
        self.found.get(self.found.len() / 2).map(|found| found.hash)
    }

    /// Lets go what has this hash or a greater one.
    pub(super) fn truncate(&mut self, until: KeyHash) {
        let kept = self.found.partition_point(|found| found.hash < until);
        if kept < self.found.len() {
            self.found.truncate(kept);
            self.texts.truncate(self.found.last().map_or(0, |found| self.end(found)));
            self.shrink();
        }
    }

    /// Gives back what it was given ahead.
    pub(super) fn shrink(&mut self) {
        self.found.shrink_to_fit();
        self.texts.shrink_to_fit();
    }

    fn end(&self, found: &Found) -> usize {
        let (pk, sk) = self.texts(found);
        found.text.from as usize + pk.len() + sk.map_or(0, str::len)
    }

    fn texts(&self, found: &Found) -> Texts<'_> {
        let rest = self.texts.get(found.text.from as usize..).unwrap_or_default();
        let (pk, rest) = rest.split_at_checked(found.text.pk.into()).unwrap_or_default();
        (pk, (found.text.sk != NO_SORT_KEY).then(|| rest.get(..found.text.sk.into()).unwrap_or_default()))
    }

    /// By what a run is sorted. Two keys may have one hash, so the texts tell them apart.
    fn order<'a>(&'a self, found: &Found) -> (KeyHash, Texts<'a>, Part) {
        (found.hash, self.texts(found), found.part)
    }

    /// Adds a row at its place, which is at the end or among the parts of the last key; of two of one part the one that
    /// decides stays.
    ///
    /// # Errors
    /// A key whose texts are longer than any can be.
    pub(super) fn push(&mut self, mut found: Found, (pk, sk): Texts<'_>) -> Result<(), SegmentError> {
        let same_key = |last: &&Found| last.hash == found.hash && self.texts(last) == (pk, sk);
        let last = self.found.last().filter(same_key).copied();
        if let Some(last) = last {
            found.text = last.text;
            self.push_part(found);
            return Ok(());
        }
        let too_long = || SegmentError::Damaged("a key is longer than any can be".to_owned());
        let length = |text: &str| u16::try_from(text.len()).ok().filter(|length| *length != NO_SORT_KEY);
        let sort = sk.map_or(Some(NO_SORT_KEY), length).ok_or_else(too_long)?;
        let from = u32::try_from(self.texts.len()).map_err(|_| too_long())?;
        found.text = TextAt { from, pk: length(pk).ok_or_else(too_long)?, sk: sort };
        self.texts.push_str(pk);
        self.texts.push_str(sk.unwrap_or_default());
        self.found.push(found);
        Ok(())
    }

    /// Adds a row of the last key.
    fn push_part(&mut self, found: Found) {
        let of_key = self.found.iter().rposition(|other| other.text != found.text).map_or(0, |at| at + 1);
        let parts = self.found.get_mut(of_key..).unwrap_or_default();
        match parts.iter_mut().find(|other| other.part == found.part) {
            Some(same) => {
                if found.beats(same) {
                    *same = found;
                }
            }
            None => match parts {
                [base] if self.last_decides && (base.part, found.part) == (Part::Base, Part::Last) => *base = found,
                [last, ..] if self.last_decides && (last.part, found.part) == (Part::Last, Part::Base) => {}
                parts => {
                    let at = of_key + parts.partition_point(|other| other.part < found.part);
                    self.found.insert(at, found);
                }
            },
        }
    }

    /// Both in one.
    pub(super) fn merge(a: &Self, b: &Self) -> Result<Self, SegmentError> {
        let mut merged = Self {
            found: Vec::with_capacity(a.len() + b.len()),
            texts: String::with_capacity(a.texts.len() + b.texts.len()),
            last_decides: a.last_decides,
        };
        let (mut left, mut right) = (a.found.iter().peekable(), b.found.iter().peekable());
        loop {
            let from_left = match (left.peek(), right.peek()) {
                (Some(one), Some(other)) if one.hash == other.hash => a.order(one) <= b.order(other),
                (Some(one), Some(other)) => one.hash < other.hash,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let (run, next) = if from_left { (a, left.next()) } else { (b, right.next()) };
            if let Some(next) = next {
                merged.push(*next, run.texts(next))?;
            }
        }
        merged.shrink();
        Ok(merged)
    }

    /// Each key with its parts, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = (Texts<'_>, &[Found])> {
        let groups = self.found.chunk_by(|a, b| a.text == b.text && a.hash == b.hash);
        groups.filter_map(|parts| Some((self.texts(parts.first()?), parts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(hash: u8, part: Part, n: u32) -> Found {
        let order = Order(n, 0, [0; 20]);
        let place = Place { file: 0, row: n };
        Found { order, ..Found::new(KeyHash([hash; 16]), part, ChangeKind::Modify, place) }
    }

    fn run(rows: &[(u8, &str, Part, u32)]) -> Run {
        let mut run = Run::new(false);
        rows.iter().for_each(|(hash, pk, part, n)| run.push(found(*hash, *part, *n), (pk, None)).unwrap());
        run
    }

    fn rows(run: &Run) -> Vec<(&str, Part, u32)> {
        run.keys()
            .flat_map(|((pk, _), parts)| parts.iter().map(move |found| (pk, found.part, found.place.row)))
            .collect()
    }

    #[test]
    fn of_each_part_the_row_that_decides_stays_and_keys_of_one_hash_stay_two() {
        let a = run(&[(1, "a", Part::Last, 3), (1, "b", Part::Next, 9), (2, "c", Part::Base, 1)]);
        let b =
            run(&[(1, "a", Part::Last, 4), (1, "a", Part::Next, 7), (1, "b", Part::Next, 8), (2, "c", Part::Last, 2)]);
        let expected = [
            ("a", Part::Last, 4),
            ("a", Part::Next, 7),
            ("b", Part::Next, 8),
            ("c", Part::Base, 1),
            ("c", Part::Last, 2),
        ];
        assert_eq!(rows(&Run::merge(&a, &b).unwrap()), expected);
        assert_eq!(rows(&Run::merge(&b, &a).unwrap()), expected);
    }

    #[test]
    fn going_forward_a_base_gives_way_to_a_change() {
        let one = |part| {
            let mut run = Run::new(true);
            run.push(found(1, part, 1), ("a", Some("s"))).unwrap();
            run
        };
        for (a, b) in [(Part::Base, Part::Last), (Part::Last, Part::Base)] {
            assert_eq!(rows(&Run::merge(&one(a), &one(b)).unwrap()), [("a", Part::Last, 1)]);
        }
    }

    #[test]
    fn what_lies_behind_a_hash_is_let_go_with_its_texts() {
        let mut run = run(&[(1, "a", Part::Last, 3), (2, "bb", Part::Last, 4), (3, "ccc", Part::Last, 5)]);
        run.truncate(KeyHash([2; 16]));
        assert_eq!((rows(&run), run.texts.as_str()), (vec![("a", Part::Last, 3)], "a"));
        run.truncate(KeyHash([0; 16]));
        assert!(run.is_empty() && run.texts.is_empty());
    }

    #[test]
    fn sequence_numbers_keep_their_order_in_half_the_bytes() {
        let of = |text: &str| Order::of(1, 0, &Sequence::parse(text).unwrap());
        let ninety = "9".repeat(40);
        let sorted = ["0", "9", "10", "99", "100", "123456789012345678901", &ninety].map(of);
        assert!(sorted.is_sorted_by(|a, b| a < b));
        assert!(of(&ninety) < Order::of(1, 1, &Sequence::parse("0").unwrap()));
    }

    #[test]
    fn a_key_that_cannot_be_is_damage() {
        let long = "x".repeat(70_000);
        assert!(Run::new(false).push(found(1, Part::Last, 1), (&long, None)).is_err());
    }
}
