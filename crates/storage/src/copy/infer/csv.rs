//! Columns of CSV and of PostgreSQL's text, by a file's header and its first records.

use super::guess::Guess;
use crate::StorageError;
use crate::copy::blocks::Blocks;
use crate::copy::csv::{Dialect, LineEnds, RecordField, record_fields};
use crate::copy::progress::CopyProgress;
use crate::limits::{INFER_BYTES, INFER_COLUMNS_MAX, INFER_ROWS_MAX};
use damson_cluster::{Codec, CopyFile, Encoding, SourceAccess};

/// The text that types are guessed from, without a byte order mark.
pub(super) struct Sample {
    pub text: Vec<u8>,
    /// Nothing follows it.
    pub is_whole: bool,
}

/// # Errors
/// Those of reads and of decoding.
pub(super) async fn sample(
    file: &CopyFile,
    codec: Codec,
    encoding: &Encoding,
    access: &SourceAccess,
) -> Result<Sample, StorageError> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let progress = CopyProgress::new(&[]);
    let mut blocks = Blocks::open(file, codec, encoding, (0, INFER_BYTES as u64), access, &progress).await?;
    let (mut text, mut is_whole) = (vec![], false);
    while !is_whole && text.len() < INFER_BYTES {
        let (block, is_last) = blocks.next().await?;
        text.extend_from_slice(&block);
        is_whole = is_last;
    }
    if text.starts_with(MARK) {
        text.drain(..MARK.len());
    }
    Ok(Sample { text, is_whole })
}

/// Names and types, by position.
pub(super) async fn columns(
    file: &CopyFile,
    dialect: &Dialect,
    codec: Codec,
    access: &SourceAccess,
) -> Result<Vec<(String, Guess)>, StorageError> {
    let sample = sample(file, codec, &dialect.encoding, access).await?;
    of_text(dialect, &sample).map_err(|(message, sqlstate)| StorageError::File {
        path: file.url.clone(),
        message: message.into(),
        sqlstate,
    })
}

type Refused = (&'static str, &'static str);

fn of_text(dialect: &Dialect, Sample { text, is_whole }: &Sample) -> Result<Vec<(String, Guess)>, Refused> {
    let ends = LineEnds::of_text(dialect.form, text);
    let record = |at: usize| {
        let found = record_fields(dialect, ends, text, at, *is_whole).ok().flatten()?;
        Some((str::from_utf8(&text[at..found.1]).ok()?, found))
    };
    let (mut names, mut at) = (vec![], 0);
    if dialect.header {
        let Some((text, (fields, next))) = record(0) else {
            return Err(("it has no header that can be read", "22P04"));
        };
        let name = |(column, field): (usize, &RecordField)| match field.value(text, 0, dialect) {
            Some(name) if !name.trim().is_empty() => name.trim().to_owned(),
            _ => format!("column{}", column + 1),
        };
        names = fields.iter().enumerate().map(name).collect();
        // Some programs end their lines with a delimiter.
        if names.len() > 1 && fields.last().is_some_and(|field| field.range().is_empty()) {
            names.pop();
        }
        at = next;
    }
    let mut guesses = vec![Guess::Nothing; names.len()];
    // Whether each record has had nothing after its last delimiter.
    let mut ends_empty = true;
    for _ in 0..INFER_ROWS_MAX {
        if at >= text.len() {
            break;
        }
        // What is wrong here whoever reads the file is told.
        let Some((text, (fields, next))) = record(at) else { break };
        if !dialect.header && fields.len() > guesses.len() {
            guesses.resize(fields.len(), Guess::Nothing);
        }
        for (guess, field) in guesses.iter_mut().zip(&fields) {
            if let Some(value) = field.value(text, at, dialect) {
                *guess = guess.and(Guess::of(&value));
            }
        }
        ends_empty &= fields.len() == guesses.len() && fields.last().is_some_and(|field| field.range().is_empty());
        at = next;
    }
    if !dialect.header {
        if guesses.is_empty() {
            return Err(("it has no record that can be read", "22P04"));
        }
        // As `.tbl` files have it.
        if ends_empty && dialect.delimiter == b'|' && guesses.len() > 1 {
            guesses.pop();
        }
        names = (1..=guesses.len()).map(|column| format!("column{column}")).collect();
    }
    if names.len() > INFER_COLUMNS_MAX {
        return Err(("it has too many columns: is it of another format, or delimiter?", "54011"));
    }
    Ok(names.into_iter().zip(guesses).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{CsvOptions, TextOptions};

    fn columns(dialect: &Dialect, text: &str, is_whole: bool) -> Result<Vec<(String, Guess)>, Refused> {
        of_text(dialect, &Sample { text: text.as_bytes().to_vec(), is_whole })
    }

    fn named(columns: &[(&str, Guess)]) -> Vec<(String, Guess)> {
        columns.iter().map(|(name, guess)| ((*name).to_owned(), *guess)).collect()
    }

    #[test]
    fn a_header_names_columns_and_records_type_them() {
        let dialect = Dialect::csv(&CsvOptions { header: true, ..CsvOptions::default() }).unwrap();
        let text = "Id,\"a \"\"b\"\"\",,d,x\n1,2026-01-01,\"1,5\",,t\n2,,x,,f\n,2026-01-02 10:00:00,,,\n";
        let found = columns(&dialect, text, true).unwrap();
        let wanted = [
            ("Id", Guess::Integer),
            ("a \"b\"", Guess::Timestamp),
            ("column3", Guess::Text),
            ("d", Guess::Nothing),
            ("x", Guess::Boolean),
        ];
        assert_eq!(found, named(&wanted));
        // The last record is cut: it says nothing.
        assert_eq!(columns(&dialect, "a,b\n1,2\n3,x", false).unwrap()[1].1, Guess::Integer);
        assert_eq!(columns(&dialect, "a,b\n1,2\n3,x", true).unwrap()[1].1, Guess::Text);
        assert_eq!(columns(&dialect, "a,b,\n1,2,\n", true).unwrap().len(), 2);
        assert_eq!(columns(&dialect, "a,\"b\n", true).unwrap_err().1, "22P04");
    }

    #[test]
    fn without_a_header_columns_have_numbers() {
        let dialect = Dialect::csv(&CsvOptions { delimiter: b'|', ..CsvOptions::default() }).unwrap();
        let wanted = named(&[("column1", Guess::Integer), ("column2", Guess::Text)]);
        assert_eq!(columns(&dialect, "1|a|\n2|b|\n", true).unwrap(), wanted);
        assert_eq!(columns(&dialect, "1|a\n2|b\n", true).unwrap(), wanted);
        let dialect = Dialect::text(&TextOptions::default()).unwrap();
        assert_eq!(columns(&dialect, "1\ta\\tb\n\\N\tb\n\\.\nx\n", true).unwrap(), wanted);
    }
}
