//! Stop 4 of a COPY FROM: cuts its files into units of work, one list a segment.
//!
//! Parquet files are cut at row groups, text files at records. A line end inside quotes ends no record, so a text file is
//! read from its start up to its last cut, at the speed of a search for quotes; a file that needs no cut is not read.

use damson_cluster::{CopyFormat, CopyUnit, CsvOptions};
use memchr::{memchr, memchr_iter, memchr2};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A segment's share of text is at least this: less does not pay for a cut.
const RANGE_BYTES_MIN: u64 = 1 << 20;

/// Bytes read at a time while records are counted.
const BLOCK_BYTES: usize = 1 << 20;

/// Why COPY's files could not be found or cut.
#[derive(Debug, Error)]
pub enum SplitError {
    #[error("no file matches \"{0}\"")]
    NoMatch(String),
    #[error("\"{pattern}\" is not a file pattern: {source}")]
    Pattern { pattern: String, source: glob::PatternError },
    #[error("could not read {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{path} is not a readable Parquet file: {source}")]
    Parquet { path: String, source: ParquetError },
    #[error("{0} has a name that is not UTF-8")]
    Name(String),
}

impl SplitError {
    pub fn sqlstate(&self) -> &'static str {
        match self {
            SplitError::NoMatch(_) => "58P01",
            SplitError::Pattern { .. } => "22023",
            SplitError::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "58P01",
                io::ErrorKind::PermissionDenied => "42501",
                _ => "58030",
            },
            SplitError::Parquet { .. } => "22P04",
            SplitError::Name(_) => "22021",
        }
    }
}

/// The units of the files at `pattern`, one list a segment, each in the files' order. Every record and row group is in
/// exactly one unit. Blocks.
///
/// `pattern` is a file; or a directory, which means the regular files in it whose names begin with neither `.` nor `_`; or
/// a glob. Files are taken in the order of their names.
///
/// # Errors
/// [`SplitError`]; nothing that matches is 58P01.
///
/// # Panics
/// If `segments` is 0.
pub fn split(pattern: &str, format: &CopyFormat, segments: usize) -> Result<Vec<Vec<CopyUnit>>, SplitError> {
    assert!(segments > 0, "a cluster has a segment");
    let files = find(pattern)?;
    match format {
        CopyFormat::Csv(options) => split_text(&files, options, segments, RANGE_BYTES_MIN),
        CopyFormat::Parquet(_) => split_parquet(&files, segments),
    }
}

/// A file that COPY reads.
struct Source {
    path: String,
    bytes: u64,
}

