//! Clusters of real processes on the loopback, and the shell as a client. Everything started here is killed when its
//! value goes; when the test is failing, the logs stay and are named.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A node that does not serve after this has failed to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);
/// The build that the nodes of a [`ProcessCluster`] say they are.
pub const BUILD: &str = "test-build-1";

/// The `damson` binary beside the test executable, or the one that the environment's `DAMSON_BINARY` names.
///
/// # Panics
/// When it was not built: `cargo build --release -p damson` goes first (`make test` does it).
pub fn binary() -> PathBuf {
    if let Some(elsewhere) = std::env::var_os("DAMSON_BINARY") {
        return elsewhere.into();
    }
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let binary = profile.join("damson");
    assert!(binary.exists(), "{} is missing: run `cargo build --release -p damson` first", binary.display());
    binary
}

/// `count` ports that nobody listens on, all different.
pub fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|l| l.local_addr().expect("bound").port()).collect()
}

/// Looks at `condition` until it gives a value.
///
/// # Panics
/// When there is none before the deadline.
pub fn wait_for<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < deadline, "no {what} within {deadline:?}");
        std::thread::sleep(POLL);
    }
}

/// One process; killed when dropped.
pub struct Node {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Node {
    /// Starts `command`, with its output in `<directory>/<name>.out` and `.err`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(name: &str, directory: &Path, mut command: Command) -> Self {
        let (stdout, stderr) = (directory.join(format!("{name}.out")), directory.join(format!("{name}.err")));
        let file = |path: &Path| File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        command.stdin(Stdio::null()).stdout(file(&stdout)).stderr(file(&stderr));
        let child = command.spawn().unwrap_or_else(|e| panic!("{name}: {e}"));
        Node { name: name.to_string(), child, stdout, stderr }
    }

    /// Waits for the line that begins with `ready:` and returns it.
    ///
    /// # Panics
    /// When the process ends first, or the line does not come.
    pub fn wait_until_ready(&mut self) -> String {
        let what = format!("`ready:` line of {}", self.name);
        let started = Instant::now();
        loop {
            let out = self.stdout();
            // A line that is still being written has no end.
            let whole = &out[..out.rfind('\n').map_or(0, |end| end + 1)];
            if let Some(line) = whole.lines().find(|line| line.starts_with("ready:")) {
                return line.to_string();
            }
            if let Some(status) = self.try_wait() {
                panic!("{} ended with {status} before it was ready:\n{}", self.name, self.stderr());
            }
            assert!(started.elapsed() < START_TIMEOUT, "no {what} within {START_TIMEOUT:?}:\n{}", self.stderr());
            std::thread::sleep(POLL);
        }
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of this process")
    }

    /// The exit status.
    ///
    /// # Panics
    /// When the process is still running after `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("end of {}", self.name);
        wait_for(&what, deadline, || self.child.try_wait().expect("a child of this process"))
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("the process has not been waited for");
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        // It may be gone already: that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A finished run of the shell.
#[derive(Debug)]
pub struct ShellRun {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// `damson sql`, connected to one Flight SQL port.
#[derive(Debug, Clone)]
pub struct Shell {
    url: String,
}

impl Shell {
    pub fn new(flight_port: u16) -> Self {
        Shell { url: format!("flight://127.0.0.1:{flight_port}") }
    }

    /// `damson sql --url … --format <format> <arguments>`
    pub fn command(&self, format: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["sql", "--url", &self.url, "--format", format]).args(arguments);
        command
    }

