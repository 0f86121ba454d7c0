//! The shell's state, and what it does with each piece of input.

use super::address::as_in_session;
use super::block::Block;
use super::connection::Connection;
use super::describe::{self, NoRows, Question, not_found};
use super::failure::Failure;
use super::interrupt::Interrupt;
use super::meta::{EchoTo, Expanded, HELP, Meta};
use super::output::{CsvOutput, Format, JsonOutput, Output, TableOutput};
use super::pattern::Pattern;
use super::run::run;
use super::script::{Piece, pieces};
use super::sink::Sink;
use super::titled::{Collected, Titled};
use super::variables::Variables;
use damson_master::flight_sql::protocol::is_warning;
use futures::future::BoxFuture;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

/// Files that include each other.
const INCLUDE_DEPTH_MAX: usize = 16;
/// After an error, how long a server may take to say that it knows the session: the rest of a result that was cancelled comes before that.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// One user's shell.
pub(super) struct Shell {
    pub connection: Connection,
    pub interrupt: Interrupt,
    block: Block,
    /// The server cannot be reached: nobody knows where the block is.
    is_lost: bool,
    variables: Variables,
    format: Format,
    expanded: Expanded,
    timing: bool,
    sink: Sink,
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
    pub(super) fn new(connection: Connection, interrupt: Interrupt, format: Format, variables: Variables) -> Self {
        Shell {
            connection,
            interrupt,
            block: Block::default(),
            is_lost: false,
            variables,
            format,
            expanded: Expanded::default(),
            timing: false,
            sink: Sink::default(),
            include_depth: 0,
        }
    }

