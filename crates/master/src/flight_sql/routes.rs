//! Which path is which call: what arrow-flight's generated server does, with [`Guarded`] messages.

use super::codec::Guarded;
use super::front::Front;
use super::limits::REQUEST_BYTES_MAX;
use super::result_body::ResultBody;
use super::results::Messages;
use super::status::violation;
use arrow_flight::Ticket;
use futures::FutureExt;
use futures::future::BoxFuture;
use prost::Message;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{self, HeaderValue, header};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};

/// What tonic serves.
#[derive(Clone)]
pub(super) struct Routes(Arc<Front>);

impl Routes {
    pub(super) fn new(front: Front) -> Self {
        Routes(Arc::new(front))
    }
}

impl NamedService for Routes {
    const NAME: &'static str = "arrow.flight.protocol.FlightService";
}

impl Service<http::Request<Body>> for Routes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let front = Arc::clone(&self.0);
        Box::pin(async move { Ok(answer(front, request).await) })
    }
}

async fn answer(front: Arc<Front>, mut request: http::Request<Body>) -> http::Response<Body> {
    let call = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    // Every other call is somebody's, who is known before it is read, and is not idle until it is answered.
    let _answering = match call.as_str() {
        "Handshake" => None,
        _ => match front.0.admit(&mut request).boxed().await {
            Ok(answering) => Some(answering),
            Err(refused) => return refused.into_http(),
        },
    };
    match call.as_str() {
        "Handshake" => {
            grpc(REQUEST_BYTES_MAX)
                .streaming(Call(front, |f, r| Box::pin(async move { f.handshake(r).await })), request)
                .await
        }
        "ListFlights" => {
            grpc(REQUEST_BYTES_MAX)
                .server_streaming(Call(front, |f, r| Box::pin(async move { f.list_flights(r).await })), request)
                .await
        }
        "GetFlightInfo" => {
            grpc(REQUEST_BYTES_MAX)
                .unary(Call(front, |f, r| Box::pin(async move { f.get_flight_info(r).await })), request)
                .await
        }
        "PollFlightInfo" => {
            grpc(REQUEST_BYTES_MAX)
                .unary(Call(front, |f, r| Box::pin(async move { f.poll_flight_info(r).await })), request)
                .await
        }
        "GetSchema" => {
            grpc(REQUEST_BYTES_MAX)
                .unary(Call(front, |f, r| Box::pin(async move { f.get_schema(r).await })), request)
                .await
        }
        "DoGet" => result(front, request).await,
        "DoPut" => {
            grpc(REQUEST_BYTES_MAX)
                .streaming(Call(front, |f, r| Box::pin(async move { f.do_put(r).await })), request)
                .await
        }
        "DoExchange" => {
            grpc(REQUEST_BYTES_MAX)
                .streaming(Call(front, |f, r| Box::pin(async move { f.do_exchange(r).await })), request)
                .await
        }
        "DoAction" => {
            grpc(REQUEST_BYTES_MAX)
                .server_streaming(Call(front, |f, r| Box::pin(async move { f.do_action(r).await })), request)
                .await
        }
        "ListActions" => {
            grpc(REQUEST_BYTES_MAX)
                .server_streaming(Call(front, |f, r| Box::pin(async move { f.list_actions(r).await })), request)
                .await
        }
        other => Status::unimplemented(format!("Flight has no call {other:?}")).into_http(),
    }
}

/// What tonic does for a stream of answers, with a body that tonic's encoder has not copied.
async fn result(front: Arc<Front>, request: http::Request<Body>) -> http::Response<Body> {
    let answer = match one_message(request, REQUEST_BYTES_MAX).await {
        Ok(request) => front.do_get(request).boxed().await,
        Err(refused) => Err(refused),
    };
    rows_response(answer)
}

pub(super) fn rows_response(answer: Result<Messages, Status>) -> http::Response<Body> {
    match answer {
        Ok(messages) => {
            let mut response = http::Response::new(Body::new(ResultBody::new(messages)));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            response
        }
        Err(status) => status.into_http(),
    }
}

pub(super) async fn one_message(request: http::Request<Body>, bytes_max: usize) -> Result<Request<Ticket>, Status> {
    let (head, body) = request.into_parts();
    let decoder = Guarded::<Ticket, Ticket>::default();
    let mut messages = Streaming::new_request(decoder, body, None, Some(bytes_max));
    let ticket = messages.message().await?.ok_or_else(|| violation("the request has no message"))?;
    Ok(Request::from_parts(MetadataMap::from_headers(head.headers), head.extensions, ticket))
}

pub(super) fn grpc<E: Message + 'static, D: Message + Default + 'static>(bytes_max: usize) -> Grpc<Guarded<E, D>> {
    Grpc::new(Guarded::default()).max_decoding_message_size(bytes_max)
}

pub(super) type Answer<R> = BoxFuture<'static, Result<Response<R>, Status>>;

/// One call of a server as tonic wants it.
pub(super) struct Call<S, Q, R>(pub Arc<S>, pub fn(Arc<S>, Request<Q>) -> Answer<R>);

impl<S, Q, R> Service<Request<Q>> for Call<S, Q, R> {
    type Response = Response<R>;
    type Error = Status;
    type Future = Answer<R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        (self.1)(Arc::clone(&self.0), request)
    }
}
