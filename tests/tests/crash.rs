//! Processes that are killed while clients change rows: what was acknowledged is there, the rest is whole or not at all.
//!
//! `DAMSON_KILLS=200 cargo test --release -p damson-tests crash::` kills more often; `DAMSON_SEED` chooses other moments.

use damson_tests::postgres::PostgresServer;
use damson_tests::processes::{ProcessCluster, Setup, Shell, wait_for};
use damson_tests::random::seed_from_env;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rusqlite::{Connection, OpenFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SEGMENTS: usize = 2;
const ACCOUNTS: i64 = 40;
const BALANCE: i64 = 100;
/// A process that reaches no failpoint within this time goes on.
const FAILPOINT_WITHIN: Duration = Duration::from_secs(5);
/// A cluster whose processes have been started again answers within this time.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// Orphans are gone after two rounds of the collector.
const COLLECTED_WITHIN: Duration = Duration::from_secs(60);

/// Rows of the file that is loaded.
const LOADED: i64 = 50;
/// Rows of each table that is made.
const MADE: i64 = 3;

/// Where the master can end itself, and where a segment can, at each step of a commit.
const MASTER_FAILPOINTS: [&str; 2] = ["commit.before_store", "commit.after_store"];
const SEGMENT_FAILPOINTS: [&str; 3] = ["write.before_sync", "write.after_sync", "write.after_vector"];
/// Times that a failpoint is passed at most.
const PASSED_MAX: u32 = 12;

/// What clients know of their statements.
#[derive(Default)]
struct Journal {
    /// Of each number of `log`, what was asked for last, and whether it was acknowledged.
    log: BTreeMap<i64, Entry>,
    /// The same of each number of `done`, where transactions of several tables leave their own.
    done: BTreeMap<i64, Entry>,
    /// Rounds of `marks`: acknowledged, and asked for.
    rounds: (i64, i64),
    next: i64,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    There,
    Gone,
    /// An insert or a delete whose answer did not come.
    Unknown,
}

/// Runs one statement; whether it was acknowledged.
fn acknowledged(shell: &Shell, sql: &str) -> bool {
    shell.run("csv", &["-c", sql]).success
}

/// Money goes from account to account, and accounts from segment to segment.
fn transfer(shell: &Shell, stop: &AtomicBool, mut rng: StdRng) {
    while !stop.load(Ordering::Relaxed) {
        let (from, to) = (rng.random_range(0..ACCOUNTS), rng.random_range(0..ACCOUNTS));
        let sql = if rng.random_bool(0.2) {
            // Each account goes, and comes back on another segment.
            format!(
                "MERGE INTO accounts AS t USING (SELECT id, balance, copy FROM accounts CROSS JOIN (VALUES (0), (1)) AS c(copy)
                 WHERE id % 7 = {}) AS s ON t.id = s.id AND s.copy = 0 WHEN MATCHED THEN DELETE
                 WHEN NOT MATCHED THEN INSERT VALUES (CASE WHEN s.id < 1000 THEN s.id + 1000 ELSE s.id - 1000 END, s.balance)",
                from % 7
            )
        } else if rng.random_bool(0.3) {
            format!(
                "UPDATE accounts SET id = CASE WHEN id < 1000 THEN id + 1000 ELSE id - 1000 END WHERE id % 5 = {}",
                from % 5
            )
        } else {
            format!(
                "UPDATE accounts SET balance = balance + CASE WHEN id % 1000 = {from} THEN -1 ELSE 1 END
                 WHERE id % 1000 IN ({from}, {to}) AND {from} <> {to}"
            )
        };
        acknowledged(shell, &sql);
    }
}

/// Two rows a number, on two segments: both are there, or neither.
fn write_log(shell: &Shell, stop: &AtomicBool, journal: &Mutex<Journal>, mut rng: StdRng) {
    while !stop.load(Ordering::Relaxed) {
        let of = |wanted: fn(&Entry) -> bool| -> Vec<i64> {
            let journal = journal.lock().unwrap();
            journal.log.iter().filter(|(_, entry)| wanted(entry)).map(|(number, _)| *number).collect()
        };
        let (there, unknown) = (of(|entry| matches!(entry, Entry::There)), of(|entry| matches!(entry, Entry::Unknown)));
        // Who does not know whether its rows are there sends them again: the key keeps them from being there twice.
        if let Some(&number) = unknown.last() {
            if acknowledged(shell, &format!("{} ON CONFLICT DO NOTHING", insert_log(number))) {
                journal.lock().unwrap().log.insert(number, Entry::There);
            }
        } else if there.len() > 5 && rng.random_bool(0.4) {
            let number = there[rng.random_range(0..there.len())];
            journal.lock().unwrap().log.insert(number, Entry::Unknown);
            if acknowledged(shell, &format!("DELETE FROM log WHERE number = {number}")) {
                journal.lock().unwrap().log.insert(number, Entry::Gone);
            }
        } else {
            let number = {
                let mut journal = journal.lock().unwrap();
                journal.next += 1;
                let number = journal.next;
                journal.log.insert(number, Entry::Unknown);
                number
            };
            if acknowledged(shell, &insert_log(number)) {
                journal.lock().unwrap().log.insert(number, Entry::There);
            }
        }
    }
}

