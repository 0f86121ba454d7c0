//! The receiving side: a Flight service that decodes what it is given and throws it away.

use crate::error::BenchError;
use crate::limits::{CONNECTION_WINDOW_BYTES, FRAME_BYTES, ROW_BYTES, STREAM_WINDOW_BYTES};
use crate::message::Totals;
use crate::meter::Meter;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Serves until one DoPut has ended.
///
/// # Errors
/// The server fails.
pub async fn serve(listener: TcpListener, meter: Arc<Meter>) -> Result<Totals, BenchError> {
    listener.set_nonblocking(true)?;
    let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?).with_nodelay(Some(true));
    let bytes = Arc::new(AtomicU64::new(0));
    let (ended, mut end) = watch::channel(false);
    let sink = Sink { meter, bytes: Arc::clone(&bytes), ended };
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .add_service(FlightServiceServer::new(sink).max_decoding_message_size(usize::MAX))
        .serve_with_incoming_shutdown(incoming, async move {
            // An error is the sink's end, and so the server's.
            let _ = end.wait_for(|ended| *ended).await;
        })
        .await?;
    Ok(Totals { bytes: bytes.load(Ordering::Relaxed), ..Totals::default() })
}

struct Sink {
    meter: Arc<Meter>,
    bytes: Arc<AtomicU64>,
    ended: watch::Sender<bool>,
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

fn unimplemented<T>() -> Result<T, Status> {
    Err(Status::unimplemented("only DoPut is measured"))
}

#[tonic::async_trait]
impl FlightService for Sink {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let messages = request.into_inner().map_err(FlightError::from);
        let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
        while let Some(batch) = batches.next().await {
            let bytes = batch?.num_rows() * ROW_BYTES;
            self.meter.add(bytes);
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        self.ended.send_replace(true);
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        unimplemented()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        unimplemented()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        unimplemented()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        unimplemented()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        unimplemented()
    }

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        unimplemented()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        unimplemented()
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        unimplemented()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        unimplemented()
    }
}
