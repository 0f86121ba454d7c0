//! Bulk ingest of Flight SQL, by arrow-flight's own client. ADBC's is in `clients.rs`.

use crate::clients::connect;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandStatementIngest, EndTransaction, SqlInfo, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use damson_tests::processes::{ProcessCluster, Shell, wait_for};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Int32Array,
    Int64Array, LargeStringArray, ListArray, NullArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt32Array, UInt64Array, UnionArray,
};
use datafusion::arrow::datatypes::Int32Type;
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;

type Client = FlightSqlServiceClient<Channel>;

const CREATE: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Create, TableExistsOption::Fail);
const APPEND: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Fail, TableExistsOption::Append);
const REPLACE: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Create, TableExistsOption::Replace);
const EITHER: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Create, TableExistsOption::Append);
const NEVER: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Fail, TableExistsOption::Fail);
const UNSAID: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Unspecified, TableExistsOption::Append);

const WITHIN: Duration = Duration::from_secs(30);

async fn logged_in(cluster: &ProcessCluster) -> Client {
    let mut client = connect(cluster.client_address()).await;
    client.handshake("somebody", "").await.expect("a session");
    client
}

fn command(table: &str, (if_not_exist, if_exists): (TableNotExistOption, TableExistsOption)) -> CommandStatementIngest {
    let options = TableDefinitionOptions { if_not_exist: if_not_exist as i32, if_exists: if_exists as i32 };
    CommandStatementIngest {
        table_definition_options: Some(options),
        table: table.into(),
        schema: None,
        catalog: None,
        temporary: false,
        transaction_id: None,
        options: [].into(),
    }
}

fn rows<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    let columns = columns.map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

