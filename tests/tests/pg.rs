//! The PostgreSQL protocol, from outside: tokio-postgres, and bytes that no client sends.

use crate::pg_bytes::{error_of, message, opening, read_to};
use damson_tests::TestCluster;
use futures::{SinkExt, TryStreamExt};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};

/// What waits for an answer longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Takes an hour, if nobody ends it.
const LONG: &str = "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y) \
                    WHERE x * 7 % 11 = y % 13";

struct Server {
    cluster: TestCluster,
    address: SocketAddr,
}

impl Server {
    async fn start() -> Self {
        let cluster = TestCluster::start(2).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        cluster.cluster().serve_postgres(listener).expect("it is served");
        Server { cluster, address }
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.address.port()).user("alice").dbname("damson").application_name("tests");
        config
    }

    async fn connect(&self) -> Client {
        let (client, connection) = self.config().connect(NoTls).await.expect("it lets anybody of this machine in");
        // Ends with the client.
        tokio::spawn(connection);
        client
    }

    async fn stop(self) {
        self.cluster.shutdown().await;
    }
}

fn sqlstate(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("", |code| code.code())
}

fn rows(messages: &[SimpleQueryMessage]) -> Vec<&SimpleQueryRow> {
    messages.iter().filter_map(|m| if let SimpleQueryMessage::Row(row) = m { Some(row) } else { None }).collect()
}

/// The only value of a script's only row.
async fn value(client: &Client, sql: &str) -> Option<String> {
    let messages = client.simple_query(sql).await.expect(sql);
    let rows = rows(&messages);
    assert_eq!(rows.len(), 1, "{sql}");
    rows[0].get(0).map(str::to_owned)
}

/// A value's bytes, of any type.
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Each value as text, its type, and in binary: as PostgreSQL 14 has them.
const VALUES: [(&str, &str, Type, &[u8]); 17] = [
    ("true", "t", Type::BOOL, &[1]),
    ("(-7)::smallint", "-7", Type::INT2, &[0xff, 0xf9]),
    ("7::int", "7", Type::INT4, &[0, 0, 0, 7]),
    ("7::bigint", "7", Type::INT8, &[0, 0, 0, 0, 0, 0, 0, 7]),
    ("1.5::real", "1.5", Type::FLOAT4, &[0x3f, 0xc0, 0, 0]),
    ("1e15::double precision", "1e+15", Type::FLOAT8, &[0x43, 0x0c, 0x6b, 0xf5, 0x26, 0x34, 0, 0]),
    ("1.50::numeric(15,2)", "1.50", Type::NUMERIC, &[0, 2, 0, 0, 0, 0, 0, 2, 0, 1, 0x13, 0x88]),
    ("'é'::text", "é", Type::TEXT, &[0xc3, 0xa9]),
    ("'\\x00ff'::bytea", "\\x00ff", Type::BYTEA, &[0, 0xff]),
    ("date '1970-01-01'", "1970-01-01", Type::DATE, &[0xff, 0xff, 0xd5, 0x33]),
    ("time '00:00:01.5'", "00:00:01.5", Type::TIME, &[0, 0, 0, 0, 0, 0x16, 0xe3, 0x60]),
    ("timestamp '2000-01-01 00:00:01'", "2000-01-01 00:00:01", Type::TIMESTAMP, &[0, 0, 0, 0, 0, 0x0f, 0x42, 0x40]),
    (
        "timestamptz '2000-01-01 00:00:01+00'",
        "2000-01-01 00:00:01+00",
        Type::TIMESTAMPTZ,
        &[0, 0, 0, 0, 0, 0x0f, 0x42, 0x40],
    ),
    (
        "interval '1 month -2 days 3 seconds'",
        "1 mon -2 days +00:00:03",
        Type::INTERVAL,
        &[0, 0, 0, 0, 0, 0x2d, 0xc6, 0xc0, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1],
    ),
    ("NULL::int", "", Type::INT4, &[]),
    ("count(*)", "1", Type::INT8, &[0, 0, 0, 0, 0, 0, 0, 1]),
    ("''::text", "", Type::TEXT, &[]),
];

