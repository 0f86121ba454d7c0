//! Two masters that share a catalog in PostgreSQL: the other one goes on when the active one is killed, stopped, or thinks that it is
//! still active.

use damson_tests::postgres::PostgresServer;
use damson_tests::processes::{ProcessCluster, Setup, wait_for};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// From the kill to the first statement that the other master has answered.
const TAKEOVER_MAX: Duration = Duration::from_secs(10);
const BACK_WITHIN: Duration = Duration::from_secs(60);

fn cluster(server: &PostgresServer) -> ProcessCluster {
    let catalog = Some(server.url().to_owned());
    ProcessCluster::start_with(Setup { segments: 2, catalog, ..Setup::default() })
}

fn wait_until_it_answers(cluster: &ProcessCluster, wanted: &str) {
    let shell = cluster.shell();
    wait_for("answer", BACK_WITHIN, || {
        let run = shell.run("csv", &["-c", "SELECT count(*) FROM t"]);
        run.success.then(|| assert_eq!(run.stdout.lines().nth(1), Some(wanted)))
    });
}

#[test]
fn the_other_master_takes_over_within_ten_seconds() {
    let Some(server) = PostgresServer::start() else { return };
    let mut cluster = cluster(&server);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int PRIMARY KEY) DISTRIBUTED BY (k)");
    let told = cluster.standby().stdout();
    assert!(told.starts_with("standby: the master ") && told.contains("takes over"), "{told}");
    for round in 1..=3 {
        shell.execute(&format!("INSERT INTO t VALUES ({round})"));
        let killed = Instant::now();
        cluster.fail_over();
        wait_until_it_answers(&cluster, &round.to_string());
        let took = killed.elapsed();
        println!("the other master answered {took:?} after the kill");
        assert!(took < TAKEOVER_MAX, "{took:?}");
        // Both masters see what either has written.
        assert!(!shell.run("csv", &["-c", &format!("INSERT INTO t VALUES ({round})")]).success, "the key is there");
    }
}

/// A master that is told to stop gives its lease back.
#[test]
fn a_master_that_stops_is_followed_at_once() {
    let Some(server) = PostgresServer::start() else { return };
    let mut cluster = cluster(&server);
    cluster.shell().execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)");
    cluster.master().signal(Signal::SIGTERM);
    cluster.master().wait(BACK_WITHIN);
    let stopped = Instant::now();
    cluster.fail_over();
    wait_until_it_answers(&cluster, "0");
    let took = stopped.elapsed();
    // It would have lasted for four seconds more at least.
    assert!(took < Duration::from_millis(3500), "the lease was given back: {took:?}");
}

/// A master that was away for longer than its lease lasts finds that it is not the active one, and changes nothing.
#[test]
fn a_deposed_master_ends_and_changes_nothing() {
    let Some(server) = PostgresServer::start() else { return };
    let mut cluster = cluster(&server);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO t VALUES (1)");
    // It stands still in the middle of a transaction, which goes on to its COMMIT afterwards.
    let script = "BEGIN; INSERT INTO t VALUES (2); SELECT count(*) FROM generate_series(1, 40000) AS a(x), generate_series(1, 40000) AS b(y) WHERE x * 3 = y * 7 + 1 OR x * y = 7; COMMIT";
    let mut late = shell.spawn("late", cluster.directory(), script);
    wait_for("INSERT", BACK_WITHIN, || (shell.value("SELECT count(*) FROM pg_locks") != "0").then_some(()));
    std::thread::sleep(Duration::from_millis(200));
    cluster.master().signal(Signal::SIGSTOP);
    cluster.standby().wait_until_ready();
    wait_until_it_answers(&cluster, "1");
    shell.execute("INSERT INTO t VALUES (3)");
    cluster.master().signal(Signal::SIGCONT);
    let status = cluster.master().wait(BACK_WITHIN);
    assert!(!status.success(), "{status}");
    let told = cluster.master().stderr();
    assert!(told.contains("not the active one any more"), "{told}");
    assert!(!late.wait(BACK_WITHIN).success(), "its transaction is not committed");
    // What it wrote is an orphan to the other, which removes it; what the other wrote stays.
    cluster.fail_over();
    wait_until_it_answers(&cluster, "2");
    let sum = shell.value("SELECT sum(k) FROM t");
    assert_eq!(sum, "4");
    cluster.wait_until_clean();
}
