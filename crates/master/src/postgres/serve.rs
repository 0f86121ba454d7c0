//! The server: its listener, and a task for each connection.

use super::backends::Backends;
use super::connection;
use super::limits::{ACCEPT_AGAIN, ACCEPTED_MAX};
use crate::client_tls::ClientTls;
use crate::master::Master;
use crate::openings::Openings;
use crate::shared::Shared;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Serves the protocol until `shutdown`, with TLS to whom wants it, if there is a certificate; then statements that run are cancelled and
/// clients told why they are closed. A listener that cannot accept is tried again.
pub async fn serve(
    master: Arc<Master>,
    tls: Option<Arc<ClientTls>>,
    listener: TcpListener,
    shutdown: CancellationToken,
) {
    let master = Shared::from(master);
    let (backends, openings) = (Arc::new(Backends::default()), Arc::new(Openings::default()));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Those that have ended are not kept.
            Some(ended) = connections.join_next() => {
                log(ended);
                continue;
            }
            () = shutdown.cancelled() => break,
        };
        match accepted {
            // Of those that never say who they are there may be some more.
            Ok(_) if connections.len() >= ACCEPTED_MAX => {}
            Ok((stream, peer)) => {
                let (master, backends, shutdown) = (master.clone(), Arc::clone(&backends), shutdown.child_token());
                connections.spawn(connection::serve(
                    stream,
                    peer.ip(),
                    openings.enter(),
                    master,
                    tls.clone(),
                    backends,
                    shutdown,
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a client of the PostgreSQL protocol");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    while let Some(ended) = connections.join_next().await {
        log(ended);
    }
}

fn log(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection of the PostgreSQL protocol died");
    }
}