fn find(pattern: &str) -> Result<Vec<Source>, SplitError> {
    let path = Path::new(pattern);
    let paths = if path.is_dir() {
        let shown = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            name.is_some_and(|name| !name.starts_with(['.', '_']))
        };
        let entries = fs::read_dir(path).map_err(io_error(path))?;
        let entries = entries.map(|entry| entry.map(|entry| entry.path()));
        let paths = entries.collect::<io::Result<Vec<_>>>().map_err(io_error(path))?;
        paths.into_iter().filter(shown).collect()
    } else if path.exists() {
        vec![path.to_owned()]
    } else {
        let matches = glob::glob(pattern);
        let matches = matches.map_err(|source| SplitError::Pattern { pattern: pattern.into(), source })?;
        let paths = matches.collect::<Result<Vec<_>, _>>();
        paths.map_err(|error| {
            let path = error.path().display().to_string();
            SplitError::Io { path, source: error.into() }
        })?
    };
    let mut files = Vec::new();
    for path in paths {
        let metadata = fs::metadata(&path).map_err(io_error(&path))?;
        if !metadata.is_dir() {
            let path = path.into_os_string().into_string();
            let path = path.map_err(|name| SplitError::Name(name.to_string_lossy().into_owned()))?;
            files.push(Source { path, bytes: metadata.len() });
        }
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    if files.is_empty() { Err(SplitError::NoMatch(pattern.into())) } else { Ok(files) }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SplitError {
    let path = path.display().to_string();
    move |source| SplitError::Io { path, source }
}

/// Row groups to the segment that has the fewest bytes so far, the largest first.
fn split_parquet(files: &[Source], segments: usize) -> Result<Vec<Vec<CopyUnit>>, SplitError> {
    struct RowGroup {
        file: usize,
        index: usize,
        bytes: u64,
    }
    let mut row_groups = Vec::new();
    for (file, source) in files.iter().enumerate() {
        let handle = File::open(&source.path).map_err(io_error(Path::new(&source.path)))?;
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&handle)
            .map_err(|error| SplitError::Parquet { path: source.path.clone(), source: error })?;
        let sizes = metadata.row_groups().iter().map(|row_group| row_group.compressed_size().max(0) as u64);
        row_groups.extend(sizes.enumerate().map(|(index, bytes)| RowGroup { file, index, bytes }));
    }
    row_groups.sort_by_key(|row_group| std::cmp::Reverse(row_group.bytes));
    let mut loads = vec![0u64; segments];
    let mut shares: Vec<Vec<(usize, usize)>> = vec![Vec::new(); segments];
    for row_group in row_groups {
        let lightest = (0..segments).min_by_key(|&segment| loads[segment]).unwrap_or(0);
        loads[lightest] += row_group.bytes;
        shares[lightest].push((row_group.file, row_group.index));
    }
    let unit = |run: &[(usize, usize)]| CopyUnit::ParquetRowGroups {
        path: files[run[0].0].path.clone(),
        row_groups: run.iter().map(|&(_, index)| index).collect(),
    };
    let units = |mut share: Vec<(usize, usize)>| {
        share.sort_unstable();
        share.chunk_by(|a, b| a.0 == b.0).map(unit).collect()
    };
    Ok(shares.into_iter().map(units).collect())
}

/// Each segment gets an equal run of all the files' bytes, moved to the next record's start.
fn split_text(
    files: &[Source],
    options: &CsvOptions,
    segments: usize,
    range_bytes_min: u64,
) -> Result<Vec<Vec<CopyUnit>>, SplitError> {
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    let parts = (total / range_bytes_min.max(1)).clamp(1, segments as u64);
    // The offset in the concatenation of all files at which part `k` ends.
    let boundary = |k: u64| (u128::from(total) * u128::from(k) / u128::from(parts)) as u64;

    let mut shares = vec![Vec::new(); segments];
    let (mut part, mut file_start) = (0u64, 0u64);
    for file in files {
        let file_end = file_start + file.bytes;
        let inside: Vec<u64> = (part + 1..parts).map(boundary).take_while(|&at| at < file_end).collect();
        let targets: Vec<u64> = inside.iter().map(|at| at - file_start.min(*at)).collect();
        let starts = record_starts(file, options, &targets)?;
        let mut start = 0;
        for (next, ends_part) in starts.iter().map(|&at| (at, true)).chain([(file.bytes, false)]) {
            if next > start {
                shares[part as usize].push(CopyUnit::CsvRange { path: file.path.clone(), start, end: next });
                start = next;
            }
            part += u64::from(ends_part);
        }
        file_start = file_end;
    }
    Ok(shares)
}

