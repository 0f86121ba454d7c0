//! `damson sql` over the PostgreSQL protocol prints what it prints over Flight SQL, and ends what it is told to end.

use crate::pg_tls::{Certificate, Scene};
use crate::roles::{ADMIN, WITHIN};
use damson_tests::processes::{Node, ProcessCluster, Shell, ShellRun, binary, wait_for};
use nix::sys::signal::Signal;
use std::path::Path;
use std::process::{Command, Stdio};

/// Statements that leave nothing behind, so that they can be run twice.
const SCRIPT: &str = r#"
SELECT 1 AS one, 'x' AS text, NULL AS nothing, true AS yes, false AS no;
SELECT 1.50::numeric(15,2) AS n, 1e15::double precision AS d, 0.1::double precision AS small, 1.5::real AS r, avg(x) AS a FROM (VALUES (1), (2)) AS v (x);
SELECT 9223372036854775807 AS big, (-7)::smallint AS small, -1 AS i, count(*) AS c;
SELECT date '1970-01-01' AS d, time '00:00:01.5' AS clock, timestamp '2000-01-01 00:00:01' AS t;
SELECT timestamptz '2000-01-01 00:00:01+00' AS t, interval '1 month -2 days 3 seconds' AS i;
SELECT ARRAY[1, 2, 3] AS numbers, ARRAY['a b', 'c'] AS words;
SELECT '\x00ff'::bytea AS bytes, 'a "quoted", text' AS q, 'two
lines' AS l, '' AS empty;
SELECT 1 WHERE false;
SELECT g AS n, repeat('x', g::int % 5) AS x FROM generate_series(1, 30000) AS s (g) ORDER BY 1;
CREATE TABLE both_ways (a int, b text, c numeric(12,3));
INSERT INTO both_ways SELECT g, 'w' || g, g / 8.0 FROM generate_series(1, 100) AS s (g);
INSERT INTO both_ways VALUES (0, NULL, NULL) RETURNING a, b, c;
UPDATE both_ways SET b = 'changed' WHERE a < 10;
DELETE FROM both_ways WHERE a > 90;
SELECT count(*), sum(a), avg(c), min(b) FROM both_ways;
COMMIT;
BEGIN;
BEGIN;
TRUNCATE both_ways;
ROLLBACK;
SELECT * FROM both_ways ORDER BY a LIMIT 3;
SET search_path = public;
SHOW search_path;
\d both_ways
\dt both*
\dn public
\du
\x
SELECT * FROM both_ways ORDER BY a LIMIT 2;
\x
DROP TABLE both_ways;
"#;

const WRONG: [&str; 8] = [
    "SELECT 1 / 0",
    "SELEKT 1",
    "SELECT *\nFROM\n  nowhere",
    "SELECT nothing FROM (SELECT 1 AS a) AS t",
    "SELECT 'x'::int",
    "CREATE TABLE t (a nosuchtype)",
    "INSERT INTO nowhere VALUES (1)",
    "\\d nosuch",
];

fn equal(flight: &ShellRun, postgres: &ShellRun) {
    assert_eq!(flight.stdout, postgres.stdout, "{}\n{}", flight.stderr, postgres.stderr);
    assert_eq!((&flight.stderr, flight.success), (&postgres.stderr, postgres.success));
}

#[test]
fn the_same_is_printed_over_both_protocols() {
    let cluster = ProcessCluster::start(2);
    let (flight, postgres) = (cluster.shell(), cluster.postgres_shell());
    let script = cluster.directory().join("script.sql");
    std::fs::write(&script, SCRIPT).expect("room");
    let script = script.display().to_string();
    for format in ["table", "csv", "json"] {
        let by_flight = flight.run(format, &["-f", &script]);
        assert!(by_flight.success && by_flight.stdout.contains("changed"), "{format}: {}", by_flight.stderr);
        equal(&by_flight, &postgres.run(format, &["-f", &script]));
    }
    for wrong in WRONG {
        let by_flight = flight.run("table", &["-c", wrong]);
        assert!(!by_flight.success, "{wrong}: {by_flight:?}");
        equal(&by_flight, &postgres.run("table", &["-c", wrong]));
    }
    // After an error within a transaction: only ROLLBACK helps, and the session goes on.
    let commands = ["-c", "BEGIN", "-c", "SELECT 1 / 0"];
    equal(&flight.run("table", &commands), &postgres.run("table", &commands));
}

#[test]
fn what_the_protocol_has_for_other_clients_is_told() {
    let cluster = ProcessCluster::start(1);
    let shell = cluster.postgres_shell();
    shell.execute("CREATE TABLE t (a int) DISTRIBUTED BY (a)");
    for (sql, told) in [
        ("COPY t FROM STDIN", "damson sql has no rows to send"),
        ("COPY t TO STDOUT", "damson sql does not take what COPY … TO STDOUT sends"),
    ] {
        let run = shell.run("csv", &["-c", sql]);
        assert!(!run.success && run.stderr.contains(told), "{run:?}");
    }
    let mut check = Command::new(binary());
    check.args(["check", "--url", shell.url()]).stdin(Stdio::null());
    let output = check.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("this command speaks Flight SQL"), "{told}");
    // The session's number is the server's.
    let own = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%own row%'";
    let info = shell.run("table", &["-c", own, "-c", "\\conninfo"]);
    let pid = info.stdout.lines().nth(2).expect("a row").trim().to_owned();
    assert!(info.stdout.contains(&format!("session {pid}.")), "{info:?}");
}

