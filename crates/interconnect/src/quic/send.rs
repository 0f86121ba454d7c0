//! The sender's side of a route.

use super::code::ROUTE_OVER;
use super::connections::Connecting;
use super::describe::{describe, describe_write};
use super::message;
use crate::departures::Departures;
use crate::limits::{ANSWER_BYTES_MAX, STREAM_CHUNKS};
use crate::outbox::{Carrier, Outbox};
use crate::wire::{Integrity, Opening};
use bytes::Bytes;
use quinn::{RecvStream, SendStream, WriteError};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Runs until the route is over on both sides; whatever breaks it fails the outbox.
pub(super) async fn send(carrier: Carrier, connecting: Connecting, build: Arc<str>) {
    let result = exchange(carrier.outbox(), connecting, &build).await;
    carrier.over(result);
}

async fn exchange(outbox: &Arc<Outbox>, connecting: Connecting, build: &str) -> Result<(), String> {
    let connection = connecting.await?;
    let (mut stream, mut answers) = connection.open_bi().await.map_err(|e| describe(&e))?;
    let opening = message::encode(&Opening::new(build, outbox.route, outbox.ticket).encode());
    let departures = Departures::new(Arc::clone(outbox), Integrity::Transport);
    let mut is_sent = false;
    let answered = {
        let mut sending = pin!(send_frames(&mut stream, opening.into(), departures));
        let mut answering = pin!(receive_answers(&mut answers, outbox));
        loop {
            tokio::select! {
                sent = &mut sending, if !is_sent => match sent {
                    // A receiver that has stopped reading says why.
                    Ok(()) | Err(WriteError::Stopped(_)) => is_sent = true,
                    Err(error) => break Err(describe_write(&error)),
                },
                answered = &mut answering => break answered,
            }
        }
    };
    if !is_sent {
        // It is over at the receiver. Harmless if the stream has gone as well.
        let _ = stream.reset(ROUTE_OVER);
    }
    answered
}

async fn send_frames(stream: &mut SendStream, opening: Bytes, mut departures: Departures) -> Result<(), WriteError> {
    let mut chunks = vec![opening];
    loop {
        stream.write_all_chunks(&mut chunks).await?;
        chunks.clear();
        poll_fn(|context| gather(&mut departures, &mut chunks, context)).await;
        if chunks.is_empty() {
            // It can only have been finished before.
            let _ = stream.finish();
            return Ok(());
        }
    }
}

/// The chunks that there are, at least one; none at the end of the route.
fn gather(departures: &mut Departures, chunks: &mut Vec<Bytes>, context: &mut Context<'_>) -> Poll<()> {
    while chunks.len() < STREAM_CHUNKS {
        match departures.poll_chunk(context) {
            Poll::Ready(Some(chunk)) => chunks.push(chunk),
            Poll::Ready(None) => break,
            Poll::Pending if chunks.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(())
}

async fn receive_answers(answers: &mut RecvStream, outbox: &Outbox) -> Result<(), String> {
    while let Some(answer) = message::read(answers, ANSWER_BYTES_MAX).await? {
        let answer = serde_json::from_slice(&answer).map_err(|e| format!("malformed answer: {e}"))?;
        outbox.receive(answer);
    }
    Ok(())
}
