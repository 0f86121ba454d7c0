//! Clocks that are an hour off, and go back: row 18 of the faults that the project answers for. What is seen, what is kept and who is let
//! in do not depend on them.

use damson_tests::clocks::Clocks;
use damson_tests::history::{ClientOrder, Level, ProcessCampaign};
use damson_tests::processes::{ProcessCluster, Setup, wait_for};
use damson_tests::random::seed_from_env;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HOUR: i64 = 3600;
/// Of a clock that was set, while the test goes on.
const OFF_MAX: i64 = 300;
/// Clients work so long before and after each change.
const WORK: Duration = Duration::from_secs(4);
/// Dropped files, and orphans, are gone after this time.
const CLEAN_WITHIN: Duration = Duration::from_secs(60);

/// Seconds by which `then`, seconds since 1970, is ahead of this process's clock.
fn ahead(then: i64) -> i64 {
    then - SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

fn assert_ahead(who: &str, found: i64, wanted: i64) {
    assert!(
        (found - wanted).abs() < OFF_MAX,
        "the clock of {who} is ahead by {found} s, not {wanted}: was the library loaded?"
    );
}

/// By the master's clock.
fn master_is_ahead(cluster: &ProcessCluster) -> i64 {
    let now = cluster.shell().value("SELECT CAST(floor(extract(epoch FROM now())) AS bigint)");
    ahead(now.parse().expect("seconds"))
}

/// Files of tables on a segment.
fn table_files(directory: &Path, content: usize) -> Vec<PathBuf> {
    let below = |path: &Path| fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path());
    let tables = below(&directory.join(format!("seg{content}-data/base")));
    tables.flat_map(|table| below(&table).collect::<Vec<_>>()).collect()
}

/// By the segment's clock: the names of files begin with the time, in milliseconds, as version 7 of UUIDs does.
fn newest_file_is_ahead(directory: &Path, content: usize) -> i64 {
    let made = |path: &PathBuf| {
        let name = path.file_stem()?.to_str()?.replace('-', "");
        i64::from_str_radix(name.get(..12)?, 16).ok()
    };
    let newest = table_files(directory, content).iter().filter_map(made).max().expect("a file with rows");
    ahead(newest / 1000)
}

/// Commits whose time is before that of the commit before, and all commits.
fn commits_back_in_time(directory: &Path) -> (i64, i64) {
    let path = directory.join("master/catalog.db");
    let catalog = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a catalog");
    let sql = "SELECT count(*) FILTER (WHERE step < 0), count(*)
               FROM (SELECT committed_us - lag(committed_us) OVER (ORDER BY id) AS step FROM snapshots)";
    catalog.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("snapshots")
}

/// Certificates are checked, too: the nodes talk over TCP.
#[test]
fn nothing_depends_on_clocks_that_are_an_hour_off() {
    let arguments = ["--interconnect-unix-sockets", "off"].map(str::to_owned).to_vec();
    let mut cluster = ProcessCluster::start_with(Setup {
        segments: 2,
        master_arguments: arguments.clone(),
        segment_arguments: arguments,
        has_certificates: true,
        clocks: Some(Clocks::new(HOUR, vec![-HOUR, 0])),
        ..Setup::default()
    });
    let shell = cluster.shell();
    assert_ahead("the master", master_is_ahead(&cluster), HOUR);
    shell.execute("CREATE TABLE t (k int PRIMARY KEY, v int, made timestamptz) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO t SELECT x, 0, now() FROM generate_series(1, 1000) AS g(x)");
    for (content, wanted) in [(0, -HOUR), (1, 0)] {
        let found = newest_file_is_ahead(cluster.directory(), content);
        assert_ahead(&format!("segment {content}"), found, wanted);
    }
    // A statement has one time, the master's, wherever its rows are.
    assert_eq!(shell.value("SELECT count(DISTINCT made) FROM t"), "1");

    let mut step = 0;
    for (level, master, segments) in
        [(Level::ReadCommitted, -HOUR, [HOUR, -HOUR]), (Level::RepeatableRead, HOUR, [0, HOUR])]
    {
        let seed = seed_from_env();
        let campaign = ProcessCampaign { seed, clients: 8, level, order: ClientOrder::All, committed_min: 20 };
        campaign.run(&mut cluster, |cluster| {
            thread::sleep(WORK);
            // Two hours back, and forth again.
            cluster.clocks().master = master;
            cluster.clocks().segments = segments.to_vec();
            cluster.restart(true, &[0]);
            thread::sleep(WORK);
            cluster.restart(false, &[1]);
            thread::sleep(WORK);
        });
        assert_ahead("the master", master_is_ahead(&cluster), master);
        // What was there before is there, can be changed, and keeps its keys.
        step += 1;
        assert_eq!(shell.value("SELECT count(*) || ' ' || sum(v) FROM t"), format!("1000 {}", (step - 1) * 1000));
        shell.execute("UPDATE t SET v = v + 1");
        shell.execute("INSERT INTO t SELECT k, 7, now() FROM t ON CONFLICT DO NOTHING");
        assert!(!shell.run("csv", &["-c", "INSERT INTO t VALUES (1, 7, now())"]).success, "the key is there");
        shell.execute("BEGIN; DELETE FROM t WHERE k % 2 = 0; ROLLBACK");
        assert_eq!(shell.value("SELECT count(*) || ' ' || sum(v) FROM t"), format!("1000 {}", step * 1000));
    }

    // What is not needed goes: old files, and orphans of what was interrupted.
    shell.execute("DROP TABLE t");
    shell.execute("VACUUM");
    cluster.wait_until_clean();
    let live: usize = shell.value("SELECT count(*) FROM gp_files").parse().expect("a number");
    wait_for("end of the dropped files", CLEAN_WITHIN, || {
        let files = table_files(cluster.directory(), 0).len() + table_files(cluster.directory(), 1).len();
        (files == live).then_some(())
    });
    cluster.wait_until_clean();
    let (back, commits) = commits_back_in_time(cluster.directory());
    assert!(back == 0 && commits > 0, "{back} of {commits} commits are before the ones before them");
}
