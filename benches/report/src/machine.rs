//! What the figures were measured on.

use crate::table::gibibytes;
use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use std::fmt;
use std::fs;
use std::process::Command;

/// What the system says of itself, for a report.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_bytes: Option<u64>,
    pub kernel: String,
}

impl Machine {
    /// This one. What the system does not say is "unknown".
    pub fn this() -> Self {
        let unknown = || "unknown".to_string();
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Machine {
            cpu: field(&read("/proc/cpuinfo"), "model name").map_or_else(unknown, String::from),
            cores: cores(),
            memory_bytes: field(&read("/proc/meminfo"), "MemTotal").and_then(kibibytes),
            kernel: match read("/proc/sys/kernel/osrelease").trim() {
                "" => unknown(),
                release => release.to_string(),
            },
        }
    }
}

/// `AMD EPYC, 2 cores, 24 GiB`.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores", self.cpu, self.cores)?;
        match self.memory_bytes {
            Some(bytes) => write!(f, ", {:.0} GiB", gibibytes(bytes)),
            None => Ok(()),
        }
    }
}

/// Now, UTC, in seconds.
pub fn date() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The commit of the checkout that this is run in, with a + where files differ from it.
pub fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let is_clean = git(&["status", "--porcelain"])?.is_empty();
    Some(if is_clean { commit } else { commit + "+" })
}

/// The most memory that a process has held at once, in bytes, since its start or [`reset_peak_rss`].
pub fn peak_rss_bytes(pid: u32) -> Option<u64> {
    status(pid, "VmHWM")
}

/// The memory that a process holds now, in bytes.
pub fn rss_bytes(pid: u32) -> Option<u64> {
    status(pid, "VmRSS")
}

fn status(pid: u32, name: &str) -> Option<u64> {
    kibibytes(field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, name)?)
}

/// Lets the peak begin anew; false where the kernel does not offer that.
pub fn reset_peak_rss(pid: u32) -> bool {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok()
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name).map(|(_, v)| v.trim())
}

/// `16384 kB` in bytes.
fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        assert_eq!(field("a : b\nmodel name\t: X 1\n", "model name"), Some("X 1"));
        assert_eq!(field("a : b", "c"), None);
        assert_eq!(kibibytes("2 kB"), Some(2048));
        assert_eq!(kibibytes("2"), None);
    }

    #[test]
    fn this_process_holds_memory() {
        let held = peak_rss_bytes(std::process::id()).expect("/proc");
        assert!(held > 100 << 10, "{held}");
        assert!(rss_bytes(std::process::id()).expect("/proc") <= peak_rss_bytes(std::process::id()).expect("/proc"));
        assert_eq!(peak_rss_bytes(u32::MAX), None);
    }
}
