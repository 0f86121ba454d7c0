//! All rows of a table, fetched by one client after the other.

mod program;
mod way;

pub use program::Fetched;
pub use way::{WAYS, Way};

use crate::Failure;
use crate::cluster::Cluster;
use crate::options::Options;
use damson_bench_report::machine::{peak_rss_bytes, reset_peak_rss, rss_bytes};
use program::Programs;

/// With which result sets come as an endpoint for each segment.
const PARALLEL_RETRIEVE: &str = "parallel_retrieve";

/// As DuckDB makes them: see fetch.py.
const TABLE: &str = "CREATE TABLE fetched (k bigint NOT NULL, i int, d double precision, amount numeric(12,2), due date, \
                     made timestamp, flag boolean, city text, note text, maybe int) DISTRIBUTED BY (k)";

/// One fetch of all rows.
#[derive(Clone, Debug)]
pub struct Run {
    pub fetched: Fetched,
    /// Of the master's memory: what it held before, and the most that it held during the fetch. None for what has no master.
    pub master_bytes: Option<(u64, u64)>,
}

/// One way, and all its rounds.
#[derive(Clone, Debug)]
pub struct Measured {
    pub way: Way,
    pub outcome: Outcome,
}

#[derive(Clone, Debug)]
pub enum Outcome {
    Runs(Vec<Run>),
    /// There is no such thing here: why.
    Unavailable(String),
    Failed(String),
}

impl Measured {
    /// The fastest round.
    pub fn best(&self) -> Option<&Run> {
        match &self.outcome {
            Outcome::Runs(runs) => runs.iter().min_by(|a, b| a.fetched.seconds.total_cmp(&b.fetched.seconds)),
            Outcome::Unavailable(_) | Outcome::Failed(_) => None,
        }
    }

    fn add(&mut self, run: Result<Run, String>) {
        // What has failed is not tried again.
        let Outcome::Runs(runs) = &mut self.outcome else { return };
        match run {
            Ok(run) => runs.push(run),
            Err(why) => self.outcome = Outcome::Failed(why),
        }
    }

    /// What came in fewer streams than there are segments is not what the way is named after.
    fn demand_streams(&mut self, segments: usize) {
        if let Outcome::Runs(runs) = &self.outcome
            && let Some(run) = runs.iter().find(|run| run.fetched.streams < segments)
        {
            let streams = run.fetched.streams;
            let why = format!("with {PARALLEL_RETRIEVE} the server gives {streams} endpoints for {segments} segments");
            self.outcome = Outcome::Unavailable(why);
        }
    }
}

/// Makes the rows and lets each way fetch them, in turns, round by round.
///
/// # Errors
/// Rows that cannot be made, or loaded. What a client cannot do is an [`Outcome`].
pub async fn run(options: &Options, cluster: &Cluster) -> Result<Vec<Measured>, Failure> {
    let rows = options.rows();
    let Some(programs) = Programs::new(options)? else {
        let why = "no Python with the packages of benches/clients/requirements.txt";
        return Ok(WAYS.map(|way| Measured { way, outcome: Outcome::Unavailable(why.into()) }).into());
    };
    eprintln!("making {rows} rows");
    let file = programs.make(rows).await?;
    cluster.execute(TABLE)?;
    cluster.execute(&format!("COPY fetched FROM '{}'", file.display().to_string().replace('\'', "''")))?;
    let found = cluster.row("SELECT count(*), sum(k) FROM fetched")?;
    if found != [rows.to_string(), keys(rows).to_string()] {
        return Err(format!("Damson has loaded other rows than were made: {found:?}").into());
    }
    let mut measured = WAYS.map(|way| Measured { way, outcome: Outcome::Runs(vec![]) });
    for measured in &mut measured {
        if let Some(why) = missing(measured.way, options, cluster)? {
            measured.outcome = Outcome::Unavailable(why);
        }
    }
    // Not counted: its columns are in the segments' caches then.
    if let Err(why) = programs.fetch(Way::Flight, cluster).await {
        eprintln!("the first fetch has failed: {why}");
    }
    for round in 0..options.rounds() {
        for measured in &mut measured {
            if !matches!(measured.outcome, Outcome::Runs(_)) {
                continue;
            }
            let run = fetch(&programs, measured.way, rows, cluster).await;
            let told = run.as_ref().map_or_else(|why| why.clone(), |run| format!("{:.2} s", run.fetched.seconds));
            eprintln!("round {}, {}: {told}", round + 1, measured.way.title());
            measured.add(run);
            if measured.way == Way::FlightParallel {
                measured.demand_streams(options.segments);
            }
        }
    }
    cluster.execute("DROP TABLE fetched")?;
    Ok(measured.into())
}

