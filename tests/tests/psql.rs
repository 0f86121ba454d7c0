//! psql, unmodified: scripts that say what is to be seen after each command (`clients/psql`), what it does at a prompt, and Ctrl-C.

use damson_tests::processes::{ProcessCluster, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A psql, or its answer at a prompt, that takes longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Takes days, if nobody ends it, on all segments.
const LONG: &str = "SELECT count(*) FROM long_t a, long_t b, long_t c, long_t d WHERE a.k + b.k + c.k + d.k = -1";

/// Makes what [`LONG`] reads.
const OF_LONG: &str = "CREATE TABLE long_t AS SELECT x AS k FROM generate_series(1, 1000) AS g(x) DISTRIBUTED BY (k)";

/// psql's options for a cluster.
struct Psql {
    options: Vec<String>,
}

/// What psql has written to both of its outputs, in order, and how it ended.
struct Said {
    text: String,
    status: Option<i32>,
}

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already: that is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Psql {
    /// None, loudly, where there is no psql.
    ///
    /// # Panics
    /// Where there is none, and `DAMSON_REQUIRE_PSQL` or `DAMSON_REQUIRE_CLIENTS` is 1.
    fn of(cluster: &ProcessCluster) -> Option<Self> {
        if !there_is("psql") {
            return None;
        }
        let port = cluster.postgres_address().port().to_string();
        let options = ["-X", "-h", "127.0.0.1", "-p", &port, "-U", "damson", "-d", "damson"];
        Some(Psql { options: options.map(str::to_owned).to_vec() })
    }

    /// With nothing of the user's around it.
    fn environment(command: &mut Command) {
        command.envs([("PGCLIENTENCODING", "UTF8"), ("LC_ALL", "C.UTF-8"), ("PAGER", "cat"), ("TERM", "dumb")]);
        command.envs([("PSQL_HISTORY", "/dev/null"), ("INPUTRC", "/dev/null")]);
        for name in ["PGOPTIONS", "PGSERVICE", "PGAPPNAME", "PGTZ", "COLUMNS"] {
            command.env_remove(name);
        }
    }

    fn spawn(&self, arguments: &[&str], output: &fs::File) -> Running {
        let mut command = Command::new("psql");
        command.args(&self.options).args(arguments);
        Self::environment(&mut command);
        let handle = || output.try_clone().expect("a handle");
        let child = command.stdin(Stdio::null()).stdout(handle()).stderr(handle()).spawn();
        Running(child.expect("psql runs"))
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut output = tempfile::tempfile().expect("a temporary file");
        let mut running = self.spawn(arguments, &output);
        Said::when_ended(&mut running, &mut output)
    }

    /// Runs a file of `clients/psql`: commands, and behind each the lines that are to be seen of it. `--> x` is a line with the words x,
    /// `-->|x` the line x; lines between them may be anything but errors.
    fn check(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/psql").join(name);
        let text = fs::read_to_string(&path).expect("a script");
        let steps = steps(&text);
        let mut script = String::new();
        for (n, step) in steps.iter().enumerate() {
            script += &format!("{}\\echo @@ {n}\n", step.commands);
        }
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(script.as_bytes()).expect("room");
        let said = self.run(&["-f", file.path().to_str().expect("UTF-8")]);
        let mut rest = said.text.as_str();
        let mut unlike = vec![];
        for (n, step) in steps.iter().enumerate() {
            let Some((of_step, after)) = rest.split_once(&format!("@@ {n}\n")) else {
                panic!("{name}: psql ended in {}:\n{}", step.commands, said.text);
            };
            rest = after;
            if let Some(missing) = step.missing(of_step) {
                unlike.push(format!("{name}:\n{}is to show `{missing}`, and shows\n{of_step}", step.commands));
            }
        }
        assert!(unlike.is_empty(), "{} of {} steps:\n{}", unlike.len(), steps.len(), unlike.join("\n"));
    }
}

impl Said {
    fn when_ended(running: &mut Running, output: &mut fs::File) -> Self {
        let status = wait_for("end of psql", ANSWER_MAX, || running.0.try_wait().expect("a child of this process"));
        output.seek(SeekFrom::Start(0)).expect("a file");
        let mut text = String::new();
        output.read_to_string(&mut text).expect("UTF-8");
        Said { text, status: status.code() }
    }
}

/// Commands, and the lines that they are to show.
struct Step<'a> {
    commands: String,
    expected: Vec<&'a str>,
}

