//! arrow-flight's own DoPut: what anybody has who uses the library as it is, with its windows tuned.

mod service;

use super::Run;
use super::runtimes::cores_runtime;
use crate::error::BenchError;
use crate::limits::{BATCH_BYTES, CONNECTION_WINDOW_BYTES, FRAME_BYTES, STREAM_WINDOW_BYTES};
use crate::message::{Side, Totals};
use crate::meter::Meter;
use crate::rows::{self, Rows};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use futures::{StreamExt, TryStreamExt, future, stream};
use std::net::TcpListener;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;

/// One stream, over one connection.
pub struct DoPut {
    runtime: Runtime,
    listener: Option<TcpListener>,
}

impl DoPut {
    pub fn new(side: Side) -> Result<Self, BenchError> {
        let listener = if side.receives() { Some(TcpListener::bind("127.0.0.1:0")?) } else { None };
        Ok(DoPut { runtime: cores_runtime("flight")?, listener })
    }
}

impl Run for DoPut {
    fn address(&self) -> String {
        let address = self.listener.as_ref().and_then(|listener| listener.local_addr().ok());
        address.map_or_else(String::new, |address| address.to_string())
    }

    fn run(&mut self, peer: &str, meter: &Arc<Meter>) -> Result<Totals, BenchError> {
        match self.listener.take() {
            Some(listener) => self.runtime.block_on(service::serve(listener, Arc::clone(meter))),
            None => self.runtime.block_on(send(peer, meter)),
        }
    }
}

async fn send(peer: &str, meter: &Arc<Meter>) -> Result<Totals, BenchError> {
    let endpoint = Endpoint::from_shared(format!("http://{peer}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES);
    let mut client = FlightServiceClient::new(endpoint.connect().await?).max_encoding_message_size(usize::MAX);
    let batches = rows::batches(Rows::Random);
    let sending = Arc::clone(meter);
    let input = stream::iter((0..).map(move |i| batches[i % batches.len()].clone()))
        .take_while(move |_| future::ready(!sending.is_over()));
    let counting = Arc::clone(meter);
    let sent = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let input = input.inspect(move |_| {
        counting.add(BATCH_BYTES);
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let messages = FlightDataEncoderBuilder::new().with_schema(rows::schema()).build(input.map(Ok));
    // Integers can be encoded. If they could not, bytes would be missing at the other side.
    let messages = messages.filter_map(|message| future::ready(message.ok()));
    let answers = client.do_put(messages).await.map_err(|status| BenchError::Process(status.to_string()))?;
    let answers = answers.into_inner().map_err(|status| BenchError::Process(status.to_string()));
    answers.try_for_each(|_| future::ok(())).await?;
    let batches = sent.load(std::sync::atomic::Ordering::Relaxed);
    let bytes = batches * BATCH_BYTES as u64;
    Ok(Totals { bytes, encoded_bytes: bytes, batches, broadcasts_encoded: 0 })
}
