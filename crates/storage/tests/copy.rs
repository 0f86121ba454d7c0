//! COPY: PostgreSQL's CSV rules, errors with their places, Parquet's casts, and what is written reads back.

mod support;

use damson_cluster::{Codec, CopiedPart, CopyFile, CopyFormat, CopyUnit, CsvOptions, ParquetOptions};
use damson_storage::{StorageError, copy_write};
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::physical_plan::ExecutionPlan;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use support::*;

fn schema(columns: &[(&str, DataType, bool)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, t, null)| Field::new(*name, t.clone(), *null)).collect::<Vec<_>>()))
}

/// Two nullable texts.
fn texts() -> SchemaRef {
    schema(&[("a", DataType::Utf8View, true), ("b", DataType::Utf8View, true)])
}

fn csv(options: CsvOptions) -> CopyFormat {
    CopyFormat::Csv(options)
}

fn write_file(dir: &Path, text: &[u8]) -> String {
    let path = dir.join("data.csv").to_str().unwrap().to_owned();
    fs::write(&path, text).unwrap();
    path
}

/// A file as a listing has it.
fn listed(path: &str) -> CopyFile {
    let metadata = fs::metadata(path).unwrap();
    let modified = metadata.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    CopyFile {
        url: path.into(),
        bytes: metadata.len(),
        etag: None,
        modified_us: Some(modified.as_micros() as i64),
        partition: vec![],
    }
}

fn records(path: &str, start: u64, end: u64) -> CopyUnit {
    CopyUnit::Records { file: listed(path), codec: Codec::by_name(path), newline: None, start, end }
}

fn row_groups(path: &str, row_groups: Vec<usize>) -> CopyUnit {
    CopyUnit::RowGroups { file: listed(path), row_groups }
}

fn copy_read(
    format: &CopyFormat,
    schema: &SchemaRef,
    units: Vec<CopyUnit>,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    damson_storage::copy_read(copying(format, schema, units))
}

fn whole(path: &str) -> Vec<CopyUnit> {
    vec![records(path, 0, u64::MAX)]
}

/// Rows as texts, NULL as None.
async fn read(text: &str, options: CsvOptions, schema: &SchemaRef) -> Vec<Vec<Option<String>>> {
    let dir = tempfile::tempdir().unwrap();
    let path = write_file(dir.path(), text.as_bytes());
    let batch = rows(copy_read(&csv(options), schema, whole(&path)).unwrap()).await.unwrap();
    let columns: Vec<_> = batch.columns().iter().map(|column| column.as_string_view().clone()).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.is_valid(row).then(|| column.value(row).to_owned())).collect())
        .collect()
}

async fn refuse(text: &[u8], options: CsvOptions, schema: &SchemaRef) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = write_file(dir.path(), text);
    let (sqlstate, message) = failure(copy_read(&csv(options), schema, whole(&path)).unwrap()).await;
    assert!(message.contains(&path), "{message}");
    (sqlstate, message.replace(&path, "FILE"))
}

