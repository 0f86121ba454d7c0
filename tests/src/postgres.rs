//! A PostgreSQL server of a test's own, which `scripts/postgres` runs, for catalogs that masters share.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Stopped, and its files removed, when it is dropped, or this process ends.
pub struct PostgresServer {
    url: String,
    directory: PathBuf,
    /// Ends when its stdin does.
    script: Child,
}

impl PostgresServer {
    /// None, and a word on stderr, where there is no PostgreSQL, and none can be had.
    ///
    /// # Panics
    /// In that case, if `DAMSON_REQUIRE_POSTGRES` is 1.
    pub fn start() -> Option<Self> {
        // The server's user, who is another where this one is root, must come to its directory.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("damson-tests-postgres-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        let mut command = script("run", &directory);
        let mut script = command.arg("0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash");
        let mut url = String::new();
        let said = script.stdout.take().expect("piped");
        BufReader::new(said).read_line(&mut url).expect("its word");
        let url = url.trim().to_owned();
        if url.is_empty() {
            let status = script.wait().expect("its end");
            assert!(std::env::var("DAMSON_REQUIRE_POSTGRES").as_deref() != Ok("1"), "scripts/postgres: {status}");
            eprintln!("\nNO POSTGRESQL HERE: a test of masters that share a catalog is SKIPPED\n");
            return None;
        }
        Some(PostgresServer { url, directory, script })
    }

    /// `postgres://…`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Kills every process of it at once, as if the power failed, and starts it again on its files.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn crash(&self) {
        let port = self.url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port");
        assert!(script("kill", &self.directory).status().expect("bash").success(), "it is running");
        let mut start = script("start", &self.directory);
        assert!(start.arg(port).stdout(Stdio::null()).status().expect("bash").success(), "it starts again");
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

fn script(action: &str, directory: &Path) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/postgres"));
    command.arg(action).arg(directory);
    command
}
