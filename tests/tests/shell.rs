//! `damson sql` as people use it: backslash commands, variables, transactions, a server that goes.

use damson_tests::processes::{ProcessCluster, Shell, ShellRun, free_ports};
use std::fs;

fn table(shell: &Shell, sql: &[&str]) -> ShellRun {
    let commands: Vec<&str> = sql.iter().flat_map(|sql| ["-c", sql]).collect();
    shell.run("table", &commands)
}

fn shown(shell: &Shell, sql: &[&str]) -> String {
    let run = table(shell, sql);
    assert!(run.success, "{sql:?}: {run:?}");
    run.stdout
}

fn refused(shell: &Shell, sql: &[&str]) -> String {
    let run = table(shell, sql);
    assert!(!run.success, "{sql:?}: {run:?}");
    run.stderr
}

#[test]
fn backslash_commands_of_the_shell() {
    let cluster = ProcessCluster::start(1);
    let shell = cluster.shell();
    let place = cluster.directory().join("place.csv");
    fs::write(&place, "1\n").expect("room");
    for sql in [
        "CREATE SCHEMA s",
        "CREATE TABLE orders (a int PRIMARY KEY, b numeric(12,2)) DISTRIBUTED BY (a)",
        "CREATE TABLE s.orders (c text) DISTRIBUTED RANDOMLY",
        "CREATE TABLE s.only_there (d text) DISTRIBUTED RANDOMLY",
        "CREATE TABLE o_x (e int) DISTRIBUTED BY (e)",
        "CREATE VIEW ov AS SELECT a FROM orders",
        "CREATE SEQUENCE q",
    ] {
        shell.execute(sql);
    }
    let place = place.display().to_string();
    shell.execute(&format!("CREATE EXTERNAL TABLE ext (a int) LOCATION ('{place}') FORMAT 'csv'"));

    for shell in [shell, cluster.postgres_shell()] {
        lists(&shell);
        descriptions(&shell, &place);
        words_and_files(&shell, &cluster.directory().join("out").display().to_string());
        others(&shell);
        variables(&shell);
    }
}

fn lists(shell: &Shell) {
    let all = shown(shell, &["\\d"]);
    for line in ["public | orders", "s      | orders", "public | q", "external table", "public | ov"] {
        assert!(all.contains(line), "{line}: {all}");
    }
    let some = shown(shell, &["\\dt o*"]);
    assert!(some.contains("orders") && some.contains("o_x") && !some.contains(" ov "), "{some}");
    assert!(!shown(shell, &["\\dt o_*"]).contains("orders"), "an underscore is only itself");
    assert!(!shown(shell, &["\\dt orders"]).contains("Primary key"), "a list, no description");
    let there = shown(shell, &["\\dt s.*"]);
    assert!(there.contains("only_there") && !there.contains("o_x"), "{there}");
    assert!(shown(shell, &["\\dv o?"]).contains("ov"));
    assert!(shown(shell, &["\\de"]).contains("ext"));
    assert!(shown(shell, &["\\ds q"]).contains("Increment"));
    assert!(shown(shell, &["\\dn s"]).contains("damson"));
    assert!(shown(shell, &["\\du"]).contains("Superuser"));
    let functions = shown(shell, &["\\df date_tr*"]);
    assert!(functions.contains("date_trunc") && !functions.contains("abs"), "{functions}");
    assert_eq!(refused(shell, &["\\dt nosuch*"]), "ERROR:  Did not find any relation named \"nosuch*\".\n");
}

