//! A disk that is full, or fails: rows 12 and 14 of the faults that the project answers for.

use damson_tests::processes::{ProcessCluster, Setup, Shell};

/// The system's numbers.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn fails(shell: &Shell, sql: &str, state: &str) {
    let run = shell.run("csv", &["-c", sql]);
    assert!(!run.success && run.stderr.contains(state), "{sql}, not {state}: {run:?}");
}

#[test]
fn a_full_or_failing_disk_loses_nothing_and_recovers() {
    let cluster = ProcessCluster::start_with(Setup { segments: 2, has_faults: true, ..Setup::default() });
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int, v int) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO t SELECT x, 1 FROM generate_series(1, 1000) AS g(x)");
    let sums = || shell.rows("SELECT count(*), sum(k), sum(v) FROM t").remove(0).join(",");
    let before = sums();
    for (name, number, state) in [("write", ENOSPC, "53100"), ("sync", EIO, "58030"), ("sync", ENOSPC, "53100")] {
        cluster.set_fault(name, Some(number));
        for sql in [
            "INSERT INTO t VALUES (2000, 1), (2001, 1), (2002, 1), (2003, 1)",
            "UPDATE t SET v = 2",
            "UPDATE t SET k = -k WHERE k % 3 = 0",
            "DELETE FROM t WHERE k % 2 = 0",
            "CREATE TABLE u AS SELECT * FROM t DISTRIBUTED BY (v)",
            "ALTER TABLE t SET DISTRIBUTED RANDOMLY",
            "BEGIN; DELETE FROM t; INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4); COMMIT",
        ] {
            fails(&shell, sql, state);
            // Reads go on, and see nothing of it.
            assert_eq!(sums(), before, "{sql}");
        }
        cluster.set_fault(name, None);
        // What was not acknowledged is not there later, and the next try works.
        assert_eq!(sums(), before);
        shell.execute("UPDATE t SET v = v");
        assert_eq!(sums(), before);
    }
    assert_eq!(shell.value("SELECT count(*) FROM pg_locks"), "0");
    cluster.wait_until_clean();
}