#[tokio::test]
async fn csv_values() {
    let pipe = || CsvOptions { delimiter: b'|', ..CsvOptions::default() };
    let slash = || CsvOptions { escape: b'\\', ..CsvOptions::default() };
    let word = || CsvOptions { null: "NULL".into(), ..CsvOptions::default() };
    for (name, text, options, want) in [
        ("plain", "1,2\n3,4\n", CsvOptions::default(), vec![[Some("1"), Some("2")], [Some("3"), Some("4")]]),
        ("no last line end", "1,2\n3,4", CsvOptions::default(), vec![[Some("1"), Some("2")], [Some("3"), Some("4")]]),
        (
            "carriage returns",
            "1,2\r\n3,4\r\n",
            CsvOptions::default(),
            vec![[Some("1"), Some("2")], [Some("3"), Some("4")]],
        ),
        ("a carriage return after a quote", "1,\"2\"\r\n", CsvOptions::default(), vec![[Some("1"), Some("2")]]),
        ("a carriage return in quotes", "1,\"2\r\"\r\n", CsvOptions::default(), vec![[Some("1"), Some("2\r")]]),
        ("null and empty", ",\"\"\n\"\",\n", CsvOptions::default(), vec![[None, Some("")], [Some(""), None]]),
        ("a word for null", "NULL,\"NULL\"\n,nULL\n", word(), vec![[None, Some("NULL")], [Some(""), Some("nULL")]]),
        ("delimiter in quotes", "\"a,b\",c\n", CsvOptions::default(), vec![[Some("a,b"), Some("c")]]),
        ("line end in quotes", "\"a\nb\r\nc\",d\n", CsvOptions::default(), vec![[Some("a\nb\r\nc"), Some("d")]]),
        ("doubled quote", "\"a\"\"b\",\"\"\"\"\n", CsvOptions::default(), vec![[Some("a\"b"), Some("\"")]]),
        ("quotes inside a field", "a\"b,c\"d,\"e\"f\"g\"\n", CsvOptions::default(), vec![[Some("ab,cd"), Some("efg")]]),
        ("escape", "\"a\\\"b\",\"c\\\\d\"\n", slash(), vec![[Some("a\"b"), Some("c\\d")]]),
        ("escape of nothing", "\"a\\b\",c\\\"d\"\n", slash(), vec![[Some("a\\b"), Some("c\\d")]]),
        ("an empty quoted null word", "\"\"x,y\n", CsvOptions::default(), vec![[Some("x"), Some("y")]]),
        (
            "header",
            "h1,\"h\n2\",h3\n1,2\n",
            CsvOptions { header: true, ..CsvOptions::default() },
            vec![[Some("1"), Some("2")]],
        ),
        ("byte order mark", "\u{feff}1,2\n", CsvOptions::default(), vec![[Some("1"), Some("2")]]),
        (
            "mark and header",
            "\u{feff}a,b\n1,2\n",
            CsvOptions { header: true, ..CsvOptions::default() },
            vec![[Some("1"), Some("2")]],
        ),
        ("header only", "a,b\n", CsvOptions { header: true, ..CsvOptions::default() }, vec![]),
        ("nothing at all", "", CsvOptions { header: true, ..CsvOptions::default() }, vec![]),
        (
            "trailing delimiter",
            "1|2|\n3||\n|4|",
            pipe(),
            vec![[Some("1"), Some("2")], [Some("3"), None], [None, Some("4")]],
        ),
        (
            "other quote",
            "'a|b'|'c''d'\n",
            CsvOptions { quote: b'\'', escape: b'\'', ..pipe() },
            vec![[Some("a|b"), Some("c'd")]],
        ),
        ("unicode", "äöü,\"\u{1f600}\"\n", CsvOptions::default(), vec![[Some("äöü"), Some("\u{1f600}")]]),
        ("spaces are values", " a ,\" b\" \n", CsvOptions::default(), vec![[Some(" a "), Some(" b ")]]),
    ] {
        let want: Vec<Vec<Option<String>>> =
            want.into_iter().map(|row| row.into_iter().map(|v| v.map(str::to_owned)).collect()).collect();
        assert_eq!(read(text, options, &texts()).await, want, "{name}");
    }
}

#[tokio::test]
async fn an_empty_line_is_a_row_of_one_column() {
    let one = schema(&[("a", DataType::Utf8View, true)]);
    let got = read("x\n\n\"\"\n", CsvOptions::default(), &one).await;
    assert_eq!(got, [[Some("x".to_owned())], [None], [Some(String::new())]]);
}

