//! Tables move to the segments that another bucket map names, while they are read and written.

use damson_cluster::placement::{bucket_of, hash_rows};
use damson_cluster::{BucketMap, ContentId, MapVersion};
use damson_gpexpand::{apply_moves, moves_to_grow, moves_to_shrink};
use damson_master::Expanded;
use damson_tests::processes::{ProcessCluster, Setup};
use damson_tests::{Damson, TestCluster};
use datafusion::arrow::array::Int32Array;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ROWS: usize = 20_000;

async fn run(session: &Damson, sql: &str) {
    session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// `table`'s rows, in an order of their own.
async fn contents(session: &Damson, table: &str) -> Vec<String> {
    session.lines(&format!("SELECT k, v, t FROM {table} ORDER BY k, v, t")).await
}

async fn rows_by_segment(session: &Damson, table: &str) -> Vec<String> {
    let sql = format!("SELECT gp_segment_id, count(*) FROM {table} GROUP BY gp_segment_id ORDER BY gp_segment_id");
    session.lines(&sql).await
}

async fn nothing_is_wrong(session: &Damson) {
    let problems = session.lines("SELECT * FROM gp_check WHERE problem NOT LIKE '%orphan%'").await;
    assert!(problems.is_empty(), "{problems:?}");
}

/// A table of each distribution on the first two of four segments.
async fn some_tables(session: &Damson) {
    run(session, "ALTER SYSTEM SET bucket_map = '0*8192 1*8192'").await;
    for (table, distribution) in
        [("hashed", "BY (k)"), ("keyed", "BY (k)"), ("random", "RANDOMLY"), ("copies", "REPLICATED")]
    {
        let key = if table == "keyed" { ", PRIMARY KEY (k)" } else { "" };
        run(session, &format!("CREATE TABLE {table} (k int, v bigint, t text{key}) DISTRIBUTED {distribution}")).await;
        for part in 0..3 {
            let rows = ROWS / 3;
            let (from, to) = (part * rows, (part + 1) * rows - 1);
            let sql =
                format!("INSERT INTO {table} SELECT x, x * 2, 'text ' || x FROM generate_series({from}, {to}) AS g(x)");
            run(session, &sql).await;
        }
        run(session, &format!("DELETE FROM {table} WHERE k % 10 = 3")).await;
        run(session, &format!("UPDATE {table} SET t = 'changed' WHERE k % 10 = 4")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_where_the_new_map_says_and_all_of_them() {
    let cluster = TestCluster::start(4).await;
    let session = cluster.session();
    some_tables(&session).await;
    let tables = ["hashed", "keyed", "random", "copies"];
    let mut before = vec![];
    for table in tables {
        before.push(contents(&session, table).await);
    }
    let rows = before[0].len() as f64;
    // Growing, uneven, and shrinking: how many rows each segment is to have, of a table whose rows are somewhere.
    for (map, shares) in [
        ("0*4096 1*4096 2*4096 3*4096", [0.25, 0.25, 0.25, 0.25]),
        ("0*1638 1*8192 2*6554", [0.1, 0.5, 0.4, 0.0]),
        ("3*16384", [0.0, 0.0, 0.0, 1.0]),
        ("0*5461 2*5461 3*5462", [1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0 / 3.0]),
    ] {
        run(&session, &format!("ALTER SYSTEM SET bucket_map = '{map}'")).await;
        for (table, before) in tables.iter().zip(&before) {
            // Half-way: tables on different maps.
            assert_eq!(
                session.text("SELECT count(*) FROM hashed JOIN copies USING (k) JOIN random USING (k)").await,
                before.len().to_string()
            );
            run(&session, &format!("ALTER TABLE {table} EXPAND TABLE")).await;
            assert_eq!(contents(&session, table).await, *before, "{table} by {map}");
            nothing_is_wrong(&session).await;
            if *table == "copies" {
                continue;
            }
            let by_segment = rows_by_segment(&session, table).await;
            for (content, share) in shares.iter().enumerate() {
                let prefix = format!("{content} | ");
                let has = by_segment.iter().find_map(|line| line.strip_prefix(&prefix));
                let has: f64 = has.map_or(0.0, |count| count.parse().expect("a number"));
                // Rows of a random table are drawn.
                let tolerance = if *table == "random" { 0.06 } else { 0.02 };
                let is_near = (has - share * rows).abs() <= rows * tolerance;
                assert!(is_near, "{table} by {map}: segment {content} has {has} of {rows}, not {share}");
            }
        }
        // Writes find their way.
        for table in tables {
            run(&session, &format!("INSERT INTO {table} VALUES (-1, 1, 'new')")).await;
            run(&session, &format!("UPDATE {table} SET v = 2 WHERE k = -1")).await;
            assert_eq!(session.text(&format!("SELECT v FROM {table} WHERE k = -1")).await, "2");
            run(&session, &format!("DELETE FROM {table} WHERE k = -1")).await;
        }
        let error = session.execute("INSERT INTO keyed VALUES (1, 1, 'twice')").await.expect_err("a key twice");
        assert_eq!(error.state.0, "23505");
    }
    // Again: nothing to do.
    let answer = session.execute("ALTER TABLE hashed EXPAND TABLE").await;
    assert!(answer.is_ok());
    let error = session.execute("ALTER TABLE nowhere EXPAND TABLE").await.expect_err("it is not there");
    assert_eq!(error.state.0, "42P01");
    run(&session, "ALTER TABLE IF EXISTS nowhere EXPAND TABLE").await;
    cluster.shutdown().await;
}

/// The owner of each hash, of segments 0 to `last`.
fn segment_of_each_row(last: usize, hashes: &[u64], map: &BucketMap) -> Vec<usize> {
    let owner = |hash: &u64| usize::try_from(map.owner(bucket_of(*hash)).0).expect("a segment");
    let segments: Vec<usize> = hashes.iter().map(owner).collect();
    assert!(segments.iter().all(|segment| *segment <= last));
    segments
}

/// What moves is what changes its owner, to the row: of N segments that become N + M, M of N + M rows; of those that become N - M, M of N.
#[tokio::test(flavor = "multi_thread")]
async fn only_rows_that_change_their_owner_move() {
    let cluster = TestCluster::start(7).await;
    let session = cluster.session();
    let keys = Arc::new(Int32Array::from_iter_values(0..ROWS as i32));
    let mut hashes = vec![];
    hash_rows(&[keys], &mut hashes).expect("an integer");
    for (from, to, share) in [(2, 3, 1.0 / 3.0), (2, 4, 0.5), (3, 7, 4.0 / 7.0), (7, 4, 3.0 / 7.0)] {
        let old = BucketMap::uniform(MapVersion(1), from);
        let new = moved(&old, from, to);
        run(&session, &format!("ALTER SYSTEM SET bucket_map = '{}'", old.owners_text())).await;
        run(&session, "CREATE TABLE moving (k int, v bigint, t text) DISTRIBUTED BY (k)").await;
        let insert =
            format!("INSERT INTO moving SELECT x, x * 2, 'text ' || x FROM generate_series(0, {}) AS g(x)", ROWS - 1);
        run(&session, &insert).await;
        let (before, after) = (segment_of_each_row(6, &hashes, &old), segment_of_each_row(6, &hashes, &new));
        let where_rows_are = "SELECT gp_segment_id FROM moving ORDER BY k";
        let numbers = |segments: &[usize]| segments.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(session.lines(where_rows_are).await, numbers(&before), "{from} to {to}: before");

        run(&session, &format!("ALTER SYSTEM SET bucket_map = '{}'", new.owners_text())).await;
        let rows_moved = session.execute("ALTER TABLE moving EXPAND TABLE").await.expect("it moves").changed;
        assert_eq!(session.lines(where_rows_are).await, numbers(&after), "{from} to {to}: after");
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert_eq!(rows_moved, Some(changed as u64), "{from} to {to}: rows that are moved");
        let part = changed as f64 / ROWS as f64;
        assert!((part / share - 1.0).abs() < 0.02, "{from} to {to}: {part} of the rows move, not {share}");
        run(&session, "DROP TABLE moving").await;
    }
    cluster.shutdown().await;
}

/// Files that are large enough are divided by buckets: what leaves of them is copied, as far as the ranges are those that leave. So are files of which all
/// rows leave together, whatever their size.
#[tokio::test(flavor = "multi_thread")]
async fn row_groups_that_leave_are_copied() {
    let cluster = TestCluster::start(7).await;
    let session = cluster.session();
    // What is read as of before is held by nobody otherwise.
    run(&session, "ALTER SYSTEM SET snapshot_retention = '1 day'").await;
    for (from, to, rows, least) in
        [(2, 3, 500_000, 0.95), (2, 4, 500_000, 0.95), (3, 7, 600_000, 0.6), (7, 4, 1_200_000, 0.95)]
    {
        let old = BucketMap::uniform(MapVersion(1), from);
        let new = moved(&old, from, to);
        run(&session, &format!("ALTER SYSTEM SET bucket_map = '{}'", old.owners_text())).await;
        run(&session, "CREATE TABLE large (k int PRIMARY KEY, v bigint, t text) DISTRIBUTED BY (k)").await;
        let insert = format!(
            "INSERT INTO large SELECT x, x::bigint * 2, CASE WHEN x % 5 > 0 THEN 'text ' || x END FROM generate_series(0, {}) AS g(x)",
            rows - 1
        );
        run(&session, &insert).await;
        // Rows that are deleted before come along, and stay deleted.
        run(&session, "DELETE FROM large WHERE k % 100 = 7").await;
        let snapshot = session.text("SHOW transaction_snapshot").await;
        let keys = (0..rows).filter(|k| k % 100 != 7);
        let sum: i64 = keys.clone().map(i64::from).sum();
        let whole = format!("{} | {} | {sum} | 0", keys.clone().count(), keys.clone().count());
        let all = |table: &str| {
            format!(
                "SELECT count(*), count(DISTINCT k), sum(k), count(CASE WHEN v <> k::bigint * 2 \
                 OR coalesce(t, '') <> CASE WHEN k % 5 > 0 THEN 'text ' || k ELSE '' END THEN 1 END) FROM {table}"
            )
        };
        assert_eq!(session.lines(&all("large")).await, [whole.as_str()], "{from} to {to}: before");

        run(&session, &format!("ALTER SYSTEM SET bucket_map = '{}'", new.owners_text())).await;
        let notices = session.notices("ALTER TABLE large EXPAND TABLE").await.expect("it moves");
        let expanded = notices.iter().find_map(|notice| Expanded::of_notice(notice)).expect("a notice");
        let mut hashes = vec![];
        hash_rows(&[Arc::new(Int32Array::from_iter_values(keys.clone()))], &mut hashes).expect("an integer");
        let (before, after) = (segment_of_each_row(6, &hashes, &old), segment_of_each_row(6, &hashes, &new));
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert_eq!(expanded.rows, changed as u64, "{from} to {to}");
        let part = expanded.copied_bytes as f64 / expanded.bytes as f64;
        assert!(part >= least && part <= 1.0, "{from} to {to}: {part} of what moves is copied: {expanded}");
        assert_eq!(session.lines(&all("large")).await, [whole.as_str()], "{from} to {to}: after");
        let past = all(&format!("large AS OF SNAPSHOT {snapshot}"));
        assert_eq!(session.lines(&past).await, [whole.as_str()], "{from} to {to}: as of before");
        let mut counts = [0_usize; 7];
        after.iter().for_each(|&segment| counts[segment] += 1);
        let counts = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let by_segment: Vec<String> = counts.map(|(segment, count)| format!("{segment} | {count}")).collect();
        assert_eq!(rows_by_segment(&session, "large").await, by_segment, "{from} to {to}");
        nothing_is_wrong(&session).await;
        for k in [0, 1, 106, rows / 2 + 1, rows - 1] {
            assert_eq!(session.text(&format!("SELECT v FROM large WHERE k = {k}")).await, (2 * k).to_string());
            assert_eq!(session.text(&format!("SELECT count(*) FROM large WHERE k = {}", k / 100 * 100 + 7)).await, "0");
        }
        let error = session.execute(&format!("INSERT INTO large VALUES ({}, 0, '')", rows - 1)).await;
        assert_eq!(error.expect_err("a key twice").state.0, "23505");
        // What was moved is moved again, and back: from new files, which say which row group has what as their sources did.
        run(&session, "UPDATE large SET v = -1 WHERE k % 1000 = 5").await;
        run(&session, &format!("ALTER SYSTEM SET bucket_map = '{}'", old.owners_text())).await;
        run(&session, "ALTER TABLE large EXPAND TABLE").await;
        assert_eq!(
            session.lines("SELECT count(*), sum(k), count(CASE WHEN v = -1 THEN 1 END) FROM large").await,
            [format!("{} | {sum} | {}", keys.clone().count(), rows / 1000)]
        );
        nothing_is_wrong(&session).await;
        run(&session, "DROP TABLE large").await;
    }
    cluster.shutdown().await;
}

/// The map of a cluster that grew or shrank.
fn moved(old: &BucketMap, from: usize, to: usize) -> BucketMap {
    let moves = if to > from {
        moves_to_grow(old, to)
    } else {
        let removed: Vec<ContentId> = (to..from).map(|content| ContentId(content as i32)).collect();
        moves_to_shrink(old, &removed)
    };
    apply_moves(old, MapVersion(2), from.max(to), &moves.expect("moves"))
}

/// A table's move takes the time that its bytes take at the rate that was set, and ends at once when it is cancelled meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn rows_move_no_faster_than_they_may() {
    let cluster = TestCluster::start(2).await;
    let session = Arc::new(cluster.session());
    run(&session, "ALTER SYSTEM SET bucket_map = '0*16384'").await;
    run(&session, "CREATE TABLE slow (k int, t text) DISTRIBUTED BY (k)").await;
    run(&session, "INSERT INTO slow SELECT x, md5(x::text) FROM generate_series(1, 20000) AS g(x)").await;
    run(&session, "ALTER SYSTEM SET bucket_map = '0*8192 1*8192'").await;
    let error = session.execute("SET expand_max_rate = 'fast'").await.expect_err("it is no rate");
    assert_eq!(error.state.0, "22023");

    // 10,000 texts of 16 random bytes each take two seconds and more.
    run(&session, "SET expand_max_rate = '1kB'").await;
    let (moving, started) = (Arc::clone(&session), Instant::now());
    let moved = tokio::spawn(async move { moving.execute("ALTER TABLE slow EXPAND TABLE").await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!moved.is_finished(), "the table cannot have moved yet");
    session.cancel();
    let error = moved.await.expect("no panic").expect_err("it is cancelled");
    assert_eq!(error.state.0, "57014");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(session.text("SELECT count(DISTINCT gp_segment_id) FROM slow").await, "1");

    run(&session, "SET expand_max_rate = '80kB'").await;
    let started = Instant::now();
    run(&session, "ALTER TABLE slow EXPAND TABLE").await;
    assert!(started.elapsed() >= Duration::from_secs(2), "it took {:?}", started.elapsed());
    assert_eq!(session.text("SELECT count(DISTINCT gp_segment_id) FROM slow").await, "2");
    assert_eq!(session.text("SELECT count(*) FROM slow").await, "20000");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_read_and_write_meanwhile() {
    let cluster = TestCluster::start(4).await;
    let session = cluster.session();
    some_tables(&session).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (inserted, reads) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tables = ["hashed", "random", "copies"];
    let mut clients = vec![];
    for table in tables {
        // What is read is always whole: accounts sum up, whatever moves and is moved between them.
        let (reader, stopped, counted) = (cluster.session(), Arc::clone(&stop), Arc::clone(&reads));
        let whole = reader.text(&format!("SELECT sum(v) FROM {table} WHERE k < 1000000")).await;
        clients.push(tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let sum = reader.text(&format!("SELECT sum(v) FROM {table} WHERE k < 1000000")).await;
                assert_eq!(sum, whole, "{table}");
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let (writer, stopped, counted) = (cluster.session(), Arc::clone(&stop), Arc::clone(&inserted));
        clients.push(tokio::spawn(async move {
            let mut next = 1_000_000;
            while !stopped.load(Ordering::Relaxed) {
                for sql in [
                    format!("INSERT INTO {table} VALUES ({next}, 1, 'new'), ({}, 2, 'new')", next + 1),
                    format!("UPDATE {table} SET v = v + CASE WHEN k % 20 = 1 THEN 1 ELSE -1 END WHERE k < 1000 AND k % 20 IN (1, 11)"),
                    format!("DELETE FROM {table} WHERE k = {next}"),
                ] {
                    run(&writer, &sql).await;
                }
                next += 2;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for map in ["0*4096 1*4096 2*4096 3*4096", "0*8192 3*8192"] {
        run(&session, &format!("ALTER SYSTEM SET bucket_map = '{map}'")).await;
        for table in tables {
            run(&session, &format!("ALTER TABLE {table} EXPAND TABLE")).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no client fails");
    }
    let left: u64 = {
        let mut left = 0;
        for table in tables {
            left += session
                .text(&format!("SELECT count(*) FROM {table} WHERE k >= 1000000"))
                .await
                .parse::<u64>()
                .expect("a number");
        }
        left
    };
    assert_eq!(left, inserted.load(Ordering::Relaxed), "each round leaves one row");
    assert!(reads.load(Ordering::Relaxed) > 0);
    nothing_is_wrong(&session).await;
    cluster.shutdown().await;
}

/// Where new rows of random tables, and copies, come from makes no difference: a segment that is to be given up gets none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_owns_nothing_gets_no_rows() {
    let cluster = TestCluster::start(4).await;
    let session = cluster.session();
    some_tables(&session).await;
    let rows = session.text("SELECT count(*) FROM hashed").await;
    run(&session, "ALTER SYSTEM SET bucket_map = '2*8192 3*8192'").await;
    for table in ["random", "copies"] {
        run(&session, &format!("ALTER TABLE {table} EXPAND TABLE")).await;
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    let lines: String = (0..ROWS).map(|k| format!("{k},{k},loaded\n")).collect();
    std::fs::write(file.path(), lines).expect("a file to load");
    for sql in [
        "INSERT INTO random SELECT * FROM hashed".to_owned(),
        "INSERT INTO random SELECT * FROM copies".to_owned(),
        "MERGE INTO random AS r USING (SELECT 1000000 + k AS k FROM hashed WHERE k < 100) AS s ON r.k = s.k \
         WHEN NOT MATCHED THEN INSERT VALUES (s.k, 0, 'merged')"
            .to_owned(),
        "DELETE FROM random WHERE t = 'merged'".to_owned(),
        "INSERT INTO random SELECT k, v, t FROM hashed JOIN copies USING (k, v, t)".to_owned(),
        format!("COPY random FROM '{}' (FORMAT csv)", file.path().display()),
        "CREATE TABLE made AS SELECT * FROM hashed DISTRIBUTED RANDOMLY".to_owned(),
        "CREATE TABLE copied AS SELECT * FROM copies DISTRIBUTED RANDOMLY".to_owned(),
        "ALTER TABLE keyed DROP CONSTRAINT keyed_pkey".to_owned(),
        "ALTER TABLE keyed SET DISTRIBUTED RANDOMLY".to_owned(),
    ] {
        run(&session, &sql).await;
    }
    for table in ["random", "made", "copied", "keyed"] {
        let by_segment = rows_by_segment(&session, table).await;
        assert!(by_segment.iter().all(|line| line.starts_with("2 | ") || line.starts_with("3 | ")), "{by_segment:?}");
    }
    for table in ["made", "copied", "keyed"] {
        assert_eq!(session.text(&format!("SELECT count(*) FROM {table}")).await, rows, "{table}");
    }
    let of_all = ROWS as u64 + 4 * rows.parse::<u64>().expect("a number");
    assert_eq!(session.text("SELECT count(*) FROM random").await, of_all.to_string());
    nothing_is_wrong(&session).await;
    cluster.shutdown().await;
}

/// A random table's new rows go where those of new tables do, which may be given up before the table is laid out anew: they are its rows all the same.
#[tokio::test(flavor = "multi_thread")]
async fn rows_stay_where_a_map_that_was_given_up_put_them() {
    let cluster = TestCluster::start(4).await;
    let session = cluster.session();
    some_tables(&session).await;
    run(&session, "ALTER SYSTEM SET bucket_map = '0*4096 1*4096 2*4096 3*4096'").await;
    run(&session, "ALTER SYSTEM SET snapshot_retention = '1 day'").await;
    let added = "INSERT INTO random SELECT x, x, 'added' FROM generate_series(100001, 200000) AS g(x)";
    run(&session, added).await;
    let snapshot = session.text("SHOW transaction_snapshot").await;
    let segments = "SELECT count(DISTINCT gp_segment_id) FROM random WHERE t = 'added'";
    assert_eq!(session.text(segments).await, "4");
    let before = contents(&session, "random").await;
    for map in ["0*8192 1*8192", "1*8192 3*8192", "0*16384"] {
        run(&session, &format!("ALTER SYSTEM SET bucket_map = '{map}'")).await;
        assert_eq!(session.text("SELECT count(*) FROM random WHERE t = 'added'").await, "100000", "by {map}");
        assert_eq!(contents(&session, "random").await, before, "by {map}");
        let joined = "SELECT count(*) FROM random AS a JOIN random AS b USING (k, v) JOIN copies AS c USING (k)";
        let of_copies = session.text("SELECT count(*) FROM copies").await;
        assert_eq!(session.text(joined).await, of_copies, "by {map}");
        let then = format!("SELECT count(*) FROM random AS OF SNAPSHOT {snapshot} WHERE t = 'added'");
        assert_eq!(session.text(&then).await, "100000", "by {map}");
        run(&session, "CREATE TABLE made AS SELECT * FROM random DISTRIBUTED BY (k)").await;
        assert_eq!(contents(&session, "made").await, before, "by {map}");
        run(&session, "DROP TABLE made").await;
        run(&session, "UPDATE copies SET v = v + 1 WHERE k IN (SELECT k FROM random)").await;
        run(&session, "UPDATE copies SET v = v - 1 WHERE k IN (SELECT k FROM random)").await;
    }
    run(&session, "UPDATE random SET v = 0 WHERE t = 'added'").await;
    assert_eq!(session.text("SELECT count(*) FROM random WHERE v = 0 AND t = 'added'").await, "100000");
    run(&session, "UPDATE random SET v = k WHERE t = 'added'").await;
    run(&session, "ALTER TABLE random EXPAND TABLE").await;
    assert_eq!(contents(&session, "random").await, before);
    assert_eq!(rows_by_segment(&session, "random").await, [format!("0 | {}", before.len())]);
    run(&session, "DELETE FROM random WHERE t = 'added'").await;
    assert_eq!(contents(&session, "random").await, contents(&session, "hashed").await);
    nothing_is_wrong(&session).await;
    cluster.shutdown().await;
}

/// A transaction that stays with a snapshot may read what is newer than that, of tables that are laid out by maps that it does not have.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_newer_than_the_transaction_is_read_by_its_own_map() {
    let cluster = TestCluster::start(4).await;
    let (session, other) = (cluster.session(), cluster.session());
    some_tables(&session).await;
    let rows = session.text("SELECT count(*) FROM hashed").await;
    run(&session, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    assert_eq!(session.text("SELECT count(*) FROM hashed").await, rows);
    run(&other, "ALTER SYSTEM SET bucket_map = '0*4096 3*4096 1*4096 2*4096'").await;
    for table in ["hashed", "copies"] {
        run(&other, &format!("ALTER TABLE {table} EXPAND TABLE")).await;
    }
    let (newest, rows) = (other.text("SHOW transaction_snapshot").await, rows.as_str());
    for (sql, count) in [
        (format!("SELECT count(*) FROM hashed AS OF SNAPSHOT {newest}"), rows),
        (format!("SELECT count(*) FROM hashed AS OF SNAPSHOT {newest} AS a JOIN hashed AS b USING (k, v, t)"), rows),
        (format!("SELECT count(*) FROM hashed AS OF SNAPSHOT {newest} AS a JOIN copies AS b USING (k, v, t)"), rows),
        (format!("SELECT count(*) FROM hashed AS a JOIN copies AS OF SNAPSHOT {newest} AS b USING (k, v, t)"), rows),
        (format!("SELECT count(*) FROM hashed AS OF SNAPSHOT {newest} AS a WHERE k = 7"), "1"),
    ] {
        assert_eq!(session.text(&sql).await, count, "{sql}");
    }
    // What it makes of that lies by the newer map, which its other statements do not know.
    run(&other, "ALTER SYSTEM SET bucket_map = '2*8192 3*8192'").await;
    run(&other, "ALTER TABLE hashed EXPAND TABLE").await;
    let newest = other.text("SHOW transaction_snapshot").await;
    let made = format!("CREATE TABLE made AS SELECT * FROM hashed AS OF SNAPSHOT {newest} DISTRIBUTED RANDOMLY");
    run(&session, &made).await;
    assert_eq!(session.text("SELECT count(*) FROM made").await, rows);
    run(&session, "DELETE FROM made WHERE k >= 0").await;
    assert_eq!(session.text("SELECT count(*) FROM made").await, "0");
    run(&session, "COMMIT").await;
    cluster.shutdown().await;
}

#[test]
fn segments_that_wait_are_added_while_the_cluster_works() {
    let mut cluster = ProcessCluster::start_with(Setup { segments: 2, segments_later: 2, ..Setup::default() });
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int, v int) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO t SELECT x, 1 FROM generate_series(1, 10000) AS g(x)");
    let grow = "ALTER SYSTEM SET bucket_map = '0*4096 2*4096 1*4096 3*4096'";
    let refused = shell.run("csv", &["-c", grow]);
    assert!(!refused.success && refused.stderr.contains("57P03") && refused.stderr.contains("2, 3"), "{refused:?}");
    cluster.start_candidates(2);
    shell.execute(grow);
    assert_eq!(shell.value("SELECT count(*) FROM gp_segment_configuration WHERE status = 'u' AND content >= 0"), "4");
    // A new table is on all of them at once, the old one where it was.
    shell.execute("CREATE TABLE u AS SELECT * FROM t DISTRIBUTED BY (k)");
    assert_eq!(shell.value("SELECT count(DISTINCT gp_segment_id) FROM u"), "4");
    assert_eq!(shell.value("SELECT count(DISTINCT gp_segment_id) FROM t"), "2");
    assert_eq!(shell.value("SELECT count(*) FROM t JOIN u USING (k)"), "10000");
    shell.execute("ALTER TABLE t EXPAND TABLE");
    assert_eq!(shell.value("SELECT count(DISTINCT gp_segment_id) FROM t"), "4");
    assert_eq!(shell.value("SELECT sum(v) FROM t JOIN u USING (k, v)"), "10000");
    // It comes back as it was, started as before.
    cluster.restart(true, &[0, 1, 2, 3]);
    assert_eq!(shell.value("SELECT count(*) FROM t JOIN u USING (k)"), "10000");
    let checked = cluster.check();
    assert!(checked.success, "{checked:?}");
}
