//! Messages of clients: looked at before they are decoded, because a decoder recurses as deeply as a client says.

use super::status::violation;
use damson_interconnect::refuse_deep_nesting;
use prost::Message;
use prost::bytes::Buf;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Protobuf messages both ways: `E` is sent, `D` received.
pub(super) struct Guarded<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for Guarded<E, D> {
    fn default() -> Self {
        Guarded(PhantomData)
    }
}

impl<E: Message + 'static, D: Message + Default + 'static> Codec for Guarded<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<E: Message, D> Encoder for Guarded<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(out).map_err(|e| Status::internal(e.to_string()))
    }
}

impl<E, D: Message + Default> Decoder for Guarded<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        // The whole message lies in one piece.
        refuse_deep_nesting(source.chunk()).map_err(|e| violation(e.to_string()))?;
        D::decode(source).map(Some).map_err(|e| violation(format!("undecodable request: {e}")))
    }
}
