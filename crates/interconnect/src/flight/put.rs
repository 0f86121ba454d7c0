//! The client's side of a route: feeds a `DoPut` stream from an outbox.

use super::codec::SendFrames;
use super::frame::Frame;
use super::{BUILD_KEY, DO_PUT, ROUTE_KEY};
use crate::outbox::Outbox;
use arrow_flight::PutResult;
use futures::{Stream, stream};
use std::future::poll_fn;
use std::sync::Arc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, client::Grpc};

/// Runs until the route is over on both sides; whatever breaks it fails the outbox.
pub(crate) async fn put(outbox: Arc<Outbox>, channel: Channel, build: Arc<str>) {
    let reason = match exchange(&outbox, channel, &build).await {
        Ok(()) => "the peer ended the route".into(),
        Err(status) => describe(&status),
    };
    outbox.lose(reason);
}

async fn exchange(outbox: &Arc<Outbox>, channel: Channel, build: &str) -> Result<(), Status> {
    let mut request = Request::new(frames(Arc::clone(outbox)));
    let route = serde_json::to_string(&outbox.route).map_err(|e| Status::internal(e.to_string()))?;
    let route = route.parse().map_err(|_| Status::internal("a route's JSON is ASCII"))?;
    request.metadata_mut().insert(ROUTE_KEY, route);
    request.metadata_mut().insert_bin(BUILD_KEY, MetadataValue::from_bytes(build.as_bytes()));

    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|e| Status::unavailable(describe_error(&e)))?;
    let path = PathAndQuery::from_static(DO_PUT);
    let response = grpc.streaming(request, path, SendFrames::<PutResult>::default()).await?;
    let mut messages = response.into_inner();
    while let Some(result) = messages.message().await? {
        let message = serde_json::from_slice(&result.app_metadata)
            .map_err(|e| Status::internal(format!("malformed answer on {}: {e}", outbox.route)))?;
        outbox.receive(message);
    }
    Ok(())
}

fn frames(outbox: Arc<Outbox>) -> impl Stream<Item = Frame> + Send + 'static {
    stream::unfold(outbox, |outbox| async move {
        let frame = poll_fn(|context| outbox.poll_frame(context)).await?;
        Some((frame, outbox))
    })
}

/// A status and its causes: tonic's own message says only "transport error".
pub(crate) fn describe(status: &Status) -> String {
    let mut text = if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() };
    if let Some(cause) = std::error::Error::source(status) {
        text = format!("{text}: {}", describe_error(cause));
    }
    text
}

fn describe_error(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Wrappers often repeat what they wrap.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
