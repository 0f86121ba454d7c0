//! The client's side of a route: feeds a `DoPut` stream from an outbox.

use super::channels::PeerChannel;
use super::codec::MessageDecoder;
use super::{DO_PUT, OPENING_KEY};
use crate::departures::Departures;
use crate::limits::ANSWER_BYTES_MAX;
use crate::outbox::{Carrier, Outbox};
use crate::wire::{Integrity, Opening};
use arrow_flight::PutResult;
use bytes::Bytes;
use http_body::Frame as BodyFrame;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codec::Streaming;
use tonic::codegen::http::{self, HeaderValue, Method, Version, header};
use tonic::metadata::{MetadataMap, MetadataValue};
use tower::{Service, ServiceExt};

/// Runs until the route is over on both sides; whatever breaks it fails the outbox.
pub(super) async fn put(carrier: Carrier, channel: PeerChannel, integrity: Integrity, build: Arc<str>) {
    let result = exchange(carrier.outbox(), channel, integrity, &build).await;
    carrier.over(result.map_err(|status| describe(&status)));
}

async fn exchange(outbox: &Arc<Outbox>, channel: PeerChannel, integrity: Integrity, build: &str) -> Result<(), Status> {
    let body = PutBody(Departures::new(Arc::clone(outbox), integrity));
    let request = request(Opening::new(build, outbox.route, outbox.ticket), Body::new(body));
    let broken = |e: tonic::transport::Error| Status::unavailable(describe_error(&e));
    let mut connection = channel.channel.clone();
    let answer = async { connection.ready().await.map_err(broken)?.call(request).await.map_err(broken) };
    let response = channel.answer(answer).await?;
    if let Some(status) = Status::from_header_map(response.headers())
        && status.code() != tonic::Code::Ok
    {
        return Err(status);
    }
    let status = response.status();
    let decoder = MessageDecoder::<PutResult>::default();
    let mut messages = Streaming::new_response(decoder, response.into_body(), status, None, Some(ANSWER_BYTES_MAX));
    while let Some(result) = messages.message().await? {
        let message = serde_json::from_slice(&result.app_metadata)
            .map_err(|e| Status::internal(format!("malformed answer on {}: {e}", outbox.route)))?;
        outbox.receive(message);
    }
    Ok(())
}

/// What tonic's own client would send.
fn request(opening: Opening, body: Body) -> http::Request<Body> {
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(OPENING_KEY, MetadataValue::from_bytes(&opening.encode()));
    let mut request = http::Request::new(body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = http::Uri::from_static(DO_PUT);
    *request.headers_mut() = metadata.into_headers();
    request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request
}

/// The stream of a route as a request's body.
struct PutBody(Departures);

impl http_body::Body for PutBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        self.0.poll_chunk(context).map(|chunk| chunk.map(|chunk| Ok(BodyFrame::data(chunk))))
    }
}

/// A status and its causes: tonic's own message says only "transport error".
pub(crate) fn describe(status: &Status) -> String {
    let text = if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() };
    match std::error::Error::source(status).map(describe_error) {
        None => text,
        // tonic makes the message of its cause.
        Some(cause) if cause.contains(&text) => cause,
        Some(cause) if text.contains(&cause) => text,
        Some(cause) => format!("{text}: {cause}"),
    }
}

pub(crate) fn describe_error(error: &dyn std::error::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::super::call::call;
    use super::super::channels::Channels;
    use super::super::socket::ConnectionCount;
    use super::*;
    use crate::driver::RouteDriver;
    use crate::tls::ClusterAuthority;
    use crate::{NodeConfig, QuerySecret};
    use damson_cluster::{ContentId, Endpoint, MotionId, QueryId, RouteKey};
    use std::time::{Duration, Instant};
    use tokio::net::TcpListener;
    use tokio::runtime::Handle;

    #[test]
    fn a_cause_is_told_once() {
        let gone = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "nobody is there");
        let status = Status::from_error(Box::new(gone));
        assert_eq!(describe(&status).matches("nobody is there").count(), 1, "{status:?}");
        assert_eq!(describe(&Status::unavailable("away")), "away");
    }

    /// As behind a cut link: the peer's host accepts connections, or a proxy does, but no handshake is answered.
    #[tokio::test]
    async fn routes_that_wait_for_one_connection_do_not_wait_in_turn() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Endpoint(silent.local_addr().unwrap().to_string());
        let directory = tempfile::tempdir().unwrap();
        let authority = ClusterAuthority::open_or_create(directory.path()).unwrap();
        let mut config = NodeConfig::new(Endpoint("127.0.0.1:1".into()), "test", Handle::current());
        config.tls = Some(Arc::new(authority.issue_where_needed(directory.path(), &[]).unwrap()));
        (config.data_connections, config.peer_timeout_ms) = (1, 200);
        // One that a killed node of that port has left would refuse them at once.
        config.unix_sockets = false;

        let channels = Channels::new(&config, ConnectionCount::default());
        let secret = QuerySecret::from_bytes([1; 16]);
        let carried = (0..20).map(|sender| {
            let (query, motion, receiver) = (QueryId(1), MotionId(1), ContentId(0));
            let route = RouteKey { query, motion, sender: ContentId(sender), receiver };
            let outbox = Arc::new(Outbox::new(route, secret.ticket(&route)));
            (channels.carry(&peer, Arc::clone(&outbox)).unwrap(), outbox)
        });
        let (carried, outboxes): (Vec<_>, Vec<_>) = carried.unzip();
        let started = Instant::now();
        futures::future::join_all(carried).await;
        assert!(started.elapsed() < Duration::from_secs(2), "one after the other: {:?}", started.elapsed());
        assert!(outboxes.iter().all(|outbox| !outbox.is_open()));

        let control = channels.control(&peer).unwrap();
        let calls = (0..20).map(|_| call(&peer, control.clone(), "test", ContentId(0), "EXECUTE", Bytes::new()));
        let started = Instant::now();
        assert!(futures::future::join_all(calls).await.iter().all(Result::is_err));
        assert!(started.elapsed() < Duration::from_secs(2), "one after the other: {:?}", started.elapsed());
    }
}
