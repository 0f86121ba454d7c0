//! COPY FROM with rows that cannot be read: what is passed over, what is said of it, and when the statement fails of it.

mod support;

use damson_cluster::{
    Codec, CopyCounts, CopyFile, CopyFormat, CopyUnit, CsvOptions, JsonOptions, Newline, OnBadRow, ParquetOptions,
    RejectLimit, TextOptions,
};
use damson_storage::{CopyRead, copy_read};
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use datafusion::parquet::arrow::ArrowWriter;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use support::*;

/// A number that must be there, and a text of 3 characters at most.
fn target() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("i", DataType::Int32, false), Field::new("t", DataType::Utf8View, true)]))
}

fn put(dir: &Path, name: &str, bytes: &[u8]) -> CopyFile {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    let url = path.to_str().unwrap().to_owned();
    CopyFile { url, bytes: bytes.len() as u64, etag: None, modified_us: None, partition: vec![] }
}

fn read(format: &CopyFormat, on_bad_row: OnBadRow, units: Vec<CopyUnit>) -> CopyRead {
    CopyRead { on_bad_row, max_chars: vec![None, Some(3)], ..copying(format, &target(), units) }
}

fn whole(file: CopyFile) -> Vec<CopyUnit> {
    let codec = Codec::by_name(&file.url);
    vec![CopyUnit::Records { file, codec, newline: None, start: 0, end: u64::MAX }]
}

fn many() -> OnBadRow {
    OnBadRow::Reject { limit: RejectLimit::Rows(u64::MAX), log: false }
}

/// The numbers that were read.
async fn numbers(read: CopyRead) -> Vec<i32> {
    let batch = rows(copy_read(read).unwrap()).await.unwrap();
    batch.column(0).as_primitive::<Int32Type>().values().to_vec()
}

/// What a report says: line, column, SQLSTATE, message and record.
async fn report(format: &CopyFormat, units: Vec<CopyUnit>) -> Vec<(i64, String, String, String, String)> {
    let batch = rows(copy_read(read(format, OnBadRow::Report, units)).unwrap()).await.unwrap();
    let text = |name: &str, row: usize| {
        let column = batch.column_by_name(name).unwrap().as_string_view();
        if column.is_null(row) { "-".to_owned() } else { column.value(row).to_owned() }
    };
    let lines = batch.column_by_name("linenum").unwrap().as_primitive::<Int64Type>();
    (0..batch.num_rows())
        .map(|row| {
            let (message, raw) = (text("errmsg", row), text("rawdata", row));
            (lines.value(row), text("colname", row), text("sqlstate", row), message, raw)
        })
        .collect()
}

#[tokio::test]
async fn good_rows_of_every_format_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let csv = b"1,a\nx,b\n2,c,d\n,e\n3,abcd\n4\n5,\"f\ng\"\n6,\xff\n7,h\0\n8,i   \n999999999999,j\nx,abcd\n9,k";
    let text = b"1\ta\nx\tb\n2\tc\td\n\\N\te\n3\tabcd\n4\n5\tf\\\ng\n6\t\xff\n7\t\\x00\n8\t\\151   \n999999999999\tj\n9\tk\n\\.\nmore\n";
    let json = br#"{"i": 1, "t": "a"}
{"i": "x"}
[1]

{"t": "e"}
{"i": 3, "t": "abcd"}
{"i": 5, "t": "f\ng"}
{"i": 7, "t": "\u0000"}
{"i": 8, "t": "i   "}
{"i": 999999999999}
{"i": 9"#;
    for (name, format, bytes, good, rejected) in [
        ("a.csv", CopyFormat::Csv(CsvOptions::default()), &csv[..], vec![1, 5, 8, 9], 9),
        ("a.txt", CopyFormat::Text(TextOptions::default()), &text[..], vec![1, 5, 8, 9], 8),
        ("a.json", CopyFormat::Json(JsonOptions::default()), &json[..], vec![1, 5, 8], 7),
    ] {
        let read = read(&format, many(), whole(put(dir.path(), name, bytes)));
        let progress = Arc::clone(&read.progress);
        let rows = good.len() as u64;
        assert_eq!(numbers(read).await, good, "{name}");
        let bytes = bytes.len() as u64;
        let want = CopyCounts { units: 1, units_done: 1, bytes, bytes_done: bytes, rows, rejected };
        assert_eq!(progress.counts(), want, "{name}");
    }
}

