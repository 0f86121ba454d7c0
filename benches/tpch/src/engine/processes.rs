//! Damson as separate processes: a master and segments that talk over one of the interconnect's drivers, and a Flight SQL
//! client.

use super::worker::{run, runtime};
use super::{Engine, EngineError, EngineKind, Ready, Run};
use crate::data;
use crate::limits::{LOAD_TIMEOUT, MESSAGE_BYTES_MAX};
use crate::options::Options;
use crate::process::{Node, free_ports};
use crate::verify::verify;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use damson_bench_report::machine;
use datafusion::arrow::array::RecordBatch;
use futures::TryStreamExt;
use std::future::Future;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

pub struct ProcessesEngine {
    kind: EngineKind,
    ready: Ready,
    client: Client,
    runtime: Runtime,
    /// The master is the first.
    nodes: Vec<Node>,
    sf: f64,
    timeout: Duration,
}

impl ProcessesEngine {
    /// Starts the processes from the `damson` binary beside this executable, and loads the tables.
    pub fn start(kind: EngineKind, options: &Options) -> Result<Self, EngineError> {
        let directory = options.engine_dir(kind);
        let is_loaded = options.reuse && data::is_loaded(&directory);
        if !is_loaded {
            data::clear(&directory)?;
        }
        let binary = std::env::current_exe()?.with_file_name("damson");
        if !binary.exists() {
            let message = format!("{} is missing: run `cargo build --release -p damson`", binary.display());
            return Err(EngineError::Dead(message));
        }
        let (nodes, port) = start_nodes(kind, &binary, &directory, options)?;
        let runtime = runtime(options)?;
        let client = runtime.block_on(Client::connect(port)).map_err(EngineError::Dead)?;
        let ready = Ready { version: env!("CARGO_PKG_VERSION").into(), load_seconds: None };
        let (sf, timeout) = (options.sf, options.timeout());
        let mut engine = ProcessesEngine { kind, ready, client, runtime, nodes, sf, timeout };
        if !is_loaded {
            engine.ready.load_seconds = Some(engine.load(options)?);
            data::mark_loaded(&directory)?;
        }
        engine.nodes.iter().for_each(|node| {
            machine::reset_peak_rss(node.id());
        });
        Ok(engine)
    }

    fn load(&mut self, options: &Options) -> Result<f64, EngineError> {
        let started = Instant::now();
        for statement in data::load_statements(options) {
            let done = within(&self.runtime, LOAD_TIMEOUT, self.client.command(&statement))?;
            done.map_err(|e| EngineError::Dead(format!("{statement}: {e}")))?;
        }
        Ok(started.elapsed().as_secs_f64())
    }
}

impl Engine for ProcessesEngine {
    fn kind(&self) -> EngineKind {
        self.kind
    }

    fn ready(&self) -> &Ready {
        &self.ready
    }

    fn run(&mut self, query: usize) -> Result<Run, EngineError> {
        let started = Instant::now();
        let result = within(&self.runtime, self.timeout, self.client.query(data::sql(query)))?;
        let seconds = started.elapsed().as_secs_f64();
        let batches = result.map_err(EngineError::Query)?;
        Ok(run(seconds, &batches, verify(self.sf, query, &batches)))
    }

    fn peak_rss_bytes(&self) -> Option<u64> {
        self.nodes.iter().map(|node| machine::peak_rss_bytes(node.id())).sum()
    }
}

fn within<T>(runtime: &Runtime, timeout: Duration, work: impl Future<Output = T>) -> Result<T, EngineError> {
    let work = async { tokio::time::timeout(timeout, work).await };
    runtime.block_on(work).map_err(|_| EngineError::Dead(format!("nothing in {} s", timeout.as_secs())))
}

/// A master and a segment for each core; each segment works on one core.
fn start_nodes(
    kind: EngineKind,
    binary: &Path,
    directory: &Path,
    options: &Options,
) -> Result<(Vec<Node>, u16), EngineError> {
    let interconnect = kind.interconnect().unwrap_or_default();
    let segments = options.cores();
    let ports = free_ports(3 + segments)?;
    let [listen, flight, postgres, ..] = ports[..] else { unreachable!("as many ports as were asked for") };
    let mut master = Command::new(binary);
    master.arg("master").arg("--data").arg(directory.join("master"));
    master.args(["--listen", &format!("127.0.0.1:{listen}"), "--segments", &segments.to_string()]);
    master.args(["--flight-port", &flight.to_string(), "--pg-port", &postgres.to_string()]);
    master.args(interconnect);
    // The limit is for all the nodes together.
    let memory = options.memory.map(|bytes| ((bytes >> 20) / (segments as u64 + 1)).max(1).to_string());
    if let Some(mebibytes) = &memory {
        master.args(["--memory", mebibytes]);
    }
    let mut nodes = vec![Node::start("master", directory, master)?];
    // It serves at once, and has made the cluster's authority and its own certificate then: the cluster serves when the
    // segments have registered.
    nodes[0].wait_until_ready()?;
    for (content, port) in ports[3..].iter().enumerate() {
        let mut segment = Command::new(binary);
        segment.arg("segment").arg("--data").arg(directory.join(format!("seg{content}")));
        segment.args(["--content", &content.to_string(), "--listen", &format!("127.0.0.1:{port}")]);
        segment.args(["--master", &format!("127.0.0.1:{listen}"), "--threads", "1"]);
        segment.args(interconnect);
        if kind == EngineKind::DamsonQuic {
            // QUIC has no plain text. The certificate is for this host, and good for all its nodes.
            segment.arg("--tls-dir").arg(directory.join("master/tls"));
        }
        if let Some(mebibytes) = &memory {
            segment.args(["--memory", mebibytes]);
        }
        nodes.push(Node::start(&format!("seg{content}"), directory, segment)?);
    }
    for node in &mut nodes[1..] {
        node.wait_until_ready()?;
    }
    Ok((nodes, flight))
}

struct Client(FlightSqlServiceClient<Channel>);

impl Client {
    async fn connect(port: u16) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).map_err(|e| e.to_string())?;
        let channel = endpoint.tcp_nodelay(true).connect().await.map_err(|e| e.to_string())?;
        let inner = FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut client = FlightSqlServiceClient::new_from_inner(inner);
        client.handshake("bench", "").await.map_err(message)?;
        Ok(Client(client))
    }

    async fn command(&mut self, sql: &str) -> Result<(), String> {
        self.0.execute_update(sql.to_string(), None).await.map_err(message)?;
        Ok(())
    }

    async fn query(&mut self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        let info = self.0.execute(sql.to_string(), None).await.map_err(message)?;
        let mut batches = vec![];
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.ok_or("an endpoint without a ticket")?;
            let stream = self.0.do_get(ticket).await.map_err(message)?;
            batches.extend(stream.try_collect::<Vec<_>>().await.map_err(message)?);
        }
        Ok(batches)
    }
}

/// What the server said, without the client's wrapping.
fn message(error: FlightError) -> String {
    match error {
        FlightError::Tonic(status) => status.message().to_string(),
        other => other.to_string(),
    }
}
