//! The expansion tool: a cluster of processes grows, is cut short in every way, goes on, and shrinks.

use damson_tests::detached::Detached;
use damson_tests::processes::{BUILD, Node, ProcessCluster, Shell, binary, free_ports, parse_csv, wait_for};
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const ROWS: u32 = 5000;
/// What a small table's move, or a process's start, takes at most on a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// A cluster, and the tool.
struct Expanded {
    detached: Detached,
    cluster: ProcessCluster,
}

impl Expanded {
    fn start(segments: usize) -> Self {
        let cluster = ProcessCluster::start(segments);
        let detached = Detached::new(cluster.directory().join("grown-seg"));
        Expanded { detached, cluster }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cluster.command("expand", arguments);
        // Of the segments that it starts.
        command.env("DAMSON_BUILD", BUILD).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the tool runs")
    }

    /// What the tool says.
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Its errors.
    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    fn shell(&self) -> Shell {
        self.cluster.shell()
    }

    /// An input file for two more segments on this host.
    fn input(&self) -> String {
        let lines: Vec<String> = free_ports(2)
            .iter()
            .zip([2, 3])
            .map(|(port, content)| {
                let directory = format!("{}{content}", self.detached.prefix().display());
                format!("localhost|127.0.0.1|{port}|{directory}|{}|{content}|p", content + 2)
            })
            .collect();
        let file = self.cluster.directory().join("new_segments");
        fs::write(&file, format!("# two more\n{}\n", lines.join("\n"))).expect("room");
        file.to_str().expect("UTF-8").to_owned()
    }

    fn status(&self) -> String {
        self.shell().value("SELECT status FROM gpexpand.status ORDER BY updated DESC LIMIT 1")
    }

    /// What `damson state -x` begins with.
    fn state(&self) -> String {
        let run = self.cluster.run("state", &["-x"]);
        assert!(run.success, "{run:?}");
        let first = run.stdout.lines().next().and_then(|line| line.strip_prefix("Cluster Expansion State = "));
        first.unwrap_or_else(|| panic!("{run:?}")).to_owned()
    }

    fn table_status(&self, table: &str) -> String {
        self.shell().value(&format!("SELECT status FROM gpexpand.status_detail WHERE fq_name = 'public.{table}'"))
    }

    /// Of the segments that have rows of it.
    fn segments_of(&self, table: &str) -> Vec<String> {
        let rows = self.shell().rows(&format!("SELECT DISTINCT gp_segment_id FROM {table} ORDER BY 1"));
        rows.into_iter().flatten().collect()
    }

    fn has_record(&self) -> bool {
        self.shell().value("SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'gpexpand'") == "1"
    }

    /// Keeps a transaction open that has written to a table, so that the table's move waits; it ends with what is given.
    fn hold(&self, table: &str) -> Node {
        let sql = format!(
            "SET idle_in_transaction_session_timeout = '1s'; BEGIN; INSERT INTO {table} VALUES (-1, 0); \
             SELECT 'held'; SELECT count(*) FROM generate_series(1, 10000000) AS a(x), generate_series(1, 10000000) AS b(y)"
        );
        let mut holder = self.shell().spawn("holder", self.cluster.directory(), &sql);
        holder.wait_for_line("held");
        holder
    }

    /// Phase 2, until a table of the first rank is moved, and the next one waits.
    fn start_and_wait_until_second_moves(&self, held: &str) -> Node {
        let tool = Node::spawn("expand", self.cluster.directory(), self.command(&[]));
        wait_for("move of the held table", SOON, || (self.table_status(held) == "IN PROGRESS").then_some(()));
        tool
    }

    fn data_is_whole(&self) {
        let shell = self.shell();
        for table in ["a", "b", "c", "r"] {
            let sums = shell.rows(&format!("SELECT count(*), sum(k), sum(v) FROM {table}"));
            let (count, sum) = (ROWS.to_string(), (ROWS * (ROWS + 1) / 2).to_string());
            assert_eq!(sums, [[count.clone(), sum, count]], "{table}");
        }
        assert_eq!(
            shell.value("SELECT count(*) FROM a JOIN b ON a.k = b.k JOIN c ON a.k = c.k JOIN r ON a.k = r.k"),
            ROWS.to_string()
        );
    }
}

