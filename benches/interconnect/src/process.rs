//! This program again, as a process that measures.

use crate::error::BenchError;
use crate::limits::ANSWER_TIMEOUT;
use crate::message::{Answer, Done, Go, Ready, Task};
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// A child of this process; killed when dropped.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    schedule: Duration,
}

impl Process {
    /// Starts it and waits until it can be reached; gives where.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(task: &Task) -> Result<(Self, Ready), BenchError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--task").arg(serde_json::to_string(task)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(BenchError::Process("a process without stdin or stdout".into()));
        };
        // It says two lines. The thread ends with the child's output.
        let (sender, lines) = sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let process = Process { child, stdin, lines, schedule: task.schedule.total() };
        let ready = process.line()?;
        Ok((process, ready))
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// It has ended.
    pub fn go(&mut self, go: &Go) -> Result<(), BenchError> {
        let line = serde_json::to_string(go)? + "\n";
        Ok(self.stdin.write_all(line.as_bytes())?)
    }

    /// Waits for what it has done.
    ///
    /// # Errors
    /// Its own, or it does not answer.
    pub fn done(&self) -> Result<Done, BenchError> {
        self.line::<Answer>()?.map_err(BenchError::Process)
    }

    fn line<T: DeserializeOwned>(&self) -> Result<T, BenchError> {
        let silent = |_| BenchError::Process("a process ended or does not answer".into());
        let line = self.lines.recv_timeout(self.schedule + ANSWER_TIMEOUT).map_err(silent)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
