//! DynamoDB JSON lines: `{"Item":{…}}`, the form that `ImportTable` takes. Images are written byte for byte, but for
//! line breaks between their tokens.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::Item;
use super::file::Encoder;

/// Level 1 compresses such lines as well as 3 does, in half the time.
const ZSTD_LEVEL: i32 = 1;

/// Lines, plain or compressed.
pub(super) enum Lines {
    /// As they are.
    Plain(BufWriter<File>),
    /// Through zstd, with a checksum in the frame.
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl Lines {
    pub(super) fn plain(file: File) -> Self {
        Self::Plain(BufWriter::with_capacity(1 << 18, file))
    }

    pub(super) fn zstd(file: File) -> io::Result<Self> {
        let mut encoder = zstd::Encoder::new(BufWriter::with_capacity(1 << 18, file), ZSTD_LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self::Zstd(encoder))
    }
}

impl Encoder for Lines {
    fn put(&mut self, items: &[Item]) -> io::Result<()> {
        let out: &mut dyn Write = match self {
            Self::Plain(out) => out,
            Self::Zstd(out) => out,
        };
        for item in items {
            out.write_all(b"{\"Item\":")?;
            // A raw line break can only stand between two tokens: JSON escapes those within a string.
            for piece in item.image.as_str().as_bytes().split(|byte| matches!(byte, b'\n' | b'\r')) {
                out.write_all(piece)?;
            }
            out.write_all(b"}\n")?;
        }
        Ok(())
    }

    fn end(self: Box<Self>) -> io::Result<()> {
        let mut out = match *self {
            Self::Plain(out) => out,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        out.flush()
    }
}
