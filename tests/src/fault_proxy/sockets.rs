//! Sockets, and which process has one.

use super::TICK;
use super::faults::Links;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// A test says which process a node is just after it has started it; the node's first connection may come before that.
const PROCESS_WAIT: Duration = Duration::from_secs(5);
const PORT_TRIES: usize = 32;

/// A port of the loopback that is free for both.
pub(super) fn tcp_and_udp() -> io::Result<(TcpListener, UdpSocket)> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        match UdpSocket::bind(listener.local_addr()?) {
            Ok(socket) => return Ok((listener, socket)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("no port")))
}

/// The node that has the other end of a connection; None when none has, or the network is over.
pub(super) fn caller(links: &Links, connection: &TcpStream) -> Option<String> {
    let (near, far) = (connection.local_addr().ok()?, connection.peer_addr().ok()?);
    let started = Instant::now();
    loop {
        if let Some(name) = owner(links, "tcp", far, Some(near)) {
            return Some(name);
        }
        if links.is_over() || started.elapsed() > PROCESS_WAIT {
            return None;
        }
        std::thread::sleep(TICK);
    }
}

/// The node that has the socket that datagrams come from, if it is known by now.
pub(super) fn sender(links: &Links, from: SocketAddr) -> Option<String> {
    owner(links, "udp", from, None)
}

/// `protocol` is a file of `/proc/net`. A datagram socket may have any address: ports are enough.
fn owner(links: &Links, protocol: &str, local: SocketAddr, remote: Option<SocketAddr>) -> Option<String> {
    let inode = inode(protocol, local, remote)?;
    links.processes().into_iter().rev().find(|(_, pid)| has_socket(*pid, inode)).map(|(name, _)| name)
}

fn inode(protocol: &str, local: SocketAddr, remote: Option<SocketAddr>) -> Option<u64> {
    let table = fs::read_to_string(format!("/proc/net/{protocol}")).ok()?;
    let is = |column: Option<&&str>, port: u16| column.is_some_and(|c| c.ends_with(&format!(":{port:04X}")));
    let mut rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.find_map(|columns| {
        let is_it = is(columns.get(1), local.port()) && remote.is_none_or(|r| is(columns.get(2), r.port()));
        // A closed socket lingers without inode.
        if is_it { columns.get(9)?.parse().ok().filter(|inode| *inode != 0) } else { None }
    })
}

fn has_socket(pid: u32, inode: u64) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let name = format!("socket:[{inode}]");
    open.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.to_str() == Some(&name)))
}
