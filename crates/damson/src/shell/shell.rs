//! The shell's state, and what it does with each piece of input.

use super::block::Block;
use super::connection::Connection;
use super::describe::Question;
use super::failure::Failure;
use super::interrupt::Interrupt;
use super::meta::{HELP, Meta};
use super::output::{CsvOutput, Format, JsonOutput, Output, TableOutput};
use super::run::run;
use super::script::{Piece, pieces};
use futures::future::BoxFuture;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

/// Files that include each other.
const INCLUDE_DEPTH_MAX: usize = 16;

/// One user's shell.
pub(super) struct Shell {
    pub connection: Connection,
    pub interrupt: Interrupt,
    pub block: Block,
    format: Format,
    expanded: bool,
    timing: bool,
    include_depth: usize,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    Quit,
}

/// The script ends here; what went wrong was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Failed,
    Interrupted,
}

impl Shell {
    pub(super) fn new(connection: Connection, interrupt: Interrupt, format: Format) -> Self {
        Shell {
            connection,
            interrupt,
            block: Block::default(),
            format,
            expanded: false,
            timing: false,
            include_depth: 0,
        }
    }

    /// Runs a script up to its first error.
    ///
    /// # Errors
    /// The first one, reported on stderr.
    pub(super) fn script<'a>(&'a mut self, script: &'a str) -> BoxFuture<'a, Result<Next, Stop>> {
        Box::pin(async move {
            for piece in pieces(script) {
                let next = match piece {
                    Piece::Statement(statement) => self.statement(&statement).await.map(|()| Next::GoOn),
                    Piece::Meta(line) => self.meta(Meta::parse(&line)).await,
                };
                if next? == Next::Quit {
                    return Ok(Next::Quit);
                }
            }
            Ok(Next::GoOn)
        })
    }

    /// Runs one statement and prints what it gives.
    async fn statement(&mut self, statement: &str) -> Result<(), Stop> {
        let started = Instant::now();
        let done = self.execute(statement).await;
        self.report(done, statement)?;
        if self.timing {
            self.say(&time(started.elapsed()));
        }
        Ok(())
    }

    async fn execute(&mut self, statement: &str) -> Result<(), Failure> {
        let mut output = self.output();
        let done = run(&mut self.connection, statement, output.as_mut(), &mut self.interrupt).await;
        if done.is_err() {
            self.block = self.block.after_error();
        }
        if let Some(report) = done? {
            self.block = self.block.after(&report.tag, statement);
            report.notices.iter().for_each(|notice| eprintln!("NOTICE:  {notice}"));
            // Programs want rows on stdout and nothing else.
            if self.format == Format::Table {
                writeln!(io::stdout(), "{}", report.tag)?;
            }
        }
        Ok(())
    }

    fn output(&self) -> Box<dyn Output> {
        let stdout = BufWriter::with_capacity(1 << 16, io::stdout());
        match self.format {
            Format::Table => Box::new(TableOutput::new(stdout, self.expanded)),
            Format::Csv => Box::new(CsvOutput::new(stdout)),
            Format::Json => Box::new(JsonOutput::new(stdout)),
        }
    }

    fn report(&self, done: Result<(), Failure>, statement: &str) -> Result<(), Stop> {
        match done {
            Ok(()) => Ok(()),
            // `damson sql | head`: the reader has enough.
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(Stop::Failed),
            Err(failure) => {
                eprint!("{}", failure.report(statement));
                Err(if matches!(failure, Failure::Interrupted) { Stop::Interrupted } else { Stop::Failed })
            }
        }
    }

    async fn meta(&mut self, meta: Meta) -> Result<Next, Stop> {
        match meta {
            Meta::Quit => return Ok(Next::Quit),
            Meta::Help => print!("{HELP}"),
            Meta::Ask(questions) => self.ask(&questions).await?,
            Meta::Timing(on) => {
                self.timing = on.unwrap_or(!self.timing);
                self.say(if self.timing { "Timing is on." } else { "Timing is off." });
            }
            Meta::Expanded(on) => {
                self.expanded = on.unwrap_or(!self.expanded);
                self.say(if self.expanded { "Expanded display is on." } else { "Expanded display is off." });
            }
            Meta::Include(file) => return self.include(&file).await,
            Meta::Wrong(message) => {
                eprintln!("ERROR:  {message}");
                return Err(Stop::Failed);
            }
        }
        Ok(Next::GoOn)
    }

