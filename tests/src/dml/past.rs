//! What AS OF must still find: the tables' contents at some snapshots of a run.

use super::{Model, Rows, TABLES, rows};
use crate::Damson;

/// How many moments of a run are remembered.
const MOMENTS: usize = 40;

/// The snapshot of each cluster at one moment, and the contents of the tables then.
struct Moment {
    statement: usize,
    snapshots: Vec<String>,
    contents: Vec<Rows>,
}

/// Moments of a run.
#[derive(Default)]
pub(super) struct Past {
    moments: Vec<Moment>,
}

impl Past {
    /// From now on the clusters keep the past.
    pub async fn begin(clusters: &[(&str, Damson)]) -> Past {
        for (_, session) in clusters {
            session.execute("ALTER SYSTEM SET snapshot_retention = '1 day'").await.expect("a setting of the cluster");
        }
        Past::default()
    }

    /// Whether the moment after that statement, of so many, is one to remember.
    pub fn is_due(statement: usize, statements: usize) -> bool {
        statement.is_multiple_of((statements / MOMENTS).max(1))
    }

    pub async fn remember(&mut self, statement: usize, clusters: &[(&str, Damson)], model: &Model) {
        let mut snapshots = vec![];
        for (_, session) in clusters {
            snapshots.push(session.text("SHOW transaction_snapshot").await);
        }
        let contents = TABLES.iter().map(|(table, _)| model.rows(table)).collect();
        self.moments.push(Moment { statement, snapshots, contents });
    }

    /// Every moment is found again, and none once the past was given up.
    ///
    /// # Panics
    /// With the moment and the table that differs.
    pub async fn check(&self, seed: u64, clusters: &[(&str, Damson)]) {
        assert!(self.moments.len() > 3, "a run without moments");
        for (cluster, (name, session)) in clusters.iter().enumerate() {
            for moment in &self.moments {
                let snapshot = &moment.snapshots[cluster];
                for ((table, _), wanted) in TABLES.iter().zip(&moment.contents) {
                    let found = rows(session, &format!("{table} AS OF SNAPSHOT {snapshot}")).await;
                    let told = format!("{table} as of snapshot {snapshot}, after statement {}", moment.statement);
                    assert!(
                        found == *wanted,
                        "seed {seed}, {name}: {told}: {} rows, not {}",
                        found.len(),
                        wanted.len()
                    );
                }
            }
            session.execute("ALTER SYSTEM RESET snapshot_retention").await.expect("a setting of the cluster");
            session.execute("DELETE FROM hashed").await.expect("a table of the run");
            session.execute("INSERT INTO hashed VALUES (1, 1, 'a', 1)").await.expect("a table of the run");
            session.execute("TRUNCATE hashed").await.expect("a table of the run");
            session.execute("VACUUM").await.expect("nothing is in its way");
            let oldest = &self.moments[0].snapshots[cluster];
            let error = session.execute(&format!("SELECT 1 FROM hashed AS OF SNAPSHOT {oldest}")).await;
            let Err(error) = error else { panic!("{name}: snapshot {oldest} is still there") };
            assert_eq!(error.state.0, "72000", "{error}");
        }
    }
}
