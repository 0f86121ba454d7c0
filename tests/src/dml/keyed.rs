//! What constraints, ON CONFLICT and MERGE do: the statement for Damson, and what it comes to in SQLite, whose tables have no
//! constraints: the model looks at them when the statement is done, as the SQL standard has it.

use super::generate::Generator;
use rand::Rng;
use rand::seq::IndexedRandom;

/// A table's keys and check, of which the model makes queries.
pub struct Constraints {
    /// Columns of PRIMARY KEY and UNIQUE, by constraint.
    pub keys: &'static [&'static [&'static str]],
    /// A condition that is false for no row.
    pub check: &'static str,
}

/// Constraints of a table of the campaign.
pub fn constraints(table: &str) -> Option<Constraints> {
    match table {
        "keyed" => Some(Constraints { keys: &[&["k"]], check: "a < 900" }),
        "pairs" => Some(Constraints { keys: &[&["k", "b"], &["k", "a"]], check: "c >= -999" }),
        "keyed_copy" => Some(Constraints { keys: &[&["k"], &["a", "b"]], check: "a < 900 OR c IS NULL" }),
        _ => None,
    }
}

impl Constraints {
    /// As CREATE TABLE writes them.
    pub fn definition(&self) -> String {
        let keys = self.keys.iter().map(|columns| format!(", UNIQUE ({})", columns.join(", ")));
        format!("{}, CHECK ({})", keys.collect::<String>(), self.check)
    }
}

/// SQL for the model.
pub struct Piece {
    pub sql: String,
    /// Whether the rows that it changes are those of the statement's count.
    pub counts: bool,
}

impl Piece {
    pub(super) fn counted(sql: String) -> Self {
        Piece { sql, counts: true }
    }

    pub(super) fn silent(sql: impl Into<String>) -> Self {
        Piece { sql: sql.into(), counts: false }
    }
}

impl Generator {
    /// `INSERT … ON CONFLICT`: rows of VALUES, whose keys may be there, or come twice.
    pub(super) fn on_conflict(&mut self, table: &'static str, constraints: &Constraints) -> (String, Vec<Piece>) {
        let updates = self.rng.random_bool(0.5);
        let key = constraints.keys.choose(&mut self.rng).expect("keys").to_vec();
        let count = self.rng.random_range(1..12);
        let rows: Vec<String> = (0..count).map(|n| format!("({n}, {})", self.row_values())).collect();
        let new = format!("CREATE TEMP TABLE new (n, k, a, b, c); INSERT INTO new VALUES {}", rows.join(", "));
        let equal = |left: &str, right: &str, key: &[&str]| {
            let terms: Vec<String> = key.iter().map(|column| format!("{left}.{column} = {right}.{column}")).collect();
            format!("({})", terms.join(" AND "))
        };
        // Of new rows that have one key, the first stays.
        let first_of_key = format!(
            "DELETE FROM new WHERE EXISTS (SELECT 1 FROM new AS earlier WHERE earlier.n < new.n AND {})",
            equal("earlier", "new", &key)
        );
        // Without their number.
        let values: Vec<String> =
            rows.iter().map(|row| format!("({}", row.split_once(", ").expect("columns").1)).collect();
        let insert = format!("INSERT INTO {table} VALUES {}", values.join(", "));
        if !updates {
            let damson = format!("{insert} ON CONFLICT ({}) DO NOTHING", key.join(", "));
            let model = vec![
                Piece::silent(new),
                Piece::silent(format!(
                    "DELETE FROM new WHERE EXISTS (SELECT 1 FROM {table} AS t WHERE {})",
                    equal("t", "new", &key)
                )),
                Piece::silent(first_of_key),
                Piece::counted(format!("INSERT INTO {table} SELECT k, a, b, c FROM new ORDER BY n")),
                Piece::silent("DROP TABLE new"),
            ];
            return (damson, model);
        }
        // A row that is affected twice is an error: the model takes the first, so only that is sent.
        let set = [
            ("c = excluded.c", "c = e.c"),
            ("c = {t}.c % 100 + coalesce(excluded.c, 1)", "c = {t}.c % 100 + coalesce(e.c, 1)"),
            ("a = excluded.a, c = 7", "a = e.a, c = 7"),
            ("b = excluded.b", "b = e.b"),
        ]
        .choose(&mut self.rng)
        .expect("assignments");
        let filter =
            ["", " WHERE {t}.c > 3", " WHERE {t}.a IS NULL OR excluded.a > 5"].choose(&mut self.rng).expect("filters");
        let of_table = |text: &str| text.replace("{t}", table);
        let mut seen = vec![];
        let distinct: Vec<&String> = values
            .iter()
            .filter(|row| {
                let fields: Vec<&str> = row.trim_matches(['(', ')']).splitn(4, ", ").collect();
                let position =
                    |column: &&str| ["k", "a", "b", "c"].iter().position(|name| name == column).expect("a column");
                let of_key: Vec<String> = key.iter().map(|column| fields[position(column)].to_owned()).collect();
                let is_new = of_key.iter().any(|value| value == "NULL") || !seen.contains(&of_key);
                seen.push(of_key);
                is_new
            })
            .collect();
        let distinct: Vec<&str> = distinct.iter().map(|row| row.as_str()).collect();
        let damson = format!(
            "INSERT INTO {table} VALUES {} ON CONFLICT ({}) DO UPDATE SET {}{}",
            distinct.join(", "),
            key.join(", "),
            of_table(set.0),
            of_table(filter)
        );
        let condition = match of_table(filter).strip_prefix(" WHERE ") {
            Some(condition) => format!(" AND ({})", condition.replace("excluded.", "e.")),
            None => String::new(),
        };
        let model = vec![
            Piece::silent(new),
            Piece::silent(first_of_key),
            Piece::silent(format!(
                "CREATE TEMP TABLE old AS SELECT t.rowid AS r, new.* FROM {table} AS t JOIN new ON {}",
                equal("t", "new", &key)
            )),
            Piece::counted(format!(
                "UPDATE {table} SET {} FROM old AS e WHERE e.r = {table}.rowid{condition}",
                of_table(set.1)
            )),
            Piece::counted(format!(
                "INSERT INTO {table} SELECT k, a, b, c FROM new WHERE n NOT IN (SELECT n FROM old) ORDER BY n"
            )),
            Piece::silent("DROP TABLE new; DROP TABLE old"),
        ];
        (damson, model)
    }

