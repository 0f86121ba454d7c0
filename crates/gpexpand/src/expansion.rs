//! The expansion's state machine.
//!
//! The driver stores the whole [`Expansion`] after each call and before it carries the returned steps out, so that a
//! crash at any point is continued by [`Expansion::recover`]. Moving a table is one commit: a table whose move was cut
//! short has not begun.

use crate::input::NewSegment;
use crate::limits::PARALLEL_TABLES_MAX;
use crate::status::{ExpansionStatus, TableStatus};
use damson_cluster::TableId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// One row of `gpexpand.status_detail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProgress {
    pub table: TableId,
    /// Lower goes first; equal ranks in the order of table ids.
    pub rank: i32,
    pub source_bytes: u64,
    pub status: TableStatus,
}

impl TableProgress {
    pub fn new(table: TableId, rank: i32, source_bytes: u64) -> Self {
        TableProgress { table, rank, source_bytes, status: TableStatus::NotStarted }
    }
}

/// What an expansion makes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Segments to be added; none where the cluster shrinks or is balanced.
    pub segments: Vec<NewSegment>,
    /// Owners of buckets, as `ALTER SYSTEM SET bucket_map` takes them: before and after.
    pub old_map: String,
    pub new_map: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The new segments serve, and the catalog has the new map; these tables are laid out by others.
    MapSet { tables: Vec<TableProgress> },
    /// More tables that are laid out by other maps: made by transactions that had begun before the new map was set.
    TablesFound(Vec<TableProgress>),
    /// The user wants the old map again (`-r`).
    Rollback,
    /// The user starts phase 2, or starts it again. Both times are of the same clock as [`Event::Tick`].
    Start { parallel_tables: usize, now_ms: u64, deadline_ms: Option<u64> },
    /// The user stops phase 2.
    Stop,
    /// Time passes.
    Tick { now_ms: u64 },
    /// A table's move is committed.
    TableMoved(TableId),
    /// A table's move failed, or was cancelled: nothing of it remains.
    TableFailed(TableId),
    /// A table was dropped.
    TableDropped(TableId),
    /// The user wants the expansion's record gone (`-c`), and has confirmed it if tables are left.
    Clean { is_confirmed: bool },
}

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait until these serve, and start those that are to run here.
    AddSegments(Vec<NewSegment>),
    /// Set this map; in phase 1 answered by [`Event::MapSet`].
    SetMap(String),
    /// Lay out by the newest map what was made by the one that is given up.
    MoveNewTables,
    /// Lay the table out by the new map; answered by one of the `Table…` events.
    MoveTable(TableId),
    /// Abandon the table's move; answered by one of the `Table…` events.
    CancelTable(TableId),
    /// Drop the record of the expansion.
    DropRecord,
}

/// An event that cannot be in this state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExpansionError {
    #[error("{action} is not possible: the expansion's status is {status}")]
    WrongStatus { action: &'static str, status: ExpansionStatus },
    #[error("a rollback is not possible: tables that have moved already: {0}")]
    TablesMoved(usize),
    #[error("tables that are not laid out by the new map: {left}; the expansion's status is {status}")]
    NotComplete { left: usize, status: ExpansionStatus },
    #[error("the expansion does not move table {0}")]
    UnknownTable(TableId),
    #[error("table {table} is {status}, not IN PROGRESS")]
    NotInProgress { table: TableId, status: TableStatus },
    #[error("1 to {PARALLEL_TABLES_MAX} tables can be moved at once, not {0}")]
    ParallelTables(usize),
}

/// The state of one expansion. Made by the driver for an input file or for new shares of the buckets, stored in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expansion {
    status: ExpansionStatus,
    plan: Plan,
    /// In the order in which they are moved.
    tables: Vec<TableProgress>,
    parallel_tables: usize,
    deadline_ms: Option<u64>,
    /// No further table is begun; STOPPED when none is in progress.
    stopping: bool,
    /// Tables that failed since the last start; they are tried again by the next.
    failed: BTreeSet<TableId>,
}

