//! Tables on a bucket of a real S3 server that refuses, loses and cuts requests, while processes are killed.

use damson_tests::processes::{ProcessCluster, Setup, Shell, wait_for};
use damson_tests::s3_server::{Answer, BUCKET, KEY, S3Server, SECRET};
use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

const SEGMENTS: usize = 2;
const ROWS: i64 = 20_000;
/// Orphans are gone after two rounds of the collector.
const COLLECTED_WITHIN: Duration = Duration::from_secs(90);
const UP_WITHIN: Duration = Duration::from_secs(60);
/// All blocks that were read are in the cache's file so long after the first.
const CACHED_WITHIN: Duration = Duration::from_secs(2);

/// A good answer, mostly: what is done without an answer, refused, and cut is among them.
const TROUBLE: [Answer; 13] = [
    Answer::Good,
    Answer::Good,
    Answer::Late(Duration::from_millis(50)),
    Answer::Good,
    Answer::Busy,
    Answer::Good,
    Answer::Good,
    Answer::Lost,
    Answer::Good,
    Answer::Good,
    Answer::Cut,
    Answer::Good,
    Answer::Good,
];

fn create_secret(server: &S3Server, name: &str, secret: &str) -> String {
    let endpoint = server.endpoint();
    format!(
        "CREATE SECRET {name} (TYPE s3, KEY_ID '{KEY}', SECRET '{secret}', REGION 'us-east-1', ENDPOINT '{endpoint}')"
    )
}

/// With a tablespace `lake` on the server.
fn start(server: &S3Server) -> ProcessCluster {
    let cluster = ProcessCluster::start_with(Setup { segments: SEGMENTS, ..Setup::default() });
    let shell = cluster.shell();
    shell.execute(&create_secret(server, "s", SECRET));
    shell.execute(&format!("CREATE TABLESPACE lake LOCATION 's3://{BUCKET}/lake' WITH (secret = s)"));
    cluster
}

