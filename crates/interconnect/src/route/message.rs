//! What the two ends of a route tell each other.

use crate::RouteError;
use serde::{Deserialize, Serialize};

/// From sender to receiver, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToReceiver {
    /// A message of a batch; `is_last` ends the batch (a schema or dictionaries may precede it).
    Data {
        bytes: u64,
        is_last: bool,
    },
    /// The explicit end-of-stream.
    End,
    Fail(RouteError),
}

/// From receiver to sender, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ToSender {
    /// How many unacknowledged bytes the sender may have from now on.
    Credit(u64),
    /// Bytes that were taken.
    Taken(u64),
    /// No more rows are wanted.
    Stop,
    Fail(RouteError),
}
