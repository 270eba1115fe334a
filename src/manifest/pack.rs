//! Packs: the exact bytes of 10,000 entries in one object, so that a long log is read with few requests.
//!
//! `pack/<first, 10 digits>-<last>.zst` is zstd over, for each entry in order, its length (u32, big-endian) and
//! its bytes. A pack proves nothing: its entries count only where they chain, up to one whose slot was read.

use bytes::Bytes;

use super::log::Slot;

/// Entries in a pack.
pub(super) const ENTRIES: u64 = 10_000;
/// Packs are written once and read rarely.
const LEVEL: i32 = 9;

/// The pack's path in the table's folder, for a pack that begins at entry `first`.
#[must_use]
pub(super) fn path(first: u64) -> String {
    format!("pack/{first:010}-{:010}.zst", first + ENTRIES - 1)
}

/// The first entry of the pack at `path` in the table's folder; none for a path that is no pack's.
#[must_use]
pub(super) fn first_of(path: &str) -> Option<u64> {
    let first = path.strip_prefix("pack/")?.get(..10)?.parse().ok()?;
    (self::path(first) == path).then_some(first)
}

/// The stored bytes; none if an entry is too long to be one.
pub(super) fn encode(entries: &[Bytes]) -> Option<Vec<u8>> {
    let mut framed = Vec::new();
    for entry in entries {
        framed.extend_from_slice(&u32::try_from(entry.len()).ok()?.to_be_bytes());
        framed.extend_from_slice(entry);
    }
    zstd::encode_all(framed.as_slice(), LEVEL).ok()
}

/// The entries of a pack that begins at `first`; none unless all are there and each names the hash of the one before.
pub(super) fn decode(first: u64, before: Option<&str>, stored: &[u8]) -> Option<Vec<Slot>> {
    let framed = Bytes::from(zstd::decode_all(stored).ok()?);
    let mut slots: Vec<Slot> = Vec::new();
    let mut at = 0;
    while at < framed.len() {
        let length = framed.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)?;
        let end = at + 4 + usize::try_from(length).ok()?;
        let bytes = (end <= framed.len()).then(|| framed.slice(at + 4..end))?;
        let slot = Slot::new(first + slots.len() as u64, bytes, None);
        let before = slots.last().map(|slot| slot.stored.sha256.as_str()).or(before);
        // Bytes that are no entry can stand in a slot; the next entry's hash binds them.
        if slot.entry.as_ref().is_ok_and(|entry| entry.prev_sha256.as_deref() != before) {
            return None;
        }
        slots.push(slot);
        at = end;
    }
    (slots.len() as u64 == ENTRIES).then_some(slots)
}
