//! The bytes of batches through a socket: what the machine can do without any protocol.

use super::Run;
use crate::error::BenchError;
use crate::limits::BATCH_BYTES;
use crate::message::{Side, Socket, Totals};
use crate::meter::Meter;
use crate::rows::{self, Rows};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;

/// One stream, a blocking thread at each end, one `write` for each batch and reads into one buffer of that size.
pub struct Copy {
    socket: Socket,
    listener: Option<Listener>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Copy {
    pub fn new(socket: Socket, side: Side) -> Result<Self, BenchError> {
        let listener = match socket {
            _ if !side.receives() => None,
            Socket::Tcp => Some(Listener::Tcp(TcpListener::bind("127.0.0.1:0")?)),
            Socket::Unix => {
                let path = std::env::temp_dir().join(format!("damson-bench-{}.sock", std::process::id()));
                Some(Listener::Unix(UnixListener::bind(&path)?, path))
            }
        };
        Ok(Copy { socket, listener })
    }
}

impl Run for Copy {
    fn address(&self) -> String {
        match &self.listener {
            None => String::new(),
            Some(Listener::Tcp(listener)) => listener.local_addr().map_or_else(|_| String::new(), |a| a.to_string()),
            Some(Listener::Unix(_, path)) => path.display().to_string(),
        }
    }

    fn run(&mut self, peer: &str, meter: &Arc<Meter>) -> Result<Totals, BenchError> {
        match (&self.listener, self.socket) {
            (Some(Listener::Tcp(listener)), _) => receive(listener.accept()?.0, meter),
            (Some(Listener::Unix(listener, path)), _) => {
                let (stream, _) = listener.accept()?;
                std::fs::remove_file(path)?;
                receive(stream, meter)
            }
            (None, Socket::Tcp) => send(TcpStream::connect(peer)?, meter),
            (None, Socket::Unix) => send(UnixStream::connect(peer)?, meter),
        }
    }
}

fn send(mut stream: impl Write, meter: &Meter) -> Result<Totals, BenchError> {
    let bodies: Vec<Vec<u8>> = rows::batches(Rows::Random)
        .iter()
        .map(|batch| {
            let columns = batch.columns().iter().map(|column| column.as_primitive::<Int64Type>());
            columns.flat_map(|column| column.values().inner().as_slice()).copied().collect()
        })
        .collect();
    let mut totals = Totals::default();
    for body in bodies.iter().cycle() {
        if meter.is_over() {
            break;
        }
        stream.write_all(body)?;
        meter.add(body.len());
        totals.bytes += body.len() as u64;
        totals.batches += 1;
    }
    totals.encoded_bytes = totals.bytes;
    Ok(totals)
}

fn receive(mut stream: impl Read, meter: &Meter) -> Result<Totals, BenchError> {
    let mut buffer = vec![0; BATCH_BYTES];
    let mut totals = Totals::default();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(totals),
            Ok(bytes) => {
                meter.add(bytes);
                totals.bytes += bytes as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
