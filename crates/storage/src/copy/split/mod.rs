//! Cuts COPY's files into units of work, one list a segment.
//!
//! Parquet files are cut at row groups, text files at records. Whether a line end ends a record depends on all that is before it, so a
//! text file is read up to its last cut, in pieces at the same time (`starts.rs`); a file that needs no cut is not read. Behind a mark of its
//! data's end (`\\.`) a text file has no records, and so no units.

mod starts;
#[cfg(test)]
mod tests;

use crate::StorageError;
use crate::copy::csv::Form;
use crate::copy::parquet::unreadable;
use crate::limits::{COPY_RANGE_BYTES_MIN, SPLIT_FILES_AT_ONCE};
use crate::source::SourceFile;
use damson_cluster::{Codec, CopyFile, CopyFormat, CopyUnit, Encoding, SourceAccess};
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use futures::{StreamExt, TryStreamExt, stream};
use starts::{Starts, record_starts};

/// The units of `files`, one list a segment, each in the files' order. Every record and row group is in exactly one unit, and each
/// segment has about as many bytes as any other. `codec`: None goes by each file's name.
///
/// # Memory
/// The units; while text is looked through, a few blocks.
///
/// # Errors
/// As [`SourceFile::open`]; 22P04 for a file that is no Parquet file.
///
/// # Panics
/// If `segments` is 0.
pub async fn split(
    files: Vec<CopyFile>,
    format: &CopyFormat,
    codec: Option<Codec>,
    segments: usize,
    access: &SourceAccess,
) -> Result<Vec<Vec<CopyUnit>>, StorageError> {
    split_by(files, format, codec, segments, access, COPY_RANGE_BYTES_MIN).await
}

/// As [`split`]; a segment's share of text is at least `range_bytes_min`.
pub(crate) async fn split_by(
    files: Vec<CopyFile>,
    format: &CopyFormat,
    codec: Option<Codec>,
    segments: usize,
    access: &SourceAccess,
    range_bytes_min: u64,
) -> Result<Vec<Vec<CopyUnit>>, StorageError> {
    assert!(segments > 0, "a cluster has a segment");
    let (form, is_utf8) = match format {
        CopyFormat::Parquet(_) => return split_parquet(files, segments, access).await,
        CopyFormat::Csv(options) => {
            let form = Form::Csv { quote: options.quote, escape: options.escape };
            (Some(form), options.encoding == Encoding::Utf8)
        }
        CopyFormat::Text(options) => (Some(Form::Text { escape: options.escape }), options.encoding == Encoding::Utf8),
        CopyFormat::Json(_) => (None, true),
    };
    let codec_of = |file: &CopyFile| codec.unwrap_or_else(|| Codec::by_name(&file.url));
    let (plain, whole): (Vec<CopyFile>, Vec<CopyFile>) =
        files.into_iter().partition(|file| is_utf8 && codec_of(file) == Codec::None);
    let mut shares = split_ranges(&plain, form, segments, access, range_bytes_min).await?;
    let mut loads: Vec<u64> = shares.iter().map(|share| share.iter().map(CopyUnit::bytes).sum()).collect();
    let mut whole: Vec<CopyFile> = whole;
    whole.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.url.cmp(&b.url)));
    for file in whole {
        let lightest = lightest(&loads);
        loads[lightest] += file.bytes;
        shares[lightest].push(CopyUnit::Records {
            codec: codec_of(&file),
            file,
            newline: None,
            start: 0,
            end: u64::MAX,
        });
    }
    shares.iter_mut().for_each(|share| share.sort_by(|a, b| place_of(a).cmp(&place_of(b))));
    Ok(shares)
}

fn lightest(loads: &[u64]) -> usize {
    (0..loads.len()).min_by_key(|&segment| loads[segment]).unwrap_or(0)
}

fn place_of(unit: &CopyUnit) -> (&str, u64) {
    match unit {
        CopyUnit::Records { file, start, .. } => (&file.url, *start),
        CopyUnit::RowGroups { file, .. } => (&file.url, 0),
    }
}

