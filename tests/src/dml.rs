//! Random INSERT, UPDATE, DELETE, MERGE and ON CONFLICT, on tables with and without constraints, alone and in transactions with savepoints, against a model: from a seed, the same statements on
//! Damson and on SQLite, with equal contents after each.

mod generate;
mod keyed;
mod model;
mod past;

pub use generate::{Generator, Step, TABLES};
pub use keyed::Piece;
pub use model::Model;

use crate::Damson;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use keyed::constraints;
use past::Past;

/// Statements after which another bucket map becomes the newest, where there are several.
const STATEMENTS_A_MAP: usize = 5;

/// A table's rows as text, sorted.
pub type Rows = Vec<Vec<Option<String>>>;

/// One run. Every cluster gets every statement.
pub struct DmlCampaign {
    pub seed: u64,
    pub statements: usize,
}

impl DmlCampaign {
    /// # Panics
    /// With the seed, the statement and the first differing rows, when a cluster is not as the model.
    pub async fn run(&self, clusters: &[(&str, Damson)]) {
        let model = Model::new();
        let mut generator = Generator::new(self.seed);
        for (name, distribution) in TABLES {
            for (_, session) in clusters {
                let constraints = constraints(name).map_or_else(String::new, |constraints| constraints.definition());
                let columns = format!("k int, a int, b text, c bigint{constraints}");
                let sql = format!("CREATE TABLE {name} ({columns}) DISTRIBUTED {distribution}");
                session.execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            }
        }
        for (_, session) in clusters {
            one_row_on_each_segment(session).await;
        }
        let mut past = Past::begin(clusters).await;
        let mut refused = 0;
        for number in 0..self.statements {
            let step = generator.next(|table| model.count(table));
            let changed = model.run(&step);
            refused += usize::from(changed.is_err());
            let may_fail = step.table.is_some_and(|table| constraints(table).is_some());
            // Without it, a statement that fails would be the transaction's end.
            let guarded = may_fail && generator.is_open();
            for (cluster, session) in clusters {
                let told = || format!("seed {}, statement {number} on {cluster}: {}", self.seed, step.damson);
                if guarded {
                    session.execute("SAVEPOINT guard").await.unwrap_or_else(|e| panic!("{}: {e}", told()));
                }
                let answer = session.execute(&step.damson).await;
                match (&changed, &answer) {
                    (Ok(_), Err(error)) => panic!("{}: {error}", told()),
                    (Ok(changed), Ok(answer)) if step.table.is_some() && answer.changed.is_some() => {
                        assert_eq!(answer.changed, Some(*changed), "rows changed, {}", told());
                    }
                    (Ok(_), Ok(_)) => {}
                    (Err(broken), Ok(_)) => panic!("{} should fail with {broken:?}", told()),
                    (Err(broken), Err(error)) => {
                        assert!(broken.contains(&error.state.0), "{}: {error} instead of {broken:?}", told());
                    }
                }
                if guarded {
                    let end = if answer.is_ok() { "RELEASE guard" } else { "ROLLBACK TO guard" };
                    session.execute(end).await.unwrap_or_else(|e| panic!("{}: {e}", told()));
                }
                // A statement that changed another table than its own would show up here.
                let is_looked_at = |name: &str| step.table.is_none_or(|table| table == name) || number % 20 == 19;
                let tables = TABLES.iter().filter(|(name, _)| is_looked_at(name));
                for (table, _) in tables {
                    let wanted = model.rows(table);
                    let differing = copies(session, table).await.into_iter().find(|found| *found != wanted);
                    if let Some(found) = differing {
                        let missing: Vec<_> = wanted.iter().filter(|row| !found.contains(row)).take(9).collect();
                        let extra: Vec<_> = found.iter().filter(|row| !wanted.contains(row)).take(9).collect();
                        let counts = (wanted.len(), found.len());
                        panic!("{}\n{table} differs: {counts:?} rows\nmissing {missing:?}\nextra {extra:?}", told());
                    }
                }
            }
            if !generator.is_open() && number % STATEMENTS_A_MAP == 0 {
                lay_out_anew(number, clusters).await;
            }
            if !generator.is_open() && Past::is_due(number, self.statements) {
                past.remember(number, clusters, &model).await;
            }
        }
        if generator.is_open() {
            for (_, session) in clusters {
                session.execute("COMMIT").await.expect("a block is open");
            }
        }
        past.check(self.seed, clusters).await;
        eprintln!("{refused} of {} statements broke a constraint", self.statements);
        assert!(self.statements < 300 || refused * 5 < self.statements, "most statements should succeed: {refused}");
    }
}

/// Where there are several maps, another one becomes the newest; and now and then a table is laid out by it.
async fn lay_out_anew(number: usize, clusters: &[(&str, Damson)]) {
    let turn = number / STATEMENTS_A_MAP;
    for (cluster, session) in clusters {
        let has_maps = session.take_next_bucket_map().await;
        let has_maps = has_maps.unwrap_or_else(|error| panic!("statement {number} on {cluster}: {error}"));
        if has_maps && turn.is_multiple_of(3) {
            let (table, _) = TABLES[turn / 3 % TABLES.len()];
            let sql = format!("ALTER TABLE {table} EXPAND TABLE");
            session.execute(&sql).await.unwrap_or_else(|error| panic!("{sql} after statement {number}: {error}"));
        }
    }
}

/// A table by which each segment reads its own copy of a replicated one.
async fn one_row_on_each_segment(session: &Damson) {
    for sql in [
        "CREATE TABLE segments (s int) DISTRIBUTED BY (s)",
        "INSERT INTO segments SELECT x FROM generate_series(1, 200) AS g(x)",
        "CREATE TABLE ids AS SELECT gp_segment_id AS id, min(s) AS s FROM segments GROUP BY gp_segment_id DISTRIBUTED REPLICATED",
        "DELETE FROM segments WHERE s NOT IN (SELECT s FROM ids)",
    ] {
        session.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

/// The table's rows; those of a replicated one on each segment.
async fn copies(session: &Damson, table: &str) -> Vec<Rows> {
    if TABLES.iter().any(|(name, distribution)| *name == table && *distribution == "REPLICATED") {
        let segments = session.text("SELECT s FROM segments").await;
        let mut copies = vec![];
        for segment in segments.lines() {
            let of = format!("segments CROSS JOIN {table} WHERE s = {segment}");
            copies.push(rows(session, &of).await);
        }
        return copies;
    }
    vec![rows(session, table).await]
}

async fn rows(session: &Damson, from: &str) -> Rows {
    let sql = format!("SELECT k, a, b, c FROM {from}");
    let batches = session.batches(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let mut rows = vec![];
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| cast(column, &DataType::Utf8).expect("plain types")).collect();
        for at in 0..batch.num_rows() {
            let value = |column: &dyn Array| {
                let texts = column.as_string::<i32>();
                (!texts.is_null(at)).then(|| texts.value(at).to_owned())
            };
            rows.push(columns.iter().map(|column| value(column.as_ref())).collect());
        }
    }
    rows.sort();
    rows
}
