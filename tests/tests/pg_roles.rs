//! Who is let in over the PostgreSQL protocol, and as whom. The rules themselves, and what roles may do, have tests elsewhere.

use crate::roles::{ADMIN, WITHIN, admin_password, with_passwords};
use damson_tests::processes::{ProcessCluster, Setup};
use futures::{SinkExt, TryStreamExt};
use std::fs;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Takes minutes.
const LONG: &str = "SELECT count(*) FROM generate_series(1, 200000) AS a(x), generate_series(1, 200000) AS b(y) \
                    WHERE x * 3 = y * 7 + 1 OR x * y = 7";

fn config(cluster: &ProcessCluster, user: &str, password: &str) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(cluster.postgres_address().port()).user(user).password(password);
    config.dbname("damson").application_name("tests");
    config
}

async fn connect(cluster: &ProcessCluster, user: &str, password: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config(cluster, user, password).connect(NoTls).await?;
    // Ends with the client.
    tokio::spawn(connection);
    Ok(client)
}

async fn admin(cluster: &ProcessCluster) -> Client {
    connect(cluster, "damson", ADMIN).await.expect("the right password")
}

/// SQLSTATE and message.
fn told(error: &tokio_postgres::Error) -> (&str, &str) {
    let error = error.as_db_error().unwrap_or_else(|| panic!("the server says so, not {error:?}"));
    (error.code().code(), error.message())
}

/// Why somebody is not let in.
async fn refused(cluster: &ProcessCluster, user: &str, password: &str) -> (String, String) {
    let error = connect(cluster, user, password).await.expect_err("it is refused");
    let (state, message) = told(&error);
    (state.to_owned(), message.to_owned())
}

/// The rows' values, with `|` between.
async fn rows(client: &Client, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut rows = vec![];
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|i| row.get(i).unwrap_or("")).collect::<Vec<_>>().join("|"));
        }
    }
    Ok(rows)
}

async fn state_of(client: &Client, sql: &str) -> String {
    let error = rows(client, sql).await.expect_err(sql);
    told(&error).0.to_owned()
}