fn some_tables(shell: &Shell) {
    for (table, distribution) in [("a", "BY (k)"), ("b", "BY (k)"), ("c", "RANDOMLY"), ("r", "REPLICATED")] {
        shell.execute(&format!("CREATE TABLE {table} (k int, v int) DISTRIBUTED {distribution}"));
        shell.execute(&format!("INSERT INTO {table} SELECT x, 1 FROM generate_series(1, {ROWS}) AS g(x)"));
    }
}

#[test]
fn a_cluster_grows_and_shrinks_whatever_cuts_it_short() {
    let mut all = Expanded::start(2);
    let shell = all.shell();
    some_tables(&shell);
    let old_map = shell.value("SHOW bucket_map");
    let input = all.input();
    assert!(all.fail(&[]).contains("no expansion is set up"));
    assert_eq!(all.state(), "No Expansion Detected");
    let segments = all.cluster.run("state", &[]);
    assert!(segments.success && segments.stdout.contains("2 segments, none of them is down."), "{segments:?}");

    // A plan changes nothing.
    let planned = all.succeed(&["--plan", "-i", &input]);
    assert!(planned.contains("8192 of 16384 buckets get another owner"), "{planned}");
    assert!(planned.contains("public.a") && planned.contains("4 tables to move"), "{planned}");
    assert!(!all.has_record() && shell.value("SHOW bucket_map") == old_map && all.detached.count() == 0);

    // Phase 1, and back; a table that was made meanwhile goes back, too.
    let said = all.succeed(&["-i", &input]);
    assert!(said.contains("Started seg2") && said.contains("4 tables"), "{said}");
    assert_eq!(all.status(), "SETUP DONE");
    assert_eq!(all.detached.count(), 2);
    shell.execute("CREATE TABLE late AS SELECT * FROM a DISTRIBUTED BY (k)");
    assert_eq!(all.segments_of("late"), ["0", "1", "2", "3"]);
    assert_eq!(all.segments_of("a"), ["0", "1"]);
    // A random table's new rows go where those of new tables do.
    shell.execute("INSERT INTO c SELECT -x, 0 FROM generate_series(1, 40000) AS g(x)");
    assert_eq!(all.segments_of("c"), ["0", "1", "2", "3"]);
    let error = all.fail(&["-i", &input]);
    assert!(error.contains("an expansion is set up already: its status is SETUP DONE"), "{error}");
    all.succeed(&["-r"]);
    assert!(!all.has_record());
    assert_eq!(shell.value("SHOW bucket_map"), old_map);
    assert_eq!((all.segments_of("late"), all.segments_of("c")), (all.segments_of("a"), all.segments_of("a")));
    shell.execute("DROP TABLE late");
    shell.execute("DELETE FROM c WHERE k < 0");
    all.data_is_whole();

    // Again: the segments are there already. Silent.
    assert_eq!(all.succeed(&["-s", "-i", &input]), "");
    assert_eq!(all.detached.count(), 2);

    // No time: stopped at once, cleanly; and tables are left.
    let said = all.succeed(&["-d", "0"]);
    assert!(said.contains("EXPANSION STOPPED: 4 tables to move"), "{said}");
    assert_eq!(all.status(), "EXPANSION STOPPED");
    assert_eq!(all.state(), "Data Distribution - Paused");
    assert_eq!(all.segments_of("a"), ["0", "1"]);
    let error = all.fail(&["-c"]);
    assert!(error.contains("tables that are not laid out by the new map: 4") && all.has_record(), "{error}");

    // The tool is killed while the second table is moved.
    for (rank, table) in ["b", "a", "c", "r"].iter().enumerate() {
        let sql = format!("UPDATE gpexpand.status_detail SET rank = {rank} WHERE fq_name = 'public.{table}'");
        shell.execute(&sql);
    }
    let mut holder = all.hold("a");
    let mut tool = all.start_and_wait_until_second_moves("a");
    assert_eq!((all.table_status("b"), all.table_status("c")), ("COMPLETED".into(), "NOT STARTED".into()));
    assert_eq!(all.state(), "Data Distribution - Active");
    let left = all.cluster.run("state", &["-x"]).stdout;
    assert!(left.contains("public.a") && left.contains("public.c") && !left.contains("public.b"), "{left}");
    tool.kill();
    holder.kill();
    assert_eq!(all.status(), "EXPANSION STARTED");
    all.data_is_whole();
    let error = all.fail(&["-r"]);
    assert!(error.contains("tables that have moved already: 1"), "{error}");
    shell.execute("CREATE TABLE gone (k int) DISTRIBUTED BY (k)");

    // It goes on.
    let said = all.succeed(&["-n", "2"]);
    assert!(said.contains("public.a is moved") && said.contains("EXPANSION COMPLETE"), "{said}");
    assert!(!said.contains("public.b is moved"), "{said}");
    assert_eq!(all.status(), "EXPANSION COMPLETE");
    assert_eq!(all.state(), "Expansion Complete");
    for table in ["a", "b", "c"] {
        assert_eq!(all.segments_of(table), ["0", "1", "2", "3"], "{table}");
    }
    all.data_is_whole();
    let moved = shell.value("SELECT rows_moved FROM gpexpand.status_detail WHERE fq_name = 'public.b'");
    let moved: f64 = moved.parse().expect("a number");
    assert!((moved / f64::from(ROWS) - 0.5).abs() < 0.05, "{moved} rows moved");
    let progress = shell.rows(
        "SELECT value FROM gpexpand.expansion_progress WHERE name IN ('Tables Expanded', 'Tables Left') ORDER BY name",
    );
    assert_eq!(progress, [["4"], ["0"]]);
    let said = all.succeed(&["--status"]);
    assert!(said.starts_with("EXPANSION COMPLETE since ") && said.contains("public.r"), "{said}");
    all.succeed(&["-c"]);
    assert!(!all.has_record());

    shrink(&mut all);
}