fn insert_log(number: i64) -> String {
    format!("INSERT INTO log VALUES ({number}, 0), ({number}, {number} + 1)")
}

/// Transactions over several tables and statements, which leave a number in `done`: money that goes from one bank to the other, files that
/// are loaded, tables that are made and dropped. Some change their mind on the way, and some wait for each other for ever.
fn transact(shell: &Shell, stop: &AtomicBool, journal: &Mutex<Journal>, file: &Path, mut rng: StdRng) {
    let mut made = vec![];
    while !stop.load(Ordering::Relaxed) {
        let number = {
            let mut journal = journal.lock().unwrap();
            journal.next += 1;
            journal.next
        };
        let amount = rng.random_range(1..20);
        let account = rng.random_range(0..ACCOUNTS);
        let (less, more) = (
            format!("UPDATE bank_a SET balance = balance - {amount} WHERE id = {account}"),
            match rng.random_range(0..3) {
                0 => format!("UPDATE bank_b SET balance = balance + {amount} WHERE id = {account}"),
                1 => format!(
                    "MERGE INTO bank_b AS t USING (VALUES ({account}, {amount})) AS s(id, amount) ON t.id = s.id \
                     WHEN MATCHED THEN UPDATE SET balance = t.balance + s.amount"
                ),
                _ => format!(
                    "INSERT INTO bank_b VALUES ({account}, {amount}) \
                     ON CONFLICT (id) DO UPDATE SET balance = bank_b.balance + excluded.balance"
                ),
            },
        );
        let kind = rng.random_range(0..10);
        let (work, done) = match kind {
            0..4 if rng.random_bool(0.5) => (format!("{less}; {more}"), amount),
            0..4 => (format!("{more}; {less}"), amount),
            4 => (format!("{less}; SAVEPOINT s; {less}; DELETE FROM bank_b; ROLLBACK TO s; {more}"), amount),
            5 | 6 => (format!("COPY loaded FROM '{}' (FORCE)", file.display()), 0),
            _ => (
                format!(
                    "CREATE TABLE made{number} (k int) DISTRIBUTED BY (k); \
                     INSERT INTO made{number} SELECT x FROM generate_series(1, {MADE}) AS g(x)"
                ),
                0,
            ),
        };
        let kind = match kind {
            0..5 => "transfer",
            5 | 6 => "load",
            _ => "table",
        };
        let gives_up = rng.random_bool(0.1);
        let end = if gives_up { "ROLLBACK" } else { "COMMIT" };
        let sql = format!("BEGIN; {work}; INSERT INTO done VALUES ({number}, '{kind}', {done}); {end}");
        journal.lock().unwrap().done.insert(number, if gives_up { Entry::Gone } else { Entry::Unknown });
        if acknowledged(shell, &sql) && !gives_up {
            journal.lock().unwrap().done.insert(number, Entry::There);
        }
        // What this client made before goes, with its number.
        if kind == "table" && !gives_up {
            made.push(number);
        }
        if made.len() > 3 && rng.random_bool(0.5) {
            let number = made.swap_remove(rng.random_range(0..made.len()));
            let was_there = matches!(
                journal.lock().unwrap().done.insert(number, Entry::Unknown),
                Some(Entry::There | Entry::Unknown)
            );
            let sql = format!("BEGIN; DROP TABLE made{number}; DELETE FROM done WHERE number = {number}; COMMIT");
            if was_there && acknowledged(shell, &sql) {
                journal.lock().unwrap().done.insert(number, Entry::Gone);
            }
        }
    }
}

