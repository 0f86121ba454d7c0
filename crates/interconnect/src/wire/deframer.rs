//! A peer's bytes to messages.

use super::frame::{END, FAIL, LAST, PART};
use crate::RouteError;
use crate::limits::{
    BODY_BYTES_MAX, BODY_RESERVE_BYTES_MAX, HEADER_BYTES_MAX, MESSAGE_COUNTED_BYTES_MIN, METADATA_BYTES_MAX,
};
use crate::route::ToReceiver;
use arrow::buffer::{Buffer, MutableBuffer};
use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

/// Fields of `FlightData`.
pub(super) const HEADER_TAG: u32 = 2;
pub(super) const METADATA_TAG: u32 = 3;
pub(super) const BODY_TAG: u32 = 1000;
/// Flight's descriptor, which other senders put into a first message: skipped.
const DESCRIPTOR_TAG: u32 = 1;

/// gRPC's prefix of a message: a flag for compression, which is not used, and the length, big-endian.
pub(super) const PREFIX_BYTES: usize = 5;

/// A varint of 64 bits has at most this many bytes.
const VARINT_BYTES_MAX: usize = 10;

const LENGTH_DELIMITED: u64 = 2;

/// A message from a peer.
#[derive(Debug)]
pub(crate) struct ReceivedFrame {
    pub(crate) header: Bytes,
    /// Aligned for every Arrow type, so that columns can share it.
    pub(crate) body: Buffer,
    kind: u8,
    detail: Bytes,
}

/// What is wrong with a peer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum DeframeError {
    #[error("a compressed message")]
    Compressed,
    #[error("a message of {0} bytes")]
    TooLong(u64),
    #[error("a malformed message")]
    Malformed,
    #[error("an unknown message {0:#04x}")]
    UnknownKind(u8),
    #[error("the checksum of a message is wrong: it was damaged on its way")]
    Checksum,
}

/// Takes a stream's bytes in pieces of any size. After an error it takes no more.
#[derive(Default)]
pub(crate) struct Deframer {
    stage: Stage,
    /// Bytes of the prefix or of a field's key and length, so far.
    small: [u8; 2 * VARINT_BYTES_MAX],
    small_bytes: usize,
    /// Bytes of the message that are yet to come.
    message_bytes_left: u64,
    message: Parts,
}

#[derive(Default)]
enum Stage {
    #[default]
    Prefix,
    /// The next field's key and length.
    Key,
    Field {
        tag: u32,
        bytes_left: u64,
    },
    Broken(DeframeError),
}

#[derive(Default)]
struct Parts {
    header: BytesMut,
    metadata: BytesMut,
    body: MutableBuffer,
}

impl Deframer {
    /// True between two messages.
    pub(crate) fn is_at_boundary(&self) -> bool {
        matches!(self.stage, Stage::Prefix) && self.small_bytes == 0
    }

    /// Takes some bytes; `each` gets the messages that they complete.
    ///
    /// # Errors
    /// Bytes that are no messages; what came before them has been given.
    pub(crate) fn push(
        &mut self,
        mut source: impl Buf,
        mut each: impl FnMut(ReceivedFrame),
    ) -> Result<(), DeframeError> {
        loop {
            let step = match self.stage {
                Stage::Prefix => self.prefix(&mut source),
                Stage::Key => self.key(&mut source),
                Stage::Field { tag, bytes_left } => {
                    self.field(tag, bytes_left, &mut source);
                    Ok(())
                }
                Stage::Broken(error) => return Err(error),
            };
            let step = step.and_then(|()| match self.stage {
                Stage::Key if self.message_bytes_left == 0 && self.small_bytes == 0 => {
                    self.stage = Stage::Prefix;
                    std::mem::take(&mut self.message).complete().map(Some)
                }
                _ => Ok(None),
            });
            match step {
                Ok(None) => {}
                Ok(Some(frame)) => each(frame),
                Err(error) => {
                    self.stage = Stage::Broken(error);
                    self.message = Parts::default();
                    return Err(error);
                }
            }
            if !source.has_remaining() {
                return Ok(());
            }
        }
    }

    fn prefix(&mut self, source: &mut impl Buf) -> Result<(), DeframeError> {
        while self.small_bytes < PREFIX_BYTES {
            if !source.has_remaining() {
                return Ok(());
            }
            self.push_small(source);
        }
        let [flag, a, b, c, d] = self.small[..PREFIX_BYTES] else { unreachable!("five bytes") };
        let length = u32::from_be_bytes([a, b, c, d]);
        if flag != 0 {
            return Err(DeframeError::Compressed);
        }
        self.small_bytes = 0;
        self.message_bytes_left = u64::from(length);
        self.stage = Stage::Key;
        Ok(())
    }

