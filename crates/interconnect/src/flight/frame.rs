//! `FlightData`: one message of a route, with its protobuf coding.

use crate::RouteError;
use crate::route::ToReceiver;
use arrow::buffer::{Buffer, MutableBuffer};
use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint, key_len,
    skip_field,
};

/// Fields of `FlightData`.
const HEADER_TAG: u32 = 2;
const METADATA_TAG: u32 = 3;
const BODY_TAG: u32 = 1000;

/// First byte of the application metadata: what the message is. Absent on a part of a batch other than its last.
const LAST: u8 = b'B';
const END: u8 = b'E';
const FAIL: u8 = b'F';

/// A message to a peer. The body's buffers are still the batch's own.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    header: Vec<u8>,
    metadata: Vec<u8>,
    body: Vec<Buffer>,
    body_bytes: usize,
}

impl Frame {
    /// An Arrow IPC message.
    pub(crate) fn message(header: Vec<u8>, body: Vec<Buffer>) -> Self {
        let body_bytes = body.iter().map(|buffer| buffer.len()).sum();
        Frame { header, metadata: vec![], body, body_bytes }
    }

    /// Marks the end of a batch.
    pub(crate) fn mark_last(&mut self) {
        self.metadata = vec![LAST];
    }

    /// The end of a route.
    pub(crate) fn signal(message: &ToReceiver) -> Self {
        let metadata = match message {
            ToReceiver::Fail(error) => {
                let mut metadata = vec![FAIL];
                serde_json::to_writer(&mut metadata, error).expect("a route's error is plain text and numbers");
                metadata
            }
            _ => vec![END],
        };
        Frame { metadata, ..Frame::default() }
    }

    /// What it counts against the route's credit.
    pub(crate) fn bytes(&self) -> u64 {
        (self.header.len() + self.body_bytes) as u64
    }

    /// Length of its coding.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let field = |tag: u32, bytes: usize| key_len(tag) + encoded_len_varint(bytes as u64) + bytes;
        field(HEADER_TAG, self.header.len())
            + field(METADATA_TAG, self.metadata.len())
            + field(BODY_TAG, self.body_bytes)
    }

    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        let mut field = |tag: u32, bytes: usize, parts: &mut dyn Iterator<Item = &[u8]>| {
            encode_key(tag, WireType::LengthDelimited, out);
            encode_varint(bytes as u64, out);
            parts.for_each(|part| out.put_slice(part));
        };
        field(HEADER_TAG, self.header.len(), &mut [self.header.as_slice()].into_iter());
        field(METADATA_TAG, self.metadata.len(), &mut [self.metadata.as_slice()].into_iter());
        field(BODY_TAG, self.body_bytes, &mut self.body.iter().map(|buffer| buffer.as_slice()));
    }
}

/// A message from a peer.
#[derive(Debug)]
pub(crate) struct ReceivedFrame {
    pub(crate) header: Bytes,
    metadata: Bytes,
    /// Aligned for every Arrow type, so that columns can share it.
    pub(crate) body: Buffer,
}

impl ReceivedFrame {
    /// # Errors
    /// What is wrong with the coding.
    pub(crate) fn decode(source: &mut impl Buf) -> Result<Self, String> {
        let (mut header, mut metadata, mut body) = (Bytes::new(), Bytes::new(), Buffer::default());
        while source.has_remaining() {
            let (tag, wire_type) = decode_key(source).map_err(|e| e.to_string())?;
            if !matches!(tag, HEADER_TAG | METADATA_TAG | BODY_TAG) {
                skip_field(wire_type, tag, source, DecodeContext::default()).map_err(|e| e.to_string())?;
                continue;
            }
            let bytes = decode_varint(source).map_err(|e| e.to_string())? as usize;
            if bytes > source.remaining() {
                return Err("cut short".into());
            }
            let mut field = source.take(bytes);
            match tag {
                // Copied, or these few bytes would keep the connection's whole buffer alive.
                HEADER_TAG => header = Bytes::copy_from_slice(&field.copy_to_bytes(bytes)),
                METADATA_TAG => metadata = Bytes::copy_from_slice(&field.copy_to_bytes(bytes)),
                _ => body = aligned(field),
            }
        }
        Ok(ReceivedFrame { header, metadata, body })
    }

    /// What it says to the route's state machine.
    ///
    /// # Errors
    /// Metadata of no known kind.
    pub(crate) fn meaning(&self) -> Result<ToReceiver, String> {
        let bytes = (self.header.len() + self.body.len()) as u64;
        match self.metadata.split_first() {
            None => Ok(ToReceiver::Data { bytes, is_last: false }),
            Some((&LAST, _)) => Ok(ToReceiver::Data { bytes, is_last: true }),
            Some((&END, _)) => Ok(ToReceiver::End),
            Some((&FAIL, error)) => {
                let error: RouteError = serde_json::from_slice(error).map_err(|e| format!("malformed error: {e}"))?;
                Ok(ToReceiver::Fail(error))
            }
            Some((kind, _)) => Err(format!("unknown message {kind:#x}")),
        }
    }
}

fn aligned(mut source: impl Buf) -> Buffer {
    let mut buffer = MutableBuffer::with_capacity(source.remaining());
    while source.has_remaining() {
        let chunk = source.chunk();
        let bytes = chunk.len();
        buffer.extend_from_slice(chunk);
        source.advance(bytes);
    }
    buffer.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_flight::FlightData;
    use prost::Message;

    fn decode(bytes: Vec<u8>) -> Result<ReceivedFrame, String> {
        ReceivedFrame::decode(&mut Bytes::from(bytes))
    }

    #[test]
    fn frames_are_flight_data() {
        let body = vec![Buffer::from(vec![1u8; 100]), Buffer::from(vec![2u8; 28])];
        let mut frame = Frame::message(b"header".to_vec(), body);
        frame.mark_last();
        let mut bytes = vec![];
        frame.encode(&mut bytes);
        assert_eq!(bytes.len(), frame.encoded_bytes());
        let flight = FlightData::decode(bytes.as_slice()).unwrap();
        assert_eq!(flight.data_header, "header");
        assert_eq!(flight.data_body, [vec![1; 100], vec![2; 28]].concat());

        let received = decode(flight.encode_to_vec()).unwrap();
        assert_eq!((&received.header[..], &received.body[..]), (&b"header"[..], &flight.data_body[..]));
        assert_eq!(received.meaning(), Ok(ToReceiver::Data { bytes: 134, is_last: true }));
        assert_eq!(received.body.as_ptr().align_offset(64), 0);
    }

    #[test]
    fn signals_survive() {
        let error = RouteError::Remote { code: "22012".into(), message: "division by zero".into() };
        for message in [ToReceiver::End, ToReceiver::Fail(error)] {
            let mut bytes = vec![];
            Frame::signal(&message).encode(&mut bytes);
            assert_eq!(decode(bytes).unwrap().meaning(), Ok(message));
        }
    }

    #[test]
    fn cut_and_foreign_messages_are_errors() {
        let mut bytes = vec![];
        Frame::message(vec![7; 40], vec![Buffer::from(vec![1u8; 64])]).encode(&mut bytes);
        for end in 1..bytes.len() {
            // A cut between two fields is a shorter message; everywhere else it must be noticed.
            if let Ok(frame) = decode(bytes[..end].to_vec()) {
                assert!(frame.body.is_empty(), "cut at {end}");
            }
        }
        let unknown = Frame { metadata: b"?".to_vec(), ..Frame::default() };
        let mut bytes = vec![];
        unknown.encode(&mut bytes);
        assert!(decode(bytes).unwrap().meaning().is_err());
    }
}
