//! Row 34: a cancel request ends a statement within a second, wherever it is, and nothing is left of it; one that comes when the statement has
//! been committed changes nothing.

use damson_tests::processes::{ProcessCluster, Setup, wait_for};
use futures::{SinkExt, TryStreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Config, Error, NoTls};

/// What waits for an answer longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// From the request to the client's answer. On a machine that has other things to do, one of so many tries must be so quick.
const CANCELLED_WITHIN: Duration = Duration::from_secs(1);
const TRIES: usize = 3;
/// What runs on segments ends a moment later.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
/// A statement that has begun is in the middle after this time.
const A_WHILE: Duration = Duration::from_millis(400);

/// MiB of each process, of which some 40 are for queries.
const MEMORY_MIB: &str = "64";
const ROWS: usize = 200_000;

fn cluster() -> ProcessCluster {
    let arguments = vec!["--memory".to_owned(), MEMORY_MIB.to_owned()];
    let (master_arguments, segment_arguments) = (arguments.clone(), arguments);
    ProcessCluster::start_with(Setup { segments: 2, master_arguments, segment_arguments, ..Setup::default() })
}

async fn connect(cluster: &ProcessCluster) -> Client {
    let mut config = Config::new();
    config.host("127.0.0.1").port(cluster.postgres_address().port()).user("damson").dbname("damson");
    let (client, connection) = config.connect(NoTls).await.expect("the rules let it in");
    // Ends with the client.
    tokio::spawn(connection);
    client
}

/// A statement's count.
async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0)
}

fn sqlstate(error: &Error) -> &str {
    error.code().map_or("", |code| code.code())
}

/// Whether a process has spilled something.
fn has_spilled(directory: &Path) -> bool {
    let below = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    ["master", "seg0-data", "seg1-data"]
        .iter()
        .flat_map(|node| below(&directory.join(node).join("spill")))
        .any(|path| below(&path).next().is_some())
}