#[tokio::test]
async fn csv_errors_name_file_line_and_column() {
    let typed =
        schema(&[("i", DataType::Int32, false), ("d", DataType::Date32, true), ("n", DataType::Decimal64(5, 2), true)]);
    for (text, sqlstate, want) in [
        ("1,,\nabc,,\n", "22P02", "invalid input syntax for type integer (file FILE, line 2, column i: \"abc\")"),
        ("1,,\n\"a\nb\",,\n", "22P02", "line 2, column i: \"a\nb\""),
        (
            "1,\"1994-01-01\n\",\n1,1,\n",
            "22007",
            "invalid input syntax for type date (file FILE, line 3, column d: \"1\")",
        ),
        (
            "2147483648,,\n",
            "22003",
            "value out of range for type integer (file FILE, line 1, column i: \"2147483648\")",
        ),
        (
            "1,1994-02-30,\n",
            "22008",
            "date/time field value out of range (file FILE, line 1, column d: \"1994-02-30\")",
        ),
        ("1,,999.994\n1,,999.995\n", "22003", "numeric(5,2) (file FILE, line 2, column n: \"999.995\")"),
        (",,\n", "23502", "null value in column \"i\" violates not-null constraint (file FILE, line 1, column i)"),
        ("1,,\n\n2,,\n", "22P04", "missing data for column \"d\" (file FILE, line 2, column d: \"\")"),
        ("1,\n", "22P04", "missing data for column \"n\" (file FILE, line 1, column n: \"1,\")"),
        ("1,,,x\r\n", "22P04", "extra data after last expected column (file FILE, line 1: \"1,,,x\")"),
        ("1,,,,\n", "22P04", "extra data"),
        ("1,,,\"\"\n", "22P04", "extra data"),
        ("1,,\n2,\"x,\n", "22P04", "unterminated CSV quoted field (file FILE, line 2: \"2,\"x,\")"),
        // The first record that is wrong wins, then its first column.
        ("1,,x\nx,,\n", "22P02", "line 1, column n: \"x\""),
        ("x,x,x\n", "22P02", "column i"),
        ("1,,\nx,,\n1,\n", "22P02", "line 2, column i"),
    ] {
        let (got, message) = refuse(text.as_bytes(), CsvOptions::default(), &typed).await;
        assert_eq!(got, sqlstate, "{text:?}: {message}");
        assert!(message.contains(want), "{text:?}: {message}");
    }

    let (sqlstate, message) = refuse(b"a,b\nc,d\xff\n", CsvOptions::default(), &texts()).await;
    assert_eq!(sqlstate, "22021");
    assert!(message.contains("0xff (file FILE, line 2, column b"), "{message}");
    let (sqlstate, message) = refuse(b"a,b\0\n", CsvOptions::default(), &texts()).await;
    assert_eq!(sqlstate, "22021");
    assert!(message.contains("0x00 (file FILE, line 1, column b"), "{message}");

    // A value is shown cut.
    let long = format!("{},,\n", "x".repeat(500));
    let (_, message) = refuse(long.as_bytes(), CsvOptions::default(), &typed).await;
    assert!(message.len() < 250 && message.contains("xxx…"), "{message}");
}

#[tokio::test]
async fn an_error_in_a_later_unit_and_block_has_its_line_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = Vec::new();
    for i in 0..600_000 {
        text.extend(format!("{i},some text to make the line longer\n").bytes());
    }
    let start = text.len() as u64;
    for i in 0..600_000 {
        text.extend(
            format!("{},\"some text\nto make the line longer\"\n", if i == 500_000 { "oops" } else { "1" }).bytes(),
        );
    }
    let path = write_file(dir.path(), &text);
    let unit = records(&path, start, text.len() as u64);
    let schema = schema(&[("i", DataType::Int64, true), ("t", DataType::Utf8View, true)]);
    let (_, message) = failure(copy_read(&csv(CsvOptions::default()), &schema, vec![unit]).unwrap()).await;
    assert!(message.contains("line 1600001, column i: \"oops\""), "{message}");
}

