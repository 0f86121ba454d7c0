//! Clients of the PostgreSQL protocol that say too little, too much, or nonsense (rows 31 to 33): they are shown out in time, and others do
//! not notice.

use crate::pg_bytes::{TLS_REQUEST, error_of, message, opening, packet, read_to};
use crate::pg_tls::Certificate;
use damson_tests::processes::{ProcessCluster, Setup, wait_for};
use futures::StreamExt;
use futures::stream;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustls::pki_types::ServerName;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};

/// What waits for an answer longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// A connection that opens too slowly is closed after a minute, a handshake of TLS after a quarter of one; so much later at most on a busy
/// machine.
const OPENING: Duration = Duration::from_secs(60);
const TLS_HANDSHAKE: Duration = Duration::from_secs(15);
const LATE: Duration = Duration::from_secs(15);
/// When the last client has gone, what it had is given back.
const GIVEN_BACK: Duration = Duration::from_secs(20);

/// A master with a certificate for clients, and one segment.
struct Scene {
    _directory: TempDir,
    cluster: ProcessCluster,
    certificate: Certificate,
    address: SocketAddr,
}

impl Scene {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let certificate = Certificate::make(directory.path());
        let master_arguments = certificate.options();
        let cluster = ProcessCluster::start_with(Setup { segments: 1, master_arguments, ..Setup::default() });
        let address = cluster.postgres_address();
        Scene { _directory: directory, cluster, certificate, address }
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.address.port()).user("alice").dbname("damson");
        config
    }

    async fn client(&self) -> Client {
        let (client, connection) = self.config().connect(NoTls).await.expect("the rules let it in");
        // Ends with the client.
        tokio::spawn(connection);
        client
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the port is open")
    }

    /// A connection that is let in and may send a statement.
    async fn opened(&self) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(&opening()).await.expect("it is taken");
        within(read_to(&mut stream, Some(b'Z'))).await;
        stream
    }

    /// The master lives, answers, and has logged no panic.
    async fn is_unharmed(&mut self) {
        let client = self.client().await;
        assert_eq!(client.query_one("SELECT 1::bigint + 1", &[]).await.expect("an answer").get::<_, i64>(0), 2);
        assert_eq!(self.cluster.master().try_wait(), None, "the master ended");
        let log = self.cluster.master().stderr();
        assert!(!log.contains("panicked"), "{log}");
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(ANSWER_MAX, work).await.expect("an answer in time")
}

/// Reads until the other side closes, or breaks, the connection.
async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut answer = [0; 4096];
    while matches!(stream.read(&mut answer).await, Ok(length) if length > 0) {}
}

/// Sends bytes, and gives the SQLSTATE that the other side ends the connection with.
async fn farewell_to(mut stream: TcpStream, bytes: &[u8]) -> Option<String> {
    // It may have had enough before it has read all.
    let _ = stream.write_all(bytes).await;
    error_of(&within(read_to(&mut stream, None)).await)
}

/// The slowest of a hundred.
async fn p99(client: &Client, statements: usize) -> Duration {
    let mut took = vec![];
    for _ in 0..statements {
        let began = Instant::now();
        client.simple_query("SELECT 1").await.expect("an answer");
        took.push(began.elapsed());
    }
    took.sort();
    took[statements - 1 - statements / 100]
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    files: usize,
    threads: usize,
    rss_bytes: u64,
}

impl Held {
    fn by(pid: u32, rss_bytes: u64) -> Self {
        let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).expect("it runs").count();
        Held { files: count("fd"), threads: count("task"), rss_bytes }
    }
}

fn held(cluster: &mut ProcessCluster) -> Held {
    let (pid, rss_bytes) = (cluster.master().pid(), cluster.master().rss_bytes());
    Held::by(pid, rss_bytes)
}

