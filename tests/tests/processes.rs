//! Real processes: what is killed, cancelled or refused, and what the shell prints.

use damson_tests::processes::{BUILD, Node, ProcessCluster, Shell, binary, free_ports, wait_for};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs for hours: 20,000 rows to the third power.
const ENDLESS: &str = "SELECT count(*) FROM big a, big b, big c WHERE a.v + b.v + c.v = -1";

fn make_big(shell: &Shell) {
    shell.execute("CREATE TABLE big (k int, v int) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO big SELECT x, x % 1000 FROM generate_series(1, 20000) AS g(x)");
}

/// Ids of the queries that have a slice running on segment `content`.
fn queries_on(shell: &Shell, content: usize) -> BTreeSet<String> {
    let sql = format!(
        "SELECT DISTINCT CAST(query_id AS text) FROM pg_catalog.gp_running_slices WHERE content = {content} \
         AND slice > 0"
    );
    shell.rows(&sql).into_iter().map(|mut row| row.remove(0)).collect()
}

/// Waits until a query that was not there `before` runs on segment `content`.
fn wait_until_running(shell: &Shell, content: usize, before: &BTreeSet<String>, client: &mut Node) -> BTreeSet<String> {
    wait_for("running slice", Duration::from_secs(30), || {
        if let Some(status) = client.try_wait() {
            panic!("the query ended with {status} before it could be disturbed: {}", client.stderr());
        }
        let new: BTreeSet<String> = queries_on(shell, content).difference(before).cloned().collect();
        (!new.is_empty()).then_some(new)
    })
}

#[test]
fn a_killed_segment_fails_its_queries_only() {
    let mut cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    make_big(&shell);
    let directory = cluster.directory().to_path_buf();

    // Needs no segment: goes on.
    let count = 1_000_000_000_u64;
    let other = format!("SELECT sum(x % 7) FROM generate_series(1, {count}) AS g(x)");
    let mut bystander = shell.spawn("bystander", &directory, &other);
    let before = queries_on(&shell, 1);
    let mut victim = shell.spawn("victim", &directory, ENDLESS);
    wait_until_running(&shell, 1, &before, &mut victim);

    assert!(bystander.try_wait().is_none(), "the other session's query was too short: {}", bystander.stderr());
    cluster.kill_segment(1);
    let killed = Instant::now();
    let status = victim.wait(Duration::from_secs(5));
    assert!(!status.success(), "the query must fail: {}", victim.stdout());
    assert!(victim.stderr().contains("seg1"), "the error names the segment: {}", victim.stderr());
    println!("the client had its error after {:?}", killed.elapsed());

    // What needs the lost segment fails at once, naming it; what does not, works.
    let run = shell.run("csv", &["-c", "SELECT count(*) FROM big"]);
    assert!(!run.success && run.stderr.contains("seg1"), "{run:?}");
    assert_eq!(shell.value("SELECT 1 + 1"), "2");

    assert!(bystander.wait(Duration::from_secs(120)).success(), "{}", bystander.stderr());
    let expected: u64 = (count / 7) * 21 + (1..=count % 7).sum::<u64>();
    assert_eq!(bystander.stdout().lines().nth(1), Some(expected.to_string().as_str()));

    cluster.restart_segment(1);
    assert_eq!(shell.value("SELECT count(*) FROM big"), "20000");
    // The type that was promised before the subquery had run.
    assert_eq!(shell.value("SELECT (SELECT count(*) FROM big)"), "20000");
}

#[test]
fn a_copy_that_lost_a_segment_leaves_no_rows() {
    const ROWS: u64 = 4_000_000;
    let mut cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    let file = cluster.directory().join("rows.csv");
    write_csv(&file, ROWS);
    shell.execute("CREATE TABLE loaded (k bigint, v int, t text) DISTRIBUTED BY (k)");
    let copy = format!("COPY loaded FROM '{}' (FORMAT csv)", file.display());

    let before = queries_on(&shell, 1);
    let directory = cluster.directory().to_path_buf();
    let mut client = Node::spawn("copy", &directory, shell.command("table", &["-c", &copy]));
    wait_until_running(&shell, 1, &before, &mut client);
    cluster.kill_segment(1);
    let status = client.wait(Duration::from_secs(5));
    assert!(!status.success(), "the COPY must fail: {}", client.stdout());
    assert!(client.stderr().contains("seg1"), "the error names the segment: {}", client.stderr());

    cluster.restart_segment(1);
    assert_eq!(shell.value("SELECT count(*) FROM loaded"), "0");
    shell.execute(&copy);
    let expected = vec![ROWS.to_string(), (ROWS * (ROWS + 1) / 2).to_string(), ROWS.to_string()];
    assert_eq!(shell.rows("SELECT count(*), sum(k), count(DISTINCT k) FROM loaded"), [expected]);
}