/// Every row counts the same rounds.
fn mark(shell: &Shell, stop: &AtomicBool, journal: &Mutex<Journal>) {
    while !stop.load(Ordering::Relaxed) {
        journal.lock().unwrap().rounds.1 += 1;
        let sql = match journal.lock().unwrap().rounds.1 % 2 {
            0 => "UPDATE marks SET round = round + 1",
            _ => {
                "MERGE INTO marks AS t USING (SELECT 1 AS more) AS s ON true WHEN MATCHED THEN UPDATE SET round = round + more"
            }
        };
        if acknowledged(shell, sql) {
            journal.lock().unwrap().rounds.0 += 1;
        }
    }
}

/// Waits until the cluster answers, then compares it with what the clients know.
fn check(shell: &Shell, journal: &mut Journal) {
    let sums = wait_for("answer", BACK_WITHIN, || {
        let run = shell.run("csv", &["-c", "SELECT count(*), sum(balance), count(DISTINCT id % 1000) FROM accounts"]);
        run.success.then_some(run.stdout)
    });
    let wanted = format!("{ACCOUNTS},{},{ACCOUNTS}", ACCOUNTS * BALANCE);
    assert_eq!(sums.lines().nth(1), Some(wanted.as_str()), "accounts, sum and different accounts");

    let rounds = shell.rows("SELECT DISTINCT round FROM marks");
    assert_eq!(rounds.len(), 1, "an UPDATE is in part: {rounds:?}");
    let round: i64 = rounds[0][0].parse().expect("a number");
    let (acknowledged, asked) = journal.rounds;
    assert!((acknowledged..=asked).contains(&round), "{round} rounds, {acknowledged} of {asked} acknowledged");
    journal.rounds = (round, round);

    check_transactions(shell, journal);
    let problems = shell.rows("SELECT * FROM gp_check WHERE problem NOT LIKE '%orphan%'");
    assert!(problems.is_empty(), "files are not as the catalog says: {problems:?}");

    let rows = shell.rows("SELECT number, count(*) FROM log GROUP BY number");
    let found: BTreeMap<i64, i64> = rows.iter().map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap())).collect();
    assert!(found.values().all(|&count| count == 2), "an INSERT or a DELETE is in part: {found:?}");
    for (number, entry) in &mut journal.log {
        match (*entry, found.contains_key(number)) {
            (Entry::There, false) => panic!("the acknowledged INSERT of {number} is lost"),
            (Entry::Gone, true) => panic!("the acknowledged DELETE of {number} is lost"),
            (Entry::Unknown, is_there) => *entry = if is_there { Entry::There } else { Entry::Gone },
            _ => {}
        }
    }
    assert!(found.keys().all(|number| journal.log.contains_key(number)), "rows that nobody wrote");
}

/// Whole transactions, and those that were acknowledged.
fn check_transactions(shell: &Shell, journal: &mut Journal) {
    let number = |sql: &str| shell.value(sql).parse::<i64>().unwrap_or_else(|e| panic!("{sql}: {e}"));
    let rows = shell.rows("SELECT number, kind, amount FROM done");
    let done: BTreeMap<i64, &str> = rows.iter().map(|row| (row[0].parse().unwrap(), row[1].as_str())).collect();
    assert_eq!(done.len(), rows.len(), "a number is there twice");
    let moved: i64 = rows.iter().map(|row| row[2].parse::<i64>().unwrap()).sum();
    let banks = ["bank_a", "bank_b"].map(|bank| number(&format!("SELECT sum(balance) FROM {bank}")));
    let wanted = [ACCOUNTS * BALANCE - moved, ACCOUNTS * BALANCE + moved];
    assert_eq!(banks, wanted, "a transfer is in part");
    let loads = done.values().filter(|kind| **kind == "load").count() as i64;
    assert_eq!(number("SELECT count(*) FROM loaded"), loads * LOADED, "a load is in part");
    let tables = shell.rows("SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'made%'");
    let tables: BTreeSet<i64> = tables.iter().map(|row| row[0]["made".len()..].parse().unwrap()).collect();
    let wanted: BTreeSet<i64> = done.iter().filter(|(_, kind)| **kind == "table").map(|(number, _)| *number).collect();
    assert_eq!(tables, wanted, "tables that were made in part");
    for table in &tables {
        assert_eq!(number(&format!("SELECT count(*) FROM made{table}")), MADE, "made{table}");
    }
    for (number, entry) in &mut journal.done {
        match (*entry, done.contains_key(number)) {
            (Entry::There, false) => panic!("the acknowledged transaction {number} is lost"),
            (Entry::Gone, true) => panic!("transaction {number} was rolled back, or undone, and is there"),
            (Entry::Unknown, is_there) => *entry = if is_there { Entry::There } else { Entry::Gone },
            _ => {}
        }
    }
}

