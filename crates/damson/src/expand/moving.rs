//! Phase 2: the tables, by rank, some at once, each in a session of its own.

use super::change::{idle_segments, nothing_of};
use super::cluster::{Cluster, Table};
use super::failure::ExpandFailure;
use super::progress::Pace;
use super::record::{Detail, Record};
use super::session::Session;
use super::times::{now_ms, spoken};
use super::tool::Tool;
use crate::limits::EXPAND_CANCEL;
use crate::shell::{Failure, Interrupt, Reply, Server, size, tables as number_of_tables};
use damson_cluster::TableId;
use damson_gpexpand::{Event, Expansion, ExpansionStatus, Step, TableStatus};
use damson_master::Expanded;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the clock is looked at, and the line shown.
const TICK: Duration = Duration::from_millis(500);

/// Moves tables until none is left, the time is over, or Ctrl-C.
///
/// # Errors
/// Tables that could not be moved; the server's.
pub(super) async fn move_tables(
    tool: &mut Tool<'_>,
    expansion: Expansion,
    interrupt: &mut Interrupt,
) -> Result<(), ExpandFailure> {
    if expansion.status() == ExpansionStatus::Complete {
        return Err(ExpandFailure::SetUpAlready(ExpansionStatus::Complete));
    }
    let pace = Pace::new(expansion.bytes_done_and_left().0);
    let mut driver = Driver {
        deadline_ms: tool.args.deadline_ms(now_ms()),
        tool,
        expansion,
        pace,
        detail: Detail::default(),
        moves: FuturesUnordered::new(),
        cancels: BTreeMap::new(),
        failures: 0,
    };
    driver.run(interrupt).await
}

/// The state machine, and what it has begun.
struct Driver<'a, 'b> {
    tool: &'a mut Tool<'b>,
    expansion: Expansion,
    deadline_ms: Option<u64>,
    pace: Pace,
    detail: Detail,
    moves: FuturesUnordered<BoxFuture<'static, (TableId, Moved)>>,
    cancels: BTreeMap<TableId, CancellationToken>,
    failures: usize,
}

/// What has become of a table.
enum Moved {
    /// It is laid out by the new map; how much was moved, if that is known.
    Done(Option<Expanded>),
    Dropped,
    Failed(Failure),
}

impl Driver<'_, '_> {
    async fn run(&mut self, interrupt: &mut Interrupt) -> Result<(), ExpandFailure> {
        let before = self.expansion.clone();
        self.expansion.recover();
        self.save(&before).await?;
        loop {
            let cluster = self.find_tables().await?;
            // Those that were found when all others were moved.
            if self.expansion.status() == ExpansionStatus::Complete {
                return self.say_complete(&cluster);
            }
            let parallel_tables = self.tool.args.parallel.into();
            self.apply(Event::Start { parallel_tables, now_ms: now_ms(), deadline_ms: self.deadline_ms }).await?;
            self.until_stopped(interrupt).await?;
            if self.expansion.status() != ExpansionStatus::Complete {
                return self.say_stopped();
            }
        }
    }

    /// Adds tables that nobody knew of: transactions that had begun before the new map was set may have made some.
    async fn find_tables(&mut self) -> Result<Cluster, ExpandFailure> {
        let cluster = Cluster::read(&mut self.tool.session).await?;
        let ours = &self.expansion.plan().new_map;
        if cluster.newest().owners_text() != *ours {
            return Err(ExpandFailure::MapAltered { ours: ours.clone() });
        }
        let tables = cluster.tables_to_move(&mut self.tool.session).await?;
        self.detail.names.extend(Detail::of_tables(&tables).names);
        self.apply(Event::TablesFound(tables.iter().map(Table::progress).collect())).await?;
        Ok(cluster)
    }

