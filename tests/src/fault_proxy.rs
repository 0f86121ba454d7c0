//! The network between the processes of a test, as a proxy before each of them that can cut, slow, delay and lose what one
//! named node sends another.
//!
//! A node listens where it likes and advertises its proxy's address, so that its peers reach it through the proxy. Who
//! called is told by the socket: the kernel says which process has it. TCP is a stream: what is lost there comes later, as
//! after TCP's own retransmission, and a cut that is mended goes on where it was. Datagrams are lost, doubled and reordered
//! in truth.

mod datagrams;
mod faults;
mod sockets;
mod streams;

pub use faults::Faults;

use faults::Links;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The proxies of one cluster. A clone is the same network; the threads end with the last one.
#[derive(Clone)]
pub struct FaultNetwork {
    links: Arc<Links>,
    _end: Arc<EndOnDrop>,
}

struct EndOnDrop(Arc<Links>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl FaultNetwork {
    /// A network without faults; `seed` decides what is lost once there are some.
    pub fn new(seed: u64) -> Self {
        let links = Arc::new(Links::new(seed));
        FaultNetwork { _end: Arc::new(EndOnDrop(Arc::clone(&links))), links }
    }

    /// Puts a proxy before the node that will listen on `target`, for TCP and UDP, and gives its address.
    ///
    /// # Panics
    /// When there is no port.
    pub fn add(&self, name: &str, target: SocketAddr) -> SocketAddr {
        let (listener, socket) = sockets::tcp_and_udp().expect("a free port");
        let address = listener.local_addr().expect("bound");
        streams::serve(Arc::clone(&self.links), name.to_owned(), listener, target);
        datagrams::serve(Arc::clone(&self.links), name.to_owned(), socket, target);
        address
    }

    /// Says which process a node is, as often as it is started: its connections are known by it.
    pub fn is_process(&self, name: &str, pid: u32) {
        self.links.set_process(name, pid);
    }

    /// What happens from now on to what `from` sends `to`.
    pub fn set(&self, from: &str, to: &str, faults: Faults) {
        self.links.set(from, to, faults);
    }

    /// The same both ways.
    pub fn set_both(&self, a: &str, b: &str, faults: Faults) {
        self.set(a, b, faults);
        self.set(b, a, faults);
    }

    /// Nothing passes any more between the two; connections stay open.
    pub fn cut(&self, a: &str, b: &str) {
        self.set_both(a, b, Faults::cut());
    }

    /// No faults between the two any more.
    pub fn mend(&self, a: &str, b: &str) {
        self.set_both(a, b, Faults::default());
    }

    /// Ends the TCP connections between the two, in order, wherever their bytes are.
    pub fn close(&self, a: &str, b: &str) {
        self.links.close(a, b);
    }

    /// Bytes that have passed from one to the other.
    pub fn bytes(&self, from: &str, to: &str) -> u64 {
        self.links.bytes(from, to)
    }

    /// From now on, keeps what `from` says first on each new TCP connection to `to`.
    pub fn record(&self, from: &str, to: &str) {
        self.links.record(from, to);
    }

    /// What was recorded, one a connection.
    pub fn recorded(&self, from: &str, to: &str) -> Vec<Vec<u8>> {
        self.links.recorded(from, to)
    }
}

/// How long a thread waits before it looks again.
const TICK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::wait_for;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Instant;

    /// This process as both `client` and `server`.
    fn network() -> (FaultNetwork, TcpListener, SocketAddr) {
        let network = FaultNetwork::new(1);
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = network.add("server", server.local_addr().expect("bound"));
        network.is_process("client", std::process::id());
        (network, server, address)
    }

    #[test]
    fn a_cut_holds_bytes_back_until_it_is_mended() {
        let (network, server, address) = network();
        let mut near = TcpStream::connect(address).expect("the proxy listens");
        let (mut far, _) = server.accept().expect("the proxy connects");
        let mut buffer = [0; 5];
        near.write_all(b"first").expect("sent");
        far.read_exact(&mut buffer).expect("no fault yet");

        network.set("client", "server", Faults::cut());
        near.write_all(b"later").expect("the proxy's side takes it");
        far.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
        let error = far.read_exact(&mut buffer).expect_err("nothing passes");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        // The other way is open.
        far.write_all(b"reply").expect("sent");
        near.read_exact(&mut buffer).expect("not cut");
        assert_eq!(&buffer, b"reply");

        network.mend("client", "server");
        far.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        far.read_exact(&mut buffer).expect("mended");
        assert_eq!(&buffer, b"later");
        // They are counted once they have been written.
        wait_for("ten bytes", Duration::from_secs(10), || (network.bytes("client", "server") == 10).then_some(()));
        network.close("client", "server");
        assert_eq!(far.read(&mut buffer).expect("an orderly end"), 0);
        assert_eq!(near.read(&mut buffer).expect("an orderly end"), 0);
    }

    #[test]
    fn delays_and_throttles_keep_every_byte_in_order() {
        let (network, server, address) = network();
        let faults = Faults {
            delay: Duration::from_millis(50),
            loss_percent: 5,
            bytes_per_s_max: Some(4_000_000),
            ..Faults::default()
        };
        network.set_both("client", "server", faults);
        let sent: Vec<u8> = (0..400_000_u32).map(|i| (i % 251) as u8).collect();
        let mut near = TcpStream::connect(address).expect("the proxy listens");
        let (mut far, _) = server.accept().expect("the proxy connects");
        let started = Instant::now();
        let expected = sent.clone();
        let writer = std::thread::spawn(move || near.write_all(&sent).map(|()| near));
        let mut received = vec![0; expected.len()];
        far.read_exact(&mut received).expect("every byte");
        assert!(received == expected, "bytes were changed or reordered");
        assert!(started.elapsed() >= Duration::from_millis(100), "it took {:?}", started.elapsed());
        drop(writer.join().expect("the writer ends"));
    }

    #[test]
    fn datagrams_are_lost_doubled_and_answered() {
        let network = FaultNetwork::new(7);
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = network.add("server", server.local_addr().expect("bound"));
        network.is_process("client", std::process::id());
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket");
        }
        let mut buffer = [0; 16];
        client.send_to(b"ask", address).expect("sent");
        let (length, through) = server.recv_from(&mut buffer).expect("it passes");
        assert_eq!(&buffer[..length], b"ask");
        server.send_to(b"answer", through).expect("sent");
        let (length, from) = client.recv_from(&mut buffer).expect("the answer passes");
        assert_eq!((&buffer[..length], from), (&b"answer"[..], address));

        network.set("client", "server", Faults { loss_percent: 30, duplicate_percent: 30, ..Faults::default() });
        for number in 0..200_u8 {
            client.send_to(&[number], address).expect("sent");
        }
        let mut seen = [0_u32; 200];
        while server.recv_from(&mut buffer).is_ok() {
            seen[usize::from(buffer[0])] += 1;
        }
        let (lost, doubled) = (seen.iter().filter(|n| **n == 0).count(), seen.iter().filter(|n| **n > 1).count());
        assert!((20..120).contains(&lost) && (10..120).contains(&doubled), "{lost} lost, {doubled} doubled");
        network.cut("client", "server");
        client.send_to(b"ask", address).expect("sent");
        assert!(server.recv_from(&mut buffer).is_err(), "nothing passes a cut");
    }
}
