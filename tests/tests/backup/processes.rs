//! Processes that end, and disks that are full, in the middle of a backup or a restore.

use damson_tests::processes::{ProcessCluster, Setup};

const ENOSPC: i32 = 28;

fn fill(cluster: &ProcessCluster) {
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int, v int) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO t SELECT x, 1 FROM generate_series(1, 1000) AS g(x)");
    shell.execute("DELETE FROM t WHERE k > 900");
}

#[test]
fn a_backup_whose_master_was_killed_is_none() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let mut cluster = ProcessCluster::start(2);
    fill(&cluster);
    cluster.set_failpoint(Some((None, "backup.before_manifest".into())));
    cluster.restart(true, &[]);
    let run = cluster.run("backup", &["--to", &url]);
    assert!(!run.success, "{run:?}");
    cluster.set_failpoint(None);
    cluster.restart(true, &[]);
    let shell = cluster.shell();
    assert!(shell.rows(&format!("SHOW BACKUPS IN '{url}'")).is_empty(), "without a manifest there is none");
    assert_eq!(shell.value("SELECT count(*) FROM t"), "900");
    // What was copied serves the next one.
    let run = cluster.run("backup", &["--to", &url]);
    assert!(run.success && run.stdout.contains("Copied: 0 files"), "{run:?}");
    let target = ProcessCluster::start(1);
    let run = target.run("restore", &["--from", &url]);
    assert!(run.success && run.stdout.contains("damson check"), "{run:?}");
    assert_eq!(target.shell().rows("SELECT count(*), sum(k) FROM t"), [["900", "405450"]]);
    let checked = target.check();
    assert!(checked.success, "{checked:?}");
}

#[test]
fn a_restore_whose_master_was_killed_is_all_or_nothing() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let source = ProcessCluster::start(2);
    fill(&source);
    assert!(source.run("backup", &["--to", &url]).success);
    for (failpoint, tables) in [("commit.before_store", "0"), ("commit.after_store", "1")] {
        let mut target = ProcessCluster::start(3);
        target.set_failpoint(Some((None, failpoint.into())));
        target.restart(true, &[]);
        let run = target.run("restore", &["--from", &url]);
        assert!(!run.success, "{failpoint}: {run:?}");
        target.set_failpoint(None);
        target.restart(true, &[]);
        let shell = target.shell();
        let there = "SELECT count(*) FROM information_schema.tables WHERE table_name = 't'";
        assert_eq!(shell.value(there), tables, "{failpoint}");
        // What was copied for nothing goes.
        target.wait_until_clean();
        if tables == "0" {
            let run = target.run("restore", &["--from", &url]);
            assert!(run.success, "{run:?}");
        }
        assert_eq!(shell.rows("SELECT count(*), sum(k) FROM t"), [["900", "405450"]], "{failpoint}");
    }
}

#[test]
fn a_full_disk_ends_backup_and_restore_and_nothing_is_left() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let source = ProcessCluster::start_with(Setup { segments: 2, has_faults: true, ..Setup::default() });
    fill(&source);
    for name in ["write", "sync"] {
        source.set_fault(name, Some(ENOSPC));
        let run = source.run("backup", &["--to", &url]);
        assert!(!run.success && run.stderr.contains("53100"), "{name}: {run:?}");
        source.set_fault(name, None);
    }
    let run = source.run("backup", &["--to", &url]);
    assert!(run.success, "{run:?}");

    for segments in [2, 3] {
        let target = ProcessCluster::start_with(Setup { segments, has_faults: true, ..Setup::default() });
        for name in ["write", "sync"] {
            target.set_fault(name, Some(ENOSPC));
            let run = target.run("restore", &["--from", &url]);
            assert!(!run.success && run.stderr.contains("53100"), "{name}: {run:?}");
            target.set_fault(name, None);
            assert_eq!(target.shell().value("SELECT count(*) FROM gp_files"), "0");
        }
        target.wait_until_clean();
        let run = target.run("restore", &["--from", &url]);
        assert!(run.success, "{run:?}");
        assert_eq!(target.shell().rows("SELECT count(*), sum(k) FROM t"), [["900", "405450"]]);
        assert!(target.check().success);
    }
}
