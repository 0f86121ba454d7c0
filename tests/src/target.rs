//! What a test runs SQL on.

use crate::Answer;
use async_trait::async_trait;
use thiserror::Error;

/// One session of an engine under test.
#[async_trait]
pub trait Target: Send {
    /// The name of the engine in messages, and the label of `skipif` and `onlyif`: `datafusion` or `damson`.
    fn name(&self) -> &'static str;

    /// Runs one statement to its end.
    async fn run(&mut self, sql: &str) -> Result<Answer, TargetError>;
}

/// Why a statement failed.
#[derive(Debug, Clone, Error)]
#[error("{message}")]
pub struct TargetError {
    pub message: String,
    /// Five characters; None from an engine that has none.
    pub sqlstate: Option<String>,
}
