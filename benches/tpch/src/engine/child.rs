//! An engine in a child process, asked for queries by JSON lines: this program itself, or the DuckDB script.

use super::{Engine, EngineError, EngineKind, Ready, Run};
use crate::limits::LOAD_TIMEOUT;
use crate::options::Options;
use crate::process::{Process, ProcessError, wait_for_end};
use damson_bench_report::machine;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// The script is in the executable, so that it can be run from anywhere.
const DUCKDB_SCRIPT: &str = include_str!("../../duckdb_tpch.py");

/// A line to the child.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub query: usize,
    pub sql: String,
}

/// A line from the child: `ready` once, then one for each request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Ready(Ready),
    Ran(Run),
    Failed { message: String },
}

pub struct ChildEngine {
    kind: EngineKind,
    ready: Ready,
    /// Taken when the engine goes: its end is the child's sign to end.
    stdin: Option<ChildStdin>,
    replies: Receiver<String>,
    process: Process,
    timeout: Duration,
}

impl ChildEngine {
    /// This program again, as one engine.
    pub fn start_worker(kind: EngineKind, options: &Options) -> Result<Self, EngineError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(format!("--worker={kind}")).args(options.for_worker());
        Self::start(kind, command, options)
    }

    /// The DuckDB script.
    pub fn start_duckdb(kind: EngineKind, python: &Path, options: &Options) -> Result<Self, EngineError> {
        let mut command = Command::new(python);
        command.args(["-c", DUCKDB_SCRIPT, "--threads", &options.cores().to_string()]);
        command.arg("--parquet").arg(options.parquet_dir());
        if let Some(bytes) = options.memory {
            command.args(["--memory-bytes", &bytes.to_string()]);
        }
        if kind == EngineKind::Duckdb {
            let directory = options.engine_dir(kind);
            std::fs::create_dir_all(&directory)?;
            command.arg("--file").arg(directory.join("tpch.duckdb"));
        }
        if options.reuse {
            command.arg("--reuse");
        }
        Self::start(kind, command, options)
    }

    fn start(kind: EngineKind, mut command: Command, options: &Options) -> Result<Self, EngineError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(&kind.to_string(), &mut command)?;
        let fail = |what: &str| EngineError::Dead(format!("{kind} has no {what}"));
        let stdin = process.child_mut().stdin.take().ok_or_else(|| fail("stdin"))?;
        let stdout = process.child_mut().stdout.take().ok_or_else(|| fail("stdout"))?;
        // One request is under way at a time. The thread ends with the child's output.
        let (sender, replies) = sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let ready = Ready { version: String::new(), load_seconds: None };
        let mut engine = ChildEngine { kind, ready, stdin: Some(stdin), replies, process, timeout: options.timeout() };
        engine.ready = match engine.reply(LOAD_TIMEOUT)? {
            Reply::Ready(ready) => ready,
            Reply::Failed { message } => return Err(EngineError::Dead(message)),
            Reply::Ran(_) => return Err(EngineError::Dead(format!("{kind} ran a query before it was ready"))),
        };
        machine::reset_peak_rss(engine.process.id());
        Ok(engine)
    }

    fn reply(&mut self, timeout: Duration) -> Result<Reply, EngineError> {
        let line = self.replies.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                EngineError::Dead(format!("{} gave nothing in {} s", self.kind, timeout.as_secs()))
            }
            RecvTimeoutError::Disconnected => {
                ProcessError::Ended { name: self.kind.to_string(), log: "see above".into() }.into()
            }
        })?;
        serde_json::from_str(&line).map_err(|e| EngineError::Dead(format!("{} said {line:?}: {e}", self.kind)))
    }
}

impl Engine for ChildEngine {
    fn kind(&self) -> EngineKind {
        self.kind
    }

    fn ready(&self) -> &Ready {
        &self.ready
    }

    fn run(&mut self, query: usize) -> Result<Run, EngineError> {
        let request = Request { query, sql: crate::data::sql(query).to_string() };
        let mut line = serde_json::to_string(&request).map_err(|e| EngineError::Query(e.to_string()))?;
        line.push('\n');
        let stdin = self.stdin.as_mut().expect("only taken by drop");
        stdin.write_all(line.as_bytes()).map_err(|e| EngineError::Dead(format!("{} is gone: {e}", self.kind)))?;
        match self.reply(self.timeout)? {
            Reply::Ran(run) => Ok(run),
            Reply::Failed { message } => Err(EngineError::Query(message)),
            Reply::Ready(_) => Err(EngineError::Dead(format!("{} was ready twice", self.kind))),
        }
    }

    fn peak_rss_bytes(&self) -> Option<u64> {
        machine::peak_rss_bytes(self.process.id())
    }
}

impl Drop for ChildEngine {
    fn drop(&mut self) {
        drop(self.stdin.take());
        wait_for_end(&mut self.process);
    }
}
