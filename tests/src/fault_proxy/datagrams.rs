//! Datagrams through a proxy: QUIC's.

use super::TICK;
use super::faults::Links;
use super::sockets;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Larger than any datagram.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// How much later a reordered datagram comes: a few others overtake it.
const REORDER_DELAY: Duration = Duration::from_millis(3);
/// Room for a burst.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Passes datagrams to the node `name`, and its answers back, until the network ends.
pub(super) fn serve(links: Arc<Links>, name: String, socket: UdpSocket, target: SocketAddr) {
    socket.set_read_timeout(Some(TICK)).expect("a socket");
    enlarge(&socket);
    let near = Arc::new(socket);
    thread::spawn(move || {
        let mut callers: HashMap<SocketAddr, Way> = HashMap::new();
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while !links.is_over() {
            let Some((length, from)) = receive(&near, &mut buffer) else { continue };
            let way = match callers.entry(from) {
                Entry::Occupied(way) => way.into_mut(),
                Entry::Vacant(new) => match open(&links, &name, Arc::clone(&near), from, target) {
                    Some(way) => new.insert(way),
                    None => continue,
                },
            };
            way.pass(&links, &buffer[..length]);
        }
    });
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    match socket.recv_from(buffer) {
        Ok(received) => Some(received),
        Err(error) => {
            // A refusal tells of an earlier datagram; the timeout is the ordinary case.
            if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused) {
                thread::sleep(TICK);
            }
            None
        }
    }
}

/// A socket for one caller's datagrams, and the thread that takes the answers back.
fn open(links: &Arc<Links>, name: &str, near: Arc<UdpSocket>, caller: SocketAddr, target: SocketAddr) -> Option<Way> {
    let from = sockets::sender(links, caller)?;
    let far = Arc::new(UdpSocket::bind("127.0.0.1:0").ok()?);
    far.set_read_timeout(Some(TICK)).ok()?;
    enlarge(&far);
    let back = Way::new(links, name, &from, Arc::clone(&near), caller);
    let (answers, links_back) = (Arc::clone(&far), Arc::clone(links));
    thread::spawn(move || {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while !links_back.is_over() {
            if let Some((length, _)) = receive(&answers, &mut buffer) {
                back.pass(&links_back, &buffer[..length]);
            }
        }
    });
    Some(Way::new(links, &from, name, far, target))
}

/// The system's default holds few datagrams: it would lose more than the test asks for.
fn enlarge(socket: &UdpSocket) {
    use nix::sys::socket::{setsockopt, sockopt};
    // As far as the system lets.
    let _ = setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES);
    let _ = setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER_BYTES);
}

/// One direction of one caller.
struct Way {
    from: String,
    to: String,
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    later: Sender<Late>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    due: Instant,
    bytes: Vec<u8>,
}

impl Way {
    fn new(links: &Arc<Links>, from: &str, to: &str, socket: Arc<UdpSocket>, address: SocketAddr) -> Self {
        let (later, receiver) = channel();
        let (links, out) = (Arc::clone(links), Arc::clone(&socket));
        thread::spawn(move || send_late(&links, &receiver, &out, address));
        Way { from: from.to_owned(), to: to.to_owned(), socket, address, later }
    }

    fn pass(&self, links: &Links, bytes: &[u8]) {
        let faults = links.faults(&self.from, &self.to);
        if faults.is_cut || links.happens(faults.loss_percent) {
            return;
        }
        links.passed(&self.from, &self.to, bytes.len());
        let copies = 1 + u32::from(links.happens(faults.duplicate_percent));
        for _ in 0..copies {
            let mut delay = faults.delay;
            if links.happens(faults.reorder_percent) {
                delay += REORDER_DELAY;
            }
            if delay.is_zero() {
                // The network may lose what it cannot hold.
                let _ = self.socket.send_to(bytes, self.address);
            } else {
                let _ = self.later.send(Late { due: Instant::now() + delay, bytes: bytes.to_vec() });
            }
        }
    }
}

/// Sends datagrams when they are due.
fn send_late(links: &Links, receiver: &Receiver<Late>, socket: &UdpSocket, address: SocketAddr) {
    let mut waiting: BinaryHeap<Reverse<Late>> = BinaryHeap::new();
    while !links.is_over() {
        let now = Instant::now();
        let next = waiting.peek().map_or(TICK, |Reverse(late)| late.due.saturating_duration_since(now));
        match receiver.recv_timeout(next.min(TICK)) {
            Ok(late) => waiting.push(Reverse(late)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while waiting.peek().is_some_and(|Reverse(late)| late.due <= Instant::now()) {
            if let Some(Reverse(late)) = waiting.pop() {
                let _ = socket.send_to(&late.bytes, address);
            }
        }
    }
}