    fn key(&mut self, source: &mut impl Buf) -> Result<(), DeframeError> {
        while source.has_remaining() && self.message_bytes_left > 0 {
            if self.small_bytes == self.small.len() {
                return Err(DeframeError::Malformed);
            }
            self.push_small(source);
            self.message_bytes_left -= 1;
            let Some((key, key_bytes)) = varint(&self.small[..self.small_bytes])? else { continue };
            let Some((bytes, _)) = varint(&self.small[key_bytes..self.small_bytes])? else { continue };
            if key & 7 != LENGTH_DELIMITED || bytes > self.message_bytes_left {
                return Err(DeframeError::Malformed);
            }
            let tag = u32::try_from(key >> 3).map_err(|_| DeframeError::Malformed)?;
            let bytes_max = match tag {
                HEADER_TAG => HEADER_BYTES_MAX,
                METADATA_TAG | DESCRIPTOR_TAG => METADATA_BYTES_MAX,
                BODY_TAG => BODY_BYTES_MAX,
                _ => return Err(DeframeError::Malformed),
            };
            if bytes > bytes_max {
                return Err(DeframeError::TooLong(bytes));
            }
            self.message.begin(tag, bytes as usize)?;
            self.small_bytes = 0;
            self.message_bytes_left -= bytes;
            if bytes > 0 {
                self.stage = Stage::Field { tag, bytes_left: bytes };
                return Ok(());
            }
        }
        if self.message_bytes_left == 0 && self.small_bytes > 0 {
            return Err(DeframeError::Malformed);
        }
        Ok(())
    }

    fn field(&mut self, tag: u32, bytes_left: u64, source: &mut impl Buf) {
        let mut bytes_left = bytes_left;
        while bytes_left > 0 && source.has_remaining() {
            let chunk = source.chunk();
            let bytes = chunk.len().min(usize::try_from(bytes_left).unwrap_or(usize::MAX));
            self.message.extend(tag, &chunk[..bytes]);
            source.advance(bytes);
            bytes_left -= bytes as u64;
        }
        self.stage = if bytes_left > 0 { Stage::Field { tag, bytes_left } } else { Stage::Key };
    }

    fn push_small(&mut self, source: &mut impl Buf) {
        self.small[self.small_bytes] = source.get_u8();
        self.small_bytes += 1;
    }
}

impl Parts {
    /// A field begins. Room for it is made as far as an honest message needs; what a length promises beyond that must come
    /// first.
    fn begin(&mut self, tag: u32, bytes: usize) -> Result<(), DeframeError> {
        let is_again = match tag {
            HEADER_TAG => !self.header.is_empty(),
            METADATA_TAG => !self.metadata.is_empty(),
            BODY_TAG => !self.body.is_empty(),
            _ => false,
        };
        if is_again {
            return Err(DeframeError::Malformed);
        }
        let reserve = bytes.min(BODY_RESERVE_BYTES_MAX);
        match tag {
            HEADER_TAG => self.header.reserve(reserve),
            METADATA_TAG => self.metadata.reserve(reserve),
            BODY_TAG => self.body = MutableBuffer::with_capacity(reserve),
            _ => {}
        }
        Ok(())
    }

    fn extend(&mut self, tag: u32, bytes: &[u8]) {
        match tag {
            HEADER_TAG => self.header.extend_from_slice(bytes),
            METADATA_TAG => self.metadata.extend_from_slice(bytes),
            BODY_TAG => self.body.extend_from_slice(bytes),
            _ => {}
        }
    }

    fn complete(self) -> Result<ReceivedFrame, DeframeError> {
        let (header, mut detail) = (self.header.freeze(), self.metadata.freeze());
        if detail.is_empty() {
            return Err(DeframeError::Malformed);
        }
        let kind = detail.get_u8();
        let body = Buffer::from(self.body);
        match kind {
            PART | LAST if !detail.is_empty() => {
                let sum: [u8; 8] = detail[..].try_into().map_err(|_| DeframeError::Malformed)?;
                let mut hash = Xxh3::new();
                hash.update(&header);
                hash.update(&body);
                if hash.digest() != u64::from_le_bytes(sum) {
                    return Err(DeframeError::Checksum);
                }
            }
            PART | LAST | FAIL => {}
            END if header.is_empty() && body.is_empty() && detail.is_empty() => {}
            END => return Err(DeframeError::Malformed),
            other => return Err(DeframeError::UnknownKind(other)),
        }
        Ok(ReceivedFrame { header, body, kind, detail })
    }
}

impl ReceivedFrame {
    /// What it says to the route's state machine.
    ///
    /// # Errors
    /// A failure that cannot be read.
    pub(crate) fn meaning(&self) -> Result<ToReceiver, String> {
        let bytes = ((self.header.len() + self.body.len()) as u64).max(MESSAGE_COUNTED_BYTES_MIN);
        Ok(match self.kind {
            PART => ToReceiver::Data { bytes, is_last: false },
            LAST => ToReceiver::Data { bytes, is_last: true },
            END => ToReceiver::End,
            _ => {
                let error: RouteError =
                    serde_json::from_slice(&self.detail).map_err(|e| format!("malformed error: {e}"))?;
                ToReceiver::Fail(error)
            }
        })
    }
}

