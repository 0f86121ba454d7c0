//! A server of the PostgreSQL protocol for tests: it says what it is told to say.

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// Held by tests that send signals, which all tests of the process get.
pub(in crate::shell) static SIGNALS: Mutex<()> = Mutex::const_new(());

/// What a request to cancel has in place of a version.
const CANCEL_REQUEST: u32 = 80_877_102;
const SECRET: u32 = 42;

/// A place to listen at, and its URL.
pub(in crate::shell) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgresql://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// The next connection, of a user `ann`, whose session gets that number.
pub(in crate::shell) async fn let_in(listener: &TcpListener, session: u32) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    assert!(read(&mut stream).await.starts_with(b"\0\x03\0\0user\0ann\0"));
    let key = message(b'K', &[session.to_be_bytes(), SECRET.to_be_bytes()].concat());
    let welcome = [message(b'R', b"\0\0\0\0"), key, message(b'Z', b"I")].concat();
    stream.write_all(&welcome).await.unwrap();
    stream
}

/// The next message, which is of that kind.
pub(in crate::shell) async fn heard(stream: &mut TcpStream, kind: u8) -> Vec<u8> {
    assert_eq!(char::from(stream.read_u8().await.unwrap()), char::from(kind));
    read(stream).await
}

/// The next connection, which is a request to cancel: whose session's.
pub(in crate::shell) async fn cancelled(listener: &TcpListener) -> u32 {
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(stream.read_u32().await.unwrap(), 16);
    assert_eq!(stream.read_u32().await.unwrap(), CANCEL_REQUEST);
    let session = stream.read_u32().await.unwrap();
    assert_eq!(stream.read_u32().await.unwrap(), SECRET);
    session
}

/// A message without its kind.
async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_u32().await.unwrap() as usize;
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body).await.unwrap();
    body
}

pub(in crate::shell) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_u8(kind);
    bytes.put_u32(body.len() as u32 + 4);
    bytes.put_slice(body);
    bytes.to_vec()
}

/// One column `n` of type bigint.
pub(in crate::shell) fn columns() -> Vec<u8> {
    message(b'T', b"\0\x01n\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0")
}

pub(in crate::shell) fn row(value: &str) -> Vec<u8> {
    let length = (value.len() as u32).to_be_bytes();
    message(b'D', &[b"\0\x01", &length[..], value.as_bytes()].concat())
}

/// CommandComplete and ReadyForQuery.
pub(in crate::shell) fn end(tag: &str) -> Vec<u8> {
    [message(b'C', format!("{tag}\0").as_bytes()), message(b'Z', b"I")].concat()
}

/// ErrorResponse, and ReadyForQuery unless it is the last word.
pub(in crate::shell) fn error(severity: &str, sqlstate: &str, text: &str) -> Vec<u8> {
    let fields = format!("S{severity}\0V{severity}\0C{sqlstate}\0M{text}\0\0");
    let ready = if severity == "FATAL" { vec![] } else { message(b'Z', b"I") };
    [message(b'E', fields.as_bytes()), ready].concat()
}
