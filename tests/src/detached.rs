//! Processes that a program under test has started, and that outlive it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};

/// The segments whose data directories begin with a path that nobody else has; they end with this value.
#[derive(Debug)]
pub struct Detached {
    prefix: PathBuf,
}

impl Detached {
    pub fn new(prefix: PathBuf) -> Self {
        Detached { prefix }
    }

    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.processes().len()
    }

    /// # Panics
    /// When the segment does not run.
    pub fn kill(&self, content: u32) {
        let is_it = |words: &str| words.contains(&format!(" --content {content} "));
        let (pid, _) = self.processes().into_iter().find(|(_, words)| is_it(words)).expect("the segment runs");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the segment runs");
    }

    fn processes(&self) -> Vec<(i32, String)> {
        let ours = format!(" segment --data {}", self.prefix.display());
        let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
        let processes = entries.flatten().filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&words).replace('\0', " ")))
        });
        processes.filter(|(_, words)| words.contains(&ours)).collect()
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            // It may be gone already: that is what is wanted.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