fn descriptions(shell: &Shell, place: &str) {
    let orders = shown(shell, &["\\d orders"]);
    assert!(orders.contains("Table \"public.orders\"") && orders.contains("numeric(12,2)"), "{orders}");
    assert!(orders.contains("Primary key") && orders.contains("DISTRIBUTED BY (a)"), "{orders}");
    assert!(!orders.contains("s.orders"), "the other schema's is hidden: {orders}");
    let there = shown(shell, &["\\d s.orders"]);
    assert!(there.contains("Table \"s.orders\"") && there.contains(" c ") && !there.contains(" b "), "{there}");
    assert!(shown(shell, &["\\d only_there"]).contains("Table \"s.only_there\""), "found where it is");
    let both = shown(shell, &["\\d *.orders"]);
    assert!(both.contains("\"public.orders\"") && both.contains("\"s.orders\""), "{both}");
    let external = shown(shell, &["\\d ext"]);
    assert!(external.contains("External table \"public.ext\"") && external.contains(place), "{external}");
    assert!(shown(shell, &["\\d ov"]).contains("View definition"));
    assert!(shown(shell, &["\\d q"]).contains("Sequence \"public.q\""));
    assert!(shown(shell, &["\\d gp_files"]).contains("pg_catalog.gp_files"));
    assert_eq!(refused(shell, &["\\d nosuch"]), "ERROR:  Did not find any relation named \"nosuch\".\n");
}

fn words_and_files(shell: &Shell, file: &str) {
    assert_eq!(shown(shell, &["\\echo a   'b  c'"]), "a b  c\n");
    let out = format!("\\o {file}");
    let rest = shown(shell, &[&out, "SELECT 41 + 1 AS answer", "\\qecho done", "\\o", "SELECT 7 AS seven"]);
    assert!(rest.contains("seven") && !rest.contains("answer"), "{rest}");
    let written = fs::read_to_string(file).expect("the file");
    assert!(written.contains("42") && written.ends_with("done\n"), "{written}");
    assert!(refused(shell, &["\\o /no/such/directory/out"]).contains("/no/such/directory/out"));
    assert!(refused(shell, &["\\copy o_x from 'x.csv'"]).contains("psql's \\copy"));
}

fn others(shell: &Shell) {
    let told = shown(shell, &["SELECT 1", "\\conninfo"]);
    assert!(told.contains("connected to database \"damson\" as user"), "{told}");
    // Another session has its own settings.
    let set = "SET application_name = 'first'";
    let (kept, new) =
        (shown(shell, &[set, "SHOW application_name"]), shown(shell, &[set, "\\c", "SHOW application_name"]));
    assert!(kept.contains("first") && !new.contains("first\n"), "{kept}\n{new}");
    let left =
        shown(shell, &["BEGIN", "INSERT INTO o_x VALUES (1)", "\\c - somebody", "SELECT count(*) AS n FROM o_x"]);
    assert!(left.contains("as user \"somebody\"") && left.contains("\n 0\n"), "{left}");
    assert!(refused(shell, &["\\c elsewhere"]).contains("database \"elsewhere\" does not exist"));
    let nobody = format!("\\c flight://127.0.0.1:{}", free_ports(1)[0]);
    let said = refused(shell, &[&nobody]);
    assert!(said.contains("Connection refused") && said.contains("The previous session is kept."), "{said}");
    assert!(shown(shell, &["\\x auto", "SELECT 1 AS n"]).contains("---"), "no terminal is too narrow");

    let run = table(shell, &["COMMIT", "BEGIN", "BEGIN", "START TRANSACTION"]);
    assert!(run.success && run.stderr.matches("WARNING:  there is").count() == 3, "{run:?}");
    assert!(run.stdout.ends_with("START TRANSACTION\n"), "{run:?}");
}

fn variables(shell: &Shell) {
    let filled = shown(
        shell,
        &["\\set n 3", "\\set who 'O''Neil'", "SELECT :n + 1 AS four, :'who' AS name, '1'::int, ':n' AS t"],
    );
    assert!(filled.contains("O'Neil") && filled.contains(" 4 ") && filled.contains(":n"), "{filled}");
    let given = shell.run("csv", &["-v", "n=5", "-c", "SELECT :n AS five"]);
    assert_eq!((given.success, given.stdout.as_str()), (true, "five\n5\n"));
    assert!(refused(shell, &["\\set ON_ERROR_STOP off"]).contains("ON_ERROR_STOP can only be on"));
}

#[test]
fn a_server_that_is_not_there() {
    let run = Shell::new(free_ports(1)[0]).run("csv", &["-c", "SELECT 1"]);
    assert!(!run.success, "{run:?}");
    assert!(run.stderr.contains("Connection refused") && run.stderr.contains("HINT:  Is it started"), "{run:?}");
}