/// The objects that the catalog knows, live and dropped.
fn known(cluster: &ProcessCluster) -> BTreeSet<String> {
    let catalog = cluster.directory().join("master/catalog.db");
    let catalog = Connection::open_with_flags(catalog, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a catalog");
    let sql = "SELECT content, path FROM files UNION ALL SELECT content, path FROM delete_vectors";
    let mut statement = catalog.prepare(sql).expect("files");
    let file = |row: &rusqlite::Row<'_>| Ok(format!("seg{}/{}", row.get::<_, i32>(0)?, row.get::<_, String>(1)?));
    statement.query_map([], file).expect("files").map(|file| file.expect("a file")).collect()
}

/// The objects of tables, without what all of their names begin with.
fn stored(server: &S3Server) -> BTreeSet<String> {
    let name = |object: String| {
        let (_, name) = object.split_once("/seg").unwrap_or_else(|| panic!("{object} is no table's"));
        format!("seg{name}")
    };
    server.objects().into_iter().map(name).collect()
}

/// Once nobody reads the files of its tables, which are dropped.
fn drop_lake(shell: &Shell) {
    wait_for("the end of the tablespace", COLLECTED_WITHIN, || {
        shell.run("csv", &["-c", "DROP TABLESPACE lake"]).success.then_some(())
    });
}

fn wait_until_up(shell: &Shell) {
    let down = "SELECT count(*) FROM gp_segment_configuration WHERE status <> 'u'";
    wait_for("segments", UP_WITHIN, || {
        let run = shell.run("csv", &["-c", down]);
        (run.success && run.stdout.lines().nth(1) == Some("0")).then_some(())
    });
}

/// What a statement that must fail says.
fn failure(shell: &Shell, sql: &str) -> String {
    let run = shell.run("csv", &["-c", sql]);
    assert!(!run.success, "{sql}: {run:?}");
    assert!(!run.stderr.contains(SECRET), "{sql}: {run:?}");
    run.stderr
}

/// Count, and sums that tell which rows there are.
fn sums(shell: &Shell, table: &str) -> Vec<Vec<String>> {
    shell.rows(&format!("SELECT count(*), sum(k), sum(v) FROM {table}"))
}

fn row(values: [i64; 3]) -> Vec<Vec<String>> {
    vec![values.map(|value| value.to_string()).to_vec()]
}

/// 1 + 2 + … + n
fn sum_to(n: i64) -> i64 {
    n * (n + 1) / 2
}

#[test]
fn every_statement_works_on_a_bucket_that_fails() {
    let server = S3Server::start();
    let mut cluster = start(&server);
    let shell = cluster.shell();
    server.answer_always(&TROUBLE);
    let tables = [("hashed", "BY (k)"), ("random", "RANDOMLY"), ("copies", "REPLICATED")];
    let csv = cluster.directory().join("rows.csv");
    let lines: String = (1..=100).map(|k| format!("{},{k}\n", ROWS + k)).collect();
    fs::write(&csv, lines).expect("room");
    shell.execute("CREATE TABLE changes (k bigint, v bigint) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO changes VALUES (1, 7), (-1, 5)");
    for (table, distribution) in tables {
        shell.execute(&format!("CREATE TABLE {table} (k bigint, v bigint) TABLESPACE lake DISTRIBUTED {distribution}"));
        shell.execute(&format!("INSERT INTO {table} SELECT x, 1 FROM generate_series(1, {ROWS}) AS g(x)"));
        assert_eq!(sums(&shell, table), row([ROWS, sum_to(ROWS), ROWS]), "{table}");
        shell.execute(&format!("UPDATE {table} SET v = 2 WHERE k <= 10"));
        assert_eq!(sums(&shell, table), row([ROWS, sum_to(ROWS), ROWS + 10]), "{table}");
        shell.execute(&format!("DELETE FROM {table} WHERE k > {ROWS} - 1000"));
        let (left, sum) = (ROWS - 1000, sum_to(ROWS - 1000));
        assert_eq!(sums(&shell, table), row([left, sum, left + 10]), "{table}");
        shell.execute(&format!(
            "MERGE INTO {table} USING changes ON {table}.k = changes.k WHEN MATCHED THEN UPDATE SET v = changes.v \
             WHEN NOT MATCHED THEN INSERT VALUES (changes.k, changes.v)"
        ));
        assert_eq!(sums(&shell, table), row([left + 1, sum - 1, left + 10 - 2 + 7 + 5]), "{table}");
        shell.execute(&format!("COPY {table} FROM '{}' (FORMAT csv)", csv.display()));
        let loaded = row([left + 101, sum - 1 + 100 * ROWS + sum_to(100), left + 20 + sum_to(100)]);
        assert_eq!(sums(&shell, table), loaded, "{table}");
        shell.execute(&format!("CREATE TABLE {table}_too TABLESPACE lake AS SELECT * FROM {table}"));
        shell.execute(&format!("VACUUM {table}"));
        for table in [table.to_owned(), format!("{table}_too")] {
            assert_eq!(sums(&shell, &table), loaded, "{table}");
        }
        // What a transaction gives up is removed.
        shell.execute(&format!("BEGIN; INSERT INTO {table} SELECT * FROM {table}_too; ROLLBACK"));
        assert_eq!(sums(&shell, table), loaded, "{table}");
    }
    let joined = "SELECT count(*) FROM hashed AS h JOIN random AS r ON h.k = r.k JOIN copies AS c ON h.k = c.k \
         JOIN hashed_too AS o ON h.k = o.k";
    assert_eq!(shell.value(joined), (ROWS - 1000 + 101).to_string());
    shell.execute("ALTER TABLE random SET DISTRIBUTED BY (v)");
    assert_eq!(shell.value(joined), (ROWS - 1000 + 101).to_string());
    let local = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablespace IS NULL";
    assert_eq!(shell.value(local), "changes");
    let faults = server.faults();
    for answer in [Answer::Busy, Answer::Lost, Answer::Cut] {
        let is_of_put = |(request, found): &(String, Answer)| *found == answer && request.starts_with("PUT");
        assert!(faults.iter().any(is_of_put), "{answer:?} of a PUT came: {faults:?}");
    }
    server.answer_always(&[]);
    cluster.wait_until_clean();

    // After a restart of all nodes.
    let expected: Vec<_> = tables.iter().map(|(table, _)| sums(&shell, table)).collect();
    let segments: Vec<usize> = (0..SEGMENTS).collect();
    cluster.restart(true, &segments);
    let shell = cluster.shell();
    let after: Vec<_> = tables.iter().map(|(table, _)| sums(&shell, table)).collect();
    assert_eq!(after, expected);

    // A tablespace stays as long as a table is in it; then nothing of it does.
    shell.execute("TRUNCATE hashed");
    assert_eq!(shell.value("SELECT count(*) FROM hashed"), "0");
    assert!(failure(&shell, "DROP TABLESPACE lake").contains("55000"));
    assert!(failure(&shell, "DROP SECRET s").contains("2BP01"));
    shell.execute("DROP TABLE hashed, random, copies, hashed_too, random_too, copies_too");
    drop_lake(&shell);
    assert_eq!(server.objects(), Vec::<String>::new());
    shell.execute("DROP SECRET s");
    cluster.wait_until_clean();
}

#[test]
fn what_was_read_of_a_bucket_is_on_the_disk_after_a_restart() {
    let server = S3Server::start();
    let mut cluster = start(&server);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k bigint, v bigint) TABLESPACE lake DISTRIBUTED BY (k)");
    shell.execute(&format!("INSERT INTO t SELECT x, x % 7 FROM generate_series(1, {ROWS}) AS g(x)"));
    let segments: Vec<usize> = (0..SEGMENTS).collect();
    // What writers know of their files goes with them.
    cluster.restart(false, &segments);
    // Notes each, and does nothing to it.
    server.answer_matching(Some(("GET", "/lake/", Answer::Late(Duration::ZERO))));
    let reads = || server.faults().iter().filter(|(request, _)| request.starts_with("GET")).count();
    let expected = sums(&shell, "t");
    let first = reads();
    assert!(first > 0, "it was read from the bucket");
    // Each segment has a block there, whole: its head is written last.
    let cached = |content: &usize| {
        let ranges = cluster.directory().join(format!("seg{content}-data/cache/ranges"));
        fs::read(ranges).is_ok_and(|bytes| bytes.starts_with(b"DMSNRNG1"))
    };
    wait_for("blocks on the disk", UP_WITHIN, || segments.iter().all(cached).then_some(()));
    thread::sleep(CACHED_WITHIN);
    cluster.restart(false, &segments);
    assert_eq!(sums(&shell, "t"), expected);
    assert_eq!(reads(), first, "it was read from the bucket again: {:?}", server.faults());
}

