//! One of 64 routes' receivers sleeps: the other routes keep their rate, and the sender its memory.
//!
//! The sender is a process of its own (this test again), so that its memory can be seen. A machine's rates drift by more than what
//! is asked for while others use it. So the same load runs beside it between two other nodes of the two processes, with
//! connections of its own: what counts is the rate in parts of that one's, asleep against before and after, of the same length
//! together. Where that is not clear enough, it is repeated and the median counts; a route that holds up others does so in
//! every repetition.

mod support;

use arrow::array::{Int64Array, RecordBatch};
use damson_cluster::{Endpoint, QueryId};
use damson_interconnect::{ClusterAuthority, Driver, NodeConfig, NodeTls, RouteReceiver, Sent};
use futures::StreamExt;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{DRIVERS, eventually, node_with, route, schema};
use tokio::sync::watch;
use tokio::task::JoinSet;

const TEST: &str = "a_slow_receiver_slows_no_other";
/// Set for the sending process: driver, directory of the certificate, the receiving nodes' endpoints.
const SENDER: &str = "DAMSON_TEST_SLOW_RECEIVER";
const READY: &str = "the sender is ready";

const QUERY: u64 = 1;
const ROUTES: usize = 64;
const BATCH_ROWS: i64 = 8192;
const BATCH_BYTES: usize = BATCH_ROWS as usize * size_of::<i64>();
/// The node with the sleeper, and the one beside it.
const NODES: usize = 2;
/// For the routes' credits and messages, on each node.
const MOTION_MEMORY_BYTES: usize = 16 << 20;
/// What the sender may hold beyond its start: that, a batch in the hands of each route's task, and what the allocator and the
/// connections keep.
const SENDER_BYTES_MAX: usize = NODES * (MOTION_MEMORY_BYTES + ROUTES * BATCH_BYTES) + (32 << 20);

const SLEEP: Duration = Duration::from_secs(3);
const SLEEPERS_BYTES_MAX: u64 = 4 << 20;
const CHANGE_MAX: f64 = 0.05;
const REPETITIONS_MAX: usize = 5;

#[test]
fn a_slow_receiver_slows_no_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match std::env::var(SENDER) {
        Ok(task) => runtime.block_on(send_all(&task)),
        // In turns: at the same time, each would be noise to the other.
        Err(_) => DRIVERS.into_iter().for_each(|driver| runtime.block_on(receive_all(driver))),
    }
}

fn configure(config: &mut NodeConfig, certificate: &Path) {
    config.unix_sockets = false;
    config.allow_plain_tcp = true;
    config.motion_memory_bytes_max = MOTION_MEMORY_BYTES;
    if config.driver == Driver::Quic {
        config.tls = Some(Arc::new(NodeTls::load(certificate).unwrap()));
    }
}

async fn receive_all(driver: Driver) {
    let directory = tempfile::tempdir().unwrap();
    let authority = ClusterAuthority::open_or_create(&directory.path().join("authority")).unwrap();
    authority.issue(directory.path(), &["127.0.0.1".into()]).unwrap();
    let received: Arc<Vec<AtomicU64>> = Arc::new((0..NODES * ROUTES).map(|_| AtomicU64::new(0)).collect());
    let (asleep, is_asleep) = watch::channel(false);
    let (mut tasks, mut nodes) = (JoinSet::new(), vec![]);
    for place in 0..NODES * ROUTES {
        let number = place % ROUTES;
        if number == 0 {
            nodes.push(node_with(driver, |config| configure(config, directory.path())).await);
            nodes[place / ROUTES].0.open_query(QueryId(QUERY), ROUTES, support::SECRET);
        }
        let node = &nodes[place / ROUTES].0;
        let receiver = node.receiver(route(QUERY, 1, number as i32, number as i32), schema());
        // Only the first one ever sleeps.
        let is_asleep = (place == 0).then(|| is_asleep.clone());
        tasks.spawn(receive(receiver, place, Arc::clone(&received), is_asleep));
    }
    let driver = format!("{driver:?}").to_lowercase();
    let endpoints = nodes.iter().map(|(node, _)| node.endpoint().0).collect::<Vec<_>>().join(" ");
    let mut sender = Sender::start(&format!("{driver} {} {endpoints}", directory.path().display()));
    let rss_before = sender.memory("VmRSS");
    sender.begin();
    eventually(|| received.iter().all(|bytes| bytes.load(Ordering::Relaxed) > 0)).await;

    let mut changes = vec![];
    while changes.len() < REPETITIONS_MAX {
        let before = share_of_others(&received, SLEEP / 2).await;
        let of_sleeper = received[0].load(Ordering::Relaxed);
        asleep.send_replace(true);
        let while_asleep = share_of_others(&received, SLEEP).await;
        // The batch that its reader was waiting for, at the most, and what came before it was asleep.
        let taken = received[0].load(Ordering::Relaxed);
        assert!(taken - of_sleeper < SLEEPERS_BYTES_MAX, "{driver}: the sleeper took {} bytes", taken - of_sleeper);
        let node = &nodes[0].0;
        let held = node.stats().buffered_bytes as usize;
        let credit = node.route_budget(QueryId(QUERY)).credit_bytes;
        // The sleeper's messages fill its credit, as far as they fit; the others' are taken as they come.
        assert!(held >= credit / 2, "{driver}: {held} bytes wait for the sleeper, whose credit is {credit}");
        assert!(held <= MOTION_MEMORY_BYTES, "{driver}: {held} bytes wait");
        asleep.send_replace(false);
        eventually(|| received[0].load(Ordering::Relaxed) > taken + credit as u64).await;
        let after = share_of_others(&received, SLEEP / 2).await;
        changes.push(while_asleep / ((before + after) / 2.0) - 1.0);
        if median(&mut changes) > -CHANGE_MAX {
            break;
        }
    }
    let grown = sender.memory("VmHWM").saturating_sub(rss_before);
    let change = median(&mut changes);
    println!("{driver}: changes {changes:.3?}, the sender held at most {} KiB more than at its start", grown >> 10);
    // Faster they may be: what the sleeper leaves is theirs.
    assert!(change > -CHANGE_MAX, "{driver}: with one route asleep, the others' rate changed by {changes:.3?}");
    assert!(grown < SENDER_BYTES_MAX, "{driver}: the sender held {grown} bytes");

    // The sender stops when nobody wants rows.
    tasks.shutdown().await;
    sender.end();
}

