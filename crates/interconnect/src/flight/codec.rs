//! How tonic codes the small messages. Those of routes are `wire`'s.

use crate::wire::refuse_deep_nesting;
use prost::Message;
use prost::bytes::Buf;
use std::fmt::Display;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// One message a chunk: a chunk is handed to HTTP/2 as soon as it has this many bytes.
const CHUNK_BYTES: usize = 32 << 10;
/// Streams are many, and most messages small or reserved in full: start small.
const BUFFER_BYTES: usize = 512;

fn buffer_settings() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, CHUNK_BYTES)
}

/// Protobuf messages both ways.
pub(crate) struct Messages<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for Messages<E, D> {
    fn default() -> Self {
        Messages(PhantomData)
    }
}

impl<E: Message + 'static, D: Message + Default + 'static> Codec for Messages<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = MessageEncoder<E>;
    type Decoder = MessageDecoder<D>;

    fn encoder(&mut self) -> MessageEncoder<E> {
        MessageEncoder::default()
    }

    fn decoder(&mut self) -> MessageDecoder<D> {
        MessageDecoder::default()
    }
}

pub(crate) struct MessageEncoder<E>(PhantomData<E>);

impl<E> Default for MessageEncoder<E> {
    fn default() -> Self {
        MessageEncoder(PhantomData)
    }
}

impl<E: Message + 'static> Encoder for MessageEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(out).map_err(|e| Status::internal(e.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}

pub(crate) struct MessageDecoder<D>(PhantomData<D>);

impl<D> Default for MessageDecoder<D> {
    fn default() -> Self {
        MessageDecoder(PhantomData)
    }
}

impl<D: Message + Default + 'static> Decoder for MessageDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        // The whole message lies in one piece.
        refuse_deep_nesting(source.chunk()).map_err(malformed)?;
        D::decode(source).map(Some).map_err(malformed)
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}

fn malformed(error: impl Display) -> Status {
    Status::invalid_argument(format!("malformed message: {error}"))
}
