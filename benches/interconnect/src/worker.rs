//! The inside of a process that measures.

use crate::error::BenchError;
use crate::message::{Answer, Done, Go, Ready, Task};
use crate::meter::Meter;
use crate::work;
use damson_bench_report::machine;
use serde::Serialize;
use std::io::{BufRead, Write, stdin, stdout};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Says where it can be reached, begins when it is told to, says what it has done, and ends with its stdin: until then,
/// what it has sent is still delivered.
///
/// # Errors
/// The parent has gone. What goes wrong in the work is an answer.
pub fn serve(task: &str) -> Result<(), BenchError> {
    let task: Task = serde_json::from_str(task)?;
    let lines = read_lines();
    let meter = Arc::new(Meter::new());
    let mut work = work::prepare(&task)?;
    say(&Ready { address: work.address() })?;
    let gone = |_| BenchError::Process("the parent has gone".into());
    let go: Go = serde_json::from_str(&lines.recv().map_err(gone)?)?;

    let own = std::process::id();
    machine::reset_peak_rss(own);
    let rss_before_bytes = machine::rss_bytes(own).unwrap_or(0);
    let (windows, totals) = thread::scope(|scope| {
        let running = scope.spawn(|| work.run(&go.peer, &meter));
        let windows = meter.run(&task.schedule);
        (windows, running.join().expect("the work does not panic"))
    });
    let rss_peak_bytes = machine::peak_rss_bytes(own).unwrap_or(0);
    let done = totals.map(|totals| Done { windows, totals, rss_before_bytes, rss_peak_bytes });
    say(&Answer::from(done.map_err(|error| error.to_string())))?;
    // The end of stdin ends the process.
    loop {
        thread::park();
    }
}

/// Lines of stdin. Its end is the end of the process, whatever it is doing: the parent has no more use for it.
fn read_lines() -> Receiver<String> {
    let (sender, lines) = sync_channel(1);
    thread::spawn(move || {
        for line in stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    lines
}

fn say(what: &impl Serialize) -> Result<(), BenchError> {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(what)?)?;
    Ok(stdout.flush()?)
}
