//! The anomalies of hermitage (Martin Kleppmann, github.com/ept/hermitage), with the outcome that each level promises. UPDATE and
//! DELETE lock their table, as in Greenplum, so that rows that must be changed at once are in two tables here.

use damson_master::SqlError;
use damson_tests::{Damson, TestCluster};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const BOTH: [&str; 2] = ["READ COMMITTED", "REPEATABLE READ"];
const READ_COMMITTED: &str = BOTH[0];
const REPEATABLE_READ: &str = BOTH[1];

/// Tables `a` and `b` with the rows (1, 10) and (2, 20), and three clients that have begun a transaction.
struct Test {
    cluster: TestCluster,
    clients: [Client; 3],
}

#[derive(Clone)]
struct Client {
    session: Damson,
}

type Waiting = JoinHandle<Result<(), SqlError>>;

impl Test {
    async fn start(isolation: &str) -> Self {
        let cluster = TestCluster::start(2).await;
        let session = cluster.session();
        for table in ["a", "b"] {
            session.execute(&format!("CREATE TABLE {table} (id int, value int) DISTRIBUTED BY (id)")).await.unwrap();
            session.execute(&format!("INSERT INTO {table} VALUES (1, 10), (2, 20)")).await.unwrap();
        }
        let clients = [(); 3].map(|()| Client { session: cluster.session() });
        for client in &clients {
            client.run(&format!("BEGIN ISOLATION LEVEL {isolation}")).await;
        }
        Test { cluster, clients }
    }

    /// What everybody sees when all is done.
    async fn end(self, a: &str, b: &str) {
        let session = self.cluster.session();
        for (table, wanted) in [("a", a), ("b", b)] {
            let found = session.text(&format!("SELECT id || '=' || value FROM {table} ORDER BY id, value")).await;
            assert_eq!(found.replace('\n', " "), wanted, "{table}");
        }
        self.cluster.shutdown().await;
    }

