//! The small messages of a route's stream: a length, four bytes, big-endian, and JSON.

use super::describe::{describe_read, describe_read_exact};
use quinn::{ReadExactError, RecvStream};

const LENGTH_BYTES: usize = 4;

/// A message as it goes into a stream.
pub(super) fn encode(json: &[u8]) -> Vec<u8> {
    let length = u32::try_from(json.len()).expect("messages are small");
    [&length.to_be_bytes()[..], json].concat()
}

/// The next message of a stream; None at its end.
///
/// # Errors
/// A stream that breaks, ends within a message, or has one that is longer than it may be.
pub(super) async fn read(stream: &mut RecvStream, bytes_max: usize) -> Result<Option<Vec<u8>>, String> {
    let mut length = [0; LENGTH_BYTES];
    match stream.read_exact(&mut length).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(describe_read_exact(&error)),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > bytes_max {
        return Err(format!("a message of {length} bytes, not of up to {bytes_max}"));
    }
    let mut json = vec![0; length];
    stream.read_exact(&mut json).await.map_err(|e| describe_read_exact(&e))?;
    Ok(Some(json))
}

/// Reads a stream to its end for nothing.
///
/// # Errors
/// The stream breaks.
pub(super) async fn skip(stream: &mut RecvStream) -> Result<(), String> {
    while stream.read_chunk(usize::MAX, false).await.map_err(|e| describe_read(&e))?.is_some() {}
    Ok(())
}