/// From four segments to three, while the master is killed, and to two.
fn shrink(all: &mut Expanded) {
    all.succeed(&["--remove", "3"]);
    let shell = all.shell();
    shell.execute("DROP TABLE gone");
    shell.execute("UPDATE gpexpand.status_detail SET rank = 1 WHERE fq_name = 'public.a'");
    shell.execute("UPDATE gpexpand.status_detail SET rank = 2 WHERE fq_name = 'public.b'");
    let mut holder = all.hold("b");
    let mut tool = all.start_and_wait_until_second_moves("b");
    all.cluster.restart(true, &[]);
    holder.kill();
    assert!(!tool.wait(SOON).success(), "{}", tool.stdout());
    assert_eq!(all.table_status("a"), "COMPLETED");
    let said = all.succeed(&[]);
    assert!(said.contains("EXPANSION COMPLETE") && said.contains("seg3 owns nothing"), "{said}");
    assert_eq!(all.table_status("gone"), "NO LONGER EXISTS");
    for table in ["a", "b", "c"] {
        assert_eq!(all.segments_of(table), ["0", "1", "2"], "{table}");
    }
    // Nobody needs it any more.
    all.detached.kill(3);
    everything_works(all, "one");
    // A map later, as well: the next expansion moves them all.
    shell.execute("ALTER SYSTEM SET bucket_map = '0*8192 1*4096 2*4096'");
    expand_all(&shell);
    all.data_is_whole();
    shell.execute("ALTER SYSTEM SET bucket_map = '0*5462 1*5461 2*5461'");
    expand_all(&shell);
    all.succeed(&["-c"]);
    // What owns rows is needed, and nothing else.
    let prefix = all.cluster.directory().join("more").display().to_string();
    let grow = ["--segments", "1", "--data-prefix", &prefix];
    let status = |content| format!("SELECT status FROM gp_segment_configuration WHERE content = {content}");
    all.cluster.kill_segment(1);
    wait_for("the segment's end", SOON, || (shell.value(&status(1)) == "d").then_some(()));
    assert_eq!(shell.value(&status(3)), "d");
    for arguments in [&grow[..], &["--plan", "--segments", "1", "--data-prefix", &prefix]] {
        let refused = all.fail(arguments);
        assert!(refused.contains("are down: seg1") && !refused.contains("seg3"), "{refused}");
    }
    all.cluster.restart_segment(1);
    let planned = all.succeed(&["--plan", "--segments", "1", "--data-prefix", &prefix]);
    assert!(planned.contains("seg4 is added") && planned.contains("4096 of 16384 buckets"), "{planned}");
    assert!(!all.has_record());
    let buckets = "SELECT gp_segment_id, sum(buckets) FROM gp_bucket_map \
                   WHERE version = (SELECT max(version) FROM gp_bucket_map) GROUP BY gp_segment_id ORDER BY 1";
    let counts: Vec<u32> = shell.rows(buckets).iter().map(|row| row[1].parse().expect("a number")).collect();
    assert_eq!((counts.len(), counts.iter().sum::<u32>()), (3, 16384));
    assert!(counts.iter().all(|count| count.abs_diff(5461) <= 1), "{counts:?}");

    // Nor one below those that own rows, whichever it is.
    all.succeed(&["--remove", "0"]);
    let said = all.succeed(&[]);
    assert!(said.contains("seg0, seg3 own nothing any more: only reads of the past"), "{said}");
    for table in ["a", "b", "c"] {
        assert_eq!(all.segments_of(table), ["1", "2"], "{table}");
    }
    all.cluster.kill_segment(0);
    everything_works(all, "two");
    // It comes back with what it had.
    all.succeed(&["-c"]);
    all.cluster.restart_segment(0);
    shell.execute("ALTER SYSTEM SET bucket_map = '0*8192 2*8192'");
    expand_all(&shell);
    all.cluster.kill_segment(1);
    everything_works(all, "three");
    // One that is gone gets nothing.
    let error = all.shell().run("csv", &["-c", "ALTER SYSTEM RESET bucket_map"]);
    assert!(!error.success && error.stderr.contains("57P03"), "{error:?}");
    // Named again, it is started as a new one is, and has what it had.
    let directory = format!("{}3", all.detached.prefix().display());
    let line = format!("localhost|127.0.0.1|{}|{directory}|5|3|p\n", free_ports(1)[0]);
    let file = all.cluster.directory().join("again");
    fs::write(&file, line).expect("room");
    let said = all.succeed(&["-i", file.to_str().expect("UTF-8")]);
    assert!(said.contains("Started seg3"), "{said}");
    let said = all.succeed(&[]);
    assert!(said.contains("EXPANSION COMPLETE"), "{said}");
    for table in ["a", "b", "c"] {
        assert_eq!(all.segments_of(table), ["0", "2", "3"], "{table}");
    }
    all.data_is_whole();
}

