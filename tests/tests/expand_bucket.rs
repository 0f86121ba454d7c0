//! Tables in a bucket that get new owners: rows stay in their files, which get other readers, and nothing is lost or doubled, removed or left.

use damson_tests::processes::{ProcessCluster, Setup, Shell, wait_for};
use damson_tests::s3_server::{BUCKET, KEY, S3Server, SECRET};
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

const SEGMENTS: usize = 4;
const ROWS: i64 = 20_000;
const TABLES: [&str; 4] = ["hashed", "keyed", "random", "copies"];
/// Orphans are gone after two rounds of the collector.
const COLLECTED_WITHIN: Duration = Duration::from_secs(90);
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// With tables of each distribution in a tablespace, on the first two of four segments.
fn start(server: &S3Server) -> ProcessCluster {
    let cluster = ProcessCluster::start_with(Setup { segments: SEGMENTS, ..Setup::default() });
    let shell = cluster.shell();
    let endpoint = server.endpoint();
    shell.execute(&format!(
        "CREATE SECRET s (TYPE s3, KEY_ID '{KEY}', SECRET '{SECRET}', REGION 'us-east-1', ENDPOINT '{endpoint}')"
    ));
    shell.execute(&format!("CREATE TABLESPACE lake LOCATION 's3://{BUCKET}/lake' WITH (secret = s)"));
    shell.execute("ALTER SYSTEM SET bucket_map = '0*8192 1*8192'");
    for table in TABLES {
        let (key, distribution) = match table {
            "hashed" => ("", "BY (k)"),
            "keyed" => (", PRIMARY KEY (k)", "BY (k)"),
            "random" => ("", "RANDOMLY"),
            _ => ("", "REPLICATED"),
        };
        shell.execute(&format!(
            "CREATE TABLE {table} (k bigint, v bigint, t text{key}) TABLESPACE lake DISTRIBUTED {distribution}"
        ));
        for part in 0..4 {
            let (from, to) = (part * ROWS / 4 + 1, (part + 1) * ROWS / 4);
            let rows = format!("SELECT x, x % 7, md5(x::text) FROM generate_series({from}, {to}) AS g(x)");
            shell.execute(&format!("INSERT INTO {table} {rows}"));
        }
        // Some files have a vector before anything moves.
        shell.execute(&format!("DELETE FROM {table} WHERE k % 40 = 3"));
    }
    cluster
}

/// The objects that the catalog knows, by whatever name: live and dropped.
fn known(cluster: &ProcessCluster) -> BTreeSet<String> {
    let catalog = cluster.directory().join("master/catalog.db");
    let catalog = Connection::open_with_flags(catalog, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a catalog");
    let sql = "SELECT content, path FROM files UNION ALL SELECT content, path FROM delete_vectors";
    let mut statement = catalog.prepare(sql).expect("files");
    let object = |row: &rusqlite::Row<'_>| {
        let (content, path) = (row.get::<_, i32>(0)?, row.get::<_, String>(1)?);
        Ok(match path.strip_prefix("from/") {
            // The segment, a tag, and the path there.
            Some(rest) => match rest.splitn(3, '/').collect::<Vec<_>>()[..] {
                [home, _, path] => format!("{home}/{path}"),
                _ => panic!("{path} is no path"),
            },
            None => format!("seg{content}/{path}"),
        })
    };
    statement.query_map([], object).expect("files").map(|object| object.expect("a file")).collect()
}

/// The objects that are there, without what all of their names begin with.
fn stored(server: &S3Server) -> BTreeSet<String> {
    let name = |object: String| {
        let (_, name) = object.split_once("/seg").unwrap_or_else(|| panic!("{object} is no table's"));
        format!("seg{name}")
    };
    server.objects().into_iter().map(name).collect()
}

fn nothing_is_left_or_missing(cluster: &ProcessCluster, server: &S3Server) {
    wait_for("the end of what nobody needs", COLLECTED_WITHIN, || (stored(server) == known(cluster)).then_some(()));
    cluster.wait_until_clean();
}

