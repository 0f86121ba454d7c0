//! What keys cost: COPY of TPC-H's lineitem with and without its primary key, in turn; and single rows into a large table.

use crate::cluster::{Cluster, Failure, timed};
use crate::report::Report;
use damson::Progress;
use damson::tpch::load;
use futures::future::join_all;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUNS: usize = 5;
const CLIENTS: usize = 16;
/// Single rows of each client.
const ROWS: usize = 40;

pub async fn run(cluster: &Cluster, sf: f64, report: &mut Report) -> Result<(), Failure> {
    let session = cluster.session();
    if session.execute("SELECT 1 FROM lineitem LIMIT 1", vec![]).await.is_err() {
        load(&session, &cluster.data_dir, sf, &Progress::silent()).await?;
    }
    for (format, ending) in [("parquet", "parquet"), ("csv", "csv")] {
        copy(&session, cluster, format, ending, sf, report).await?;
    }
    onto_itself(&session, sf, report).await?;
    single_rows(cluster, report).await
}

/// COPY into empty tables.
async fn copy(
    session: &Arc<damson_master::Session>,
    cluster: &Cluster,
    format: &str,
    ending: &str,
    sf: f64,
    report: &mut Report,
) -> Result<(), Failure> {
    let files = cluster.data_dir.join(format!("lineitem-{ending}"));
    timed(session, &format!("COPY lineitem TO '{}' (FORMAT {format})", files.display())).await?;
    for sql in [
        "CREATE TABLE plain (LIKE lineitem) DISTRIBUTED BY (l_orderkey)",
        "CREATE TABLE keyed (LIKE lineitem INCLUDING INDEXES) DISTRIBUTED BY (l_orderkey)",
    ] {
        timed(session, sql).await?;
    }
    let mut ratios = vec![];
    let mut fastest = [Duration::MAX; 2];
    // The first does not count.
    for round in 0..=RUNS {
        let mut took = [Duration::ZERO; 2];
        for (i, table) in ["plain", "keyed"].into_iter().enumerate() {
            timed(session, &format!("TRUNCATE {table}")).await?;
            took[i] = timed(session, &format!("COPY {table} FROM '{}' (FORMAT {format})", files.display())).await?;
        }
        if round > 0 {
            ratios.push(took[1].as_secs_f64() / took[0].as_secs_f64());
            fastest = [fastest[0].min(took[0]), fastest[1].min(took[1])];
        }
    }
    ratios.sort_by(f64::total_cmp);
    let seconds = fastest.map(|time| time.as_secs_f64());
    report.add(format!("COPY of lineitem from {format}, SF{sf}"), format!("{:.2} s", seconds[0]), "");
    report.add("the same with PRIMARY KEY (l_orderkey, l_linenumber)", format!("{:.2} s", seconds[1]), "");
    report.add(format!("ratio, median of {RUNS} pairs"), format!("{:.2}", ratios[RUNS / 2]), "1.3");
    for table in ["plain", "keyed"] {
        timed(session, &format!("DROP TABLE {table}")).await?;
    }
    std::fs::remove_dir_all(files)?;
    Ok(())
}

/// Rows whose keys are looked for among as many that are there.
async fn onto_itself(session: &Arc<damson_master::Session>, sf: f64, report: &mut Report) -> Result<(), Failure> {
    let more = "SELECT l_orderkey + 100000000, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, \
                l_tax, l_returnflag, l_linestatus, l_shipdate, l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode, \
                l_comment FROM lineitem";
    timed(session, "CREATE TABLE keyed (LIKE lineitem INCLUDING INDEXES) DISTRIBUTED BY (l_orderkey)").await?;
    let first = timed(session, "INSERT INTO keyed SELECT * FROM lineitem").await?;
    let second = timed(session, &format!("INSERT INTO keyed {more}")).await?;
    let merged = timed(
        session,
        "INSERT INTO keyed SELECT * FROM lineitem WHERE l_orderkey % 100 = 5 \
         ON CONFLICT (l_orderkey, l_linenumber) DO UPDATE SET l_quantity = excluded.l_quantity + 1",
    )
    .await?;
    let left_out = timed(session, "INSERT INTO keyed SELECT * FROM lineitem ON CONFLICT DO NOTHING").await?;
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    report.add(format!("INSERT … SELECT of lineitem into an empty table with its key, SF{sf}"), seconds(first), "");
    report.add("as many other rows on top", seconds(second), "");
    report.add("ON CONFLICT DO UPDATE of 1 %", seconds(merged), "");
    report.add("ON CONFLICT DO NOTHING, all rows there", seconds(left_out), "");
    Ok(())
}

/// Single rows into that table, each of which is on the disk when it is answered.
async fn single_rows(cluster: &Cluster, report: &mut Report) -> Result<(), Failure> {
    for clients in [1, CLIENTS] {
        let began = Instant::now();
        let inserting = (0..clients).map(|client| {
            let session = cluster.session();
            tokio::spawn(async move {
                for row in 0..ROWS {
                    let sql = format!(
                        "INSERT INTO keyed VALUES ({}, 1, 1, {row}, 1, 1, 0, 0, 'N', 'O', '1998-01-01', '1998-01-01', \
                         '1998-01-01', 'NONE', 'AIR', 'one')",
                        // Beyond all keys that are there.
                        1_000_000_000 + 10_000_000 * clients + client * 7919
                    );
                    session.execute(&sql, vec![]).await?;
                }
                Ok::<_, damson_master::SqlError>(())
            })
        });
        for done in join_all(inserting).await {
            done??;
        }
        let rate = (clients * ROWS) as f64 / began.elapsed().as_secs_f64();
        report.add(format!("single-row INSERTs into it, {clients} clients"), format!("{rate:.0}/s"), "");
    }
    Ok(())
}