/// What the keys of all rows add up to.
fn keys(rows: u64) -> u64 {
    rows * (rows - 1) / 2
}

/// Why a way cannot be gone here.
fn missing(way: Way, options: &Options, cluster: &Cluster) -> Result<Option<String>, Failure> {
    Ok(match way {
        Way::FlightParallel if !cluster.has_setting(PARALLEL_RETRIEVE)? => {
            Some(format!("the server has no setting {PARALLEL_RETRIEVE}"))
        }
        Way::PgJdbc if options.jdbc_driver().is_none() => Some("no JDK, or no driver: see scripts/jdbc-driver".into()),
        Way::Flight | Way::FlightParallel | Way::PgJdbc | Way::Psycopg | Way::DuckDb => None,
    })
}

async fn fetch(programs: &Programs, way: Way, rows: u64, cluster: &Cluster) -> Result<Run, String> {
    let master = cluster.master();
    if !reset_peak_rss(master) {
        return Err("the kernel does not forget a peak".into());
    }
    let before = rss_bytes(master).ok_or("the master is gone")?;
    let fetched = programs.fetch(way, cluster).await?;
    let peak = peak_rss_bytes(master).ok_or("the master is gone")?;
    if (fetched.rows, fetched.keys) != (rows, keys(rows)) {
        let (found, sum) = (fetched.rows, fetched.keys);
        return Err(format!("{found} rows whose keys add up to {sum}, of {rows} and {}", keys(rows)));
    }
    Ok(Run { fetched, master_bytes: (way != Way::DuckDb).then_some((before, peak)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: f64, streams: usize) -> Run {
        let version = "1".into();
        let fetched = Fetched { version, seconds, rows: 4, keys: keys(4), arrow_bytes: None, streams, peak_bytes: 1 };
        Run { fetched, master_bytes: None }
    }

    #[test]
    fn the_fastest_round_counts_and_a_failure_stays() {
        let mut measured = Measured { way: Way::Flight, outcome: Outcome::Runs(vec![]) };
        for seconds in [3.0, 1.0, 2.0] {
            measured.add(Ok(run(seconds, 1)));
        }
        assert_eq!(measured.best().map(|run| run.fetched.seconds), Some(1.0));
        measured.add(Err("gone".into()));
        measured.add(Ok(run(0.5, 1)));
        assert!(measured.best().is_none() && matches!(&measured.outcome, Outcome::Failed(why) if why == "gone"));
    }

    #[test]
    fn one_stream_is_not_one_of_each_segment() {
        let mut measured = Measured { way: Way::FlightParallel, outcome: Outcome::Runs(vec![run(1.0, 2)]) };
        measured.demand_streams(2);
        assert!(measured.best().is_some());
        measured.add(Ok(run(1.0, 1)));
        measured.demand_streams(2);
        assert!(matches!(&measured.outcome, Outcome::Unavailable(why) if why.contains("1 endpoints for 2")));
    }

    #[test]
    fn keys_are_those_below_the_number_of_rows() {
        assert_eq!(keys(1), 0);
        assert_eq!(keys(5), 1 + 2 + 3 + 4);
    }
}