/// Waits for the number of the session that runs [`LONG`].
async fn long_running(client: &Client) -> String {
    let sql = "SELECT pid FROM pg_stat_activity \
               WHERE state = 'active' AND query LIKE '%200000%' AND pid <> pg_backend_pid()";
    let found = async {
        loop {
            if let Some(pid) = rows(client, sql).await.expect(sql).pop() {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, found).await.expect("the long query")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_in_as_its_role() {
    let (_directory, cluster) = with_passwords();
    let admin = admin(&cluster).await;
    for (user, password) in [("damson", "wrong"), ("nobody", ADMIN), ("ann", "right")] {
        let message = format!("password authentication failed for user \"{user}\"");
        assert_eq!(refused(&cluster, user, password).await, ("28P01".into(), message));
    }
    rows(&admin, "CREATE ROLE ann LOGIN PASSWORD 'right'; CREATE ROLE team; GRANT team TO ann").await.expect("roles");
    let (client, connection) = config(&cluster, "ann", "right").connect(NoTls).await.expect("the right password");
    let reported = ["session_authorization", "is_superuser"].map(|name| connection.parameter(name));
    assert_eq!(reported, [Some("ann"), Some("off")]);
    tokio::spawn(connection);
    assert_eq!(rows(&client, "SELECT session_user, current_user").await.unwrap(), ["ann|ann"]);
    assert_eq!(rows(&client, "SHOW session_authorization").await.unwrap(), ["ann"]);
    let seen =
        "SELECT usename, application_name, client_addr, state FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    assert_eq!(rows(&client, seen).await.unwrap(), ["ann|tests|127.0.0.1|active"]);
    rows(&client, "SET ROLE team").await.unwrap();
    assert_eq!(rows(&client, "SELECT session_user, current_user").await.unwrap(), ["ann|team"]);
    assert_eq!(state_of(&client, "SET ROLE damson").await, "42501");
    assert_eq!(state_of(&client, "SET SESSION AUTHORIZATION damson").await, "42501");

    rows(&admin, "ALTER ROLE ann PASSWORD 'another'").await.unwrap();
    assert_eq!(refused(&cluster, "ann", "right").await.0, "28P01");
    connect(&cluster, "ann", "another").await.expect("the new one");
    rows(&admin, "ALTER ROLE ann NOLOGIN").await.unwrap();
    let message = "role \"ann\" is not permitted to log in".to_owned();
    assert_eq!(refused(&cluster, "ann", "another").await, ("28000".into(), message));
    rows(&admin, "ALTER ROLE ann LOGIN VALID UNTIL '2020-01-01'").await.unwrap();
    assert_eq!(refused(&cluster, "ann", "another").await.0, "28P01");
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_hold() {
    let (_directory, cluster) = with_passwords();
    let admin = admin(&cluster).await;
    let made = "CREATE TABLE t (a int) DISTRIBUTED BY (a); INSERT INTO t VALUES (1); CREATE TABLE u (a int, b text) \
                DISTRIBUTED BY (a); CREATE ROLE ann LOGIN PASSWORD 'right'";
    rows(&admin, made).await.expect("tables");
    let ann = connect(&cluster, "ann", "right").await.expect("the right password");
    for sql in ["SELECT * FROM t", "COPY t TO STDOUT", "INSERT INTO t VALUES (2)", "DROP TABLE t", "CREATE ROLE eve"] {
        assert_eq!(state_of(&ann, sql).await, "42501", "{sql}");
    }
    assert_eq!(told(&ann.prepare("SELECT * FROM t").await.expect_err("it reads")).0, "42501");
    // tokio-postgres gives a connection up whose COPY is refused once it was prepared.
    let other = connect(&cluster, "ann", "right").await.expect("the right password");
    let denied = other.copy_in::<_, bytes::Bytes>("COPY u FROM STDIN").await.err().expect("it writes");
    assert_eq!(told(&denied).0, "42501");

    // A statement that was prepared while it could be does no more than its role may now.
    rows(&admin, "GRANT SELECT ON t TO ann; GRANT INSERT ON u TO ann").await.unwrap();
    let prepared = ann.prepare("SELECT a FROM t").await.expect("it may be read");
    assert_eq!(ann.query(&prepared, &[]).await.expect("it may be read")[0].get::<_, i32>(0), 1);
    let copied: Vec<bytes::Bytes> =
        ann.copy_out("COPY t TO STDOUT").await.expect("it may be read").try_collect().await.expect("rows");
    assert_eq!(copied.concat(), b"1\n");
    // To add rows needs no right to read them.
    let sink = ann.copy_in("COPY u FROM STDIN").await.expect("it may be written");
    futures::pin_mut!(sink);
    sink.send(bytes::Bytes::from_static(b"1\tx\n2\ty\n")).await.unwrap();
    assert_eq!(sink.as_mut().finish().await.expect("two rows"), 2);
    assert_eq!(state_of(&ann, "SELECT * FROM u").await, "42501");
    assert_eq!(rows(&admin, "SELECT a, b FROM u ORDER BY a").await.unwrap(), ["1|x", "2|y"]);
    rows(&admin, "REVOKE SELECT ON t FROM ann").await.unwrap();
    assert_eq!(told(&ann.query(&prepared, &[]).await.expect_err("not any more")).0, "42501");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_those_of_flight_sql() {
    let (directory, mut master_arguments) = admin_password();
    let path = directory.path().join("hba.conf");
    let rules = "host  damson  eve     all           reject\n\
                 host  all     bob     127.0.0.1/32  password\n\
                 host  all     +staff  127.0.0.1/32  trust\n\
                 host  all     damson  all           scram-sha-256\n";
    fs::write(&path, rules).expect("room");
    master_arguments.extend(["--hba-file".to_owned(), path.display().to_string()]);
    let cluster = ProcessCluster::start_with(Setup { segments: 1, master_arguments, ..Setup::default() });
    let admin = admin(&cluster).await;
    let made = "CREATE ROLE eve LOGIN PASSWORD 'right'; CREATE ROLE bob LOGIN PASSWORD 'right'; CREATE ROLE staff; \
                CREATE ROLE ann LOGIN; GRANT staff TO ann; CREATE ROLE carl LOGIN PASSWORD 'right'";
    rows(&admin, made).await.expect("roles");
    let of = |user: &str| format!("for host \"127.0.0.1\", user \"{user}\", database \"damson\", no encryption");
    let reject = ("28000".to_owned(), format!("pg_hba.conf rejects connection {}", of("eve")));
    assert_eq!(refused(&cluster, "eve", "right").await, reject);
    // The same database under its other name.
    let postgres = config(&cluster, "eve", "right").dbname("postgres").connect(NoTls).await;
    assert_eq!(told(&postgres.err().expect("it is refused")).0, "28000");
    assert_eq!(
        refused(&cluster, "carl", "right").await,
        ("28000".into(), format!("no pg_hba.conf entry {}", of("carl")))
    );
    // The password itself, within the host.
    connect(&cluster, "bob", "right").await.expect("the right password");
    assert_eq!(refused(&cluster, "bob", "wrong").await.0, "28P01");
    let ann = connect(&cluster, "ann", "anything").await.expect("it is trusted");
    assert_eq!(rows(&ann, "SELECT current_user").await.unwrap(), ["ann"]);
}

/// Who guesses over one protocol waits over both.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_throttled() {
    let (_directory, mut cluster) = with_passwords();
    let inside = admin(&cluster).await;
    // Five are free, then a second passes, and two: after the next one it will be four.
    let (mut checked, mut unread, began) = (0, 0, Instant::now());
    while checked < 7 {
        match refused(&cluster, "damson", "wrong").await.0.as_str() {
            "28P01" => checked += 1,
            "53300" => unread += 1,
            other => panic!("{other}"),
        }
    }
    assert!(unread > 0 && began.elapsed() >= Duration::from_secs(3), "{unread} in {:?}", began.elapsed());
    let (state, message) = refused(&cluster, "damson", ADMIN).await;
    assert!(state == "53300" && message.starts_with("too many failed attempts to log in as \"damson\""), "{message}");
    let mut shell = cluster.shell().command("csv", &["--user", "damson", "-c", "SELECT 1"]);
    let output = shell.env("DAMSON_PASSWORD", ADMIN).output().expect("the shell runs");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("too many failed attempts"));
    assert_eq!(rows(&inside, "SELECT 1").await.unwrap(), ["1"], "who is in stays in");
    let logged = cluster.master().stderr().lines().filter(|l| l.contains("password authentication failed")).count();
    assert_eq!(logged, checked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_sessions() {
    let (_directory, cluster) = with_passwords();
    let admin = admin(&cluster).await;
    let made = "CREATE TABLE t (a int) DISTRIBUTED BY (a); CREATE ROLE ann LOGIN PASSWORD 'right'; \
                CREATE ROLE bob LOGIN PASSWORD 'right'; GRANT INSERT ON t TO ann";
    rows(&admin, made).await.expect("roles");
    let [ann, bob] = ["ann", "bob"].map(|user| connect(&cluster, user, "right"));
    let (ann, bob) = (ann.await.expect("the right password"), bob.await.expect("the right password"));

    let cancel = async {
        let pid = long_running(&admin).await;
        let seen = format!("SELECT usename, query FROM pg_stat_activity WHERE pid = {pid}");
        assert_eq!(rows(&bob, &seen).await.unwrap(), ["ann|<insufficient privilege>"]);
        for function in ["pg_cancel_backend", "pg_terminate_backend"] {
            assert_eq!(state_of(&bob, &format!("SELECT {function}({pid})")).await, "42501");
        }
        assert_eq!(rows(&admin, &format!("SELECT pg_cancel_backend({pid})")).await.unwrap(), ["t"]);
    };
    let (ended, ()) = tokio::join!(tokio::time::timeout(WITHIN, ann.simple_query(LONG)), cancel);
    assert_eq!(told(&ended.expect("it ends").expect_err("it was cancelled")).0, "57014");
    assert_eq!(rows(&ann, "SELECT 1").await.unwrap(), ["1"], "the session goes on");

    // In a transaction that runs a statement, and in one that waits for the client's rows.
    rows(&ann, "BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let terminate = async {
        let pid = long_running(&admin).await;
        assert_eq!(rows(&admin, &format!("SELECT pg_terminate_backend({pid})")).await.unwrap(), ["t"]);
    };
    let (ended, ()) = tokio::join!(tokio::time::timeout(WITHIN, ann.simple_query(LONG)), terminate);
    let ended = ended.expect("it ends").expect_err("the session was ended");
    assert_eq!(told(&ended), ("57P01", "terminating connection due to administrator command"));
    let copying = connect(&cluster, "ann", "right").await.expect("the right password");
    let pid = rows(&copying, "SELECT pg_backend_pid()").await.unwrap().remove(0);
    let sink = copying.copy_in::<_, bytes::Bytes>("COPY t FROM STDIN").await.expect("it may be written");
    assert_eq!(rows(&admin, &format!("SELECT pg_terminate_backend({pid})")).await.unwrap(), ["t"]);
    futures::pin_mut!(sink);
    assert!(tokio::time::timeout(WITHIN, sink.as_mut().finish()).await.expect("it ends").is_err());
    for client in [&ann, &copying] {
        let closed = async {
            while !client.is_closed() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(WITHIN, closed).await.expect("the connection is closed");
    }
    let free = async {
        while rows(&admin, "SELECT count(*) FROM pg_locks").await.unwrap() != ["0"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, free).await.expect("their transactions have ended");
    assert_eq!(rows(&admin, "SELECT count(*) FROM t").await.unwrap(), ["0"]);
    assert_eq!(rows(&admin, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'ann'").await.unwrap(), ["0"]);
    assert_eq!(rows(&admin, &format!("SELECT pg_terminate_backend({pid})")).await.unwrap(), ["f"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_has_no_more_sessions_than_its_limit() {
    let (_directory, cluster) = with_passwords();
    let admin = admin(&cluster).await;
    rows(&admin, "CREATE ROLE ann LOGIN PASSWORD 'right' CONNECTION LIMIT 1").await.unwrap();
    let first = connect(&cluster, "ann", "right").await.expect("the first");
    let full = ("53300".to_owned(), "too many connections for role \"ann\"".to_owned());
    assert_eq!(refused(&cluster, "ann", "right").await, full);
    drop(first);
    let again = async {
        while connect(&cluster, "ann", "right").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, again).await.expect("its place is free");
}