#[tokio::test]
async fn a_report_names_every_bad_row() {
    let dir = tempfile::tempdir().unwrap();
    let format = CopyFormat::Csv(CsvOptions { header: true, ..CsvOptions::default() });
    let file = put(dir.path(), "a.csv", b"i,t\n1,\"a\nb\"\nx,b\n2,c,d\n,\n3,abcd\n4\n6,a\xff\n7\r,a\n\"9,\n");
    let want: Vec<_> = [
        (4, "i", "22P02", "invalid input syntax for type integer: \"x\"", "x,b"),
        (5, "-", "22P04", "extra data after last expected column", "2,c,d"),
        (6, "i", "23502", "null value in column \"i\" violates not-null constraint", ","),
        (7, "t", "22001", "value too long for type character varying(3): \"abcd\"", "3,abcd"),
        (8, "t", "22P04", "missing data for column \"t\": \"4\"", "4"),
        (9, "t", "22021", "invalid byte sequence for encoding \"UTF8\": 0xff: \"a\u{fffd}\"", "6,a"),
        (10, "-", "22P04", "unquoted carriage return found in data", "7\r,a"),
        (11, "-", "22P04", "unterminated CSV quoted field", "\"9,"),
    ]
    .map(|(line, column, sqlstate, message, raw)| {
        (line, column.to_owned(), sqlstate.to_owned(), message.to_owned(), raw.to_owned())
    })
    .into();
    assert_eq!(report(&format, whole(file.clone())).await, want);

    // The lines of a unit that does not begin with its file.
    let unit = CopyUnit::Records { file, codec: Codec::None, newline: Some(Newline::Lf), start: 16, end: 29 };
    assert_eq!(report(&format, vec![unit]).await, want[1..4]);
}

#[tokio::test]
async fn an_open_quote_or_a_wrong_mark_ends_all_but_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let csv = CopyFormat::Csv(CsvOptions::default());
    let text = CopyFormat::Text(TextOptions::default());
    for (format, bytes, wanted) in [
        (&csv, &b"1,a\nx,b\n2,c,\"d\n3,e\n"[..], "unterminated CSV quoted field (file "),
        (&text, &b"1\ta\nx\tb\n2\tc\\.\n3\te\n4\n"[..], "end-of-copy marker corrupt (file "),
        (&text, &b"1\ta\nx\tb\n\\.x\n3\te\n4\n"[..], "end-of-copy marker corrupt (file "),
        // The rest of a record that is wrong before.
        (&text, &b"1\ta\nx\tb\n2\tc\td\\.\n4\n"[..], "end-of-copy marker corrupt (file "),
    ] {
        let file = put(dir.path(), "a.x", bytes);
        let (sqlstate, message) = failure(copy_read(read(format, many(), whole(file.clone()))).unwrap()).await;
        assert_eq!(sqlstate, "22P04");
        assert!(message.contains(wanted) && message.contains("line 3"), "{message}");
        let lines: Vec<i64> = report(format, whole(file)).await.into_iter().map(|row| row.0).collect();
        assert_eq!(lines, [2, 3], "{message}");
    }
}

#[tokio::test]
async fn the_limit_ends_the_statement() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for i in 0..100_000 {
        text += &if i % 100 == 99 { format!("x{i},\n") } else { format!("{i},\n") };
    }
    let file = put(dir.path(), "a.csv", text.as_bytes());
    let format = CopyFormat::Csv(CsvOptions::default());
    let limited = |limit| read(&format, OnBadRow::Reject { limit, log: false }, whole(file.clone()));
    for limit in [RejectLimit::Rows(1001), RejectLimit::Percent(2)] {
        assert_eq!(numbers(limited(limit)).await.len(), 99_000, "{limit:?}");
    }
    for (limit, line) in
        [(RejectLimit::Rows(3), Some(300)), (RejectLimit::Rows(1000), Some(100_000)), (RejectLimit::Percent(1), None)]
    {
        let read = limited(limit);
        let progress = Arc::clone(&read.progress);
        let (sqlstate, message) = failure(copy_read(read).unwrap()).await;
        assert_eq!(sqlstate, "22P04", "{message}");
        let begin = "segment reject limit reached, aborting operation\nDETAIL:  Last error was: invalid input syntax";
        assert!(message.contains(begin) && message.contains("a.csv, line "), "{message}");
        if let (Some(line), RejectLimit::Rows(limit)) = (line, limit) {
            assert!(message.ends_with(&format!("a.csv, line {line}")), "{message}");
            assert_eq!(progress.counts().rejected, limit);
        }
    }
}