/// Nothing of any statement is there any more.
async fn nothing_is_left(cluster: &ProcessCluster, watcher: &Client, what: &str) {
    let began = Instant::now();
    loop {
        let slices = count(watcher, "SELECT count(*) FROM pg_catalog.gp_running_slices WHERE slice > 0").await;
        let locks = count(watcher, "SELECT count(*) FROM pg_locks").await;
        let has_spilled = has_spilled(cluster.directory());
        if slices == 0 && locks == 0 && !has_spilled {
            return;
        }
        let left = format!("{slices} slices, {locks} locks, spilled files: {has_spilled}");
        assert!(began.elapsed() < ENDED_WITHIN, "{what}: {left}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs something as often as a busy machine may need, until it took no longer than it may.
async fn soon(what: &str, mut try_it: impl AsyncFnMut() -> Duration) {
    let mut took = vec![];
    for _ in 0..TRIES {
        took.push(try_it().await);
        if took.last().is_some_and(|took| *took <= CANCELLED_WITHIN) {
            println!("{what}: cancelled after {took:?}");
            return;
        }
    }
    panic!("{what}: cancelled after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_wherever_it_is() {
    let cluster = cluster();
    let watcher = connect(&cluster).await;
    watcher
        .batch_execute(&format!(
            "CREATE TABLE big AS SELECT x AS k, x % 1000 AS v, 'some text that takes a hundred bytes or more, so that a few \
             hundred thousand rows are more than the pool has' || x AS t FROM generate_series(1, {ROWS}) AS g(x) \
             DISTRIBUTED BY (k); CREATE TABLE sink (k bigint, v bigint, t text) DISTRIBUTED BY (k)"
        ))
        .await
        .expect("tables");
    let path = cluster.directory().join("rows.csv");
    let mut file = BufWriter::new(File::create(&path).expect("room"));
    let line = format!("{}\n", "z".repeat(80));
    (0..4_000_000).for_each(|k| write!(file, "{k},{},{line}", k % 7).expect("room for 400 MB"));
    file.into_inner().expect("room");
    let copy = format!("COPY sink FROM '{}' (FORMAT csv)", path.display());

    for (what, sql, spills) in [
        ("scan", "SELECT count(*) FROM big, generate_series(1, 1000000) AS g(x) WHERE k * x % 7 = 8", false),
        (
            "motion",
            "SELECT count(*) FROM (SELECT a.k * 7919 + b.k * 31 AS x FROM big a, big b) t FULL JOIN big d ON t.x = d.k",
            false,
        ),
        (
            "spill",
            "SELECT count(l) FROM (SELECT lag(u) OVER (ORDER BY u) AS l FROM \
             (SELECT t || x AS u FROM big, generate_series(1, 1000) AS g(x)) u) x",
            true,
        ),
        ("write", "INSERT INTO sink SELECT k, v, t FROM big, generate_series(1, 1000) AS g(x)", false),
        ("COPY of files", copy.as_str(), false),
        ("sleep", "SELECT pg_sleep(3600)", false),
    ] {
        soon(what, async || {
            let client = connect(&cluster).await;
            let (cancel, text) = (client.cancel_token(), sql.to_owned());
            let running = tokio::spawn(async move { client.simple_query(&text).await.map(|_| ()) });
            tokio::time::sleep(A_WHILE).await;
            if spills {
                let directory = cluster.directory();
                wait_for("files that were spilled", ANSWER_MAX, || has_spilled(directory).then_some(()));
            }
            let began = Instant::now();
            cancel.cancel_query(NoTls).await.expect("a request");
            let ended = tokio::time::timeout(ANSWER_MAX, running).await.expect("it ends").expect("no panic");
            let took = began.elapsed();
            assert_eq!(sqlstate(&ended.expect_err(what)), "57014", "{what}");
            nothing_is_left(&cluster, &watcher, what).await;
            took
        })
        .await;
    }
    assert_eq!(count(&watcher, "SELECT count(*) FROM sink").await, 0);

    soon("COPY from the client", async || {
        let client = connect(&cluster).await;
        let cancel = client.cancel_token();
        let sink = client.copy_in::<_, bytes::Bytes>("COPY sink FROM STDIN").await.expect("it may be written");
        futures::pin_mut!(sink);
        let started = Instant::now();
        while started.elapsed() < A_WHILE {
            sink.send(bytes::Bytes::from("1\t2\tthree\n".repeat(1_000))).await.expect("it is read");
        }
        let requested = Instant::now();
        cancel.cancel_query(NoTls).await.expect("a request");
        // What is still sent is read and dropped; the error is the answer to the end.
        let ended =
            tokio::time::timeout(ANSWER_MAX, sink.finish()).await.expect("it ends").expect_err("it was cancelled");
        let took = requested.elapsed();
        assert_eq!(sqlstate(&ended), "57014");
        nothing_is_left(&cluster, &watcher, "COPY from the client").await;
        took
    })
    .await;
    soon("rows for the client", async || {
        let client = connect(&cluster).await;
        let (cancel, started) = (client.cancel_token(), Instant::now());
        let rows = client.copy_out("COPY (SELECT t FROM big, generate_series(1, 1000) AS g(x)) TO STDOUT").await;
        let rows = rows.expect("it may be read");
        futures::pin_mut!(rows);
        let mut requested = None;
        let ended = loop {
            if started.elapsed() > A_WHILE && requested.is_none() {
                cancel.cancel_query(NoTls).await.expect("a request");
                requested = Some(Instant::now());
            }
            match rows.try_next().await {
                Ok(row) => assert!(row.is_some(), "it ends too soon"),
                Err(error) => break error,
            }
        };
        assert_eq!(sqlstate(&ended), "57014");
        nothing_is_left(&cluster, &watcher, "rows for the client").await;
        requested.expect("it went on until then").elapsed()
    })
    .await;
    assert_eq!(count(&watcher, "SELECT count(*) FROM sink").await, 0);
    cluster.wait_until_clean();
}

/// A statement that is told to be cancelled is not there, and one that is told to be done is, whenever the request comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_commit_is_so() {
    const ROUNDS: i64 = 150;
    /// About as long as an INSERT takes.
    const REQUEST_AFTER_MAX: Duration = Duration::from_millis(30);
    let cluster = cluster();
    let client = connect(&cluster).await;
    client.batch_execute("CREATE TABLE t (k bigint) DISTRIBUTED BY (k)").await.expect("a table");
    let cancel = client.cancel_token();
    let mut random = StdRng::seed_from_u64(34);
    let mut done = BTreeSet::new();
    for k in 0..ROUNDS {
        let after = REQUEST_AFTER_MAX.mul_f64(random.random());
        let request = async {
            tokio::time::sleep(after).await;
            cancel.cancel_query(NoTls).await.expect("a request");
        };
        // What RETURNING names is told after the commit.
        let sql = format!("INSERT INTO t VALUES ({k}){}", if k % 2 == 0 { "" } else { " RETURNING k" });
        let insert = tokio::time::timeout(ANSWER_MAX, client.simple_query(&sql));
        let (ended, ()) = tokio::join!(insert, request);
        match ended.expect("it ends") {
            Ok(_) => _ = done.insert(k),
            Err(error) => assert_eq!(sqlstate(&error), "57014", "{error}"),
        }
        // A request that came late must not meet the next one.
        client.simple_query("").await.expect("an answer");
    }
    println!("{} of {ROUNDS} were done", done.len());
    let there = client.query("SELECT k FROM t ORDER BY k", &[]).await;
    // The last request may have come only now.
    let there = match there {
        Ok(there) => there,
        Err(error) if sqlstate(&error) == "57014" => {
            client.query("SELECT k FROM t ORDER BY k", &[]).await.expect("rows")
        }
        Err(error) => panic!("{error}"),
    };
    let there: BTreeSet<i64> = there.iter().map(|row| row.get(0)).collect();
    assert_eq!(there, done);
    assert!(
        !done.is_empty() && done.len() < ROUNDS as usize,
        "{} were done: the requests come at the wrong time",
        done.len()
    );
}

/// A commit is told even if the client takes so long for its rows that the statement's time is over, or sends a cancel request meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_commit_come_however_late() {
    const TIMEOUT: Duration = Duration::from_secs(5);
    const ROWS: i64 = 40_000;
    // With memory for the rows.
    let cluster = ProcessCluster::start(2);
    let (client, watcher) = (connect(&cluster).await, connect(&cluster).await);
    client.batch_execute("CREATE TABLE t (k bigint, t text) DISTRIBUTED BY (k)").await.expect("a table");
    client.batch_execute(&format!("SET statement_timeout = {}", TIMEOUT.as_millis())).await.expect("a setting");
    // More than sockets hold.
    let insert =
        format!("INSERT INTO t SELECT x, repeat('x', 500) FROM generate_series(1, {ROWS}) AS g(x) RETURNING k, t");
    let mut there = 0;
    for cancels in [false, true] {
        let rows = client.query_raw(&insert, Vec::<i64>::new()).await;
        let told = async {
            let rows = rows?;
            futures::pin_mut!(rows);
            let mut count = i64::from(rows.try_next().await?.is_some());
            tokio::time::sleep(if cancels { A_WHILE } else { TIMEOUT + A_WHILE }).await;
            if cancels {
                client.cancel_token().cancel_query(NoTls).await?;
            }
            while rows.try_next().await?.is_some() {
                count += 1;
            }
            Ok::<_, Error>(count)
        };
        match told.await {
            Ok(count) => {
                assert_eq!(count, ROWS);
                there += ROWS;
            }
            // On a busy machine it may not have been done in time.
            Err(error) => assert_eq!(sqlstate(&error), "57014", "{error}"),
        }
        assert_eq!(count(&watcher, "SELECT count(*) FROM t").await, there, "what is told is so");
    }
}