/// Each segment gets an equal run of all the files' bytes, moved to the next record's start.
async fn split_ranges(
    files: &[CopyFile],
    form: Option<Form>,
    segments: usize,
    access: &SourceAccess,
    range_bytes_min: u64,
) -> Result<Vec<Vec<CopyUnit>>, StorageError> {
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    let parts = (total / range_bytes_min.max(1)).clamp(1, segments as u64);
    let boundary = |part: u64| (u128::from(total) * u128::from(part) / u128::from(parts)) as u64;
    // By file: which of the boundaries are in it, as offsets.
    let mut targets = Vec::with_capacity(files.len());
    let (mut part, mut file_start) = (1, 0);
    for file in files {
        let file_end = file_start + file.bytes;
        let mut inside = vec![];
        while part < parts && boundary(part) < file_end {
            inside.push(boundary(part) - file_start);
            part += 1;
        }
        targets.push(inside);
        file_start = file_end;
    }
    let find = |(file, targets): (&CopyFile, &Vec<u64>)| {
        let (file, targets) = (file.clone(), targets.clone());
        async move { record_starts(&file, form, &targets, access).await }
    };
    let starts: Vec<Starts> =
        stream::iter(files.iter().zip(&targets).map(find)).buffered(SPLIT_FILES_AT_ONCE).try_collect().await?;

    let mut shares = vec![Vec::new(); segments];
    let mut part = 0;
    for (file, Starts { starts, newline }) in files.iter().zip(starts) {
        let mut start = 0;
        for (next, ends_part) in starts.into_iter().map(|at| (at, true)).chain([(file.bytes, false)]) {
            if next > start {
                let newline = newline.filter(|_| start > 0);
                shares[part].push(CopyUnit::Records {
                    file: file.clone(),
                    codec: Codec::None,
                    newline,
                    start,
                    end: next,
                });
                start = next;
            }
            part += usize::from(ends_part);
        }
    }
    Ok(shares)
}

/// Row groups to the segment that has the fewest bytes so far, the largest first.
async fn split_parquet(
    files: Vec<CopyFile>,
    segments: usize,
    access: &SourceAccess,
) -> Result<Vec<Vec<CopyUnit>>, StorageError> {
    let sizes = |file: CopyFile| async move {
        let mut source = SourceFile::open(&file, access).await?;
        let metadata = source.get_metadata(None).await.map_err(|error| unreadable(&file.url, error))?;
        let sizes = metadata.row_groups().iter().map(|group| group.compressed_size().max(0) as u64);
        Ok::<Vec<u64>, StorageError>(sizes.collect())
    };
    let asked = stream::iter(files.iter().cloned().map(sizes)).buffered(SPLIT_FILES_AT_ONCE);
    let sizes: Vec<Vec<u64>> = asked.try_collect().await?;
    // Bytes, file, row group.
    let mut row_groups: Vec<(u64, usize, usize)> = vec![];
    for (file, sizes) in sizes.into_iter().enumerate() {
        row_groups.extend(sizes.into_iter().enumerate().map(|(index, bytes)| (bytes, file, index)));
    }
    row_groups.sort_by_key(|&(bytes, ..)| std::cmp::Reverse(bytes));
    let mut loads = vec![0; segments];
    let mut shares: Vec<Vec<(usize, usize)>> = vec![vec![]; segments];
    for (bytes, file, index) in row_groups {
        let lightest = lightest(&loads);
        loads[lightest] += bytes;
        shares[lightest].push((file, index));
    }
    let unit = |run: &[(usize, usize)]| CopyUnit::RowGroups {
        file: files[run[0].0].clone(),
        row_groups: run.iter().map(|&(_, index)| index).collect(),
    };
    let units = |mut share: Vec<(usize, usize)>| {
        share.sort_unstable();
        share.chunk_by(|a, b| a.0 == b.0).map(unit).collect()
    };
    Ok(shares.into_iter().map(units).collect())
}