#[tokio::test]
async fn bad_records_span_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for i in 0..6 {
        text += &format!("{i},a\n{i},b,\"{}\"\nx,\"{}\"\n", "y\n".repeat(3 << 20), "z".repeat(5 << 20));
    }
    let file = put(dir.path(), "a.csv", text.as_bytes());
    let format = CopyFormat::Csv(CsvOptions::default());
    assert_eq!(numbers(read(&format, many(), whole(file.clone()))).await, [0, 1, 2, 3, 4, 5]);
    let lines: Vec<i64> = report(&format, whole(file)).await.into_iter().map(|row| row.0).collect();
    let one = 3 + (3 << 20);
    let want: Vec<i64> = (0..6).flat_map(|i| [i * one + 2, (i + 1) * one]).collect();
    assert_eq!(lines, want);
}

#[tokio::test]
async fn rows_of_parquet_have_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let numbers_of: Vec<Option<i64>> = (0..30_000).map(|i| (i % 1000 != 7).then_some((i % 5000) << 20)).collect();
    let texts: Vec<Option<&str>> = (0..30_000).map(|i| Some(if i == 12 { "abcd" } else { "abc" })).collect();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("i", Arc::new(Int64Array::from(numbers_of)) as ArrayRef, true),
        ("t", Arc::new(StringArray::from(texts)) as ArrayRef, true),
    ])
    .unwrap();
    let path = dir.path().join("a.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    for part in [batch.slice(0, 10_000), batch.slice(10_000, 20_000)] {
        writer.write(&part).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    let file = put(dir.path(), "b.parquet", &fs::read(&path).unwrap());
    let format = CopyFormat::Parquet(ParquetOptions::default());
    let units = vec![CopyUnit::RowGroups { file, row_groups: vec![1] }];
    // 2048 << 20 is the first that does not fit.
    let fits = |i: i64| i % 1000 != 7 && i % 5000 < 2048;
    let want: Vec<i32> = (10_000..30_000).filter(|&i| fits(i)).map(|i| ((i % 5000) << 20) as i32).collect();
    let reading = read(&format, many(), units.clone());
    let progress = Arc::clone(&reading.progress);
    assert_eq!(numbers(reading).await, want);
    let counts = progress.counts();
    assert_eq!((counts.rows, counts.rejected), (want.len() as u64, 20_000 - want.len() as u64));
    assert_eq!(counts.bytes, counts.bytes_done);
    let got = report(&format, units).await;
    let lines: Vec<i64> = (10_000..30_000).filter(|&i| !fits(i)).map(|i| i + 1).collect();
    assert_eq!(got.iter().map(|row| row.0).collect::<Vec<_>>(), lines);
    assert_eq!((got[0].1.as_str(), got[0].2.as_str()), ("i", "23502"));
}

#[tokio::test]
async fn the_log_holds_what_was_rejected_also_of_a_statement_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("data"));
    let log = store.error_log(TABLE);
    let file = put(dir.path(), "a.csv", b"1,a\nx,b\n2\n3,c\ny,d\n4,e\n");
    let format = CopyFormat::Csv(CsvOptions::default());
    for (limit, logged) in [(10, vec![2, 3, 5]), (2, vec![2, 3])] {
        let on_bad_row = OnBadRow::Reject { limit: RejectLimit::Rows(limit), log: true };
        let read = CopyRead { error_log: Some(log.writer()), ..read(&format, on_bad_row, whole(file.clone())) };
        let result = rows(copy_read(read).unwrap()).await;
        assert_eq!(result.is_ok(), limit == 10, "{limit}");
        let rows = log.read().await.unwrap();
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), logged, "{limit}");
        assert_eq!(
            (rows[0].file.as_str(), rows[0].byte_offset, rows[0].raw.as_deref()),
            (file.url.as_str(), Some(4), Some("x,b"))
        );
        log.truncate().await.unwrap();
    }
}
