//! What a segment asks of its master, which may be away.

use crate::limits::{RETRY_FIRST, RETRY_LAST};
use bytes::Bytes;
use damson_cluster::{ContentId, Endpoint};
use damson_interconnect::{ControlError, InterconnectError, Node};
use futures::StreamExt;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The way to the master, which may be one of several. One a segment.
pub(crate) struct MasterCalls {
    node: Arc<Node>,
    masters: Masters,
    /// Which of them answered last, or is asked next.
    current: AtomicUsize,
}

/// Where masters listen for segments: one is active, the others stand by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Masters(Vec<Endpoint>);

impl FromStr for Masters {
    type Err = String;

    /// `host:port`, or several with commas between.
    fn from_str(text: &str) -> Result<Self, String> {
        let masters: Vec<Endpoint> = text.split(',').map(|master| Endpoint(master.trim().to_owned())).collect();
        match masters.iter().any(|master| master.0.is_empty()) {
            true => Err(format!("\"{text}\" is no list of masters: HOST:PORT,HOST:PORT is one")),
            false => Ok(Masters(masters)),
        }
    }
}

impl Masters {
    pub(crate) fn all(&self) -> &[Endpoint] {
        &self.0
    }
}

impl fmt::Display for Masters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masters: Vec<String> = self.0.iter().map(Endpoint::to_string).collect();
        f.write_str(&masters.join(" or "))
    }
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
    pub(crate) fn new(node: Arc<Node>, masters: Masters) -> Self {
        MasterCalls { node, masters, current: AtomicUsize::new(0) }
    }

    pub(crate) fn masters(&self) -> &Masters {
        &self.masters
    }

    /// The master that is asked.
    pub(crate) fn master(&self) -> &Endpoint {
        &self.masters.0[self.current.load(Ordering::Relaxed) % self.masters.0.len()]
    }

    /// A call with one answer. Where there is none, the next call asks another master.
    pub(crate) async fn once(&self, kind: &str, body: Bytes) -> Result<Bytes, CallFailure> {
        let asked = self.current.load(Ordering::Relaxed);
        let master = self.master();
        let answer = async {
            let mut answers = self.node.call(master, ContentId::MASTER, kind, body).await?;
            answers.next().await.unwrap_or_else(|| {
                Err(InterconnectError::PeerLost { endpoint: master.clone(), reason: "it gave no answer".into() })
            })
        };
        let failure = match tokio::time::timeout(RETRY_LAST, answer).await {
            Err(_) => "it does not answer".into(),
            Ok(Err(InterconnectError::Control(refusal))) => return Err(CallFailure::Refused(refusal)),
            // Which master it is stands beside it.
            Ok(Err(InterconnectError::PeerLost { reason, .. })) => reason,
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(answer)) => return Ok(answer),
        };
        // Of calls that fail together one goes on to the next.
        let _ = self.current.compare_exchange(asked, asked.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
        Err(CallFailure::Lost(failure))
    }

    /// As [`MasterCalls::once`]; a master that is away is waited for.
    ///
    /// # Errors
    /// The master's refusal.
    pub(crate) async fn until_answered(&self, kind: &str, body: Bytes) -> Result<Bytes, ControlError> {
        let mut patience = Patience::new(self.masters.clone());
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
    master: Masters,
    retry: Duration,
    is_lost: bool,
}

impl Patience {
    pub(crate) fn new(master: Masters) -> Self {
        Patience { master, retry: RETRY_FIRST, is_lost: false }
    }

    pub(crate) async fn wait(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_lost, true) {
            tracing::warn!(master = %self.master, reason, "waiting for the master");
        }
        tokio::time::sleep(self.retry).await;
        // Of several, each is asked as often as one would be.
        self.retry = (self.retry * 2).min(RETRY_LAST / self.master.0.len() as u32);
    }

    pub(crate) fn answered(&mut self) {
        if std::mem::replace(&mut self.is_lost, false) {
            tracing::info!(master = %self.master, "the master is back");
        }
        self.retry = RETRY_FIRST;
    }
}