#[tokio::test]
async fn a_parquet_column_that_two_names_mean_is_read_for_both() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.parquet");
    let stored = schema(&[("A", DataType::Int64, true), ("b", DataType::Int64, true)]);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(Int64Array::from(vec![3, 4]))];
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), Arc::clone(&stored), None).unwrap();
    writer.write(&RecordBatch::try_new(stored, columns).unwrap()).unwrap();
    writer.close().unwrap();
    let format = CopyFormat::Parquet(ParquetOptions::default());
    let target = schema(&[("a", DataType::Int64, true), ("b", DataType::Int64, true), ("A", DataType::Int64, true)]);
    let read = copy_read(&format, &target, vec![row_groups(path.to_str().unwrap(), vec![0])]).unwrap();
    let batch = rows(read).await.unwrap();
    let got = [0, 1, 2].map(|column| batch.column(column).as_primitive::<Int64Type>().values().to_vec());
    assert_eq!(got, [[1, 2], [3, 4], [1, 2]]);
}

#[tokio::test]
async fn units_cover_a_file_and_records_span_blocks() {
    let dir = tempfile::tempdir().unwrap();
    // Records of several MiB between short ones; the header is in the first unit only.
    let mut text = b"h,h\n".to_vec();
    let mut starts = Vec::new();
    let lengths = [1usize, 5 << 20, 3, 4 << 20, (4 << 20) - 10, 7, 9 << 20];
    for (i, length) in lengths.into_iter().enumerate() {
        starts.push(text.len() as u64);
        text.extend(format!("{i},\"").bytes());
        text.extend(b"x\n\"\"".iter().copied().cycle().take(length / 4 * 4));
        text.extend(b"\"\n");
    }
    let path = write_file(dir.path(), &text);
    let end = text.len() as u64;
    let schema = schema(&[("i", DataType::Int64, true), ("t", DataType::Utf8View, true)]);
    for cuts in [vec![], vec![2], vec![1, 2, 3, 4, 5, 6]] {
        let mut edges = vec![0];
        edges.extend(cuts.iter().map(|&i: &usize| starts[i]));
        edges.push(end);
        let units = edges.windows(2).map(|w| records(&path, w[0], w[1]));
        let options = CsvOptions { header: true, ..CsvOptions::default() };
        let got = rows(copy_read(&csv(options), &schema, units.collect()).unwrap()).await.unwrap();
        assert_eq!(got.column(0).as_primitive::<Int64Type>().values()[..], [0, 1, 2, 3, 4, 5, 6]);
        let texts = got.column(1).as_string_view();
        for (i, length) in lengths.into_iter().enumerate() {
            // Every `x\n""` is `x\n"`.
            assert_eq!(texts.value(i).len(), length / 4 * 3, "{i}");
        }
    }
}

/// The record starts of a text, one byte after the other.
fn record_starts(text: &[u8], options: &CsvOptions) -> Vec<u64> {
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
    starts
}

#[tokio::test]
async fn every_record_is_read_once_however_a_file_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let options = CsvOptions { escape: if random.random() { b'"' } else { b'\\' }, ..CsvOptions::default() };
        let line_end = if random.random() { &b"\"\n"[..] } else { b"\"\r\n" };
        let mut text = Vec::new();
        let mut want = Vec::new();
        for row in 0..random.random_range(1..300) {
            let mut value = String::new();
            for _ in 0..random.random_range(0..10) {
                value.push(['x', '\n', '"', '\\', ',', '\r', 'ä'][random.random_range(0..7)]);
            }
            text.extend(format!("{row},\"").bytes());
            for byte in value.bytes() {
                if byte == options.quote || byte == options.escape {
                    text.push(options.escape);
                }
                text.push(byte);
            }
            text.extend(line_end);
            want.push((row, value));
        }
        let path = write_file(dir.path(), &text);
        let mut edges: Vec<u64> = record_starts(&text, &options);
        let end = edges.pop().unwrap();
        edges.retain(|&at| at == 0 || random.random_ratio(1, 10));
        edges.push(end);
        let units = edges.windows(2).map(|w| records(&path, w[0], w[1]));
        let target = schema(&[("i", DataType::Int32, false), ("t", DataType::Utf8View, false)]);
        let got = rows(copy_read(&csv(options), &target, units.collect()).unwrap()).await.unwrap();
        let (numbers, texts) = (got.column(0).as_primitive::<Int32Type>(), got.column(1).as_string_view());
        let got: Vec<(i32, String)> =
            (0..got.num_rows()).map(|row| (numbers.value(row), texts.value(row).to_owned())).collect();
        assert_eq!(got, want, "seed {seed}");
    }
}

