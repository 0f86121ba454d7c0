//! Batches for clients of Arrow Flight.

use super::encode::Encoder;
use super::prepare::cut;
use super::size::batch_bytes;
use crate::Compression;
use crate::limits::FRAME_BYTES_MAX;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use bytes::Bytes;

/// Encodes a result for a client of Flight: each message is `FlightData` as gRPC carries it, in chunks that share the batch's
/// buffers. Without the schema, which is sent before there are rows.
pub struct ClientEncoder {
    encoder: Encoder,
    message_bytes: usize,
    has_begun: bool,
}

impl ClientEncoder {
    /// Messages of about `message_bytes`, and at most twice as much, unless a single row is larger.
    ///
    /// # Errors
    /// A type that Arrow IPC does not have.
    pub fn new(schema: &Schema, message_bytes: usize) -> Result<Self, ArrowError> {
        let encoder = Encoder::new(schema, Compression::None)?;
        Ok(ClientEncoder { encoder, message_bytes, has_begun: false })
    }

    /// The messages of a batch, which has the schema's types; none of a batch without rows.
    ///
    /// # Errors
    /// A row of more than 3 GiB.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<Vec<Bytes>>, ArrowError> {
        let mut messages = vec![];
        for piece in pieces(batch, self.message_bytes) {
            let frames = self.encoder.encode(&piece)?;
            // The first of all has the schema.
            let schemas = usize::from(!self.has_begun);
            self.has_begun = true;
            for frame in frames.iter().skip(schemas) {
                if frame.bytes() > FRAME_BYTES_MAX {
                    let message = format!("a row of {} bytes is longer than {FRAME_BYTES_MAX}", frame.bytes());
                    return Err(ArrowError::IpcError(message));
                }
                messages.push(frame.client_chunks());
            }
        }
        Ok(messages)
    }
}

/// As many rows each; where some of them are much larger than others, fewer.
fn pieces(batch: &RecordBatch, bytes_max: usize) -> Vec<RecordBatch> {
    let mut pieces = vec![];
    if batch.num_rows() == 0 {
        return pieces;
    }
    let equal: Vec<RecordBatch> = cut(batch, bytes_max).collect();
    match &equal[..] {
        [whole] => pieces.push(whole.clone()),
        _ => equal.into_iter().for_each(|piece| halve(piece, 2 * bytes_max as u64, &mut pieces)),
    }
    pieces
}

fn halve(piece: RecordBatch, bytes_max: u64, pieces: &mut Vec<RecordBatch>) {
    let rows = piece.num_rows();
    if rows == 1 || batch_bytes(&piece) <= bytes_max {
        return pieces.push(piece);
    }
    halve(piece.slice(0, rows / 2), bytes_max, pieces);
    halve(piece.slice(rows / 2, rows - rows / 2), bytes_max, pieces);
}

#[cfg(test)]
mod tests;
