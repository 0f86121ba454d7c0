//! UDP sockets for QUIC.

use crate::limits::{UDP_PAYLOAD_BYTES_MAX, UDP_SOCKET_BUFFER_BYTES};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Endpoint, Runtime, ServerConfig, TokioRuntime, UdpPoller};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};

/// Sockets that take connections at one address; the kernel spreads peers over them by their addresses.
///
/// # Errors
/// The address is taken, or not this host's.
pub(super) fn listening(address: SocketAddr, count: usize) -> io::Result<Vec<Socket>> {
    let bind = || {
        let socket = open(address)?;
        // Another process cannot come in between: the node has the TCP port of the same number.
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    (0..count).map(|_| bind()).collect()
}

/// A socket that connections are made from, at a port of the kernel's choice.
///
/// # Errors
/// The host does not have the address's family.
pub(super) fn calling(any: SocketAddr) -> io::Result<Socket> {
    let socket = open(any)?;
    socket.bind(&any.into())?;
    Ok(socket)
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(UDP_SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(UDP_SOCKET_BUFFER_BYTES)?;
    let (receive_bytes, send_bytes) = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
    // It says twice what it gives, for its own needs.
    if receive_bytes.min(send_bytes) < 2 * UDP_SOCKET_BUFFER_BYTES {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            tracing::warn!(
                receive_bytes = receive_bytes / 2,
                send_bytes = send_bytes / 2,
                wanted_bytes = UDP_SOCKET_BUFFER_BYTES,
                "small UDP buffers: raise net.core.rmem_max and net.core.wmem_max"
            );
        });
    }
    Ok(socket)
}

/// Hands a socket to quinn. In the runtime that is to own it.
///
/// # Errors
/// The runtime does not take it.
pub(super) fn endpoint(socket: Socket, server: Option<ServerConfig>) -> io::Result<Endpoint> {
    let runtime = Arc::new(TokioRuntime);
    let socket = PeerSocket(runtime.wrap_udp_socket(socket.into())?);
    Endpoint::new_with_abstract_socket(super::transport::endpoint_config(), server, Arc::new(socket), runtime)
}

/// quinn's socket, made fit for large datagrams.
#[derive(Debug)]
struct PeerSocket(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for PeerSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.0).create_io_poller()
    }

    /// quinn gathers a fixed number of datagrams, however large; the kernel would drop more than it takes at once.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if transmit.contents.len() <= UDP_PAYLOAD_BYTES_MAX {
            return self.0.try_send(transmit);
        }
        let segment_bytes = transmit.segment_size.unwrap_or(transmit.contents.len());
        let segments = (UDP_PAYLOAD_BYTES_MAX / segment_bytes).max(1);
        // If one part must wait, all are sent again: a peer drops what it has.
        transmit.contents.chunks(segments * segment_bytes).try_for_each(|contents| {
            let segment_size = transmit.segment_size.filter(|bytes| *bytes < contents.len());
            self.0.try_send(&Transmit { contents, segment_size, ..*transmit })
        })
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(context, buffers, metas)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments()
    }

    /// Datagrams that the kernel joined are together no longer than the longest one that is accepted, for which quinn has
    /// room anyway; it would reserve this many times that.
    fn max_receive_segments(&self) -> usize {
        1
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}