/// Statements of every kind, whichever segments are gone.
fn everything_works(all: &Expanded, directory: &str) {
    all.data_is_whole();
    let shell = all.shell();
    let at = all.cluster.directory().join(directory).display().to_string();
    for statement in [
        "INSERT INTO a VALUES (0, 0), (-1, 0), (-2, 0), (-3, 0)".to_owned(),
        "UPDATE a SET k = k - 1 WHERE k <= 0".to_owned(),
        "DELETE FROM a WHERE k <= 0".to_owned(),
        "INSERT INTO r VALUES (0, 0)".to_owned(),
        "UPDATE r SET v = 1 WHERE k = 0".to_owned(),
        "DELETE FROM r WHERE k = 0".to_owned(),
        "SELECT count(*) FROM gp_read_error_log('a')".to_owned(),
        "SELECT gp_truncate_error_log('a')".to_owned(),
        "INSERT INTO c SELECT -x, 0 FROM generate_series(1, 3000) AS g(x)".to_owned(),
        "MERGE INTO c USING (SELECT k - 3 AS k FROM b WHERE k <= 3) AS s ON c.k = s.k \
         WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.k, 0)"
            .to_owned(),
        "DELETE FROM c WHERE k <= 0".to_owned(),
        format!("COPY a TO '{at}/exported' (FORMAT csv, MANIFEST)"),
        format!("COPY (SELECT * FROM c ORDER BY k) TO '{at}/one.csv' (FORMAT csv, SINGLE_FILE)"),
        format!("COPY r TO '{at}/copies' (FORMAT parquet)"),
        "DROP TABLE IF EXISTS back".to_owned(),
        "CREATE TABLE back (k int, v int) DISTRIBUTED RANDOMLY".to_owned(),
        format!("COPY back FROM '{at}/exported/*.csv' (FORMAT csv)"),
        format!("COPY back FROM '{at}/exported/*.csv' (FORMAT csv, FORCE, VALIDATE)"),
        "INSERT INTO back SELECT * FROM r WHERE k < 0 UNION ALL SELECT * FROM a WHERE k < 0".to_owned(),
        format!("BACKUP TO '{at}/backups'"),
        "VACUUM".to_owned(),
        "ALTER TABLE c SET DISTRIBUTED BY (v)".to_owned(),
        "ALTER TABLE c SET DISTRIBUTED RANDOMLY".to_owned(),
        "DROP TABLE r".to_owned(),
        "CREATE TABLE r AS SELECT * FROM a DISTRIBUTED REPLICATED".to_owned(),
    ] {
        shell.execute(&statement);
    }
    let rows = ROWS.to_string();
    for (query, count) in [
        ("SELECT count(*) FROM back".to_owned(), &rows),
        (format!("SELECT count(*) FROM '{at}/exported/*.csv'"), &rows),
        (format!("SELECT count(*) FROM '{at}/copies/*.parquet' AS f JOIN r USING (k)"), &rows),
        ("SELECT count(*) FROM r FULL JOIN back USING (k)".to_owned(), &rows),
        ("SELECT count(*) FROM (SELECT k FROM r UNION SELECT k FROM c) AS u".to_owned(), &rows),
    ] {
        assert_eq!(shell.value(&query), *count, "{query}");
    }
    assert_eq!(shell.value("SELECT count(*) FROM gp_check WHERE problem NOT LIKE '%orphan%'"), "0");
    all.data_is_whole();
    wait_for("its end to be noticed", SOON, || {
        let state = all.cluster.run("state", &[]);
        assert!(state.success, "{state:?}");
        state.stdout.contains("none of them is down. Stopped, and not needed").then_some(())
    });
    // The background's compaction, too, is of those that are left.
    shell.execute("DELETE FROM back WHERE k % 2 = 0");
    let stored = "SELECT sum(rows) FROM gp_files WHERE table_name = 'back'";
    wait_for("compaction", SOON, || (shell.value(stored) == (ROWS / 2).to_string()).then_some(()));
}

