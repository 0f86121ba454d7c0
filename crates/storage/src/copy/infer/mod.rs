//! Which columns files have, and of which types: for files that are queried without a table.

mod csv;
mod guess;
mod json;
mod parquet;

use crate::StorageError;
use crate::copy::csv::Dialect;
use crate::limits::{INFER_FILES_MAX, SPLIT_FILES_AT_ONCE};
use crate::text::type_name;
use damson_cluster::{Codec, CopyFile, CopyFormat, SourceAccess};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::{StreamExt, TryStreamExt, stream};
use guess::Guess;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The zone of a table's `timestamptz`: values are UTC instants.
const UTC: &str = "+00:00";

/// What files hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// Columns in the files' order, then those that the files' directories give. All may be NULL.
    pub schema: SchemaRef,
    /// How many of them directories give.
    pub partition_columns: usize,
}

/// The columns of `files`, which are all alike. Parquet files say them; of text a bounded part of each file is looked at, and the types
/// are those that all of its values have: boolean, bigint, double precision, date, timestamp, timestamp with time zone, else text. CSV and
/// PostgreSQL's text take names from the header, else `column1`, `column2`, …; JSON has the members of all objects that were looked at. Of
/// many files, [`INFER_FILES_MAX`] are looked at.
///
/// Names are in lower case, as what is not quoted in SQL, unless two of them would be one.
///
/// `codec`: None goes by each file's name.
///
/// # Errors
/// 42804 for files that do not agree, which names two of them; 22P04 for a file that is not of the format, or says no columns; 0A000 for a
/// column that no table can have; and those of reads.
pub async fn infer(
    files: &[CopyFile],
    format: &CopyFormat,
    codec: Option<Codec>,
    access: &SourceAccess,
) -> Result<Inferred, StorageError> {
    // An empty file of text says nothing.
    let is_text = !matches!(format, CopyFormat::Parquet(_));
    let full: Vec<&CopyFile> = files.iter().filter(|file| !is_text || file.bytes > 0).collect();
    let Some(&first) = full.first() else {
        let path = files.first().map_or_else(String::new, |file| file.url.clone());
        return Err(StorageError::File { path, message: "it is empty: it has no columns".into(), sqlstate: "22P04" });
    };
    let files = spread(&full);
    let columns = match format {
        CopyFormat::Parquet(_) => {
            let found = at_once(&files, |file| parquet::columns(file, access)).await?;
            same(&files, found, one_type)?
        }
        CopyFormat::Csv(options) => of_records(&files, &Dialect::csv(options)?, codec, access).await?,
        CopyFormat::Text(options) => of_records(&files, &Dialect::text(options)?, codec, access).await?,
        CopyFormat::Json(_) => {
            let found = at_once(&files, |file| json::columns(file, codec_of(file, codec), access)).await?;
            let mut all = vec![];
            found.into_iter().flatten().for_each(|column| guess::add(&mut all, column));
            typed(all)
        }
    };
    if columns.is_empty() {
        let message = "it says no columns".into();
        return Err(StorageError::File { path: first.url.clone(), message, sqlstate: "22P04" });
    }
    let (names, types): (Vec<String>, Vec<DataType>) = columns.into_iter().unzip();
    let names = folded(names);
    let directories = directories(&full, &names)?;
    let partition_columns = directories.len();
    let columns = names.into_iter().zip(types).chain(typed(directories));
    let fields: Vec<Field> = columns.map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    Ok(Inferred { schema: Arc::new(Schema::new(fields)), partition_columns })
}

fn codec_of(file: &CopyFile, codec: Option<Codec>) -> Codec {
    codec.unwrap_or_else(|| Codec::by_name(&file.url))
}

/// At most [`INFER_FILES_MAX`] of the files, the first and the last among them.
fn spread<'a>(files: &[&'a CopyFile]) -> Vec<&'a CopyFile> {
    if files.len() <= INFER_FILES_MAX {
        return files.to_vec();
    }
    (0..INFER_FILES_MAX).map(|at| files[at * (files.len() - 1) / (INFER_FILES_MAX - 1)]).collect()
}

async fn at_once<'a, T, F>(files: &[&'a CopyFile], look: impl Fn(&'a CopyFile) -> F) -> Result<Vec<T>, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    let asked: Vec<F> = files.iter().map(|&file| look(file)).collect();
    stream::iter(asked).buffered(SPLIT_FILES_AT_ONCE).try_collect().await
}

