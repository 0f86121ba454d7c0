use super::{err, err_at, names, ok};
use crate::error::SqlState;
use crate::sql::statement::{CopyFrom, CopySource, CopyTo, Statement};
use damson_cluster::{Codec, CopyFormat, CsvOptions, Encoding, OnBadRow, RejectLimit, TextOptions};

fn from(sql: &str) -> CopyFrom {
    match ok(sql) {
        Statement::CopyFrom(copy) => copy,
        other => panic!("{sql}: {other:?}"),
    }
}

fn to(sql: &str) -> CopyTo {
    match ok(sql) {
        Statement::CopyTo(copy) => copy,
        other => panic!("{sql}: {other:?}"),
    }
}

fn csv(sql: &str) -> CsvOptions {
    match from(sql).format {
        CopyFormat::Csv(options) => options,
        other => panic!("{sql}: {other:?}"),
    }
}

fn text(sql: &str) -> TextOptions {
    match from(sql).format {
        CopyFormat::Text(options) => options,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn csv_options() {
    let plain = CsvOptions::default();
    assert_eq!(csv("copy t from 'a.csv'"), plain);
    assert_eq!(csv("copy t from 'dir'"), plain);
    assert_eq!(csv("copy t from 'a.tbl'").delimiter, b'|');
    assert_eq!(csv("copy t from '/x/a.TSV'").delimiter, b'\t');
    assert_eq!(csv("copy t from '/x/a.tsv.gz'").delimiter, b'\t');
    assert_eq!(csv("copy t from 'a.parquet' (format csv)"), plain);
    let all = CsvOptions {
        header: true,
        delimiter: b'|',
        quote: b'\'',
        escape: b'\\',
        null: "NULL".into(),
        encoding: Encoding::Other("windows-1252".into()),
    };
    assert_eq!(
        csv("copy t from 'a' with (format csv, header true, delimiter '|', quote '''', escape '\\', null 'NULL', \
             encoding 'LATIN1', newline 'CR')"),
        all
    );
    assert_eq!(
        csv("copy t from 'a' with csv header delimiter as '|' quote '''' escape '\\' null as 'NULL' encoding 'latin1'"),
        all
    );
    assert_eq!(csv("copy t from 'a' delimiter '|' csv").delimiter, b'|');
    assert_eq!(csv("copy t from 'a' (delimiter E'\\t', header off, encoding 'UTF8')").delimiter, b'\t');
    assert_eq!(csv("copy t from 'a' (quote '''')").escape, b'\'');
}

#[test]
fn text_options() {
    assert_eq!(text("copy t from 'a' (format text)"), TextOptions::default());
    assert_eq!(text("copy t from 'a.csv' text"), TextOptions::default());
    let all = TextOptions {
        header: true,
        delimiter: b'|',
        escape: None,
        null: "x".into(),
        encoding: Encoding::Other("utf-16le".into()),
    };
    assert_eq!(
        text("copy t from 'a' (format text, header, delimiter '|', escape 'OFF', null 'x', encoding 'utf-16')"),
        all
    );
    assert_eq!(text("copy t from 'a' text escape '^'").escape, Some(b'^'));
}

#[test]
fn formats_by_name() {
    for (sql, by_files) in [
        ("copy t from 'dir'", true),
        ("copy t from 'dir' (force)", true),
        ("copy t from 'dir' (header)", false),
        ("copy t from 'dir' (format csv)", false),
        ("copy t from 'a.csv'", false),
    ] {
        let copy = from(sql);
        assert_eq!((copy.format_by_files, matches!(copy.format, CopyFormat::Csv(_))), (by_files, true), "{sql}");
    }
    for name in ["/data/*.parquet", "a.pq", "s3://b/x.parq"] {
        assert!(matches!(from(&format!("copy t from '{name}'")).format, CopyFormat::Parquet(_)), "{name}");
    }
    for name in ["a.json", "a.jsonl.gz", "a.NDJSON"] {
        assert!(matches!(from(&format!("copy t from '{name}'")).format, CopyFormat::Json(_)), "{name}");
    }
    let error = err("copy t from ('a.csv', 'b.parquet')");
    assert_eq!(error.state, SqlState::INVALID_PARAMETER);
}

#[test]
fn sources() {
    let copy = from("COPY s.t (a, b) FROM '/data/*.parquet'");
    assert_eq!((names(&copy.columns), copy.sources), (vec!["a", "b"], vec!["/data/*.parquet".to_owned()]));
    let copy =
        from("copy t from ('s3://b/a.csv', 's3://b/b.csv.gz') (pattern '2026.*', secret lake, compression auto)");
    assert_eq!(copy.sources, ["s3://b/a.csv", "s3://b/b.csv.gz"]);
    assert_eq!((copy.pattern.as_deref(), copy.codec, copy.force), (Some("2026.*"), None, false));
    assert_eq!(copy.secret.map(|name| name.text).as_deref(), Some("lake"));
    let copy = from("copy t from 'a' csv compression gzip pattern 'x' secret \"S\" force");
    assert_eq!((copy.codec, copy.force, copy.pattern.as_deref()), (Some(Codec::Gzip), true, Some("x")));
    assert_eq!(copy.secret.map(|name| name.text).as_deref(), Some("S"));
    for (name, codec) in
        [("none", Codec::None), ("'gzip'", Codec::Gzip), ("zstd", Codec::Zstd), ("snappy", Codec::Snappy)]
    {
        assert_eq!(from(&format!("copy t from 'a' (compression {name})")).codec, Some(codec), "{name}");
    }
    assert_eq!(from("copy t from 'a.parquet' (compression none)").codec, Some(Codec::None));
}

#[test]
fn bad_rows() {
    let of = |tail: &str| from(&format!("copy t from 'a' {tail}")).on_bad_row;
    let (five, percent) = (RejectLimit::Rows(5), RejectLimit::Percent(5));
    assert_eq!(of(""), OnBadRow::Fail);
    for tail in [
        "segment reject limit 5",
        "csv segment reject limit 5 rows",
        "(format csv) segment reject limit 5",
        "(reject_limit 5)",
        "(reject_limit 5, log_errors false)",
        "(segment reject limit 5 rows, header)",
    ] {
        assert_eq!(of(tail), OnBadRow::Reject { limit: five, log: false }, "{tail}");
    }
    for tail in [
        "log errors segment reject limit 5 percent",
        "csv log errors segment reject limit 5 percent",
        "with csv header log errors segment reject limit 5 percent",
        "(format csv) log errors segment reject limit 5 percent",
        "(log errors, reject limit 5 percent)",
        "(log_errors, reject_limit 5, reject_limit_type percent)",
        "(log_errors true, reject_limit '5', reject_limit_type 'PERCENT')",
    ] {
        assert_eq!(of(tail), OnBadRow::Reject { limit: percent, log: true }, "{tail}");
    }
    for tail in ["(validate)", "(format csv, validate true)", "csv validate"] {
        assert_eq!(of(tail), OnBadRow::Report, "{tail}");
    }
    assert_eq!(of("(validate off)"), OnBadRow::Fail);
    assert!(!ok("copy t from 'a' (validate)").is_update(), "it gives rows");
    assert!(ok("copy t from 'a'").is_update());
}

#[test]
fn copy_to() {
    let copy = to("copy (select a, ')' from t) to '/out' (format parquet)");
    assert!(matches!((copy.source, copy.format), (CopySource::Query(_), CopyFormat::Parquet(_))));
    let copy = to("copy t to 'out' with (header)");
    assert!(matches!((copy.source, copy.format), (CopySource::Table { .. }, CopyFormat::Csv(csv)) if csv.header));
    assert_eq!((copy.codec, copy.max_file_bytes, copy.single_file, copy.manifest), (None, None, false, false));

    let copy = to("copy t to 's3://b/out/' (format json, compression zstd, max_file_size '64MB', \
                   partition by (a, \"B\"), manifest, secret lake)");
    assert!(matches!(copy.format, CopyFormat::Json(_)));
    assert_eq!((copy.codec, copy.max_file_bytes, copy.manifest), (Some(Codec::Zstd), Some(64 << 20), true));
    assert_eq!(names(&copy.partition_by), ["a", "B"]);
    assert_eq!(names(&to("copy t to 'out' (partition_by (c))").partition_by), ["c"]);
    assert_eq!(names(&to("copy t to 'out' csv partition by (c)").partition_by), ["c"]);
    assert_eq!(to("copy t to 'out' (max_file_size 1000)").max_file_bytes, Some(1000));

    for (name, codec) in [("out.csv", Codec::None), ("out.csv.gz", Codec::Gzip), ("out.jsonl.zst", Codec::Zstd)] {
        let copy = to(&format!("copy t to '{name}' (single_file)"));
        assert_eq!((copy.codec, copy.single_file), (Some(codec), true), "{name}");
    }
    assert_eq!(to("copy t to 'out.parquet' (single_file)").codec, None);
    assert_eq!(to("copy t to 'out.csv.gz' (single_file, compression none)").codec, Some(Codec::None));
}

#[test]
fn copy_errors() {
    use SqlState as S;
    for (sql, state, at) in [
        ("copy t from 'a' (format binary)", S::FEATURE_NOT_SUPPORTED, "binary)"),
        ("copy t from 'a' binary", S::FEATURE_NOT_SUPPORTED, "binary"),
        ("copy t from 'a' (format xml)", S::INVALID_PARAMETER, "xml)"),
        ("copy t from 'a' (delimiter '||')", S::FEATURE_NOT_SUPPORTED, "delimiter '||')"),
        ("copy t from 'a' (delimiter 'ä')", S::FEATURE_NOT_SUPPORTED, "delimiter 'ä')"),
        ("copy t from 'a' (quote '')", S::FEATURE_NOT_SUPPORTED, "quote '')"),
        ("copy t from 'a' (delimiter '\"')", S::INVALID_PARAMETER, "delimiter '\"')"),
        ("copy t from 'a' (delimiter E'\\n')", S::INVALID_PARAMETER, "delimiter E'\\n')"),
        ("copy t from 'a' (null 'a,b')", S::INVALID_PARAMETER, "null 'a,b')"),
        ("copy t from 'a' (header, header)", S::SYNTAX_ERROR, "header)"),
        ("copy t from 'a' (blub 1)", S::SYNTAX_ERROR, "blub 1)"),
        ("copy t from 'a' (header maybe)", S::SYNTAX_ERROR, "maybe)"),
        ("copy t from 'a.parquet' (header)", S::FEATURE_NOT_SUPPORTED, "header)"),
        ("copy t from 'a.json' (delimiter ';')", S::FEATURE_NOT_SUPPORTED, "delimiter ';')"),
        ("copy t from 'a.json' (encoding 'latin1')", S::FEATURE_NOT_SUPPORTED, "encoding 'latin1')"),
        ("copy t from 'a.parquet' (compression gzip)", S::INVALID_PARAMETER, "compression gzip)"),
        ("copy t from 'a' (compression rar)", S::INVALID_PARAMETER, "rar)"),
        ("copy t from 'a' (encoding 'SQL_ASCII')", S::FEATURE_NOT_SUPPORTED, "encoding 'SQL_ASCII')"),
        ("copy t from 'a' (encoding 'klingon')", S::INVALID_PARAMETER, "encoding 'klingon')"),
        ("copy t from 'a' (newline 'LFCR')", S::INVALID_PARAMETER, "'LFCR')"),
        ("copy t from 'a' (format text, quote '''')", S::FEATURE_NOT_SUPPORTED, "quote '''')"),
        ("copy t from 'a' (format text, delimiter 'x')", S::INVALID_PARAMETER, "delimiter 'x')"),
        ("copy t from 'a' (format text, delimiter '|', escape '|')", S::INVALID_PARAMETER, "escape '|')"),
        ("copy t from 'a' (format text, delimiter 'N')", S::INVALID_PARAMETER, "delimiter 'N')"),
        ("copy t from 'a' segment reject limit 1", S::INVALID_PARAMETER, "segment reject limit 1"),
        ("copy t from 'a' segment reject limit 101 percent", S::INVALID_PARAMETER, "segment reject limit 101 percent"),
        ("copy t from 'a' segment reject limit x", S::SYNTAX_ERROR, "x"),
        ("copy t from 'a' segment reject", S::FEATURE_NOT_SUPPORTED, "segment reject"),
        ("copy t from 'a' log errors", S::SYNTAX_ERROR, "log errors"),
        (
            "copy t from 'a' log errors into e segment reject limit 5",
            S::FEATURE_NOT_SUPPORTED,
            "into e segment reject limit 5",
        ),
        ("copy t from 'a' (validate, reject_limit 5)", S::INVALID_PARAMETER, "reject_limit 5)"),
        ("copy t from 'a' (fill_missing_fields)", S::FEATURE_NOT_SUPPORTED, "fill_missing_fields)"),
        ("copy t from 'a' csv force not null a", S::FEATURE_NOT_SUPPORTED, "force not null a"),
        ("copy t from 'a' (manifest)", S::INVALID_PARAMETER, "manifest)"),
        ("copy t from 'a' (partition by (a))", S::INVALID_PARAMETER, "partition by (a))"),
        ("copy t from a", S::SYNTAX_ERROR, "a"),
        ("copy t from ''", S::INVALID_PARAMETER, "''"),
        ("copy t from ('a', b)", S::SYNTAX_ERROR, "b)"),
        ("copy t from ()", S::SYNTAX_ERROR, ")"),
        ("copy t from stdin", S::FEATURE_NOT_SUPPORTED, "stdin"),
        ("copy t to stdout", S::FEATURE_NOT_SUPPORTED, "stdout"),
        ("copy t from program 'x'", S::FEATURE_NOT_SUPPORTED, "program 'x'"),
        ("copy (select 1) from 'a'", S::SYNTAX_ERROR, "from 'a'"),
        ("copy t 'a'", S::SYNTAX_ERROR, "'a'"),
        ("copy t to ('a', 'b')", S::SYNTAX_ERROR, "('a', 'b')"),
        ("copy t to 'a' (force)", S::INVALID_PARAMETER, "force)"),
        ("copy t to 'a' (validate)", S::INVALID_PARAMETER, "validate)"),
        ("copy t to 'a' segment reject limit 5", S::INVALID_PARAMETER, "segment reject limit 5"),
        ("copy t to 'a' (encoding 'latin1')", S::FEATURE_NOT_SUPPORTED, "encoding 'latin1')"),
        ("copy t to 'a' (max_file_size 0)", S::INVALID_PARAMETER, "0)"),
        ("copy t to 'a' (max_file_size '5 TB')", S::INVALID_PARAMETER, "'5 TB')"),
        ("copy t to 'a' (single_file, max_file_size 5)", S::INVALID_PARAMETER, "max_file_size 5)"),
        ("copy t to 'a' (single_file, manifest)", S::INVALID_PARAMETER, "manifest)"),
        ("copy t to 'a' (partition by (a, a))", S::DUPLICATE_COLUMN, "a))"),
    ] {
        assert_eq!(err_at(sql, state), at, "{sql}");
    }
}
