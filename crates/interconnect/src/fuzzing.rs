//! What bytes of a peer do, for fuzz targets and property tests: the same decoders that routes use, without a network.

use crate::Compression;
use crate::RouteError;
use crate::batch::{Decoder, Encoder};
use crate::route::{ToReceiver, ToSender};
use crate::wire::{Deframer, Frame, Integrity, Opening};
use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, ListArray, NullArray, RecordBatch, RecordBatchOptions,
    StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int8Type, Int32Type, Schema};
use damson_cluster::{ContentId, MotionId, QueryId, RouteKey};
use std::sync::Arc;

/// What came of a route's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub frames: usize,
    pub batches: usize,
    pub rows: usize,
    /// Why the stream went no further.
    pub error: Option<String>,
}

/// Reads a route's stream that comes in pieces; the lengths are taken from the iterator, and all the rest comes at once
/// when it ends.
///
/// # Panics
/// When a batch that was decoded is not valid.
pub fn route_stream(bytes: &[u8], pieces: impl IntoIterator<Item = usize>) -> Outcome {
    let (mut deframer, mut decoder, mut outcome) = (Deframer::default(), Decoder::default(), Outcome::default());
    let mut pieces = pieces.into_iter();
    let mut rest = bytes;
    while !rest.is_empty() && outcome.error.is_none() {
        let (piece, more) = rest.split_at(pieces.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        rest = more;
        let mut frames = vec![];
        let broken = deframer.push(piece, |frame| frames.push(frame)).err().map(|error| error.to_string());
        for frame in frames {
            outcome.frames += 1;
            let result = match frame.meaning() {
                Ok(ToReceiver::Data { .. }) => decoder.decode(&frame).map_err(|error| error.to_string()),
                Ok(ToReceiver::End) => Ok(None),
                Ok(ToReceiver::Fail(error)) => Err(error.to_string()),
                Err(error) => Err(error),
            };
            match result {
                Ok(None) => {}
                Ok(Some(batch)) => {
                    outcome.batches += 1;
                    outcome.rows += batch.num_rows();
                    check_valid(&batch);
                }
                Err(error) => {
                    outcome.error = Some(error);
                    return outcome;
                }
            }
        }
        outcome.error = broken;
    }
    if outcome.error.is_none() && !deframer.is_at_boundary() {
        outcome.error = Some("cut short".into());
    }
    outcome
}

/// A batch that lies about itself would be read out of bounds, or show bytes that are no text.
fn check_valid(batch: &RecordBatch) {
    for column in batch.columns() {
        assert_eq!(column.len(), batch.num_rows());
        column.to_data().validate_full().expect("a decoded column is valid");
    }
}

/// Reads the opening of a route; whether it is one.
///
/// # Panics
/// When it is not the same after another journey.
pub fn opening(bytes: &[u8]) -> bool {
    let Ok(opening) = Opening::decode(bytes) else { return false };
    assert_eq!(Opening::decode(&opening.encode()).as_ref(), Ok(&opening));
    true
}

/// Reads a receiver's word to its sender; whether it is one.
pub fn answer(bytes: &[u8]) -> bool {
    serde_json::from_slice::<ToSender>(bytes).is_ok()
}

/// Good streams of routes, to start from: many types, with and without compression and checksums, and each kind of end.
pub fn valid_streams() -> Vec<Vec<u8>> {
    let batches = batches();
    let mut streams = vec![];
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        for (batch, integrity) in batches.iter().zip([Integrity::Transport, Integrity::Checksum].into_iter().cycle()) {
            streams.push(stream(batch, compression, integrity, &ToReceiver::End));
        }
    }
    let error = RouteError::Remote { code: "22012".into(), message: "division by zero".into() };
    streams.push(stream(&batches[0], Compression::None, Integrity::Transport, &ToReceiver::Fail(error)));
    streams
}

/// Good openings of routes, to start from.
pub fn valid_openings() -> Vec<Vec<u8>> {
    let route = |query, sender, receiver| RouteKey {
        query: QueryId(query),
        motion: MotionId(2),
        sender: ContentId(sender),
        receiver: ContentId(receiver),
    };
    let builds = ["0.1.0 (4f1c2d3e5a6b)", ""];
    let routes = [route(17, 1, 3), route(u64::MAX, 0, -1)];
    builds.iter().zip(routes).map(|(build, route)| Opening::new(build, route).encode()).collect()
}

