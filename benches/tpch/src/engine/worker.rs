//! The inside of a worker process: one engine, asked for queries on stdin.

use super::child::{Reply, Request};
use super::{EmbeddedDamson, EngineKind, Ready, Reference, Run};
use crate::options::Options;
use crate::verify::verify;
use datafusion::arrow::array::RecordBatch;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

/// An engine inside this process.
pub enum Inside {
    Damson(EmbeddedDamson),
    DataFusion(Reference),
}

impl Inside {
    /// Starts it and loads its tables.
    ///
    /// # Errors
    /// An engine that runs elsewhere, or does not start.
    pub async fn start(kind: EngineKind, options: &Options) -> Result<(Self, Ready), Box<dyn Error>> {
        match kind {
            EngineKind::Damson => {
                let (damson, load_seconds) = EmbeddedDamson::start(options).await?;
                let ready = Ready { version: env!("CARGO_PKG_VERSION").into(), load_seconds };
                Ok((Inside::Damson(damson), ready))
            }
            EngineKind::Datafusion => {
                let version = datafusion::DATAFUSION_VERSION.into();
                Ok((Inside::DataFusion(Reference::open(options).await?), Ready { version, load_seconds: None }))
            }
            other => Err(format!("{other} runs in processes of its own").into()),
        }
    }

    /// Runs one query and collects its rows.
    ///
    /// # Errors
    /// The engine's message.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        match self {
            Inside::Damson(damson) => damson.query(sql).await,
            Inside::DataFusion(datafusion) => datafusion.query(sql).await.map_err(|e| e.strip_backtrace()),
        }
    }

    pub async fn stop(self) {
        if let Inside::Damson(damson) = self {
            damson.stop().await;
        }
    }
}

/// Says `ready`, then answers requests until stdin ends.
///
/// # Errors
/// An engine that does not start; a parent that is gone.
pub fn serve(kind: EngineKind, options: &Options) -> Result<(), Box<dyn Error>> {
    let runtime = runtime(options)?;
    let (inside, ready) = match runtime.block_on(Inside::start(kind, options)) {
        Ok(started) => started,
        Err(error) => return say(&Reply::Failed { message: error.to_string() }),
    };
    say(&Reply::Ready(ready))?;
    for line in std::io::stdin().lock().lines() {
        let Request { query, sql } = serde_json::from_str(&line?)?;
        let started = Instant::now();
        let result = runtime.block_on(inside.query(&sql));
        let seconds = started.elapsed().as_secs_f64();
        say(&match result {
            Err(message) => Reply::Failed { message },
            Ok(batches) => {
                let verdict = if kind.is_damson() { verify(options.sf, query, &batches) } else { None };
                Reply::Ran(run(seconds, &batches, verdict))
            }
        })?;
    }
    runtime.block_on(inside.stop());
    Ok(())
}

/// A runtime of as many threads as the engine has cores.
pub fn runtime(options: &Options) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(options.cores()).enable_all().build()
}

/// A run's record.
pub fn run(seconds: f64, batches: &[RecordBatch], verdict: Option<Result<(), String>>) -> Run {
    Run {
        seconds,
        rows: batches.iter().map(RecordBatch::num_rows).sum(),
        correct: verdict.as_ref().map(Result::is_ok),
        difference: verdict.and_then(Result::err),
    }
}

fn say(reply: &Reply) -> Result<(), Box<dyn Error>> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(reply)?)?;
    stdout.flush()?;
    Ok(())
}
