//! Bytes of the PostgreSQL protocol, for clients that do what no client does.

use tokio::io::{AsyncRead, AsyncReadExt};

/// What asks for TLS before anything else.
pub(crate) const TLS_REQUEST: [u8; 8] = *b"\0\0\0\x08\x04\xd2\x16\x2f";

/// A message with its length.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

/// A packet that opens a connection, with its length.
pub(crate) fn packet(body: &[u8]) -> Vec<u8> {
    message(b' ', body)[1..].to_vec()
}

/// Of a user whom a demo, and the tests' clusters, let in.
pub(crate) fn opening() -> Vec<u8> {
    packet(b"\0\x03\0\0user\0alice\0database\0damson\0\0")
}

/// Reads up to the kind that is waited for, or the end; gives each message.
pub(crate) async fn read_to(stream: &mut (impl AsyncRead + Unpin), last: Option<u8>) -> Vec<(u8, Vec<u8>)> {
    let mut messages = vec![];
    loop {
        let mut head = [0; 5];
        if stream.read_exact(&mut head).await.is_err() {
            assert_eq!(last, None, "{messages:?}");
            return messages;
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await.expect("all of it");
        messages.push((head[0], body));
        if last == Some(head[0]) {
            return messages;
        }
    }
}

/// The SQLSTATE of the first error.
pub(crate) fn error_of(messages: &[(u8, Vec<u8>)]) -> Option<String> {
    let (_, body) = messages.iter().find(|(kind, _)| *kind == b'E')?;
    let mut fields = body.split(|byte| *byte == 0);
    fields.find_map(|field| field.strip_prefix(b"C")).map(|code| String::from_utf8_lossy(code).into_owned())
}
