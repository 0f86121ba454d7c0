//! COPY TO's files: formats and codecs read back, parts, directories, and what is left of a statement that fails.

mod support;

use damson_cluster::{
    COPY_MANIFEST, Codec, ContentId, CopiedPart, CopyFormat, CsvOptions, JsonOptions, ParquetOptions, SourceAccess,
    TextOptions,
};
use damson_storage::limits::COPY_TO_OPEN_MAX;
use damson_storage::{
    CopyRead, CopyWriteSpec, Exports, check_no_manifest, copy_read, copy_write, list_sources, split, write_manifest,
};
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::*;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Zstd, Codec::Snappy, Codec::Lz4];

fn csv() -> CopyFormat {
    CopyFormat::Csv(CsvOptions::default())
}

fn parquet() -> CopyFormat {
    CopyFormat::Parquet(ParquetOptions {})
}

fn formats() -> [CopyFormat; 4] {
    let csv = CopyFormat::Csv(CsvOptions { header: true, ..CsvOptions::default() });
    [csv, CopyFormat::Text(TextOptions::default()), CopyFormat::Json(JsonOptions {}), parquet()]
}

/// Columns `k` (0…), `v`, a text that is long enough for several parts, and `p`, one of `values` or NULL, in turns.
fn numbered(rows: std::ops::Range<i64>, values: &[&str]) -> RecordBatch {
    let texts = rows.clone().map(|row| (row % 10 != 3).then(|| format!("row \"{row}\",\n{}", row * 7919 % 1_000_003)));
    let value = |row: i64| {
        let at = row as usize % (values.len() + 1);
        values.get(at).map(|value| (*value).to_owned())
    };
    let p: StringViewArray = rows.clone().map(value).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("k", Arc::new(Int64Array::from_iter_values(rows)) as ArrayRef, true),
        ("v", Arc::new(texts.collect::<StringViewArray>()) as ArrayRef, true),
        ("p", Arc::new(p) as ArrayRef, true),
    ])
    .unwrap()
}

async fn copy_to(spec: CopyWriteSpec, batches: Vec<RecordBatch>) -> Vec<CopiedPart> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let schema = batches[0].schema();
    let (files, copied) = sink(copy_write(memory(&schema, batches), spec).unwrap()).await.unwrap();
    assert_eq!(copied, rows as u64);
    let parts: Vec<CopiedPart> = serde_json::from_slice(&files).unwrap();
    assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), copied);
    for part in &parts {
        assert_eq!(fs::metadata(&part.url).unwrap().len(), part.bytes, "{}", part.url);
    }
    parts
}

/// All rows of a directory's files, by their `k`; `schema` has the directories' columns last.
async fn copy_from(directory: &Path, format: &CopyFormat, schema: &SchemaRef, partition_columns: usize) -> RecordBatch {
    let access = SourceAccess::default();
    let files = list_sources(&[directory.to_str().unwrap().to_owned()], None, &access).await.unwrap();
    let units = split(files, format, None, 1, &access).await.unwrap().remove(0);
    let columns = schema.fields().len();
    let read = CopyRead {
        partition_columns: (columns - partition_columns..columns).collect(),
        ..copying(format, schema, units)
    };
    let batch = rows(copy_read(read).unwrap()).await.unwrap();
    let order = datafusion::arrow::compute::sort_to_indices(batch.column(0), None, None).unwrap();
    datafusion::arrow::compute::take_record_batch(&batch, &order).unwrap()
}

/// Everything below a directory, by path from there; directories end in a slash.
fn tree(directory: &Path) -> BTreeSet<String> {
    fn below(root: &Path, directory: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                found.insert(format!("{name}/"));
                below(root, &path, found);
            } else {
                found.insert(name);
            }
        }
    }
    let mut found = BTreeSet::new();
    below(directory, directory, &mut found);
    found
}

