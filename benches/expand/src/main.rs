//! A cluster of processes with TPC-H grows from two segments to four by the expansion tool, while a client runs TPC-H and another
//! writes: every answer is compared with the one before, every written row is looked for, and the times are charted. Or nobody does, and the
//! time is compared with a plain copy's.

mod client;
mod clients;
mod idle;
mod report;

use clap::Parser;
use client::Client;
use damson::tpch::{FileFormat, TABLES, generate};
use damson_bench_report::{Phase, machine};
use damson_tests::detached::Detached;
use damson_tests::processes::{BUILD, ProcessCluster};
use damson_tests::s3_server::{BUCKET, KEY, S3Server, SECRET};
use mimalloc::MiMalloc;
use report::Run;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// That of `damson`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Between two looks at how far the reader is.
const POLL: Duration = Duration::from_millis(100);

#[derive(Parser)]
struct Options {
    /// TPC-H's scale factor.
    #[arg(long, default_value_t = 1.0)]
    sf: f64,
    /// Rounds of the 22 queries before and after.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Tables that are moved at once.
    #[arg(long, default_value_t = 1)]
    parallel: u16,
    /// Keeps the tables in a bucket, of an S3 server on loopback.
    #[arg(long)]
    bucket: bool,
    /// Nobody reads or writes meanwhile; the time is compared with that of a plain copy.
    #[arg(long, conflicts_with_all = ["bucket", "rounds"])]
    idle: bool,
    /// Where the report goes.
    #[arg(long, default_value = "docs/benchmarks")]
    out: PathBuf,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let options = Options::parse();
    // It has a runtime of its own.
    let server = options.bucket.then(S3Server::start);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(run(&options, server.as_ref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options, bucket: Option<&S3Server>) -> Result<(), Failure> {
    if options.idle {
        println!("{}", idle::run(options).await?.display());
        return Ok(());
    }
    let cluster = ProcessCluster::start(2);
    let detached = Detached::new(cluster.directory().join("grown-seg"));
    let address = cluster.client_address();
    let mut client = Client::connect(address).await?;
    if let Some(server) = bucket {
        keep_in(server, &mut client).await?;
    }
    load(&mut client, &cluster, options.sf).await?;

    let (began, stop) = (Instant::now(), CancellationToken::new());
    let rounds = Arc::new(AtomicUsize::new(0));
    let mut reader = tokio::spawn(clients::read(address, began, Arc::clone(&rounds), stop.clone()));
    let mut writer = tokio::spawn(clients::write(address, began, stop.clone()));
    let mut phases = Phases::new(began);
    let mut said = String::new();

    until(&rounds, options.rounds, &mut reader, &mut writer).await?;
    phases.end("before");
    let prefix = detached.prefix().display().to_string();
    said += &expand(&cluster, &["--segments", "2", "--data-prefix", &prefix]).await?;
    phases.end("phase 1: segments are added");
    let command = ["-n", &options.parallel.to_string()];
    said += &expand(&cluster, &command).await?;
    phases.end("phase 2: tables are moved");
    until(&rounds, rounds.load(Ordering::Relaxed) + options.rounds + 1, &mut reader, &mut writer).await?;
    phases.end("after");
    stop.cancel();
    let reads = reader.await??;
    let (writes, journal) = writer.await??;

    check(&mut client, &cluster, journal).await?;
    said += &expand(&cluster, &["-c"]).await?;
    // Not where it is on this machine.
    let arguments = std::env::args().skip(1);
    let command = std::iter::once("damson-bench-expand".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ");
    let run = Run {
        sf: options.sf,
        is_in_bucket: options.bucket,
        command,
        phases: phases.done,
        reads,
        writes,
        journal,
        said: said.replace(&cluster.directory().display().to_string(), "/data"),
    };
    println!("{}", run.write(&options.out)?.display());
    Ok(())
}

/// Tables that are made from now on are in the server's bucket.
async fn keep_in(server: &S3Server, client: &mut Client) -> Result<(), Failure> {
    let endpoint = server.endpoint();
    for sql in [
        &format!(
            "CREATE SECRET s (TYPE s3, KEY_ID '{KEY}', SECRET '{SECRET}', REGION 'us-east-1', ENDPOINT '{endpoint}')"
        ),
        &format!("CREATE TABLESPACE lake LOCATION 's3://{BUCKET}/lake' WITH (secret = s)"),
        "SET default_tablespace = lake",
    ] {
        client.command(sql).await?;
    }
    Ok(())
}

/// TPC-H and the writer's table.
async fn load(client: &mut Client, cluster: &ProcessCluster, sf: f64) -> Result<(), Failure> {
    let directory = cluster.directory().join("tpch");
    eprintln!("generating and loading TPC-H SF{sf}");
    generate(&directory, sf, &TABLES, FileFormat::Parquet, machine::cores(), &|_| {})?;
    for table in TABLES {
        client.command(table.definition()).await?;
        let from = directory.join(table.name());
        client.command(&format!("COPY {table} FROM '{}' (FORMAT parquet)", from.display())).await?;
    }
    std::fs::remove_dir_all(directory)?;
    client.command("CREATE TABLE journal (k int, v int) DISTRIBUTED BY (k)").await?;
    Ok(())
}

/// Runs the tool; what it says.
async fn expand(cluster: &ProcessCluster, arguments: &[&str]) -> Result<String, Failure> {
    eprintln!("damson expand {}", arguments.join(" "));
    let mut command = cluster.command("expand", arguments);
    // Of the segments that it starts.
    command.env("DAMSON_BUILD", BUILD);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(said),
        false => Err(format!("damson expand: {said}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Waits for the reader; whoever fails ends the wait.
async fn until(
    rounds: &AtomicUsize,
    wanted: usize,
    reader: &mut JoinHandle<Result<Vec<clients::Timed>, String>>,
    writer: &mut JoinHandle<Result<(Vec<clients::Timed>, usize), String>>,
) -> Result<(), Failure> {
    let ended = "a client ended before it was told to";
    tokio::select! {
        done = reader => Err(done?.err().unwrap_or_else(|| ended.to_owned()).into()),
        done = writer => Err(done?.err().unwrap_or_else(|| ended.to_owned()).into()),
        () = async {
            while rounds.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(POLL).await;
            }
        } => Ok(()),
    }
}

/// Whether all is where it belongs.
async fn check(client: &mut Client, cluster: &ProcessCluster, journal: usize) -> Result<(), Failure> {
    let found = client.query("SELECT count(*), count(DISTINCT k), sum(v) FROM journal").await?.lines();
    if found != [format!("{journal} | {journal} | {journal}")] {
        return Err(format!("{journal} rows of the journal were acknowledged, there are {found:?}").into());
    }
    let query = "SELECT table_name FROM gp_segment_rows WHERE table_name IN ('lineitem', 'orders') AND rows > 0";
    let segments = client.query(query).await?.rows.len();
    if segments != 8 {
        return Err(format!("lineitem and orders are on {segments} segments, not on four each").into());
    }
    let checked = cluster.check();
    if !checked.success {
        return Err(format!("damson check: {}{}", checked.stdout, checked.stderr).into());
    }
    Ok(())
}

/// When what was done.
struct Phases {
    began: Instant,
    done: Vec<Phase>,
}

impl Phases {
    fn new(began: Instant) -> Self {
        Phases { began, done: vec![] }
    }

    fn end(&mut self, label: &str) {
        let from = self.done.last().map_or(0.0, |phase| phase.to);
        self.done.push(Phase { label: label.into(), from, to: self.began.elapsed().as_secs_f64() });
    }
}