fn write_csv(path: &Path, rows: u64) {
    let mut file = BufWriter::new(File::create(path).expect("room for the file"));
    for k in 1..=rows {
        writeln!(file, "{k},{},some text of row {k}", k % 1000).expect("room for the file");
    }
    file.flush().expect("room for the file");
}

#[test]
fn ctrl_c_in_the_shell_frees_every_slice() {
    let cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    make_big(&shell);
    let before = queries_on(&shell, 0);
    let mut client = shell.spawn("client", cluster.directory(), ENDLESS);
    let running = wait_until_running(&shell, 0, &before, &mut client);
    let ids: Vec<String> = running.iter().map(|id| format!("'{id}'")).collect();
    let left = format!(
        "SELECT count(*) FROM pg_catalog.gp_running_slices WHERE CAST(query_id AS text) IN ({})",
        ids.join(", ")
    );
    assert_ne!(shell.value(&left), "0");

    client.signal(Signal::SIGINT);
    let interrupted = Instant::now();
    wait_for("end of every slice", Duration::from_secs(1), || (shell.value(&left) == "0").then_some(()));
    println!("no slice was left after {:?}", interrupted.elapsed());
    let status = client.wait(Duration::from_secs(1));
    assert!(!status.success(), "a cancelled statement is an error");
    assert_eq!(shell.value("SELECT count(*) FROM big"), "20000");
}

#[test]
fn a_segment_of_another_build_is_refused() {
    let cluster = ProcessCluster::start_master(1);
    let mut stranger = cluster.spawn_segment(0, "test-build-2");
    let status = stranger.wait(Duration::from_secs(30));
    assert!(!status.success());
    let message = stranger.stderr();
    assert!(message.contains(BUILD) && message.contains("test-build-2"), "both builds are named: {message}");
    let mut fitting = cluster.spawn_segment(0, BUILD);
    fitting.wait_until_ready();
}

/// `damson demo` on `data`; its shell.
fn start_demo(directory: &Path, name: &str, data: &Path) -> (Node, Shell) {
    let ports = free_ports(2);
    let mut command = Command::new(binary());
    command.args(["demo", "--segments", "2", "--tpch", "0.01", "--data"]).arg(data);
    command.args(["--flight-port", &ports[0].to_string(), "--pg-port", &ports[1].to_string()]);
    let mut demo = Node::spawn(name, directory, command);
    let ready = demo.wait_until_ready();
    assert!(ready.contains(&ports[0].to_string()), "the line says where: {ready}");
    assert_eq!(demo.stdout().lines().filter(|line| line.starts_with("ready:")).count(), 1);
    (demo, Shell::new(ports[0]))
}

fn stop(mut demo: Node) {
    demo.signal(Signal::SIGINT);
    let status = demo.wait(Duration::from_secs(10));
    assert!(status.success(), "Ctrl-C is the ordinary end: {status}\n{}", demo.stderr());
    assert!(demo.stdout().contains("The demo ends, and keeps "), "{}", demo.stdout());
}

#[test]
fn a_demo_says_that_it_cannot_grow() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (demo, shell) = start_demo(directory.path(), "demo", &directory.path().join("data"));
    let prefix = directory.path().join("more").display().to_string();
    for more in [&["--plan"][..], &[], &["--master", "127.0.0.1:1", "--address", "127.0.0.1"]] {
        let mut command = Command::new(binary());
        command.args(["expand", "--url", shell.url(), "--segments", "2", "--data-prefix", &prefix]).args(more);
        let output = command.output().expect("the tool runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("are one process"), "{more:?}: {said}");
    }
    stop(demo);
}

