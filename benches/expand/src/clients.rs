//! Who works while the cluster grows: one runs TPC-H again and again, one writes to its tables.

use crate::client::Client;
use damson::tpch::{QUERIES, TABLES, query};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Between two of the writer's statements.
const WRITE_EVERY: Duration = Duration::from_millis(50);

/// One statement: when it began, in seconds of the run, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// The query's number, or the table's.
    pub what: usize,
    pub at: f64,
    pub seconds: f64,
}

/// Runs all queries until it is stopped, at least once. Counts the rounds.
///
/// # Errors
/// A query that fails, or whose answer is not that of the round before.
pub async fn read(
    address: SocketAddr,
    began: Instant,
    rounds: Arc<AtomicUsize>,
    stop: CancellationToken,
) -> Result<Vec<Timed>, String> {
    let mut client = Client::connect(address).await?;
    let mut answers: Vec<Option<Vec<String>>> = vec![None; QUERIES];
    let mut timed = vec![];
    while !stop.is_cancelled() || rounds.load(Ordering::Relaxed) == 0 {
        for number in 1..=QUERIES {
            let at = began.elapsed().as_secs_f64();
            let answer = client.query(query(number)).await.map_err(|error| format!("Q{number}: {error}"))?;
            timed.push(Timed { what: number, at, seconds: began.elapsed().as_secs_f64() - at });
            let lines = answer.sorted_lines();
            if answers[number - 1].as_ref().is_some_and(|before| *before != lines) {
                return Err(format!("the answer of Q{number} after {at:.1} s is not that of the round before"));
            }
            answers[number - 1] = Some(lines);
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(timed)
}

/// Writes a row to `journal` and no rows to TPC-H's tables, whose answers must stay: what an INSERT waits for is the same. Gives the
/// statements and the number of rows.
///
/// # Errors
/// A statement that fails.
pub async fn write(
    address: SocketAddr,
    began: Instant,
    stop: CancellationToken,
) -> Result<(Vec<Timed>, usize), String> {
    let mut client = Client::connect(address).await?;
    let (mut timed, mut rows) = (vec![], 0);
    while !stop.is_cancelled() {
        for (what, table) in TABLES.into_iter().enumerate() {
            let at = began.elapsed().as_secs_f64();
            client.command(&format!("INSERT INTO {table} SELECT * FROM {table} WHERE false")).await?;
            timed.push(Timed { what, at, seconds: began.elapsed().as_secs_f64() - at });
            tokio::time::sleep(WRITE_EVERY).await;
        }
        client.command(&format!("INSERT INTO journal VALUES ({rows}, 1)")).await?;
        rows += 1;
    }
    Ok((timed, rows))
}
