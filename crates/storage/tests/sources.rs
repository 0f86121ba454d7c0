//! COPY's sources: which files a name means, how they are cut, and formats, codecs and encodings read back.

mod support;

use damson_cluster::{
    Codec, CopyFile, CopyFormat, CopyUnit, CsvOptions, Encoding, JsonOptions, SourceAccess, TextOptions,
};
use damson_storage::{CopyRead, StorageError, copy_read, copy_write, list_sources, split};
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use support::*;

fn put(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn list(names: &[&str], filter: Option<&str>) -> Result<Vec<CopyFile>, StorageError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    list_sources(&names, filter, &SourceAccess::default()).await
}

#[tokio::test]
async fn names_and_what_they_mean() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap().to_owned();
    let hidden = [".hidden", "_SUCCESS", "d/_tmp/h.csv", "manifest.json"];
    for name in ["a.csv", "b.csv", "c.tbl", "d/e.csv", "d/f/g.csv", "x y/z.csv"].into_iter().chain(hidden) {
        put(dir.path(), name, b"1\n");
    }
    for (names, filter, wanted) in [
        (vec![""], None, vec!["a.csv", "b.csv", "c.tbl", "d/e.csv", "d/f/g.csv", "x y/z.csv"]),
        (vec!["/"], None, vec!["a.csv", "b.csv", "c.tbl", "d/e.csv", "d/f/g.csv", "x y/z.csv"]),
        (vec!["/*.csv"], None, vec!["a.csv", "b.csv"]),
        (vec!["/**/*.csv"], None, vec!["a.csv", "b.csv", "d/_tmp/h.csv", "d/e.csv", "d/f/g.csv", "x y/z.csv"]),
        (vec!["/?.csv", "/a.csv", "/d/f"], None, vec!["a.csv", "b.csv", "d/f/g.csv"]),
        (vec!["/[bc].*"], None, vec!["b.csv", "c.tbl"]),
        (vec!["/{a,c}.{csv,tbl}"], None, vec!["a.csv", "c.tbl"]),
        (vec![""], Some("/[ab][.]csv$|tbl"), vec!["a.csv", "b.csv", "c.tbl"]),
        (vec!["/d/e.csv"], None, vec!["d/e.csv"]),
    ] {
        for scheme in ["", "file://"] {
            let full: Vec<String> = names.iter().map(|name| format!("{scheme}{root}{name}")).collect();
            let full: Vec<&str> = full.iter().map(String::as_str).collect();
            let found = list(&full, filter).await.unwrap();
            let found: Vec<&str> = found.iter().map(|file| &file.url[root.len() + 1..]).collect();
            assert_eq!(found, wanted, "{full:?} {filter:?}");
        }
    }
    for (name, filter, sqlstate) in [
        ("/nothing", None, "58P01"),
        ("/nothing*", None, "58P01"),
        ("/***", None, "22023"),
        ("/{a", None, "22023"),
        ("", Some("nothing$"), "58P01"),
        ("", Some("("), "2201B"),
    ] {
        let name = format!("{root}{name}");
        let error = list(&[&name], filter).await.unwrap_err();
        assert_eq!(error.sqlstate(), sqlstate, "{name}: {error}");
    }
    fs::create_dir(dir.path().join("empty")).unwrap();
    let empty = list(&[&format!("{root}/empty")], None).await.unwrap_err();
    assert_eq!(empty.sqlstate(), "58P01");
    assert!(empty.to_string().contains("there is no file in the directory"), "{empty}");
    for name in ["", "ftp://x/y", "file://host/a", "s3://", "s3://u:p@b/k", "s3://b:9000/k", "s3://b/../k", "/a\nb"] {
        assert_eq!(list(&[name], None).await.unwrap_err().sqlstate(), "22023", "{name}");
    }
}

#[tokio::test]
async fn directories_have_columns() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "y=2026/m=11/a.csv", b"1\n2\n");
    put(dir.path(), "y=__HIVE_DEFAULT_PARTITION__/m=a%2Fb/b.csv", b"3\n");
    let files = list(&[dir.path().to_str().unwrap()], None).await.unwrap();
    let partitions: Vec<_> = files.iter().map(|file| file.partition.clone()).collect();
    let value = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    assert_eq!(
        partitions,
        [[value("y", Some("2026")), value("m", Some("11"))], [value("y", None), value("m", Some("a/b"))],]
    );
    let schema = Arc::new(Schema::new(vec![
        Field::new("v", DataType::Int64, true),
        Field::new("y", DataType::Int32, true),
        Field::new("m", DataType::Utf8View, true),
    ]));
    let units = files.into_iter().map(|file| CopyUnit::Records {
        file,
        codec: Codec::None,
        newline: None,
        start: 0,
        end: u64::MAX,
    });
    let units: Vec<CopyUnit> = units.collect();
    let csv = CopyFormat::Csv(CsvOptions::default());
    let read = CopyRead { partition_columns: vec![1, 2], ..copying(&csv, &schema, units.clone()) };
    let batch = rows(copy_read(read).unwrap()).await.unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values()[..], [1, 2, 3]);
    let years: Vec<_> = batch.column(1).as_primitive::<Int32Type>().iter().collect();
    assert_eq!(years, [Some(2026), Some(2026), None]);
    assert_eq!(batch.column(2).as_string_view().value(2), "a/b");

    let narrow =
        Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true), Field::new("m", DataType::Int32, true)]));
    let read = CopyRead { partition_columns: vec![1], ..copying(&csv, &narrow, units) };
    let (sqlstate, message) = failure(copy_read(read).unwrap()).await;
    assert_eq!(sqlstate, "22P02");
    assert!(message.contains("b.csv, column m: invalid input syntax for type integer: \"a/b\""), "{message}");
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_listed_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "a.csv", b"1\n");
    let files = list(&[&path], None).await.unwrap();
    fs::write(&path, b"1\n2\n").unwrap();
    let (sqlstate, message) =
        failure(copy_read(numbers(CopyFormat::Csv(CsvOptions::default()), files.clone())).unwrap()).await;
    assert_eq!(sqlstate, "55000", "{message}");
    let format = CopyFormat::Parquet(Default::default());
    let error = split(files, &format, None, 2, &SourceAccess::default()).await.unwrap_err();
    assert_eq!(error.sqlstate(), "55000", "{error}");
}

