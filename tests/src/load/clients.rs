//! What each client does, again and again.

use super::{ACCOUNTS, BALANCE, COPIES, Entry, Load, MADE, REFILLED, acknowledged};
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::atomic::{AtomicBool, Ordering};

impl Load {
    /// Money goes from account to account, and accounts from segment to segment.
    pub(super) fn transfer(&self, stop: &AtomicBool, mut rng: StdRng) {
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
            acknowledged(&self.shell, &sql);
        }
    }

    /// Two rows a number, on two segments: both are there, or neither.
    pub(super) fn write_log(&self, stop: &AtomicBool, mut rng: StdRng) {
        while !stop.load(Ordering::Relaxed) {
            let of = |wanted: fn(&Entry) -> bool| -> Vec<i64> {
                let journal = self.journal.lock().unwrap();
                journal.log.iter().filter(|(_, entry)| wanted(entry)).map(|(number, _)| *number).collect()
            };
            let (there, unknown) =
                (of(|entry| matches!(entry, Entry::There)), of(|entry| matches!(entry, Entry::Unknown)));
            // Who does not know whether its rows are there sends them again: the key keeps them from being there twice.
            if let Some(&number) = unknown.last() {
                if acknowledged(&self.shell, &format!("{} ON CONFLICT DO NOTHING", insert_log(number))) {
                    self.journal.lock().unwrap().log.insert(number, Entry::There);
                }
            } else if there.len() > 5 && rng.random_bool(0.4) {
                let number = there[rng.random_range(0..there.len())];
                self.journal.lock().unwrap().log.insert(number, Entry::Unknown);
                if acknowledged(&self.shell, &format!("DELETE FROM log WHERE number = {number}")) {
                    self.journal.lock().unwrap().log.insert(number, Entry::Gone);
                }
            } else {
                let number = {
                    let mut journal = self.journal.lock().unwrap();
                    journal.next += 1;
                    let number = journal.next;
                    journal.log.insert(number, Entry::Unknown);
                    number
                };
                if acknowledged(&self.shell, &insert_log(number)) {
                    self.journal.lock().unwrap().log.insert(number, Entry::There);
                }
            }
        }
    }

    /// Transactions over several tables and statements, which leave a number in `done`: money that goes from one bank to the other, files that
    /// are loaded, tables that are made and dropped. Some change their mind on the way, and some wait for each other for ever.
    pub(super) fn transact(&self, stop: &AtomicBool, mut rng: StdRng) {
        let mut made = vec![];
        while !stop.load(Ordering::Relaxed) {
            let number = {
                let mut journal = self.journal.lock().unwrap();
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
                5 | 6 => (format!("COPY loaded FROM '{}' (FORCE)", self.file.display()), 0),
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
            self.journal.lock().unwrap().done.insert(number, if gives_up { Entry::Gone } else { Entry::Unknown });
            if acknowledged(&self.shell, &sql) && !gives_up {
                self.journal.lock().unwrap().done.insert(number, Entry::There);
            }
            // What this client made before goes, with its number.
            if kind == "table" && !gives_up {
                made.push(number);
            }
            if made.len() > 3 && rng.random_bool(0.5) {
                let number = made.swap_remove(rng.random_range(0..made.len()));
                let was_there = matches!(
                    self.journal.lock().unwrap().done.insert(number, Entry::Unknown),
                    Some(Entry::There | Entry::Unknown)
                );
                let sql = format!("BEGIN; DROP TABLE made{number}; DELETE FROM done WHERE number = {number}; COMMIT");
                if was_there && acknowledged(&self.shell, &sql) {
                    self.journal.lock().unwrap().done.insert(number, Entry::Gone);
                }
            }
        }
    }

    /// Every row counts the same rounds.
    pub(super) fn mark(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.journal.lock().unwrap().rounds.1 += 1;
            let sql = match self.journal.lock().unwrap().rounds.1 % 2 {
                0 => "UPDATE marks SET round = round + 1",
                _ => {
                    "MERGE INTO marks AS t USING (SELECT 1 AS more) AS s ON true WHEN MATCHED THEN UPDATE SET round = round + more"
                }
            };
            if acknowledged(&self.shell, sql) {
                self.journal.lock().unwrap().rounds.0 += 1;
            }
        }
    }

    /// All rows of one table go and come again, with the number of the time, which every row of the other gets: every segment's copy of it.
    pub(super) fn refill(&self, stop: &AtomicBool, mut rng: StdRng) {
        while !stop.load(Ordering::Relaxed) {
            let number = {
                let mut journal = self.journal.lock().unwrap();
                journal.refills.1 += 1;
                journal.refills.1
            };
            let empty = if rng.random_bool(0.5) { "TRUNCATE refilled" } else { "DELETE FROM refilled" };
            let one = rng.random_range(1..=COPIES);
            let sql = format!(
                "BEGIN; {empty}; INSERT INTO refilled SELECT x, {number} FROM generate_series(1, {REFILLED}) AS g(x); \
                 DELETE FROM copies WHERE k = {one}; INSERT INTO copies VALUES ({one}, 0); UPDATE copies SET v = {number}; COMMIT"
            );
            if acknowledged(&self.shell, &sql) {
                self.journal.lock().unwrap().refills.0 = number;
            }
        }
    }

    /// Whatever moves between accounts, tables and segments, each snapshot has all of it, once.
    pub(super) fn read(&self, stop: &AtomicBool) {
        let (sum, both) = (ACCOUNTS * BALANCE, 2 * ACCOUNTS * BALANCE);
        let queries = [
            (
                "SELECT count(*), sum(balance), count(DISTINCT id % 1000) FROM accounts",
                format!("{ACCOUNTS},{sum},{ACCOUNTS}"),
            ),
            // Tables that may be laid out by different maps just now.
            (
                "SELECT count(*), sum(a.balance + b.balance) FROM bank_a AS a JOIN bank_b AS b ON a.id = b.id",
                format!("{ACCOUNTS},{both}"),
            ),
            (
                "SELECT (SELECT sum(balance) FROM bank_b) - (SELECT coalesce(sum(amount), 0) FROM done)",
                format!("{sum}"),
            ),
            ("SELECT count(DISTINCT round), count(*) FROM marks", "1,16".to_owned()),
            (
                "SELECT count(*) FROM (SELECT number FROM log GROUP BY number HAVING count(*) <> 2) AS halves",
                "0".to_owned(),
            ),
            ("SELECT count(*), count(DISTINCT v) FROM refilled", format!("{REFILLED},1")),
            // Each segment's rows meet its own copy, where it has one.
            (
                "SELECT count(*), count(DISTINCT c.v) FROM refilled AS r JOIN copies AS c ON r.v = c.v",
                format!("{},1", REFILLED * COPIES),
            ),
        ];
        while !stop.load(Ordering::Relaxed) {
            for (sql, wanted) in &queries {
                let run = self.shell.run("csv", &["-c", sql]);
                // Who is killed gives nothing.
                if run.success {
                    assert_eq!(run.stdout.lines().nth(1), Some(wanted.as_str()), "{sql}");
                }
            }
        }
    }
}

fn insert_log(number: i64) -> String {
    format!("INSERT INTO log VALUES ({number}, 0), ({number}, {number} + 1)")
}