    async fn until_stopped(&mut self, interrupt: &mut Interrupt) -> Result<(), ExpandFailure> {
        let mut ticks = tokio::time::interval(TICK);
        while self.expansion.status() == ExpansionStatus::Started {
            let event = tokio::select! {
                Some((table, moved)) = self.moves.next() => self.note(table, moved),
                () = interrupt.pressed() => {
                    self.tool.display.say("Stopping: the tables that are being moved stay as they were …");
                    Event::Stop
                }
                _ = ticks.tick() => {
                    self.show();
                    Event::Tick { now_ms: now_ms() }
                }
            };
            self.apply(event).await?;
        }
        self.tool.display.waited();
        Ok(())
    }

    /// Says what has become of a table.
    fn note(&mut self, table: TableId, moved: Moved) -> Event {
        let was_cancelled = self.cancels.remove(&table).is_some_and(|cancel| cancel.is_cancelled());
        let name = self.name(table);
        match moved {
            Moved::Done(expanded) => {
                let told = expanded.map_or_else(String::new, |expanded| {
                    let Expanded { rows, bytes, copied_bytes, writers_waited_ms } = expanded;
                    let (all, copied) = (size(bytes), size(copied_bytes));
                    format!(": {rows} rows, {all}, {copied} of it copied; writers waited {writers_waited_ms} ms")
                });
                self.detail.moved.extend(expanded.map(|expanded| (table, expanded)));
                self.tool.display.say(&format!("{name} is moved{told}"));
                Event::TableMoved(table)
            }
            Moved::Dropped => {
                self.tool.display.say(&format!("{name} no longer exists"));
                Event::TableDropped(table)
            }
            Moved::Failed(failure) => {
                if !was_cancelled {
                    self.failures += 1;
                    self.tool.display.warn(&format!("{name} could not be moved: {failure}"));
                }
                Event::TableFailed(table)
            }
        }
    }

    /// Lets the state machine decide, stores that, and carries it out.
    async fn apply(&mut self, event: Event) -> Result<(), ExpandFailure> {
        // Nearly all ticks say nothing.
        let begins_tables = !matches!(event, Event::Tick { .. } | Event::Stop | Event::TablesFound(_));
        let before = self.expansion.clone();
        if begins_tables {
            let ranks = Record(&mut self.tool.session).ranks().await?;
            self.expansion.rank(&ranks);
        }
        let steps = self.expansion.step(event)?;
        self.save(&before).await?;
        for step in steps {
            match step {
                Step::MoveTable(table) => {
                    let cancel = CancellationToken::new();
                    self.cancels.insert(table, cancel.clone());
                    let server = self.tool.args.server.clone();
                    let rate = self.tool.args.rate_of_a_table();
                    self.moves.push(Box::pin(async move { (table, move_table(&server, table, rate, cancel).await) }));
                }
                Step::CancelTable(table) => {
                    if let Some(cancel) = self.cancels.get(&table) {
                        cancel.cancel();
                    }
                }
                // Of the other phases.
                Step::AddSegments(_) | Step::SetMap(_) | Step::MoveNewTables | Step::DropRecord => {}
            }
        }
        Ok(())
    }

    async fn save(&mut self, before: &Expansion) -> Result<(), ExpandFailure> {
        Record(&mut self.tool.session).save(before, &self.expansion, &self.detail).await
    }

    fn name(&self, table: TableId) -> String {
        self.detail.names.get(&table).cloned().unwrap_or_else(|| table.to_string())
    }

    fn show(&self) {
        let tables = self.expansion.tables();
        let done = tables.iter().filter(|table| table.status.is_final()).count();
        let moving = tables.iter().filter(|table| table.status == TableStatus::InProgress);
        let moving: Vec<String> = moving.map(|table| self.name(table.table)).collect();
        let bytes = self.expansion.bytes_done_and_left();
        self.tool.display.waiting(&self.pace.line(done, tables.len(), bytes, &moving));
    }