#[tokio::test(flavor = "multi_thread")]
async fn values_are_as_postgresql_writes_them() {
    let server = Server::start().await;
    let client = server.connect().await;
    for (expression, text, data_type, binary) in VALUES {
        let sql = format!("SELECT {expression}");
        let is_null = expression.starts_with("NULL");
        assert_eq!(value(&client, &sql).await, (!is_null).then(|| text.to_owned()), "{sql}");
        let row = client.query_one(&sql, &[]).await.expect(&sql);
        assert_eq!(*row.columns()[0].type_(), data_type, "{sql}");
        let raw: Option<Raw> = row.get(0);
        assert_eq!(raw.map(|raw| raw.0), (!is_null).then(|| binary.to_vec()), "{sql}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_have_types_of_their_own_or_of_the_statement() {
    let server = Server::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (id int, name text, price numeric(10,2)) DISTRIBUTED BY (id)").await.unwrap();
    let insert = client.prepare("INSERT INTO t (id, name) VALUES ($1, $2)").await.unwrap();
    assert_eq!(insert.params(), [Type::INT4, Type::TEXT]);
    for id in 1..=5i32 {
        assert_eq!(client.execute(&insert, &[&id, &format!("row {id}")]).await.unwrap(), 1);
    }
    assert_eq!(client.execute(&insert, &[&6i32, &None::<String>]).await.unwrap(), 1);
    let found = client.query("SELECT name FROM t WHERE id = $1", &[&3i32]).await.unwrap();
    assert_eq!(found[0].get::<_, String>(0), "row 3");
    let text = client.query_one("SELECT $1", &[&"x"]).await.unwrap();
    assert_eq!(text.get::<_, String>(0), "x");
    let typed = client.prepare_typed("SELECT $1 + 1", &[Type::INT8]).await.unwrap();
    assert_eq!(client.query_one(&typed, &[&41i64]).await.unwrap().get::<_, i64>(0), 42);
    assert_eq!(client.execute("DELETE FROM t WHERE id > $1", &[&4i32]).await.unwrap(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_one_transaction() {
    let server = Server::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (id int) DISTRIBUTED BY (id)").await.unwrap();
    let failed = client.batch_execute("INSERT INTO t VALUES (1); SELECT 1 / 0; INSERT INTO t VALUES (2)").await;
    assert_eq!(sqlstate(&failed.unwrap_err()), "22012");
    assert_eq!(value(&client, "SELECT count(*) FROM t").await.as_deref(), Some("0"));
    client.batch_execute("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM t").await.as_deref(), Some("2"));
    // What COMMIT has ended stays; BEGIN makes the rest the client's own.
    let failed = client.batch_execute("INSERT INTO t VALUES (3); COMMIT; INSERT INTO t VALUES (4); SELECT 1 / 0").await;
    assert_eq!(sqlstate(&failed.unwrap_err()), "22012");
    assert_eq!(value(&client, "SELECT count(*) FROM t").await.as_deref(), Some("3"));
    client.batch_execute("INSERT INTO t VALUES (5); BEGIN; INSERT INTO t VALUES (6)").await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM t").await.as_deref(), Some("3"));
    assert!(rows(&client.simple_query(" ; -- nothing").await.unwrap()).is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_failed_takes_nothing_but_its_end() {
    let server = Server::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (id int) DISTRIBUTED BY (id)").await.unwrap();
    client.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let error = client.query("SELECT no FROM t", &[]).await.unwrap_err();
    let told = error.as_db_error().expect("the server's");
    assert_eq!(told.code().code(), "42703");
    assert!(told.position().is_some(), "{told:?}");
    for sql in ["SELECT 1", "INSERT INTO t VALUES (2)"] {
        assert_eq!(sqlstate(&client.simple_query(sql).await.unwrap_err()), "25P02", "{sql}");
        assert_eq!(sqlstate(&client.query(sql, &[]).await.unwrap_err()), "25P02", "{sql}");
    }
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM t").await.as_deref(), Some("0"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_give_so_many_rows_and_go_on() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let transaction = client.transaction().await.unwrap();
    let portal =
        transaction.bind("SELECT x::int FROM generate_series(1, 20000) AS g(x) ORDER BY 1", &[]).await.unwrap();
    let mut seen = 0i32;
    for wanted in [1, 7, 9_000] {
        let rows = transaction.query_portal(&portal, wanted).await.unwrap();
        assert_eq!(rows.len(), wanted as usize);
        for row in rows {
            seen += 1;
            assert_eq!(row.get::<_, i32>(0), seen);
        }
    }
    // Others run beside it.
    assert_eq!(transaction.query_one("SELECT 1::int", &[]).await.unwrap().get::<_, i32>(0), 1);
    let rest = transaction.query_portal(&portal, 0).await.unwrap();
    assert_eq!(rest.len() as i32, 20_000 - seen);
    transaction.commit().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_go_on_where_they_were() {
    let server = Server::start().await;
    let client = server.connect().await;
    let declare = "DECLARE c CURSOR FOR SELECT x::int FROM generate_series(1, 5000) AS g(x) ORDER BY 1";
    assert_eq!(sqlstate(&client.batch_execute(declare).await.unwrap_err()), "25P01");
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(declare).await.unwrap();
    let fetched = async |sql: &str| {
        let messages = client.simple_query(sql).await.expect(sql);
        rows(&messages).iter().map(|row| row.get(0).expect("no NULL").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(fetched("FETCH 2 FROM c").await, ["1", "2"]);
    assert_eq!(fetched("FETCH c").await, ["3"]);
    assert!(fetched("MOVE FORWARD 10 IN c").await.is_empty());
    assert_eq!(fetched("FETCH NEXT FROM c").await, ["14"]);
    assert_eq!(fetched("FETCH ALL FROM c").await.len(), 5000 - 14);
    assert!(fetched("FETCH ALL FROM c").await.is_empty());
    client.batch_execute("CLOSE c; DECLARE d CURSOR FOR SELECT 7::int").await.unwrap();
    let binary = client.query("FETCH FORWARD 5 FROM d", &[]).await.unwrap();
    assert_eq!(binary.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [7]);
    // The values that DECLARE is bound to are its query's.
    client
        .execute("DECLARE e CURSOR FOR SELECT x FROM generate_series(1, 9) AS g(x) WHERE x > $1 ORDER BY 1", &[&7i64])
        .await
        .unwrap();
    assert_eq!(fetched("FETCH ALL FROM e").await, ["8", "9"]);
    client.batch_execute("COMMIT; BEGIN").await.unwrap();
    assert_eq!(sqlstate(&client.simple_query("FETCH d").await.unwrap_err()), "34000");
    client.batch_execute("ROLLBACK").await.unwrap();
    client.batch_execute("DISCARD ALL").await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_ends_the_statement_and_nothing_else() {
    let server = Server::start().await;
    let client = server.connect().await;
    let cancel = client.cancel_token();
    // Until it has come while the statement runs.
    let cancelled = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            cancel.cancel_query(NoTls).await.unwrap();
        }
    };
    let ended = tokio::select! {
        ended = tokio::time::timeout(ANSWER_MAX, client.simple_query(LONG)) => ended,
        () = cancelled => unreachable!("it goes on"),
    };
    assert_eq!(sqlstate(&ended.expect("it ends").unwrap_err()), "57014");

    // Nothing runs: nothing is cancelled. The server closes the request's connection when it has looked at it.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&opening()).await.unwrap();
    let opened = read_to(&mut stream, Some(b'Z')).await;
    let (_, key) = opened.iter().find(|(kind, _)| *kind == b'K').expect("a key");
    let mut request = TcpStream::connect(server.address).await.unwrap();
    let cancel = message(b' ', &[b"\x04\xd2\x16\x2e".as_slice(), key].concat());
    request.write_all(&cancel[1..]).await.unwrap();
    assert_eq!(read_to(&mut request, None).await, []);
    stream.write_all(&message(b'Q', b"SELECT 1\0")).await.unwrap();
    assert_eq!(error_of(&read_to(&mut stream, Some(b'Z')).await), None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_at_its_timeout() {
    let server = Server::start().await;
    let client = server.connect().await;
    client.batch_execute("SET statement_timeout = '300ms'").await.unwrap();
    for sql in [LONG, "SELECT pg_sleep(3600)"] {
        let ended = tokio::time::timeout(ANSWER_MAX, client.simple_query(sql)).await.expect("it ends").unwrap_err();
        let error = ended.as_db_error().expect("the server's");
        assert_eq!((error.code().code(), error.message()), ("57014", "canceling statement due to statement timeout"));
        let ended = tokio::time::timeout(ANSWER_MAX, client.query(sql, &[])).await.expect("it ends").unwrap_err();
        assert_eq!(sqlstate(&ended), "57014");
    }
    // Of rows that have begun to come, too, and the block has failed.
    client.batch_execute("BEGIN").await.unwrap();
    let rows = "SELECT x FROM generate_series(1, 100000000000) AS g(x)";
    let ended = tokio::time::timeout(ANSWER_MAX, client.query(rows, &[])).await.expect("it ends").unwrap_err();
    assert_eq!(sqlstate(&ended), "57014");
    assert_eq!(sqlstate(&client.simple_query("SELECT 1").await.unwrap_err()), "25P02");
    client.batch_execute("ROLLBACK; SET statement_timeout = 0").await.unwrap();
    assert_eq!(value(&client, "SELECT pg_sleep(0.5)").await.as_deref(), Some(""));
    server.stop().await;
}

/// What COPY TO STDOUT gives.
async fn copied(client: &Client, sql: &str) -> String {
    let stream = client.copy_out(sql).await.expect(sql);
    let pieces: Vec<bytes::Bytes> = stream.try_collect().await.expect(sql);
    String::from_utf8(pieces.concat()).expect("UTF-8")
}

/// Rows that COPY FROM STDIN takes of pieces.
async fn copy_in(client: &Client, sql: &str, pieces: &[&str]) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in(sql).await?;
    tokio::pin!(sink);
    for piece in pieces {
        sink.send(bytes::Bytes::copy_from_slice(piece.as_bytes())).await?;
    }
    sink.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_copied_both_ways() {
    let server = Server::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (id int, name text, seen date) DISTRIBUTED BY (id)").await.unwrap();
    let text = ["1\ta\\tb\t2026-01-", "02\n2\t\\N\t\\N\n3", "\té\t1994-02-28\n"];
    assert_eq!(copy_in(&client, "COPY t FROM STDIN", &text).await.unwrap(), 3);
    let csv = ["name,id\n\"x,\"\"y\"\"\",4\n", ",5"];
    assert_eq!(copy_in(&client, "COPY t (name, id) FROM STDIN (FORMAT csv, HEADER)", &csv).await.unwrap(), 2);
    let by_id = "COPY (SELECT * FROM t ORDER BY id) TO STDOUT";
    let want = "1\ta\\tb\t2026-01-02\n2\t\\N\t\\N\n3\té\t1994-02-28\n4\tx,\"y\"\t\\N\n5\t\\N\t\\N\n";
    assert_eq!(copied(&client, by_id).await, want);
    let want = "id,name\n4,\"x,\"\"y\"\"\"\n";
    let sql = "COPY (SELECT id, name FROM t WHERE id = 4) TO STDOUT (FORMAT csv, HEADER)";
    assert_eq!(copied(&client, sql).await, want);
    assert_eq!(copied(&client, "COPY t (id) TO STDOUT").await.lines().count(), 5);
    for (bad, sqlstate_of) in [("6\tx\n", "22P04"), ("x\ty\t\\N\n", "22P02"), ("6\ty\tx\n", "22007")] {
        let failed = copy_in(&client, "COPY t FROM STDIN", &["7\tz\t\\N\n", bad]).await;
        assert_eq!(sqlstate(&failed.unwrap_err()), sqlstate_of, "{bad:?}");
    }
    // By a simple query: of the extended one, tokio-postgres takes the answer to its second Sync for another's.
    assert_eq!(sqlstate(&client.simple_query("COPY no FROM STDIN").await.unwrap_err()), "42P01");
    assert_eq!(value(&client, "SELECT count(*) FROM t").await.as_deref(), Some("5"));
    // In binary a row is the number of its values, and of each its length; the head comes with the first.
    let binary =
        b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
            .as_slice();
    let stream = client.copy_out("COPY (SELECT * FROM t WHERE id = 2) TO STDOUT (FORMAT binary)").await.unwrap();
    assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().concat(), binary);
    let sink = client.copy_in("COPY t FROM STDIN (FORMAT binary)").await.unwrap();
    tokio::pin!(sink);
    for piece in binary.chunks(5) {
        sink.send(bytes::Bytes::from_static(piece)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 1);
    assert_eq!(value(&client, "SELECT count(*) FROM t WHERE id = 2 AND name IS NULL").await.as_deref(), Some("2"));
    client.batch_execute("DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (2)").await.unwrap();
    // Columns that do not come have their defaults; numbers are rounded as by INSERT; what is wrong leaves nothing.
    client
        .batch_execute(
            "CREATE TABLE n (k int PRIMARY KEY, n numeric(5, 2), d int DEFAULT 7 CHECK (d < 9)) DISTRIBUTED BY (k)",
        )
        .await
        .unwrap();
    assert_eq!(copy_in(&client, "COPY n (n, k) FROM STDIN", &["1.005\t1\n\\N\t2\n"]).await.unwrap(), 2);
    let by_key = "COPY (SELECT * FROM n ORDER BY k) TO STDOUT";
    assert_eq!(copied(&client, by_key).await, "1\t1.01\t7\n2\t\\N\t7\n");
    for (bad, sqlstate_of) in
        [("4\t1234.5\t1\n", "22003"), ("1\t1\t1\n", "23505"), ("4\t1\t9\n", "23514"), ("\\N\t1\t1\n", "23502")]
    {
        let failed = copy_in(&client, "COPY n FROM STDIN", &["3\t1\t1\n", bad]).await;
        assert_eq!(sqlstate(&failed.unwrap_err()), sqlstate_of, "{bad:?}");
    }
    assert_eq!(copied(&client, by_key).await, "1\t1.01\t7\n2\t\\N\t7\n");
    let failed = copy_in(&client, "COPY n FROM STDIN", &["3\t1\t1\n4\tx\t1\n"]).await.unwrap_err();
    let error = failed.as_db_error().expect("the server's");
    assert_eq!((error.code().code(), error.detail()), ("22P02", Some("COPY n, line 2, column n: \"x\"")));
    // More than one piece.
    let many: String = (0..30_000).map(|id| format!("{}\tm\t\\N\n", id + 100)).collect();
    assert_eq!(copy_in(&client, "COPY t FROM STDIN", &[&many]).await.unwrap(), 30_000);
    assert_eq!(value(&client, "SELECT count(*) FROM t").await.as_deref(), Some("30005"));
    server.stop().await;
}

/// Why COPY FROM STDIN does not take rows: SQLSTATE, and the place that the detail tells.
async fn copy_refused(client: &Client, sql: &str, rows: &str) -> (String, String) {
    let error = copy_in(client, sql, &[rows]).await.expect_err(rows);
    let detail = error.as_db_error().and_then(|error| error.detail()).unwrap_or_default().to_owned();
    (sqlstate(&error).to_owned(), detail)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_client_copies_are_as_postgresql_takes_them() {
    let server = Server::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE c (a int NOT NULL, b varchar(3), r real) DISTRIBUTED BY (a)").await.unwrap();
    let (text, csv) = ("COPY c FROM STDIN", "COPY c FROM STDIN CSV");
    for (sql, rows, state, detail) in [
        (text, "1\ta\t1\n2\tb\t2\r\n", "22P04", "COPY c, line 2"),
        (text, "1\ta\t1\r\n2\tb\t2\n", "22P04", "COPY c, line 2"),
        (text, "1\ta\rb\t1\n", "22P04", "COPY c, line 1"),
        (text, "1\ta\t1\n2\tb\t2\n\\.x\n", "22P04", "COPY c, line 3"),
        (text, "1\tabcd\t1\n", "22001", "COPY c, line 1, column b: \"abcd\""),
        (text, "1\ta\t1\n\\N\tb\t2\n", "23502", "COPY c, line 2, column a: null input"),
        (text, "1\ta\t1e-50\n", "22003", "COPY c, line 1, column r: \"1e-50\""),
        (csv, "1,\"a\n\",1\nx,b,2\n", "22P02", "COPY c, line 3, column a: \"x\""),
        (csv, "1,a,1\n2,\"b,2\n3,c,3\n", "22P04", "COPY c, line 2"),
        (csv, "1,a,1\n\\.\n3,c,3\n", "22P04", "COPY c, line 2"),
        (csv, "1,a,1\n2,b,2\r\n", "22P04", "COPY c, line 2"),
    ] {
        let refused = copy_refused(&client, sql, rows).await;
        assert_eq!(refused, (state.to_owned(), detail.to_owned()), "{rows:?}");
    }
    assert_eq!(copy_in(&client, text, &["1\ta\t1\r2\tb  \t0e-50\r\\.\r3"]).await.unwrap(), 2);
    assert_eq!(copy_in(&client, csv, &["3,\\.,1\r\n4,d,1\r\n\\.\r\n"]).await.unwrap(), 2);
    let all = "1\ta\t1\n2\tb\t0\n3\t\\\\.\t1\n4\td\t1\n";
    assert_eq!(copied(&client, "COPY (SELECT a, trim(b), r FROM c ORDER BY a) TO STDOUT").await, all);

    // As COPY of files does.
    client
        .batch_execute("CREATE TABLE i (k bigint GENERATED ALWAYS AS IDENTITY, v text) DISTRIBUTED BY (k)")
        .await
        .unwrap();
    assert_eq!(copy_in(&client, "COPY i FROM STDIN", &["700\ta\n"]).await.unwrap(), 1);
    assert_eq!(copy_in(&client, "COPY i (v) FROM STDIN", &["b\n"]).await.unwrap(), 1);
    assert_eq!(value(&client, "SELECT count(*) FROM i WHERE k = 700 OR v = 'b'").await.as_deref(), Some("2"));

    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("out").display().to_string();
    let table = format!("CREATE WRITABLE EXTERNAL TABLE e (k int, v text) LOCATION ('{place}') FORMAT 'CSV'");
    client.batch_execute(&table).await.unwrap();
    assert_eq!(copy_in(&client, "COPY e FROM STDIN", &["1\ta\n2\tb\n"]).await.unwrap(), 2);
    let read = format!("CREATE EXTERNAL TABLE f (k int, v text) LOCATION ('{place}') FORMAT 'CSV'");
    client.batch_execute(&read).await.unwrap();
    assert_eq!(copied(&client, "COPY (SELECT * FROM f ORDER BY k) TO STDOUT").await, "1\ta\n2\tb\n");
    // A statement that fails leaves no files.
    assert_eq!(copy_refused(&client, "COPY e FROM STDIN", "3\tc\nx\ty\n").await.0, "22P02");
    assert_eq!(value(&client, "SELECT count(*) FROM f").await.as_deref(), Some("2"));
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(sqlstate(&client.simple_query("COPY e FROM STDIN").await.unwrap_err()), "25001");
    client.batch_execute("ROLLBACK").await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_of_arrays_and_records_are_texts() {
    let server = Server::start().await;
    let client = server.connect().await;
    for (expression, text) in [
        ("ARRAY[ARRAY[1, 2], ARRAY[3, 4]]", "{{1,2},{3,4}}"),
        ("ROW(1, 'a')", "(1,a)"),
        ("ROW(NULL, 'a b', ARRAY[1, 2])", "(,\"a b\",\"{1,2}\")"),
    ] {
        let sql = format!("SELECT {expression}");
        assert_eq!(value(&client, &sql).await.as_deref(), Some(text), "{sql}");
        let row = client.query_one(&sql, &[]).await.expect(&sql);
        assert_eq!(row.get::<_, String>(0), text, "{sql}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_come_with_the_opening() {
    let server = Server::start().await;
    let mut config = server.config();
    config.dbname("postgres").options("-c search_path=other -c lock_timeout=5s");
    let (client, connection) = config.connect(NoTls).await.expect("postgres is the same database");
    tokio::spawn(connection);
    assert_eq!(value(&client, "SHOW search_path").await.as_deref(), Some("other"));
    assert_eq!(value(&client, "SHOW application_name").await.as_deref(), Some("tests"));
    let refused = |config: Config| async move { config.connect(NoTls).await.err().expect("it is refused") };
    let mut config = server.config();
    config.dbname("nothing");
    assert_eq!(sqlstate(&refused(config).await), "3D000");
    let mut config = server.config();
    config.options("-c no_such_setting=1");
    assert_eq!(sqlstate(&refused(config).await), "42704");
    server.stop().await;
}

/// The number that a client is told at first is the one by which others end its session.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_has_its_sessions_number() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&opening()).await.unwrap();
    let told = read_to(&mut stream, Some(b'Z')).await;
    let (_, key) = told.iter().find(|(kind, _)| *kind == b'K').expect("BackendKeyData");
    let process = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
    stream.write_all(&message(b'Q', b"SELECT pg_backend_pid()\0")).await.unwrap();
    let answer = read_to(&mut stream, Some(b'Z')).await;
    let (_, row) = answer.iter().find(|(kind, _)| *kind == b'D').expect("a row");
    assert_eq!(String::from_utf8_lossy(&row[6..]), process.to_string());
    let other = server.connect().await;
    assert_eq!(value(&other, &format!("SELECT pg_terminate_backend({process})")).await.as_deref(), Some("t"));
    let farewell = tokio::time::timeout(ANSWER_MAX, read_to(&mut stream, None)).await.expect("it is closed");
    assert_eq!(error_of(&farewell).as_deref(), Some("57P01"));
    server.stop().await;
}

/// Of this machine. Roles are themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_demo_takes_any_name_for_the_administrators() {
    let server = Server::start().await;
    let as_whom = async |user: &str, database: &str| {
        let (client, connection) = server.config().user(user).dbname(database).connect(NoTls).await?;
        let is_superuser = connection.parameter("is_superuser") == Some("on");
        tokio::spawn(connection);
        let user = value(&client, "SELECT session_user").await.expect("a name");
        Ok::<_, tokio_postgres::Error>((user, is_superuser))
    };
    // psql says its user's name where it was told no database.
    for (user, database) in [("alice", "damson"), ("alice", "postgres"), ("alice", "alice"), ("damson", "postgres")] {
        assert_eq!(as_whom(user, database).await.unwrap(), ("damson".to_owned(), true), "{user} {database}");
    }
    assert_eq!(sqlstate(&as_whom("alice", "bob").await.unwrap_err()), "3D000");
    let client = server.connect().await;
    client.batch_execute("CREATE ROLE bob LOGIN; CREATE ROLE people").await.unwrap();
    assert_eq!(as_whom("bob", "damson").await.unwrap(), ("bob".to_owned(), false));
    assert_eq!(sqlstate(&as_whom("people", "damson").await.unwrap_err()), "28000");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_ends_the_connection_and_nothing_else() {
    let server = Server::start().await;
    let good = server.connect().await;
    let malformed = [
        message(b'!', b""),
        message(b'Q', b"SELECT 1"),
        message(b'P', b"\0SELECT 1\0\0\x05"),
        message(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0"),
        message(b'D', b"X\0"),
        message(b'S', b"too long"),
        b"Q\0\0\0\x01".to_vec(),
        b"Q\xff\xff\xff\xff".to_vec(),
    ];
    for bytes in malformed {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&opening()).await.unwrap();
        read_to(&mut stream, Some(b'Z')).await;
        stream.write_all(&bytes).await.unwrap();
        let answer = tokio::time::timeout(ANSWER_MAX, read_to(&mut stream, None)).await.expect("it is closed");
        assert_eq!(error_of(&answer).as_deref(), Some("08P01"), "{bytes:?}");
    }
    for bytes in [b"\0\0\0\x03".as_slice(), b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x09\0\x03\0\0x"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let answer = tokio::time::timeout(ANSWER_MAX, read_to(&mut stream, None)).await.expect("it is closed");
        assert_eq!(error_of(&answer).as_deref(), Some("08P01"), "{bytes:?}");
    }
    assert_eq!(value(&good, "SELECT 1").await.as_deref(), Some("1"));
    server.stop().await;
}

/// Statements that are sent without waiting are one transaction up to Sync; after an error the rest is left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_one_transaction() {
    let server = Server::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (id int) DISTRIBUTED BY (id)").await.unwrap();
    let statement = |text: &str| {
        let parse = message(b'P', &[b"\0", text.as_bytes(), b"\0\0\0"].concat());
        [parse, message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0")].concat()
    };
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&opening()).await.unwrap();
    read_to(&mut stream, Some(b'Z')).await;
    let sync = message(b'S', b"");
    let failing = ["INSERT INTO t VALUES (1)", "SELECT 1 / 0", "INSERT INTO t VALUES (2)"].map(statement).concat();
    stream.write_all(&[failing, sync.clone()].concat()).await.unwrap();
    let answer = read_to(&mut stream, Some(b'Z')).await;
    assert_eq!(error_of(&answer).as_deref(), Some("22012"));
    assert_eq!(answer.iter().filter(|(kind, _)| *kind == b'C').count(), 1, "{answer:?}");
    assert_eq!(answer.last().map(|(_, state)| state.as_slice()), Some(b"I".as_slice()));
    assert_eq!(value(&client, "SELECT count(*) FROM t").await.as_deref(), Some("0"));
    let working = ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"].map(statement).concat();
    stream.write_all(&[working, sync].concat()).await.unwrap();
    assert_eq!(error_of(&read_to(&mut stream, Some(b'Z')).await), None);
    assert_eq!(value(&client, "SELECT count(*) FROM t").await.as_deref(), Some("2"));
    server.stop().await;
}

/// A client that goes in the middle leaves no block behind, and its statement ends.
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_leaves_nothing() {
    let server = Server::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (id int) DISTRIBUTED BY (id)").await.unwrap();
    let gone = server.connect().await;
    gone.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
    drop(gone);
    client.batch_execute("SET lock_timeout = '30s'; INSERT INTO t VALUES (1)").await.expect("the lock is free");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&opening()).await.unwrap();
    read_to(&mut stream, Some(b'Z')).await;
    stream.write_all(&message(b'Q', &[LONG.as_bytes(), b"\0"].concat())).await.unwrap();
    let until = |runs: bool| {
        let cluster = server.cluster.cluster();
        let changed = async move {
            while (cluster.memory_reserved() > 0) != runs {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(ANSWER_MAX, changed)
    };
    until(true).await.expect("it runs");
    drop(stream);
    until(false).await.expect("the statement ends with its client");
    server.stop().await;
}