fn steps(script: &str) -> Vec<Step<'_>> {
    let mut steps = vec![];
    let mut step = Step { commands: String::new(), expected: vec![] };
    for line in script.lines() {
        if let Some(expected) = line.strip_prefix("-->") {
            step.expected.push(expected);
            continue;
        }
        if !step.expected.is_empty() {
            steps.push(std::mem::replace(&mut step, Step { commands: String::new(), expected: vec![] }));
        }
        step.commands += &format!("{line}\n");
    }
    steps.push(step);
    steps
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Step<'_> {
    /// The first line that is missing in what they show, in order; or an error that nobody expects.
    fn missing(&self, shown: &str) -> Option<String> {
        let is_error = |line: &str| line.contains("ERROR:") || line.contains("FATAL:");
        let mut lines = shown.lines();
        for expected in &self.expected {
            let found = match expected.strip_prefix('|') {
                Some(exact) => lines.any(|line| line == exact),
                None => lines.any(|line| words(line).contains(&words(expected))),
            };
            if !found {
                return Some((*expected).to_owned());
            }
        }
        let wanted = self.expected.iter().filter(|line| is_error(line)).count();
        let errors: Vec<&str> = shown.lines().filter(|line| is_error(line)).collect();
        (errors.len() != wanted).then(|| format!("{wanted} errors, not {}", errors.len()))
    }
}

/// Whether there is a program; loudly, where not.
///
/// # Panics
/// Where there is none, and `DAMSON_REQUIRE_PSQL` or `DAMSON_REQUIRE_CLIENTS` is 1.
pub(crate) fn there_is(program: &str) -> bool {
    if Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return true;
    }
    let is_required = |name: &str| std::env::var(name).as_deref() == Ok("1");
    assert!(!is_required("DAMSON_REQUIRE_PSQL") && !is_required("DAMSON_REQUIRE_CLIENTS"), "no {program}: install it");
    eprintln!("\nNO {program} HERE: its test is SKIPPED\n");
    false
}

#[test]
fn what_psql_shows_of_the_catalog() {
    let cluster = ProcessCluster::start(2);
    let Some(psql) = Psql::of(&cluster) else { return };
    psql.check("describe.sql");
}

#[test]
fn scripts_errors_and_notices() {
    let cluster = ProcessCluster::start(2);
    let Some(psql) = Psql::of(&cluster) else { return };
    psql.check("scripts.sql");
    psql.check("errors.sql");
}

