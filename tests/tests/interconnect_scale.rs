//! Many segments in few processes: how many connections their routes need, and how much memory.

use damson_tests::processes::{BUILD, Node, Shell, binary, free_ports, trust};
use std::process::Command;
use std::time::Instant;
use tempfile::TempDir;

/// Processes that host the segments; each is a node.
const PROCESSES: usize = 4;

/// A master and segments in [`PROCESSES`] processes, in ranges.
struct ScaledCluster {
    // Nodes go before the directory that they write to.
    _master: Node,
    nodes: Vec<Node>,
    shell: Shell,
    _directory: TempDir,
}

impl ScaledCluster {
    fn start(segments: usize, motion_memory_mib: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ports = free_ports(3 + PROCESSES);
        let path = directory.path();
        let node = |name: &str, role: &str, port: u16| {
            let mut command = Command::new(binary());
            command.arg(role).arg("--data").arg(path.join(format!("{name}-data"))).env("DAMSON_BUILD", BUILD);
            command.args(["--listen", &format!("127.0.0.1:{port}")]);
            command.args(["--memory", "2048", "--interconnect-motion-memory", &motion_memory_mib.to_string()]);
            // All of them begin at once on few cores: a node may have no turn for longer than the default.
            command.args(["--interconnect-peer-timeout", "20000"]);
            command
        };
        let mut command = node("master", "master", ports[0]);
        command.args(["--flight-port", &ports[1].to_string(), "--pg-port", &ports[2].to_string()]);
        command.args(["--segments", &segments.to_string()]).arg("--hba-file").arg(trust(path));
        let mut master = Node::spawn("master", path, command);
        let each = segments / PROCESSES;
        let mut nodes: Vec<Node> = (0..PROCESSES)
            .map(|i| {
                let name = format!("node{i}");
                let mut command = node(&name, "segment", ports[3 + i]);
                command.args(["--content", &format!("{}-{}", i * each, (i + 1) * each - 1)]);
                command.args(["--master", &format!("127.0.0.1:{}", ports[0])]);
                Node::spawn(&name, path, command)
            })
            .collect();
        nodes.iter_mut().for_each(|node| drop(node.wait_until_ready()));
        master.wait_until_ready();
        ScaledCluster { _master: master, nodes, shell: Shell::new(ports[1]), _directory: directory }
    }

    /// `moved`, whose rows have `width` bytes of text and are not distributed by `v`, and `here`, which has one row for each
    /// `v`.
    fn make_tables(&self, rows: usize, width: usize, values: usize) {
        self.shell.execute("CREATE TABLE moved (k int, v int, t text) DISTRIBUTED BY (k)");
        self.shell.execute("CREATE TABLE here (v int, w int) DISTRIBUTED BY (v)");
        self.shell.execute(&format!(
            "INSERT INTO moved SELECT x, x % {values}, repeat('x', {width}) FROM generate_series(1, {rows}) AS g(x)"
        ));
        self.shell.execute(&format!("INSERT INTO here SELECT x - 1, x FROM generate_series(1, {values}) AS g(x)"));
    }

    /// Connections of each node, the master's among them.
    fn connections(&self) -> Vec<usize> {
        let rows = self.shell.rows("SELECT connections FROM pg_catalog.gp_interconnect_nodes");
        rows.into_iter().map(|row| row[0].parse().expect("a number")).collect()
    }

    fn assert_redistributes(&self, sql: &str, segments: usize) {
        let plan = self.shell.rows(&format!("EXPLAIN {sql}"));
        let motion = format!("Redistribute Motion {segments}:{segments}");
        assert!(plan.iter().flatten().any(|line| line.contains(&motion)), "no {motion} in {plan:#?}");
    }
}

#[test]
fn sixty_four_segments_in_four_processes_have_tens_of_connections() {
    const ROWS: usize = 20_000;
    let cluster = ScaledCluster::start(64, 256);
    cluster.make_tables(ROWS, 200, 1000);
    let sql = "SELECT count(*), sum(w) FROM moved JOIN here ON moved.v = here.v";
    cluster.assert_redistributes(sql, 64);
    // Each v is that of 20 rows.
    let sum = 20 * (1000 * 1001 / 2);
    assert_eq!(cluster.shell.rows(sql), [[ROWS.to_string(), sum.to_string()]]);

    // 4,096 routes for one motion, 1,024 into each process.
    let connections = cluster.connections();
    println!("connections of each node: {connections:?}");
    assert_eq!(connections.len(), PROCESSES + 1);
    assert!(connections.iter().all(|&count| (1..=40).contains(&count)), "{connections:?}");
}

/// Of one route's end, besides its rows: a stream of HTTP/2, its tasks, queues and codec.
const ROUTE_BYTES_MAX: u64 = 8 << 10;
/// Of a process that redistributes, besides what its motions hold: a batch of each scan, what the joins make of a batch.
const OPERATORS_BYTES_MAX: u64 = 40 << 20;

#[test]
fn two_hundred_and_fifty_six_segments_in_four_processes_hold_what_the_setting_allows() {
    const SEGMENTS: u64 = 256;
    const ROWS: u64 = 400_000;
    const WIDTH: u64 = 1500;
    const MOTION_MEMORY_MIB: u64 = 64;
    let cluster = ScaledCluster::start(SEGMENTS as usize, MOTION_MEMORY_MIB as usize);
    cluster.make_tables(ROWS as usize, WIDTH as usize, 100_000);
    // The join wants the text of each row, but does not hand it on: what is held is the motion's.
    let sql = "SELECT count(*) FROM moved JOIN here ON moved.v = here.v AND length(moved.t) > here.w - 1000000";
    cluster.assert_redistributes(sql, SEGMENTS as usize);

    let before: Vec<u64> = cluster.nodes.iter().map(Node::rss_bytes).collect();
    cluster.nodes.iter().for_each(Node::forget_rss_peak);
    // 65,536 routes for the motion; a process has both ends of a quarter of its own.
    let routes = 2 * SEGMENTS * SEGMENTS / PROCESSES as u64;
    let started = Instant::now();
    assert_eq!(cluster.shell.value(&format!("{sql} WHERE moved.k < 0")), "0");
    println!("without rows: {:?}", started.elapsed());
    for (node, before) in cluster.nodes.iter().zip(&before) {
        let grown = node.rss_peak_bytes().saturating_sub(*before);
        println!("grew by {} MiB: {} bytes a route's end", grown >> 20, grown / routes);
        assert!(grown <= routes * ROUTE_BYTES_MAX, "grew by {grown} bytes, {routes} route ends");
    }

    let before: Vec<u64> = cluster.nodes.iter().map(Node::rss_peak_bytes).collect();
    let started = Instant::now();
    assert_eq!(cluster.shell.value(sql), ROWS.to_string());
    let elapsed = started.elapsed();
    let grown_max = (MOTION_MEMORY_MIB << 20) + OPERATORS_BYTES_MAX;
    let moved = ROWS * WIDTH / PROCESSES as u64;
    assert!(moved > grown_max + (32 << 20), "all of the rows would not be too much");
    for (node, before) in cluster.nodes.iter().zip(before) {
        let grown = node.rss_peak_bytes().saturating_sub(before);
        println!("with {} MiB of rows: grew by {} MiB in {elapsed:?}", moved >> 20, grown >> 20);
        assert!(grown <= grown_max, "grew by {grown} bytes, {grown_max} are allowed");
    }
    let connections = cluster.connections();
    println!("connections of each node: {connections:?}");
    assert!(connections.iter().all(|&count| (1..=40).contains(&count)), "{connections:?}");
}
