//! TCP connections through a proxy.

use super::TICK;
use super::faults::Links;
use super::sockets;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

/// Pieces of one direction that have come and not left: what a network would hold, more is the sender's.
const PIECES_MAX: usize = 16;

/// Accepts connections to the node `name` until the network ends.
pub(super) fn serve(links: Arc<Links>, name: String, listener: TcpListener, target: SocketAddr) {
    listener.set_nonblocking(true).expect("a socket");
    thread::spawn(move || {
        while !links.is_over() {
            match listener.accept() {
                Ok((near, _)) => {
                    let (links, name) = (Arc::clone(&links), name.clone());
                    // An error is a connection less, which its nodes notice.
                    thread::spawn(move || connect(&links, &name, near, target).is_ok());
                }
                Err(_) => thread::sleep(TICK),
            }
        }
    });
}

fn connect(links: &Arc<Links>, name: &str, near: TcpStream, target: SocketAddr) -> io::Result<()> {
    near.set_nonblocking(false)?;
    near.set_nodelay(true)?;
    let Some(caller) = sockets::caller(links, &near) else { return Ok(()) };
    let due = links.due(&caller, name, 0);
    if !links.wait(&caller, name, due) {
        return Ok(());
    }
    let far = TcpStream::connect(target)?;
    far.set_nodelay(true)?;
    let recorded = links.opened(&caller, name, [near.try_clone()?, far.try_clone()?]);
    carry(links, [&caller, name], near.try_clone()?, far.try_clone()?, recorded);
    carry(links, [name, &caller], far, near, None);
    Ok(())
}

struct Piece {
    due: Instant,
    /// Empty at the stream's end.
    bytes: Vec<u8>,
}

/// One direction: a thread that reads, and one that writes when it is time.
fn carry(links: &Arc<Links>, [from, to]: [&str; 2], source: TcpStream, sink: TcpStream, recorded: Option<usize>) {
    let (sender, receiver) = sync_channel(PIECES_MAX);
    let (reading, ends) = (Arc::clone(links), [from.to_owned(), to.to_owned()]);
    thread::spawn(move || read(&reading, &ends, source, &sender, recorded));
    let (writing, ends) = (Arc::clone(links), [from.to_owned(), to.to_owned()]);
    thread::spawn(move || write(&writing, &ends, sink, &receiver));
}

fn read(
    links: &Links,
    [from, to]: &[String; 2],
    mut source: TcpStream,
    sender: &SyncSender<Piece>,
    recorded: Option<usize>,
) {
    let mut room = Vec::new();
    loop {
        let bytes = links.faults(from, to).piece_bytes();
        if room.len() < bytes {
            room = vec![0; bytes];
        }
        let buffer = &mut room[..bytes];
        let length = match source.read(buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        if let Some(at) = recorded {
            links.keep(from, to, at, &buffer[..length]);
        }
        let piece = Piece { due: links.due(from, to, length), bytes: buffer[..length].to_vec() };
        if sender.send(piece).is_err() || length == 0 {
            return;
        }
    }
}

fn write(links: &Links, [from, to]: &[String; 2], mut sink: TcpStream, receiver: &Receiver<Piece>) {
    while let Ok(Piece { due, bytes }) = receiver.recv() {
        if !links.wait(from, to, due) {
            break;
        }
        if bytes.is_empty() {
            // The peer hears of an end only over a link that is there.
            let _ = sink.shutdown(Shutdown::Write);
            return;
        }
        if sink.write_all(&bytes).is_err() {
            break;
        }
        links.passed(from, to, bytes.len());
    }
    let _ = sink.shutdown(Shutdown::Both);
}
