//! What is measured, in order.

use crate::limits::{
    CONTENTS, LINGER, LINGER_QUICK, QUIC_ENDPOINTS, RECEIVERS, SLEEP, SLEEP_QUICK, SLEEP_WINDOWS, WARM_UP,
    WARM_UP_QUICK,
};
use crate::message::{Codec, NodeSpec, Schedule, Socket, Transport, Work};
use crate::options::Options;
use crate::rows::Rows;

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Measure {
    /// For `--only`, and unique.
    pub name: String,
    pub kind: Kind,
    pub way: Way,
    pub work: Work,
    pub schedule: Schedule,
    /// How often it is measured; the best counts.
    pub rounds: u32,
}

/// Which of the report's tables it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One stream of batches, or of their bytes.
    Stream,
    /// As many routes as there are contents a side.
    Streams,
    Redistribute,
    Compression {
        rows: Rows,
        codec: Codec,
    },
    Broadcast,
    SlowReceiver,
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Copy(Socket),
    DoPut,
    Route(Transport),
}

impl Way {
    /// As it is called in tables and charts.
    pub fn title(self) -> String {
        match self {
            Way::Copy(Socket::Tcp) => "plain TCP copy".into(),
            Way::Copy(Socket::Unix) => "plain unix copy".into(),
            Way::DoPut => "arrow-flight DoPut".into(),
            Way::Route(Transport::InProcess) => "in-process".into(),
            Way::Route(Transport::FlightUnix) => "Flight, unix".into(),
            Way::Route(Transport::FlightTcp) => "Flight, TCP".into(),
            Way::Route(Transport::FlightTls) => "Flight, TLS".into(),
            Way::Route(Transport::Quic { endpoints }) => format!("QUIC × {endpoints}"),
        }
    }

    fn name(self) -> String {
        match self {
            Way::Copy(Socket::Tcp) => "copy-tcp".into(),
            Way::Copy(Socket::Unix) => "copy-unix".into(),
            Way::DoPut => "do-put".into(),
            Way::Route(Transport::InProcess) => "in-process".into(),
            Way::Route(Transport::FlightUnix) => "flight-unix".into(),
            Way::Route(Transport::FlightTcp) => "flight-tcp".into(),
            Way::Route(Transport::FlightTls) => "flight-tls".into(),
            Way::Route(Transport::Quic { endpoints }) => format!("quic-{endpoints}"),
        }
    }
}

/// Transports between two processes.
pub const TRANSPORTS: [Transport; 5] = [
    Transport::FlightUnix,
    Transport::FlightTcp,
    Transport::FlightTls,
    Transport::Quic { endpoints: 1 },
    Transport::Quic { endpoints: QUIC_ENDPOINTS },
];

/// All measurements, or those that were asked for.
pub fn measures(options: &Options) -> Vec<Measure> {
    let mut list = vec![];
    let mut add = |kind: Kind, way: Way, work: Work| {
        let sleeps = kind == Kind::SlowReceiver;
        let schedule = schedule(options, sleeps);
        let rounds = if sleeps { 1 } else { options.rounds() };
        list.push(Measure { name: name(kind, way), kind, way, work, schedule, rounds });
    };
    for socket in [Socket::Tcp, Socket::Unix] {
        add(Kind::Stream, Way::Copy(socket), Work::Copy { socket });
    }
    add(Kind::Stream, Way::DoPut, Work::DoPut);
    for transport in TRANSPORTS {
        for (kind, routes) in [(Kind::Stream, 1), (Kind::Streams, CONTENTS)] {
            let work = Work::Stream { node: plain(transport), rows: Rows::Random, routes };
            add(kind, Way::Route(transport), work);
        }
    }
    for transport in [Transport::InProcess].into_iter().chain(TRANSPORTS) {
        let work = Work::Redistribute { node: plain(transport), contents: CONTENTS };
        add(Kind::Redistribute, Way::Route(transport), work);
    }
    let transport = Transport::FlightTcp;
    for rows in [Rows::Small, Rows::Random] {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            let work = Work::Stream { node: NodeSpec { transport, codec }, rows, routes: CONTENTS };
            add(Kind::Compression { rows, codec }, Way::Route(transport), work);
        }
    }
    for transport in TRANSPORTS {
        let work = Work::Broadcast { node: plain(transport), receivers: RECEIVERS };
        add(Kind::Broadcast, Way::Route(transport), work);
    }
    for transport in TRANSPORTS {
        let work = Work::SlowReceiver { node: plain(transport), routes: RECEIVERS };
        add(Kind::SlowReceiver, Way::Route(transport), work);
    }
    list.retain(|measure| options.wants(&measure.name));
    list
}

fn plain(transport: Transport) -> NodeSpec {
    NodeSpec { transport, codec: Codec::None }
}

fn name(kind: Kind, way: Way) -> String {
    let what = match kind {
        Kind::Stream => "stream".to_string(),
        Kind::Streams => "streams".to_string(),
        Kind::Redistribute => "redistribute".to_string(),
        Kind::Compression { rows, codec } => format!("compression-{rows:?}-{codec:?}").to_lowercase(),
        Kind::Broadcast => "broadcast".to_string(),
        Kind::SlowReceiver => "slow".to_string(),
    };
    format!("{what}/{}", way.name())
}

fn schedule(options: &Options, sleeps: bool) -> Schedule {
    let linger = if options.quick { LINGER_QUICK } else { LINGER };
    let (warm_up, window) = match (sleeps, options.quick) {
        (true, true) => (WARM_UP_QUICK, SLEEP_QUICK),
        (true, false) => (SLEEP, SLEEP),
        (false, true) => (WARM_UP_QUICK, options.window()),
        (false, false) => (WARM_UP, options.window()),
    };
    Schedule { warm_up, window, windows: if sleeps { SLEEP_WINDOWS } else { 1 }, linger }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn names_are_unique_and_choose() {
        let all = measures(&Options::parse_from(["x"]));
        let mut names: Vec<_> = all.iter().map(|measure| measure.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        let some = measures(&Options::parse_from(["x", "--only", "stream/copy,slow"]));
        assert_eq!(some.len(), 2 + TRANSPORTS.len());
    }
}
