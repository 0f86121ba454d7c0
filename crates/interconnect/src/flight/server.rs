//! The listening side: HTTP/2 settings, and which path is what.

use super::acceptor::{UnixSocket, tcp, unix_or_none};
use super::codec::Messages;
use super::service::Service;
use super::{DO_ACTION, DO_PUT};
use crate::InterconnectError;
use crate::limits::{CONNECTION_WINDOW_BYTES, FRAME_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX};
use crate::node::Node;
use arrow_flight::{Action, Result as Answer};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::{Service as Tower, http};
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Serves until `stop`; routes and calls end then. Peers of this host find a unix socket beside the TCP address.
///
/// # Errors
/// The listener has failed.
pub(crate) async fn serve(
    node: Arc<Node>,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), InterconnectError> {
    let config = node.config();
    let endpoint = node.endpoint();
    let failed = |reason: String| InterconnectError::Serve { endpoint: endpoint.clone(), reason };
    let address = listener.local_addr().map_err(|e| failed(e.to_string()))?;
    let count = node.connection_count().clone();
    // Who listens on every address is called by several.
    let mut aliases = vec![];
    if address.ip().is_unspecified() {
        let local = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{}", address.port()));
        aliases.push(endpoint.0.clone());
        aliases.extend(local);
    }
    let unix = if config.unix_sockets { UnixSocket::bind(&address.to_string(), &aliases) } else { None };
    let incoming = stream::select(tcp(listener, config, count.clone()), unix_or_none(unix, count));
    let heartbeat = Duration::from_millis(config.heartbeat_ms);
    let peer_timeout = Duration::from_millis(config.peer_timeout_ms);
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        // Routes that are dropped reset their streams; a query may drop all of its thousands at once.
        .http2_max_pending_accept_reset_streams(Some(STREAMS_MAX as usize))
        .http2_max_local_error_reset_streams(None)
        .http2_keepalive_interval(Some(heartbeat))
        .http2_keepalive_timeout(Some(peer_timeout.saturating_sub(heartbeat).max(heartbeat)))
        .add_service(Paths(Service { node, stop: stop.clone() }))
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
        .map_err(|e| failed(e.to_string()))
}

/// The two methods of the Flight service that nodes use.
#[derive(Clone)]
struct Paths(Service);

impl NamedService for Paths {
    const NAME: &'static str = "arrow.flight.protocol.FlightService";
}

impl Tower<http::Request<Body>> for Paths {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            let response = match request.uri().path() {
                DO_PUT => service.do_put(request),
                DO_ACTION => {
                    let mut grpc =
                        Grpc::new(Messages::<Answer, Action>::default()).max_decoding_message_size(usize::MAX);
                    grpc.server_streaming(DoAction(service), request).await
                }
                other => Status::unimplemented(format!("nodes do not serve {other}")).into_http(),
            };
            Ok(response)
        })
    }
}

struct DoAction(Service);

impl Tower<Request<Action>> for DoAction {
    type Response = Response<BoxStream<'static, Result<Answer, Status>>>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Action>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move { service.do_action(request).await })
    }
}