    /// Prints the answers that have rows; the first always.
    async fn ask(&mut self, questions: &[Question]) -> Result<(), Stop> {
        for (i, (title, query)) in questions.iter().enumerate() {
            let mut output = Titled { output: self.output(), title, only_with_rows: i > 0, header: None };
            let done = run(&mut self.connection, query, &mut output, &mut self.interrupt).await;
            self.report(done.map(|_| ()), query)?;
        }
        Ok(())
    }

    async fn include(&mut self, file: &str) -> Result<Next, Stop> {
        if self.include_depth == INCLUDE_DEPTH_MAX {
            eprintln!("ERROR:  files include each other more than {INCLUDE_DEPTH_MAX} deep at {file}");
            return Err(Stop::Failed);
        }
        let script = match std::fs::read_to_string(file) {
            Ok(script) => script,
            Err(error) => {
                eprintln!("ERROR:  {file}: {error}");
                return Err(Stop::Failed);
            }
        };
        self.include_depth += 1;
        let next = self.script(&script).await;
        self.include_depth -= 1;
        // `\q` ends the file, not the shell.
        next.map(|_| Next::GoOn)
    }

    /// A remark, where it does not disturb a program that reads rows.
    fn say(&self, text: &str) {
        if self.format == Format::Table { println!("{text}") } else { eprintln!("{text}") }
    }

    /// After an error: a new session if the server forgot this one, or another master took over.
    pub(super) async fn revive(&mut self) {
        let others = self.connection.has_several_servers();
        match self.connection.plan("SELECT 1").await {
            Err(failure) if failure.is_lost_session() || others && failure.is_lost_server() => {
                match self.connection.reopen().await {
                    Ok(()) => {
                        eprintln!("The session was lost; this is a new one, with default settings.");
                        if std::mem::take(&mut self.block) != Block::Outside {
                            eprintln!("Its transaction was rolled back: begin it again.");
                        }
                    }
                    Err(failure) => eprint!("{}", failure.report("")),
                }
            }
            _ => {}
        }
    }
}

/// A catalog answer under its title.
struct Titled<'a> {
    output: Box<dyn Output>,
    title: &'a str,
    only_with_rows: bool,
    /// The schema until it is known whether there are rows.
    header: Option<arrow::datatypes::Schema>,
}

impl Output for Titled<'_> {
    fn begin(&mut self, schema: &arrow::datatypes::Schema) -> io::Result<()> {
        if self.only_with_rows {
            self.header = Some(schema.clone());
            return Ok(());
        }
        if !self.is_shown_at_once() && !self.title.is_empty() {
            writeln!(io::stdout(), "{}", self.title)?;
        }
        self.output.begin(schema)
    }

    fn batch(&mut self, batch: &arrow::array::RecordBatch) -> io::Result<()> {
        if batch.num_rows() > 0
            && let Some(schema) = self.header.take()
        {
            self.only_with_rows = false;
            self.output.begin(&schema)?;
        }
        if self.only_with_rows { Ok(()) } else { self.output.batch(batch) }
    }

    fn end(&mut self) -> io::Result<()> {
        if self.only_with_rows { Ok(()) } else { self.output.end() }
    }

    fn is_shown_at_once(&self) -> bool {
        self.output.is_shown_at_once()
    }
}

/// As psql says it.
fn time(elapsed: Duration) -> String {
    let ms = elapsed.as_secs_f64() * 1000.0;
    if ms < 1000.0 {
        return format!("Time: {ms:.3} ms");
    }
    let seconds = elapsed.as_secs();
    format!("Time: {ms:.3} ms ({:02}:{:02}.{:03})", seconds / 60, seconds % 60, elapsed.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_psqls() {
        assert_eq!(time(Duration::from_micros(12_345)), "Time: 12.345 ms");
        assert_eq!(time(Duration::from_millis(61_500)), "Time: 61500.000 ms (01:01.500)");
    }
}
