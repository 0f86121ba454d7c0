//! What the tables have, compared with what the clients know.

use super::{ACCOUNTS, BALANCE, COPIES, Entry, Journal, LOADED, Load, MADE, REFILLED};
use crate::processes::{Shell, wait_for};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A cluster whose processes have been started again answers within this time.
const BACK_WITHIN: Duration = Duration::from_secs(60);

impl Load {
    /// Waits until the cluster answers, then compares it with what the clients know.
    ///
    /// # Panics
    /// When it has anything else.
    pub fn check(&self) {
        let (shell, mut journal) = (&self.shell, self.journal.lock().unwrap());
        let journal = &mut *journal;
        let sums = wait_for("answer", BACK_WITHIN, || {
            let run =
                shell.run("csv", &["-c", "SELECT count(*), sum(balance), count(DISTINCT id % 1000) FROM accounts"]);
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
        check_refills(shell, journal);
        let problems = shell.rows("SELECT * FROM gp_check WHERE problem NOT LIKE '%orphan%'");
        assert!(problems.is_empty(), "files are not as the catalog says: {problems:?}");

        let rows = shell.rows("SELECT number, count(*) FROM log GROUP BY number");
        let found: BTreeMap<i64, i64> =
            rows.iter().map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap())).collect();
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

/// The last time, of both tables and all copies.
fn check_refills(shell: &Shell, journal: &mut Journal) {
    let refilled = shell.rows("SELECT v, count(*) FROM refilled GROUP BY v");
    let [of_one] = &refilled[..] else { panic!("a refill is in part: {refilled:?}") };
    let number: i64 = of_one[0].parse().expect("a number");
    assert_eq!(of_one[1], REFILLED.to_string(), "a refill is in part");
    let (acknowledged, asked) = journal.refills;
    assert!((acknowledged..=asked).contains(&number), "refill {number}, {acknowledged} of {asked} acknowledged");
    journal.refills = (number, asked);
    let (number, copies) = (number.to_string(), COPIES.to_string());
    let wanted = [number.as_str(), copies.as_str(), copies.as_str()];
    assert_eq!(shell.rows("SELECT v, count(*), count(DISTINCT k) FROM copies GROUP BY v"), [wanted], "copies");
    // Those of the segments that the marks are on, where all have one.
    let met = shell.rows(
        "SELECT DISTINCT low, high, n FROM (SELECT m.k, min(c.v) AS low, max(c.v) AS high, count(*) AS n
         FROM marks AS m CROSS JOIN copies AS c GROUP BY m.k) AS met",
    );
    assert_eq!(met, [[number.as_str(), number.as_str(), copies.as_str()]], "copies differ");
    let of_segments = r#"SELECT DISTINCT "rows" FROM gp_segment_rows WHERE table_name = 'copies' AND files > 0"#;
    assert_eq!(shell.rows(of_segments), [[copies.as_str()]], "copies differ");
}
