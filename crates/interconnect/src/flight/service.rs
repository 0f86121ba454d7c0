//! The server's side of routes and calls.

use super::call::{decode_action, encode_answer};
use super::codec::MessageEncoder;
use super::put::describe;
use super::{BUILD_KEY, OPENING_KEY, REFUSED_KEY};
use crate::arrivals::Arrivals;
use crate::node::Node;
use crate::route::ToSender;
use crate::wire::Opening;
use crate::{ControlError, InterconnectError, RouteError, Transport};
use arrow_flight::{Action, PutResult, Result as Answer};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use std::future::poll_fn;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::{EncodeBody, SingleMessageCompressionOverride};
use tonic::codegen::http::{self, HeaderValue, header};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};

/// Answers peers for one node until it stops.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) node: Arc<Node>,
    pub(super) stop: CancellationToken,
}

impl Service {
    /// A peer's route. The incoming stream is read to its end by a task of its own.
    pub(super) fn do_put(&self, request: http::Request<Body>) -> http::Response<Body> {
        let (head, body) = request.into_parts();
        let metadata = MetadataMap::from_headers(head.headers);
        let opening = match opening_of(&metadata) {
            Ok(opening) => opening,
            Err(message) => return Status::invalid_argument(message).into_http(),
        };
        let messages = match self.node.accept(&opening) {
            Ok(inbox) => {
                if let Some(transport) = head.extensions.get::<Transport>() {
                    inbox.received.carried_by(*transport);
                }
                self.node.spawn(read(Arrivals::new(Arc::clone(&inbox)), body, self.stop.clone()));
                stream::unfold(inbox, |inbox| async move {
                    let message = poll_fn(|context| inbox.poll_message(context)).await?;
                    Some((message, inbox))
                })
                .boxed()
            }
            Err(ToSender::Fail(error @ RouteError::Forbidden { .. })) => {
                return Status::unauthenticated(error.to_string()).into_http();
            }
            Err(refusal) => {
                // What the sender has sent already is read and dropped, so that the stream ends in order.
                let rest = body.into_data_stream().filter_map(|_| async { None });
                stream::once(async { refusal }).chain(rest).boxed()
            }
        };
        let results = messages.map(|message: ToSender| {
            let app_metadata = serde_json::to_vec(&message).map_err(|e| Status::internal(e.to_string()))?;
            Ok(PutResult { app_metadata: app_metadata.into() })
        });
        let results = until(results.boxed(), self.stop.clone());
        let encoder = MessageEncoder::<PutResult>::default();
        let body = EncodeBody::new_server(encoder, results, None, SingleMessageCompressionOverride::default(), None);
        let mut response = http::Response::new(Body::new(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }

    /// A peer's call.
    pub(super) async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<BoxStream<'static, Result<Answer, Status>>>, Status> {
        let (metadata, _, action) = request.into_parts();
        let answers = match self.refuse_other_build(&metadata) {
            Err(refusal) => Err(refusal.into()),
            Ok(()) => match decode_action(&action) {
                Some((content, body)) => self.node.handle(content, &action.r#type, body).await,
                None => Err(InterconnectError::internal("a call without content")),
            },
        };
        match answers {
            Ok(answers) => {
                let answers = answers.map(|answer| Ok(encode_answer(answer)));
                Ok(Response::new(until(answers.boxed(), self.stop.clone())))
            }
            Err(error) => {
                let mut response = Response::new(stream::once(async { Ok(encode_answer(Err(error))) }).boxed());
                response.metadata_mut().insert(REFUSED_KEY, MetadataValue::from_static("1"));
                Ok(response)
            }
        }
    }

    fn refuse_other_build(&self, metadata: &MetadataMap) -> Result<(), ControlError> {
        let theirs = metadata.get_bin(BUILD_KEY).and_then(|build| build.to_bytes().ok()).unwrap_or_default();
        self.node.refuse_other_build(&String::from_utf8_lossy(&theirs))
    }
}

/// The stream, which ends with an error when the node stops: its end says that everything was done.
fn until<T: Send + 'static>(
    items: BoxStream<'static, Result<T, Status>>,
    stop: CancellationToken,
) -> BoxStream<'static, Result<T, Status>> {
    let items = stream::unfold(Some((items, stop)), |rest| async move {
        let (mut items, stop) = rest?;
        tokio::select! {
            // First, so that what has ended in order has done so.
            biased;
            item = items.next() => item.map(|item| (item, Some((items, stop)))),
            () = stop.cancelled() => Some((Err(Status::unavailable("the node is stopping")), None)),
        }
    });
    items.boxed()
}

fn opening_of(metadata: &MetadataMap) -> Result<Opening, String> {
    let opening = metadata.get_bin(OPENING_KEY).ok_or("a stream without route")?;
    Opening::decode(&opening.to_bytes().map_err(|e| e.to_string())?)
}

/// Moves a peer's bytes into an inbox until the stream is over.
async fn read(mut arrivals: Arrivals, mut body: Body, stop: CancellationToken) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = stop.cancelled() => return,
        };
        match frame {
            Some(Ok(frame)) => {
                // Trailers say nothing.
                if let Ok(bytes) = frame.into_data()
                    && !arrivals.push(bytes)
                {
                    return;
                }
            }
            Some(Err(error)) => return arrivals.end(Some(describe(&error))),
            None => return arrivals.end(None),
        }
    }
}