    fn say_complete(&self, cluster: &Cluster) -> Result<(), ExpandFailure> {
        let display = &self.tool.display;
        let moved = self.detail.moved.values();
        let (rows, bytes) = moved.fold((0, 0), |(rows, bytes), moved| (rows + moved.rows, bytes + moved.bytes));
        let waited = self.detail.moved.values().map(|moved| moved.writers_waited_ms).max().unwrap_or(0);
        display.say(&format!(
            "{}: {rows} rows, {} were moved in {}; writers of a table waited {waited} ms at most.",
            self.expansion.status(),
            size(bytes),
            spoken(self.pace.elapsed())
        ));
        let idle = idle_segments(cluster.newest());
        if !idle.is_empty() {
            display.say(&format!(
                "{} any more: only reads of the past (AS OF) need them, and, until they have ended, statements and transactions that \
                 began before the map was set. Then they may be stopped.",
                nothing_of(&idle)
            ));
        }
        display.say("Next: \"damson expand -c\" drops the record of the expansion.");
        Ok(())
    }

    fn say_stopped(&self) -> Result<(), ExpandFailure> {
        let left = self.expansion.tables().iter().filter(|table| !table.status.is_final()).count();
        if self.failures > 0 {
            return Err(ExpandFailure::TablesFailed { failed: self.failures, left });
        }
        let (status, left) = (self.expansion.status(), number_of_tables(left as u64));
        self.tool.display.say(&format!("{status}: {left} to move. \"damson expand\" goes on."));
        Ok(())
    }
}

/// Moves one table. Whatever happens on the way, the catalog says at the end what has become of it.
async fn move_table(server: &Server, table: TableId, rate: Option<u64>, cancel: CancellationToken) -> Moved {
    let failure = match try_to_move(server, table, rate, &cancel).await {
        Ok(moved) => return moved,
        Err(failure) => failure,
    };
    // It may be committed all the same, when the answer was lost; or be dropped meanwhile.
    match look(server, table).await {
        Ok(None) => Moved::Dropped,
        Ok(Some((_, true))) => Moved::Done(None),
        Ok(Some((_, false))) => Moved::Failed(failure),
        Err(error) => {
            tracing::debug!(%error, "what has become of a table is not known");
            Moved::Failed(failure)
        }
    }
}

async fn try_to_move(
    server: &Server,
    table: TableId,
    rate: Option<u64>,
    cancel: &CancellationToken,
) -> Result<Moved, Failure> {
    let Some((name, _)) = look(server, table).await? else { return Ok(Moved::Dropped) };
    let mut session = Session::open(server).await?;
    if let Some(rate) = rate {
        session.execute(&format!("SET expand_max_rate = {rate}")).await?;
    }
    let moved = expand(&mut session, &name, cancel).await;
    session.close().await;
    moved.map(Moved::Done)
}

async fn expand(session: &mut Session, name: &str, cancel: &CancellationToken) -> Result<Option<Expanded>, Failure> {
    let planned = session.0.plan(&format!("ALTER TABLE {name} EXPAND TABLE")).await?;
    let mut canceller = session.0.clone();
    let fetch = session.0.fetch(&planned);
    tokio::pin!(fetch);
    let reply = tokio::select! {
        reply = &mut fetch => reply?,
        () = cancel.cancelled() => {
            canceller.cancel(&planned).await;
            // It may have been committed already: only its answer tells.
            match tokio::time::timeout(EXPAND_CANCEL, fetch).await {
                Ok(reply) => reply?,
                Err(_) => return Err(Failure::Interrupted),
            }
        }
    };
    match reply {
        Reply::Command(report) => Ok(report.notices.iter().find_map(|notice| Expanded::of_notice(notice))),
        Reply::Rows(_) => Err(Failure::Connection("the server gave rows for a command".into())),
    }
}

/// The table's name as SQL takes it, and whether it is laid out by the newest map; None if it is gone.
async fn look(server: &Server, table: TableId) -> Result<Option<(String, bool)>, Failure> {
    let mut session = Session::open(server).await?;
    let found = async {
        let cluster = Cluster::read(&mut session).await?;
        let tables = cluster.tables(&mut session).await?;
        let found = tables.iter().find(|found| found.id == table);
        Ok::<_, ExpandFailure>(found.map(|found| (found.sql_name(), found.is_laid_out_by(cluster.newest()))))
    }
    .await;
    session.close().await;
    found.map_err(|failure| match failure {
        ExpandFailure::Session(failure) => failure,
        other => Failure::Connection(other.to_string()),
    })
}
