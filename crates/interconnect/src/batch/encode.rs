//! Batches to Arrow IPC messages.

use crate::Compression;
use crate::wire::Frame;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow_ipc::writer::{IpcWriteOptions, StreamEncoder};
use arrow_ipc::{CompressionType, root_as_message};

/// Length of an encapsulated message's prefix: the continuation marker and the metadata's length.
const PREFIX_BYTES: usize = 8;

/// Encodes the batches of one route. Buffers are shared with the batches, not copied; a dictionary is sent when it is
/// new, and keys as they are.
pub(crate) struct Encoder {
    stream: StreamEncoder,
}

impl Encoder {
    /// # Errors
    /// A type that Arrow IPC does not have.
    pub(crate) fn new(schema: &Schema, compression: Compression) -> Result<Self, ArrowError> {
        let codec = match compression {
            Compression::None => None,
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
            Compression::Zstd => Some(CompressionType::ZSTD),
        };
        let options = IpcWriteOptions::default().try_with_compression(codec)?;
        Ok(Encoder { stream: StreamEncoder::try_new_with_options(schema, options)? })
    }

    /// The messages of one batch: the schema before the first one, new dictionaries, and the batch itself last.
    pub(crate) fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<Frame>, ArrowError> {
        let mut frames = messages(self.stream.encode(batch)?)?;
        if let Some(batch) = frames.last_mut() {
            batch.mark_last();
        }
        Ok(frames)
    }
}

/// Cuts an IPC stream, which the encoder gives as a list of buffers, into its messages.
fn messages(buffers: Vec<Buffer>) -> Result<Vec<Frame>, ArrowError> {
    let malformed = || ArrowError::IpcError("the encoder's stream is cut short".into());
    let mut frames = vec![];
    // A column without values leaves an empty buffer behind, anywhere.
    let mut buffers = buffers.into_iter().filter(|buffer| !buffer.is_empty());
    while let Some(prefix) = buffers.next() {
        let length = prefix.get(4..PREFIX_BYTES).and_then(|length| length.try_into().ok()).ok_or_else(malformed)?;
        let header_bytes = u32::from_le_bytes(length) as usize;
        let mut header = Vec::with_capacity(header_bytes);
        while header.len() < header_bytes {
            header.extend_from_slice(&buffers.next().ok_or_else(malformed)?);
        }
        let message = root_as_message(&header).map_err(|e| ArrowError::IpcError(e.to_string()))?;
        let body_bytes = message.bodyLength() as usize;
        let (mut body, mut taken) = (vec![], 0);
        while taken < body_bytes {
            let buffer = buffers.next().ok_or_else(malformed)?;
            taken += buffer.len();
            body.push(buffer);
        }
        frames.push(Frame::message(header, body));
    }
    Ok(frames)
}
