//! Sockets, and which process has one.

use super::TICK;
use super::faults::Links;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
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

/// The node whose process has a socket with this local port; None when none has, or the network is over.
pub(super) fn owner(links: &Links, protocol: &str, local: SocketAddr) -> Option<String> {
    let started = Instant::now();
    loop {
        if let Some(inode) = inode(protocol, local) {
            for (name, pid) in links.processes().into_iter().rev() {
                if has_socket(pid, inode) {
                    return Some(name);
                }
            }
        }
        if links.is_over() || started.elapsed() > PROCESS_WAIT {
            return None;
        }
        std::thread::sleep(TICK);
    }
}

/// `protocol` is a file of `/proc/net`. A datagram socket may have any address: ports are enough.
fn inode(protocol: &str, local: SocketAddr) -> Option<u64> {
    let table = fs::read_to_string(format!("/proc/net/{protocol}")).ok()?;
    let port = format!(":{:04X}", local.port());
    let row = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut mine = row.filter(|columns| columns.get(1).is_some_and(|address| address.ends_with(&port)));
    // A closed socket lingers without inode.
    mine.find_map(|columns| columns.get(9)?.parse().ok().filter(|inode| *inode != 0))
}

fn has_socket(pid: u32, inode: u64) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let name = format!("socket:[{inode}]");
    open.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.to_str() == Some(&name)))
}
