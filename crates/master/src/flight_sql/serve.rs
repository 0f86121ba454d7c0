//! The server: sockets and their windows.

use super::clients::Clients;
use super::front::Front;
use super::incoming::incoming;
use super::limits::{PING_EVERY, PING_TIMEOUT};
use super::retrieve::Gate;
use super::routes::Routes;
use super::service::SqlService;
use crate::client_tls::ClientTls;
use crate::error::SqlError;
use crate::master::Master;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

/// Why the protocol stopped.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("cannot describe the server to clients: {0}")]
    Describe(SqlError),
    #[error("the Flight SQL server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves Flight SQL until `shutdown`, with TLS to who begins with it, if there is a certificate; then statements that run are cancelled and
/// connections closed. A listener that cannot accept is tried again.
///
/// # Errors
/// A system without random bytes, or that does not let HTTP/2 be served.
pub async fn serve(
    master: Arc<Master>,
    tls: Option<Arc<ClientTls>>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let clients = Arc::new(Clients::new(Arc::clone(&master)).map_err(ServeError::Describe)?);
    // Segments are let ask for as long as it serves.
    let gate = Arc::new(Gate::new(Arc::clone(&clients), master.cpu.clone()));
    master.retrieve_gate.set(Arc::downgrade(&gate) as _);
    let service = SqlService::new(master, clients, shutdown.child_token()).map_err(ServeError::Describe)?;
    let service = Routes::new(Front(service));
    server().add_service(service).serve_with_incoming_shutdown(incoming(listener, tls), shutdown.cancelled()).await?;
    Ok(())
}

/// HTTP/2 as Flight's clients need it.
pub(super) fn server() -> Server {
    Server::builder()
        // Parameters come in bulk; results are bounded by the client's windows.
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
}
