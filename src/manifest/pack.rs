//! Packs: the exact bytes of 10,000 entries in one object, so that a long log is read with few requests.
//!
//! `pack/<first, 10 digits>-<last>.zst` is zstd over, for each entry in order, its length (u32, big-endian) and
//! its bytes; then a skippable frame of zstd with the SHA-256 of all bytes before that frame: bytes of a zstd frame
//! can change without changing what it holds, and no entry names a pack.
//! A pack proves nothing: its entries count only where they chain, up to one whose slot was read.

use sha2::{Digest, Sha256};

use bytes::Bytes;

use super::log::Slot;

/// Entries in a pack.
pub(super) const ENTRIES: u64 = 10_000;
/// Packs are written once and read rarely.
const LEVEL: i32 = 9;
/// How the last frame begins: the magic number of a frame that readers skip, and the length of a hash.
const SKIPPED: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];

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
    let mut stored = zstd::encode_all(framed.as_slice(), LEVEL).ok()?;
    let hash = Sha256::digest(&stored);
    stored.extend_from_slice(&SKIPPED);
    stored.extend_from_slice(&hash);
    Some(stored)
}

/// The zstd frame of a pack whose hash holds.
fn whole(stored: &[u8]) -> Option<&[u8]> {
    let (before, hash) = stored.split_last_chunk::<32>()?;
    let frame = before.strip_suffix(SKIPPED.as_slice())?;
    (Sha256::digest(frame).as_slice() == hash).then_some(frame)
}

/// The entries of a pack that begins at `first`; none unless all are there and each names the hash of the one before.
pub(super) fn decode(first: u64, before: Option<&str>, stored: &[u8]) -> Option<Vec<Slot>> {
    let framed = Bytes::from(zstd::decode_all(whole(stored)?).ok()?);
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
