//! Rows in order, however many there are: sorted runs in temporary files, merged as they are read back.
//!
//! Held in memory are the rows of one run while rows come in ([`Spill`]), and of every run one row and one buffer
//! while they go out ([`Sorted`]). 64 runs of one size are merged into one of the next, so that the number of
//! open files grows with the logarithm of the table. While the files stand they take about the table's size on the disk; a
//! merge takes room for its output besides.
//!
//! The files have no names: they are gone with the process, however it ends.

mod record;

pub use record::Record;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use record::Back;

/// Runs that are merged into one.
const FAN: usize = 64;
/// The buffer between a run and its file.
const BUFFER: usize = 64 << 10;
/// What a row takes in memory besides what its weight counts: its struct, and what lies around its texts.
const ROW_OVERHEAD: u64 = 192;

/// A temporary file could not be written or read back.
#[derive(Debug, thiserror::Error)]
#[error("a temporary file in {} failed: {error}", folder.display())]
pub struct SpillError {
    /// Where temporary files go.
    pub folder: PathBuf,
    /// What the system says.
    pub error: io::Error,
}

/// Gathers rows in any order.
#[derive(Debug)]
pub struct Spill<R> {
    folder: PathBuf,
    /// Rows are written out once they take so many bytes in memory.
    most: u64,
    held: u64,
    rows: Vec<R>,
    /// Runs by how often their rows were merged.
    levels: Vec<Vec<Run>>,
    /// Runs of gathered rows so far.
    pub runs: u64,
}

impl<R: Record> Spill<R> {
    /// Nothing yet; of `most` bytes of rows in memory a run is made in `folder`.
    #[must_use]
    pub fn new(folder: &Path, most: u64) -> Self {
        Self { folder: folder.to_path_buf(), most, held: 0, rows: Vec::new(), levels: Vec::new(), runs: 0 }
    }

    /// Takes the rows of a page. They are written out together, so that none keeps the page's bytes alive.
    ///
    /// # Errors
    /// [`SpillError`].
    pub fn add(&mut self, rows: Vec<R>) -> Result<(), SpillError> {
        self.held += rows.iter().map(|row| row.weight() + ROW_OVERHEAD).sum::<u64>();
        self.rows.extend(rows);
        if self.held >= self.most { self.write() } else { Ok(()) }
    }

    /// All rows, in order. Those of a table that fits into one run never touch the disk.
    ///
    /// # Errors
    /// [`SpillError`].
    pub fn sorted(mut self) -> Result<Sorted<R>, SpillError> {
        if self.levels.is_empty() {
            self.rows.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
            return Ok(Sorted::Held(self.rows.into_iter()));
        }
        self.write()?;
        self.rows = Vec::new();
        let runs = std::mem::take(&mut self.levels).into_iter().flatten();
        Ok(Sorted::Merged(Merge::of(runs, &self.folder)?))
    }

    fn write(&mut self) -> Result<(), SpillError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.rows.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        let run = Run::write(self.rows.drain(..).map(Ok), &self.folder)?;
        (self.held, self.runs) = (0, self.runs + 1);
        self.keep(0, run)
    }

    fn keep(&mut self, level: usize, run: Run) -> Result<(), SpillError> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(run);
        if self.levels[level].len() < FAN {
            return Ok(());
        }
        let runs = std::mem::take(&mut self.levels[level]);
        let merged = Run::write(Merge::<R>::of(runs.into_iter(), &self.folder)?, &self.folder)?;
        self.keep(level + 1, merged)
    }
}

/// All rows, in order.
pub enum Sorted<R> {
    /// All of them are in memory.
    Held(std::vec::IntoIter<R>),
    /// They lie in temporary files.
    Merged(Merge<R>),
}

impl<R: Record> Iterator for Sorted<R> {
    type Item = Result<R, SpillError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Held(rows) => rows.next().map(Ok),
            Self::Merged(merge) => merge.next(),
        }
    }
}

/// Sorted rows in a file.
#[derive(Debug)]
struct Run {
    file: File,
    rows: u64,
    /// Of all bytes: a disk that gives back others must not alter a snapshot.
    hash: u64,
}

impl Run {
    fn write<R: Record>(rows: impl Iterator<Item = Result<R, SpillError>>, folder: &Path) -> Result<Self, SpillError> {
        let failed = |error| SpillError { folder: folder.to_path_buf(), error };
        let mut file = tempfile::tempfile_in(folder).map_err(failed)?;
        let (count, hash) = write(rows, &mut file, folder)?;
        file.rewind().map_err(failed)?;
        Ok(Self { file, rows: count, hash })
    }
}

/// Writes rows; gives their number and the hash of their bytes.
fn write<R: Record>(
    rows: impl Iterator<Item = Result<R, SpillError>>,
    to: &mut impl Write,
    folder: &Path,
) -> Result<(u64, u64), SpillError> {
    let failed = |error| SpillError { folder: folder.to_path_buf(), error };
    let mut to = BufWriter::with_capacity(BUFFER, to);
    let (mut count, mut hash, mut bytes) = (0, Xxh3Default::new(), Vec::new());
    for row in rows {
        bytes.clear();
        row?.put(&mut bytes).map_err(failed)?;
        hash.update(&bytes);
        to.write_all(&bytes).map_err(failed)?;
        count += 1;
    }
    to.flush().map_err(failed)?;
    Ok((count, hash.digest()))
}

/// A run on its way back.
struct Reader {
    from: Back<BufReader<File>>,
    left: u64,
    expected: u64,
}

impl Reader {
    fn new(run: Run) -> Self {
        let from = Back::new(BufReader::with_capacity(BUFFER, run.file));
        Self { from, left: run.rows, expected: run.hash }
    }