impl Expansion {
    /// An expansion by `plan`, and its first steps.
    pub fn new(plan: Plan) -> (Self, Vec<Step>) {
        let expansion = Expansion {
            status: ExpansionStatus::Setup,
            plan,
            tables: vec![],
            parallel_tables: 1,
            deadline_ms: None,
            stopping: false,
            failed: BTreeSet::new(),
        };
        let steps = expansion.set_up();
        (expansion, steps)
    }

    pub fn status(&self) -> ExpansionStatus {
        self.status
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// In the order in which they are moved.
    pub fn tables(&self) -> &[TableProgress] {
        &self.tables
    }

    /// `expansion_progress`: bytes of tables that are laid out by the new map, and bytes that remain.
    pub fn bytes_done_and_left(&self) -> (u64, u64) {
        let sum = |wanted: &dyn Fn(TableStatus) -> bool| {
            self.tables.iter().filter(|t| wanted(t.status)).map(|t| t.source_bytes).sum()
        };
        (sum(&|s| s == TableStatus::Completed), sum(&|s| !s.is_final()))
    }

    /// The transition function.
    ///
    /// # Errors
    /// An event that cannot be now; the state is as before.
    pub fn step(&mut self, event: Event) -> Result<Vec<Step>, ExpansionError> {
        use ExpansionStatus::{Complete, RollingBack, Setup, SetupDone, Started, Stopped};
        match event {
            Event::MapSet { tables } => {
                self.expect("a new map", &[Setup])?;
                self.status = SetupDone;
                self.add(tables);
                Ok(vec![])
            }
            Event::TablesFound(tables) => {
                self.expect("another table", &[SetupDone, Stopped, Complete])?;
                self.add(tables);
                if self.status == Complete && self.tables_left() > 0 {
                    self.status = Stopped;
                }
                Ok(vec![])
            }
            Event::Rollback => {
                self.expect("a rollback", &[Setup, SetupDone, Stopped, RollingBack])?;
                let moved = self.tables.iter().filter(|t| t.status == TableStatus::Completed).count();
                if moved > 0 {
                    return Err(ExpansionError::TablesMoved(moved));
                }
                self.status = RollingBack;
                Ok(vec![Step::SetMap(self.plan.old_map.clone()), Step::MoveNewTables, Step::DropRecord])
            }
            Event::Start { parallel_tables, now_ms, deadline_ms } => {
                self.expect("a start", &[SetupDone, Stopped])?;
                if !(1..=PARALLEL_TABLES_MAX).contains(&parallel_tables) {
                    return Err(ExpansionError::ParallelTables(parallel_tables));
                }
                self.status = Started;
                self.parallel_tables = parallel_tables;
                self.deadline_ms = deadline_ms;
                self.stopping = deadline_ms.is_some_and(|deadline| now_ms >= deadline);
                self.failed.clear();
                Ok(self.advance())
            }
            Event::Stop => {
                self.expect("a stop", &[Started])?;
                Ok(self.stop())
            }
            Event::Tick { now_ms } => {
                let is_late = self.deadline_ms.is_some_and(|deadline| now_ms >= deadline);
                Ok(if self.status == Started && is_late && !self.stopping { self.stop() } else { vec![] })
            }
            Event::TableMoved(table) => {
                self.finish(table, TableStatus::Completed)?;
                Ok(self.advance())
            }
            Event::TableFailed(table) => {
                self.finish(table, TableStatus::NotStarted)?;
                self.failed.insert(table);
                Ok(self.advance())
            }
            Event::TableDropped(table) => {
                let progress = self.progress_mut(table)?;
                let was_moving = progress.status == TableStatus::InProgress;
                // A table that was moved and is dropped later keeps its place in the record, as one that was moved.
                if !progress.status.is_final() {
                    progress.status = TableStatus::NoLongerExists;
                }
                Ok(if was_moving { self.advance() } else { vec![] })
            }
            Event::Clean { is_confirmed } => {
                // Before that the new segments may be half-way into the cluster.
                self.expect("cleaning up", &[SetupDone, Stopped, Complete])?;
                if self.status != Complete && !is_confirmed {
                    return Err(ExpansionError::NotComplete { left: self.tables_left(), status: self.status });
                }
                Ok(vec![Step::DropRecord])
            }
        }
    }

    /// The user's order of the tables that have not begun; those that are not named keep their ranks.
    pub fn rank(&mut self, ranks: &BTreeMap<TableId, i32>) {
        for table in self.tables.iter_mut().filter(|t| t.status == TableStatus::NotStarted) {
            table.rank = ranks.get(&table.table).copied().unwrap_or(table.rank);
        }
        self.sort();
    }

    /// After the driver's restart: what was in progress has not begun, and waits for a start.
    pub fn recover(&mut self) -> Vec<Step> {
        for table in self.tables.iter_mut().filter(|t| t.status == TableStatus::InProgress) {
            table.status = TableStatus::NotStarted;
        }
        match self.status {
            ExpansionStatus::Setup => self.set_up(),
            ExpansionStatus::Started => {
                self.stopping = true;
                self.advance()
            }
            _ => vec![],
        }
    }

    fn set_up(&self) -> Vec<Step> {
        let new = Some(Step::AddSegments(self.plan.segments.clone())).filter(|_| !self.plan.segments.is_empty());
        new.into_iter().chain([Step::SetMap(self.plan.new_map.clone())]).collect()
    }

    /// Tables that are known already stay as they are.
    fn add(&mut self, tables: Vec<TableProgress>) {
        let known: BTreeSet<TableId> = self.tables.iter().map(|t| t.table).collect();
        self.tables.extend(tables.into_iter().filter(|t| !known.contains(&t.table)));
        self.sort();
    }

    fn sort(&mut self) {
        self.tables.sort_by_key(|t| (t.rank, t.table));
    }

    fn tables_left(&self) -> usize {
        self.tables.iter().filter(|t| !t.status.is_final()).count()
    }

    fn expect(&self, action: &'static str, allowed: &[ExpansionStatus]) -> Result<(), ExpansionError> {
        match allowed.contains(&self.status) {
            true => Ok(()),
            false => Err(ExpansionError::WrongStatus { action, status: self.status }),
        }
    }

    fn progress_mut(&mut self, table: TableId) -> Result<&mut TableProgress, ExpansionError> {
        self.tables.iter_mut().find(|t| t.table == table).ok_or(ExpansionError::UnknownTable(table))
    }

    fn finish(&mut self, table: TableId, status: TableStatus) -> Result<(), ExpansionError> {
        let progress = self.progress_mut(table)?;
        if progress.status != TableStatus::InProgress {
            return Err(ExpansionError::NotInProgress { table, status: progress.status });
        }
        progress.status = status;
        Ok(())
    }

    fn stop(&mut self) -> Vec<Step> {
        self.stopping = true;
        let moving = self.tables.iter().filter(|t| t.status == TableStatus::InProgress);
        let steps = moving.map(|t| Step::CancelTable(t.table)).collect();
        // With nothing in progress the stop is complete; advance begins nothing now.
        self.advance();
        steps
    }

    /// Begins tables while there is room, and notices the end.
    fn advance(&mut self) -> Vec<Step> {
        if self.status != ExpansionStatus::Started {
            return vec![];
        }
        let mut moving = self.tables.iter().filter(|t| t.status == TableStatus::InProgress).count();
        let mut steps = vec![];
        for progress in self.tables.iter_mut().filter(|t| t.status == TableStatus::NotStarted) {
            if self.stopping || moving >= self.parallel_tables {
                break;
            }
            if !self.failed.contains(&progress.table) {
                progress.status = TableStatus::InProgress;
                moving += 1;
                steps.push(Step::MoveTable(progress.table));
            }
        }
        if self.tables.iter().all(|t| t.status.is_final()) {
            self.status = ExpansionStatus::Complete;
        } else if moving == 0 {
            self.status = ExpansionStatus::Stopped;
        }
        steps
    }
}

#[cfg(test)]
mod tests;