/// The files that the catalog knows, and whether they are live.
fn known(directory: &Path, postgres: Option<&PostgresServer>) -> Vec<(String, bool)> {
    let sql = "SELECT content, path, dropped IS NULL FROM files UNION ALL SELECT content, path, dropped IS NULL FROM delete_vectors";
    if let Some(server) = postgres {
        let mut client = postgres::Client::connect(server.url(), postgres::NoTls).expect("the catalog's server");
        client.batch_execute("SET search_path = damson").expect("the catalog's schema");
        let file =
            |row: postgres::Row| (format!("seg{}-data/{}", row.get::<_, i32>(0), row.get::<_, String>(1)), row.get(2));
        return client.query(sql, &[]).expect("files").into_iter().map(file).collect();
    }
    let catalog = directory.join("master/catalog.db");
    let catalog = Connection::open_with_flags(catalog, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a catalog");
    let mut statement = catalog.prepare(sql).expect("files");
    let file = |row: &rusqlite::Row<'_>| {
        Ok((format!("seg{}-data/{}", row.get::<_, i32>(0)?, row.get::<_, String>(1)?), row.get::<_, bool>(2)?))
    };
    statement.query_map([], file).unwrap().map(|file| file.unwrap()).collect()
}

/// Table files on disk that the catalog does not know, and files that it knows and that are not there.
fn strays(directory: &Path, postgres: Option<&PostgresServer>) -> (BTreeSet<String>, BTreeSet<String>) {
    let known = known(directory, postgres);
    let mut on_disk = BTreeSet::new();
    for content in 0..SEGMENTS {
        let base = directory.join(format!("seg{content}-data/base"));
        for table in std::fs::read_dir(&base).expect("tables") {
            let table = table.unwrap().path();
            for file in std::fs::read_dir(&table).expect("files") {
                let path = file.unwrap().path();
                on_disk.insert(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let all: BTreeSet<String> = known.iter().map(|(path, _)| path.clone()).collect();
    let live: BTreeSet<String> = known.into_iter().filter(|(_, live)| *live).map(|(path, _)| path).collect();
    (on_disk.difference(&all).cloned().collect(), live.difference(&on_disk).cloned().collect())
}

#[test]
fn what_was_acknowledged_outlives_every_kill() {
    outlives_every_kill(10, None);
}

/// Where a master is killed, the other one goes on; the database that has the catalog is killed, too.
#[test]
fn what_was_acknowledged_outlives_every_kill_with_a_standby() {
    let Some(server) = PostgresServer::start() else { return };
    outlives_every_kill(6, Some(&server));
}

fn outlives_every_kill(kills: usize, postgres: Option<&PostgresServer>) {
    let kills: usize = std::env::var("DAMSON_KILLS").map_or(kills, |count| count.parse().expect("a number"));
    let seed = seed_from_env();
    println!("seed {seed}, {kills} kills");
    let mut rng = StdRng::seed_from_u64(seed);
    let catalog = postgres.map(|server| server.url().to_owned());
    let mut cluster = ProcessCluster::start_with(Setup { segments: SEGMENTS, catalog, ..Setup::default() });
    let shell = cluster.shell();
    shell.execute("CREATE TABLE accounts (id int PRIMARY KEY, balance bigint) DISTRIBUTED BY (id)");
    shell.execute("CREATE TABLE log (number bigint, half bigint, UNIQUE (half, number)) DISTRIBUTED BY (half)");
    shell.execute("CREATE TABLE marks (k int, round bigint) DISTRIBUTED BY (k)");
    for bank in ["bank_a", "bank_b"] {
        shell.execute(&format!("CREATE TABLE {bank} (id int PRIMARY KEY, balance bigint) DISTRIBUTED BY (id)"));
        shell.execute(&format!(
            "INSERT INTO {bank} SELECT x - 1, {BALANCE} FROM generate_series(1, {ACCOUNTS}) AS g(x)"
        ));
    }
    shell.execute("CREATE TABLE done (number bigint, kind text, amount bigint) DISTRIBUTED BY (number)");
    shell.execute("CREATE TABLE loaded (k int, v text) DISTRIBUTED RANDOMLY");
    let file = cluster.directory().join("loaded.csv");
    let lines: String = (0..LOADED).map(|k| format!("{k},value {k}\n")).collect();
    std::fs::write(&file, lines).expect("a file to load");
    shell.execute(&format!("INSERT INTO accounts SELECT x - 1, {BALANCE} FROM generate_series(1, {ACCOUNTS}) AS g(x)"));
    shell.execute("INSERT INTO marks SELECT x, 0 FROM generate_series(1, 16) AS g(x)");
    let journal = Mutex::new(Journal::default());
    let mut at_failpoints = 0;
    for kill in 0..kills {
        let stop = AtomicBool::new(false);
        // Every other time a process ends by itself, at some step of a commit.
        let failpoint = rng.random_bool(0.5).then(|| {
            let times = rng.random_range(1..=PASSED_MAX);
            let (who, names): (Option<usize>, &[&str]) = match rng.random_bool(0.5) {
                true => (None, &MASTER_FAILPOINTS),
                false => (Some(rng.random_range(0..SEGMENTS)), &SEGMENT_FAILPOINTS),
            };
            (who, format!("{}={times}", names[rng.random_range(0..names.len())]))
        });
        if let Some((who, name)) = &failpoint {
            println!("kill {kill}: {name} of {who:?}");
            cluster.set_failpoint(failpoint.clone());
            cluster.restart(who.is_none(), who.as_slice());
        }
        // Who is killed: a segment, the master, or all at once.
        let victim = rng.random_range(0..SEGMENTS + 2);
        let segments: Vec<usize> =
            (0..SEGMENTS).filter(|&content| victim == content || victim == SEGMENTS + 1).collect();
        let pause = Duration::from_millis(rng.random_range(50..900));
        thread::scope(|scope| {
            let seeds: [u64; 5] = rng.random();
            let (shell, stop, journal, file) = (&shell, &stop, &journal, &file);
            scope.spawn(move || transact(shell, stop, journal, file, StdRng::seed_from_u64(seeds[3])));
            scope.spawn(move || transact(shell, stop, journal, file, StdRng::seed_from_u64(seeds[4])));
            scope.spawn(move || transfer(shell, stop, StdRng::seed_from_u64(seeds[0])));
            scope.spawn(move || transfer(shell, stop, StdRng::seed_from_u64(seeds[1])));
            scope.spawn(move || write_log(shell, stop, journal, StdRng::seed_from_u64(seeds[2])));
            scope.spawn(move || mark(shell, stop, journal));
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    acknowledged(shell, "VACUUM");
                }
            });
            match &failpoint {
                Some((who, _)) => {
                    let ends = Instant::now() + FAILPOINT_WITHIN;
                    let node = match who {
                        None => cluster.master(),
                        Some(content) => cluster.segment(*content),
                    };
                    while node.try_wait().is_none() && Instant::now() < ends {
                        thread::sleep(Duration::from_millis(5));
                    }
                    at_failpoints += usize::from(node.try_wait().is_some());
                }
                None => {
                    thread::sleep(pause);
                    if victim >= SEGMENTS {
                        cluster.master().kill();
                    }
                    if let Some(server) = postgres.filter(|_| victim == 0) {
                        server.crash();
                    }
                    segments.iter().for_each(|&content| cluster.kill_segment(content));
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        cluster.set_failpoint(None);
        match &failpoint {
            Some((who, _)) => cluster.restart(who.is_none(), who.as_slice()),
            None => cluster.restart(victim >= SEGMENTS, &segments),
        }
        println!("kill {kill}: victim {victim} after {pause:?}");
        check(&shell, &mut journal.lock().unwrap());
    }
    assert!(journal.lock().unwrap().rounds.0 > 0, "nothing was tested");
    let transactions = journal.lock().unwrap().done.values().filter(|entry| matches!(entry, Entry::There)).count();
    assert!(transactions > 0, "no transaction was tested");
    assert!(at_failpoints > 0 || kills < 5, "no failpoint was reached");
    let (_, missing) = strays(cluster.directory(), postgres);
    assert!(missing.is_empty(), "the catalog names files that are not there: {missing:?}");
    wait_for("end of the orphans", COLLECTED_WITHIN, || {
        strays(cluster.directory(), postgres).0.is_empty().then_some(())
    });
    let checked = cluster.check();
    assert!(checked.success && checked.stdout.contains("Nothing is wrong"), "{checked:?}");
    check(&shell, &mut journal.lock().unwrap());
}