/// One column of integers, whole files.
fn numbers(format: CopyFormat, files: Vec<CopyFile>) -> CopyRead {
    let unit = |file: CopyFile| {
        let codec = Codec::by_name(&file.url);
        CopyUnit::Records { file, codec, newline: None, start: 0, end: u64::MAX }
    };
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
    copying(&format, &schema, files.into_iter().map(unit).collect())
}

fn compress(codec: Codec, text: &[u8]) -> Vec<u8> {
    match codec {
        Codec::None => text.to_vec(),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Codec::Zstd => zstd::encode_all(text, 1).unwrap(),
        Codec::Snappy => {
            let mut encoder = snap::write::FrameEncoder::new(vec![]);
            encoder.write_all(text).unwrap();
            encoder.into_inner().unwrap()
        }
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(vec![]);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
    }
}

#[tokio::test]
async fn compressed_files_of_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let count = 300_000;
    let csv: String = (0..count).map(|i| format!("{i}\n")).collect();
    let json: String = (0..count).map(|i| format!("{{\"v\": {i}}}\n")).collect();
    for (codec, extension) in [
        (Codec::None, ""),
        (Codec::Gzip, ".gz"),
        (Codec::Zstd, ".zst"),
        (Codec::Snappy, ".snappy"),
        (Codec::Lz4, ".lz4"),
    ] {
        for (format, text) in [
            (CopyFormat::Csv(CsvOptions::default()), &csv),
            (CopyFormat::Text(TextOptions::default()), &csv),
            (CopyFormat::Json(JsonOptions {}), &json),
        ] {
            // Two members, or frames, one after the other.
            let half = text.len() / 2 + text[text.len() / 2..].find('\n').unwrap() + 1;
            let mut bytes = compress(codec, &text.as_bytes()[..half]);
            bytes.extend(compress(codec, &text.as_bytes()[half..]));
            let path = put(dir.path(), &format!("f{extension}"), &bytes);
            let files = list(&[&path], None).await.unwrap();
            let batch = rows(copy_read(numbers(format.clone(), files)).unwrap()).await.unwrap();
            let sum: i64 = batch.column(0).as_primitive::<Int64Type>().values().iter().sum();
            assert_eq!((batch.num_rows(), sum), (count, (0..count as i64).sum()), "{codec:?} {format:?}");

            if codec != Codec::None {
                // Not whole, and not compressed at all.
                for damaged in [bytes[..bytes.len() - 9].to_vec(), text.as_bytes()[..100].to_vec()] {
                    let path = put(dir.path(), &format!("damaged{extension}"), &damaged);
                    let files = list(&[&path], None).await.unwrap();
                    let (sqlstate, message) = failure(copy_read(numbers(format.clone(), files)).unwrap()).await;
                    assert!(sqlstate == "22P04" && message.contains(&path), "{codec:?}: {sqlstate} {message}");
                }
            }
        }
    }
    // A line is counted in what was decompressed.
    let path = put(dir.path(), "bad.csv.gz", &compress(Codec::Gzip, format!("{csv}oops\n").as_bytes()));
    let files = list(&[&path], None).await.unwrap();
    let (_, message) = failure(copy_read(numbers(CopyFormat::Csv(CsvOptions::default()), files)).unwrap()).await;
    assert!(message.contains(&format!("line {}, column v: \"oops\"", count + 1)), "{message}");
}

