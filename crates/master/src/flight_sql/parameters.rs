//! Parameters that a client binds: batches of a DoPut, one column a parameter.

use super::status::{status, violation};
use crate::error::internal;
use arrow::array::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use datafusion::scalar::ScalarValue;
use futures::{Stream, StreamExt, TryStreamExt, future};
use tonic::Status;

/// Rows of parameters, as they come. A client without parameters sends the command alone, or an empty batch.
pub(super) fn rows(
    messages: PeekableFlightDataStream,
) -> impl Stream<Item = Result<Vec<ScalarValue>, Status>> + Send + Unpin {
    // The message that names the command may carry no schema.
    let data = messages.try_filter(|message| future::ready(!message.data_header.is_empty())).map_err(FlightError::from);
    let batches = FlightRecordBatchStream::new_from_flight_data(data).map_err(undecodable);
    let rows = |batch: RecordBatch| futures::stream::iter((0..batch.num_rows()).map(move |row| values(&batch, row)));
    batches.map_ok(rows).try_flatten().boxed()
}

fn values(batch: &RecordBatch, row: usize) -> Result<Vec<ScalarValue>, Status> {
    let value =
        |column: &arrow::array::ArrayRef| ScalarValue::try_from_array(column, row).map_err(|e| status(&internal(e)));
    batch.columns().iter().map(value).collect()
}

fn undecodable(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => violation(format!("undecodable parameters: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn a_row_becomes_values() {
        let batch = RecordBatch::try_from_iter([
            ("1", Arc::new(Int32Array::from(vec![Some(7), None])) as _),
            ("2", Arc::new(StringArray::from(vec!["a", "b"])) as _),
        ]);
        let batch = batch.unwrap();
        assert_eq!(values(&batch, 0).unwrap(), [ScalarValue::Int32(Some(7)), ScalarValue::Utf8(Some("a".into()))]);
        assert_eq!(values(&batch, 1).unwrap(), [ScalarValue::Int32(None), ScalarValue::Utf8(Some("b".into()))]);
    }
}
