//! Statements that mean the same in Damson and in SQLite: integers that stay small, texts compared by bytes, and for each row at
//! most one new one.

use super::keyed::{Constraints, Piece, constraints};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Names and distributions; every table has `k int, a int, b text, c bigint`.
pub const TABLES: [(&str, &str); 8] = [
    ("hashed", "BY (k)"),
    ("other", "BY (a)"),
    ("two_keys", "BY (k, b)"),
    ("strewn", "RANDOMLY"),
    ("copied", "REPLICATED"),
    ("keyed", "BY (k)"),
    ("pairs", "BY (k)"),
    ("keyed_copy", "REPLICATED"),
];

/// A table with more is thinned out: every statement of the run reads some.
const ROWS_MAX: usize = 300;

/// One statement in both dialects, and the table that it changes; none for what begins, ends or divides a transaction.
pub struct Step {
    pub table: Option<&'static str>,
    pub damson: String,
    pub sqlite: Vec<Piece>,
}

impl Step {
    fn same(table: &'static str, sql: String) -> Self {
        Step { table: Some(table), sqlite: vec![Piece::counted(sql.clone())], damson: sql }
    }

    fn control(sql: impl Into<String>) -> Self {
        let sql = sql.into();
        Step { table: None, sqlite: vec![Piece::silent(sql.clone())], damson: sql }
    }
}