    /// MERGE of a source that has at most one row for each of the table's.
    pub(super) fn merge(&mut self, table: &'static str) -> (String, Vec<Piece>) {
        let from = self.table();
        let key = ["k", "a"].choose(&mut self.rng).expect("columns").to_owned();
        let source = format!("SELECT k, max(a) AS m, min(b) AS t, count(*) AS n FROM {from} GROUP BY k");
        let (deletes, updates, inserts) = (self.predicate("t", 0), self.predicate("t", 0), self.predicate("s", 0));
        // The source has other columns.
        let inserts = inserts.replace("s.a", "s.m").replace("s.c", "s.n").replace("s.b", "s.t");
        let set = match self.rng.random_range(0..5) {
            0 => "k = s.m",
            1 => "a = s.m, c = t.c % 100 + s.n",
            2 => "b = s.t, a = s.n",
            3 => "c = s.n",
            _ => "k = s.n, b = s.t",
        };
        let values = ["s.k, s.m, s.t, s.n", "s.k + 500, s.n, s.t, NULL", "s.n, s.k, 'merged', s.m"]
            .choose(&mut self.rng)
            .expect("values");
        let with_delete = self.rng.random_bool(0.5);
        let with_insert = self.rng.random_bool(0.7);
        let mut damson = format!("MERGE INTO {table} AS t USING ({source}) AS s ON t.{key} = s.k");
        if with_delete {
            damson += &format!(" WHEN MATCHED AND {deletes} THEN DELETE");
        }
        damson += &format!(" WHEN MATCHED AND {updates} THEN UPDATE SET {set}");
        if with_insert {
            damson += &format!(" WHEN NOT MATCHED AND {inserts} THEN INSERT VALUES ({values})");
        }
        let deletes = if with_delete { deletes } else { "1 = 0".into() };
        let model = vec![
            Piece::silent(format!("CREATE TEMP TABLE src AS {source}")),
            Piece::silent(format!(
                "CREATE TEMP TABLE old AS SELECT t.rowid AS r, CASE WHEN {deletes} THEN 1 WHEN {updates} THEN 2 END AS x, \
                 s.k AS s_k, s.m AS s_m, s.t AS s_t, s.n AS s_n FROM {table} AS t JOIN src AS s ON t.{key} = s.k"
            )),
            Piece::silent(format!(
                "CREATE TEMP TABLE new AS SELECT {values} FROM src AS s WHERE {} AND {inserts} AND \
                 NOT EXISTS (SELECT 1 FROM {table} AS t WHERE t.{key} = s.k)",
                if with_insert { "1 = 1" } else { "1 = 0" }
            )),
            Piece::counted(format!("DELETE FROM {table} WHERE rowid IN (SELECT r FROM old WHERE x = 1)")),
            Piece::counted(format!(
                "UPDATE {table} AS t SET {} FROM old AS s WHERE s.r = t.rowid AND s.x = 2",
                set.replace("s.", "s.s_")
            )),
            Piece::counted(format!("INSERT INTO {table} SELECT * FROM new")),
            Piece::silent("DROP TABLE src; DROP TABLE old; DROP TABLE new"),
        ];
        (damson, model)
    }
}