#[tokio::test]
async fn encodings() {
    let dir = tempfile::tempdir().unwrap();
    let utf16: Vec<u8> = "\u{feff}é,ü\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Utf8View, true),
        Field::new("b", DataType::Utf8View, true),
    ]));
    let read = async |label: &str, bytes: &[u8]| {
        let path = put(dir.path(), "text", bytes);
        let format = CopyFormat::Csv(CsvOptions { encoding: Encoding::Other(label.into()), ..CsvOptions::default() });
        let files = list(&[&path], None).await.unwrap();
        let units = numbers(format.clone(), files).units;
        copy_read(copying(&format, &schema, units)).unwrap()
    };
    for (label, bytes) in [("windows-1252", &b"\xe9,\xfc\n"[..]), ("utf-16le", &utf16), ("iso-8859-15", b"\xe9,\xfc\n")]
    {
        let batch = rows(read(label, bytes).await).await.unwrap();
        let texts = [0, 1].map(|column| batch.column(column).as_string_view().value(0).to_owned());
        assert_eq!(texts, ["é", "ü"], "{label}");
    }
    for (label, bytes, wanted) in [("shift_jis", &b"\xff\xff,a\n"[..], "22021"), ("klingon", b"a,b\n", "22023")] {
        let (sqlstate, message) = failure(read(label, bytes).await).await;
        assert_eq!(sqlstate, wanted, "{label}: {message}");
    }
}

#[tokio::test]
async fn text_and_json_say_where_they_are_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![
        Field::new("v", DataType::Decimal128(30, 10), true),
        Field::new("t", DataType::Utf8View, true),
    ]));
    let read = async |format: CopyFormat, text: &str| {
        let path = put(dir.path(), "f", text.as_bytes());
        let files = list(&[&path], None).await.unwrap();
        let units = numbers(format.clone(), files).units;
        copy_read(copying(&format, &schema, units)).unwrap()
    };
    let text = || CopyFormat::Text(TextOptions::default());
    let json = || CopyFormat::Json(JsonOptions {});
    let digits = "12345678901234567890.1234567891";
    for (format, file, wanted) in [
        (
            text(),
            format!("{digits}\ta\\tb\\\nc\n\\N\t\\\\N\n\\.\nnot read\n"),
            vec![(Some(digits), Some("a\tb\nc")), (None, Some("\\N"))],
        ),
        (
            json(),
            format!(
                "{{\"t\":\"x\\u00e9\",\"V\":{digits},\"other\":[1]}}\n\n{{\"t\":{{\"a\":[1, 2]}}}}\r\n{{\"v\":null}}"
            ),
            vec![(Some(digits), Some("xé")), (None, Some("{\"a\":[1, 2]}")), (None, None)],
        ),
    ] {
        let batch = rows(read(format.clone(), &file).await).await.unwrap();
        let numbers = batch.column(0).as_primitive::<Decimal128Type>();
        let texts = batch.column(1).as_string_view();
        let got: Vec<_> = (0..batch.num_rows())
            .map(|row| {
                let number = numbers.is_valid(row).then(|| numbers.value_as_string(row));
                (number, texts.is_valid(row).then(|| texts.value(row).to_owned()))
            })
            .collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(v, t)| (v.map(str::to_owned), t.map(str::to_owned))).collect();
        assert_eq!(got, wanted, "{format:?}");
    }
    for (format, file, sqlstate, wanted) in [
        (text(), "1\ta\nx\tb\n", "22P02", "line 2, column v: \"x\""),
        (text(), "1\n", "22P04", "missing data for column \"t\" (file"),
        (text(), "1\ta\tb\n", "22P04", "extra data after last expected column"),
        (json(), "{\"v\": 1}\n{\"v\": \"x\"}\n", "22P02", "line 2, column v: \"x\""),
        (json(), "{\"v\": 1}\n[1]\n", "22P02", "line 2"),
        (json(), "{\"v\": 1\n", "22P02", "line 1"),
        (json(), "{\"t\": \"a\\u0000\"}\n", "22P05", "to text"),
    ] {
        let (got, message) = failure(read(format, file).await).await;
        assert!(got == sqlstate && message.contains(wanted), "{file:?}: {got} {message}");
    }
}

#[tokio::test]
async fn what_is_written_as_text_and_json_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![
        Field::new("v", DataType::Float64, true),
        Field::new("t", DataType::Utf8View, true),
        Field::new("b", DataType::Boolean, true),
    ]));
    let texts = ["", "\\N", "\\.", "a\tb\nc\rd\\e", "\"q\" {}", "é\u{1}"];
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(Float64Array::from(vec![
                Some(0.1),
                Some(f64::NAN),
                None,
                Some(f64::INFINITY),
                Some(-1e300),
                Some(0.0),
            ])),
            Arc::new(StringViewArray::from(texts.to_vec())),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None, None, Some(true)])),
        ],
    )
    .unwrap();
    for format in [CopyFormat::Text(TextOptions::default()), CopyFormat::Json(JsonOptions {})] {
        let to = dir.path().join("out");
        let plan = copy_write(memory(&schema, vec![batch.clone()]), copying_to(&to, &format, &schema)).unwrap();
        rows(plan).await.unwrap();
        let files = list(&[to.to_str().unwrap()], None).await.unwrap();
        let read = CopyRead { schema: Arc::clone(&schema), max_chars: vec![None; 3], ..numbers(format.clone(), files) };
        assert_eq!(rows(copy_read(read).unwrap()).await.unwrap(), batch, "{format:?}");
        fs::remove_dir_all(&to).unwrap();
    }
}