#[test]
fn loads_that_are_killed_leave_nothing_in_the_bucket() {
    let server = S3Server::start();
    let mut cluster = start(&server);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k bigint, v bigint) TABLESPACE lake DISTRIBUTED BY (k)");
    server.answer_always(&TROUBLE);
    let mut killed = 0;
    for (round, pause) in [100, 300, 600, 1000, 1500].into_iter().enumerate() {
        // One into a table that is there, one into a table that is made: who fails knows its place no more.
        let rows = format!("SELECT x, 1 FROM generate_series(1, {}) AS g(x)", 50 * ROWS);
        let insert = shell.spawn(&format!("insert{round}"), cluster.directory(), &format!("INSERT INTO t {rows}"));
        let create = format!("CREATE TABLE made{round} (k, v) TABLESPACE lake AS {rows} DISTRIBUTED BY (k)");
        let create = shell.spawn(&format!("create{round}"), cluster.directory(), &create);
        thread::sleep(Duration::from_millis(pause));
        let victim = round % SEGMENTS;
        cluster.kill_segment(victim);
        for mut client in [insert, create] {
            killed += usize::from(!client.wait(UP_WITHIN).success());
        }
        cluster.restart_segment(victim);
        wait_until_up(&shell);
        let count: i64 = shell.value("SELECT count(*) FROM t").parse().expect("a number");
        assert_eq!(count % (50 * ROWS), 0, "a load is there whole or not at all");
    }
    assert!(killed > 0, "no load was killed");
    server.answer_always(&[]);
    wait_for("end of the orphans", COLLECTED_WITHIN, || (stored(&server) == known(&cluster)).then_some(()));
    cluster.wait_until_clean();
    // The rest of what the killed have begun to send is no object; nor is it the tables'.
    let lake = shell.rows("SELECT tablename FROM pg_tables WHERE tablespace = 'lake'");
    for table in lake {
        shell.execute(&format!("DROP TABLE {}", table[0]));
    }
    drop_lake(&shell);
    assert_eq!(server.objects(), Vec::<String>::new());
}

