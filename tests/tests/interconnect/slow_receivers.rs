//! Receivers and clients that do not read (row 9): who sends to them waits, in bounded memory, and nobody else does.

use super::scene::*;
use damson_tests::fault_proxy::Faults;
use damson_tests::processes::{ProcessCluster, wait_for};
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// What a statement that waits for its reader may hold on one node above what the node had: credits of its routes, the
/// windows of its connections, the batches in the operators. The rows that it would send fill this within seconds.
const WAITING_BYTES_MAX: u64 = 160 << 20;
/// What the allocator may keep when it is over.
const LEFT_BYTES_MAX: u64 = 80 << 20;

/// 80 GB, from every segment to the client.
const WIDE: &str = "SELECT a.k, b.k, repeat('x', 200) AS t FROM big a, big b";

struct Memory {
    before: Vec<u64>,
}

impl Memory {
    fn note(cluster: &mut ProcessCluster, segments: usize) -> Self {
        Memory { before: nodes(cluster, segments, |node| (node.forget_rss_peak(), node.rss_bytes()).1) }
    }

    /// No node has ever had much more.
    fn was_bounded(&self, cluster: &mut ProcessCluster) {
        let peaks = nodes(cluster, self.before.len() - 1, |node| node.rss_peak_bytes());
        for (node, (before, peak)) in self.before.iter().zip(peaks).enumerate() {
            println!("node {node}: {} MiB before, {} MiB at most", before >> 20, peak >> 20);
            assert!(peak < before + WAITING_BYTES_MAX, "node {node} (0 is the master) had {peak} bytes");
        }
    }

    fn is_back(&self, cluster: &mut ProcessCluster) {
        wait_for("the memory to be freed", Duration::from_secs(20), || {
            let now = nodes(cluster, self.before.len() - 1, |node| node.rss_bytes());
            self.before.iter().zip(now).all(|(before, now)| now < before + LEFT_BYTES_MAX).then_some(())
        });
    }
}

/// Of the master, then of every segment.
fn nodes<T>(
    cluster: &mut ProcessCluster,
    segments: usize,
    measure: impl Fn(&damson_tests::processes::Node) -> T,
) -> Vec<T> {
    let mut all = vec![measure(cluster.master())];
    all.extend((0..segments).map(|content| measure(cluster.segment(content))));
    all
}

/// Waits until the traffic from both segments to the master has ceased for two seconds.
fn wait_until_blocked(cluster: &ProcessCluster) {
    const SILENCE: Duration = Duration::from_secs(2);
    /// Heartbeats and registrations go on.
    const SMALL_TALK_BYTES: u64 = 64 << 10;
    let network = cluster.network();
    let (mut since, mut last) = (Instant::now(), 0);
    wait_for("the senders to wait", Duration::from_secs(60), || {
        let bytes = network.bytes("seg0", "master") + network.bytes("seg1", "master");
        if bytes > last + SMALL_TALK_BYTES {
            (since, last) = (Instant::now(), bytes);
        }
        (since.elapsed() > SILENCE).then_some(())
    });
}

fn client_that_sleeps(via: Via) {
    let (mut cluster, shell) = cluster(via, 2);
    let expected = shell.rows(REDISTRIBUTED);
    let memory = Memory::note(&mut cluster, 2);
    let mut client =
        Sleeper(shell.command("csv", &["-c", WIDE]).stdout(Stdio::piped()).spawn().expect("the shell runs"));
    client.read_some();
    wait_until_blocked(&cluster);
    memory.was_bounded(&mut cluster);
    // Nobody else waits for it.
    let started = Instant::now();
    assert_eq!(shell.rows(REDISTRIBUTED), expected);
    assert!(started.elapsed() < Duration::from_secs(20), "another session waited {:?}", started.elapsed());

    drop(client);
    wait_for("end of every slice", Duration::from_secs(10), || {
        let left = shell.value("SELECT count(*) FROM pg_catalog.gp_running_slices WHERE slice > 0");
        (left == "0").then_some(())
    });
    memory.is_back(&mut cluster);
    assert_eq!(shell.rows(REDISTRIBUTED), expected);
}

/// A client that reads a little of its answer and no more; killed when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn read_some(&mut self) {
        let mut bytes = [0; 4096];
        self.0.stdout.as_mut().expect("piped").read_exact(&mut bytes).expect("the first rows");
        assert!(bytes.contains(&b'x'));
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_client_that_reads_no_more_tcp() {
    client_that_sleeps(Via::Tcp);
}

#[test]
fn a_client_that_reads_no_more_quic() {
    client_that_sleeps(Via::Quic);
}

/// A link of 4 MB/s between two segments: its sender waits, in bounded memory; others' statements do not.
fn slow_link(via: Via) {
    let (mut cluster, shell) = cluster(via, 2);
    let gathered = shell.rows(GATHERED);
    // The join's own memory is there before it is measured.
    shell.rows(REDISTRIBUTED);
    let memory = Memory::note(&mut cluster, 2);
    cluster.network().set("seg0", "seg1", Faults { bytes_per_s_max: Some(4_000_000), ..Faults::default() });
    let running = Running::start(&cluster, "slow", FLOWING, 2);
    let bytes = cluster.network().bytes("seg0", "seg1");
    wait_for("12 MB of traffic", Duration::from_secs(60), || {
        (cluster.network().bytes("seg0", "seg1") > bytes + 12_000_000).then_some(())
    });
    memory.was_bounded(&mut cluster);
    let started = Instant::now();
    assert_eq!(shell.rows(GATHERED), gathered);
    assert!(started.elapsed() < Duration::from_secs(10), "another session waited {:?}", started.elapsed());

    let mut running = running;
    assert!(running.client.try_wait().is_none(), "slow is not lost: {}", running.client.stderr());
    running.client.kill();
    running.leaves_nothing(&shell);
    cluster.network().mend("seg0", "seg1");
    memory.is_back(&mut cluster);
}

#[test]
fn a_slow_link_tcp() {
    slow_link(Via::Tcp);
}

#[test]
fn a_slow_link_quic() {
    slow_link(Via::Quic);
}
