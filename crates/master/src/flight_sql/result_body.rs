//! A DoGet's answer as HTTP/2 carries it.

use super::results::Messages;
use arrow_flight::FlightData;
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use http_body::Frame;
use prost::Message;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;
use tonic::Status;
use tonic::codegen::http::HeaderMap;

/// What gRPC has before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// The chunks of one message after the other, then the status.
pub(super) struct ResultBody {
    chunks: vec::IntoIter<Bytes>,
    /// None: the status has been told.
    messages: Option<Messages>,
}

impl ResultBody {
    pub(super) fn new(messages: Messages) -> Self {
        ResultBody { chunks: vec![].into_iter(), messages: Some(messages) }
    }
}

impl http_body::Body for ResultBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(chunk) = self.chunks.next() {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            let Some(messages) = &mut self.messages else { return Poll::Ready(None) };
            let end = match ready!(messages.poll_next_unpin(context)) {
                Some(Ok(chunks)) => {
                    self.chunks = chunks.into_iter();
                    continue;
                }
                Some(Err(status)) => status,
                None => Status::ok(""),
            };
            self.messages = None;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(end.add_header(&mut trailers).map(|()| Frame::trailers(trailers))));
        }
    }
}

/// A message of few bytes: a schema, or a listing.
pub(super) fn small_message(message: &FlightData) -> Vec<Bytes> {
    let bytes = message.encoded_len();
    let mut chunk = BytesMut::with_capacity(PREFIX_BYTES + bytes);
    chunk.put_u8(0);
    chunk.put_u32(u32::try_from(bytes).expect("a small message"));
    message.encode(&mut chunk).expect("the buffer grows");
    vec![chunk.freeze()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{SqlError, SqlState};
    use crate::flight_sql::status::status;
    use futures::stream;
    use http_body::Body;
    use std::future::poll_fn;

    /// The data, and the trailers.
    async fn read(messages: Vec<Result<Vec<Bytes>, Status>>) -> (Vec<Bytes>, HeaderMap) {
        let mut body = Box::pin(ResultBody::new(stream::iter(messages).boxed()));
        let mut data = vec![];
        loop {
            let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await.expect("trailers end it").unwrap();
            match frame.into_data() {
                Ok(chunk) => data.push(chunk),
                Err(frame) => {
                    assert!(poll_fn(|context| body.as_mut().poll_frame(context)).await.is_none());
                    return (data, frame.into_trailers().unwrap());
                }
            }
        }
    }

    #[tokio::test]
    async fn messages_come_in_order_and_a_status_ends_them() {
        let chunks = |texts: &[&'static str]| texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
        let (data, trailers) = read(vec![Ok(chunks(&["a", "b"])), Ok(vec![]), Ok(chunks(&["c"]))]).await;
        assert_eq!(data, ["a", "b", "c"]);
        assert_eq!(trailers.get("grpc-status").unwrap(), "0");
        let error = status(&SqlError::new(SqlState::DIVISION_BY_ZERO, "zero"));
        let (data, trailers) = read(vec![Ok(chunks(&["a"])), Err(error)]).await;
        assert_eq!(data, ["a"]);
        assert_eq!(trailers.get("sqlstate").unwrap(), "22012");
        assert_eq!(trailers.get("grpc-status").unwrap(), "3");
    }

    #[test]
    fn a_small_message_is_what_grpc_says() {
        let message = FlightData { data_header: "head".into(), data_body: "body".into(), ..Default::default() };
        let chunks = small_message(&message).concat();
        let (prefix, coded) = chunks.split_at(PREFIX_BYTES);
        assert_eq!(prefix, [0, 0, 0, 0, coded.len() as u8]);
        assert_eq!(FlightData::decode(coded).unwrap(), message);
    }
}
