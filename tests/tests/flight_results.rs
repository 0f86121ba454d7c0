//! What a client of Flight SQL gets of a result: every type, sent by segments that are processes, in messages that every client takes.

use crate::clients::connect;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{FlightData, Ticket};
use damson_tests::processes::ProcessCluster;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Int32Type, SchemaRef};
use futures::TryStreamExt;
use tonic::transport::Channel;

type Client = FlightSqlServiceClient<Channel>;

const ROWS: i32 = 30_000;
/// What clients take unless they are told otherwise.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

async fn client(cluster: &ProcessCluster) -> Client {
    let mut client = connect(cluster.client_address()).await;
    client.handshake("somebody", "").await.expect("a session");
    client
}

/// A query's promised columns, and its messages as they come.
async fn messages(client: &mut Client, sql: &str) -> (SchemaRef, Vec<FlightData>) {
    let info = client.execute(sql.into(), None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let ticket: Ticket = info.endpoint[0].ticket.clone().expect("a ticket");
    let promised = info.try_decode_schema().expect("the columns");
    let mut request = tonic::Request::new(ticket);
    let token = client.token().expect("a session").clone();
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    let stream = client.inner_mut().do_get(request).await.unwrap_or_else(|e| panic!("{sql}: {e}")).into_inner();
    let messages: Vec<FlightData> = stream.try_collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    (promised.into(), messages)
}

/// All rows under the columns that were promised, and how many messages they came in.
async fn rows(client: &mut Client, sql: &str) -> (RecordBatch, usize) {
    let (promised, messages) = messages(client, sql).await;
    let count = messages.len() - 1;
    let stream = futures::stream::iter(messages.into_iter().map(Ok::<_, FlightError>));
    let decoded: Vec<_> = FlightDataDecoder::new(stream).try_collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let mut batches = vec![];
    for (at, decoded) in decoded.into_iter().enumerate() {
        match decoded.payload {
            DecodedPayload::Schema(schema) => assert!(at == 0 && schema == promised, "{sql}: {schema:?}"),
            DecodedPayload::RecordBatch(batch) => batches.push(batch),
            DecodedPayload::None => panic!("{sql}: a message of nothing"),
        }
    }
    (concat_batches(&promised, &batches).unwrap(), count)
}

/// A column's texts, as a cast gives them.
fn texts(batch: &RecordBatch, column: usize) -> Vec<Option<String>> {
    let text = cast(batch.column(column), &DataType::Utf8).expect("every type has a text");
    text.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn table(cluster: &ProcessCluster) {
    cluster.shell().execute(&format!(
        "CREATE TABLE r (k int, big bigint, d double precision, n numeric(12,2), day date, made timestamp, flag boolean, short text,
             long text, maybe int, raw bytea) DISTRIBUTED BY (k);
         INSERT INTO r SELECT value, value * 3000000000, value / 4.0, value / 100.0, DATE '2020-01-01' + (value % 1000)::int,
             TIMESTAMP '2020-01-01 00:00:00', value % 3 = 0, 's' || value % 7,
             CASE WHEN value % 5 > 0 THEN 'a text of more than twelve bytes: é ' || value END,
             CASE WHEN value % 2 = 0 THEN value END,
             CASE WHEN value % 11 > 0 THEN decode(lpad(to_hex(value), 8, '0'), 'hex') END
         FROM generate_series(0, {}) AS s (value)",
        ROWS - 1
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_as_it_was_promised() {
    let cluster = ProcessCluster::start(3);
    table(&cluster);
    let mut client = client(&cluster).await;
    let sorted = "SELECT k, big, d, n, day, made, flag, short, long, maybe, raw, ARRAY['one', short] FROM r ORDER BY k";
    let (all, count) = rows(&mut client, sorted).await;
    assert_eq!(all.num_rows(), ROWS as usize);
    let types: Vec<DataType> = all.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types[3], DataType::Decimal128(12, 2));
    assert_eq!(types[7..9], [DataType::Utf8, DataType::Utf8]);
    assert_eq!(types[10], DataType::Binary);
    assert!(matches!(&types[11], DataType::List(item) if *item.data_type() == DataType::Utf8), "{:?}", types[11]);
    let [number, short, long, maybe] = [3, 7, 8, 9].map(|column| texts(&all, column));
    let (raw, lists) = (all.column(10).as_binary::<i32>(), all.column(11).as_list::<i32>());
    for k in 0..ROWS as usize {
        assert_eq!(all.column(0).as_primitive::<Int32Type>().value(k), k as i32);
        assert_eq!(number[k].as_deref(), Some(format!("{}.{:02}", k / 100, k % 100).as_str()));
        assert_eq!(short[k], Some(format!("s{}", k % 7)));
        assert_eq!(long[k], (k % 5 > 0).then(|| format!("a text of more than twelve bytes: é {k}")));
        assert_eq!(maybe[k], (k % 2 == 0).then(|| k.to_string()));
        assert_eq!(raw.is_valid(k).then(|| raw.value(k)), (k % 11 > 0).then_some(&(k as u32).to_be_bytes()[..]));
        let list = lists.value(k);
        let list: Vec<_> = list.as_string::<i32>().iter().collect();
        assert_eq!(list, [Some("one"), Some(format!("s{}", k % 7).as_str())]);
    }
    // Some 100 bytes a row, in messages of about a MiB; a batch of the engine's has 8,192 rows.
    assert!(count <= 30, "{count} messages");

    // What the master hands on, limits, computes with, unites or repeats: the same rows.
    let of_keys = |batch: &RecordBatch| {
        let mut rows: Vec<_> = texts(batch, 0).into_iter().zip(texts(batch, 1)).collect();
        rows.sort();
        rows
    };
    let wanted = {
        let (batch, _) = rows(&mut client, "SELECT k, long FROM r ORDER BY long, k").await;
        of_keys(&batch)
    };
    assert_eq!(wanted.len(), ROWS as usize);
    for sql in [
        "SELECT k, long FROM r",
        "SELECT k, long FROM r LIMIT 1000000",
        "SELECT k, long FROM r WHERE k < 100 UNION ALL SELECT k, long FROM r WHERE k >= 100",
        "SELECT k, long FROM (SELECT k, long, row_number() OVER (ORDER BY k) FROM r) s",
        "SELECT k, min(long) FROM r GROUP BY k",
    ] {
        assert_eq!(of_keys(&rows(&mut client, sql).await.0), wanted, "{sql}");
    }
    let (few, _) = rows(&mut client, "SELECT long, raw FROM r WHERE k % 5 > 0 LIMIT 10").await;
    assert!(few.num_rows() == 10 && few.column(0).null_count() == 0);
    for sql in ["SELECT long, raw FROM r WHERE k < 0", "SELECT '' FROM r WHERE k = 3"] {
        assert!(rows(&mut client, sql).await.0.num_rows() < 2, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_of_a_size_that_clients_take() {
    let cluster = ProcessCluster::start(2);
    cluster.shell().execute(
        "CREATE TABLE w (k int, t text) DISTRIBUTED BY (k);
         INSERT INTO w SELECT value, repeat(chr(97 + value % 26), CASE WHEN value % 100 = 0 THEN 1000000 ELSE 10 END)
         FROM generate_series(0, 999) AS s (value)",
    );
    let mut client = client(&cluster).await;
    for sql in [
        "SELECT k, t FROM w",
        "SELECT k, t FROM w ORDER BY t",
        "SELECT a.k, b.t FROM w a, w b WHERE b.k = 0 AND a.k < 50",
    ] {
        let (_, messages) = messages(&mut client, sql).await;
        let largest = messages.iter().map(|message| message.data_header.len() + message.data_body.len()).max();
        assert!(largest.unwrap() < MESSAGE_BYTES_MAX, "{sql}: {largest:?}");
    }
    let (all, _) = rows(&mut client, "SELECT k, t FROM w").await;
    for (k, text) in texts(&all, 0).iter().zip(texts(&all, 1)) {
        let (k, text): (u32, String) = (k.as_ref().expect("a key").parse().expect("a number"), text.expect("a text"));
        let letter = char::from(b'a' + (k % 26) as u8).to_string();
        assert_eq!(text, letter.repeat(if k % 100 == 0 { 1_000_000 } else { 10 }), "{k}");
    }
}
