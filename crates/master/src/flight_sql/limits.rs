//! What one client, and all of them, may hold.

use crate::limits::OPENING;
use crate::sessions::SESSIONS_MAX;
use std::time::Duration;

/// Statements that a session has prepared, or planned and not fetched. JDBC pools keep a few hundred.
pub(super) const STATEMENTS_MAX: usize = 1_000;

/// A planned statement that was not fetched for so long is forgotten; so is a prepared one when there is no room.
pub(super) const STATEMENT_IDLE: Duration = Duration::from_secs(600);

/// How long a query that a reader of its rows has left waits for word of why: the segment may have died.
pub(super) const CAUSE_WAIT: Duration = Duration::from_secs(1);

/// What a client asks a segment for: a ticket of some hundred bytes, or an action.
pub(super) const DOOR_REQUEST_BYTES_MAX: usize = 4 << 10;

/// Tokens of those who have logged in at segments, each of some 200 bytes.
pub(super) const PASSES_MAX: usize = 10_000;

/// A session that made no call for so long is forgotten, with its settings.
pub(super) const SESSION_IDLE: Duration = Duration::from_secs(24 * 3600);

/// Clients whose sessions have ended, and who have not called since to be told so, are forgotten beyond so many.
pub(super) const ENDED_KEPT: usize = 64;

/// Of those that did not log in, and whose connections are there, so many are told all the same, as many as have sessions; of more the last.
pub(super) const UNTOLD_MAX: usize = SESSIONS_MAX;

/// One gRPC message from a client: a statement's text, or a batch of parameters or of rows to ingest.
pub(super) const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Rows that a client binds to one INSERT run together, up to so many values a statement: each is a node of the plan, of
/// about 1 KiB while it is planned.
pub(super) const BULK_VALUES_MAX: usize = 20_000;

/// Bytes of the values of such a statement, besides those of its last row, and of its text.
pub(super) const BULK_BYTES_MAX: usize = 16 << 20;
pub(super) const BULK_TEXT_BYTES_MAX: usize = 4 << 20;

/// Bytes of the rows that a client binds to a statement before it executes it.
pub(super) const BOUND_BYTES_MAX: usize = 64 << 20;

/// An ingest's rows go on in pieces of so many: what is encoded in a batch, such as its dictionaries, is decoded a piece at a time.
pub(super) const INGEST_PIECE_ROWS: usize = 8_192;

/// Encoded messages of a result that wait for the client: with [`MESSAGE_BYTES`] each, one is sent while one is made.
pub(super) const MESSAGES_AHEAD: usize = 2;

/// Aimed size of a result's messages. Most clients refuse messages of over 4 MiB, and the encoder's split is inexact.
pub(super) const MESSAGE_BYTES: usize = 1 << 20;
const _: () = assert!(MESSAGE_BYTES * 2 <= 4 << 20);

/// An error travels in HTTP/2 headers, which C++ clients bound by 8 KiB in all: percent-encoded message, then base64 of
/// message, detail and hint.
pub(super) const STATUS_MESSAGE_BYTES_MAX: usize = 2_400;
pub(super) const HEADER_TEXT_BYTES_MAX: usize = 900;
const _: () = assert!(STATUS_MESSAGE_BYTES_MAX + 3 * (HEADER_TEXT_BYTES_MAX * 4 / 3) < 7 << 10);

/// From a connection's beginning to the end of its handshake of TLS, or to its first byte if it wants none.
pub(super) const TLS_HANDSHAKE: Duration = Duration::from_secs(15);
const _: () = assert!(TLS_HANDSHAKE.as_secs() < OPENING.as_secs());

/// How long nothing is accepted when the process has no file descriptors left.
pub(super) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A client that does not answer a ping for so long is gone, and its queries are cancelled.
pub(super) const PING_EVERY: Duration = Duration::from_secs(10);
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a write that waits for others, about a frame of a large result; and of all that waits, a few frames.
pub(super) const GATHERED_FROM_BYTES: usize = 8 << 10;
pub(super) const GATHERED_BYTES_MAX: usize = 128 << 10;