pub struct Generator {
    pub(super) rng: StdRng,
    /// Savepoints of the open transaction, if there is one.
    open: Option<Vec<char>>,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Generator { rng: StdRng::seed_from_u64(seed), open: None }
    }

    /// Whether a transaction is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// `count`: how many rows a table has now.
    pub fn next(&mut self, count: impl Fn(&str) -> usize) -> Step {
        if let Some(step) = self.transaction() {
            return step;
        }
        let table = self.table();
        if count(table) > ROWS_MAX {
            let rest = self.rng.random_range(0..3);
            return Step::same(table, format!("DELETE FROM {table} WHERE abs(coalesce(k, 1)) % 3 <> {rest}"));
        }
        if let Some(constraints) = constraints(table)
            && self.rng.random_bool(0.3)
        {
            return self.upsert(table, &constraints);
        }
        match self.rng.random_range(0..110) {
            100.. => {
                let (damson, sqlite) = self.merge(table);
                Step { table: Some(table), damson, sqlite }
            }
            _ if count(table) < 5 => self.insert(table),
            0..18 => self.insert(table),
            18..26 => self.insert_select(table),
            26..46 => self.delete(table),
            46..56 => self.delete_using(table),
            56..84 => self.update(table),
            84..97 => self.update_from(table),
            97 => Step::same(table, format!("DELETE FROM {table}")),
            98 if self.open.is_none() => Step { table: Some(table), damson: format!("VACUUM {table}"), sqlite: vec![] },
            _ => Step::same(table, format!("UPDATE {table} SET a = a WHERE 1 = 0")),
        }
    }

    /// Every now and then something about transactions: half of the statements are in one.
    fn transaction(&mut self) -> Option<Step> {
        let choice = self.rng.random_range(0..100);
        let Some(savepoints) = &mut self.open else {
            if choice >= 15 {
                return None;
            }
            self.open = Some(vec![]);
            return Some(Step::control("BEGIN"));
        };
        match choice {
            0..6 => {
                self.open = None;
                Some(Step::control("COMMIT"))
            }
            6..11 => {
                self.open = None;
                Some(Step::control("ROLLBACK"))
            }
            11..19 => {
                // Of one name there can be several: the newest counts.
                let name = *['x', 'y', 'z'].choose(&mut self.rng).expect("names");
                savepoints.push(name);
                Some(Step::control(format!("SAVEPOINT {name}")))
            }
            19..27 if !savepoints.is_empty() => {
                let name = *savepoints.choose(&mut self.rng).expect("a savepoint");
                let at = savepoints.iter().rposition(|savepoint| *savepoint == name).expect("it is there");
                savepoints.truncate(at + 1);
                Some(Step::control(format!("ROLLBACK TO {name}")))
            }
            27..30 if !savepoints.is_empty() => {
                let name = *savepoints.choose(&mut self.rng).expect("a savepoint");
                let at = savepoints.iter().rposition(|savepoint| *savepoint == name).expect("it is there");
                savepoints.truncate(at);
                Some(Step::control(format!("RELEASE {name}")))
            }
            _ => None,
        }
    }

    pub(super) fn table(&mut self) -> &'static str {
        TABLES.choose(&mut self.rng).expect("tables").0
    }

    fn insert(&mut self, table: &'static str) -> Step {
        let most = if constraints(table).is_some() { 4 } else { 25 };
        let rows = self.rng.random_range(1..most);
        let rows: Vec<String> = (0..rows).map(|_| self.row()).collect();
        Step::same(table, format!("INSERT INTO {table} VALUES {}", rows.join(", ")))
    }

    fn upsert(&mut self, table: &'static str, constraints: &Constraints) -> Step {
        let (damson, sqlite) = self.on_conflict(table, constraints);
        Step { table: Some(table), damson, sqlite }
    }

    fn row(&mut self) -> String {
        format!("({})", self.row_values())
    }

    pub(super) fn row_values(&mut self) -> String {
        let (k, a, b, c) = (self.number(), self.number(), self.text(), self.number());
        format!("{k}, {a}, {b}, {c}")
    }

    fn insert_select(&mut self, table: &'static str) -> Step {
        let (from, predicate) = (self.table(), self.predicate("s", 1));
        let (k, a) = (self.value("s", 1), self.value("s", 1));
        let rest = self.rng.random_range(0..4);
        Step::same(
            table,
            format!(
                "INSERT INTO {table} SELECT {k}, {a}, s.b, s.c FROM {from} AS s WHERE s.c % 4 = {rest} AND {predicate}"
            ),
        )
    }

    fn delete(&mut self, table: &'static str) -> Step {
        let predicate = self.predicate(table, 2);
        Step::same(table, format!("DELETE FROM {table} WHERE {predicate}"))
    }

    /// SQLite has no USING.
    fn delete_using(&mut self, table: &'static str) -> Step {
        let from = self.table();
        let key = ["k", "a"].choose(&mut self.rng).expect("columns").to_owned();
        let (mine, theirs) = (self.predicate("t", 1), self.predicate("u", 1));
        let condition = format!("t.{key} = u.k AND {mine} AND {theirs}");
        Step {
            table: Some(table),
            damson: format!("DELETE FROM {table} AS t USING {from} AS u WHERE {condition}"),
            sqlite: vec![Piece::counted(format!(
                "DELETE FROM {table} AS t WHERE EXISTS (SELECT 1 FROM {from} AS u WHERE {condition})"
            ))],
        }
    }

    fn update(&mut self, table: &'static str) -> Step {
        let assignments = self.assignments(table);
        let predicate = self.predicate(table, 2);
        Step::same(table, format!("UPDATE {table} SET {assignments} WHERE {predicate}"))
    }

    /// At most one row for each of the table's.
    fn update_from(&mut self, table: &'static str) -> Step {
        let from = self.table();
        let key = ["k", "a"].choose(&mut self.rng).expect("columns").to_owned();
        let predicate = self.predicate(table, 1);
        let set = match self.rng.random_range(0..4) {
            0 => "k = s.m".to_owned(),
            1 => format!("a = s.m, c = {table}.c % 100 + s.n"),
            2 => "b = s.t, a = s.n".to_owned(),
            _ => "k = s.n, b = s.t".to_owned(),
        };
        let source = format!("SELECT k, max(a) AS m, min(b) AS t, count(*) AS n FROM {from} GROUP BY k");
        Step::same(
            table,
            format!("UPDATE {table} SET {set} FROM ({source}) AS s WHERE {table}.{key} = s.k AND {predicate}"),
        )
    }

    fn assignments(&mut self, table: &str) -> String {
        let mut columns = ["k", "a", "b", "c"].to_vec();
        let count = self.rng.random_range(1..=3);
        let mut set = vec![];
        for _ in 0..count {
            let column = columns.swap_remove(self.rng.random_range(0..columns.len()));
            let value = if column == "b" { self.text_value(table) } else { self.value(table, 2) };
            set.push(format!("{column} = {value}"));
        }
        set.join(", ")
    }

    /// A condition on the rows of `of`, a table or an alias of one.
    pub(super) fn predicate(&mut self, of: &str, depth: usize) -> String {
        let kinds = if depth == 0 { 5 } else { 11 };
        match self.rng.random_range(0..kinds) {
            0 => format!("{of}.{} {} {}", self.column(), self.comparison(), self.number_not_null()),
            1 => format!("{of}.{} {} {of}.{}", self.column(), self.comparison(), self.column()),
            2 => {
                let is = ["IS NULL", "IS NOT NULL"].choose(&mut self.rng).expect("two").to_owned();
                format!("{of}.{} {is}", ["k", "a", "b", "c"].choose(&mut self.rng).expect("columns"))
            }
            3 => format!("{of}.b {} {}", self.comparison(), self.text_not_null()),
            4 => {
                let list: Vec<String> = (0..self.rng.random_range(1..6)).map(|_| self.number()).collect();
                format!("{of}.{} {} ({})", self.column(), self.is_in(), list.join(", "))
            }
            5 => format!("({} AND {})", self.predicate(of, depth - 1), self.predicate(of, depth - 1)),
            6 => format!("({} OR {})", self.predicate(of, depth - 1), self.predicate(of, depth - 1)),
            7 => format!("NOT ({})", self.predicate(of, depth - 1)),
            8 => {
                let (from, inner) = (self.table(), self.predicate("i", 0));
                format!(
                    "{of}.{} {} (SELECT i.{} FROM {from} AS i WHERE {inner})",
                    self.column(),
                    self.is_in(),
                    self.column()
                )
            }
            9 => {
                let (from, inner) = (self.table(), self.predicate("e", 0));
                let not = if self.rng.random_bool(0.5) { "NOT " } else { "" };
                format!(
                    "{not}EXISTS (SELECT 1 FROM {from} AS e WHERE e.{} = {of}.{} AND {inner})",
                    self.column(),
                    self.column()
                )
            }
            _ => format!("{of}.{} {} (SELECT max(m.a) FROM {} AS m)", self.column(), self.comparison(), self.table()),
        }
    }

    /// A number of at most four digits.
    fn value(&mut self, of: &str, depth: usize) -> String {
        let kinds = if depth == 0 { 3 } else { 8 };
        match self.rng.random_range(0..kinds) {
            0 => self.number(),
            1 | 2 => format!("{of}.{} % 1000", self.column()),
            3 => format!("({} + {}) % 1000", self.value(of, depth - 1), self.value(of, depth - 1)),
            4 => format!("({} - {}) % 1000", self.value(of, depth - 1), self.value(of, depth - 1)),
            5 => {
                let (when, then, otherwise) =
                    (self.predicate(of, 0), self.value(of, depth - 1), self.value(of, depth - 1));
                format!("CASE WHEN {when} THEN {then} ELSE {otherwise} END")
            }
            6 => format!("coalesce({}, {})", self.value(of, depth - 1), self.number_not_null()),
            _ => {
                // SQLite evaluates SET row by row, and sees the rows that it has updated before.
                let others: Vec<_> = TABLES.iter().filter(|(name, _)| *name != of).collect();
                let from = others.choose(&mut self.rng).expect("other tables").0;
                format!("(SELECT max(v.a) % 1000 FROM {from} AS v WHERE v.k = {of}.{})", self.column())
            }
        }
    }

    fn text_value(&mut self, of: &str) -> String {
        match self.rng.random_range(0..3) {
            0 => self.text(),
            1 => format!("coalesce({of}.b, 'none')"),
            _ => format!("CASE WHEN {} THEN {of}.b ELSE {} END", self.predicate(of, 0), self.text()),
        }
    }

    fn column(&mut self) -> &'static str {
        ["k", "a", "c"].choose(&mut self.rng).expect("columns")
    }

    fn comparison(&mut self) -> &'static str {
        ["=", "<>", "<", "<=", ">", ">="].choose(&mut self.rng).expect("operators")
    }

    fn is_in(&mut self) -> &'static str {
        ["IN", "NOT IN"].choose(&mut self.rng).expect("two")
    }

    fn number(&mut self) -> String {
        if self.rng.random_bool(0.15) { "NULL".into() } else { self.number_not_null() }
    }

    fn number_not_null(&mut self) -> String {
        self.rng.random_range(-4..25).to_string()
    }

    fn text(&mut self) -> String {
        if self.rng.random_bool(0.15) { "NULL".into() } else { self.text_not_null() }
    }

    fn text_not_null(&mut self) -> String {
        const TEXTS: [&str; 7] = ["", "a", "b", "Berlin", "a text that fits no view of its own", "äöü", "zz"];
        format!("'{}'", TEXTS.choose(&mut self.rng).expect("texts"))
    }
}
