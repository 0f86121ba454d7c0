//! The client's side of a control call, and how answers are coded for both sides.

use super::channels::PeerChannel;
use super::codec::Messages;
use super::put::describe;
use super::{BUILD_KEY, DO_ACTION, REFUSED_KEY};
use crate::{ControlStream, InterconnectError};
use arrow_flight::{Action, Result as Answer};
use bytes::{BufMut, Bytes, BytesMut};
use damson_cluster::{ContentId, Endpoint};
use futures::{StreamExt, stream};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::{Request, Status, client::Grpc};

/// First byte of an answer: a body, or the error that ends the stream.
const BODY: u8 = b'B';
const ERROR: u8 = b'E';

/// Calls a content of a peer.
///
/// # Errors
/// The handler's refusal as it is; a peer that is not there.
pub(crate) async fn call(
    peer: &Endpoint,
    channel: PeerChannel,
    build: &str,
    content: ContentId,
    kind: &str,
    body: Bytes,
) -> Result<ControlStream, InterconnectError> {
    let lost = |status: &Status| InterconnectError::PeerLost { endpoint: peer.clone(), reason: describe(status) };
    let mut request = Request::new(action(content, kind, &body));
    request.metadata_mut().insert_bin(BUILD_KEY, MetadataValue::from_bytes(build.as_bytes()));
    let mut grpc = Grpc::new(channel.channel.clone()).max_decoding_message_size(usize::MAX);
    let path = PathAndQuery::from_static(DO_ACTION);
    let answer = async {
        grpc.ready().await.map_err(|e| Status::from_error(Box::new(e)))?;
        grpc.server_streaming(request, path, Messages::<Action, Answer>::default()).await
    };
    let response = channel.answer(answer).await.map_err(|status| lost(&status))?;
    let is_refused = response.metadata().contains_key(REFUSED_KEY);
    let endpoint = peer.clone();
    let mut answers = stream::unfold(Some(response.into_inner()), move |answers| {
        let endpoint = endpoint.clone();
        async move {
            let mut answers = answers?;
            match answers.message().await {
                Ok(None) => None,
                Ok(Some(answer)) => Some(match decode_answer(answer, &endpoint) {
                    Ok(body) => (Ok(body), Some(answers)),
                    Err(error) => (Err(error), None),
                }),
                Err(status) => Some((Err(InterconnectError::PeerLost { endpoint, reason: describe(&status) }), None)),
            }
        }
    })
    .boxed();
    if is_refused && let Some(refusal) = answers.next().await {
        refusal?;
    }
    Ok(answers)
}

/// The action's body: the content id, four bytes, little-endian; then the call's body.
fn action(content: ContentId, kind: &str, body: &[u8]) -> Action {
    let mut bytes = BytesMut::with_capacity(4 + body.len());
    bytes.put_i32_le(content.0);
    bytes.put_slice(body);
    Action { r#type: kind.into(), body: bytes.freeze() }
}

/// Content and body of an action; None if it is cut short.
pub(super) fn decode_action(action: &Action) -> Option<(ContentId, Bytes)> {
    let content = action.body.first_chunk::<4>()?;
    Some((ContentId(i32::from_le_bytes(*content)), action.body.slice(4..)))
}

pub(super) fn encode_answer(answer: Result<Bytes, InterconnectError>) -> Answer {
    let (kind, body) = match answer {
        Ok(body) => (BODY, body),
        Err(error) => {
            let json = serde_json::to_vec(&error).expect("an error is plain text");
            (ERROR, Bytes::from(json))
        }
    };
    let mut bytes = BytesMut::with_capacity(1 + body.len());
    bytes.put_u8(kind);
    bytes.put_slice(&body);
    Answer { body: bytes.freeze() }
}

fn decode_answer(answer: Answer, peer: &Endpoint) -> Result<Bytes, InterconnectError> {
    let malformed = |what: &str| InterconnectError::internal(format!("malformed answer from {peer}: {what}"));
    match answer.body.first() {
        Some(&BODY) => Ok(answer.body.slice(1..)),
        Some(&ERROR) => Err(serde_json::from_slice(&answer.body[1..]).unwrap_or_else(|e| malformed(&e.to_string()))),
        _ => Err(malformed("unknown kind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ControlError;

    #[test]
    fn answers_and_actions_survive() {
        let peer = Endpoint("peer:1".into());
        let refusal = InterconnectError::from(ControlError { code: "42P01".into(), message: "no such table".into() });
        for answer in [Ok(Bytes::from_static(b"body")), Ok(Bytes::new()), Err(refusal)] {
            assert_eq!(decode_answer(encode_answer(answer.clone()), &peer), answer);
        }
        assert!(decode_answer(Answer { body: Bytes::new() }, &peer).is_err());
        let action = action(ContentId::MASTER, "register", b"body");
        assert_eq!(decode_action(&action), Some((ContentId::MASTER, Bytes::from_static(b"body"))));
        assert_eq!(decode_action(&Action::default()), None);
    }
}
