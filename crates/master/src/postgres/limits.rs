//! What one client, and all of them, may hold.

use crate::limits::{OPENING, OPENINGS_MAX};
use crate::sessions::SESSIONS_MAX;
use std::time::Duration;

/// Connections at once: all sessions that there may be, those that open, and as many that close; more are closed without a word.
pub(super) const ACCEPTED_MAX: usize = SESSIONS_MAX + 2 * OPENINGS_MAX;

/// Of [`OPENING`], a handshake of TLS: some packets there and back.
pub(super) const TLS_HANDSHAKE: Duration = Duration::from_secs(15);

/// A client that reads nothing any more has so long to take what its session's end tells it.
pub(super) const FAREWELL: Duration = Duration::from_secs(3);

/// A client that was not heard of for so long is asked whether it is there, and so often again; after nine times without an answer, which is
/// Linux's own number, the connection has ended.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);
pub(super) const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// The first packet of a connection, whose sender nobody knows: PostgreSQL's own bound.
pub(super) const OPENING_BYTES_MAX: usize = 10_000;

/// An answer to what a connection is asked that opens: a password, or a message of SCRAM. PostgreSQL's own have at most 1,024 bytes.
pub(super) const AUTHENTICATION_BYTES_MAX: usize = 4 << 10;

/// A message of a client: a statement's text, or its parameters.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A message of a kind that has names and numbers: PostgreSQL's own bound.
pub(super) const SHORT_MESSAGE_BYTES_MAX: usize = 10_000;

/// Room that is made to read into: little for idle clients, more for a message that is longer.
pub(super) const READ_BYTES: usize = 8 << 10;
pub(super) const READ_BYTES_MAX: usize = 1 << 20;

/// What is read of a client's next messages while a statement runs, to see whether the client is there.
pub(super) const AHEAD_BYTES_MAX: usize = 64 << 10;

/// Answers are gathered until they are so long, or the client waits.
pub(super) const SEND_BYTES: usize = 64 << 10;

/// Rows are encoded in pieces of about this size; with so many waiting, one is sent while one is made.
pub(super) const ROWS_BYTES: usize = 256 << 10;
pub(super) const ROWS_AHEAD: usize = 2;

/// Rows that a client copies go on together, up to so many, or about so many bytes.
pub(super) const COPY_ROWS: usize = 8_192;
pub(super) const COPY_BYTES: usize = 4 << 20;

/// Of a value that COPY cannot take, so much is shown: as much as PostgreSQL shows.
pub(super) const COPY_VALUE_BYTES_MAX: usize = 100;

/// Prepared statements, and portals, of a connection.
pub(super) const STATEMENTS_MAX: usize = 10_000;
pub(super) const PORTALS_MAX: usize = 1_000;

/// Bytes of their texts, names and values.
pub(super) const KEPT_BYTES_MAX: usize = 256 << 20;

/// How long nothing is accepted when the process has no file descriptors left.
pub(super) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

const _: () = assert!(OPENING_BYTES_MAX < MESSAGE_BYTES_MAX && AUTHENTICATION_BYTES_MAX < OPENING_BYTES_MAX);
const _: () = assert!(READ_BYTES <= READ_BYTES_MAX && MESSAGE_BYTES_MAX < KEPT_BYTES_MAX);
const _: () = assert!(TLS_HANDSHAKE.as_secs() < OPENING.as_secs());