#[tokio::test]
async fn batches_are_full() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..300_000).map(|i| format!("{i}|{}|\n", i * 7)).collect();
    let path = write_file(dir.path(), text.as_bytes());
    let options = CsvOptions { delimiter: b'|', ..CsvOptions::default() };
    let schema = schema(&[("a", DataType::Int32, false), ("b", DataType::Int64, false)]);
    let batches = run(copy_read(&csv(options), &schema, whole(&path)).unwrap()).await.unwrap();
    let (last, full) = batches.split_last().unwrap();
    assert!(full.iter().all(|batch| batch.num_rows() == 8192));
    assert_eq!(last.num_rows(), 300_000 % 8192);
    let mut at = 0;
    for batch in &batches {
        for (a, b) in batch
            .column(0)
            .as_primitive::<Int32Type>()
            .values()
            .iter()
            .zip(batch.column(1).as_primitive::<Int64Type>().values())
        {
            assert_eq!((*a, *b), (at, i64::from(at) * 7));
            at += 1;
        }
    }
}

#[tokio::test]
async fn options_and_files_that_cannot_be() {
    for (options, word) in [
        (CsvOptions { delimiter: b'\n', ..CsvOptions::default() }, "DELIMITER"),
        (CsvOptions { delimiter: 0xe9, ..CsvOptions::default() }, "DELIMITER"),
        (CsvOptions { delimiter: b'"', ..CsvOptions::default() }, "DELIMITER"),
        (CsvOptions { quote: b'\r', ..CsvOptions::default() }, "QUOTE"),
    ] {
        let error = copy_read(&csv(options), &texts(), vec![]).unwrap_err();
        assert_eq!(error.sqlstate(), "22023");
        assert!(error.to_string().contains(word), "{error}");
    }
    let list = schema(&[("l", DataType::new_list(DataType::Int64, true), true)]);
    assert_eq!(copy_read(&csv(CsvOptions::default()), &list, vec![]).unwrap_err().sqlstate(), "0A000");

    let unit = CopyUnit::Records {
        file: CopyFile { url: "/nowhere/x.csv".into(), bytes: 1, etag: None, modified_us: None, partition: vec![] },
        codec: Codec::None,
        newline: None,
        start: 0,
        end: 1,
    };
    let (sqlstate, message) = failure(copy_read(&csv(CsvOptions::default()), &texts(), vec![unit]).unwrap()).await;
    assert!(sqlstate == "58P01" && message.contains("/nowhere/x.csv"), "{message}");
}

fn parquet() -> CopyFormat {
    CopyFormat::Parquet(ParquetOptions {})
}

