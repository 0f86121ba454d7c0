//! Every record is in exactly one unit, however small the units.

use super::{split, split_by};
use crate::copy::progress::CopyProgress;
use crate::copy::read::{CopyRead, copy_read};
use crate::source::list_sources;
use damson_cluster::{
    ContentId, CopyFile, CopyFormat, CopyUnit, CsvOptions, JsonOptions, OnBadRow, ParquetOptions, SourceAccess,
    TextOptions,
};
use datafusion::arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::TaskContext;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::collect;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::path::Path;
use std::sync::Arc;

async fn files(dir: &Path) -> Vec<CopyFile> {
    list_sources(&[dir.to_str().unwrap().to_owned()], None, &SourceAccess::default()).await.unwrap()
}

async fn values(format: &CopyFormat, units: Vec<CopyUnit>) -> Vec<Option<String>> {
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Utf8View, true)]));
    let access = SourceAccess::default();
    let read = CopyRead {
        content: ContentId(0),
        format: format.clone(),
        schema,
        partition_columns: vec![],
        max_chars: vec![None],
        progress: CopyProgress::new(&units),
        units,
        on_bad_row: OnBadRow::Fail,
        access,
        error_log: None,
    };
    let batches = collect(copy_read(read).unwrap(), Arc::new(TaskContext::default())).await.unwrap();
    let values = |batch: RecordBatch| {
        let column = batch.column(0).as_string_view().clone();
        (0..column.len()).map(move |row| column.is_valid(row).then(|| column.value(row).to_owned())).collect::<Vec<_>>()
    };
    batches.into_iter().flat_map(values).collect()
}

/// A file of one column, of what can mislead a cut.
fn random_text(random: &mut StdRng, format: &CopyFormat) -> Vec<u8> {
    let mut text = Vec::new();
    let newlines: &[&[u8]] = match format {
        CopyFormat::Json(_) => &[b"\n", b"\r\n"],
        _ => &[b"\n", b"\r\n", b"\r"],
    };
    let newline = newlines[random.random_range(0..newlines.len())];
    for _ in 0..random.random_range(0..60) {
        match format {
            CopyFormat::Csv(CsvOptions { quote, escape, .. }) => {
                let quoted = random.random_ratio(1, 2);
                if quoted {
                    text.push(*quote);
                }
                for _ in 0..random.random_range(0..12) {
                    match random.random_range(0..8) {
                        0 if quoted => text.push(b'\n'),
                        1 if quoted => text.extend([*escape, *quote]),
                        2 if quoted => text.extend([*escape, *escape]),
                        // An escape that escapes nothing.
                        3 if quoted && escape != quote => text.extend([*escape, b'n']),
                        // Outside quotes an escape is a character like any other.
                        4 if !quoted && escape != quote => text.push(*escape),
                        _ => text.push(b'x'),
                    }
                }
                if quoted {
                    text.push(*quote);
                }
            }
            CopyFormat::Text(_) if random.random_ratio(1, 50) => text.extend(b"\\."),
            CopyFormat::Text(options) => {
                for _ in 0..random.random_range(0..12) {
                    match random.random_range(0..5) {
                        // It ends the record where nothing escapes.
                        0 if options.escape.is_none() => text.extend([b"\\", newline].concat()),
                        0 => text.extend(b"\\\n"),
                        1 => text.extend(b"\\\\"),
                        2 => text.extend(b"\\n"),
                        _ => text.push(b'x'),
                    }
                }
            }
            CopyFormat::Json(_) | CopyFormat::Parquet(_) => {
                text.extend(format!("{{\"v\": \"{}\\n\"}}", random.random_range(0..1000)).bytes());
            }
        }
        text.extend(newline);
    }
    // A mark of the data's end has a line end.
    if random.random_ratio(1, 3) && !text.ends_with(&[b".", newline].concat()) {
        text.truncate(text.len().saturating_sub(newline.len()));
    }
    text
}

#[tokio::test]
async fn every_record_is_in_exactly_one_unit() {
    let formats = [
        CopyFormat::Csv(CsvOptions::default()),
        CopyFormat::Csv(CsvOptions { escape: b'\\', ..CsvOptions::default() }),
        CopyFormat::Text(TextOptions::default()),
        CopyFormat::Text(TextOptions { escape: None, ..TextOptions::default() }),
        CopyFormat::Json(JsonOptions {}),
    ];
    for seed in 0..400 {
        let mut random = StdRng::seed_from_u64(seed);
        let format = &formats[seed as usize % formats.len()];
        let dir = tempfile::tempdir().unwrap();
        for name in 0..random.random_range(1..4) {
            let text = random_text(&mut random, format);
            fs::write(dir.path().join(format!("{name}.x")), text).unwrap();
        }
        let files = files(dir.path()).await;
        let total: u64 = files.iter().map(|file| file.bytes).sum();
        let segments = random.random_range(1..9);
        let whole = split_by(files.clone(), format, None, 1, &SourceAccess::default(), 1).await.unwrap();
        let wanted = values(format, whole.into_iter().next().unwrap()).await;
        let shares = split_by(files, format, None, segments, &SourceAccess::default(), 1).await.unwrap();
        assert_eq!(shares.len(), segments);
        let mut units: Vec<CopyUnit> = shares.into_iter().flatten().collect();
        // Without gap or overlap.
        let covered: u64 = units
            .iter()
            .map(|unit| match unit {
                CopyUnit::Records { file, start, end, .. } => (*end).min(file.bytes) - start,
                CopyUnit::RowGroups { .. } => unreachable!("text"),
            })
            .sum();
        assert_eq!(covered, total, "seed {seed}");
        units.sort_by_key(|unit| match unit {
            CopyUnit::Records { file, start, .. } => (file.url.clone(), *start),
            CopyUnit::RowGroups { .. } => unreachable!("text"),
        });
        assert_eq!(values(format, units).await, wanted, "seed {seed}: {format:?}");
    }
}

#[tokio::test]
async fn a_small_file_is_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("small"), b"1\n2\n").unwrap();
    let format = CopyFormat::Csv(CsvOptions::default());
    let shares = split(files(dir.path()).await, &format, None, 3, &SourceAccess::default()).await.unwrap();
    assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 0]);
}

#[tokio::test]
async fn row_groups_of_one_file_go_to_every_segment() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
    let rows =
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from_iter_values(0..1000))]).unwrap();
    for name in ["a", "b"] {
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
        let file = fs::File::create(dir.path().join(name)).unwrap();
        let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    }
    let format = CopyFormat::Parquet(ParquetOptions {});
    let shares = split(files(dir.path()).await, &format, None, 3, &SourceAccess::default()).await.unwrap();
    let mut seen = Vec::new();
    for share in &shares {
        let mut groups = 0;
        for unit in share {
            let CopyUnit::RowGroups { file, row_groups } = unit else { panic!("{unit:?}") };
            assert!(row_groups.is_sorted());
            groups += row_groups.len();
            seen.extend(row_groups.iter().map(|&row_group| (file.url.clone(), row_group)));
        }
        assert!((6..=7).contains(&groups), "{groups}");
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 20);

    fs::write(dir.path().join("c"), b"no parquet").unwrap();
    let error = split(files(dir.path()).await, &format, None, 1, &SourceAccess::default()).await.unwrap_err();
    assert_eq!(error.sqlstate(), "22P04", "{error}");
}