    pub(super) fn prompt(&self) -> &'static str {
        if self.is_lost { "damson=?> " } else { self.block.prompt() }
    }

    /// Runs a script up to its first error.
    ///
    /// # Errors
    /// The first one, reported on stderr.
    pub(super) fn script<'a>(&'a mut self, script: &'a str) -> BoxFuture<'a, Result<Next, Stop>> {
        Box::pin(async move {
            for piece in pieces(script) {
                let next = match piece {
                    Piece::Statement(statement) => {
                        let statement = self.variables.fill(&statement).into_owned();
                        self.statement(&statement).await.map(|()| Next::GoOn)
                    }
                    Piece::Meta(line) => {
                        let meta = Meta::parse(&line, |name| self.variables.get(name).map(str::to_owned));
                        self.meta(meta).await
                    }
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
        report(done, statement)?;
        if self.timing {
            self.say(&time(started.elapsed()));
        }
        Ok(())
    }

    async fn execute(&mut self, statement: &str) -> Result<(), Failure> {
        let mut output = self.output();
        let done = run(&mut self.connection, statement, output.as_mut(), &mut self.interrupt).await;
        if let Err(failure) = &done {
            self.block = self.block.after_error(statement, failure.sqlstate());
        }
        let report = done?;
        self.is_lost = false;
        if let Some(report) = report {
            self.block = self.block.after(&report.tag, statement);
            for notice in &report.notices {
                let severity = if is_warning(notice) { "WARNING" } else { "NOTICE" };
                eprintln!("{severity}:  {notice}");
            }
            // Programs want rows on stdout and nothing else.
            if self.format == Format::Table {
                writeln!(self.sink, "{}", report.tag)?;
            }
        }
        Ok(())
    }

    fn output(&self) -> Box<dyn Output> {
        let out = BufWriter::with_capacity(1 << 16, self.sink.clone());
        match self.format {
            Format::Table => {
                let table = TableOutput::new(out, self.expanded == Expanded::On);
                match (self.expanded, &self.sink) {
                    (Expanded::Auto, Sink::Stdout) => Box::new(table.expanded_beyond(terminal_columns())),
                    _ => Box::new(table),
                }
            }
            Format::Csv => Box::new(CsvOutput::new(out)),
            Format::Json => Box::new(JsonOutput::new(out)),
        }
    }

    /// Runs a backslash command.
    ///
    /// # Errors
    /// One that is none, or that fails; reported on stderr.
    pub(super) async fn meta(&mut self, meta: Meta) -> Result<Next, Stop> {
        match meta {
            Meta::Quit => return Ok(Next::Quit),
            Meta::Help => print!("{HELP}"),
            Meta::Ask(question) => self.ask(&question).await?,
            Meta::Describe(pattern) => self.describe(&pattern).await?,
            Meta::Timing(on) => {
                self.timing = on.unwrap_or(!self.timing);
                self.say(if self.timing { "Timing is on." } else { "Timing is off." });
            }
            Meta::Expanded(how) => {
                let other = if self.expanded == Expanded::Off { Expanded::On } else { Expanded::Off };
                self.expanded = how.unwrap_or(other);
                self.say(match self.expanded {
                    Expanded::Off => "Expanded display is off.",
                    Expanded::On => "Expanded display is on.",
                    Expanded::Auto => "Expanded display is used automatically.",
                });
            }
            Meta::Include(file) => return self.include(&file).await,
            Meta::Echo(to, text) => match to {
                EchoTo::Stdout => report(writeln!(io::stdout(), "{text}").map_err(Failure::from), "")?,
                EchoTo::Output => report(writeln!(self.sink, "{text}").map_err(Failure::from), "")?,
                EchoTo::Stderr => eprintln!("{text}"),
            },
            Meta::Output(None) => self.sink = Sink::Stdout,
            Meta::Output(Some(file)) => {
                self.sink = Sink::create(&file).map_err(|error| wrong(&format!("{file}: {error}")))?;
            }
            Meta::Set(name, value) => self.variables.set(&name, &value).map_err(|message| wrong(&message))?,
            Meta::Unset(name) => self.variables.unset(&name),
            Meta::ShowVariables => self.variables.all().for_each(|(name, value)| println!("{name} = '{value}'")),
            Meta::Connect { url, user } => self.connect(url.as_deref(), user.as_deref()).await?,
            Meta::ConnectionInfo => self.say(&self.connection_info()),
            Meta::Wrong(message) => return Err(wrong(&message)),
        }
        Ok(Next::GoOn)
    }

    /// Prints an answer.
    async fn ask(&mut self, question: &Question) -> Result<(), Stop> {
        let shows_header = question.no_rows == NoRows::Header;
        let mut output = Titled::new(self.output(), &question.title, self.sink.clone(), shows_header);
        let done = run(&mut self.connection, &question.query, &mut output, &mut self.interrupt).await;
        report(done.map(|_| ()), &question.query)?;
        match &question.no_rows {
            NoRows::Error(message) if output.rows() == 0 => Err(wrong(message)),
            _ => Ok(()),
        }
    }

    /// Describes the relations of a name, each by itself: those that are found without their schema, or if there are none, all.
    async fn describe(&mut self, pattern: &Pattern) -> Result<(), Stop> {
        let query = describe::matches(pattern);
        let mut found = Collected::default();
        let done = run(&mut self.connection, &query, &mut found, &mut self.interrupt).await;
        report(done.map(|_| ()), &query)?;
        let is_any_visible = !pattern.has_schema() && found.rows.iter().any(|row| is_visible(row));
        let mut is_found = false;
        for row in &found.rows {
            let [Some(schema), Some(name), Some(kind), ..] = &row[..] else { continue };
            if is_any_visible && !is_visible(row) {
                continue;
            }
            is_found = true;
            for question in describe::relation(schema, name, kind) {
                self.ask(&question).await?;
            }
        }
        if is_found { Ok(()) } else { Err(wrong(&not_found("relation", pattern))) }
    }

    /// Another session in place of this one, which ends, and its transaction with it.
    async fn connect(&mut self, url: Option<&str>, user: Option<&str>) -> Result<(), Stop> {
        let current = self.connection.url();
        let url = url.map_or_else(|| current.to_owned(), |url| as_in_session(url, current));
        let user = user.unwrap_or(self.connection.user()).to_owned();
        let tls = self.connection.tls().clone();
        let opened = tokio::select! {
            opened = Connection::open(&url, &user, &tls) => opened,
            () = self.interrupt.pressed() => Err(Failure::Interrupted),
        };
        match opened {
            Ok(connection) => std::mem::replace(&mut self.connection, connection).close().await,
            Err(failure) => {
                return report(Err(failure), "").inspect_err(|_| eprintln!("The previous session is kept."));
            }
        }
        if std::mem::take(&mut self.block) != Block::Outside {
            eprintln!("Its transaction was rolled back.");
        }
        self.is_lost = false;
        self.say(&self.connection_info());
        Ok(())
    }

    fn connection_info(&self) -> String {
        let (url, user) = (self.connection.url(), self.connection.user());
        let session = self.connection.session().map_or_else(String::new, |session| format!(", session {session}"));
        format!("You are connected to database \"damson\" as user \"{user}\" at {url}{session}.")
    }

    async fn include(&mut self, file: &str) -> Result<Next, Stop> {
        if self.include_depth == INCLUDE_DEPTH_MAX {
            return Err(wrong(&format!("files include each other more than {INCLUDE_DEPTH_MAX} deep at {file}")));
        }
        let script = std::fs::read_to_string(file).map_err(|error| wrong(&format!("{file}: {error}")))?;
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

    /// After an error: a new session if the server forgot this one, or ended it, or does not answer in it, or another master took over. Ctrl-C ends
    /// the waiting.
    pub(super) async fn revive(&mut self) {
        // Those that ended the statement.
        self.interrupt.forget();
        let goes = self.connection.goes_with_server();
        let failure = match self.check().await {
            Err(failure) if failure.is_ended_session() || goes && failure.is_lost_server() => match self.reopen().await
            {
                Ok(()) => {
                    self.is_lost = false;
                    eprintln!("The session was lost; this is a new one, with default settings.");
                    if std::mem::take(&mut self.block) != Block::Outside {
                        eprintln!("Its transaction was rolled back: begin it again.");
                    }
                    return;
                }
                Err(failure) => {
                    eprint!("{}", failure.report(""));
                    Some(failure)
                }
            },
            done => done.err(),
        };
        let was_lost = self.is_lost;
        self.is_lost =
            failure.is_some_and(|failure| failure.is_lost_server() || matches!(failure, Failure::Interrupted));
        if self.is_lost && !was_lost {
            eprintln!("The server is away; the next statement tries to reach it.");
        }
    }

    /// Whether the server knows the session still; what was cancelled may keep it from saying so.
    ///
    /// # Errors
    /// What it says; that it says nothing in time, or before Ctrl-C.
    async fn check(&mut self) -> Result<(), Failure> {
        let silent = || Failure::Unreachable("the server does not answer".into());
        tokio::select! {
            checked = tokio::time::timeout(CHECK_TIMEOUT, self.connection.check()) => checked.map_err(|_| silent())?,
            () = self.interrupt.pressed() => Err(silent()),
        }
    }

    async fn reopen(&mut self) -> Result<(), Failure> {
        tokio::select! {
            opened = self.connection.reopen() => opened,
            () = self.interrupt.pressed() => Err(Failure::Interrupted),
        }
    }
}

/// Tells what went wrong.
fn report(done: Result<(), Failure>, statement: &str) -> Result<(), Stop> {
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

/// Tells what the user did wrong.
fn wrong(message: &str) -> Stop {
    eprintln!("ERROR:  {message}");
    Stop::Failed
}

/// Of a row of [`describe::matches`].
fn is_visible(row: &[Option<String>]) -> bool {
    row.get(3).is_some_and(|visible| visible.as_deref() == Some("t"))
}

/// None: stdout is no terminal.
fn terminal_columns() -> Option<usize> {
    console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
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
    use crate::shell::postgres::fake;
    use crate::shell::tls::TlsArgs;
    use nix::sys::signal::{Signal, raise};
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    #[test]
    fn times_are_psqls() {
        assert_eq!(time(Duration::from_micros(12_345)), "Time: 12.345 ms");
        assert_eq!(time(Duration::from_millis(61_500)), "Time: 61500.000 ms (01:01.500)");
    }

    /// Over the PostgreSQL protocol; and the fake server's next sessions.
    async fn shell(listener: &TcpListener, url: &str) -> (Shell, TcpStream) {
        let interrupt = Interrupt::install().unwrap();
        let tls = TlsArgs::default();
        let (connection, stream) = tokio::join!(Connection::open(url, "ann", &tls), fake::let_in(listener, 7));
        (Shell::new(connection.unwrap(), interrupt, Format::Csv, Variables::default()), stream)
    }

    #[tokio::test]
    async fn ctrl_c_leaves_a_session_that_does_not_answer() {
        let _alone = fake::SIGNALS.lock().await;
        let (listener, url) = fake::listen().await;
        let (mut shell, mut stream) = shell(&listener, &url).await;
        let server = async {
            fake::heard(&mut stream, b'Q').await;
            raise(Signal::SIGINT).unwrap();
            fake::let_in(&listener, 8).await
        };
        let ((), _stream) = tokio::join!(shell.revive(), server);
        assert_eq!((shell.connection.session(), shell.is_lost), (Some(8), false));
    }

    #[tokio::test]
    async fn ctrl_c_ends_the_waiting_for_another_session() {
        let _alone = fake::SIGNALS.lock().await;
        let (listener, url) = fake::listen().await;
        let (mut shell, mut stream) = shell(&listener, &url).await;
        let server = async {
            fake::heard(&mut stream, b'Q').await;
            stream.write_all(&fake::error("FATAL", "57P05", "terminating connection")).await.unwrap();
            // It says nothing.
            let silent = listener.accept().await.unwrap();
            raise(Signal::SIGINT).unwrap();
            silent
        };
        let ((), _silent) = tokio::join!(shell.revive(), server);
        assert_eq!((shell.connection.session(), shell.is_lost), (Some(7), true));
    }

    #[tokio::test]
    async fn a_session_that_was_ended_is_followed_by_another() {
        let _alone = fake::SIGNALS.lock().await;
        for sqlstate in ["57P01", "57P05", "25P03"] {
            let (listener, url) = fake::listen().await;
            let (mut shell, mut stream) = shell(&listener, &url).await;
            let server = async move {
                // Before the shell says something.
                stream.write_all(&fake::error("FATAL", sqlstate, "terminating connection")).await.unwrap();
                drop(stream);
                fake::let_in(&listener, 8).await
            };
            let ((), _stream) = tokio::join!(shell.revive(), server);
            assert_eq!((shell.connection.session(), shell.is_lost), (Some(8), false), "{sqlstate}");
        }
    }
}
