//! A message of a route, on its way out.

use super::deframer::{BODY_TAG, HEADER_TAG, METADATA_TAG, PREFIX_BYTES};
use crate::limits::{CHUNK_BYTES_MIN, MESSAGE_COUNTED_BYTES_MIN};
use crate::route::ToReceiver;
use arrow::buffer::Buffer;
use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use xxhash_rust::xxh3::Xxh3;

/// First byte of the application metadata: what the message is.
pub(super) const PART: u8 = b'P';
pub(super) const LAST: u8 = b'B';
pub(super) const END: u8 = b'E';
pub(super) const FAIL: u8 = b'F';

/// Whether the transport notices a flipped bit by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integrity {
    /// TLS, QUIC, and memory of one machine (unix sockets).
    Transport,
    /// Plain TCP, whose 16-bit sums miss some: each message carries XXH3-64 of its header and body.
    Checksum,
}

/// A message to a peer. The body's buffers are still the batch's own; a clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    header: Bytes,
    kind: u8,
    /// After the kind: a failure's JSON.
    detail: Bytes,
    body: Vec<Buffer>,
    body_bytes: usize,
}

impl Frame {
    /// An Arrow IPC message: a part of a batch, until it is marked as the last.
    pub(crate) fn message(header: Vec<u8>, body: Vec<Buffer>) -> Self {
        let body_bytes = body.iter().map(|buffer| buffer.len()).sum();
        Frame { header: header.into(), kind: PART, detail: Bytes::new(), body, body_bytes }
    }

    /// Marks the end of a batch.
    pub(crate) fn mark_last(&mut self) {
        self.kind = LAST;
    }

    /// The end of a route.
    pub(crate) fn signal(message: &ToReceiver) -> Self {
        let (kind, detail) = match message {
            ToReceiver::Fail(error) => {
                (FAIL, serde_json::to_vec(error).expect("a route's error is plain text and numbers"))
            }
            _ => (END, vec![]),
        };
        Frame { header: Bytes::new(), kind, detail: detail.into(), body: vec![], body_bytes: 0 }
    }

    /// What it counts against the route's credit.
    pub(crate) fn bytes(&self) -> u64 {
        ((self.header.len() + self.body_bytes) as u64).max(MESSAGE_COUNTED_BYTES_MIN)
    }

    /// Its coding.
    pub(crate) fn chunks(&self, integrity: Integrity) -> Vec<Bytes> {
        let checksum = match integrity {
            Integrity::Checksum if matches!(self.kind, PART | LAST) => Some(self.checksum().to_le_bytes()),
            _ => None,
        };
        let sum: &[u8] = checksum.as_ref().map_or(&[], |sum| sum);
        flight_chunks(&self.header, &[&[self.kind], sum, &self.detail], &self.body)
    }

    /// Its coding for a client, who is told nothing about a route.
    pub(crate) fn client_chunks(&self) -> Vec<Bytes> {
        flight_chunks(&self.header, &[], &self.body)
    }

    fn checksum(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.header);
        self.body.iter().for_each(|buffer| hash.update(buffer));
        hash.digest()
    }
}

/// A message of Flight data as gRPC carries it, in order: the length, the small fields (`metadata` in pieces), and the body in the memory
/// where it is; small buffers are gathered into one chunk. In all it must be shorter than 4 GiB.
fn flight_chunks(header: &[u8], metadata: &[&[u8]], body: &[Buffer]) -> Vec<Bytes> {
    let metadata_bytes = metadata.iter().map(|piece| piece.len()).sum();
    let body_bytes = body.iter().map(Buffer::len).sum();
    let field = |tag: u32, bytes: usize| key_len(tag) + encoded_len_varint(bytes as u64);
    let with_value = |tag: u32, bytes: usize| if bytes > 0 { field(tag, bytes) + bytes } else { 0 };
    let length = with_value(HEADER_TAG, header.len())
        + with_value(METADATA_TAG, metadata_bytes)
        + with_value(BODY_TAG, body_bytes);
    let length_coded = u32::try_from(length).expect("messages are bounded by FRAME_BYTES_MAX");
    let large_bytes = body.iter().map(Buffer::len).filter(|bytes| *bytes >= CHUNK_BYTES_MIN).sum::<usize>();

    let mut small = BytesMut::with_capacity(PREFIX_BYTES + length - large_bytes);
    small.put_u8(0);
    small.put_u32(length_coded);
    let key = |tag: u32, bytes: usize, out: &mut BytesMut| {
        if bytes > 0 {
            encode_key(tag, WireType::LengthDelimited, out);
            encode_varint(bytes as u64, out);
        }
    };
    key(HEADER_TAG, header.len(), &mut small);
    small.put_slice(header);
    key(METADATA_TAG, metadata_bytes, &mut small);
    metadata.iter().for_each(|piece| small.put_slice(piece));
    key(BODY_TAG, body_bytes, &mut small);
    let mut chunks = vec![];
    for buffer in body {
        if buffer.len() < CHUNK_BYTES_MIN {
            small.put_slice(buffer);
            continue;
        }
        if !small.is_empty() {
            chunks.push(small.split().freeze());
        }
        chunks.push(Bytes::from_owner(Shared(buffer.clone())));
    }
    if !small.is_empty() {
        chunks.push(small.freeze());
    }
    chunks
}

/// A buffer as the owner of [`Bytes`].
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_flight::FlightData;
    use prost::Message;

    #[test]
    fn frames_are_flight_data_and_large_buffers_are_not_copied() {
        let large = Buffer::from(vec![1u8; CHUNK_BYTES_MIN]);
        let body = vec![Buffer::from(vec![2u8; 28]), large.clone(), Buffer::from(vec![3u8; 36])];
        let mut frame = Frame::message(b"header".to_vec(), body);
        frame.mark_last();
        let chunks = frame.chunks(Integrity::Transport);
        assert_eq!(chunks[1].as_ptr(), large.as_ptr());
        let bytes = chunks.concat();
        assert_eq!(bytes[..PREFIX_BYTES], [&[0][..], &(bytes.len() as u32 - 5).to_be_bytes()].concat());
        let flight = FlightData::decode(&bytes[PREFIX_BYTES..]).unwrap();
        assert_eq!((&flight.data_header[..], &flight.app_metadata[..]), (&b"header"[..], &b"B"[..]));
        assert_eq!(flight.data_body, [vec![2; 28], vec![1; CHUNK_BYTES_MIN], vec![3; 36]].concat());
        assert_eq!(frame.bytes(), 6 + flight.data_body.len() as u64);
    }
}