#[test]
fn a_master_that_is_killed_leaves_nothing_in_the_bucket() {
    let server = S3Server::start();
    let mut cluster = start(&server);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k bigint, v bigint) TABLESPACE lake DISTRIBUTED BY (k)");
    for failpoint in ["commit.before_store=1", "commit.after_store=1"] {
        cluster.set_failpoint(Some((None, failpoint.into())));
        cluster.restart(true, &[]);
        let run =
            cluster.shell().run("csv", &["-c", "INSERT INTO t SELECT x, 1 FROM generate_series(1, 1000) AS g(x)"]);
        assert!(!run.success, "{failpoint}: {run:?}");
        cluster.set_failpoint(None);
        cluster.restart(true, &[]);
    }
    let shell = cluster.shell();
    assert_eq!(shell.value("SELECT count(*) FROM t"), "1000", "the second was committed");
    wait_for("end of the orphans", COLLECTED_WITHIN, || (stored(&server) == known(&cluster)).then_some(()));
    cluster.wait_until_clean();
}

#[test]
fn a_wrong_secret_is_told_and_a_new_one_is_used_at_once() {
    let server = S3Server::start();
    let cluster = start(&server);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k bigint, v bigint) TABLESPACE lake DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
    shell.execute(&create_secret(&server, "s", "wr0ng").replace("CREATE SECRET", "CREATE OR REPLACE SECRET"));
    let told = failure(&shell, "INSERT INTO t VALUES (4, 4)");
    assert!(told.contains("42501") && !told.contains("wr0ng"), "{told}");
    shell.execute(&create_secret(&server, "s", SECRET).replace("CREATE SECRET", "CREATE OR REPLACE SECRET"));
    shell.execute("INSERT INTO t VALUES (4, 4)");
    assert_eq!(sums(&shell, "t"), row([4, 10, 10]));
    // A damaged object is found.
    let objects = server.objects();
    let object = server.object(objects.first().expect("an object"));
    let bytes = fs::read(&object).expect("an object");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::write(&object, damaged).expect("room");
    let checked = cluster.check();
    assert!(!checked.success, "{checked:?}");
    fs::write(&object, bytes).expect("room");
    cluster.wait_until_clean();
}

#[test]
fn a_bucket_that_is_away_holds_up_nobody_else() {
    let server = S3Server::start();
    let cluster = start(&server);
    let shell = cluster.shell();
    for (table, place) in [("far", "TABLESPACE lake"), ("near", "")] {
        shell.execute(&format!("CREATE TABLE {table} (k bigint, v bigint) {place} DISTRIBUTED BY (k)"));
        shell.execute(&format!("INSERT INTO {table} SELECT x, x FROM generate_series(1, 100) AS g(x)"));
    }
    cluster.wait_until_clean();
    // It refuses whoever asks, for as long as it is asked.
    server.answer_always(&[Answer::Busy]);
    let checked = cluster.check();
    let place = format!("s3://{BUCKET}/lake");
    assert!(!checked.success, "{checked:?}");
    assert!(checked.stdout.contains(&place) && checked.stdout.contains("cannot be read"), "{checked:?}");
    assert!(!format!("{checked:?}").contains(SECRET), "{checked:?}");
    assert_eq!(sums(&shell, "near"), row([100, sum_to(100), sum_to(100)]));
    // What is wrong elsewhere is told all the same.
    let tables = cluster.directory().join("seg0-data/base");
    let table = fs::read_dir(tables).expect("tables").map(|entry| entry.expect("an entry").path());
    let mut files =
        table.flat_map(|table| fs::read_dir(table).expect("files").map(|entry| entry.expect("an entry").path()));
    let file = files.next().expect("a file of the table near");
    let bytes = fs::read(&file).expect("a file");
    fs::write(&file, &bytes[..bytes.len() - 1]).expect("room");
    let checked = cluster.check();
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(checked.stdout.contains(&name) && checked.stdout.contains(&place), "{checked:?}");
    fs::write(&file, bytes).expect("room");

    // Nor is it waited for by who has given up.
    server.answer_always(&[Answer::Late(Duration::from_secs(600))]);
    shell.execute("DROP TABLE far");
    for (number, sql) in ["VACUUM", "DROP TABLESPACE lake"].into_iter().enumerate() {
        let mut client = shell.spawn(&format!("away{number}"), cluster.directory(), sql);
        thread::sleep(Duration::from_secs(3));
        assert!(client.try_wait().is_none(), "{sql} waits for the bucket: {}", client.stderr());
        client.signal(Signal::SIGINT);
        assert!(!client.wait(Duration::from_secs(10)).success(), "{sql}");
    }
    server.answer_always(&[]);
    drop_lake(&shell);
    cluster.wait_until_clean();
}
