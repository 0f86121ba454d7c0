//! Runs sqllogictest files on a [`Target`], and writes their expected results from one ("bless").
//!
//! `tests/slt/*.slt` and `tests/slt/pairs/*.slt` hold for plain DataFusion and for Damson alike; `tests/slt/postgres/`
//! is what PostgreSQL gives and DataFusion does not, and runs on Damson alone. Column types in a `query` line are
//! [`ValueClass`]es: `N`umber, `B`oolean, `D`ate and time, `T`ext, `A`rray or record, `?` for NULL.

use crate::{Answer, Target, TargetError, ValueClass};
use async_trait::async_trait;
use sqllogictest::{AsyncDB, ColumnType, DBOutput, Normalizer, QueryExpect, Record, Runner, StatementExpect};
use std::fs;
use std::path::{Path, PathBuf};

/// Between the columns of an expected row.
const COLUMN_SEPARATOR: &str = " | ";

/// The files of `tests/slt/<directory>`, sorted; those whose path contains `$DAMSON_SLT`, where it is set.
///
/// # Panics
/// When there is none: a test that runs nothing must not pass.
pub fn files(directory: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt").join(directory);
    let wanted = std::env::var("DAMSON_SLT").unwrap_or_default();
    let entries = fs::read_dir(&root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "slt"));
    assert!(!files.is_empty(), "{} has no .slt file", root.display());
    files.retain(|path| path.to_string_lossy().contains(&wanted));
    files.sort();
    files
}

/// What a run saw.
#[derive(Debug, Default)]
pub struct Report {
    pub queries: usize,
    pub statements: usize,
    pub failures: Vec<String>,
}

impl Report {
    /// # Panics
    /// With every failure, when there is one.
    pub fn assert_passed(&self, target: &str) {
        println!("{target}: {} queries, {} statements", self.queries, self.statements);
        let failures = self.failures.join("\n\n");
        assert!(self.failures.is_empty(), "{target}: {} failures\n\n{failures}", self.failures.len());
    }
}

/// Runs every file, each in a session from `connect`; goes on after a failure; drops the relations that a file made.
pub async fn run<T: Target + 'static>(files: &[PathBuf], connect: impl Fn() -> T) -> Report {
    let mut report = Report::default();
    for file in files {
        let records = sqllogictest::parse_file::<Class>(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let made = made_relations(&records);
        let mut runner = runner(&connect);
        for record in records {
            match &record {
                Record::Query { .. } => report.queries += 1,
                Record::Statement { .. } => report.statements += 1,
                _ => {}
            }
            if let Err(error) = runner.run_async(record).await {
                report.failures.push(error.display(false).to_string());
            }
        }
        for (kind, name) in made.iter().rev() {
            let mut session = connect();
            if let Err(error) = session.run(&format!("DROP {kind} IF EXISTS {name}")).await {
                report.failures.push(format!("{}: cannot drop {name}: {error}", file.display()));
            }
        }
    }
    report
}

/// Writes the results and types that the target gives into the files.
///
/// # Panics
/// When a file cannot be written, and when the target cannot run one of its queries: that is no expected result.
pub async fn bless<T: Target + 'static>(files: &[PathBuf], connect: impl Fn() -> T) {
    for file in files {
        let mut runner = runner(&connect);
        runner
            .update_test_file(file, COLUMN_SEPARATOR, same_rows, as_it_is, same_types)
            .await
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for record in sqllogictest::parse_file::<Class>(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())) {
            match record {
                Record::Query { sql, expected: QueryExpect::Error(error), loc, .. }
                | Record::Statement { sql, expected: StatementExpect::Error(error), loc, .. } => {
                    panic!("{loc}: {sql}\n{error}");
                }
                _ => {}
            }
        }
    }
}

/// Tables and views of the file's CREATE statements, in order.
fn made_relations(records: &[Record<Class>]) -> Vec<(&'static str, String)> {
    let mut made = vec![];
    for record in records {
        let Record::Statement { sql, .. } = record else { continue };
        let words: Vec<&str> = sql.split(|c: char| c.is_whitespace() || c == '(').filter(|w| !w.is_empty()).collect();
        if !words.first().is_some_and(|w| w.eq_ignore_ascii_case("create")) {
            continue;
        }
        for (at, word) in words.iter().enumerate().take(4) {
            let kind = match word.to_ascii_uppercase().as_str() {
                "TABLE" => "TABLE",
                "VIEW" => "VIEW",
                _ => continue,
            };
            let conditional = words.get(at + 1).is_some_and(|w| w.eq_ignore_ascii_case("if"));
            if let Some(name) = words.get(if conditional { at + 4 } else { at + 1 }) {
                made.push((kind, name.to_string()));
            }
            break;
        }
    }
    made
}

type SltRunner<T, C> = Runner<Connection<T>, C>;

fn runner<T: Target + 'static>(
    connect: &impl Fn() -> T,
) -> SltRunner<T, impl sqllogictest::MakeConnection<Conn = Connection<T>>> {
    let mut runner = Runner::new(move || {
        let connection = Connection { target: connect() };
        async move { Ok(connection) }
    });
    runner.with_validator(same_rows);
    runner.with_column_validator(same_types);
    runner.with_normalizer(as_it_is);
    runner
}

#[allow(clippy::ptr_arg)]
fn as_it_is(text: &String) -> String {
    text.clone()
}

fn same_rows(_: Normalizer, actual: &[Vec<String>], expected: &[String]) -> bool {
    actual.len() == expected.len()
        && actual.iter().zip(expected).all(|(row, line)| row.join(COLUMN_SEPARATOR).trim_end() == line.trim_end())
}

/// A NULL column has any class; an empty answer says nothing about one that the other engine calls NULL.
#[allow(clippy::ptr_arg)]
fn same_types(actual: &Vec<Class>, expected: &Vec<Class>) -> bool {
    let matches = |(a, e): (&Class, &Class)| a == e || a.0 == ValueClass::Unknown;
    actual.len() == expected.len() && actual.iter().zip(expected).all(matches)
}

/// [`ValueClass`] as the letter of a `query` line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class(ValueClass);

impl ColumnType for Class {
    fn from_char(letter: char) -> Option<Self> {
        Some(Class(match letter {
            'N' => ValueClass::Number,
            'B' => ValueClass::Boolean,
            'D' => ValueClass::Temporal,
            'T' => ValueClass::Text,
            'A' => ValueClass::Nested,
            '?' => ValueClass::Unknown,
            _ => return None,
        }))
    }

    fn to_char(&self) -> char {
        match self.0 {
            ValueClass::Number => 'N',
            ValueClass::Boolean => 'B',
            ValueClass::Temporal => 'D',
            ValueClass::Text => 'T',
            ValueClass::Nested => 'A',
            ValueClass::Unknown => '?',
        }
    }
}

struct Connection<T> {
    target: T,
}

#[async_trait]
impl<T: Target> AsyncDB for Connection<T> {
    type Error = TargetError;
    type ColumnType = Class;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Class>, TargetError> {
        let Answer { classes, rows, changed } = self.target.run(sql).await?;
        Ok(match changed {
            Some(count) => DBOutput::StatementComplete(count),
            None => DBOutput::Rows { types: classes.into_iter().map(Class).collect(), rows },
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        self.target.name()
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &TargetError) -> Option<String> {
        error.sqlstate.clone()
    }
}