async fn of_records(
    files: &[&CopyFile],
    dialect: &Dialect,
    codec: Option<Codec>,
    access: &SourceAccess,
) -> Result<Vec<(String, DataType)>, StorageError> {
    let found = at_once(files, |file| csv::columns(file, dialect, codec_of(file, codec), access)).await?;
    Ok(typed(same(files, found, |a, b| Ok(a.and(*b)))?))
}

fn typed(columns: Vec<(String, Guess)>) -> Vec<(String, DataType)> {
    columns.into_iter().map(|(name, guess)| (name, guess.data_type())).collect()
}

fn one_type(known: &DataType, other: &DataType) -> Result<DataType, String> {
    let name = |data_type: &DataType| type_name(data_type).unwrap_or_else(|| data_type.to_string());
    match known == other {
        true => Ok(known.clone()),
        false => Err(format!("has type {}, and {} there", name(other), name(known))),
    }
}

/// What all files say, by name and position; `both` is what two types come to, if anything.
///
/// # Errors
/// 42804; `both` says what is wrong.
fn same<T>(
    files: &[&CopyFile],
    found: Vec<Vec<(String, T)>>,
    both: impl Fn(&T, &T) -> Result<T, String>,
) -> Result<Vec<(String, T)>, StorageError> {
    let mut found = files.iter().zip(found);
    let Some((first, mut all)) = found.next() else { return Ok(vec![]) };
    for (file, columns) in found {
        let differ = |what: String| StorageError::File {
            path: file.url.clone(),
            message: format!("its columns are not those of {}: {what}", first.url),
            sqlstate: "42804",
        };
        if columns.len() != all.len() {
            return Err(differ(format!("it has {}, not {}", columns.len(), all.len())));
        }
        for (known, (name, other)) in all.iter_mut().zip(columns) {
            if known.0 != name {
                return Err(differ(format!("\"{name}\" is where \"{}\" is there", known.0)));
            }
            known.1 = both(&known.1, &other).map_err(|what| differ(format!("\"{name}\" {what}")))?;
        }
    }
    Ok(all)
}

/// Names as SQL has them without quotes, unless two would be one; a name that comes again gets a number.
fn folded(names: Vec<String>) -> Vec<String> {
    let lower: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let is_one = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    let names = if is_one(&lower) { lower } else { names };
    let mut seen = BTreeSet::new();
    let once = |name: &String| {
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !seen.contains(name));
        let free = free.expect("there are more numbers than names");
        seen.insert(free.clone());
        free
    };
    names.iter().map(once).collect()
}

/// Columns of the files' directories that are not in the files.
///
/// # Errors
/// 22023 for files of which only some have one.
fn directories(files: &[&CopyFile], in_files: &[String]) -> Result<Vec<(String, Guess)>, StorageError> {
    let first = files[0];
    let names = |file: &CopyFile| file.partition.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    if let Some(other) = files.iter().find(|file| names(file) != names(first)) {
        let message = format!("its directories give not the columns that those of {} do", first.url);
        return Err(StorageError::File { path: other.url.clone(), message, sqlstate: "22023" });
    }
    let mut all = vec![];
    for (name, value) in files.iter().flat_map(|file| &file.partition) {
        if !in_files.contains(name) {
            let guess = value.as_deref().map_or(Guess::Nothing, Guess::of);
            guess::add(&mut all, (name.clone(), guess));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_sql_has_without_quotes() {
        let folded = |names: &[&str]| folded(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(folded(&["Id", "NAME"]), ["id", "name"]);
        assert_eq!(folded(&["a", "A", "a"]), ["a", "A", "a_2"]);
        assert_eq!(folded(&["a", "a", "a_2"]), ["a", "a_2", "a_2_2"]);
    }

    #[test]
    fn files_of_a_directory_are_looked_at_all_over_it() {
        let file = |at: usize| CopyFile {
            url: at.to_string(),
            bytes: 1,
            etag: None,
            modified_us: None,
            partition: vec![("d".into(), Some(if at == 99 { "x".into() } else { at.to_string() }))],
        };
        let files: Vec<CopyFile> = (0..100).map(file).collect();
        let files: Vec<&CopyFile> = files.iter().collect();
        let some = spread(&files);
        assert_eq!((some.len(), some[0].url.as_str()), (INFER_FILES_MAX, "0"));
        assert_eq!(some.last().unwrap().url, "99");
        assert_eq!(directories(&files, &[]).unwrap(), [("d".to_owned(), Guess::Text)]);
        assert_eq!(directories(&files[..99], &[]).unwrap(), [("d".to_owned(), Guess::Integer)]);
        assert!(directories(&files, &["d".into()]).unwrap().is_empty());
    }
}
