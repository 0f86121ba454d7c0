//! COPYs of overlapping patterns by several clients, while segments and the master are killed: each file is loaded once.

use damson_tests::processes::{ProcessCluster, wait_for};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Files of transactions that have died go away within this time.
const COLLECTED_WITHIN: Duration = Duration::from_secs(90);

const CLIENTS: u64 = 8;
const FILES: usize = 40;
const ROWS: usize = 2_000;

/// COPYs of all clients together; the nightly command wants 200.
fn copies() -> usize {
    match std::env::var("DAMSON_COPIES") {
        Ok(copies) => copies.parse().expect("DAMSON_COPIES is a number"),
        Err(_) => 80,
    }
}

/// Some of the files, more or fewer, by several names or one.
fn some_files(rng: &mut StdRng, directory: &Path) -> String {
    let directory = directory.display();
    let (tens, ones) = (rng.random_range(0..FILES / 10), rng.random_range(0..10));
    match rng.random_range(0..5) {
        0 => format!("'{directory}/f{tens}*.csv'"),
        1 => format!("'{directory}/f?{ones}.csv'"),
        2 => format!("('{directory}/f{tens}{ones}.csv', '{directory}/f*{ones}.csv')"),
        3 => format!("'{directory}/{{f{tens}?,f?{ones}}}.csv'"),
        _ => format!("'{directory}'"),
    }
}

#[test]
fn each_file_is_loaded_once_whatever_dies() {
    let mut cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    let directory = cluster.directory().join("in");
    fs::create_dir(&directory).expect("room");
    for file in 0..FILES {
        let text: String = (0..ROWS).map(|row| format!("{file},{row},\"line\nend\"\n")).collect();
        fs::write(directory.join(format!("f{file:02}.csv")), text).expect("room");
    }
    shell.execute("CREATE TABLE t (f int, r int, v text) DISTRIBUTED BY (r)");
    let (left, done, kills) = (AtomicUsize::new(copies()), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (shell, left, done, directory) = (cluster.shell(), &left, &done, &directory);
                scope.spawn(move || {
                    let mut rng = StdRng::seed_from_u64(client);
                    let take = |left: usize| left.checked_sub(1);
                    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                        let sql = format!("COPY t FROM {} (FORMAT csv)", some_files(&mut rng, directory));
                        // Who is killed does not know what is there.
                        let succeeded = shell.run("csv", &["-c", &sql]).success;
                        done.fetch_add(usize::from(succeeded), Ordering::Relaxed);
                        if !succeeded {
                            std::thread::sleep(Duration::from_millis(100));
                        }
                    }
                })
            })
            .collect();
        let mut rng = StdRng::seed_from_u64(CLIENTS);
        while clients.iter().any(|client| !client.is_finished()) {
            std::thread::sleep(Duration::from_millis(rng.random_range(100..700)));
            let victim = rng.random_range(0..3);
            cluster.restart(victim == 2, if victim == 2 { &[] } else { std::slice::from_ref(&victim) });
            kills.fetch_add(1, Ordering::Relaxed);
        }
    });
    println!("{} COPYs succeeded, {} processes were killed", done.into_inner(), kills.into_inner());
    // Whatever was not loaded by then.
    let shell = cluster.shell();
    let begun = Instant::now();
    shell.execute(&format!("COPY t FROM '{}' (FORMAT csv)", directory.display()));
    assert!(begun.elapsed() < Duration::from_secs(30), "no lock of a killed process is left");
    let by_file = shell.rows("SELECT f, count(*), count(DISTINCT r) FROM t GROUP BY f ORDER BY f");
    let wanted: Vec<Vec<String>> =
        (0..FILES).map(|file| vec![file.to_string(), ROWS.to_string(), ROWS.to_string()]).collect();
    assert_eq!(by_file, wanted);
    assert_eq!(shell.value("SELECT count(*) FROM gp_copy_history"), FILES.to_string());
    let wrong = || Some(cluster.check()).filter(|checked| !checked.success);
    wait_for("end of the orphans", COLLECTED_WITHIN, || {
        wrong().is_none_or(|checked| !checked.stdout.contains("an orphan")).then_some(())
    });
    assert_eq!(wrong().map(|checked| checked.stdout), None);
}

#[test]
fn a_file_is_loaded_again_when_it_is_another_or_asked_for() {
    let cluster = ProcessCluster::start(1);
    let shell = cluster.shell();
    let file = cluster.directory().join("a.csv");
    fs::write(&file, "1\n2\n").expect("room");
    shell.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)");
    let copy = format!("COPY t FROM '{}'", file.display());
    let count = || shell.value("SELECT count(*) FROM t");
    let said = |sql: &str| {
        let run = shell.run("table", &["-c", sql]);
        assert!(run.success, "{sql}: {run:?}");
        format!("{}{}", run.stdout, run.stderr)
    };
    shell.execute(&copy);
    let again = said(&copy);
    assert!(again.contains("COPY 0") && again.contains("1 file was loaded before and is skipped"), "{again}");
    assert_eq!(count(), "2");
    shell.execute(&format!("{copy} (FORCE)"));
    assert_eq!(count(), "4");
    assert_eq!(shell.value("SELECT count(*) FROM gp_copy_history WHERE table_name = 't'"), "1");

    // Rolled back it was not loaded; a savepoint that is gone takes its files with it.
    fs::write(&file, "3\n4\n5\n").expect("room");
    shell.execute(&format!("BEGIN; {copy}; {copy}; ROLLBACK"));
    assert_eq!(count(), "4");
    shell.execute(&format!("BEGIN; SAVEPOINT s; {copy}; ROLLBACK TO s; {copy}; {copy}; COMMIT"));
    assert_eq!(count(), "7");
    assert!(said(&copy).contains("COPY 0"));

    // An emptied table has loaded nothing; another table never had.
    shell.execute("TRUNCATE t");
    shell.execute(&copy);
    assert_eq!(count(), "3");
    shell.execute("CREATE TABLE u (k int) DISTRIBUTED BY (k)");
    assert!(said(&format!("COPY u FROM '{}'", file.display())).contains("COPY 3"));
}