fn write_parquet(dir: &Path, batch: &RecordBatch) -> String {
    let path = dir.join("data.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    path.to_str().unwrap().to_owned()
}

fn all_of(path: &str) -> Vec<CopyUnit> {
    vec![row_groups(path, vec![0])]
}

#[tokio::test]
async fn parquet_files_are_matched_and_cast() {
    let dir = tempfile::tempdir().unwrap();
    let nanos = TimestampNanosecondArray::from(vec![Some(1_999), None]);
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("T", Arc::new(StringArray::from(vec![Some("x"), None])) as ArrayRef, true),
        ("extra", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef, true),
        ("i", Arc::new(Int64Array::from(vec![Some(5), None])) as ArrayRef, true),
        ("n", Arc::new(Decimal128Array::from(vec![Some(12_345), None]).with_precision_and_scale(20, 3).unwrap()), true),
        ("ts", Arc::new(nanos) as ArrayRef, true),
    ])
    .unwrap();
    let path = write_parquet(dir.path(), &batch);
    let target = schema(&[
        ("i", DataType::Int32, true),
        ("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ("n", DataType::Decimal64(10, 2), true),
        ("t", DataType::Utf8View, true),
    ]);
    let got = rows(copy_read(&parquet(), &target, all_of(&path)).unwrap()).await.unwrap();
    assert_eq!(got.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(5), None]);
    assert_eq!(got.column(1).as_primitive::<TimestampMicrosecondType>().iter().collect::<Vec<_>>(), [Some(1), None]);
    assert_eq!(got.column(2).as_primitive::<Decimal64Type>().iter().collect::<Vec<_>>(), [Some(1235), None]);
    assert_eq!(got.column(3).as_string_view().iter().collect::<Vec<_>>(), [Some("x"), None]);

    for (target, sqlstate, want) in [
        (schema(&[("i", DataType::Int16, false)]), "23502", "column i: null value"),
        (schema(&[("n", DataType::Decimal64(3, 2), true)]), "22003", "column n: "),
        (schema(&[("t", DataType::Int32, true)]), "22P02", "column t: invalid input syntax for type integer: \"x\""),
        (schema(&[("z", DataType::Int32, true)]), "22P04", "none named \"z\""),
    ] {
        let (got, message) = failure(copy_read(&parquet(), &target, all_of(&path)).unwrap()).await;
        assert_eq!(got, sqlstate, "{message}");
        assert!(message.contains(want) && message.contains(&path), "{message}");
    }

    let text = write_file(dir.path(), b"this is not Parquet at all");
    let (sqlstate, message) = failure(copy_read(&parquet(), &target, all_of(&text)).unwrap()).await;
    assert!(sqlstate == "22P04" && message.contains(&text), "{message}");
}

/// What COPY TO writes, COPY FROM reads.
fn samples() -> RecordBatch {
    let text = StringViewArray::from(vec![
        Some("plain"),
        Some(""),
        Some("NULL"),
        None,
        Some("comma, \"quote\", \\ and\nline\r\nends"),
        Some("ä|'"),
    ]);
    let interval = |months, days, micros: i64| Some(IntervalMonthDayNano::new(months, days, micros * 1_000));
    let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        [Some([1u8; 16]), None, None, None, None, None].into_iter(),
        16,
    );
    RecordBatch::try_from_iter_with_nullable([
        ("t", Arc::new(text) as ArrayRef, true),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, None, None, None])), true),
        ("i2", Arc::new(Int16Array::from(vec![Some(-1), None, Some(2), None, None, None])), true),
        ("i8", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None, None, None, None])), true),
        ("f4", Arc::new(Float32Array::from(vec![Some(0.1), Some(1e30), Some(-1e-30), None, None, None])), true),
        (
            "f8",
            Arc::new(Float64Array::from(vec![
                Some(0.1),
                Some(1e300),
                Some(f64::NEG_INFINITY),
                Some(5e-324),
                None,
                None,
            ])),
            true,
        ),
        (
            "n",
            Arc::new(
                Decimal64Array::from(vec![Some(-5), Some(100), Some(10i64.pow(18) - 1), None, None, None])
                    .with_precision_and_scale(18, 2)
                    .unwrap(),
            ),
            true,
        ),
        (
            "m",
            Arc::new(
                Decimal128Array::from(vec![Some(1 - 10i128.pow(38)), None, Some(0), None, None, None])
                    .with_precision_and_scale(38, 12)
                    .unwrap(),
            ),
            true,
        ),
        ("d", Arc::new(Date32Array::from(vec![Some(-719_162), Some(0), Some(20_000), None, None, None])), true),
        (
            "tm",
            Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(86_399_999_999), None, None, None, None])),
            true,
        ),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(1), None, None, None, None])), true),
        (
            "tz",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(-1), Some(1_500_000), None, None, None, None])
                    .with_timezone("UTC"),
            ),
            true,
        ),
        (
            "iv",
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                interval(14, -3, 14_706_789_000),
                interval(-1, 0, 0),
                interval(0, -1, 7_200_000_000),
                interval(0, 0, -1),
                interval(0, 0, 0),
                None,
            ])),
            true,
        ),
        ("y", Arc::new(BinaryViewArray::from(vec![Some(&[0u8, 255][..]), Some(b""), None, None, None, None])), true),
        ("u", Arc::new(uuids.unwrap()), true),
    ])
    .unwrap()
}

