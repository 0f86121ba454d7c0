//! Clusters of real processes on the loopback, and the shell as a client. Everything started here is killed when its
//! value goes; when the test is failing, the logs stay and are named.

use crate::clocks::Clocks;
use crate::fault_proxy::FaultNetwork;
use damson_cluster::{FAILPOINT, FAULTS};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A node that does not serve after this has failed to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Ports of nodes.
const PORTS: Range<u16> = 12_000..32_000;
/// Between the first ports of two processes of tests of which one was started right after the other: a prime, more than either takes.
const APART: u32 = 1031;
/// Files of statements that failed are gone after this time.
const CLEAN_WITHIN: Duration = Duration::from_secs(60);
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

/// `count` ports that nobody listens on, over TCP and UDP, all different; none is given twice. From below the range of
/// which the system takes ports for outgoing connections: one of those could have it before its node does.
///
/// # Panics
/// When this process has used them up.
pub fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Where two processes of tests run at once, they begin at different places.
    let first =
        PORTS.start + (std::process::id().wrapping_mul(APART) % (u32::from(PORTS.end - PORTS.start) / 2)) as u16;
    let next = NEXT.get_or_init(|| AtomicU16::new(first));
    let is_free =
        |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok() && UdpSocket::bind(("127.0.0.1", *port)).is_ok();
    let ports = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|port| PORTS.contains(port)));
    let ports: Vec<u16> = ports.filter(is_free).take(count).collect();
    assert_eq!(ports.len(), count, "no ports are left");
    ports
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
        self.wait_for_line("ready:")
    }

    /// Waits for the line that begins with `beginning` and returns it.
    ///
    /// # Panics
    /// When the process ends first, or the line does not come.
    pub fn wait_for_line(&mut self, beginning: &str) -> String {
        let what = format!("`{beginning}` line of {}", self.name);
        let started = Instant::now();
        loop {
            let out = self.stdout();
            // A line that is still being written has no end.
            let whole = &out[..out.rfind('\n').map_or(0, |end| end + 1)];
            if let Some(line) = whole.lines().find(|line| line.starts_with(beginning)) {
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

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that the process has in use.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn rss_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most that it has had since it began, or since [`Node::forget_rss_peak`].
    ///
    /// # Panics
    /// When the process is gone.
    pub fn rss_peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// # Panics
    /// When the process is gone.
    pub fn forget_rss_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("a process of this user");
    }

    fn status_bytes(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process that runs");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux says so");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a process id");
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

impl ShellRun {
    fn of(mut command: Command) -> Self {
        let output = command.stdin(Stdio::null()).output().expect("the command runs");
        ShellRun {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// `damson sql`, connected to one port, of Flight SQL unless it says otherwise.
#[derive(Debug, Clone)]
pub struct Shell {
    url: String,
}

impl Shell {
    pub fn new(flight_port: u16) -> Self {
        Shell { url: format!("flight://127.0.0.1:{flight_port}") }
    }

    /// Over the PostgreSQL protocol.
    pub fn of_postgres(address: SocketAddr) -> Self {
        Shell { url: format!("postgresql://{address}") }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// `damson sql --url … --format <format> <arguments>`
    pub fn command(&self, format: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["sql", "--url", &self.url, "--format", format]).args(arguments);
        command
    }

    pub fn run(&self, format: &str, arguments: &[&str]) -> ShellRun {
        ShellRun::of(self.command(format, arguments))
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

/// How the nodes of a [`ProcessCluster`] are started.
#[derive(Default)]
pub struct Setup {
    pub segments: usize,
    /// How many may be started later, by [`ProcessCluster::start_candidates`].
    pub segments_later: usize,
    /// More options of the master, which are the cluster's: `--interconnect-driver` and its like.
    pub master_arguments: Vec<String>,
    pub segment_arguments: Vec<String>,
    /// Variables of the segments' environment.
    pub segment_environment: Vec<(String, String)>,
    /// Whether segments have certificates: for drivers and addresses that ask for them.
    pub has_certificates: bool,
    /// Where the master ends itself: see [`damson_cluster::FAILPOINT`].
    pub master_failpoint: Option<String>,
    /// Where a segment does.
    pub segment_failpoint: Option<(usize, String)>,
    /// Whether the system refuses nodes what files in `faults` say: see [`damson_cluster::fault`].
    pub has_faults: bool,
    /// What the nodes take for the time of day.
    pub clocks: Option<Clocks>,
    /// Where the catalog is, if not in the master's directory: a URL of PostgreSQL's. A second master stands by then.
    pub catalog: Option<String>,
    /// Stands between the nodes, which it calls `master`, `seg0`, `seg1`, …; without one they are on one loopback.
    pub network: Option<FaultNetwork>,
}

/// A master and its segments, each a process on the loopback.
pub struct ProcessCluster {
    // Nodes go before the directory that they write to.
    master: Node,
    /// The other master, where the catalog is shared.
    standby: Option<(Node, MasterCommand)>,
    segments: Vec<Node>,
    setup: Setup,
    master_command: MasterCommand,
    /// Where segments reach the master.
    master_address: SocketAddr,
    flight_port: u16,
    segment_ports: Vec<u16>,
    /// What each segment says where it is.
    advertised: Vec<Option<SocketAddr>>,
    /// Taken when the logs are to be kept.
    directory: Option<TempDir>,
}

impl ProcessCluster {
    /// Starts the nodes and waits until every one is ready.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start(segments: usize) -> Self {
        Self::start_with(Setup { segments, ..Setup::default() })
    }

    /// As [`ProcessCluster::start`].
    ///
    /// # Panics
    /// When one does not start.
    pub fn start_with(setup: Setup) -> Self {
        let segments = setup.segments;
        let mut cluster = Self::start_master_with(setup);
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
        Self::start_master_with(Setup { segments, ..Setup::default() })
    }

    /// As [`ProcessCluster::start_master`].
    pub fn start_master_with(setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ports = free_ports(6 + setup.segments + setup.segments_later);
        let listen = loopback(ports[0]);
        let through = |name: &str, port| setup.network.as_ref().map(|network| network.add(name, loopback(port)));
        let advertised = through("master", ports[0]);
        let master_command = MasterCommand { name: "master", ports: [ports[0], ports[1], ports[2]], advertised };
        let mut master = master_command.spawn(&setup, directory.path(), setup.master_failpoint.as_deref());
        let standby = setup.catalog.is_some().then(|| {
            master.wait_until_ready();
            let command = MasterCommand { name: "standby", ports: [ports[3], ports[4], ports[5]], advertised: None };
            (command.spawn(&setup, directory.path(), None), command)
        });
        if let Some(network) = &setup.network {
            network.is_process("master", master.pid());
        }
        if setup.has_certificates {
            // It makes the authority when it first starts.
            master.wait_until_ready();
            issue_certificate(directory.path());
        }
        let segment_ports = ports[6..].to_vec();
        let advertised_segments =
            segment_ports.iter().enumerate().map(|(content, port)| through(&format!("seg{content}"), *port)).collect();
        ProcessCluster {
            master,
            standby,
            segments: vec![],
            master_command,
            master_address: advertised.unwrap_or(listen),
            flight_port: ports[1],
            segment_ports,
            advertised: advertised_segments,
            setup,
            directory: Some(directory),
        }
    }

    /// Starts a process for segment `content` that says that it is of `build`.
    pub fn spawn_segment(&self, content: usize, build: &str) -> Node {
        let name = format!("seg{content}");
        let mut command = Command::new(binary());
        command.arg("segment").arg("--data").arg(self.directory().join(format!("{name}-data")));
        command.args(["--content", &content.to_string()]);
        command.args(["--listen", &loopback(self.segment_ports[content]).to_string()]);
        if let Some(address) = self.advertised[content] {
            command.args(["--advertise", &address.to_string()]);
        }
        let mut masters = self.master_address.to_string();
        if let Some((_, standby)) = &self.standby {
            // Both, whichever is active now.
            masters = format!("{},{}", loopback(self.master_command.ports[0]), loopback(standby.ports[0]));
        }
        command.args(["--master", &masters]).args(&self.setup.segment_arguments);
        if self.setup.has_certificates {
            command.arg("--tls-dir").arg(self.directory().join(CERTIFICATE));
        }
        command.env("DAMSON_BUILD", build).envs(self.setup.segment_environment.iter().cloned());
        if self.setup.has_faults {
            command.env(FAULTS, self.directory().join(FAULTS_DIRECTORY));
        }
        if let Some(clocks) = &self.setup.clocks {
            clocks.set_segment(&mut command, content);
        }
        if let Some((at, failpoint)) = &self.setup.segment_failpoint
            && *at == content
        {
            command.env(FAILPOINT, failpoint);
        }
        let node = Node::spawn(&name, self.directory(), command);
        if let Some(network) = &self.setup.network {
            network.is_process(&name, node.pid());
        }
        node
    }

    /// Where logs and data are.
    pub fn directory(&self) -> &Path {
        self.directory.as_ref().expect("only taken by drop").path()
    }

    /// Of the active master, or where there are two, of either.
    pub fn shell(&self) -> Shell {
        match &self.standby {
            None => Shell::new(self.flight_port),
            Some((_, standby)) => {
                let ports = [self.master_command.ports[1], standby.ports[1]].map(loopback);
                Shell { url: format!("flight://{},{}", ports[0], ports[1]) }
            }
        }
    }

    /// Over the PostgreSQL protocol of the master.
    pub fn postgres_shell(&self) -> Shell {
        Shell::of_postgres(self.postgres_address())
    }

    /// As [`ProcessCluster::shell`]; where there are two masters, one that asks either of them first.
    pub fn shells(&self) -> Vec<Shell> {
        match &self.standby {
            None => vec![self.shell()],
            Some((_, standby)) => {
                let [a, b] = [self.master_command.ports[1], standby.ports[1]].map(loopback);
                [(a, b), (b, a)].map(|(first, then)| Shell { url: format!("flight://{first},{then}") }).into()
            }
        }
    }

    /// Where clients reach the master.
    pub fn client_address(&self) -> SocketAddr {
        loopback(self.flight_port)
    }

    /// Where clients of the PostgreSQL protocol reach the master.
    pub fn postgres_address(&self) -> SocketAddr {
        loopback(self.master_command.ports[2])
    }

    /// Where peers reach the master without a proxy.
    pub fn master_peer_address(&self) -> SocketAddr {
        loopback(self.master_command.ports[0])
    }

    /// Where peers reach a segment without a proxy.
    pub fn segment_address(&self, content: usize) -> SocketAddr {
        loopback(self.segment_ports[content])
    }

    /// From its next start, a node ends itself at a failpoint: the master, or a segment. None: no node does.
    pub fn set_failpoint(&mut self, failpoint: Option<(Option<usize>, String)>) {
        (self.setup.master_failpoint, self.setup.segment_failpoint) = match failpoint {
            None => (None, None),
            Some((None, name)) => (Some(name), None),
            Some((Some(content), name)) => (None, Some((content, name))),
        };
    }

    /// Each node's from its next start.
    ///
    /// # Panics
    /// When the cluster was made without any.
    pub fn clocks(&mut self) -> &mut Clocks {
        self.setup.clocks.as_mut().expect("a cluster with clocks")
    }

    /// From now on nodes' operations of that name fail with the system's error `number`; None ends it.
    pub fn set_fault(&self, name: &str, number: Option<i32>) {
        let directory = self.directory().join(FAULTS_DIRECTORY);
        fs::create_dir_all(&directory).expect("a directory of faults");
        let file = directory.join(name);
        match number {
            Some(number) => fs::write(file, number.to_string()).expect("a fault"),
            None => fs::remove_file(file).expect("the fault was there"),
        }
    }

    /// `damson check`, run to its end.
    pub fn check(&self) -> ShellRun {
        self.run("check", &[])
    }

    /// Waits until `damson check` finds nothing: files of statements that failed are removed a moment after these have ended.
    ///
    /// # Panics
    /// If something is wrong for a minute.
    pub fn wait_until_clean(&self) {
        let started = Instant::now();
        loop {
            let checked = self.check();
            if checked.success && checked.stdout.contains("Nothing is wrong") {
                return;
            }
            assert!(started.elapsed() < CLEAN_WITHIN, "not clean after {CLEAN_WITHIN:?}: {checked:?}");
            std::thread::sleep(POLL);
        }
    }

    /// `damson <command> --url … <arguments>`, run to its end.
    pub fn run(&self, command: &str, arguments: &[&str]) -> ShellRun {
        ShellRun::of(self.command(command, arguments))
    }

    /// `damson <command> --url … <arguments>`.
    pub fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut client = Command::new(binary());
        client.args([command, "--url", &self.shell().url]).args(arguments);
        client
    }

    pub fn master(&mut self) -> &mut Node {
        &mut self.master
    }

    pub fn segment(&mut self, content: usize) -> &mut Node {
        &mut self.segments[content]
    }

    /// # Panics
    /// When the cluster was made without one.
    pub fn network(&self) -> &FaultNetwork {
        self.setup.network.as_ref().expect("a cluster with a network")
    }

    /// Kills the master and starts it again on its data with other options, and waits until it is ready.
    pub fn restart_master(&mut self, arguments: &[&str]) {
        self.master.kill();
        self.setup.master_arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        self.master = self.spawn_master();
        if let Some(network) = &self.setup.network {
            network.is_process("master", self.master.pid());
        }
        self.master.wait_until_ready();
    }

    /// Kills and starts again, all at once, as after a power failure: the master, if asked, and some segments. Waits until all
    /// are ready.
    pub fn restart(&mut self, master: bool, segments: &[usize]) {
        self.respawn_standby();
        // The active one of two ends itself if it cannot renew its lease while the catalog's database is away.
        let master = master || self.standby.is_some() && self.master.try_wait().is_some();
        if master {
            self.master.kill();
        }
        segments.iter().for_each(|&content| self.segments[content].kill());
        if master && self.standby.is_some() {
            if let Some(failpoint) = self.setup.master_failpoint.clone() {
                // The killed one has it when it is active again.
                self.fail_over_to(Some(&failpoint));
            }
            self.fail_over();
        } else if master {
            self.master = self.spawn_master();
        }
        for &content in segments {
            self.segments[content] = self.spawn_segment(content, BUILD);
        }
        self.master.wait_until_ready();
        segments.iter().for_each(|&content| _ = self.segments[content].wait_until_ready());
        let down = "SELECT count(*) FROM gp_segment_configuration WHERE status <> 'u'";
        wait_for("segments that have registered again", START_TIMEOUT, || {
            let run = self.shell().run("csv", &["-c", down]);
            (run.success && parse_csv(&run.stdout).last().is_some_and(|row| row == &["0"])).then_some(())
        });
    }

    /// Starts the other one of two masters again if it has ended, as a supervisor does.
    fn respawn_standby(&mut self) {
        if let Some((mut standby, command)) = self.standby.take() {
            if standby.try_wait().is_some() {
                standby = command.spawn(&self.setup, self.directory(), None);
            }
            self.standby = Some((standby, command));
        }
    }

    /// Starts the master again if it has ended, and does not wait for it: segments may end meanwhile.
    ///
    /// # Panics
    /// Where there are two masters: [`ProcessCluster::fail_over`] is for them.
    pub fn respawn_master(&mut self) {
        assert!(self.standby.is_none(), "the other master is active then");
        if self.master.try_wait().is_some() {
            self.master = self.spawn_master();
        }
    }

    /// Starts the segments again that have ended, and does not wait for them: the master may be away.
    pub fn respawn_segments(&mut self) {
        for content in 0..self.segments.len() {
            if self.segments[content].try_wait().is_some() {
                self.segments[content] = self.spawn_segment(content, BUILD);
            }
        }
    }

    /// Kills the active master and waits until the other one is active; then starts the killed one, which stands by. Gives how long
    /// it took until the other was.
    ///
    /// # Panics
    /// Where the catalog is not shared, or the other master does not take over.
    pub fn fail_over(&mut self) -> Duration {
        self.fail_over_to(None)
    }

    /// The same; the killed one ends itself at a failpoint once it is active again.
    ///
    /// # Panics
    /// As [`ProcessCluster::fail_over`].
    pub fn fail_over_to(&mut self, failpoint: Option<&str>) -> Duration {
        self.master.kill();
        let began = Instant::now();
        let (standby, command) = self.standby.as_mut().expect("two masters");
        standby.wait_until_ready();
        let took = began.elapsed();
        std::mem::swap(&mut self.master, standby);
        std::mem::swap(&mut self.master_command, command);
        self.flight_port = self.master_command.ports[1];
        let killed = self.standby.take().map(|(_, command)| command).expect("two masters");
        self.standby = Some((killed.spawn(&self.setup, self.directory(), failpoint), killed));
        took
    }

    pub fn standby(&mut self) -> &mut Node {
        &mut self.standby.as_mut().expect("two masters").0
    }

    fn spawn_master(&self) -> Node {
        self.master_command.spawn(&self.setup, self.directory(), self.setup.master_failpoint.as_deref())
    }

    pub fn kill_segment(&mut self, content: usize) {
        self.segments[content].kill();
    }

    /// Starts segments that the cluster does not have yet, up to [`Setup::segments_later`] of them, and waits until they wait to be added.
    pub fn start_candidates(&mut self, count: usize) {
        for content in self.segments.len()..self.segments.len() + count {
            let mut node = self.spawn_segment(content, BUILD);
            node.wait_for_line("waiting:");
            self.segments.push(node);
        }
    }

    /// Starts it again on its data and waits until it is ready.
    pub fn restart_segment(&mut self, content: usize) {
        let mut node = self.spawn_segment(content, BUILD);
        node.wait_until_ready();
        self.segments[content] = node;
    }
}

/// How the master is started, again and again.
struct MasterCommand {
    /// Of its logs and its directory.
    name: &'static str,
    /// For peers, for clients, and the one that is kept for PostgreSQL's.
    ports: [u16; 3],
    advertised: Option<SocketAddr>,
}

impl MasterCommand {
    fn spawn(&self, setup: &Setup, directory: &Path, failpoint: Option<&str>) -> Node {
        let [peers, flight, postgres] = self.ports;
        let mut command = Command::new(binary());
        command.arg("master").arg("--data").arg(directory.join(self.name));
        if let Some(catalog) = &setup.catalog {
            command.args(["--catalog", catalog]);
        }
        command.args(["--listen", &loopback(peers).to_string()]);
        if let Some(address) = self.advertised {
            command.args(["--advertise", &address.to_string()]);
        }
        command.args(["--flight-port", &flight.to_string(), "--pg-port", &postgres.to_string()]);
        command.args(["--segments", &setup.segments.to_string()]).args(&setup.master_arguments);
        let has_rules = |option: &String| ["--hba-file", "--admin-password-file"].contains(&option.as_str());
        if !setup.master_arguments.iter().any(has_rules) {
            command.arg("--hba-file").arg(trust(directory));
        }
        command.env("DAMSON_BUILD", BUILD);
        if let Some(clocks) = &setup.clocks {
            clocks.set_master(&mut command);
        }
        if setup.has_faults {
            command.env(FAULTS, directory.join(FAULTS_DIRECTORY));
        }
        if let Some(failpoint) = failpoint {
            command.env(FAILPOINT, failpoint);
        }
        Node::spawn(self.name, directory, command)
    }
}

/// Files that say what fails, in the cluster's directory.
const FAULTS_DIRECTORY: &str = "faults";

/// The segments' certificate, in the cluster's directory: they are on one host.
const CERTIFICATE: &str = "segments-tls";

fn issue_certificate(directory: &Path) {
    let mut command = Command::new(binary());
    command.arg("certificate").arg("--authority").arg(directory.join("master/tls"));
    command.arg("--out").arg(directory.join(CERTIFICATE)).args(["--host", "127.0.0.1"]);
    let issued = command.output().expect("the command runs");
    assert!(issued.status.success(), "{}", String::from_utf8_lossy(&issued.stderr));
}

/// Rules in the directory by which whoever is on this host is the superuser, unless the name is another role's.
pub fn trust(directory: &Path) -> PathBuf {
    let path = directory.join("hba.conf");
    fs::write(&path, "host all all 127.0.0.0/8 trust unknown=damson\n").expect("room for the rules");
    path
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Drop for ProcessCluster {
    fn drop(&mut self) {
        self.segments.clear();
        self.standby = None;
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