#[test]
fn options_files_and_copies() {
    let cluster = ProcessCluster::start(2);
    let Some(psql) = Psql::of(&cluster) else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let run = |arguments: &[&str], status: i32| {
        let said = psql.run(arguments);
        assert_eq!(said.status, Some(status), "{arguments:?}: {}", said.text);
        said.text
    };
    run(&["-q", "-c", "CREATE TABLE pso_t (k int, w text, d date) DISTRIBUTED BY (k)"], 0);

    // \copy of files, and of psql's own input.
    let rows: String =
        (0..2_000).map(|k| format!("{k}\t{}\t2026-01-02\n", if k % 7 == 0 { "\\N" } else { "a\\tb" })).collect();
    fs::write(path("in.txt"), &rows).expect("room");
    fs::write(path("in.csv"), "k,w,d\n-1,\"x,\"\"y\"\"\",\n").expect("room");
    assert_eq!(run(&["-c", &format!("\\copy pso_t from '{}'", path("in.txt"))], 0), "COPY 2000\n");
    assert_eq!(run(&["-c", &format!("\\copy pso_t from '{}' csv header", path("in.csv"))], 0), "COPY 1\n");
    let copy = format!("\\copy (SELECT * FROM pso_t WHERE k >= 0 ORDER BY k) to '{}'", path("out.txt"));
    assert_eq!(run(&["-c", &copy], 0), "COPY 2000\n");
    assert_eq!(fs::read_to_string(path("out.txt")).expect("a file"), rows);
    let csv = "COPY (SELECT k, w FROM pso_t WHERE k < 0) TO STDOUT (FORMAT csv, HEADER)";
    assert_eq!(run(&["-c", csv], 0), "k,w\n-1,\"x,\"\"y\"\"\"\n");
    fs::write(
        path("inline.sql"),
        "COPY pso_t (k, w) FROM STDIN;\n-2\tinline\n\\.\nSELECT w FROM pso_t WHERE k = -2;\n",
    )
    .expect("room");
    assert_eq!(run(&["-At", "-f", &path("inline.sql")], 0), "COPY 1\ninline\n");
    fs::write(path("wrong.txt"), "1\tx\t2026-01-02\nx\ty\t\\N\n").expect("room");
    let said = run(&["-c", &format!("\\copy pso_t from '{}'", path("wrong.txt"))], 1);
    assert!(said.contains("invalid input syntax for type integer: \"x\""), "{said}");
    assert_eq!(run(&["-Atc", "SELECT count(*) FROM pso_t"], 0), "2002\n");

    // -c: several statements are one transaction; several -c are not. The status tells of the last.
    let said = run(&["-Atc", "INSERT INTO pso_t VALUES (5000); SELECT 1 / 0"], 1);
    assert!(said.contains("division by zero"), "{said}");
    assert_eq!(run(&["-Atc", "SELECT count(*) FROM pso_t WHERE k = 5000"], 0), "0\n");
    let said = run(&["-At", "-c", "SELECT nothing", "-c", "SELECT 7"], 0);
    assert!(said.ends_with("7\n"), "{said}");

    // -1 is one transaction, -v ON_ERROR_STOP ends at the first error with status 3.
    fs::write(path("one.sql"), "INSERT INTO pso_t VALUES (6000);\nSELECT nothing;\nINSERT INTO pso_t VALUES (6001);\n")
        .expect("room");
    run(&["-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", &path("one.sql")], 3);
    assert_eq!(run(&["-Atc", "SELECT count(*) FROM pso_t WHERE k >= 6000"], 0), "0\n");
    let said = run(&["-q", "-v", "ON_ERROR_STOP=1", "-f", &path("one.sql")], 3);
    assert!(said.contains("one.sql:2: ERROR:"), "{said}");
    assert_eq!(run(&["-Atc", "SELECT count(*) FROM pso_t WHERE k >= 6000"], 0), "1\n");
    run(&["-q", "-f", &path("one.sql")], 0);
    assert_eq!(run(&["-Atc", "SELECT count(*) FROM pso_t WHERE k >= 6000"], 0), "3\n");

    // Variables of the command line, formats, and the list of databases.
    fs::write(path("variable.sql"), "SELECT :'word' || :number;\n").expect("room");
    assert_eq!(run(&["-At", "-v", "word=it's", "-v", "number=7", "-f", &path("variable.sql")], 0), "it's7\n");
    assert_eq!(run(&["-A", "-F", ";", "-P", "footer=off", "-c", "SELECT 1 AS a, 'x' AS b"], 0), "a;b\n1;x\n");
    assert!(run(&["--csv", "-c", "SELECT 1 AS a, 'x,y' AS b"], 0).ends_with("1,\"x,y\"\n"));
    assert!(run(&["-l"], 0).contains("damson"));
    assert!(run(&["-d", "nothing", "-c", "SELECT 1"], 2).contains("database \"nothing\" does not exist"));
}

/// For a statement of others on the segments.
fn wait_until_it_runs(cluster: &ProcessCluster) {
    let slices = || cluster.shell().value("SELECT count(*) FROM gp_running_slices");
    wait_for("the statement", ANSWER_MAX, || (slices() != "0").then_some(()));
}