/// What tells all rows of a table.
fn contents(shell: &Shell, table: &str) -> Vec<Vec<String>> {
    shell.rows(&format!("SELECT k, v, t FROM {table} ORDER BY k"))
}

fn all_contents(shell: &Shell) -> Vec<Vec<Vec<String>>> {
    TABLES.iter().map(|table| contents(shell, table)).collect()
}

fn rows_by_segment(shell: &Shell, table: &str) -> Vec<(i32, i64)> {
    let rows = shell.rows(&format!("SELECT gp_segment_id, count(*) FROM {table} GROUP BY 1 ORDER BY 1"));
    rows.iter().map(|row| (row[0].parse().expect("a segment"), row[1].parse().expect("a count"))).collect()
}

/// Rows that have another owner, and bytes that were written for that.
fn expand(shell: &Shell, table: &str) -> (i64, i64) {
    let run = shell.run("table", &["-c", &format!("ALTER TABLE {table} EXPAND TABLE")]);
    assert!(run.success, "{table}: {run:?}");
    let said = format!("{}{}", run.stdout, run.stderr);
    let (_, moved) = said.split_once("moved ").unwrap_or_else(|| panic!("{table}: {said}"));
    let (rows, rest) = moved.split_once(" rows (").expect("a number of rows");
    let (bytes, _) = rest.split_once(" bytes").expect("a number of bytes");
    (rows.parse().expect("a number"), bytes.parse().expect("a number"))
}

/// UPDATE, DELETE, INSERT and look-ups, of rows on every segment; the statements say what the rows are afterwards.
fn change(shell: &Shell, table: &str, round: i64) {
    let before = contents(shell, table);
    let count = |sql: &str| -> i64 { shell.value(sql).parse().expect("a count") };
    let of = |k: &dyn Fn(i64) -> bool| before.iter().filter(|row| k(row[0].parse().expect("a key"))).count() as i64;
    shell.execute(&format!("UPDATE {table} SET v = v + 1000 WHERE k % 50 = {round}"));
    assert_eq!(
        count(&format!("SELECT count(*) FROM {table} WHERE v >= 1000 AND k % 50 = {round}")),
        of(&|k| k % 50 == round)
    );
    shell.execute(&format!("DELETE FROM {table} WHERE k % 60 = {}", round + 10));
    let left = before.len() as i64 - of(&|k| k % 60 == round + 10);
    assert_eq!(count(&format!("SELECT count(*) FROM {table}")), left, "{table}");
    let new = ROWS + 1 + round;
    shell.execute(&format!("INSERT INTO {table} VALUES ({new}, 5, 'new')"));
    for k in (1..200).step_by(13).filter(|k| k % 40 != 3 && (0..=round).all(|round| k % 60 != round + 10)).chain([new])
    {
        assert_eq!(count(&format!("SELECT count(*) FROM {table} WHERE k = {k}")), 1, "{table}: row {k}");
    }
    if table == "keyed" {
        let twice = shell.run("csv", &["-c", "INSERT INTO keyed VALUES (2, 1, 'twice')"]);
        assert!(!twice.success && twice.stderr.contains("23505"), "{twice:?}");
        let sql = "INSERT INTO keyed VALUES (2, 1, 'again') ON CONFLICT (k) DO UPDATE SET t = excluded.t";
        shell.execute(sql);
        assert_eq!(shell.value("SELECT t FROM keyed WHERE k = 2"), "again");
    }
}

