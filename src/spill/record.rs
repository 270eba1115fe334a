//! Rows as they lie in a temporary file: field after field, nothing between them.

use std::io::{self, ErrorKind, Read};

use xxhash_rust::xxh3::Xxh3Default;

use super::altered;
use crate::change::{ChangeKind, KeyHash, Micros, Second, Sequence, ShardId, Text};
use crate::segment::{BaseRow, Row};

/// Stands for the length of what is not there.
const NONE: u32 = u32::MAX;

/// A row that can wait in a temporary file.
pub trait Record: Sized + Send + 'static {
    /// What rows are sorted by.
    fn order(&self) -> impl Ord + '_;

    /// About how many bytes its texts have.
    fn weight(&self) -> u64;

    /// Appends its bytes.
    ///
    /// # Errors
    /// A text of 4 GiB.
    fn put(&self, to: &mut Vec<u8>) -> io::Result<()>;

    /// Reads it back.
    ///
    /// # Errors
    /// What the file says, and bytes that are none of a row.
    fn get(from: &mut Back<impl Read>) -> io::Result<Self>;
}

impl Record for BaseRow {
    fn order(&self) -> impl Ord + '_ {
        Self::order(self)
    }

    fn weight(&self) -> u64 {
        Self::weight(self)
    }

    fn put(&self, to: &mut Vec<u8>) -> io::Result<()> {
        to.extend(self.key_hash.0);
        to.extend(self.image_digest.to_be_bytes());
        [Some(&self.pk), self.sk.as_ref(), Some(&self.image)].into_iter().try_for_each(|text| put_text(text, to))
    }

    fn get(from: &mut Back<impl Read>) -> io::Result<Self> {
        Ok(Self {
            key_hash: KeyHash(from.fixed()?),
            image_digest: u128::from_be_bytes(from.fixed()?),
            pk: from.needed()?,
            sk: from.text()?,
            image: from.needed()?,
        })
    }
}

impl Record for Row {
    fn order(&self) -> impl Ord + '_ {
        Self::order(self)
    }

    fn weight(&self) -> u64 {
        Self::weight(self)
    }

    fn put(&self, to: &mut Vec<u8>) -> io::Result<()> {
        put_fixed(self.key_hash.map(|hash| hash.0), to);
        put_fixed(self.new_digest.map(u128::to_be_bytes), to);
        put_fixed(self.old_digest.map(u128::to_be_bytes), to);
        put_fixed(self.size_bytes.map(i64::to_be_bytes), to);
        to.extend(self.changed_at.0.to_be_bytes());
        to.extend(self.cut_at.0.to_be_bytes());
        to.extend(self.epoch.to_be_bytes());
        to.extend(self.shard_rank.to_be_bytes());
        for word in [self.kind.word(), self.sequence.padded(), self.shard_id.as_str()] {
            put_bytes(Some(word.as_bytes()), to)?;
        }
        let texts = [&self.pk, &self.sk, &self.event_id, &self.actor, &self.new_image, &self.old_image];
        texts.into_iter().chain([&self.old_delta]).try_for_each(|text| put_text(text.as_ref(), to))
    }

    fn get(from: &mut Back<impl Read>) -> io::Result<Self> {
        let key_hash = from.maybe()?.map(KeyHash);
        let (new_digest, old_digest) = (from.maybe()?.map(u128::from_be_bytes), from.maybe()?.map(u128::from_be_bytes));
        let size_bytes = from.maybe()?.map(i64::from_be_bytes);
        let changed_at = Micros(i64::from_be_bytes(from.fixed()?));
        let cut_at = Second(i64::from_be_bytes(from.fixed()?));
        let (epoch, shard_rank) = (u32::from_be_bytes(from.fixed()?), u32::from_be_bytes(from.fixed()?));
        let kind = ChangeKind::from_word(from.needed()?.as_str()).ok_or_else(altered)?;
        let sequence = Sequence::parse(from.needed()?.as_str()).map_err(|_| altered())?;
        let shard_id = ShardId::new(from.needed()?.as_str());
        Ok(Self {
            key_hash,
            kind,
            changed_at,
            cut_at,
            epoch,
            shard_rank,
            sequence,
            shard_id,
            size_bytes,
            new_digest,
            old_digest,
            pk: from.text()?,
            sk: from.text()?,
            event_id: from.text()?,
            actor: from.text()?,
            new_image: from.text()?,
            old_image: from.text()?,
            old_delta: from.text()?,
        })
    }
}

fn put_text(text: Option<&Text>, to: &mut Vec<u8>) -> io::Result<()> {
    put_bytes(text.map(|text| text.as_str().as_bytes()), to)
}

fn put_bytes(bytes: Option<&[u8]>, to: &mut Vec<u8>) -> io::Result<()> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).ok().filter(|length| *length != NONE);
    let length = bytes.map_or(Some(NONE), length).ok_or_else(|| io::Error::from(ErrorKind::FileTooLarge))?;
    to.extend(length.to_be_bytes());
    to.extend(bytes.unwrap_or_default());
    Ok(())
}

fn put_fixed<const N: usize>(bytes: Option<[u8; N]>, to: &mut Vec<u8>) {
    to.push(u8::from(bytes.is_some()));
    to.extend(bytes.into_iter().flatten());
}

/// A file on its way back; hashes what it gives.
pub struct Back<F> {
    from: F,
    hash: Xxh3Default,
}

impl<F: Read> Back<F> {
    pub(super) fn new(from: F) -> Self {
        Self { from, hash: Xxh3Default::new() }
    }

    /// Of all bytes so far.
    pub(super) fn digest(&self) -> u64 {
        self.hash.digest()
    }

    fn fixed<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn maybe<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let [there] = self.fixed()?;
        if there == 0 { Ok(None) } else { self.fixed().map(Some) }
    }

    /// Takes memory for what is there, not for what an altered length says.
    fn text(&mut self) -> io::Result<Option<Text>> {
        let length = u32::from_be_bytes(self.fixed()?);
        if length == NONE {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let read = (&mut self.from).take(u64::from(length)).read_to_end(&mut bytes)?;
        if read as u64 != u64::from(length) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.shrink_to_fit();
        self.hash.update(&bytes);
        String::from_utf8(bytes).map(|text| Some(Text::from(text))).map_err(|_| altered())
    }

    fn needed(&mut self) -> io::Result<Text> {
        self.text()?.ok_or_else(altered)
    }
}