#[tokio::test]
async fn every_format_and_codec_reads_back() {
    let batch = numbered(0..3_000, &["x"]);
    for format in formats() {
        for codec in CODECS {
            let dir = tempfile::tempdir().unwrap();
            let to = dir.path().join("out");
            let mut spec = copying_to(&to, &format, &batch.schema());
            spec.target.codec = Some(codec);
            let batches = vec![batch.slice(0, 1_000), batch.slice(1_000, 0), batch.slice(1_000, 2_000)];
            let parts = copy_to(spec, batches).await;
            let extension = match (&format, codec) {
                (CopyFormat::Parquet(_), _) => "parquet".to_owned(),
                (format, codec) => {
                    let format = match format {
                        CopyFormat::Csv(_) => "csv",
                        CopyFormat::Text(_) => "txt",
                        _ => "json",
                    };
                    let suffix = match codec {
                        Codec::None => "",
                        Codec::Gzip => ".gz",
                        Codec::Zstd => ".zst",
                        Codec::Snappy => ".sz",
                        Codec::Lz4 => ".lz4",
                    };
                    format!("{format}{suffix}")
                }
            };
            assert_eq!(tree(&to), BTreeSet::from([format!("seg0-part_0.{extension}")]));
            if let CopyFormat::Parquet(_) = format {
                let reader = SerializedFileReader::new(File::open(&parts[0].url).unwrap()).unwrap();
                let compression = reader.metadata().row_group(0).column(0).compression();
                let is_asked_for = match codec {
                    Codec::None => compression == Compression::UNCOMPRESSED,
                    Codec::Gzip => matches!(compression, Compression::GZIP(_)),
                    Codec::Zstd => matches!(compression, Compression::ZSTD(_)),
                    Codec::Snappy => compression == Compression::SNAPPY,
                    Codec::Lz4 => compression == Compression::LZ4_RAW,
                };
                assert!(is_asked_for, "{codec:?}: {compression:?}");
            }
            assert!(copy_from(&to, &format, &batch.schema(), 0).await == batch, "{format:?} {codec:?}");
        }
    }
}

#[tokio::test]
async fn no_rows_are_a_file_without_any() {
    for format in formats() {
        for codec in CODECS {
            let dir = tempfile::tempdir().unwrap();
            let batch = numbered(0..0, &["x"]);
            let mut spec = copying_to(dir.path(), &format, &batch.schema());
            spec.target.codec = Some(codec);
            assert_eq!(copy_to(spec, vec![batch.clone()]).await.len(), 1);
            let read = copy_from(dir.path(), &format, &batch.schema(), 0).await;
            assert_eq!(read.num_rows(), 0, "{format:?} {codec:?}");
        }
    }
}

#[tokio::test]
async fn a_part_ends_when_it_is_long_enough() {
    for format in formats() {
        for (codec, bytes_max) in [(Codec::None, 200_000), (Codec::Zstd, 50_000)] {
            let dir = tempfile::tempdir().unwrap();
            let batch = numbered(0..60_000, &["x"]);
            let mut spec = copying_to(dir.path(), &format, &batch.schema());
            (spec.target.codec, spec.target.max_file_bytes) = (Some(codec), Some(bytes_max));
            let parts = copy_to(spec, vec![batch.clone()]).await;
            assert!(parts.len() > 2, "{format:?} {codec:?}: {parts:?}");
            // Some lie inside a codec, and are looked at piece by piece.
            let longest = parts.iter().map(|part| part.bytes).max().unwrap();
            assert!(longest < bytes_max + 600_000, "{format:?} {codec:?}: {longest}");
            // Parquet's pages are compressed when they are full: until then their length is a guess.
            if !matches!(format, CopyFormat::Parquet(_)) {
                let full = parts.iter().filter(|part| part.bytes >= bytes_max).count();
                assert!(full + 1 >= parts.len(), "{format:?} {codec:?}: only the last is short: {parts:?}");
            }
            let names: BTreeSet<String> = tree(dir.path());
            assert!(names.contains(&format!("seg0-part_{}.{}", parts.len() - 1, suffix(&format, codec))), "{names:?}");
            assert!(copy_from(dir.path(), &format, &batch.schema(), 0).await == batch, "{format:?} {codec:?}");
        }
    }
}

fn suffix(format: &CopyFormat, codec: Codec) -> &'static str {
    match (format, codec) {
        (CopyFormat::Parquet(_), _) => "parquet",
        (CopyFormat::Csv(_), Codec::None) => "csv",
        (CopyFormat::Csv(_), _) => "csv.zst",
        (CopyFormat::Text(_), Codec::None) => "txt",
        (CopyFormat::Text(_), _) => "txt.zst",
        (CopyFormat::Json(_), Codec::None) => "json",
        (CopyFormat::Json(_), _) => "json.zst",
    }
}

