//! PostgreSQL servers for tests, run by `scripts/postgres`.

use parking_lot::Mutex;
use postgres::{Client, NoTls};
use std::io::{BufRead, BufReader, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// Set where a test must not be left out because there is no PostgreSQL.
const REQUIRED: &str = "DAMSON_REQUIRE_POSTGRES";

/// A server of its own, with a directory of its own.
pub(super) struct Server {
    url: String,
    directory: PathBuf,
    /// Ends, and stops the server, when its stdin does: at the latest when this process is no more.
    script: Child,
    /// URLs of databases that no test has.
    free: Arc<Mutex<Vec<String>>>,
}

/// A database that one test has. Another may have it afterwards.
pub(super) struct Database {
    url: String,
    free: Arc<Mutex<Vec<String>>>,
}

/// This process's server; where there can be none, says so and gives None.
pub(super) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref()
}

impl Server {
    /// # Panics
    /// Where there can be none and [`REQUIRED`] is 1.
    pub fn start() -> Option<Server> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("damson-postgres-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        let mut command = script("run", &directory);
        let mut script = command.arg("0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        if url.is_empty() {
            let status = script.wait().unwrap();
            assert!(std::env::var(REQUIRED).as_deref() != Ok("1"), "{REQUIRED}=1 and scripts/postgres: {status}");
            // Tests' own output is not shown when they pass.
            writeln!(std::io::stderr(), "\nNO POSTGRESQL HERE: tests of the catalog in PostgreSQL are SKIPPED\n")
                .unwrap();
            return None;
        }
        Some(Server { url, directory, script, free: Arc::default() })
    }

    /// A database without a catalog.
    pub fn database(&self) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let free = Arc::clone(&self.free);
        let used = self.free.lock().pop();
        if let Some(url) = used {
            // Making one takes longer, and hundreds of files.
            let empty = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                         WHERE datname = current_database() AND pid <> pg_backend_pid();
                         DROP SCHEMA IF EXISTS damson CASCADE";
            client(&url).batch_execute(empty).unwrap();
            return Database { url, free };
        }
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        client(&self.url).batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        Database { url: self.url.replace("/postgres", &format!("/{name}")), free }
    }

    /// As power that fails: every process of it at once.
    pub fn kill(&self) {
        assert!(script("kill", &self.directory).status().unwrap().success());
    }

    pub fn stop(&self) {
        assert!(script("stop", &self.directory).status().unwrap().success());
    }

    pub fn start_again(&self) {
        let port = self.url.rsplit(':').next().and_then(|rest| rest.split('/').next()).unwrap();
        let mut command = script("start", &self.directory);
        assert!(command.arg(port).stdout(Stdio::null()).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// Its URL.
impl Deref for Database {
    type Target = str;

    fn deref(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.free.lock().push(std::mem::take(&mut self.url));
    }
}

pub(super) fn client(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap()
}

fn script(action: &str, directory: &Path) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres"));
    command.arg(action).arg(directory);
    command
}
