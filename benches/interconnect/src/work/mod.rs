//! What the processes do: one file for each kind of work, behind one interface.

mod broadcast;
mod copy;
mod do_put;
mod ends;
mod node;
mod redistribute;
mod runtimes;
mod slow_receiver;
mod stream;

use crate::error::BenchError;
use crate::message::{Task, Totals, Work};
use crate::meter::Meter;
use std::sync::Arc;

/// One process's part of a measurement.
pub trait Run: Send {
    /// Where the other process reaches this one.
    fn address(&self) -> String;

    /// Moves rows until the meter says that it is over (a sender) or they end (a receiver).
    ///
    /// # Errors
    /// Whatever breaks the measurement.
    fn run(&mut self, peer: &str, meter: &Arc<Meter>) -> Result<Totals, BenchError>;
}

/// Makes what the task needs, up to where the other process can reach it.
///
/// # Errors
/// A socket that cannot be bound, threads that the system refuses.
pub fn prepare(task: &Task) -> Result<Box<dyn Run>, BenchError> {
    Ok(match &task.work {
        Work::Copy { socket } => Box::new(copy::Copy::new(*socket, task.side)?),
        Work::DoPut => Box::new(do_put::DoPut::new(task.side)?),
        Work::Stream { node, rows, routes } => Box::new(stream::Stream::new(node, task, *rows, *routes)?),
        Work::Broadcast { node, receivers } => Box::new(broadcast::Broadcast::new(node, task, *receivers)?),
        Work::Redistribute { node, contents } => Box::new(redistribute::Redistribute::new(node, task, *contents)?),
        Work::SlowReceiver { node, routes } => Box::new(slow_receiver::SlowReceiver::new(node, task, *routes)?),
    })
}