/// Good answers of receivers, to start from.
pub fn valid_answers() -> Vec<Vec<u8>> {
    let error = RouteError::Cancelled { query: QueryId(17) };
    let answers = [ToSender::Credit(1 << 20), ToSender::Taken(7), ToSender::Stop, ToSender::Fail(error)];
    answers.iter().map(|answer| serde_json::to_vec(answer).expect("plain text and numbers")).collect()
}

fn stream(batch: &RecordBatch, compression: Compression, integrity: Integrity, end: &ToReceiver) -> Vec<u8> {
    let mut encoder = Encoder::new(&batch.schema(), compression).expect("types of Arrow IPC");
    // A part of the rows is a second batch, whose dictionaries are known.
    let batches = [batch.clone(), batch.slice(0, batch.num_rows() / 2)];
    let mut frames: Vec<Frame> =
        batches.iter().flat_map(|batch| encoder.encode(batch).expect("types of Arrow IPC")).collect();
    frames.push(Frame::signal(end));
    frames.iter().flat_map(|frame| frame.chunks(integrity).concat()).collect()
}

/// Batches of the types that SQL's values have, and some that they could have.
fn batches() -> Vec<RecordBatch> {
    let words: DictionaryArray<Int8Type> = [Some("a"), None, Some("b"), Some("a")].into_iter().collect();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(2), Some(3), Some(4)]),
    ]);
    let pairs = StructArray::try_from(vec![
        ("n", Arc::new(Int32Array::from(vec![1, 2, 3, 4])) as ArrayRef),
        ("t", Arc::new(StringArray::from(vec![Some("x"), None, Some(""), Some("zz")])) as ArrayRef),
    ]);
    let bytes = FixedSizeBinaryArray::try_from_iter([[1u8; 16], [2; 16], [3; 16], [4; 16]].into_iter());
    let prices = Decimal128Array::from(vec![Some(1), None, Some(-3), Some(i128::MAX / 2)]);
    let columns: Vec<Vec<(&str, ArrayRef)>> = vec![
        vec![
            ("i", Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(i64::MIN)]))),
            ("s", Arc::new(StringArray::from(vec![Some("one"), Some(""), None, Some("vier und mehr")]))),
            ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
        ],
        vec![
            ("d", Arc::new(words)),
            ("v", Arc::new(StringViewArray::from(vec![Some("x"), None, Some("longer than an inline view is"), None]))),
            ("w", Arc::new(BinaryViewArray::from(vec![Some(&b"\xff\x00"[..]), None, None, Some(&[7; 40][..])]))),
        ],
        vec![
            ("l", Arc::new(lists)),
            ("p", Arc::new(pairs.expect("columns of equal length"))),
            ("n", Arc::new(NullArray::new(4))),
        ],
        vec![
            ("f", Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, f64::INFINITY]))),
            ("t", Arc::new(Date32Array::from(vec![0, 1, -1, 20_000]))),
            ("z", Arc::new(TimestampMicrosecondArray::from(vec![0, 1, -1, i64::MAX]).with_timezone("UTC"))),
            ("m", Arc::new(prices)),
            ("u", Arc::new(bytes.expect("values of one size"))),
        ],
    ];
    let mut batches: Vec<RecordBatch> = columns
        .into_iter()
        .map(|columns| {
            let columns = columns.into_iter().map(|(name, column)| (name, column, true));
            RecordBatch::try_from_iter_with_nullable(columns).expect("columns of equal length")
        })
        .collect();
    let rows_only = RecordBatchOptions::new().with_row_count(Some(3));
    let empty = Arc::new(Schema::empty());
    batches.push(RecordBatch::try_new_with_options(empty, vec![], &rows_only).expect("no columns"));
    // Worth compressing.
    let many: ArrayRef = Arc::new(Int64Array::from_iter_values((0..512).map(|i| i / 64)));
    batches.push(RecordBatch::try_from_iter([("many", many)]).expect("one column"));
    batches
}
