//! How far a replay is. Keys' hashes are spread evenly, so they tell how much of the table a stretch of them is; half of its
//! work is to find its winners, and half to give their images.

use crate::change::KeyHash;

/// Thousandths of a whole replay.
pub const WHOLE: u64 = 1000;

/// Who is told how many thousandths are done. Where memory makes a stretch shorter than it was thought to be, it is told less
/// than before.
#[derive(Clone, Copy)]
pub struct Steps<'a>(&'a (dyn Fn(u64) + Sync));

impl<'a> Steps<'a> {
    /// Told to nobody.
    pub const SILENT: Steps<'static> = Steps(&|_| {});

    /// Told by a call.
    pub const fn new(tell: &'a (dyn Fn(u64) + Sync)) -> Self {
        Self(tell)
    }

    /// So many of all objects are read for the winners from one hash to another.
    pub(super) fn read(self, from: KeyHash, until: Option<KeyHash>, (objects, all): (u64, u64)) {
        let (begin, end) = (share(from), until.map_or(WHOLE, share));
        (self.0)(begin + (end - begin) * objects / (2 * all.max(1)));
    }

    /// The images of these winners are given up to the one with this hash.
    pub(super) fn given(self, from: KeyHash, until: Option<KeyHash>, last: KeyHash) {
        let (begin, end) = (share(from), until.map_or(WHOLE, share));
        (self.0)(u64::midpoint(begin, end) + (share(last) - begin) / 2);
    }

    pub(super) fn whole(self) {
        (self.0)(WHOLE);
    }
}

/// The share of the hashes below this one.
fn share(KeyHash([first, second, ..]): KeyHash) -> u64 {
    (u64::from(u16::from_be_bytes([first, second])) * WHOLE) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn what_is_told_rises_from_nothing_to_the_whole() {
        let told = Mutex::new(Vec::new());
        let tell = |done| told.lock().unwrap().push(done);
        let steps = Steps::new(&tell);
        let hash = |first: u8| KeyHash([first; 16]);
        let (first, middle) = (KeyHash([0; 16]), hash(128));
        steps.read(first, None, (1, 4));
        steps.read(first, Some(middle), (4, 4));
        steps.given(first, Some(middle), hash(64));
        steps.given(first, Some(middle), hash(127));
        steps.read(middle, None, (2, 4));
        steps.read(middle, None, (4, 4));
        steps.given(middle, None, hash(255));
        steps.whole();
        let told = told.into_inner().unwrap();
        assert_eq!(told, [125, 250, 375, 499, 625, 750, 999, 1000]);
    }
}