#[test]
fn a_segment_waits_for_its_master_in_few_words() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ports = free_ports(2);
    let mut command = Command::new(binary());
    command.args(["segment", "--content", "0", "--data"]).arg(directory.path().join("data"));
    command.args(["--listen", &format!("127.0.0.1:{}", ports[0]), "--master", &format!("127.0.0.1:{}", ports[1])]);
    let segment = Node::spawn("early", directory.path(), command);
    let said = wait_for("the segment's warning", Duration::from_secs(30), || {
        Some(segment.stderr()).filter(|said| said.contains("waiting for the master"))
    });
    assert_eq!(said.matches("no process of this user listens there yet").count(), 1, "{said}");
    assert!(!said.contains("certificate") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_second_demo_finds_the_tables_of_the_first() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let (demo, shell) = start_demo(directory.path(), "first", &data);
    assert_eq!(shell.value("SELECT count(*) FROM lineitem"), "60175");
    shell.execute("CREATE TABLE mine (a int) DISTRIBUTED BY (a)");
    shell.execute("INSERT INTO mine VALUES (1), (2), (3)");
    stop(demo);

    let (demo, shell) = start_demo(directory.path(), "second", &data);
    assert_eq!(shell.value("SELECT count(*) FROM lineitem"), "60175");
    assert_eq!(shell.value("SELECT sum(a) FROM mine"), "6");
    stop(demo);
}

#[test]
fn the_shell_prints_and_exits_as_scripts_expect() {
    let cluster = ProcessCluster::start(1);
    let shell = cluster.shell();
    let run = shell.run(
        "csv",
        &[
            "-c",
            "SELECT 1.50 AS a, 'x,\"y' AS b, NULL AS c, CAST(0.1 AS double precision) AS d, \
                 CAST(12345678901234567890.123456789 AS numeric(30,9)) AS e",
        ],
    );
    assert!(run.success, "{}", run.stderr);
    assert_eq!(run.stdout, "a,b,c,d,e\n1.50,\"x,\"\"y\",,0.1,12345678901234567890.123456789\n");

    let run = shell.run("csv", &["-c", "SELECT 1 AS n WHERE false"]);
    assert_eq!((run.success, run.stdout.as_str()), (true, "n\n"));

    let run = shell.run("csv", &["-c", "SELECT 1 / 0"]);
    assert!(!run.success, "an error is told by the exit status");
    assert!(run.stderr.contains("division by zero"), "{}", run.stderr);
    assert_eq!(run.stdout, "", "nothing but rows on stdout");

    let run = shell.run("csv", &["-c", "SELECT * FROM absent"]);
    assert!(!run.success && run.stderr.contains("absent"), "{run:?}");

    let run = shell.run("table", &["-c", "SELECT 42 AS answer"]);
    assert!(run.success && run.stdout.contains("answer") && run.stdout.contains("42"), "{run:?}");

    let run = shell.run("json", &["-c", "SELECT 42 AS answer, 'x' AS t"]);
    assert!(run.success && run.stdout.contains("\"answer\"") && run.stdout.contains("42"), "{run:?}");

    let script = cluster.directory().join("script.sql");
    std::fs::write(
        &script,
        "CREATE TABLE s (a int) DISTRIBUTED BY (a);\nINSERT INTO s VALUES (1), (2); -- two\n\
                             SELECT sum(a) AS total FROM s;\n",
    )
    .expect("room for a script");
    let run = shell.run("csv", &["-f", &script.display().to_string()]);
    assert!(run.success && run.stdout.contains("total\n3\n"), "{run:?}");

    // A script stops at its first error.
    std::fs::write(&script, "INSERT INTO s VALUES (3);\nSELECT 1 / 0;\nINSERT INTO s VALUES (4);\n").expect("room");
    let run = shell.run("csv", &["-f", &script.display().to_string()]);
    assert!(!run.success, "{run:?}");
    assert_eq!(shell.value("SELECT max(a) FROM s"), "3");

    let nobody = Shell::new(free_ports(1)[0]).run("csv", &["-c", "SELECT 1"]);
    assert!(!nobody.success && !nobody.stderr.is_empty(), "{nobody:?}");
}
