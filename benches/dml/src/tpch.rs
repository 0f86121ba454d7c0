//! UPDATE and DELETE of TPC-H's lineitem, and its queries when rows are gone.

use crate::cluster::{Cluster, Failure, fastest, timed};
use crate::report::Report;
use damson::Progress;
use damson::tpch::{QUERIES, load, query};

const RUNS: usize = 3;

pub async fn run(cluster: &Cluster, sf: f64, report: &mut Report) -> Result<(), Failure> {
    let session = cluster.session();
    if session.execute("SELECT 1 FROM lineitem LIMIT 1", vec![]).await.is_err() {
        load(&session, &cluster.data_dir, sf, &Progress::silent()).await?;
    }
    let statements = [
        (
            "UPDATE of 1 % of lineitem",
            "UPDATE lineitem SET l_quantity = l_quantity + 1 WHERE l_orderkey % 100 = 7",
            "2 s",
        ),
        (
            "UPDATE of the distribution key of 1 %",
            "UPDATE lineitem SET l_orderkey = -l_orderkey WHERE l_orderkey % 100 = 11",
            "",
        ),
        ("DELETE of 1 % of lineitem", "DELETE FROM lineitem WHERE l_orderkey % 100 = 13", "2 s"),
        (
            "DELETE … USING of 1 %",
            "DELETE FROM lineitem USING orders WHERE l_orderkey = o_orderkey AND o_orderkey % 100 = 17",
            "",
        ),
    ];
    for (what, sql, wanted) in statements {
        report.add(format!("{what}, SF{sf}"), format!("{:.2} s", timed(&session, sql).await?.as_secs_f64()), wanted);
    }
    for sql in [
        "DELETE FROM lineitem WHERE (l_orderkey * 7 + l_linenumber) % 10 = 3",
        "DELETE FROM orders WHERE o_orderkey % 10 = 3",
    ] {
        timed(&session, sql).await?;
    }
    let deleted = total(&session).await?;
    // The same rows, without a trace of the others.
    for table in ["lineitem", "orders"] {
        timed(&session, &format!("ALTER TABLE {table} SET WITH (REORGANIZE=true)")).await?;
    }
    let written = total(&session).await?;
    report.add(format!("TPC-H, SF{sf}, a tenth deleted"), format!("{deleted:.2} s"), "");
    report.add("the same rows written anew", format!("{written:.2} s"), "");
    report.add("ratio", format!("{:.2}", deleted / written), "1.2");
    Ok(())
}

/// Seconds of the fastest runs of all queries.
async fn total(session: &std::sync::Arc<damson_master::Session>) -> Result<f64, Failure> {
    let mut total = 0.0;
    for number in 1..=QUERIES {
        total += fastest(session, query(number), RUNS).await?.as_secs_f64();
    }
    Ok(total)
}