#[test]
fn rows_of_a_bucket_get_new_owners_where_they_are() {
    let server = S3Server::start();
    let cluster = start(&server);
    let shell = cluster.shell();
    let began = all_contents(&shell);
    shell.execute("CREATE RESTORE POINT before");
    let rows = began[0].len() as i64;

    // The first one before anything is worth being compacted: not a row is written.
    shell.execute("ALTER SYSTEM SET bucket_map = '0*4096 2*4096 1*4096 3*4096'");
    let (before, bytes_before) = (stored(&server), stored_bytes(&server));
    let (moved, bytes) = expand(&shell, "hashed");
    let new: Vec<String> = stored(&server).difference(&before).cloned().collect();
    assert!(!new.is_empty() && new.iter().all(|object| object.ends_with(".deletes")), "{new:?}");
    assert!((moved - rows / 2).abs() < rows / 20, "{moved} of {rows} rows have another owner");
    let vectors = stored_bytes(&server) - bytes_before;
    assert!(bytes > 0 && vectors == bytes as u64 && vectors < bytes_before / 10, "{bytes} of {bytes_before} bytes");
    assert_eq!(contents(&shell, "hashed"), began[0]);
    for (content, rows_there) in rows_by_segment(&shell, "hashed") {
        assert!((rows_there - rows / 4).abs() < rows / 40, "segment {content} has {rows_there} of {rows}");
    }

    // Tables on different maps join right.
    let joined = "SELECT count(*) FROM hashed JOIN keyed USING (k) JOIN random USING (k) JOIN copies USING (k)";
    for table in &TABLES[1..] {
        assert_eq!(shell.value(joined), rows.to_string());
        expand(&shell, table);
    }
    assert_eq!(all_contents(&shell), began);

    // Shared once more, by home and readers: to others, back to where they are, and to one alone.
    let maps = ["0*8192 3*8192", "2*4096 1*4096 0*4096 3*4096", "3*5461 0*5461 1*5462"];
    for (round, map) in maps.into_iter().enumerate() {
        for table in TABLES {
            change(&shell, table, round as i64);
        }
        let before = all_contents(&shell);
        shell.execute(&format!("ALTER SYSTEM SET bucket_map = '{map}'"));
        for table in TABLES {
            expand(&shell, table);
        }
        assert_eq!(all_contents(&shell), before, "by {map}");
        let owners: BTreeSet<i32> = map.split(' ').map(|run| run[..1].parse().expect("a segment")).collect();
        for table in ["hashed", "keyed", "random"] {
            let there: BTreeSet<i32> = rows_by_segment(&shell, table).into_iter().map(|(content, _)| content).collect();
            assert!(there.is_subset(&owners) && (table == "random" || there == owners), "{table} by {map}: {there:?}");
        }
        let checked = cluster.check();
        assert!(checked.success, "{checked:?}");
    }
    for (table, began) in TABLES.iter().zip(&began) {
        let past = format!("SELECT k, v, t FROM {table} AS OF RESTORE POINT before ORDER BY k");
        assert_eq!(shell.rows(&past), *began, "{table} as it was");
    }

    // Compaction separates the rows, and each object is removed with its last name.
    let now = all_contents(&shell);
    let shared = "SELECT count(*) FROM gp_files WHERE table_name IN ('hashed', 'keyed') AND path LIKE 'from/%'";
    wait_for("compaction", ENDED_WITHIN, || {
        // Where the background is at work, a table is left to it.
        shell.execute("VACUUM");
        (shell.value(shared) == "0").then_some(())
    });
    assert_eq!(all_contents(&shell), now);
    let past = "SELECT count(*) FROM hashed AS OF RESTORE POINT before";
    assert_eq!(shell.value(past), rows.to_string(), "the past has what the present has replaced");
    shell.execute("DROP RESTORE POINT before");
    nothing_is_left_or_missing(&cluster, &server);
    assert_eq!(all_contents(&shell), now);
    shell.execute("DROP TABLE hashed, keyed, random, copies");
    wait_for("the end of the tablespace", COLLECTED_WITHIN, || {
        shell.run("csv", &["-c", "DROP TABLESPACE lake"]).success.then_some(())
    });
    assert_eq!(server.objects(), Vec::<String>::new());
}

fn stored_bytes(server: &S3Server) -> u64 {
    let sizes = server.objects().into_iter().map(|name| server.object(&name));
    sizes.map(|path| path.metadata().map_or(0, |found| found.len())).sum()
}