    pub fn run(&self, format: &str, arguments: &[&str]) -> ShellRun {
        let output = self.command(format, arguments).stdin(Stdio::null()).output().expect("the shell runs");
        ShellRun {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// The rows of a statement, without the header.
    ///
    /// # Panics
    /// When it fails.
    pub fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let run = self.run("csv", &["-c", sql]);
        assert!(run.success, "{sql}: {}", run.stderr);
        let mut rows = parse_csv(&run.stdout);
        assert!(!rows.is_empty(), "csv of {sql} has no header");
        rows.remove(0);
        rows
    }

    /// The only value of a query.
    ///
    /// # Panics
    /// When it fails, or gives anything but one value.
    pub fn value(&self, sql: &str) -> String {
        match <[Vec<String>; 1]>::try_from(self.rows(sql)).map(|[row]| <[String; 1]>::try_from(row)) {
            Ok(Ok([value])) => value,
            other => panic!("{sql} gave {other:?}, not one value"),
        }
    }

    /// A command, or several.
    ///
    /// # Panics
    /// When it fails.
    pub fn execute(&self, sql: &str) {
        let run = self.run("table", &["-c", sql]);
        assert!(run.success, "{sql}: {}", run.stderr);
    }

    /// Starts a statement and does not wait for it.
    pub fn spawn(&self, name: &str, directory: &Path, sql: &str) -> Node {
        Node::spawn(name, directory, self.command("csv", &["-c", sql]))
    }
}

/// RFC 4180, as the shell prints it.
pub fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![];
    let mut row = vec![];
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

/// A master and its segments, each a process, talking over Flight on the loopback.
pub struct ProcessCluster {
    // Nodes go before the directory that they write to.
    master: Node,
    segments: Vec<Node>,
    master_port: u16,
    flight_port: u16,
    segment_ports: Vec<u16>,
    /// Taken when the logs are to be kept.
    directory: Option<TempDir>,
}

impl ProcessCluster {
    /// Starts the nodes and waits until every one is ready.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start(segments: usize) -> Self {
        let mut cluster = Self::start_master(segments);
        for content in 0..segments {
            let node = cluster.spawn_segment(content, BUILD);
            cluster.segments.push(node);
        }
        for node in &mut cluster.segments {
            node.wait_until_ready();
        }
        cluster.master.wait_until_ready();
        cluster
    }

    /// Starts a master that expects `segments` segments, and none of them.
    pub fn start_master(segments: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ports = free_ports(3 + segments);
        let mut command = Command::new(binary());
        command.arg("master").arg("--data").arg(directory.path().join("master"));
        command.args(["--listen", &format!("127.0.0.1:{}", ports[0])]);
        command.args(["--flight-port", &ports[1].to_string(), "--pg-port", &ports[2].to_string()]);
        command.args(["--segments", &segments.to_string()]).env("DAMSON_BUILD", BUILD);
        let master = Node::spawn("master", directory.path(), command);
        ProcessCluster {
            master,
            segments: vec![],
            master_port: ports[0],
            flight_port: ports[1],
            segment_ports: ports[3..].to_vec(),
            directory: Some(directory),
        }
    }

    /// Starts a process for segment `content` that says that it is of `build`.
    pub fn spawn_segment(&self, content: usize, build: &str) -> Node {
        let name = format!("seg{content}");
        let mut command = Command::new(binary());
        command.arg("segment").arg("--data").arg(self.directory().join(format!("{name}-data")));
        command.args(["--content", &content.to_string()]);
        command.args(["--listen", &format!("127.0.0.1:{}", self.segment_ports[content])]);
        command.args(["--master", &format!("127.0.0.1:{}", self.master_port)]).env("DAMSON_BUILD", build);
        Node::spawn(&name, self.directory(), command)
    }

    /// Where logs and data are.
    pub fn directory(&self) -> &Path {
        self.directory.as_ref().expect("only taken by drop").path()
    }

    pub fn shell(&self) -> Shell {
        Shell::new(self.flight_port)
    }

    pub fn kill_segment(&mut self, content: usize) {
        self.segments[content].kill();
    }

    /// Starts it again on its data and waits until it is ready.
    pub fn restart_segment(&mut self, content: usize) {
        let mut node = self.spawn_segment(content, BUILD);
        node.wait_until_ready();
        self.segments[content] = node;
    }
}

impl Drop for ProcessCluster {
    fn drop(&mut self) {
        self.segments.clear();
        self.master.kill();
        if std::thread::panicking()
            && let Some(directory) = self.directory.take()
        {
            eprintln!("logs are kept in {}", directory.keep().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse_csv;

    #[test]
    fn csv_with_quotes() {
        let rows = parse_csv("a,b\n1,\"x,\"\"y\"\n,\"two\nlines\"\n");
        assert_eq!(rows, [["a", "b"], ["1", "x,\"y"], ["", "two\nlines"]]);
    }
}
