//! Random scalar expressions and predicates over the columns in scope.

use super::schema::{Kind, Universe};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// A column that a query can name.
#[derive(Debug, Clone)]
pub struct ScopeColumn {
    /// `a0.c1`
    pub text: String,
    pub kind: Kind,
}

/// Columns of everything in FROM.
pub type Scope = Vec<ScopeColumn>;

/// A column of `scope` that passes `wanted`.
pub fn column(scope: &Scope, rng: &mut StdRng, wanted: impl Fn(Kind) -> bool) -> Option<ScopeColumn> {
    let fitting: Vec<&ScopeColumn> = scope.iter().filter(|c| wanted(c.kind)).collect();
    fitting.choose(rng).map(|c| (*c).clone())
}

/// The number of a value that many columns have.
fn small(rng: &mut StdRng) -> i64 {
    if rng.random_bool(0.7) { rng.random_range(0..4) } else { rng.random_range(0..14) }
}

/// An expression and its kind; integers stay far from overflow.
pub fn scalar(scope: &Scope, rng: &mut StdRng) -> (String, Kind) {
    let ScopeColumn { text, kind } = column(scope, rng, |_| true).expect("every scope has columns");
    if rng.random_bool(0.45) {
        return (text, kind);
    }
    let n = small(rng);
    match kind {
        Kind::Int | Kind::BigInt => match rng.random_range(0..7) {
            0 => (format!("{text} + {n}"), kind),
            1 => (format!("{text} * {}", n - 3), kind),
            2 => (format!("{text} % {}", n + 2), kind),
            3 => (format!("coalesce({text}, {})", -n), kind),
            4 => (format!("abs({text} - {n})"), kind),
            5 => (format!("CASE WHEN {} THEN {text} ELSE {n} END", simple_predicate(scope, rng)), kind),
            _ => (format!("nullif({text}, {n})"), kind),
        },
        Kind::Numeric => match rng.random_range(0..4) {
            0 => (format!("{text} + {n}"), kind),
            1 => (format!("{text} * 2"), kind),
            2 => (format!("-{text}"), kind),
            _ => (format!("coalesce({text}, 0.5)"), kind),
        },
        Kind::Double => match rng.random_range(0..3) {
            0 => (format!("{text} * 2"), kind),
            1 => (format!("{text} + {n}"), kind),
            _ => (format!("coalesce({text}, {})", Kind::Double.literal(n)), kind),
        },
        Kind::Text => match rng.random_range(0..6) {
            0 => (format!("upper({text})"), kind),
            1 => (format!("{text} || 'x'"), kind),
            2 => (format!("coalesce({text}, 'none')"), kind),
            3 => (format!("substr({text}, 1, 1)"), kind),
            4 => (format!("length({text})"), Kind::Int),
            _ => (format!("CASE WHEN {} THEN {text} END", simple_predicate(scope, rng)), kind),
        },
        Kind::Date => match rng.random_range(0..3) {
            0 => (format!("CAST(extract(year FROM {text}) AS int)"), Kind::Int),
            1 => (format!("CAST(extract(month FROM {text}) AS int)"), Kind::Int),
            _ => (format!("coalesce({text}, DATE '2024-02-29')"), kind),
        },
        Kind::Boolean => match rng.random_range(0..2) {
            0 => (format!("NOT {text}"), kind),
            _ => (format!("coalesce({text}, false)"), kind),
        },
    }
}