/// What an expansion that fails gives up is its vectors, and never a file that it only named.
#[test]
fn an_expansion_that_fails_takes_no_file_from_who_had_it() {
    let server = S3Server::start();
    let mut cluster = start(&server);
    let segments: Vec<usize> = (0..SEGMENTS).collect();
    let began = all_contents(&cluster.shell());
    cluster.shell().execute("ALTER SYSTEM SET bucket_map = '0*4096 2*4096 1*4096 3*4096'");
    let expanding = "ALTER TABLE hashed EXPAND TABLE";

    // The master ends with what it has prepared, and segments while they write vectors.
    for (who, failpoint) in [
        (None, "expand.after_group=1"),
        (None, "expand.before_switch=1"),
        (Some(0), "write.after_vector=1"),
        (Some(2), "write.after_vector=3"),
    ] {
        cluster.set_failpoint(Some((who, failpoint.to_owned())));
        cluster.restart(who.is_none(), who.as_slice());
        let run = cluster.shell().run("csv", &["-c", expanding]);
        assert!(!run.success, "{failpoint}: {run:?}");
        let ended = match who {
            None => cluster.master(),
            Some(content) => cluster.segment(content),
        };
        ended.wait(ENDED_WITHIN);
        cluster.set_failpoint(None);
        cluster.restart(who.is_none(), who.as_slice());
        assert_eq!(all_contents(&cluster.shell()), began, "after {failpoint}");
    }
    nothing_is_left_or_missing(&cluster, &server);
    let shell = cluster.shell();
    for table in TABLES {
        expand(&shell, table);
    }
    assert_eq!(all_contents(&shell), began);
    cluster.restart(true, &segments);
    assert_eq!(all_contents(&cluster.shell()), began);
    nothing_is_left_or_missing(&cluster, &server);
}

/// Files of several row groups, of which most have one owner: vectors of a few bytes; and while somebody changes rows.
#[test]
fn row_groups_of_large_files_get_new_owners() {
    const LARGE_ROWS: i64 = 1_000_000;
    let server = S3Server::start();
    let cluster = start(&server);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE large (k bigint, v bigint) TABLESPACE lake DISTRIBUTED BY (k)");
    shell.execute(&format!("INSERT INTO large SELECT x, 0 FROM generate_series(1, {LARGE_ROWS}) AS g(x)"));
    let files: i64 = shell.value("SELECT count(*) FROM gp_files WHERE table_name = 'large'").parse().expect("a count");
    assert_eq!(files, 2);
    let totals = "SELECT count(*), sum(k) FROM large";
    let began = shell.rows(totals);
    shell.execute("ALTER SYSTEM SET bucket_map = '0*4096 2*4096 1*4096 3*4096'");
    let (moved, bytes) = expand(&shell, "large");
    assert!((moved - LARGE_ROWS / 2).abs() < LARGE_ROWS / 50, "{moved}");
    assert!(bytes < 2000, "{bytes} bytes of vectors: the row groups are not divided by buckets");
    assert_eq!(shell.rows(totals), began);

    // Shared files are shared again, under who changes rows of all of them.
    let changed = AtomicI64::new(0);
    let (ended, at_work) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let shell = cluster.shell();
            for round in 0..5000 {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let sql = format!("UPDATE large SET v = v + 1 WHERE k % 1000 = {}", round % 1000);
                shell.execute(&sql);
                changed.fetch_add(LARGE_ROWS / 1000, Ordering::Relaxed);
                at_work.store(true, Ordering::Relaxed);
            }
        });
        wait_for("the first change", ENDED_WITHIN, || at_work.load(Ordering::Relaxed).then_some(()));
        for map in ["0*8192 3*8192", "3*5461 0*5461 1*5462"] {
            shell.execute(&format!("ALTER SYSTEM SET bucket_map = '{map}'"));
            expand(&shell, "large");
            assert_eq!(shell.rows(totals), began, "by {map}");
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert_eq!(shell.rows(totals), began);
    assert_eq!(shell.value("SELECT sum(v) FROM large"), changed.load(Ordering::Relaxed).to_string());
    cluster.wait_until_clean();
}
