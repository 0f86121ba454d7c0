//! Child processes that end with their value.

use crate::limits::{POLL, START_TIMEOUT, STOP_TIMEOUT};
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ProcessError {
    #[error("{name}: {source}")]
    Start { name: String, source: io::Error },
    #[error("{name} ended before it was ready: {log}")]
    Ended { name: String, log: String },
    #[error("{name} was not ready within {} s: {log}", START_TIMEOUT.as_secs())]
    NotReady { name: String, log: String },
}

/// A child of this process; killed when dropped.
pub struct Process {
    child: Child,
}

impl Process {
    pub fn start(name: &str, command: &mut Command) -> Result<Self, ProcessError> {
        let child = command.spawn().map_err(|source| ProcessError::Start { name: name.to_string(), source })?;
        Ok(Process { child })
    }

    pub fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for an end that has been asked for.
    pub fn wait(&mut self, at_most: Duration) {
        let started = Instant::now();
        while started.elapsed() < at_most && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself: that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `damson master` or `damson segment`, which says `ready:` on stdout.
pub struct Node {
    name: String,
    process: Process,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Node {
    /// Starts it, with its output in `<directory>/<name>.out` and `.err`.
    pub fn start(name: &str, directory: &Path, mut command: Command) -> Result<Self, ProcessError> {
        let fail = |source| ProcessError::Start { name: name.to_string(), source };
        let (stdout, stderr) = (directory.join(format!("{name}.out")), directory.join(format!("{name}.err")));
        command.stdin(Stdio::null());
        command.stdout(File::create(&stdout).map_err(fail)?).stderr(File::create(&stderr).map_err(fail)?);
        let process = Process::start(name, &mut command)?;
        Ok(Node { name: name.to_string(), process, stdout, stderr })
    }

    pub fn wait_until_ready(&mut self) -> Result<(), ProcessError> {
        let started = Instant::now();
        loop {
            let out = fs::read_to_string(&self.stdout).unwrap_or_default();
            if out.lines().any(|line| line.starts_with("ready:")) {
                return Ok(());
            }
            let name = || self.name.clone();
            let log = || fs::read_to_string(&self.stderr).unwrap_or_default().trim().to_string();
            if !matches!(self.process.child.try_wait(), Ok(None)) {
                return Err(ProcessError::Ended { name: name(), log: log() });
            }
            if started.elapsed() > START_TIMEOUT {
                return Err(ProcessError::NotReady { name: name(), log: log() });
            }
            std::thread::sleep(POLL);
        }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Ends a worker that has seen the end of its input.
pub fn wait_for_end(process: &mut Process) {
    process.wait(STOP_TIMEOUT);
}

/// `count` ports that nobody listens on, all different.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
