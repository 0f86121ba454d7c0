//! How tonic codes the messages: frames by hand, the small ones by prost.

use super::frame::{Frame, ReceivedFrame};
use prost::Message;
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

/// The client's side of `DoPut`: sends frames, receives `D`.
pub(crate) struct SendFrames<D>(PhantomData<D>);

/// The server's side of `DoPut`: receives frames, sends `E`.
pub(crate) struct ReceiveFrames<E>(PhantomData<E>);

/// Protobuf messages both ways.
pub(crate) struct Messages<E, D>(PhantomData<(E, D)>);

impl<D> Default for SendFrames<D> {
    fn default() -> Self {
        SendFrames(PhantomData)
    }
}

impl<E> Default for ReceiveFrames<E> {
    fn default() -> Self {
        ReceiveFrames(PhantomData)
    }
}

impl<E, D> Default for Messages<E, D> {
    fn default() -> Self {
        Messages(PhantomData)
    }
}

impl<D: Message + Default + 'static> Codec for SendFrames<D> {
    type Encode = Frame;
    type Decode = D;
    type Encoder = FrameEncoder;
    type Decoder = MessageDecoder<D>;

    fn encoder(&mut self) -> FrameEncoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> MessageDecoder<D> {
        MessageDecoder(PhantomData)
    }
}

impl<E: Message + 'static> Codec for ReceiveFrames<E> {
    type Encode = E;
    type Decode = ReceivedFrame;
    type Encoder = MessageEncoder<E>;
    type Decoder = FrameDecoder;

    fn encoder(&mut self) -> MessageEncoder<E> {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> FrameDecoder {
        FrameDecoder
    }
}

impl<E: Message + 'static, D: Message + Default + 'static> Codec for Messages<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = MessageEncoder<E>;
    type Decoder = MessageDecoder<D>;

    fn encoder(&mut self) -> MessageEncoder<E> {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> MessageDecoder<D> {
        MessageDecoder(PhantomData)
    }
}

pub(crate) struct FrameEncoder;

impl Encoder for FrameEncoder {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(frame.encoded_bytes());
        frame.encode(out);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}

pub(crate) struct FrameDecoder;

impl Decoder for FrameDecoder {
    type Item = ReceivedFrame;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<ReceivedFrame>, Status> {
        ReceivedFrame::decode(source).map(Some).map_err(malformed)
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}

pub(crate) struct MessageEncoder<E>(PhantomData<E>);

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

impl<D: Message + Default + 'static> Decoder for MessageDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(source).map(Some).map_err(malformed)
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}

fn malformed(error: impl Display) -> Status {
    Status::internal(format!("malformed message: {error}"))
}