/// For each of the ascending `targets` the first record start at or after it; the file's length if none is.
fn record_starts(file: &Source, options: &CsvOptions, targets: &[u64]) -> Result<Vec<u64>, SplitError> {
    let mut starts = Vec::with_capacity(targets.len());
    let mut targets = targets.iter().copied().peekable();
    while targets.next_if_eq(&0).is_some() {
        starts.push(0);
    }
    if targets.peek().is_none() {
        return Ok(starts);
    }
    let path = Path::new(&file.path);
    let mut handle = File::open(path).map_err(io_error(path))?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut scanner = Scanner::new(options);
    let mut offset = 0u64;
    while targets.peek().is_some() {
        let filled = match handle.read(&mut block) {
            Ok(0) => break,
            Ok(filled) => filled,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io_error(path)(error)),
        };
        let mut rest = &block[..filled];
        while let Some(&target) = targets.peek() {
            // The record start at `target` follows a line end at the byte before it.
            let before = (target - 1).saturating_sub(offset).min(rest.len() as u64) as usize;
            scanner.pass(&rest[..before]);
            rest = &rest[before..];
            offset += before as u64;
            let Some(length) = scanner.pass_record_end(rest) else {
                offset += rest.len() as u64;
                break;
            };
            rest = &rest[length..];
            offset += length as u64;
            // One record can be longer than a part: it answers several targets.
            while targets.next_if(|&target| target <= offset).is_some() {
                starts.push(offset);
            }
        }
        if targets.peek().is_none() {
            break;
        }
    }
    starts.extend(targets.map(|_| file.bytes));
    Ok(starts)
}

/// Knows whether the next byte is inside quotes; the same rules as the reader's.
struct Scanner {
    quote: u8,
    escape: u8,
    quoted: bool,
    /// The last byte was an escape inside quotes, and the escape is not the quote: the next byte may be its charge.
    escaped: bool,
}

impl Scanner {
    fn new(options: &CsvOptions) -> Self {
        Scanner { quote: options.quote, escape: options.escape, quoted: false, escaped: false }
    }

    /// Goes over all of `bytes`.
    fn pass(&mut self, bytes: &[u8]) {
        if self.quote == self.escape {
            // A doubled quote leaves and enters again: only the parity counts.
            self.quoted ^= memchr_iter(self.quote, bytes).count() % 2 == 1;
            return;
        }
        let mut at = 0;
        while let Some(next) = self.step(bytes, at) {
            at = next;
        }
    }