fn urls(report: &[u8]) -> Vec<String> {
    let parts: Vec<CopiedPart> = serde_json::from_slice(report).unwrap();
    parts.into_iter().map(|part| part.url).collect()
}

async fn export(batch: &RecordBatch, dir: &Path, format: &CopyFormat) -> Vec<String> {
    let input = memory(&batch.schema(), vec![batch.clone(), batch.slice(0, 0), batch.slice(2, 2)]);
    let plan = copy_write(input, copying_to(dir, format, &batch.schema())).unwrap();
    assert_eq!(plan.schema().field(0).name(), "rows");
    let (files, rows) = sink(plan).await.unwrap();
    assert_eq!(rows, batch.num_rows() as u64 + 2);
    urls(&files)
}

#[tokio::test]
async fn what_is_written_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let batch = samples();
    let out = dir.path().join("made/by/copy");
    for options in [
        CsvOptions::default(),
        CsvOptions { header: true, null: "NULL".into(), ..CsvOptions::default() },
        CsvOptions { delimiter: b'|', quote: b'\'', escape: b'\\', ..CsvOptions::default() },
    ] {
        let format = csv(options);
        let files = export(&batch, &out, &format).await;
        assert_eq!(files, [out.join("seg0-part_0.csv").to_str().unwrap()]);
        let got = rows(copy_read(&format, &batch.schema(), whole(&files[0])).unwrap()).await.unwrap();
        assert_eq!(got.slice(0, 6), batch, "{}", fs::read_to_string(&files[0]).unwrap());
        assert_eq!(got.slice(6, 2), batch.slice(2, 2));
    }

    let files = export(&batch, &out, &parquet()).await;
    let got = rows(copy_read(&parquet(), &batch.schema(), all_of(&files[0])).unwrap()).await.unwrap();
    assert_eq!(got.slice(0, 6), batch);
    assert_eq!(got.slice(6, 2), batch.slice(2, 2));

    // Nothing else is left in the directory.
    let mut names: Vec<_> =
        fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["seg0-part_0.csv", "seg0-part_0.parquet"]);
}

#[tokio::test]
async fn csv_is_written_as_postgresql_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let batch = samples().project(&[0, 1, 6, 9, 11]).unwrap().slice(0, 5);
    let (schema, input) = (batch.schema(), memory(&batch.schema(), vec![batch]));
    let format = csv(CsvOptions { header: true, ..CsvOptions::default() });
    let plan = copy_write(input, copying_to(dir.path(), &format, &schema)).unwrap();
    let files = urls(&sink(plan).await.unwrap().0);
    let want = "t,b,n,tm,tz\n\
        plain,t,-0.05,00:00:00,1969-12-31 23:59:59.999999+00\n\
        \"\",f,1.00,23:59:59.999999,1970-01-01 00:00:01.5+00\n\
        NULL,,9999999999999999.99,,\n\
        ,,,,\n\
        \"comma, \"\"quote\"\", \\ and\nline\r\nends\",,,,\n";
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), want);
}

#[tokio::test]
async fn a_failed_export_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_file(dir.path(), b"1\nx\n");
    let out = dir.path().join("out");
    let one = schema(&[("i", DataType::Int32, true)]);
    let input = copy_read(&csv(CsvOptions::default()), &one, whole(&path)).unwrap();
    let plan = copy_write(input, copying_to(&out, &csv(CsvOptions::default()), &one)).unwrap();
    assert_eq!(failure(plan).await.0, "22P02");
    for _ in 0..200 {
        // The directory was made for it.
        if !out.exists() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("left behind in {}", out.display());
}
