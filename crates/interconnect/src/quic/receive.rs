//! The receiver's side of a route.

use super::code::{MALFORMED, STOPPING};
use super::describe::describe_read;
use super::message;
use crate::arrivals::Arrivals;
use crate::inbox::Inbox;
use crate::limits::{OPENING_BYTES_MAX, STREAM_CHUNKS};
use crate::Transport;
use crate::node::Node;
use crate::route::ToSender;
use crate::wire::Opening;
use bytes::Bytes;
use quinn::{RecvStream, SendStream, WriteError};
use std::future::poll_fn;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Takes a peer's stream until the route is over on both sides, or the node stops.
pub(super) async fn receive(node: Arc<Node>, mut answers: SendStream, stream: RecvStream, stop: CancellationToken) {
    tokio::select! {
        // First, so that the route's end has this reason and not the connection's.
        biased;
        () = stop.cancelled() => {}
        () = take(&node, &mut answers, stream) => return,
    }
    // Harmless on a stream that has gone.
    let _ = answers.reset(STOPPING);
}

async fn take(node: &Node, answers: &mut SendStream, mut stream: RecvStream) {
    let opening = match message::read(&mut stream, OPENING_BYTES_MAX).await {
        Ok(Some(opening)) => Opening::decode(&opening),
        Ok(None) => Err("a stream without route".into()),
        Err(reason) => Err(reason),
    };
    let opening = match opening {
        Ok(opening) => opening,
        Err(reason) => {
            tracing::warn!(reason, "a peer's stream was refused");
            // Harmless on a stream that has gone.
            let _ = answers.reset(MALFORMED);
            let _ = stream.stop(MALFORMED);
            return;
        }
    };
    match node.accept(&opening) {
        Ok(inbox) => {
            inbox.received.carried_by(Transport::Quic);
            let arrivals = Arrivals::new(Arc::clone(&inbox));
            // A sender that does not take the answers has gone, which the arrivals tell.
            let ((), _) = tokio::join!(read(arrivals, stream), answer(&inbox, answers));
        }
        Err(refusal) => {
            // What the sender has sent already is read and dropped, so that the stream ends in order. If it does not, nothing
            // is lost.
            let _ = tell(answers, &refusal).await;
            let _ = answers.finish();
            let _ = message::skip(&mut stream).await;
        }
    }
}

/// Moves a peer's bytes into an inbox until the stream is over.
async fn read(mut arrivals: Arrivals, mut stream: RecvStream) {
    let mut chunks = [const { Bytes::new() }; STREAM_CHUNKS];
    loop {
        match stream.read_chunks(&mut chunks).await {
            Ok(Some(count)) => {
                for chunk in &mut chunks[..count] {
                    if !arrivals.push(std::mem::take(chunk)) {
                        return;
                    }
                }
            }
            Ok(None) => return arrivals.end(None),
            Err(error) => return arrivals.end(Some(describe_read(&error))),
        }
        // The answers have their turn, and so have other tasks.
        tokio::task::coop::consume_budget().await;
    }
}

/// Tells the sender what the route's machine says, until it is over.
async fn answer(inbox: &Inbox, answers: &mut SendStream) -> Result<(), WriteError> {
    while let Some(message) = poll_fn(|context| inbox.poll_message(context)).await {
        tell(answers, &message).await?;
    }
    // It can only have been finished before.
    let _ = answers.finish();
    Ok(())
}

async fn tell(answers: &mut SendStream, message: &ToSender) -> Result<(), WriteError> {
    let json = serde_json::to_vec(message).expect("an answer is plain text and numbers");
    answers.write_all(&message::encode(&json)).await
}