async fn receive(
    mut receiver: RouteReceiver,
    place: usize,
    received: Arc<Vec<AtomicU64>>,
    mut is_asleep: Option<watch::Receiver<bool>>,
) {
    loop {
        if let Some(is_asleep) = &mut is_asleep {
            is_asleep.wait_for(|is_asleep| !is_asleep).await.unwrap();
        }
        match receiver.next().await {
            Some(Ok(batch)) => {
                received[place].fetch_add(batch.num_rows() as u64 * size_of::<i64>() as u64, Ordering::Relaxed);
            }
            Some(Err(error)) => panic!("{error}"),
            None => panic!("{}: the sender never ends a route", receiver.route()),
        }
    }
}

/// Bytes of the sleeper's node, without its own, in parts of the other node's in the same time.
async fn share_of_others(received: &[AtomicU64], time: Duration) -> f64 {
    let sum = |routes: Range<usize>| received[routes].iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum::<u64>();
    let sums = || [sum(1..ROUTES), sum(ROUTES..NODES * ROUTES)];
    let before = sums();
    tokio::time::sleep(time).await;
    let after = sums();
    (after[0] - before[0]) as f64 / (after[1] - before[1]) as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The sending process; killed when dropped.
struct Sender {
    process: Child,
    /// Kept, or the process could not write to it.
    _stdout: ChildStdout,
}

impl Sender {
    /// Starts it, and waits until it would send.
    fn start(task: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", TEST, "--nocapture"]).env(SENDER, task);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        // The test harness says things as well.
        let is_ready = stdout.by_ref().lines().any(|line| line.unwrap().contains(READY));
        assert!(is_ready, "the sender ended");
        Sender { process, _stdout: stdout.into_inner() }
    }

    /// Its stdin ends: it begins.
    fn begin(&mut self) {
        drop(self.process.stdin.take());
    }

    /// A size of `/proc/<pid>/status`.
    fn memory(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        value.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
    }

    fn end(mut self) {
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // It has ended already if all went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The sending process: batches with memory of their own on all routes, until their receivers stop.
async fn send_all(task: &str) {
    let words: Vec<&str> = task.split(' ').collect();
    let [driver, certificate, endpoints @ ..] = &words[..] else { panic!("{task}") };
    let driver: Driver = driver.parse().unwrap();
    let mut nodes = vec![];
    for _ in endpoints {
        let (node, shutdown) = node_with(driver, |config| configure(config, Path::new(certificate))).await;
        node.open_query(QueryId(QUERY), ROUTES, support::SECRET);
        nodes.push((node, shutdown));
    }
    println!("{READY}");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_to_end(&mut vec![]).unwrap();
    let mut tasks = JoinSet::new();
    for (node, endpoint) in nodes.iter().map(|(node, _)| node).zip(endpoints) {
        let peer = Endpoint(endpoint.to_string());
        for number in 0..ROUTES as i32 {
            let mut sender = node.sender(route(QUERY, 1, number, number), &peer, schema());
            tasks.spawn(async move {
                for start in 0.. {
                    let column = Int64Array::from_iter_values(start..start + BATCH_ROWS);
                    let batch = RecordBatch::try_new(schema(), vec![Arc::new(column)]).unwrap();
                    if sender.send(batch).await.unwrap() == Sent::Stopped {
                        return;
                    }
                }
            });
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}