/// Row 32: start-up packets byte by byte, half-open TLS, nothing at all, passwords that never come. Others are as quick as before, and each
/// slow one is shown out.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_shown_out_and_slow_down_nobody() {
    const OF_EACH: usize = 100;
    const STATEMENTS: usize = 300;
    let mut scene = Scene::start();
    let client = scene.client().await;
    // What is made at first is made.
    p99(&client, STATEMENTS).await;
    let before = p99(&client, STATEMENTS).await;
    let at_first = held(&mut scene.cluster);

    let began = Instant::now();
    let mut slow = JoinSet::new();
    for _ in 0..OF_EACH {
        let (mut silent, mut dripping) = (scene.connect().await, scene.connect().await);
        let (mut half, mut half_hello) = (scene.connect().await, scene.connect().await);
        slow.spawn(async move {
            until_closed(&mut silent).await;
            (OPENING, began.elapsed())
        });
        slow.spawn(async move {
            for byte in opening() {
                if dripping.write_all(&[byte]).await.is_err() {
                    break;
                }
                // So that its last byte would be late.
                tokio::time::sleep(Duration::from_millis(2_500)).await;
            }
            until_closed(&mut dripping).await;
            (OPENING, began.elapsed())
        });
        slow.spawn(async move {
            half.write_all(&TLS_REQUEST).await.expect("it is taken");
            assert_eq!(half.read_u8().await.expect("an answer"), b'S');
            until_closed(&mut half).await;
            (TLS_HANDSHAKE, began.elapsed())
        });
        slow.spawn(async move {
            // The beginning of a ClientHello of 512 bytes.
            half_hello.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await.expect("it is taken");
            until_closed(&mut half_hello).await;
            (TLS_HANDSHAKE, began.elapsed())
        });
    }
    let during = p99(&client, STATEMENTS).await;
    assert!(during < before * 4 + Duration::from_millis(500), "{before:?} before, {during:?} beside slow clients");
    let new = Instant::now();
    scene.client().await;
    assert!(new.elapsed() < Duration::from_secs(5), "a new client waits {:?}", new.elapsed());

    let mut latest = Duration::ZERO;
    while let Some(ended) = slow.join_next().await {
        let (limit, took) = ended.expect("no panic");
        latest = latest.max(took);
        assert!(took >= limit - Duration::from_secs(1), "closed after {took:?}, before {limit:?}");
        assert!(took < limit + LATE, "closed after {took:?}, and not {limit:?}");
    }
    println!("{} slow clients were gone after {latest:?}; p99 {before:?} before, {during:?} beside them", 4 * OF_EACH);
    gives_back(&mut scene.cluster, at_first, 32 << 20);
    scene.is_unharmed().await;
}

