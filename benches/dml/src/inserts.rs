//! Single-row INSERTs, each of which is on the disk when it is answered; and what they leave to those who scan.

use crate::cluster::{Cluster, Failure, fastest, value};
use crate::report::Report;
use futures::future::join_all;
use std::time::{Duration, Instant};

const CLIENTS: usize = 16;
const SCAN_RUNS: usize = 20;
/// Compaction looks every ten seconds.
const COMPACTED_WITHIN: Duration = Duration::from_secs(120);
/// Files of a segment that compaction leaves alone.
const SMALL_FILES_MAX: usize = 8;

pub async fn run(cluster: &Cluster, rows: usize, report: &mut Report) -> Result<(), Failure> {
    let session = cluster.session();
    for table in ["singly", "at_once"] {
        session.execute(&format!("CREATE TABLE {table} (k int, g int, v text) DISTRIBUTED BY (k)"), vec![]).await?;
    }
    let one = rate(cluster, 1, rows / 20, rows).await?;
    report.add("single-row INSERTs, 1 client", format!("{one:.0}/s"), "");
    let many = rate(cluster, CLIENTS, (rows - rows / 20).div_ceil(CLIENTS), 0).await?;
    report.add(format!("single-row INSERTs, {CLIENTS} clients"), format!("{many:.0}/s"), "1000/s");

    let files = "SELECT count(*) FROM gp_files WHERE table_name = 'singly'";
    let segments: usize =
        value(&session, "SELECT count(*) FROM gp_segment_configuration WHERE content >= 0").await?.parse()?;
    let before = value(&session, files).await?;
    let began = Instant::now();
    let after = loop {
        let now: usize = value(&session, files).await?.parse()?;
        if now < SMALL_FILES_MAX * segments {
            break now;
        }
        if began.elapsed() > COMPACTED_WITHIN {
            return Err(format!("{now} files are left after {COMPACTED_WITHIN:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    report.add(format!("files, {before} before compaction"), format!("{after} after {:.0?}", began.elapsed()), "");

    session.execute("INSERT INTO at_once SELECT * FROM singly", vec![]).await?;
    let scan = |table: &str| format!("SELECT g, count(*), sum(k), min(v) FROM {table} GROUP BY g ORDER BY g");
    let mut ratios = vec![];
    for _ in 0..3 {
        let singly = fastest(&session, &scan("singly"), SCAN_RUNS).await?;
        let at_once = fastest(&session, &scan("at_once"), SCAN_RUNS).await?;
        ratios.push(singly.as_secs_f64() / at_once.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    report.add("scan of them / of the same rows written at once", format!("{:.2}", ratios[1]), "1.5");
    Ok(())
}

/// INSERTs a second.
async fn rate(cluster: &Cluster, clients: usize, rows: usize, from: usize) -> Result<f64, Failure> {
    let began = Instant::now();
    let inserting = (0..clients).map(|client| {
        let session = cluster.session();
        tokio::spawn(async move {
            for row in 0..rows {
                let k = from + client * rows + row;
                let sql = format!("INSERT INTO singly VALUES ({k}, {}, 'value {k}')", k % 10);
                session.execute(&sql, vec![]).await?;
            }
            Ok::<_, damson_master::SqlError>(())
        })
    });
    for done in join_all(inserting).await {
        done??;
    }
    Ok((clients * rows) as f64 / began.elapsed().as_secs_f64())
}
