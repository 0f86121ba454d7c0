//! The files of `tests/data/csv`: sent in pieces of any size, they are what the index says that PostgreSQL makes of them.

use super::{CopyError, CopyReader, CopyRow, CopyStyle, Quoting};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that are longer are not sent in pieces of every size.
const EVERY_PIECE_BYTES_MAX: usize = 1 << 10;

/// Other than PostgreSQL 15's answer on purpose: from 18 on `\.` is a value in CSV, and an error behind data of text. An open quote of the
/// header is an error, too.
const OURS: [&str; 6] = [
    "dot.csv",
    "dot-at-end.csv",
    "dot-first-line.csv",
    "dot-after-data.txt",
    "dot-after-escaped-newline.txt",
    "header-open-quote.csv",
];

/// Of values, and of NULL in a column that takes none.
const OF_VALUES: [&str; 5] = ["22P02", "22003", "22007", "22008", "23502"];

/// What was read: rows, or the SQLSTATE of an error.
type Answer = Result<Vec<CopyRow>, String>;

struct Entry {
    file: String,
    style: CopyStyle,
    has_header: bool,
    /// Whether each column is text; other values are not the reader's.
    columns: Vec<bool>,
    wanted: Answer,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/csv")
}

fn entries() -> Vec<Entry> {
    let index: Value = serde_json::from_slice(&fs::read(corpus().join("index.json")).unwrap()).unwrap();
    let entries: Vec<Entry> = index["files"].as_array().unwrap().iter().map(Entry::new).collect();
    assert!(entries.len() >= 290, "{} files", entries.len());
    entries
}

impl Entry {
    fn new(entry: &Value) -> Self {
        let file = entry["file"].as_str().unwrap().to_owned();
        let option = |name: &str| entry["options"].get(name);
        let byte = |name: &str| option(name).map(|value| value.as_str().unwrap().as_bytes()[0]);
        let quote = byte("quote").unwrap_or(b'"');
        let (delimiter, null, quoting) = match entry["format"].as_str().unwrap() {
            "csv" => (b',', "", Quoting::Csv { quote, escape: byte("escape").unwrap_or(quote) }),
            "text" if option("escape").is_some_and(|value| value == "OFF") => (b'\t', "\\N", Quoting::Backslash(None)),
            "text" => (b'\t', "\\N", Quoting::Backslash(Some(byte("escape").unwrap_or(b'\\')))),
            other => panic!("{other}"),
        };
        let style = CopyStyle {
            delimiter: byte("delimiter").unwrap_or(delimiter),
            null: option("null").map_or(null, |value| value.as_str().unwrap()).to_owned(),
            quoting,
        };
        let ours = OURS.contains(&file.as_str()) || entry["postgres"].is_null();
        Entry {
            wanted: answer(&entry[if ours { "ours" } else { "postgres" }]),
            file,
            style,
            has_header: option("header").is_some_and(|value| value.as_bool().unwrap()),
            columns: entry["columns"].as_array().unwrap().iter().map(|column| column[1] == "text").collect(),
        }
    }

    /// As COPY FROM STDIN reads it: of each row the number of values is looked at, too.
    fn read(&self, bytes: &[u8], piece: usize) -> Answer {
        let mut reader = CopyReader::new(self.style.clone(), self.columns.len());
        let mut rows = vec![];
        let state = |error: CopyError| error.sqlstate().to_owned();
        let mut is_header = self.has_header;
        let mut take = |row: CopyRow| match std::mem::take(&mut is_header) {
            true => Ok(()),
            false if row.len() != self.columns.len() => Err("22P04".to_owned()),
            false => {
                rows.push(row);
                Ok(())
            }
        };
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            while let Some(row) = reader.next_row().map_err(state)? {
                take(row)?;
            }
        }
        if let Some(row) = reader.finish().map_err(state)? {
            take(row)?;
        }
        assert_eq!(reader.finish(), Ok(None));
        Ok(rows)
    }

    /// Whether that is the index's answer, as far as it is a reader's who knows no types.
    fn is_wanted(&self, got: &Answer) -> bool {
        match (got, &self.wanted) {
            (Ok(got), Ok(wanted)) if self.columns.iter().all(|is_text| *is_text) => got == wanted,
            (Ok(got), Ok(wanted)) => got.len() == wanted.len(),
            // A value's error, which comes before what the reader may find later.
            (_, Err(state)) if OF_VALUES.contains(&state.as_str()) => true,
            (got, wanted) => got == wanted,
        }
    }
}

fn answer(answer: &Value) -> Answer {
    if let Some(state) = answer.get("error") {
        return Err(state.as_str().unwrap().to_owned());
    }
    let row = |row: &Value| row.as_array().unwrap().iter().map(|value| value.as_str().map(str::to_owned)).collect();
    Ok(answer.as_array().unwrap().iter().map(row).collect())
}

#[test]
fn files_are_what_the_index_says_in_pieces_of_any_size() {
    let mut wrong = vec![];
    for entry in entries() {
        let bytes = fs::read(corpus().join(&entry.file)).unwrap();
        let whole = entry.read(&bytes, bytes.len().max(1));
        let shown = |what: &Answer| format!("{what:?}").chars().take(400).collect::<String>();
        if !entry.is_wanted(&whole) {
            wrong.push(format!("{}: {}\n    wanted {}", entry.file, shown(&whole), shown(&entry.wanted)));
        }
        let every = if bytes.len() <= EVERY_PIECE_BYTES_MAX { bytes.len() } else { 16 };
        for piece in 1..every.max(1) {
            let got = entry.read(&bytes, piece);
            if got != whole {
                wrong.push(format!(
                    "{} in pieces of {piece}: {}\n    as a whole {}",
                    entry.file,
                    shown(&got),
                    shown(&whole)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
