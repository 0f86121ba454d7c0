//! Random and nearly right requests, from a seed.

use super::requests::Request;
use arrow_flight::sql::{
    Any, CommandGetTables, CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementQuery,
    ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{Action, FlightData, FlightDescriptor, Ticket};
use bytes::Bytes;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ACTIONS: &[&str] = &[
    "CancelFlightInfo",
    "CloseSession",
    "CancelQuery",
    "CreatePreparedStatement",
    "ClosePreparedStatement",
    "BeginTransaction",
    "EndTransaction",
    "BeginSavepoint",
    "CreatePreparedSubstraitPlan",
    "SetSessionOptions",
    "nothing",
    "",
];
/// What nodes call each other for.
const CALLS: &[&str] =
    &["execute", "remove_files", "list_files", "running_slices", "register", "interconnect", "", "nothing"];

pub struct Garbage {
    random: StdRng,
}

impl Garbage {
    pub fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Garbage { random: StdRng::seed_from_u64(seed) }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.random.random_range(0..=most);
        (0..length).map(|_| self.random.random()).collect()
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())].clone()
    }

    /// A request to the port of clients.
    pub fn request(&mut self) -> Request {
        match self.random.random_range(0..5) {
            0 => Request::DoGet(Ticket { ticket: self.command().into() }),
            1 => Request::GetFlightInfo(self.descriptor()),
            2 => Request::DoAction(self.action(ACTIONS)),
            3 => Request::GetSchema(self.descriptor()),
            _ => Request::DoPut(self.stream()),
        }
    }

    /// A request to the port of nodes.
    pub fn node_request(&mut self) -> Request {
        match self.random.random_range(0..3) {
            0 => {
                let mut action = self.action(CALLS);
                // The right content, more often than chance would have it.
                if self.random.random_bool(0.5) {
                    let content = self.random.random_range(-1..2_i32);
                    action.body = [&content.to_le_bytes()[..], &action.body].concat().into();
                }
                Request::Call { build: self.build(), action }
            }
            1 => Request::Route { opening: self.opening(), body: self.stream() },
            _ => self.request(),
        }
    }

    fn build(&mut self) -> Vec<u8> {
        match self.random.random_range(0..3) {
            0 => damson_tests::processes::BUILD.into(),
            1 => b"another".to_vec(),
            _ => self.bytes(40),
        }
    }

    fn opening(&mut self) -> Vec<u8> {
        let build = damson_tests::processes::BUILD;
        let (query, sender, receiver) = (self.random.random_range(0..1_u64 << 40), self.random.random_range(-3..3), 0);
        let version = self.random.random_range(0..4);
        let route = format!(r#"{{"query":{query},"motion":2,"sender":{sender},"receiver":{receiver}}}"#);
        let good = format!(r#"{{"version":{version},"build":"{build}","route":{route}}}"#).into_bytes();
        match self.random.random_range(0..3) {
            0 => good,
            1 => self.damage(&good),
            _ => self.bytes(100),
        }
    }

    fn descriptor(&mut self) -> FlightDescriptor {
        FlightDescriptor {
            r#type: self.random.random_range(-1..4),
            cmd: self.command().into(),
            path: (0..self.random.random_range(0..3)).map(|i| format!("path{i}")).collect(),
        }
    }

    /// Random bytes, an unknown or damaged command, or one with a handle that was never given out.
    fn command(&mut self) -> Vec<u8> {
        let handle: Bytes = {
            let handle = if self.random.random_bool(0.5) { vec![7; 16] } else { self.bytes(40) };
            handle.into()
        };
        let good = match self.random.random_range(0..6) {
            0 => TicketStatementQuery { statement_handle: handle }.as_any(),
            1 => CommandPreparedStatementQuery { prepared_statement_handle: handle }.as_any(),
            2 => CommandPreparedStatementUpdate { prepared_statement_handle: handle }.as_any(),
            3 => {
                let query = format!("SELECT {}", String::from_utf8_lossy(&self.bytes(20)));
                CommandStatementQuery { query, transaction_id: None }.as_any()
            }
            4 => CommandGetTables { table_name_filter_pattern: Some("%".into()), ..Default::default() }.as_any(),
            _ => {
                let name = self.pick(&["CommandGetCatalogs", "CommandGetSqlInfo", "TicketStatementQuery", "Nothing"]);
                let type_url = format!("type.googleapis.com/arrow.flight.protocol.sql.{name}");
                Any { type_url, value: self.bytes(60).into() }
            }
        }
        .encode_to_vec();
        match self.random.random_range(0..3) {
            0 => good,
            1 => self.damage(&good),
            _ => self.bytes(200),
        }
    }

    fn action(&mut self, names: &[&str]) -> Action {
        let name = self.pick(names);
        Action {
            r#type: name.into(),
            body: if self.random.random_bool(0.5) { self.command() } else { self.bytes(100) }.into(),
        }
    }

    fn stream(&mut self) -> Vec<FlightData> {
        let count = self.random.random_range(0..4);
        (0..count)
            .map(|i| FlightData {
                flight_descriptor: (i == 0).then(|| self.descriptor()),
                data_header: self.bytes(300).into(),
                app_metadata: {
                    let kind = self.pick(&[b"".to_vec(), b"B".to_vec(), b"E".to_vec(), b"F{}".to_vec(), b"Z".to_vec()]);
                    kind.into()
                },
                data_body: self.bytes(2000).into(),
            })
            .collect()
    }

    /// A bit flipped, a piece cut off, or something added; never the same.
    fn damage(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bad = good.to_vec();
        if bad.is_empty() {
            return vec![0xff];
        }
        let at = self.random.random_range(0..bad.len());
        match self.random.random_range(0..3) {
            0 => bad[at] ^= 1 << self.random.random_range(0..8),
            1 => bad.truncate(at),
            _ => bad.insert(at, self.random.random()),
        }
        bad
    }

    /// A ticket with another handle.
    pub fn forge(&mut self, ticket: &Ticket) -> Ticket {
        let mut bytes = ticket.ticket.to_vec();
        // The handle is what comes last.
        let at = bytes.len() - 1 - self.random.random_range(0..16);
        bytes[at] ^= 1 << self.random.random_range(0..8);
        Ticket { ticket: bytes.into() }
    }

    /// The bytes of a connection: anything, or frames of HTTP/2.
    pub fn connection(&mut self) -> Vec<u8> {
        let mut bytes = if self.random.random_bool(0.7) { PREFACE.to_vec() } else { vec![] };
        for _ in 0..self.random.random_range(0..8) {
            if self.random.random_bool(0.2) {
                bytes.extend(self.bytes(5000));
                continue;
            }
            let payload = self.bytes(200);
            let length = if self.random.random_bool(0.9) { payload.len() as u32 } else { self.random.random() };
            bytes.extend(&length.to_be_bytes()[1..]);
            // Type and flags, then the stream.
            bytes.push(self.random.random_range(0..12));
            bytes.push(self.random.random());
            bytes.extend((self.random.random_range(0..6_u32)).to_be_bytes());
            bytes.extend(payload);
        }
        bytes
    }
}

/// Says it on a connection of its own, and reads what comes until the other side has had enough.
pub fn throw(address: SocketAddr, bytes: &[u8]) {
    const PATIENCE: Duration = Duration::from_millis(100);
    let mut socket = TcpStream::connect(address).expect("the port is open");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.set_write_timeout(Some(PATIENCE)).expect("a socket");
    // The other side may close at any byte: that is an answer.
    let _ = socket.write_all(bytes);
    let mut answer = [0; 4096];
    while matches!(socket.read(&mut answer), Ok(length) if length > 0) {}
}
