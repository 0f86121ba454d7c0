//! One query again and again in this very process, for `perf record`.

use crate::data;
use crate::engine::worker::{Inside, runtime};
use crate::options::Options;
use std::error::Error;
use std::time::{Duration, Instant};

/// Repeats query `query` on the first of the engines for `--profile-s` seconds, and prints each run's seconds.
///
/// # Errors
/// An engine that does not start, a query that fails.
pub fn run(query: u8, options: &Options) -> Result<(), Box<dyn Error>> {
    data::prepare(options)?;
    let kind = *options.engines.first().ok_or("no engine")?;
    let runtime = runtime(options)?;
    let (inside, _) = runtime.block_on(Inside::start(kind, options))?;
    let sql = data::sql(usize::from(query));
    println!("pid {}: Q{query} on {} for {} s", std::process::id(), kind.title(), options.profile_s);
    let end = Instant::now() + Duration::from_secs(options.profile_s);
    let mut seconds: Vec<f64> = vec![];
    while Instant::now() < end {
        let started = Instant::now();
        runtime.block_on(inside.query(sql))?;
        seconds.push(started.elapsed().as_secs_f64());
        println!("{:.4}", started.elapsed().as_secs_f64());
    }
    seconds.sort_unstable_by(f64::total_cmp);
    if let (Some(best), Some(median)) = (seconds.first(), seconds.get(seconds.len() / 2)) {
        println!("{} runs: best {best:.4} s, median {median:.4} s", seconds.len());
    }
    runtime.block_on(inside.stop());
    Ok(())
}
