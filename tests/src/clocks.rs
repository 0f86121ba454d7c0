//! Processes with clocks of their own: a library that the test compiles, and that the system loads into them before any other, answers
//! for the system what time it is. How long something takes is as ever.

use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Seconds by which a process's clock is ahead.
const SHIFT: &str = "DAMSON_TEST_CLOCK_SHIFT";

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void) {
    const char *seconds = getenv("DAMSON_TEST_CLOCK_SHIFT");
    return seconds ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int result = syscall(SYS_gettimeofday, now, zone);
    if (result == 0) now->tv_sec += shift();
    return result;
}

time_t time(time_t *now) {
    struct timespec spec;
    clock_gettime(CLOCK_REALTIME, &spec);
    if (now) *now = spec.tv_sec;
    return spec.tv_sec;
}
"#;

/// Of the nodes of a cluster.
pub struct Clocks {
    library: PathBuf,
    /// Seconds by which the master's is ahead, from its next start.
    pub master: i64,
    /// And those of segments.
    pub segments: Vec<i64>,
    _directory: TempDir,
}

impl Clocks {
    /// # Panics
    /// Without a C compiler, which building Damson needs, too.
    pub fn new(master: i64, segments: Vec<i64>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (source, library) = (directory.path().join("clock.c"), directory.path().join("clock.so"));
        std::fs::write(&source, SOURCE).expect("room");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let compiled =
            Command::new(&compiler).args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).output();
        let compiled = compiled.unwrap_or_else(|e| panic!("{}: {e}", compiler.display()));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Clocks { library, master, segments, _directory: directory }
    }

    pub(crate) fn set_master(&self, command: &mut Command) {
        self.set(command, self.master);
    }

    pub(crate) fn set_segment(&self, command: &mut Command, content: usize) {
        self.set(command, self.segments[content]);
    }

    fn set(&self, command: &mut Command, seconds: i64) {
        command.env("LD_PRELOAD", &self.library).env(SHIFT, seconds.to_string());
    }
}
