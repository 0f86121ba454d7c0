//! What these tests have in common: clusters, tables, and statements that move rows until they are disturbed.

use damson_tests::fault_proxy::FaultNetwork;
use damson_tests::processes::{Node, ProcessCluster, Setup, Shell, wait_for};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A query that lost a peer has failed by then, if that died.
pub const FAILS_WITHIN: Duration = Duration::from_secs(5);
/// If it fell silent: the peer timeout and a second, and what a busy machine takes.
pub const SILENT_FAILS_WITHIN: Duration = Duration::from_secs(8);

/// Moves rows between all segments for hours: the rows of three tables' product are redistributed by `x`, because of a
/// FULL JOIN neither side may be broadcast, and nothing is kept of them.
pub const FLOWING: &str = "SELECT count(*) FROM (SELECT a.k * 7919 + b.k * 31 + c.v AS x FROM big a, big b, big c) t \
                           FULL JOIN big d ON t.x = d.k";

/// The same with an end, and with all the rows' traffic between segments: an answer that depends on every row.
pub const REDISTRIBUTED: &str = "SELECT count(*), sum(t.x), count(d.k) FROM \
                                 (SELECT a.k * 7 + b.k AS x FROM big a, small b) t FULL JOIN big d ON t.x = d.k";

/// Needs every segment, and no link between two of them.
pub const GATHERED: &str = "SELECT count(*), sum(v) FROM big";

/// How the processes of a cluster talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Flight over TCP, with TLS.
    Tcp,
    /// Flight over TCP, in plain text.
    PlainTcp,
    /// Flight over unix sockets.
    Unix,
    Quic,
}

impl Via {
    fn setup(self, segments: usize) -> Setup {
        let driver = if self == Via::Quic { "quic" } else { "flight" };
        let unix = if self == Via::Unix { "on" } else { "off" };
        let mut setup = Setup { segments, ..Setup::default() };
        setup.master_arguments =
            ["--interconnect-driver", driver, "--interconnect-unix-sockets", unix].map(str::to_owned).to_vec();
        if self == Via::PlainTcp {
            let plain = ["--interconnect-tls", "off"].map(str::to_owned);
            setup.master_arguments.extend(plain.clone());
            setup.segment_arguments.extend(plain);
        }
        setup.has_certificates = matches!(self, Via::Tcp | Via::Quic);
        // A proxy cannot stand before a unix socket.
        setup.network = (self != Via::Unix).then(|| FaultNetwork::new(1));
        setup
    }
}

/// Segments with the tables `big` (20,000 rows) and `small` (100), behind a network of proxies unless they use unix
/// sockets.
pub fn cluster(via: Via, segments: usize) -> (ProcessCluster, Shell) {
    println!("--- {via:?}");
    let cluster = ProcessCluster::start_with(via.setup(segments));
    let shell = cluster.shell();
    shell.execute("CREATE TABLE big (k int, v int) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO big SELECT x, x % 1000 FROM generate_series(1, 20000) AS g(x)");
    shell.execute("CREATE TABLE small (k int) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO small SELECT x FROM generate_series(1, 100) AS g(x)");
    (cluster, shell)
}

/// A statement that runs in a client of its own.
pub struct Running {
    pub client: Node,
    ids: BTreeSet<String>,
}

impl Running {
    /// Starts `sql` and waits until every one of `segments` has run a slice of it for a while.
    pub fn start(cluster: &ProcessCluster, name: &str, sql: &str, segments: usize) -> Self {
        /// Long enough for the first batches to be under way.
        const WHILE: &str = "200";
        let shell = cluster.shell();
        let before = ids(&shell, "true");
        let mut client = shell.spawn(name, cluster.directory(), sql);
        let ids = wait_for("running slices", Duration::from_secs(60), || {
            if let Some(status) = client.try_wait() {
                panic!("{sql} ended with {status} before it was disturbed: {}", client.stderr());
            }
            let rows = slices(&shell, &format!("slice > 0 AND elapsed_ms > {WHILE}"));
            let new: Vec<_> = rows.into_iter().filter(|(id, _)| !before.contains(id)).collect();
            let contents: BTreeSet<&String> = new.iter().map(|(_, content)| content).collect();
            (contents.len() == segments).then(|| new.iter().map(|(id, _)| id.clone()).collect())
        });
        Running { client, ids }
    }

    /// The client's error, which must come in time; `since` is when the fault began.
    pub fn fails(&mut self, since: Instant, within: Duration) -> String {
        let left = within.saturating_sub(since.elapsed());
        let status = self.client.wait(left);
        println!("the client had its error after {:?}", since.elapsed());
        assert!(!status.success(), "a short result: {}", self.client.stdout());
        self.client.stderr()
    }

    /// Waits until no slice of it, no route and no buffer is left on the nodes that can be asked. No other statement may be
    /// moving rows.
    pub fn leaves_nothing(&self, shell: &Shell) {
        wait_for("end of every slice", Duration::from_secs(5), || {
            ids(shell, "true").is_disjoint(&self.ids).then_some(())
        });
        // Who asks has no routes itself.
        let held = "SELECT sum(open_routes + buffered_bytes) FROM pg_catalog.gp_interconnect_nodes";
        wait_for("end of every route", Duration::from_secs(5), || (shell.value(held) == "0").then_some(()));
    }
}

fn ids(shell: &Shell, condition: &str) -> BTreeSet<String> {
    slices(shell, condition).into_iter().map(|(id, _)| id).collect()
}

/// Query and segment of every running slice. The statement that asks is not among them: it needs no segment.
fn slices(shell: &Shell, condition: &str) -> Vec<(String, String)> {
    let sql = format!(
        "SELECT CAST(query_id AS text), CAST(content AS text) FROM pg_catalog.gp_running_slices WHERE {condition}"
    );
    shell.rows(&sql).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// Waits for the segment's status in `gp_segment_configuration`: `u` or `d`.
pub fn wait_for_status(shell: &Shell, content: usize, status: &str, deadline: Duration) {
    let sql = format!("SELECT status FROM pg_catalog.gp_segment_configuration WHERE content = {content}");
    wait_for(&format!("status {status} of seg{content}"), deadline, || (shell.value(&sql) == status).then_some(()));
}

/// The statement fails in time; its error.
pub fn error_of(shell: &Shell, sql: &str) -> String {
    let started = Instant::now();
    let run = shell.run("csv", &["-c", sql]);
    assert!(!run.success, "{sql} gave {}", run.stdout);
    assert!(started.elapsed() < SILENT_FAILS_WITHIN, "{sql} failed after {:?}: {}", started.elapsed(), run.stderr);
    run.stderr
}

/// The statement, tried until it succeeds: a connection that was lost may fail it once more.
pub fn rows_eventually(shell: &Shell, sql: &str) -> Vec<Vec<String>> {
    wait_for(sql, Duration::from_secs(20), || {
        let run = shell.run("csv", &["-c", sql]);
        run.success.then(|| damson_tests::processes::parse_csv(&run.stdout).split_off(1))
    })
}

/// An error has an SQLSTATE of a lost connection, and names a route between the two, either way.
pub fn names_pair(error: &str, a: &str, b: &str) -> bool {
    error.contains("08006") && (error.contains(&format!("{a}->{b}")) || error.contains(&format!("{b}->{a}")))
}

/// An error has an SQLSTATE of a lost connection, and names a route of `node`, or the node itself.
pub fn names_node(error: &str, node: &str) -> bool {
    error.contains("08006") && error.contains(node)
}