    /// Until somebody waits for a lock.
    async fn until_one_waits(&self) {
        let session = self.cluster.session();
        let began = Instant::now();
        while session.text("SELECT count(*) FROM pg_locks WHERE NOT granted").await == "0" {
            assert!(began.elapsed() < Duration::from_secs(20), "nobody waits");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Client {
    async fn run(&self, sql: &str) {
        self.session.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    async fn fails(&self, sql: &str, state: &str) {
        let error = self.session.execute(sql).await.err().unwrap_or_else(|| panic!("{sql} went well"));
        assert_eq!(error.state.0, state, "{sql}: {error}");
    }

    /// Rows as `1=10 2=20`.
    async fn sees(&self, from: &str, wanted: &str) {
        let found = self.session.text(&format!("SELECT id || '=' || value FROM {from} ORDER BY id, value")).await;
        assert_eq!(found.replace('\n', " "), wanted, "{from}");
    }

    /// REPEATABLE READ stays with what the first statement reads; one that waits for a lock first reads afterwards.
    async fn takes_its_snapshot(&self) {
        self.run("SELECT count(*) FROM b").await;
    }

    /// A statement that waits for another transaction.
    async fn starts(&self, test: &Test, sql: &str) -> Waiting {
        let (session, sql) = (self.session.clone(), sql.to_owned());
        let waiting = tokio::spawn(async move { session.execute(&sql).await.map(|_| ()) });
        test.until_one_waits().await;
        assert!(!waiting.is_finished());
        waiting
    }
}

async fn goes_on(waiting: Waiting) {
    waiting.await.unwrap().unwrap();
}

async fn is_refused(waiting: Waiting) {
    let error = waiting.await.unwrap().expect_err("first committer wins");
    assert_eq!(error.state.0, "40001", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn g0_write_cycles() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, _] = &test.clients;
        one.run("UPDATE a SET value = 11 WHERE id = 1").await;
        two.takes_its_snapshot().await;
        let waiting = two.starts(&test, "UPDATE a SET value = 12 WHERE id = 1").await;
        one.run("UPDATE a SET value = 21 WHERE id = 2").await;
        one.run("COMMIT").await;
        if isolation == READ_COMMITTED {
            goes_on(waiting).await;
            two.run("UPDATE a SET value = 22 WHERE id = 2").await;
            two.run("COMMIT").await;
            test.end("1=12 2=22", "1=10 2=20").await;
        } else {
            is_refused(waiting).await;
            two.run("ROLLBACK").await;
            test.end("1=11 2=21", "1=10 2=20").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g1a_aborted_reads() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, _] = &test.clients;
        one.run("UPDATE a SET value = 101 WHERE id = 1").await;
        two.sees("a", "1=10 2=20").await;
        one.run("ROLLBACK").await;
        two.sees("a", "1=10 2=20").await;
        two.run("COMMIT").await;
        test.end("1=10 2=20", "1=10 2=20").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g1b_intermediate_reads() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, _] = &test.clients;
        one.run("UPDATE a SET value = 101 WHERE id = 1").await;
        two.sees("a", "1=10 2=20").await;
        one.run("UPDATE a SET value = 11 WHERE id = 1").await;
        one.sees("a", "1=11 2=20").await;
        one.run("COMMIT").await;
        two.sees("a", if isolation == READ_COMMITTED { "1=11 2=20" } else { "1=10 2=20" }).await;
        two.run("COMMIT").await;
        test.end("1=11 2=20", "1=10 2=20").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g1c_circular_information_flow() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, _] = &test.clients;
        one.run("UPDATE a SET value = 11 WHERE id = 1").await;
        two.run("UPDATE b SET value = 22 WHERE id = 2").await;
        one.sees("b", "1=10 2=20").await;
        two.sees("a", "1=10 2=20").await;
        one.run("COMMIT").await;
        two.run("COMMIT").await;
        test.end("1=11 2=20", "1=10 2=22").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn otv_observed_transaction_vanishes() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, three] = &test.clients;
        one.run("UPDATE a SET value = 11 WHERE id = 1").await;
        one.run("UPDATE b SET value = 19 WHERE id = 2").await;
        two.takes_its_snapshot().await;
        let waiting = two.starts(&test, "UPDATE a SET value = 12 WHERE id = 1").await;
        one.run("COMMIT").await;
        if isolation == REPEATABLE_READ {
            is_refused(waiting).await;
            two.run("ROLLBACK").await;
            three.sees("a", "1=11 2=20").await;
            three.sees("b", "1=10 2=19").await;
            three.run("COMMIT").await;
            test.end("1=11 2=20", "1=10 2=19").await;
            continue;
        }
        goes_on(waiting).await;
        three.sees("a", "1=11 2=20").await;
        two.run("UPDATE b SET value = 18 WHERE id = 2").await;
        three.sees("b", "1=10 2=19").await;
        two.run("COMMIT").await;
        // Whoever has seen the second sees all of it.
        three.sees("b", "1=10 2=18").await;
        three.sees("a", "1=12 2=20").await;
        three.run("COMMIT").await;
        test.end("1=12 2=20", "1=10 2=18").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pmp_predicate_many_preceders() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, _] = &test.clients;
        one.sees("a WHERE value = 30", "").await;
        two.run("INSERT INTO a VALUES (3, 30)").await;
        two.run("COMMIT").await;
        one.sees("a WHERE value % 3 = 0", if isolation == READ_COMMITTED { "3=30" } else { "" }).await;
        one.run("COMMIT").await;
        test.end("1=10 2=20 3=30", "1=10 2=20").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pmp_with_a_write_predicate() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, _] = &test.clients;
        one.run("UPDATE a SET value = value + 10").await;
        two.takes_its_snapshot().await;
        let waiting = two.starts(&test, "DELETE FROM a WHERE value = 20").await;
        one.run("COMMIT").await;
        if isolation == READ_COMMITTED {
            // The whole statement sees what the first has left: the row that is 20 now.
            goes_on(waiting).await;
            two.sees("a", "2=30").await;
            two.run("COMMIT").await;
            test.end("2=30", "1=10 2=20").await;
        } else {
            is_refused(waiting).await;
            two.run("ROLLBACK").await;
            test.end("1=20 2=30", "1=10 2=20").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_lost_update() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, _] = &test.clients;
        one.sees("a WHERE id = 1", "1=10").await;
        two.sees("a WHERE id = 1", "1=10").await;
        one.run("UPDATE a SET value = 11 WHERE id = 1").await;
        let waiting = two.starts(&test, "UPDATE a SET value = 12 WHERE id = 1").await;
        one.run("COMMIT").await;
        if isolation == READ_COMMITTED {
            goes_on(waiting).await;
            two.run("COMMIT").await;
            test.end("1=12 2=20", "1=10 2=20").await;
        } else {
            is_refused(waiting).await;
            two.fails("SELECT 1", "25P02").await;
            two.run("COMMIT").await;
            test.end("1=11 2=20", "1=10 2=20").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g_single_read_skew() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, _] = &test.clients;
        one.sees("a WHERE id = 1", "1=10").await;
        two.run("UPDATE a SET value = 12 WHERE id = 1").await;
        two.run("UPDATE b SET value = 18 WHERE id = 2").await;
        two.run("COMMIT").await;
        one.sees("b WHERE id = 2", if isolation == READ_COMMITTED { "2=18" } else { "2=20" }).await;
        one.run("COMMIT").await;
        test.end("1=12 2=20", "1=10 2=18").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g_single_with_a_write_predicate() {
    let test = Test::start(REPEATABLE_READ).await;
    let [one, two, _] = &test.clients;
    one.sees("a WHERE id = 1", "1=10").await;
    two.run("UPDATE a SET value = value + 2").await;
    two.run("COMMIT").await;
    one.fails("DELETE FROM a WHERE value = 20", "40001").await;
    one.run("ROLLBACK").await;
    test.end("1=12 2=22", "1=10 2=20").await;
}

/// Write skew is not refused: the level is snapshot isolation, as PostgreSQL's REPEATABLE READ.
#[tokio::test(flavor = "multi_thread")]
async fn g2_write_skew_is_allowed() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, _] = &test.clients;
        for client in [one, two] {
            client.sees("a", "1=10 2=20").await;
            client.sees("b", "1=10 2=20").await;
        }
        one.run("UPDATE a SET value = 11 WHERE id = 1").await;
        two.run("UPDATE b SET value = 21 WHERE id = 2").await;
        one.run("COMMIT").await;
        two.run("COMMIT").await;
        test.end("1=11 2=20", "1=10 2=21").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_anti_dependency_cycles_are_allowed() {
    for isolation in BOTH {
        let test = Test::start(isolation).await;
        let [one, two, _] = &test.clients;
        one.sees("a WHERE value % 3 = 0", "").await;
        two.sees("a WHERE value % 3 = 0", "").await;
        one.run("INSERT INTO a VALUES (3, 30)").await;
        two.run("INSERT INTO a VALUES (4, 42)").await;
        one.run("COMMIT").await;
        two.run("COMMIT").await;
        test.end("1=10 2=20 3=30 4=42", "1=10 2=20").await;
    }
}