fn expand_all(shell: &Shell) {
    for table in ["a", "b", "c", "r", "back"] {
        shell.execute(&format!("ALTER TABLE {table} EXPAND TABLE"));
    }
}

#[test]
fn weights_move_rows_and_the_tool_has_greenplums_name() {
    let all = Expanded::start(2);
    some_tables(&all.shell());
    let link = all.cluster.directory().join("gpexpand");
    std::os::unix::fs::symlink(binary(), &link).expect("a link");
    let tool = |arguments: &[&str]| {
        let url = format!("flight://{}", all.cluster.client_address());
        let output = Command::new(&link).args(["--url", &url]).args(arguments).stdin(Stdio::null()).output();
        output.expect("the tool runs")
    };
    assert!(!tool(&["--status"]).status.success());
    assert!(tool(&["--rebalance", "0=3,1=1"]).status.success());
    assert!(tool(&[]).status.success());
    assert_eq!(all.status(), "EXPANSION COMPLETE");
    let rows = all.shell().run("csv", &["-c", "SELECT gp_segment_id, count(*) FROM a GROUP BY 1 ORDER BY 1"]);
    let counts: Vec<f64> = parse_csv(&rows.stdout)[1..].iter().map(|row| row[1].parse().expect("a number")).collect();
    assert!((counts[0] / f64::from(ROWS) - 0.75).abs() < 0.05, "{counts:?}");
    all.data_is_whole();
    let again = tool(&[]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("-c"), "{again:?}");
    assert!(tool(&["-c"]).status.success());
    let same = tool(&["--rebalance", "0=3,1=1"]);
    assert!(String::from_utf8_lossy(&same.stderr).contains("there is nothing to do"), "{same:?}");
}

#[test]
fn segments_that_do_not_come_are_named() {
    let all = Expanded::start(1);
    let shell = all.shell();
    // Of documentation: it is not this host, so that the command is shown.
    let file = all.cluster.directory().join("elsewhere");
    fs::write(&file, "sdw9|192.0.2.1|6000|/data/seg1|3|1|p\n").expect("room");
    let output = all.run(&["--wait", "00:00:02", "-i", file.to_str().expect("UTF-8")]);
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && error.contains("not there after 2 s: seg1"), "{said}{error}");
    assert!(said.contains("Start seg1 on sdw9: damson segment --data /data/seg1 --content 1"), "{said}");
    assert_eq!(all.status(), "SETUP");
    assert_eq!(shell.value("SHOW bucket_map"), "0*16384");
    all.succeed(&["-r"]);
    assert!(!all.has_record());
}