    fn next<R: Record>(&mut self) -> io::Result<Option<R>> {
        let Some(left) = self.left.checked_sub(1) else {
            let same = self.from.digest() == self.expected;
            return if same { Ok(None) } else { Err(altered()) };
        };
        self.left = left;
        R::get(&mut self.from).map(Some)
    }
}

fn altered() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "its disk gave back other bytes than were written")
}

/// Several runs as one.
pub struct Merge<R> {
    folder: PathBuf,
    runs: Vec<Reader>,
    /// The first row of every run that has one left.
    heads: BinaryHeap<Reverse<Head<R>>>,
}

impl<R: Record> Merge<R> {
    fn of(runs: impl Iterator<Item = Run>, folder: &Path) -> Result<Self, SpillError> {
        let runs = runs.map(Reader::new).collect();
        let mut merge = Self { folder: folder.to_path_buf(), runs, heads: BinaryHeap::new() };
        for run in 0..merge.runs.len() {
            merge.refill(run)?;
        }
        Ok(merge)
    }

    fn refill(&mut self, run: usize) -> Result<(), SpillError> {
        match self.runs[run].next() {
            Ok(row) => self.heads.extend(row.map(|row| Reverse(Head { row, run }))),
            Err(error) => return Err(SpillError { folder: self.folder.clone(), error }),
        }
        Ok(())
    }
}

impl<R: Record> Iterator for Merge<R> {
    type Item = Result<R, SpillError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse(Head { row, run }) = self.heads.pop()?;
        Some(self.refill(run).map(|()| row))
    }
}

/// The next row of a run; a heap's order is the rows'.
struct Head<R> {
    row: R,
    run: usize,
}

impl<R: Record> Ord for Head<R> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.row.order().cmp(&other.row.order())
    }
}

impl<R: Record> PartialOrd for Head<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R: Record> PartialEq for Head<R> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<R: Record> Eq for Head<R> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{ItemKey, KeyType, KeyValue, Text};
    use crate::segment::BaseRow;

    /// Keys with a sort key, without one, and with an empty text.
    fn row(n: u32) -> BaseRow {
        let value = |kind, text: String| KeyValue { kind, text: Text::from(text) };
        let pk = value(KeyType::S, format!("p\u{e9}{}", n / 3));
        let sk = (!n.is_multiple_of(3)).then(|| value(KeyType::S, if n % 3 == 1 { String::new() } else { "x".into() }));
        let pad = "y".repeat(n as usize % 40);
        BaseRow::new(ItemKey { pk, sk }, Text::from(format!("{{\"a\" : {{\"S\":\"{n}{pad}\"}}}}"))).unwrap()
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    /// All rows through a spill that takes `page` rows at a time and holds at most `most` bytes.
    fn through(rows: &[BaseRow], page: usize, most: u64, folder: &Path) -> (u64, Vec<BaseRow>) {
        let mut spill = Spill::new(folder, most);
        for page in rows.chunks(page) {
            spill.add(page.to_vec()).unwrap();
        }
        let runs = spill.runs;
        (runs, spill.sorted().unwrap().collect::<Result<_, _>>().unwrap())
    }

    #[test]
    fn rows_come_back_in_order_from_no_run_few_runs_and_merged_runs() {
        let (folder, rows) = (folder(), (0..700).map(row).collect::<Vec<_>>());
        let mut expected = rows.clone();
        expected.sort_by(|a, b| a.order().cmp(&b.order()));
        assert_ne!(rows, expected);
        for (most, runs) in [(u64::MAX, 0..=0), (60_000, 2..=20), (1, 70..=70)] {
            let (made, back) = through(&rows, 10, most, folder.path());
            assert!(runs.contains(&made), "{made} runs of {most} bytes");
            assert!(back == expected, "{made} runs");
        }
    }

    #[test]
    fn a_run_leaves_no_name_behind() {
        let folder = folder();
        let mut spill = Spill::new(folder.path(), 1);
        spill.add(vec![row(1)]).unwrap();
        assert_eq!((spill.runs, std::fs::read_dir(folder.path()).unwrap().count()), (1, 0));
    }

    #[test]
    fn altered_bytes_never_come_back_as_rows() {
        let folder = folder();
        let rows: Vec<BaseRow> = (0..20).map(row).collect();
        let mut bytes = Vec::new();
        let (count, hash) = write(rows.into_iter().map(Ok), &mut bytes, folder.path()).unwrap();
        let back = |bytes: &[u8]| -> io::Result<u64> {
            let mut file = tempfile::tempfile_in(folder.path())?;
            file.write_all(bytes)?;
            file.rewind()?;
            let mut reader = Reader::new(Run { file, rows: count, hash });
            let mut rows = 0;
            while reader.next::<BaseRow>()?.is_some() {
                rows += 1;
            }
            Ok(rows)
        };
        assert_eq!(back(&bytes).unwrap(), 20);
        for at in (0..bytes.len()).step_by(7) {
            bytes[at] ^= 1;
            back(&bytes).unwrap_err();
            bytes[at] ^= 1;
        }
        back(&bytes[..bytes.len() - 1]).unwrap_err();
    }

    /// A disk that takes so many bytes and is then full.
    struct Small(usize);

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_and_a_missing_folder_are_named() {
        let rows = || (0..3000).map(row).map(Ok);
        let error = write(rows(), &mut Small(100_000), Path::new("scratch")).unwrap_err();
        assert_eq!((error.error.kind(), error.folder.to_str()), (ErrorKind::StorageFull, Some("scratch")));
        let mut spill = Spill::new(Path::new("nowhere/at/all"), 1);
        let error = spill.add(vec![row(1)]).unwrap_err();
        assert!(error.to_string().contains("nowhere/at/all"), "{error}");
    }
}