#[tokio::test]
async fn partitions_are_directories_whatever_their_values() {
    let values =
        ["plain", "", "a/b=c%d", "é ü", "..", "line\nend\u{1}", "__HIVE_DEFAULT_PARTITION__", "q\"'*?\\{[]}^:#"];
    let batch = numbered(0..900, &values);
    for format in formats() {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = copying_to(dir.path(), &format, &batch.schema());
        spec.target.partition_by = vec![2];
        let batches = vec![batch.slice(0, 450), batch.slice(450, 450)];
        let parts = copy_to(spec, batches).await;
        // One file each, and one for NULL; the same directory in the second batch is the same file.
        assert_eq!(parts.len(), values.len() + 1);
        let directories: BTreeSet<String> = tree(dir.path()).into_iter().filter(|name| name.ends_with('/')).collect();
        assert_eq!(directories.len(), values.len() + 1);
        for directory in ["p=plain/", "p=/", "p=__HIVE_DEFAULT_PARTITION__/", "p=a%2Fb%3Dc%25d/", "p=../"] {
            assert!(directories.contains(directory), "{directories:?}");
        }
        let first = dir.path().join("p=plain").read_dir().unwrap().next().unwrap().unwrap().path();
        if let CopyFormat::Json(_) = format {
            assert!(fs::read_to_string(first).unwrap().lines().all(|line| !line.contains("\"p\"")));
        }
        assert!(copy_from(dir.path(), &format, &batch.schema(), 1).await == batch, "{format:?}");
    }
}

#[tokio::test]
async fn several_columns_partition_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("_d", Arc::new(Date32Array::from(vec![Some(0), Some(1), None])) as ArrayRef, true),
        ("k", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef, true),
        ("t", Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2])) as ArrayRef, true),
    ])
    .unwrap();
    let mut spec = copying_to(dir.path(), &csv(), &batch.schema());
    spec.target.partition_by = vec![2, 0];
    copy_to(spec, vec![batch.clone()]).await;
    let expected = "t=1970-01-01 00%3A00%3A00.000001/%5Fd=1970-01-02/seg0-part_1.csv";
    assert!(tree(dir.path()).contains(expected), "{:?}", tree(dir.path()));
    assert_eq!(fs::read_to_string(dir.path().join(expected)).unwrap(), "2\n");
    // As COPY FROM has them: what is in files, then what directories say.
    let schema = Arc::new(batch.schema().project(&[1, 0, 2]).unwrap());
    assert_eq!(copy_from(dir.path(), &csv(), &schema, 2).await, batch.project(&[1, 0, 2]).unwrap());
}