/// A predicate without subqueries, in parentheses.
pub fn simple_predicate(scope: &Scope, rng: &mut StdRng) -> String {
    let left = column(scope, rng, |_| true).expect("every scope has columns");
    let text = &left.text;
    let n = small(rng);
    let literal = left.kind.literal(n);
    let operator = *["=", "<>", "<>", "<", "<=", ">", ">=", ">="].choose(rng).expect("operators");
    match rng.random_range(0..11) {
        0 => format!("({text} IS NULL)"),
        1 => format!("({text} IS NOT NULL)"),
        2 if left.kind == Kind::Boolean => format!("({text})"),
        2 => format!("({text} BETWEEN {literal} AND {})", left.kind.literal(n + 4)),
        3 => {
            let items: Vec<String> = (0..3).map(|_| left.kind.literal(small(rng))).collect();
            format!("({text} IN ({}))", items.join(", "))
        }
        4 if left.kind == Kind::Text => {
            format!("({text} LIKE '{}')", ["a%", "%b", "%t1%", "_"].choose(rng).expect("patterns"))
        }
        4 => format!("({text} IS DISTINCT FROM {literal})"),
        5 | 6 => match column(scope, rng, |kind| kind.comparable(left.kind)) {
            Some(right) => format!("({text} {operator} {})", right.text),
            None => format!("({text} {operator} {literal})"),
        },
        7 => format!("({} OR {})", simple_predicate(scope, rng), simple_predicate(scope, rng)),
        8 => format!("(NOT {})", simple_predicate(scope, rng)),
        _ => format!("({text} {operator} {literal})"),
    }
}

/// A predicate of an outer join's ON clause. It fixes no column to one value: DataFusion 55.2 takes that for a constant
/// of the whole result and leaves out sorts (tests/slt/postgres/engine_bugs.slt).
pub fn inequality(scope: &Scope, rng: &mut StdRng) -> String {
    let left = column(scope, rng, |kind| kind != Kind::Boolean).expect("every scope has an id");
    let operator = ["<>", "<", ">="].choose(rng).expect("operators");
    format!("{} {operator} {}", left.text, left.kind.literal(small(rng)))
}

/// A predicate that can have a subquery: a whole conjunct of WHERE.
pub fn conjunct(scope: &Scope, universe: &Universe, rng: &mut StdRng) -> String {
    if rng.random_bool(0.7) {
        return simple_predicate(scope, rng);
    }
    let table = universe.tables.choose(rng).expect("tables");
    let inner: Scope =
        table.columns.iter().map(|c| ScopeColumn { text: format!("s.{}", c.name), kind: c.kind }).collect();
    let name = &table.name;
    let outer = column(scope, rng, |_| true).expect("every scope has columns");
    let Some(matching) = column(&inner, rng, |kind| kind.comparable(outer.kind)) else {
        return format!("EXISTS (SELECT 1 FROM {name} AS s WHERE {})", simple_predicate(&inner, rng));
    };
    let (outer, matching) = (outer.text, matching.text);
    let filter = simple_predicate(&inner, rng);
    match rng.random_range(0..8) {
        0 => format!("EXISTS (SELECT 1 FROM {name} AS s WHERE {matching} = {outer} AND {filter})"),
        1 => format!("NOT EXISTS (SELECT 1 FROM {name} AS s WHERE {matching} = {outer} AND {filter})"),
        2 => format!("{outer} IN (SELECT {matching} FROM {name} AS s WHERE {filter})"),
        3 => format!("{outer} NOT IN (SELECT {matching} FROM {name} AS s WHERE {filter})"),
        4 => format!("{outer} NOT IN (SELECT {matching} FROM {name} AS s WHERE {matching} IS NOT NULL AND {filter})"),
        5 if !matching_is_boolean(&inner, &matching) => {
            format!("{outer} <= (SELECT max({matching}) FROM {name} AS s WHERE {filter})")
        }
        6 => format!("(SELECT count(*) FROM {name} AS s WHERE {matching} = {outer} AND {filter}) < 2"),
        _ => format!(
            "({outer} IN (SELECT {matching} FROM {name} AS s WHERE {filter}) OR {})",
            simple_predicate(scope, rng)
        ),
    }
}

/// `max` of a boolean is not PostgreSQL's.
fn matching_is_boolean(scope: &Scope, text: &str) -> bool {
    scope.iter().any(|c| c.text == text && c.kind == Kind::Boolean)
}