/// Waits until the process holds about as much as it did. Some file descriptors and threads come and go by themselves.
fn gives_back(cluster: &mut ProcessCluster, before: Held, rss_more_max: u64) {
    const FILES_MORE_MAX: usize = 8;
    const THREADS_MORE_MAX: usize = 8;
    let mut last = before;
    let began = Instant::now();
    while began.elapsed() < GIVEN_BACK {
        last = held(cluster);
        if last.files <= before.files + FILES_MORE_MAX
            && last.threads <= before.threads + THREADS_MORE_MAX
            && last.rss_bytes <= before.rss_bytes + rss_more_max
        {
            println!("{before:?} before, {last:?} after");
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{before:?} before, {last:?} after");
}

/// Memory is taken for what has come, not for what a length says that comes.
#[tokio::test(flavor = "multi_thread")]
async fn lengths_are_not_believed() {
    /// A statement's text may have 64 MiB: less one byte is announced, and some bytes come.
    const ANNOUNCED: u32 = (64 << 20) - 1;
    const CONNECTIONS: usize = 200;
    const RSS_MORE_MAX: u64 = 64 << 20;
    let mut scene = Scene::start();
    let long_setting = |bytes: usize| {
        let value = vec![b'x'; bytes];
        packet(&[b"\0\x03\0\0user\0alice\0application_name\0", value.as_slice(), b"\0\0"].concat())
    };
    for (bytes, want) in [
        (long_setting(16 << 10), "08P01"),
        (long_setting(1 << 20), "08P01"),
        (b"\x7f\xff\xff\xff\0\x03\0\0".to_vec(), "08P01"),
        (b"\xff\xff\xff\xff".to_vec(), "08P01"),
        (b"\0\0\0\0".to_vec(), "08P01"),
        (b"\0\0\0\x07\0\x03\0".to_vec(), "08P01"),
        // No end of the settings, no user, a protocol of tomorrow, a name that is no text.
        (packet(b"\0\x03\0\0user\0alice"), "08P01"),
        (packet(b"\0\x03\0\0\0"), "28000"),
        (packet(b"\0\x04\0\0user\0alice\0\0"), "0A000"),
        (packet(b"\0\x03\0\0user\0\xff\0\0"), "22021"),
    ] {
        let told = farewell_to(scene.connect().await, &bytes).await;
        assert_eq!(told.as_deref(), Some(want), "{:?}", &bytes[..bytes.len().min(40)]);
    }
    // A long one that is short enough.
    let mut stream = scene.connect().await;
    stream.write_all(&long_setting(9 << 10)).await.expect("it is taken");
    assert_eq!(error_of(&within(read_to(&mut stream, Some(b'Z'))).await), None);
    for bytes in
        [b"Q\0\0\0\x03".to_vec(), b"Q\xff\xff\xff\xff".to_vec(), b"P\x04\0\0\x05".to_vec(), b"\0\0\0\0\x04".to_vec()]
    {
        let told = farewell_to(scene.opened().await, &bytes).await;
        assert_eq!(told.as_deref(), Some("08P01"), "{bytes:?}");
    }

    let before = scene.cluster.master().rss_bytes();
    let mut waiting = vec![];
    for _ in 0..CONNECTIONS {
        let mut stream = scene.opened().await;
        stream.write_all(&[b"Q", ANNOUNCED.to_be_bytes().as_slice(), b"SELECT 1"].concat()).await.expect("it is taken");
        waiting.push(stream);
    }
    let grown = scene.cluster.master().rss_bytes().saturating_sub(before);
    assert!(grown < RSS_MORE_MAX, "{grown} bytes more for {CONNECTIONS} messages that have not come");
    drop(waiting);

    // What a connection has the master keep for it, is bounded in all: names are of it, too.
    let mut stream = scene.opened().await;
    for (first, want) in [(b'a', None), (b'b', None), (b'c', None), (b'd', None), (b'e', Some("53400"))] {
        let mut name = vec![b'n'; 60 << 20];
        name[0] = first;
        let parse = message(b'P', &[name.as_slice(), b"\0SELECT 1\0\0\0"].concat());
        stream.write_all(&[parse, message(b'S', b"")].concat()).await.expect("it is taken");
        assert_eq!(error_of(&within(read_to(&mut stream, Some(b'Z'))).await).as_deref(), want);
    }
    drop(stream);
    scene.is_unharmed().await;
}

/// Each error is the one that PostgreSQL has for it, and the connection goes on after Sync.
#[tokio::test(flavor = "multi_thread")]
async fn messages_out_of_order_fail_and_no_more() {
    let mut scene = Scene::start();
    let mut stream = scene.opened().await;
    let sync = message(b'S', b"");
    let (parse, bind) = (message(b'P', b"s\0SELECT 1\0\0\0"), message(b'B', b"p\0s\0\0\0\0\0\0\0"));
    let execute = message(b'E', b"p\0\0\0\0\0");
    for (what, bytes, want) in [
        ("a portal that is none", execute.clone(), Some("34000")),
        ("a statement that is none", bind.clone(), Some("26000")),
        ("a description of none", message(b'D', b"Sno\0"), Some("26000")),
        ("a description of no portal", message(b'D', b"Pno\0"), Some("34000")),
        ("an end of nothing", message(b'C', b"Sno\0"), None),
        ("rows, and their end, of no COPY", [message(b'd', b"1\n"), message(b'c', b"")].concat(), None),
        ("the failure of no COPY", message(b'f', b"why\0"), None),
        ("a password", message(b'p', b"open sesame\0"), Some("08P01")),
        ("a statement twice", [parse.clone(), parse.clone()].concat(), Some("42P05")),
        ("a portal twice", [bind.clone(), bind.clone()].concat(), Some("42P03")),
        ("a portal of before", execute.clone(), Some("34000")),
        ("values of another number", message(b'B', b"\0s\0\0\0\0\x01\0\0\0\x011\0\0"), Some("08P01")),
        ("formats of another number", message(b'B', b"\0s\0\0\x02\0\0\0\x01\0\0\0\0"), Some("08P01")),
        ("a format that is none", message(b'B', b"\0s\0\0\x01\0\x07\0\0\0\0"), Some("22023")),
        ("text that is none", message(b'P', b"x\0SELECT '\xff'\0\0\0"), Some("22021")),
        ("a flush", message(b'H', b""), None),
    ] {
        stream.write_all(&[bytes, sync.clone()].concat()).await.expect("it is taken");
        let answer = within(read_to(&mut stream, Some(b'Z'))).await;
        assert_eq!(error_of(&answer).as_deref(), want, "{what}: {answer:?}");
    }
    // After an error nothing is done up to Sync, not even a simple query.
    let skipped = [execute.clone(), message(b'Q', b"CREATE TABLE skipped (a int)\0"), execute, sync.clone()].concat();
    stream.write_all(&skipped).await.expect("it is taken");
    let answer = within(read_to(&mut stream, Some(b'Z'))).await;
    assert_eq!(answer.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), b"EZ");
    // In the middle of rows another statement: the COPY fails, and what is left of it is passed over.
    stream.write_all(&message(b'Q', b"CREATE TABLE t (a int) DISTRIBUTED BY (a)\0")).await.expect("it is taken");
    assert_eq!(error_of(&within(read_to(&mut stream, Some(b'Z'))).await), None);
    stream.write_all(&message(b'Q', b"COPY t FROM STDIN\0")).await.expect("it is taken");
    within(read_to(&mut stream, Some(b'G'))).await;
    let rows = message(b'd', b"1\n");
    stream.write_all(&[rows.clone(), message(b'Q', b"SELECT 1\0"), rows].concat()).await.expect("it is taken");
    assert_eq!(error_of(&within(read_to(&mut stream, Some(b'Z'))).await).as_deref(), Some("08P01"));
    stream.write_all(&message(b'Q', b"SELECT count(*) FROM t\0")).await.expect("it is taken");
    let answer = within(read_to(&mut stream, Some(b'Z'))).await;
    let (_, row) = answer.iter().find(|(kind, _)| *kind == b'D').expect("a row");
    assert_eq!(row, b"\0\x01\0\0\0\x010");
    drop(stream);

    // What only opens a connection is no message of one.
    assert_eq!(farewell_to(scene.opened().await, &opening()).await.as_deref(), Some("08P01"));
    // Encryption is asked for once, and nothing comes with the question.
    for (bytes, answer) in [([TLS_REQUEST.to_vec(), opening()].concat(), 0), (TLS_REQUEST.to_vec(), 1)] {
        let mut stream = scene.connect().await;
        stream.write_all(&bytes).await.expect("it is taken");
        if answer == 1 {
            assert_eq!(stream.read_u8().await.expect("an answer"), b'S');
            // Now comes what is no handshake: there is nobody to tell it.
            stream.write_all(&opening()).await.expect("it is taken");
            within(until_closed(&mut stream)).await;
        } else {
            assert_eq!(error_of(&within(read_to(&mut stream, None)).await).as_deref(), Some("08P01"));
        }
    }
    let mut stream = scene.connect().await;
    stream.write_all(&packet(b"\x04\xd2\x16\x30")).await.expect("it is taken");
    assert_eq!(stream.read_u8().await.expect("an answer"), b'N', "there is no GSS");
    assert_eq!(farewell_to(stream, &packet(b"\x04\xd2\x16\x30")).await.as_deref(), Some("08P01"));
    scene.is_unharmed().await;
}

/// Row 31: random bytes at each stage of a connection, and good messages with damage, from a seed: `DAMSON_SEED`.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_harms_nobody() {
    const CONNECTIONS: usize = 300;
    let seed = std::env::var("DAMSON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(31);
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut scene = Scene::start();
    let client = scene.client().await;
    client.batch_execute("CREATE TABLE t (a int, b text) DISTRIBUTED BY (a)").await.expect("a table");
    let good = [
        message(b'P', b"s\0SELECT $1::int, $2::text\0\0\x02\0\0\0\x17\0\0\0\x19"),
        message(b'B', b"\0s\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x07\0\0\0\x01x\0\x01\0\x01"),
        message(b'D', b"P\0"),
        message(b'E', b"\0\0\0\0\x01"),
        message(b'Q', b"COPY t FROM STDIN (FORMAT csv)\0"),
        message(b'd', b"1,\"a\"\n2,\n"),
        message(b'c', b""),
        message(b'Q', b"SELECT * FROM t; COPY t TO STDOUT\0"),
        message(b'S', b""),
    ];
    for round in 0..CONNECTIONS {
        let bytes: Vec<u8> = match round % 3 {
            0 => (0..random.random_range(1..5_000)).map(|_| random.random()).collect(),
            _ => {
                let count = random.random_range(1..20);
                let mut bytes: Vec<u8> =
                    (0..count).flat_map(|_| good[random.random_range(0..good.len())].clone()).collect();
                for _ in 0..random.random_range(0..4) {
                    let at = random.random_range(0..bytes.len());
                    bytes[at] = random.random();
                }
                bytes
            }
        };
        let mut stream = if random.random_bool(0.2) { scene.connect().await } else { scene.opened().await };
        // The other side may close at any byte: that is an answer.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        within(until_closed(&mut stream)).await;
        if round % 50 == 0 {
            assert_eq!(client.query_one("SELECT 1::bigint + 1", &[]).await.expect("an answer").get::<_, i64>(0), 2);
        }
    }
    scene.is_unharmed().await;
}

/// What a connection of the storm does before it is dropped.
#[derive(Clone, Copy)]
enum Storm {
    /// Nothing.
    Connects,
    /// A part of its opening.
    HalfOpens,
    /// All of it, and reads no answer.
    Opens,
    /// A statement whose answer it does not read.
    Asks,
    /// A statement, its answer, and goodbye.
    Leaves,
    /// TLS, and a statement.
    Encrypts,
}

/// In turn: half of them are gone at once.
const STORM: [Storm; 10] = {
    use Storm::{Asks, Connects, Encrypts, HalfOpens, Leaves, Opens};
    [Connects, Connects, Connects, Connects, HalfOpens, HalfOpens, Opens, Asks, Leaves, Encrypts]
};

/// Whether it was served as far as it wanted: of more openings than there may be the oldest is closed without a word, which in a storm may be
/// any.
async fn storm(storm: Storm, address: SocketAddr, tls: tokio_rustls::TlsConnector) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let statement = message(b'Q', b"SELECT 1\0");
    match storm {
        Storm::Connects => {}
        Storm::HalfOpens => stream.write_all(&opening()[..20]).await?,
        Storm::Opens => stream.write_all(&opening()).await?,
        Storm::Asks | Storm::Leaves => {
            stream.write_all(&opening()).await?;
            if !is_ready(&mut stream).await? {
                return Ok(false);
            }
            stream.write_all(&statement).await?;
            if let Storm::Leaves = storm {
                assert_eq!(error_of(&read_to(&mut stream, Some(b'Z')).await), None);
                stream.write_all(&message(b'X', b"")).await?;
            }
        }
        Storm::Encrypts => {
            stream.write_all(&TLS_REQUEST).await?;
            assert_eq!(stream.read_u8().await?, b'S');
            let name = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
            let mut stream = tls.connect(name, stream).await?;
            stream.write_all(&opening()).await?;
            if !is_ready(&mut stream).await? {
                return Ok(false);
            }
            stream.write_all(&statement).await?;
        }
    }
    Ok(true)
}