/// Presses Ctrl-C as soon as the statement runs, and has printed something if it is to, and waits for the shell's end, and the statement's.
fn interrupted(cluster: &ProcessCluster, name: &str, sql: &str, prints: bool) -> Node {
    let mut client = cluster.postgres_shell().spawn(name, cluster.directory(), sql);
    let watcher = cluster.shell();
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%AS {name}%' AND query NOT LIKE '%activity%'"
    );
    wait_for("the statement", WITHIN, || (watcher.value(&running) == "1").then_some(()));
    // It is active before the shell has its columns.
    wait_for("the first rows", WITHIN, || (!prints || !client.stdout().is_empty()).then_some(()));
    client.signal(Signal::SIGINT);
    let status = client.wait(WITHIN);
    assert_eq!(status.code(), Some(130), "{}", client.stderr());
    wait_for("the statement's end", WITHIN, || (watcher.value(&running) == "0").then_some(()));
    client
}

#[test]
fn ctrl_c_ends_the_statement() {
    let cluster = ProcessCluster::start(1);
    let sleeping = interrupted(&cluster, "slept", "SELECT pg_sleep(3600) AS slept", false);
    assert_eq!(sleeping.stderr(), "ERROR:  canceling statement due to user request\n");
    let endless = "SELECT g AS counted FROM generate_series(1, 100000000000) AS s (g)";
    let shown = interrupted(&cluster, "counted", endless, true);
    assert!(shown.stdout().starts_with("counted\n1\n"), "{}", shown.stderr());
}

/// `damson sql` as the administrator, by a password.
fn admin(url: &str, ca: &Path, password: &str, sql: &str) -> ShellRun {
    let mut command = Command::new(binary());
    command.args(["sql", "--url", url, "--user", "damson", "--format", "csv", "-c", sql]).arg("--tls-ca").arg(ca);
    let output = command.env("DAMSON_PASSWORD", password).stdin(Stdio::null()).output().expect("it runs");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
    ShellRun { success: output.status.success(), stdout, stderr }
}

#[test]
fn passwords_and_certificates_are_checked() {
    let scene = Scene::start("hostssl all all 127.0.0.1/32 scram-sha-256\n");
    let address = scene.cluster.postgres_address();
    let (tls, ca) = (format!("postgresql+tls://{address}"), &scene.certificate.path);
    let made = admin(&tls, ca, ADMIN, "CREATE ROLE ann LOGIN PASSWORD 'right'; SELECT current_user");
    assert_eq!(made.stdout, "current_user\ndamson\n", "{made:?}");
    let refused = |run: ShellRun, told: &str| assert!(!run.success && run.stderr.contains(told), "{run:?}");
    refused(
        admin(&tls, ca, "wrong", "SELECT 1"),
        "password authentication failed for user \"damson\" (SQLSTATE 28P01)",
    );
    // The address's user comes first.
    let ann = admin(&format!("postgresql://ann@{address}/damson"), ca, "right", "SELECT current_user");
    assert_eq!(ann.stdout, "current_user\nann\n", "{ann:?}");
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let other = Certificate::make(elsewhere.path());
    refused(admin(&tls, &other.path, ADMIN, "SELECT 1"), "the server's certificate is of nobody whom");
    let mut clear = Command::new(binary());
    clear.args(["sql", "--url", &format!("postgresql://{address}"), "--user", "damson", "-c", "SELECT 1"]);
    let output = clear.env("DAMSON_PASSWORD", ADMIN).env_remove("DAMSON_TLS_CA").output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no encryption (SQLSTATE 28000)"), "{told}");

    let (_directory, without) = crate::roles::with_passwords();
    let to = format!("postgresql+tls://{}", without.postgres_address());
    refused(admin(&to, ca, ADMIN, "SELECT 1"), "the server has no TLS for clients");
    let nobody = format!("postgresql://127.0.0.1:{},{address}", damson_tests::processes::free_ports(1)[0]);
    assert!(admin(&nobody, ca, ADMIN, "SELECT 1").success, "the second answers");
}

/// A shell of Flight SQL has no less.
#[test]
fn a_shell_can_change_its_protocol() {
    let cluster = ProcessCluster::start(1);
    let to: &Shell = &cluster.postgres_shell();
    let run = cluster.shell().run("csv", &["-c", &format!("\\c {}", to.url()), "-c", "SELECT 1 AS one"]);
    assert!(run.success && run.stdout == "one\n1\n" && run.stderr.contains("at postgresql://"), "{run:?}");
}