/// A varint and its length; None if it goes on after `bytes`.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, DeframeError> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().enumerate() {
        if i == VARINT_BYTES_MAX {
            return Err(DeframeError::Malformed);
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((value, i + 1)));
        }
    }
    if bytes.len() > VARINT_BYTES_MAX { Err(DeframeError::Malformed) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Frame, Integrity};
    use super::*;

    fn deframe(pieces: impl IntoIterator<Item = Vec<u8>>) -> Result<Vec<ReceivedFrame>, DeframeError> {
        let (mut deframer, mut frames) = (Deframer::default(), vec![]);
        for piece in pieces {
            deframer.push(Bytes::from(piece), |frame| frames.push(frame))?;
        }
        assert!(deframer.is_at_boundary());
        Ok(frames)
    }

    fn stream(integrity: Integrity) -> Vec<u8> {
        let mut batch =
            Frame::message(b"header".to_vec(), vec![Buffer::from(vec![1u8; 300]), Buffer::from(vec![2u8; 28])]);
        batch.mark_last();
        let error = RouteError::Remote { code: "22012".into(), message: "division by zero".into() };
        let frames = [
            Frame::message(b"schema".to_vec(), vec![]),
            batch,
            Frame::signal(&ToReceiver::End),
            Frame::signal(&ToReceiver::Fail(error)),
        ];
        frames.iter().flat_map(|frame| frame.chunks(integrity).concat()).collect()
    }

    fn check(frames: &[ReceivedFrame]) {
        let meanings: Vec<_> = frames.iter().map(|frame| frame.meaning().unwrap()).collect();
        let error = RouteError::Remote { code: "22012".into(), message: "division by zero".into() };
        let data = |bytes, is_last| ToReceiver::Data { bytes, is_last };
        assert_eq!(
            meanings,
            [data(MESSAGE_COUNTED_BYTES_MIN, false), data(334, true), ToReceiver::End, ToReceiver::Fail(error)]
        );
        assert_eq!(&frames[1].header[..], b"header");
        assert_eq!(&frames[1].body[..], [vec![1; 300], vec![2; 28]].concat());
        assert_eq!(frames[1].body.as_ptr().align_offset(64), 0);
    }

    #[test]
    fn pieces_of_any_size_give_the_same_messages() {
        for integrity in [Integrity::Transport, Integrity::Checksum] {
            let bytes = stream(integrity);
            for size in (1..40).chain([100, 333, bytes.len()]) {
                check(&deframe(bytes.chunks(size).map(<[u8]>::to_vec)).unwrap());
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed_by_the_checksum() {
        let clean = stream(Integrity::Checksum);
        // Within the batch's body.
        for at in 60..300 {
            let mut bytes = clean.clone();
            bytes[at] ^= 1 << (at % 8);
            let (mut deframer, mut count) = (Deframer::default(), 0);
            let error = deframer.push(Bytes::from(bytes), |_| count += 1).unwrap_err();
            assert_eq!((error, count), (DeframeError::Checksum, 1), "byte {at}");
            assert_eq!(deframer.push(Bytes::from_static(b"x"), |_| {}), Err(error), "it stays broken");
        }
    }

    #[test]
    fn cut_streams_are_not_at_a_boundary() {
        let bytes = stream(Integrity::Transport);
        for end in 1..bytes.len() {
            let (mut deframer, mut count) = (Deframer::default(), 0);
            deframer.push(Bytes::copy_from_slice(&bytes[..end]), |_| count += 1).unwrap();
            assert!(count < 4);
        }
    }

    #[test]
    fn foreign_bytes_are_errors() {
        let deframe = |bytes: &[u8]| deframe([bytes.to_vec()]).map(|frames| frames.len());
        assert_eq!(deframe(&[1, 0, 0, 0, 0]), Err(DeframeError::Compressed));
        assert_eq!(deframe(&[0, 0, 0, 0, 0]), Err(DeframeError::Malformed), "a message that says nothing");
        assert_eq!(deframe(&[0, 0, 0, 0, 3, 0x1a, 1, b'?']), Err(DeframeError::UnknownKind(b'?')));
        assert_eq!(deframe(&[0, 0, 0, 0, 2, 0x1a, 9]), Err(DeframeError::Malformed), "longer than its message");
        assert_eq!(deframe(&[0, 0, 0, 0, 6, 0x1a, 1, b'E', 0x1a, 1, b'E']), Err(DeframeError::Malformed), "twice");
        assert_eq!(deframe(&[0, 0, 0, 0, 2, 0x1d, 1]), Err(DeframeError::Malformed), "another wire type");
        let long = [&[0, 0xff, 0xff, 0xff, 0xff, 0x12][..], &[0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
        assert_eq!(deframe(&long), Err(DeframeError::Malformed));
        let long = [&[0, 0xff, 0xff, 0xff, 0xff, 0x12][..], &[0x80, 0x80, 0x80, 0x80, 0x08]].concat();
        assert!(matches!(deframe(&long), Err(DeframeError::TooLong(_))));
        assert_eq!(deframe(&[&[0, 0, 0, 0, 40][..], &[0x80; 40]].concat()), Err(DeframeError::Malformed));
    }
}