/// Reads up to the server's word that it waits for a statement, which ends with its state; false at the connection's end.
async fn is_ready(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
    let mut read = vec![];
    while !read.ends_with(b"Z\0\0\0\x05I") {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// 10,000 connections, some dozens at the same time, leave nothing in the master: no file descriptor, no thread, no session, no memory.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_leave_nothing() {
    const CONNECTIONS: usize = 10_000;
    const AT_ONCE: usize = 48;
    const WITHIN: Duration = Duration::from_secs(180);
    /// The allocator keeps some for the next ones.
    const RSS_MORE_MAX: u64 = 48 << 20;
    let mut scene = Scene::start();
    let client = scene.client().await;
    let (address, tls) = (scene.address, scene.certificate.client().connector());
    let run = async |count: usize| {
        let storms = (0..count).map(|i| storm(STORM[i % STORM.len()], address, tls.clone()));
        let served = stream::iter(storms).buffer_unordered(AT_ONCE).map(|ended| ended.expect("it connects"));
        served.filter(|is_served| std::future::ready(!is_served)).count().await
    };
    // What is made at first is made, as much of it as they need at the same time.
    run(CONNECTIONS / 10).await;
    gone(&client).await;
    let before = held(&mut scene.cluster);
    let began = Instant::now();
    let unserved = run(CONNECTIONS).await;
    let took = began.elapsed();
    println!("{CONNECTIONS} connections in {took:?}, {unserved} of them closed before they were ready");
    assert!(unserved < CONNECTIONS / 100, "{unserved} were not served");
    assert!(took < WITHIN, "{took:?}");
    gone(&client).await;
    gives_back(&mut scene.cluster, before, RSS_MORE_MAX);
    assert_eq!(client.query_one("SELECT count(*) FROM pg_locks", &[]).await.expect("a row").get::<_, i64>(0), 0);
    scene.is_unharmed().await;
}

/// Waits until there is no session but the client's.
async fn gone(client: &Client) {
    let began = Instant::now();
    loop {
        let sessions = client.query_one("SELECT count(*) FROM pg_stat_activity", &[]).await.expect("a row");
        let sessions: i64 = sessions.get(0);
        if sessions <= 1 {
            return;
        }
        assert!(began.elapsed() < GIVEN_BACK, "{sessions} sessions are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// As many as the system lets this process have.
fn may_open_many_files() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a larger limit");
}

/// Row 33: 5,000 that do nothing and 500 that work, and an administrator who looks.
#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_idle_and_five_hundred_active() {
    const IDLE: usize = 5_000;
    const ACTIVE: usize = 500;
    const STATEMENTS: usize = 10;
    /// Of an idle connection: its session and its buffers.
    const IDLE_BYTES_MAX: u64 = 128 << 10;
    may_open_many_files();
    let mut scene = Scene::start();
    let administrator = scene.client().await;
    let before = scene.cluster.master().rss_bytes();
    let opened = stream::iter((0..IDLE).map(|_| scene.opened()));
    let idle: Vec<TcpStream> = opened.buffer_unordered(64).collect().await;
    let each = scene.cluster.master().rss_bytes().saturating_sub(before) / IDLE as u64;
    println!("{each} bytes of an idle connection");
    assert!(each < IDLE_BYTES_MAX, "{each} bytes of an idle connection");
    let statements = AtomicBool::new(true);
    let looks = async {
        let mut looks = 0;
        while statements.load(Ordering::Relaxed) {
            let sessions = administrator.query_one("SELECT count(*) FROM pg_stat_activity", &[]).await.expect("a row");
            assert!(sessions.get::<_, i64>(0) > IDLE as i64);
            looks += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        looks
    };
    let work = async {
        let opened = stream::iter((0..ACTIVE).map(|_| scene.opened()));
        let active: Vec<TcpStream> = opened.buffer_unordered(64).collect().await;
        let mut working = JoinSet::new();
        for mut stream in active {
            working.spawn(async move {
                for _ in 0..STATEMENTS {
                    stream.write_all(&message(b'Q', b"SELECT 1\0")).await.expect("it is taken");
                    assert_eq!(error_of(&read_to(&mut stream, Some(b'Z')).await), None);
                }
            });
        }
        while let Some(ended) = working.join_next().await {
            ended.expect("each gets its answers");
        }
        statements.store(false, Ordering::Relaxed);
    };
    let (looks, ()) = within(async { tokio::join!(looks, work) }).await;
    assert!(looks > 0, "the administrator has seen nothing");
    drop(idle);
    wait_for("the end of the idle ones", GIVEN_BACK, || (held(&mut scene.cluster).files < IDLE / 2).then_some(()));
    scene.is_unharmed().await;
}
