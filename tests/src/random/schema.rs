//! Random tables: types, NULLs, skew, sizes and distributions.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::collections::HashMap;
use std::fmt::Write;

/// Rows of one INSERT.
const INSERT_ROWS: usize = 500;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Int,
    BigInt,
    /// numeric(12,2)
    Numeric,
    Text,
    Date,
    /// Multiples of a quarter: their sums are exact in any order.
    Double,
    Boolean,
}

impl Kind {
    pub const ALL: [Kind; 7] =
        [Kind::Int, Kind::BigInt, Kind::Numeric, Kind::Text, Kind::Date, Kind::Double, Kind::Boolean];

    fn sql_type(self) -> &'static str {
        match self {
            Kind::Int => "int",
            Kind::BigInt => "bigint",
            Kind::Numeric => "numeric(12,2)",
            Kind::Text => "text",
            Kind::Date => "date",
            Kind::Double => "double precision",
            Kind::Boolean => "boolean",
        }
    }

    /// Exact numbers compare with each other; everything else with its own kind.
    pub fn comparable(self, other: Kind) -> bool {
        self == other || self.is_exact_number() && other.is_exact_number()
    }

    pub fn is_exact_number(self) -> bool {
        matches!(self, Kind::Int | Kind::BigInt | Kind::Numeric)
    }

    pub fn is_integer(self) -> bool {
        matches!(self, Kind::Int | Kind::BigInt)
    }

    /// Value number `n` of this kind, as a literal.
    pub fn literal(self, n: i64) -> String {
        match self {
            Kind::Int => n.to_string(),
            Kind::BigInt if n % 5 == 4 => (n * 10_000_000_000).to_string(),
            Kind::BigInt => n.to_string(),
            Kind::Numeric if n % 2 == 0 => n.to_string(),
            Kind::Numeric => format!("{n}.{:02}", (n * 25).rem_euclid(100)),
            Kind::Text => ["''", "'a'", "'b'", "'ab'", "'B'", "'äö'", "'a b'", "'zz'"]
                .get(usize::try_from(n).unwrap_or(usize::MAX))
                .map_or_else(|| format!("'t{n}'"), |text| (*text).to_string()),
            Kind::Date => {
                format!("DATE '20{:02}-{:02}-{:02}'", 20 + n.rem_euclid(4), 1 + n.rem_euclid(12), 1 + n.rem_euclid(28))
            }
            Kind::Double => format!("CAST({} AS double precision)", n as f64 * 0.25),
            Kind::Boolean => (n % 2 == 0).to_string(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// How often the most frequent value occurs: bounds the rows of a join on this column.
    pub most_frequent: usize,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    /// The first is `id`: 1, 2, 3, …
    pub columns: Vec<Column>,
    pub rows: usize,
    pub create: String,
    pub inserts: Vec<String>,
}

impl Table {
    fn random(name: String, sizes: &[usize], rng: &mut StdRng) -> Self {
        let rows = *sizes.choose(rng).expect("sizes");
        let mut columns = vec![Column { name: "id".into(), kind: Kind::Int, most_frequent: 1 }];
        let mut values: Vec<Vec<String>> = (1..=rows).map(|id| vec![id.to_string()]).collect();
        for at in 0..rng.random_range(3..=6) {
            let kind = if at == 0 { Kind::Int } else { *Kind::ALL.choose(rng).expect("kinds") };
            let most_frequent = fill(&mut values, kind, rng);
            columns.push(Column { name: format!("c{at}"), kind, most_frequent });
        }
        let list: Vec<String> = columns.iter().map(|c| format!("{} {}", c.name, c.kind.sql_type())).collect();
        let create = format!("CREATE TABLE {name} ({}) {}", list.join(", "), distribution(&columns, rng));
        let tuples: Vec<String> = values.iter().map(|row| format!("({})", row.join(", "))).collect();
        let inserts =
            tuples.chunks(INSERT_ROWS).map(|rows| format!("INSERT INTO {name} VALUES {}", rows.join(", "))).collect();
        Table { name, columns, rows, create, inserts }
    }
}

/// Adds one random column to each row; returns the count of the most frequent value that is not NULL.
fn fill(rows: &mut [Vec<String>], kind: Kind, rng: &mut StdRng) -> usize {
    let null_fraction = *[0.0, 0.0, 0.0, 0.05, 0.05, 0.4, 0.97].choose(rng).expect("fractions");
    let domain = *[3, 12, rows.len().max(4) as i64 / 2, rows.len().max(4) as i64 * 2].choose(rng).expect("domains");
    let skewed = rng.random_bool(0.25);
    let mut counts: HashMap<String, usize> = HashMap::new();
    for row in rows {
        let literal = if rng.random_bool(null_fraction) {
            "NULL".to_string()
        } else {
            let value = if skewed && rng.random_bool(0.8) { 1 } else { rng.random_range(0..domain.max(1)) };
            let literal = kind.literal(value);
            *counts.entry(literal.clone()).or_default() += 1;
            literal
        };
        row.push(literal);
    }
    counts.into_values().max().unwrap_or(0)
}

fn distribution(columns: &[Column], rng: &mut StdRng) -> String {
    let keys: Vec<&str> = columns.iter().filter(|c| c.kind != Kind::Boolean).map(|c| c.name.as_str()).collect();
    match rng.random_range(0..6) {
        0 => "DISTRIBUTED RANDOMLY".into(),
        1 => "DISTRIBUTED REPLICATED".into(),
        2 if keys.len() > 1 => {
            format!("DISTRIBUTED BY ({})", keys.choose_multiple(rng, 2).copied().collect::<Vec<_>>().join(", "))
        }
        3 => "DISTRIBUTED BY (id)".into(),
        // `c0` is an integer in every table: joins on it are often co-located.
        4 => "DISTRIBUTED BY (c0)".into(),
        _ => format!("DISTRIBUTED BY ({})", keys.choose(rng).expect("the id")),
    }
}

/// Tables that queries are made over.
#[derive(Debug, Clone)]
pub struct Universe {
    pub tables: Vec<Table>,
}

impl Universe {
    /// Four tables whose names begin with `prefix`; the first is empty or small.
    pub fn random(prefix: &str, rng: &mut StdRng) -> Self {
        let table = |at: usize| {
            let sizes: &[usize] = if at == 0 { &[0, 1, 7, 30] } else { &[7, 30, 100, 100, 400, 400, 2000] };
            Table::random(format!("{prefix}_t{at}"), sizes, rng)
        };
        Universe { tables: (0..4).map(table).collect() }
    }

    /// CREATE and INSERT statements, in order.
    pub fn statements(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().flat_map(|t| std::iter::once(t.create.as_str()).chain(t.inserts.iter().map(String::as_str)))
    }

    /// A script that makes the tables that `query` names.
    pub fn script_for(&self, query: &str) -> String {
        let mut script = String::new();
        for table in self.tables.iter().filter(|t| query.contains(&t.name)) {
            for statement in std::iter::once(&table.create).chain(&table.inserts) {
                writeln!(script, "{statement};").expect("a string");
            }
        }
        script
    }
}