    /// Goes on until after a line end that ends a record, and says how far that was; None if `bytes` has none.
    fn pass_record_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            if self.quoted {
                at = self.step(bytes, at)?;
                continue;
            }
            let found = memchr2(b'\n', self.quote, &bytes[at..])?;
            at += found + 1;
            if bytes[at - 1] == b'\n' {
                return Some(at);
            }
            self.quoted = true;
        }
    }

    /// From `at` past the next quote or escape; None at the end.
    fn step(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        if self.escaped {
            let &next = bytes.get(at)?;
            self.escaped = false;
            if next == self.quote || next == self.escape {
                return Some(at + 1);
            }
        }
        let found = match self.quoted && self.quote != self.escape {
            true => memchr2(self.quote, self.escape, &bytes[at..])?,
            false => memchr(self.quote, &bytes[at..])?,
        };
        match bytes[at + found] == self.quote {
            true => self.quoted = !self.quoted,
            false => self.escaped = true,
        }
        Some(at + found + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::ParquetOptions;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::io::Write;

    fn write(dir: &Path, name: &str, bytes: &[u8]) -> String {
        let path = dir.join(name);
        File::create(&path).unwrap().write_all(bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The record starts of a text, one byte after the other.
    fn all_starts(text: &[u8], options: &CsvOptions) -> Vec<u64> {
        let (mut starts, mut quoted, mut at) = (vec![0], false, 0);
        while at < text.len() {
            let next = text.get(at + 1).copied();
            if quoted && text[at] == options.escape && next.is_some_and(|n| n == options.quote || n == options.escape) {
                at += 1;
            } else if text[at] == options.quote {
                quoted = !quoted;
            } else if text[at] == b'\n' && !quoted {
                starts.push(at as u64 + 1);
            }
            at += 1;
        }
        if starts.last() == Some(&(text.len() as u64)) {
            starts.pop();
        }
        starts
    }

    fn random_text(random: &mut StdRng, options: &CsvOptions) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..random.random_range(0..400) {
            for field in 0..random.random_range(1..4) {
                if field > 0 {
                    text.push(options.delimiter);
                }
                let quoted = random.random_ratio(1, 3);
                if quoted {
                    text.push(options.quote);
                }
                for _ in 0..random.random_range(0..12) {
                    match random.random_range(0..8) {
                        0 if quoted => text.push(b'\n'),
                        1 if quoted => text.extend([options.escape, options.quote]),
                        2 if quoted => text.extend([options.escape, options.escape]),
                        // An escape that escapes nothing.
                        3 if quoted && options.escape != options.quote => text.extend([options.escape, b'n']),
                        // Outside quotes an escape is a character like any other.
                        4 if !quoted && options.escape != options.quote => text.push(options.escape),
                        _ => text.push(b'x'),
                    }
                }
                if quoted {
                    text.push(options.quote);
                }
            }
            text.extend(if random.random_ratio(1, 4) { &b"\r\n"[..] } else { b"\n" });
        }
        text
    }

    #[test]
    fn every_record_is_in_exactly_one_unit() {
        let dir = tempfile::tempdir().unwrap();
        for seed in 0..300 {
            let mut random = StdRng::seed_from_u64(seed);
            let escape = if random.random() { b'"' } else { b'\\' };
            let options = CsvOptions { escape, ..CsvOptions::default() };
            let texts: Vec<Vec<u8>> =
                (0..random.random_range(1..4)).map(|_| random_text(&mut random, &options)).collect();
            let files: Vec<Source> = texts
                .iter()
                .enumerate()
                .map(|(i, text)| Source { path: write(dir.path(), &format!("{i}"), text), bytes: text.len() as u64 })
                .collect();
            let segments = random.random_range(1..9);
            let shares = split_text(&files, &options, segments, 1).unwrap();
            assert_eq!(shares.len(), segments);

            // In the files' order the units are the files, without gap or overlap, each from a record's start on.
            let mut units = shares.iter().flatten();
            for (text, file) in texts.iter().zip(&files) {
                let starts = all_starts(text, &options);
                let mut at = 0;
                while at < file.bytes {
                    let Some(CopyUnit::CsvRange { path, start, end }) = units.next() else { panic!("seed {seed}") };
                    assert_eq!((path, *start), (&file.path, at), "seed {seed}");
                    assert!(starts.contains(start) && end > start, "seed {seed}: {start} in {starts:?}");
                    at = *end;
                }
                assert_eq!(at, file.bytes, "seed {seed}");
            }
            assert_eq!(units.next(), None, "seed {seed}");

            // No segment has more than its share, but for the record that a cut moves over.
            let total: u64 = files.iter().map(|file| file.bytes).sum();
            let longest = texts
                .iter()
                .flat_map(|text| {
                    let mut starts = all_starts(text, &options);
                    starts.push(text.len() as u64);
                    starts.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>()
                })
                .max()
                .unwrap_or(0);
            for share in &shares {
                let bytes: u64 = share
                    .iter()
                    .map(|unit| match unit {
                        CopyUnit::CsvRange { start, end, .. } => end - start,
                        CopyUnit::ParquetRowGroups { .. } => unreachable!(),
                    })
                    .sum();
                assert!(bytes <= total / segments as u64 + 1 + longest, "seed {seed}: {bytes} of {total}");
            }
        }
    }

    #[test]
    fn records_longer_than_a_block_are_cut_right() {
        let dir = tempfile::tempdir().unwrap();
        let mut text = Vec::new();
        for i in 0..7 {
            text.extend(format!("{i},\"").bytes());
            text.extend(std::iter::repeat_n(b"line\n\"\"", BLOCK_BYTES / 5).flatten());
            text.extend(b"\"\n");
        }
        let path = write(dir.path(), "long", &text);
        let options = CsvOptions::default();
        let starts = all_starts(&text, &options);
        let shares = split(&path, &CopyFormat::Csv(options), 5).unwrap();
        let mut at = 0;
        for unit in shares.iter().flatten() {
            let CopyUnit::CsvRange { start, end, .. } = unit else { panic!() };
            assert!(*start == at && starts.contains(start));
            at = *end;
        }
        assert_eq!(at, text.len() as u64);
        assert!(shares.iter().filter(|share| !share.is_empty()).count() >= 4);
    }

    #[test]
    fn a_small_file_is_not_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), "small", b"1,2\n3,4\n");
        let shares = split(&path, &CopyFormat::Csv(CsvOptions::default()), 3).unwrap();
        assert_eq!(shares, [vec![CopyUnit::CsvRange { path, start: 0, end: 8 }], vec![], vec![]]);
    }

    #[test]
    fn patterns() {
        let dir = tempfile::tempdir().unwrap();
        let csv = CopyFormat::Csv(CsvOptions::default());
        for name in ["b.csv", "a.csv", "c.tbl", ".hidden", "_SUCCESS"] {
            write(dir.path(), name, b"1\n");
        }
        fs::create_dir(dir.path().join("d.csv")).unwrap();
        let names = |pattern: &str| -> Vec<String> {
            let shares = split(pattern, &csv, 1).unwrap();
            let name = |unit: &CopyUnit| match unit {
                CopyUnit::CsvRange { path, .. } => Path::new(path).file_name().unwrap().to_str().unwrap().to_owned(),
                CopyUnit::ParquetRowGroups { .. } => unreachable!(),
            };
            shares[0].iter().map(name).collect()
        };
        let root = dir.path().to_str().unwrap();
        assert_eq!(names(root), ["a.csv", "b.csv", "c.tbl"]);
        assert_eq!(names(&format!("{root}/*.csv")), ["a.csv", "b.csv"]);
        assert_eq!(names(&format!("{root}/c.tbl")), ["c.tbl"]);

        for (pattern, sqlstate) in [
            (format!("{root}/nothing*"), "58P01"),
            (format!("{root}/nothing"), "58P01"),
            (format!("{root}/d.csv"), "58P01"),
            (format!("{root}/***"), "22023"),
        ] {
            let error = split(&pattern, &csv, 1).unwrap_err();
            assert_eq!(error.sqlstate(), sqlstate, "{error}");
            assert!(error.to_string().contains(&pattern), "{error}");
        }
        let error = split(root, &CopyFormat::Parquet(ParquetOptions {}), 1).unwrap_err();
        assert_eq!(error.sqlstate(), "22P04", "{error}");
    }

    #[test]
    fn row_groups_of_one_file_go_to_every_segment() {
        use datafusion::arrow::array::{Int64Array, RecordBatch};
        use datafusion::arrow::datatypes::{DataType, Field, Schema};
        use parquet::arrow::ArrowWriter;
        use parquet::file::properties::WriterProperties;
        use std::sync::Arc;

        let dir = tempfile::tempdir().unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from_iter_values(0..1000))]);
        for name in ["a", "b"] {
            let properties = WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
            let file = File::create(dir.path().join(name)).unwrap();
            let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).unwrap();
            writer.write(rows.as_ref().unwrap()).unwrap();
            writer.close().unwrap();
        }
        let format = CopyFormat::Parquet(ParquetOptions {});
        let shares = split(dir.path().to_str().unwrap(), &format, 3).unwrap();
        let mut seen = Vec::new();
        for share in &shares {
            let mut groups = 0;
            for unit in share {
                let CopyUnit::ParquetRowGroups { path, row_groups } = unit else { panic!() };
                assert!(row_groups.is_sorted());
                groups += row_groups.len();
                seen.extend(row_groups.iter().map(|&row_group| (path.clone(), row_group)));
            }
            assert!(share.is_sorted_by_key(|unit| match unit {
                CopyUnit::ParquetRowGroups { path, .. } | CopyUnit::CsvRange { path, .. } => path.clone(),
            }));
            assert!((6..=7).contains(&groups), "{groups}");
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 20);
    }
}
