//! The server's side of routes and calls.

use super::call::{decode_action, encode_answer};
use super::frame::ReceivedFrame;
use super::put::describe;
use super::{BUILD_KEY, REFUSED_KEY, ROUTE_KEY};
use crate::inbox::Inbox;
use crate::node::{Node, Refusal};
use crate::route::{ToReceiver, ToSender};
use crate::{ControlError, InterconnectError, RouteError};
use arrow_flight::{Action, PutResult, Result as Answer};
use damson_cluster::RouteKey;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use std::future::poll_fn;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};

/// Answers peers for one node until it stops.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) node: Arc<Node>,
    pub(super) stop: CancellationToken,
}

impl Service {
    /// A peer's route. The incoming stream is read to its end whatever the reader does, by a task of its own: only the
    /// credit holds the sender back.
    pub(super) fn do_put(
        &self,
        request: Request<Streaming<ReceivedFrame>>,
    ) -> Result<Response<BoxStream<'static, Result<PutResult, Status>>>, Status> {
        let (metadata, _, frames) = request.into_parts();
        let route = metadata.get(ROUTE_KEY).map(|route| serde_json::from_slice::<RouteKey>(route.as_bytes()));
        let Some(Ok(route)) = route else {
            return Err(Status::invalid_argument("a stream without route"));
        };
        let inbox = match self.refuse_other_build(&metadata) {
            Err(refusal) => Err(Refusal::Failed(RouteError::Protocol { route, message: refusal.message })),
            Ok(()) => self.node.inbox(route).and_then(|inbox| {
                inbox.attach(false).map_err(Refusal::Failed)?;
                Ok(inbox)
            }),
        };
        let messages = match inbox {
            Ok(inbox) => {
                self.node.spawn(read(Arc::clone(&inbox), frames, self.stop.clone()));
                stream::unfold(inbox, |inbox| async move {
                    let message = poll_fn(|context| inbox.poll_message(context)).await?;
                    Some((message, inbox))
                })
                .boxed()
            }
            Err(refusal) => {
                let message = match refusal {
                    Refusal::Stopped => ToSender::Stop,
                    Refusal::Failed(error) => ToSender::Fail(error),
                };
                // What the sender has sent already is read and dropped, so that the stream ends in order.
                let rest = frames.filter_map(|_| async { None });
                stream::once(async { message }).chain(rest).boxed()
            }
        };
        let results = messages.map(|message: ToSender| {
            let app_metadata = serde_json::to_vec(&message).map_err(|e| Status::internal(e.to_string()))?;
            Ok(PutResult { app_metadata: app_metadata.into() })
        });
        Ok(Response::new(results.take_until(self.stop.clone().cancelled_owned()).boxed()))
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
                let answers = stream::unfold(Some((answers, self.stop.clone())), |rest| async move {
                    let (mut answers, stop) = rest?;
                    tokio::select! {
                        answer = answers.next() => answer.map(|a| (Ok(encode_answer(a)), Some((answers, stop)))),
                        () = stop.cancelled() => Some((Err(Status::unavailable("the node is stopping")), None)),
                    }
                });
                Ok(Response::new(answers.boxed()))
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
        let ours = self.node.build();
        if theirs == ours.as_bytes() {
            return Ok(());
        }
        let message = format!(
            "{} is of build {ours}, its peer of build {}: install one build everywhere",
            self.node.endpoint(),
            String::from_utf8_lossy(&theirs),
        );
        Err(ControlError { code: ControlError::BUILD_MISMATCH.into(), message })
    }
}

/// Moves a peer's frames into an inbox until the route is over.
async fn read(inbox: Arc<Inbox>, mut frames: Streaming<ReceivedFrame>, stop: CancellationToken) {
    let reason = loop {
        let frame = tokio::select! {
            frame = frames.message() => frame,
            () = stop.cancelled() => break "the receiving node is stopping".into(),
        };
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => break "the stream ended without end-of-stream".into(),
            Err(status) => break describe(&status),
        };
        match frame.meaning() {
            Ok(data @ ToReceiver::Data { .. }) => inbox.receive(data, Some(frame)),
            Ok(signal) => inbox.receive(signal, None),
            Err(message) => {
                inbox.fail(RouteError::Protocol { route: inbox.route, message });
                true
            }
        };
    };
    // Nothing happens if the route is over.
    inbox.receive(ToReceiver::Fail(RouteError::PeerLost { route: inbox.route, reason }), None);
}