#[tokio::test]
async fn more_partitions_than_may_be_open_are_more_parts() {
    let values: Vec<String> = (0..COPY_TO_OPEN_MAX * 2).map(|value| format!("v{value}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let batch = numbered(0..(values.len() as i64 + 1) * 4, &values);
    for format in [csv(), parquet()] {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = copying_to(dir.path(), &format, &batch.schema());
        spec.target.partition_by = vec![2];
        // Each batch has all values once: every part is ended before its directory comes again.
        let once = values.len() + 1;
        let batches = (0..4).map(|at| batch.slice(at * once, once)).collect();
        let parts = copy_to(spec, batches).await;
        assert_eq!(parts.len(), 4 * once);
        assert!(copy_from(dir.path(), &format, &batch.schema(), 1).await == batch, "{format:?}");
        // In the order of the directories each is one part.
        let order = datafusion::arrow::compute::sort_to_indices(batch.column(2), None, None).unwrap();
        let sorted = datafusion::arrow::compute::take_record_batch(&batch, &order).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut spec = copying_to(dir.path(), &format, &batch.schema());
        spec.target.partition_by = vec![2];
        assert_eq!(copy_to(spec, vec![sorted]).await.len(), once);
    }
}

#[tokio::test]
async fn without_memory_parts_end_earlier() {
    let values: Vec<String> = (0..40).map(|value| format!("v{value}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let batch = numbered(0..41 * 100, &values);
    let dir = tempfile::tempdir().unwrap();
    let mut spec = copying_to(dir.path(), &csv(), &batch.schema());
    spec.target.partition_by = vec![2];
    let plan = copy_write(memory(&batch.schema(), vec![batch.slice(0, 2050), batch.slice(2050, 2050)]), spec).unwrap();
    // Buffers of ten open parts at most.
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(3 << 20, 1.0).build_arc().unwrap();
    let context = Arc::new(TaskContext::default().with_runtime(Arc::clone(&runtime)));
    datafusion::physical_plan::collect(plan, context).await.unwrap();
    assert_eq!(runtime.memory_pool.reserved(), 0);
    let files = tree(dir.path()).into_iter().filter(|name| !name.ends_with('/')).count();
    assert!(files > 41, "{files}");
    assert!(copy_from(dir.path(), &csv(), &batch.schema(), 1).await == batch);
}

#[tokio::test]
async fn a_single_file_takes_the_place_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("made/x.csv");
    let batch = numbered(0..10, &["x"]);
    for rows in [10, 3] {
        let mut spec = copying_to(&file, &csv(), &batch.schema());
        (spec.target.single, spec.target.max_file_bytes) = (true, None);
        let exports = spec.exports.clone();
        copy_to(spec, vec![batch.slice(0, rows)]).await;
        assert_eq!(tree(dir.path()), BTreeSet::from(["made/".into(), "made/x.csv".into()]));
        // What was there before is gone: the new one stays, whatever becomes of the statement.
        exports.take_back("part").await.unwrap();
        exports.end("part", false).await.unwrap();
        assert_eq!(copy_from(&file, &csv(), &batch.schema(), 0).await, batch.slice(0, rows));
    }
    let mut spec = copying_to(&dir.path().join("x/"), &csv(), &batch.schema());
    spec.target.single = true;
    spec.target.place.push('/');
    assert_eq!(failure(copy_write(memory(&batch.schema(), vec![batch]), spec).unwrap()).await.0, "22023");
}

/// Rows, then an error.
fn failing(batch: &RecordBatch, dir: &Path) -> Arc<dyn ExecutionPlan> {
    let path = dir.join("bad.csv");
    let good: String = (0..50_000).map(|row| format!("{row},v,{}\n", row % 5)).collect();
    fs::write(&path, format!("{good}x,y,z\n")).unwrap();
    let file = damson_cluster::CopyFile {
        url: path.to_str().unwrap().into(),
        bytes: fs::metadata(&path).unwrap().len(),
        etag: None,
        modified_us: None,
        partition: vec![],
    };
    let unit = damson_cluster::CopyUnit::Records { file, codec: Codec::None, newline: None, start: 0, end: u64::MAX };
    copy_read(copying(&csv(), &batch.schema(), vec![unit])).unwrap()
}

async fn until_empty(directory: &Path) {
    for _ in 0..500 {
        if tree(directory).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left behind: {:?}", tree(directory));
}

#[tokio::test]
async fn a_failure_leaves_neither_files_nor_directories() {
    let batch = numbered(0..1, &["x"]);
    for partition_by in [vec![], vec![2]] {
        let (dir, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // Parts that are whole before the failure, and some that are not.
        let mut spec = copying_to(&dir.path().join("a/b"), &csv(), &batch.schema());
        (spec.target.partition_by, spec.target.max_file_bytes) = (partition_by, Some(20_000));
        let plan = copy_write(failing(&batch, source.path()), spec).unwrap();
        assert_eq!(failure(plan).await.0, "22P02");
        until_empty(dir.path()).await;
    }
}

#[tokio::test]
async fn a_cancel_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let batch = numbered(0..50_000, &["a", "b", "c"]);
    let mut spec = copying_to(&dir.path().join("out"), &csv(), &batch.schema());
    (spec.target.partition_by, spec.target.max_file_bytes) = (vec![2], Some(20_000));
    let exports = spec.exports.clone();
    let plan = copy_write(memory(&batch.schema(), vec![batch; 50]), spec).unwrap();
    let mut stream = plan.execute(0, Arc::new(TaskContext::default())).unwrap();
    let mut seen = false;
    // Until the first files are there.
    for _ in 0..10_000 {
        let row = tokio::time::timeout(Duration::from_millis(1), stream.next()).await;
        assert!(row.is_err(), "it has ended before it was cancelled");
        if tree(dir.path()).iter().any(|name| name.ends_with(".csv")) {
            seen = true;
            break;
        }
    }
    assert!(seen);
    drop(stream);
    exports.take_back("part").await.unwrap();
    exports.end("part", false).await.unwrap();
    assert_eq!(tree(dir.path()), BTreeSet::new());
}

#[tokio::test]
async fn a_statement_that_fails_elsewhere_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("a/out");
    let batch = numbered(0..1_000, &["x", "y"]);
    // Two segments of one host: each has made some of the directories that both use.
    let exports = [Exports::default(), Exports::default()];
    for (content, exports) in exports.iter().enumerate() {
        let mut spec = copying_to(&to, &csv(), &batch.schema());
        spec.target.partition_by = vec![2];
        (spec.content, spec.exports) = (ContentId(content as i32), exports.clone());
        copy_to(spec, vec![batch.slice(content * 500, 500)]).await;
    }
    assert_eq!(tree(dir.path()).iter().filter(|name| name.ends_with(".csv")).count(), 6);
    for exports in &exports {
        exports.take_back("part").await.unwrap();
    }
    assert!(tree(dir.path()).iter().all(|name| name.ends_with('/')), "{:?}", tree(dir.path()));
    for exports in &exports {
        assert_eq!(exports.end("part", false).await.unwrap(), 0);
    }
    assert_eq!(tree(dir.path()), BTreeSet::new());

    // A directory of the second within those of the first, which has files in it.
    let exports = [Exports::default(), Exports::default()];
    for (content, text) in [(0, "x"), (1, "z"), (0, "z")] {
        let mut spec = copying_to(&to, &csv(), &batch.schema());
        spec.target.partition_by = vec![2];
        (spec.content, spec.exports) = (ContentId(content), exports[content as usize].clone());
        copy_to(spec, vec![numbered(0..9, &[text])]).await;
    }
    exports[1].take_back("part").await.unwrap();
    exports[0].take_back("part").await.unwrap();
    assert_eq!(exports[0].end("part", false).await.unwrap(), 2, "a, and a/out");
    assert_eq!(exports[1].end("part", false).await.unwrap(), 0);
    assert_eq!(exports[0].end("part", false).await.unwrap(), 0);
    assert_eq!(tree(dir.path()), BTreeSet::new());

    // What was there before stays, and so do files that are kept.
    fs::create_dir_all(&to).unwrap();
    let spec = copying_to(&to, &csv(), &batch.schema());
    let exports = spec.exports.clone();
    copy_to(spec, vec![batch.clone()]).await;
    exports.take_back("part").await.unwrap();
    exports.end("part", false).await.unwrap();
    assert_eq!(tree(dir.path()), BTreeSet::from(["a/".into(), "a/out/".into()]));
    let spec = copying_to(&to, &csv(), &batch.schema());
    let exports = spec.exports.clone();
    copy_to(spec, vec![batch.clone()]).await;
    exports.end("part", true).await.unwrap();
    exports.take_back("part").await.unwrap();
    assert_eq!(copy_from(&to, &csv(), &batch.schema(), 0).await, batch);

    // A writer that comes after the end does not begin.
    let mut spec = copying_to(&to, &csv(), &batch.schema());
    spec.target.stem = "late".into();
    spec.exports.take_back("late").await.unwrap();
    let plan = copy_write(memory(&batch.schema(), vec![batch]), spec).unwrap();
    assert_eq!(failure(plan).await.0, "57014");
}

#[tokio::test]
async fn a_manifest_is_new_and_goes_with_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("out");
    let batch = numbered(0..10, &["x"]);
    let spec = copying_to(&to, &csv(), &batch.schema());
    check_no_manifest(&spec).await.unwrap();
    copy_to(spec.clone(), vec![batch.clone()]).await;
    write_manifest(&spec, "{}".into()).await.unwrap();
    assert_eq!(fs::read_to_string(to.join(COPY_MANIFEST)).unwrap(), "{}");
    // COPY FROM the directory passes over it.
    assert_eq!(copy_from(&to, &csv(), &batch.schema(), 0).await, batch);
    assert_eq!(check_no_manifest(&spec).await.unwrap_err().sqlstate(), "58P02");
    let other = CopyWriteSpec { exports: Exports::default(), ..spec.clone() };
    assert_eq!(write_manifest(&other, "other".into()).await.unwrap_err().sqlstate(), "58P02");
    other.exports.take_back("part").await.unwrap();
    assert_eq!(fs::read_to_string(to.join(COPY_MANIFEST)).unwrap(), "{}");
    spec.exports.take_back("part").await.unwrap();
    spec.exports.end("part", false).await.unwrap();
    assert_eq!(tree(dir.path()), BTreeSet::new());
}

#[tokio::test]
async fn places_that_cannot_be_written_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("seg0").join("base");
    fs::create_dir_all(&data).unwrap();
    let batch = numbered(0..10, &["x"]);
    fs::write(dir.path().join("file"), "x").unwrap();
    std::os::unix::fs::symlink(&data, dir.path().join("link")).unwrap();
    let long = "x".repeat(300);
    let other = numbered(0..3, &[&long]);
    for (place, partition_by, batch, sqlstate) in [
        (data.join("out"), vec![], &batch, "42501"),
        (dir.path().join("link/out"), vec![], &batch, "42501"),
        (dir.path().join("file"), vec![], &batch, "58P02"),
        (dir.path().join("new"), vec![2], &other, "54000"),
    ] {
        let mut spec = copying_to(&place, &csv(), &batch.schema());
        spec.target.partition_by = partition_by;
        spec.data_dir = Some(dir.path().join("seg0").canonicalize().unwrap());
        let plan = copy_write(memory(&batch.schema(), vec![batch.clone()]), spec).unwrap();
        assert_eq!(failure(plan).await.0, sqlstate, "{}", place.display());
    }
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
}
