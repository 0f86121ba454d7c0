//! The first words of a route's stream: who sends, and what.

use damson_cluster::RouteKey;
use serde::{Deserialize, Serialize};

/// Opens a route at its receiver's node. JSON: in Flight's request metadata, or the first message of a QUIC stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opening {
    /// Of the frames' format: [`Opening::VERSION`].
    pub(crate) version: u16,
    /// The sender's build; another one is refused, because plans and messages change between builds.
    pub(crate) build: String,
    pub(crate) route: RouteKey,
}

impl Opening {
    /// Version of the stream's format (`docs/formats/interconnect.md`).
    pub(crate) const VERSION: u16 = 2;

    pub(crate) fn new(build: &str, route: RouteKey) -> Self {
        Opening { version: Opening::VERSION, build: build.to_owned(), route }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an opening is plain text and numbers")
    }

    /// # Errors
    /// Bytes that are no opening.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| format!("malformed opening of a route: {e}"))
    }
}
