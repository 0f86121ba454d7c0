//! What a segment asks of its master, which may be away.

use crate::limits::{RETRY_FIRST, RETRY_LAST};
use bytes::Bytes;
use damson_cluster::{ContentId, Endpoint};
use damson_interconnect::{ControlError, InterconnectError, Node};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// The way to the master. One a segment.
pub(crate) struct MasterCalls {
    pub(crate) node: Arc<Node>,
    pub(crate) master: Endpoint,
}

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum CallFailure {
    /// Try again.
    Lost(String),
    /// For good.
    Refused(ControlError),
}

impl MasterCalls {
    /// A call with one answer.
    pub(crate) async fn once(&self, kind: &str, body: Bytes) -> Result<Bytes, CallFailure> {
        let answer = async {
            let mut answers = self.node.call(&self.master, ContentId::MASTER, kind, body).await?;
            answers.next().await.unwrap_or_else(|| {
                Err(InterconnectError::PeerLost { endpoint: self.master.clone(), reason: "it gave no answer".into() })
            })
        };
        match tokio::time::timeout(RETRY_LAST, answer).await {
            Err(_) => Err(CallFailure::Lost("it does not answer".into())),
            Ok(Err(InterconnectError::Control(refusal))) => Err(CallFailure::Refused(refusal)),
            Ok(Err(error)) => Err(CallFailure::Lost(error.to_string())),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// As [`MasterCalls::once`]; a master that is away is waited for.
    ///
    /// # Errors
    /// The master's refusal.
    pub(crate) async fn until_answered(&self, kind: &str, body: Bytes) -> Result<Bytes, ControlError> {
        let mut patience = Patience::new(self.master.clone());
        loop {
            match self.once(kind, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(CallFailure::Refused(refusal)) => return Err(refusal),
                Err(CallFailure::Lost(reason)) => patience.wait(&reason).await,
            }
        }
    }
}

/// Waits between tries to reach the master, and says once that it is away, and once that it is back.
pub(crate) struct Patience {
    master: Endpoint,
    retry: Duration,
    is_lost: bool,
}

impl Patience {
    pub(crate) fn new(master: Endpoint) -> Self {
        Patience { master, retry: RETRY_FIRST, is_lost: false }
    }

    pub(crate) async fn wait(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_lost, true) {
            tracing::warn!(master = %self.master, reason, "waiting for the master");
        }
        tokio::time::sleep(self.retry).await;
        self.retry = (self.retry * 2).min(RETRY_LAST);
    }

    pub(crate) fn answered(&mut self) {
        if std::mem::replace(&mut self.is_lost, false) {
            tracing::info!(master = %self.master, "the master is back");
        }
        self.retry = RETRY_FIRST;
    }
}
