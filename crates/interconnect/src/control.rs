//! Control calls: one request, a stream of answers.

use crate::{ControlError, InterconnectError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// A call's answers. Dropping it cancels the call, on the peer too.
pub type ControlStream = BoxStream<'static, Result<Bytes, InterconnectError>>;

/// What one content answers to its peers' calls; set by [`Node::set_handler`](crate::Node::set_handler).
#[async_trait]
pub trait ControlHandler: Send + Sync {
    /// Answers a call, on whatever runtime it arrives.
    ///
    /// # Errors
    /// A refusal, which reaches the caller of [`Node::call`](crate::Node::call) as it is.
    async fn handle(&self, kind: &str, body: Bytes) -> Result<ControlStream, ControlError>;
}