fn ints(values: impl IntoIterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

fn texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

async fn ingest(
    client: &mut Client,
    command: CommandStatementIngest,
    batches: Vec<RecordBatch>,
) -> Result<i64, FlightError> {
    client.execute_ingest(command, stream::iter(batches.into_iter().map(Ok))).await
}

/// SQLSTATE and message of what must fail.
async fn refused(client: &mut Client, command: CommandStatementIngest, batches: Vec<RecordBatch>) -> (String, String) {
    match ingest(client, command, batches).await {
        Err(FlightError::Tonic(status)) => {
            let state = status.metadata().get("sqlstate").map(|state| state.to_str().expect("text").to_owned());
            (state.unwrap_or_default(), status.message().to_owned())
        }
        other => panic!("{other:?}"),
    }
}

fn has_table(shell: &Shell, name: &str) -> bool {
    shell.value(&format!("SELECT count(*) FROM information_schema.tables WHERE table_name = '{name}'")) == "1"
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_makes_its_table_or_adds_to_it_as_it_says() {
    let cluster = ProcessCluster::start(2);
    let (shell, mut client) = (cluster.shell(), logged_in(&cluster).await);
    let some = || vec![rows([("k", ints(1..=3)), ("w", texts([Some("a"), None, Some("c")]))])];
    let count = |table: &str| shell.value(&format!("SELECT count(*) FROM {table}"));

    assert_eq!(refused(&mut client, command("t", APPEND), some()).await.0, "42P01");
    assert_eq!(refused(&mut client, command("t", NEVER), some()).await.0, "42P01");
    assert!(!has_table(&shell, "t"));
    assert_eq!(ingest(&mut client, command("t", CREATE), some()).await.unwrap(), 3);
    assert_eq!(shell.rows("SELECT k, w FROM t ORDER BY k"), [["1", "a"], ["2", ""], ["3", "c"]]);
    assert_eq!(shell.value("SELECT count(*) FROM t WHERE w IS NULL"), "1");
    for mode in [CREATE, NEVER] {
        let (state, message) = refused(&mut client, command("t", mode), some()).await;
        assert_eq!(state, "42P07", "{message}");
    }
    assert_eq!(refused(&mut client, command("t", UNSAID), some()).await.0, "08P01");
    assert_eq!(count("t"), "3");
    assert_eq!(ingest(&mut client, command("t", APPEND), some()).await.unwrap(), 3);
    assert_eq!(ingest(&mut client, command("t", EITHER), [some(), some()].concat()).await.unwrap(), 6);
    assert_eq!(count("t"), "12");
    // Other columns: it is another table.
    let others = vec![rows([("Other", ints([7]))])];
    assert_eq!(ingest(&mut client, command("t", REPLACE), others).await.unwrap(), 1);
    assert_eq!(shell.value("SELECT \"Other\" FROM t"), "7");
    assert_eq!(ingest(&mut client, command("Mixed Case", REPLACE), some()).await.unwrap(), 3);
    assert_eq!(count("\"Mixed Case\""), "3");
    // No rows are a table, too.
    let none = vec![rows([("k", ints([])), ("w", texts([]))])];
    assert_eq!(ingest(&mut client, command("empty", EITHER), none).await.unwrap(), 0);
    assert_eq!(count("empty"), "0");

    shell.execute("CREATE SCHEMA s");
    let within = |schema: &str| CommandStatementIngest { schema: Some(schema.into()), ..command("t", CREATE) };
    let named = CommandStatementIngest { catalog: Some("damson".into()), ..within("s") };
    assert_eq!(ingest(&mut client, named, some()).await.unwrap(), 3);
    assert_eq!(count("s.t"), "3");
    assert_eq!(refused(&mut client, within("absent"), some()).await.0, "3F000");
    let elsewhere = CommandStatementIngest { catalog: Some("postgres".into()), ..command("u", CREATE) };
    assert_eq!(refused(&mut client, elsewhere, some()).await.0, "0A000");
    let temporary = CommandStatementIngest { temporary: true, ..command("u", CREATE) };
    assert_eq!(refused(&mut client, temporary, some()).await.0, "0A000");
    assert!(!has_table(&shell, "u"));

    // What is no table, or has something that depends on it.
    shell.execute("CREATE VIEW v AS SELECT k FROM s.t");
    for mode in [APPEND, REPLACE] {
        assert_eq!(refused(&mut client, command("v", mode), some()).await.0, "42809", "{mode:?}");
    }
    let replaced = CommandStatementIngest { schema: Some("s".into()), ..command("t", REPLACE) };
    assert_eq!(refused(&mut client, replaced, some()).await.0, "2BP01");
    assert_eq!(count("v"), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_that_fails_leaves_nothing() {
    let cluster = ProcessCluster::start(2);
    let (shell, mut client) = (cluster.shell(), logged_in(&cluster).await);
    shell.execute(
        "CREATE TABLE t (k int PRIMARY KEY, w text NOT NULL, n smallint DEFAULT 7 CHECK (n <> 13)) DISTRIBUTED BY (k);
         INSERT INTO t VALUES (0, 'there', 1)",
    );
    let words = |n: usize| texts(vec![Some("w"); n]);
    let longs = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let good = || rows([("k", ints(1..=1_000)), ("w", words(1_000))]);
    let wrong = [
        ("42804", rows([("k", words(1)), ("w", words(1))])),
        ("42703", rows([("k", ints([1])), ("W", words(1))])),
        ("23502", rows([("k", ints([1_001])), ("w", texts([None]))])),
        ("23505", rows([("k", ints([500])), ("w", words(1))])),
        ("23505", rows([("k", ints([0])), ("w", words(1))])),
        ("23502", rows([("k", Arc::new(NullArray::new(1)) as ArrayRef), ("w", words(1))])),
    ];
    for (wanted, last) in wrong {
        // A stream has one schema: what is wrong with the columns is wrong from the beginning.
        let batches = if last.schema() == good().schema() { vec![good(), last] } else { vec![last] };
        let (state, message) = refused(&mut client, command("t", APPEND), batches).await;
        assert_eq!(state, wanted, "{message}");
    }
    let with_numbers = |k: i32, n: i64| vec![rows([("n", longs(vec![n])), ("w", words(1)), ("k", ints([k]))])];
    assert_eq!(refused(&mut client, command("t", APPEND), with_numbers(5, 100_000)).await.0, "22003");
    assert_eq!(refused(&mut client, command("t", APPEND), with_numbers(5, 13)).await.0, "23514");
    assert_eq!(shell.rows("SELECT * FROM t"), [["0", "there", "1"]]);

    // A table that is to be made, or replaced, is not, and stays.
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    let lists = vec![rows([("l", Arc::new(lists) as ArrayRef)])];
    assert_eq!(refused(&mut client, command("lists", CREATE), lists).await.0, "0A000");
    let twice = rows([("a", ints([1])), ("a", ints([1]))]);
    assert_eq!(refused(&mut client, command("twice", CREATE), vec![twice.clone()]).await.0, "42701");
    assert_eq!(refused(&mut client, command("t", REPLACE), vec![twice.clone()]).await.0, "42701");
    assert_eq!(refused(&mut client, command("t", APPEND), vec![twice]).await.0, "42703");
    assert!(!has_table(&shell, "lists") && !has_table(&shell, "twice"));
    assert_eq!(shell.rows("SELECT * FROM t"), [["0", "there", "1"]]);
    cluster.wait_until_clean();

    // A client that goes away in the middle.
    let mut other = logged_in(&cluster).await;
    let gone = other.execute_ingest(command("gone", CREATE), stream::iter([Ok(good())]).chain(stream::pending()));
    assert!(tokio::time::timeout(Duration::from_secs(2), gone).await.is_err(), "it waits for more rows");
    drop(other);
    wait_for("the statement's end", WITHIN, || {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'INGEST%'";
        (shell.value(running) == "0").then_some(())
    });
    assert!(!has_table(&shell, "gone"));
    assert_eq!(ingest(&mut client, command("gone", CREATE), vec![good()]).await.unwrap(), 1_000);

    // What is left out has its default; order is by name.
    assert_eq!(ingest(&mut client, command("t", APPEND), vec![good()]).await.unwrap(), 1_000);
    assert_eq!(ingest(&mut client, command("t", APPEND), with_numbers(-1, -9)).await.unwrap(), 1);
    assert_eq!(shell.value("SELECT count(*) FROM t WHERE n = 7 AND w = 'w'"), "1000");
    assert_eq!(shell.value("SELECT n FROM t WHERE k = -1"), "-9");
}

#[tokio::test(flavor = "multi_thread")]
async fn ingested_values_have_the_types_that_hold_them() {
    let cluster = ProcessCluster::start(2);
    let (shell, mut client) = (cluster.shell(), logged_in(&cluster).await);
    let money = Decimal128Array::from(vec![Some(-150), None]).with_precision_and_scale(10, 2).unwrap();
    let zoned = TimestampMicrosecondArray::from(vec![Some(1_500_000), None]).with_timezone("+02:00");
    let batch = rows([
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None])) as ArrayRef),
        ("u4", Arc::new(UInt32Array::from(vec![Some(u32::MAX), None]))),
        ("u8", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("r", Arc::new(Float32Array::from(vec![Some(1.5), None]))),
        ("m", Arc::new(money)),
        ("d", Arc::new(Date32Array::from(vec![Some(366), None]))),
        ("ts", Arc::new(TimestampNanosecondArray::from(vec![Some(1_500_000_000), None]))),
        ("tz", Arc::new(zoned)),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None]))),
        ("long", Arc::new(LargeStringArray::from(vec![Some("é"), None]))),
        ("nothing", Arc::new(NullArray::new(2))),
    ]);
    assert_eq!(ingest(&mut client, command("t", CREATE), vec![batch.clone()]).await.unwrap(), 2);
    let types =
        shell.rows("SELECT data_type FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position");
    let wanted = [
        "boolean",
        "bigint",
        "numeric",
        "real",
        "numeric",
        "date",
        "timestamp without time zone",
        "timestamp with time zone",
        "bytea",
        "text",
        "text",
    ];
    assert_eq!(types.concat(), wanted);
    let values = shell.rows(
        "SELECT b::text, u4, u8, r, m, d::text, ts::text, tz::text, encode(bytes, 'hex'), long, nothing FROM t WHERE b",
    );
    let wanted = [
        "true",
        "4294967295",
        "18446744073709551615",
        "1.5",
        "-1.50",
        "1971-01-02",
        "1970-01-01 00:00:01.5",
        "1970-01-01 00:00:01.5+00",
        "00ff",
        "é",
        "",
    ];
    assert_eq!(values, [wanted]);
    let nulls = "SELECT count(*) FROM t WHERE b IS NULL AND u4 IS NULL AND u8 IS NULL AND r IS NULL AND m IS NULL AND d IS NULL \
                 AND ts IS NULL AND tz IS NULL AND bytes IS NULL AND long IS NULL AND nothing IS NULL";
    assert_eq!(shell.value(nulls), "1");

    // Any table's rows can come so, wherever they lie; and sequences give what is not sent.
    shell.execute(
        "CREATE TABLE random (k int, id bigint GENERATED BY DEFAULT AS IDENTITY) DISTRIBUTED RANDOMLY;
         CREATE TABLE copies (k int, n serial) DISTRIBUTED REPLICATED;
         CREATE TABLE always (k int, id int GENERATED ALWAYS AS IDENTITY) DISTRIBUTED BY (k)",
    );
    let many = || vec![rows([("k", ints(0..20_000))])];
    for (table, sequence) in [("random", "id"), ("copies", "n"), ("always", "id")] {
        assert_eq!(ingest(&mut client, command(table, APPEND), many()).await.unwrap(), 20_000, "{table}");
        let counted =
            format!("SELECT count(DISTINCT k) || ' ' || count(DISTINCT {sequence}) || ' ' || count(*) FROM {table}");
        assert_eq!(shell.value(&counted), "20000 20000 20000", "{table}");
    }
    let given = vec![rows([("k", ints([1])), ("id", ints([1]))])];
    assert_eq!(refused(&mut client, command("always", APPEND), given).await.0, "428C9");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_is_part_of_its_transaction_and_of_its_role() {
    let cluster = ProcessCluster::start(1);
    let (shell, mut client) = (cluster.shell(), logged_in(&cluster).await);
    let some = || vec![rows([("k", ints(1..=3))])];
    let transaction = client.begin_transaction().await.unwrap();
    let within =
        |table: &str| CommandStatementIngest { transaction_id: Some(transaction.clone()), ..command(table, EITHER) };
    assert_eq!(ingest(&mut client, within("t"), some()).await.unwrap(), 3);
    assert_eq!(ingest(&mut client, within("t"), some()).await.unwrap(), 3);
    assert!(!has_table(&shell, "t"));
    client.end_transaction(transaction.clone(), EndTransaction::Rollback).await.unwrap();
    assert!(!has_table(&shell, "t"));
    assert_eq!(refused(&mut client, within("t"), some()).await.0, "25P01");

    let transaction = client.begin_transaction().await.unwrap();
    let within = CommandStatementIngest { transaction_id: Some(transaction.clone()), ..command("t", CREATE) };
    assert_eq!(ingest(&mut client, within, some()).await.unwrap(), 3);
    client.end_transaction(transaction, EndTransaction::Commit).await.unwrap();
    assert_eq!(shell.value("SELECT count(*) FROM t"), "3");

    shell.execute(
        "CREATE ROLE writer; CREATE ROLE reader; CREATE SCHEMA theirs;
         GRANT INSERT ON t TO writer; GRANT SELECT ON t TO reader; GRANT USAGE, CREATE ON SCHEMA theirs TO writer",
    );
    let theirs = |mode| CommandStatementIngest { schema: Some("theirs".into()), ..command("t", mode) };
    client.execute_update("SET ROLE writer".into(), None).await.unwrap();
    assert_eq!(ingest(&mut client, command("t", APPEND), some()).await.unwrap(), 3);
    assert_eq!(refused(&mut client, command("t", REPLACE), some()).await.0, "42501");
    for _ in 0..2 {
        assert_eq!(ingest(&mut client, theirs(REPLACE), some()).await.unwrap(), 3);
    }
    client.execute_update("SET ROLE reader".into(), None).await.unwrap();
    for refusal in [command("t", APPEND), theirs(APPEND), theirs(REPLACE)] {
        assert_eq!(refused(&mut client, refusal.clone(), some()).await.0, "42501", "{refusal:?}");
    }
    assert_eq!(shell.value("SELECT count(*) FROM t"), "6");
    client.execute_update("RESET ROLE".into(), None).await.unwrap();
    client.execute_update("SET default_transaction_read_only = on".into(), None).await.unwrap();
    assert_eq!(refused(&mut client, command("t", APPEND), some()).await.0, "25006");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_do_not_pile_up_at_the_master() {
    const BATCHES: i64 = 200;
    const ROWS: i64 = 5_000;
    const TEXT_BYTES: usize = 300;
    let mut cluster = ProcessCluster::start(2);
    let (shell, mut client) = (cluster.shell(), logged_in(&cluster).await);
    let batch = |number: i64| {
        let keys: Vec<i64> = (number * ROWS..(number + 1) * ROWS).collect();
        let words: StringArray = keys.iter().map(|k| Some(format!("{k:0>TEXT_BYTES$}"))).collect();
        rows([("k", Arc::new(Int64Array::from(keys)) as ArrayRef), ("w", Arc::new(words))])
    };
    // The first one loads what is needed but once.
    assert_eq!(ingest(&mut client, command("t", CREATE), vec![batch(BATCHES)]).await.unwrap(), ROWS);
    let before = cluster.master().rss_bytes();
    cluster.master().forget_rss_peak();
    let sent =
        client.execute_ingest(command("t", APPEND), stream::iter((0..BATCHES).map(move |number| Ok(batch(number)))));
    assert_eq!(sent.await.unwrap(), BATCHES * ROWS);
    let grown = cluster.master().rss_peak_bytes().saturating_sub(before);
    let all = (BATCHES * ROWS) as u64 * TEXT_BYTES as u64;
    assert!(grown < all / 2, "{grown} bytes of {all}");
    assert_eq!(shell.value("SELECT count(DISTINCT k) || ' ' || min(k) || ' ' || max(k) FROM t"), "1005000 0 1004999");
    assert_eq!(shell.value("SELECT count(*) FROM t WHERE right(w, 10)::bigint = k"), "1005000");
    assert_eq!(shell.value("SELECT count(DISTINCT gp_segment_id) FROM t"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_that_it_ingests() {
    let cluster = ProcessCluster::start(1);
    let mut client = logged_in(&cluster).await;
    let asked = vec![SqlInfo::FlightSqlServerBulkIngestion, SqlInfo::FlightSqlServerIngestTransactionsSupported];
    let info = client.get_sql_info(asked).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().expect("a ticket");
    let batches: Vec<RecordBatch> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    let values = batches[0].column(1).as_any().downcast_ref::<UnionArray>().expect("a union");
    assert_eq!(values.len(), 2);
    assert!((0..2).all(|row| values.value(row).as_boolean().value(0)));
}