/// Ctrl-C, of a statement that gives its rows at once, and of FETCH_COUNT.
#[test]
fn an_interrupt_ends_the_statement() {
    let cluster = ProcessCluster::start(2);
    let Some(psql) = Psql::of(&cluster) else { return };
    cluster.shell().execute(OF_LONG);
    for before in [&[][..], &["-v", "FETCH_COUNT=100"][..]] {
        let mut output = tempfile::tempfile().expect("a temporary file");
        let arguments = [before, &["-v", "VERBOSITY=verbose", "-c", LONG][..]].concat();
        let mut running = psql.spawn(&arguments, &output);
        wait_until_it_runs(&cluster);
        let began = Instant::now();
        kill(Pid::from_raw(i32::try_from(running.0.id()).expect("a process id")), Signal::SIGINT).expect("it runs");
        let said = Said::when_ended(&mut running, &mut output);
        assert!(said.text.contains("57014: canceling statement due to user request"), "{}", said.text);
        assert_eq!(said.status, Some(1), "{}", said.text);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
    assert_eq!(psql.run(&["-Atc", "SELECT 1"]).text, "1\n");
}

/// psql on a terminal, which `script` makes.
struct Terminal {
    input: ChildStdin,
    output: Arc<Mutex<Vec<u8>>>,
    /// What was looked at.
    seen: usize,
    _running: Running,
}

impl Terminal {
    fn open(psql: &Psql) -> Self {
        let mut command = Command::new("script");
        // Of its options none has a space.
        command.args(["-q", "-e", "-c", &format!("psql {}", psql.options.join(" ")), "/dev/null"]);
        Psql::environment(&mut command);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("script runs");
        let input = child.stdin.take().expect("a pipe");
        let mut from = child.stdout.take().expect("a pipe");
        let output = Arc::new(Mutex::new(vec![]));
        let to = Arc::clone(&output);
        // Ends with psql.
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut piece) {
                to.lock().expect("no panic").extend_from_slice(&piece[..length]);
            }
        });
        Terminal { input, output, seen: 0, _running: Running(child) }
    }

    fn send(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).and_then(|()| self.input.flush()).expect("psql reads");
    }

    fn new_output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().expect("no panic")[self.seen..]).into_owned()
    }

    /// Waits until that was shown, and goes on behind it.
    fn expect(&mut self, text: &str) {
        let what = || format!("`{text}` in `{}`", self.new_output());
        let began = Instant::now();
        let at = loop {
            let output = self.output.lock().expect("no panic");
            if let Some(at) = output[self.seen..].windows(text.len()).position(|part| part == text.as_bytes()) {
                break at;
            }
            drop(output);
            assert!(began.elapsed() < ANSWER_MAX, "no {}", what());
            std::thread::sleep(Duration::from_millis(10));
        };
        self.seen += at + text.len();
    }

    /// A line, what it shows, and the prompt after it.
    fn line(&mut self, line: &str, shows: &str, prompt: &str) {
        self.send(&format!("{line}\n"));
        // The terminal shows the line first.
        self.expect("\n");
        if !shows.is_empty() {
            self.expect(shows);
        }
        self.expect(prompt);
    }
}

#[test]
fn at_a_prompt() {
    let cluster = ProcessCluster::start(2);
    let Some(psql) = Psql::of(&cluster).filter(|_| there_is("script")) else { return };
    let mut terminal = Terminal::open(&psql);
    terminal.expect("damson=# ");
    for statement in [
        "CREATE TABLE psk_orders (psk_id int PRIMARY KEY, psk_note text, CONSTRAINT psk_positive CHECK (psk_id > 0));",
        "CREATE VIEW psk_view AS SELECT psk_note FROM psk_orders;",
        "CREATE SEQUENCE psk_counter;",
        "CREATE SCHEMA psk_schema;",
        "CREATE TABLE psk_schema.psk_inner (k int);",
    ] {
        terminal.line(statement, "CREATE ", "damson=# ");
    }

    // The tab key: each line of the file is what is typed, and what psql makes of it.
    for completion in include_str!("../clients/psql/completions.txt").lines() {
        let (typed, rest) = completion.split_once('|').expect("what is typed, and the rest");
        terminal.send(&format!("{typed}\t"));
        terminal.expect(&format!("{typed}{rest}"));
        // The line is given up.
        terminal.send("\x15\n");
        terminal.expect("damson=# ");
    }

    // The prompt tells the state of the transaction, and of the statement.
    terminal.line("BEGIN;", "BEGIN", "damson=*# ");
    terminal.line("SELECT nothing;", "ERROR", "damson=!# ");
    terminal.line("ROLLBACK;", "ROLLBACK", "damson=# ");
    terminal.line("SELECT 40", "", "damson-# ");
    terminal.line("+ (", "", "damson(# ");
    terminal.line("2);", "42", "damson=# ");

    // Ctrl-C, of a statement and of one that is repeated.
    cluster.shell().execute(OF_LONG);
    terminal.send(&format!("{LONG};\n"));
    wait_until_it_runs(&cluster);
    terminal.send("\x03");
    terminal.expect("canceling statement due to user request");
    terminal.expect("damson=# ");
    terminal.send("SELECT 'seen' || 7 AS watched \\watch 1\n");
    terminal.expect("seen7");
    terminal.expect("seen7");
    terminal.send("\x03");
    terminal.expect("damson=# ");
    terminal.line("SELECT 41 + 1;", "42", "damson=# ");
    terminal.line("\\c postgres", "You are now connected to database \"postgres\"", "postgres=# ");
    terminal.send("\\q\n");
}
