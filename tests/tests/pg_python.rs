//! Clients of the PostgreSQL protocol that are written in Python: psycopg, SQLAlchemy with pandas and polars, ADBC, pgcli, dbt.
//!
//! Each program runs all of its steps, and tells which have passed; those that Damson cannot do yet are named here, so that whoever makes one
//! work takes it from its list.

use damson_tests::processes::ProcessCluster;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python that has the packages of `clients/<name>/requirements.txt`; None, loudly, where there is none.
///
/// # Panics
/// Where there is none, and `DAMSON_REQUIRE_CLIENTS` is 1.
fn python(name: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/python-env");
    let requirements = clients().join(name).join("requirements.txt");
    let output = Command::new(script).arg(requirements).output().expect("scripts/python-env runs");
    let python = String::from_utf8(output.stdout).expect("a path");
    if !python.trim().is_empty() {
        return Some(python.trim().into());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(std::env::var("DAMSON_REQUIRE_CLIENTS").as_deref() != Ok("1"), "no packages of {name}: {said}");
    eprintln!("\nNO PYTHON WITH THE PACKAGES OF {name} HERE: its test is SKIPPED: {said}\n");
    None
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Runs a program of `clients/python` and compares the steps that have failed with `missing`.
fn run(python: &Path, program: &str, scheme: &str, missing: &[&str]) {
    let cluster = ProcessCluster::start(2);
    let url = format!("{scheme}://p_user@127.0.0.1:{}/damson", cluster.postgres_address().port());
    let mut command = Command::new(python);
    command.arg(clients().join("python").join(program)).arg(url);
    // What PostgreSQL's libraries take of the environment would be sent as settings.
    let output = command.env_remove("PGOPTIONS").env_remove("PGPASSWORD").output().expect("Python runs");
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let failed: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("failed ")).collect();
    assert!(said.lines().any(|line| line.starts_with("passed ")), "{program} did nothing: {said}\n{why}");
    assert_eq!(failed, missing, "{program}: {said}\n{why}");
    assert_eq!(output.status.success(), missing.is_empty(), "{program}: {said}\n{why}");
}

#[test]
fn psycopg_does_what_its_users_do() {
    let Some(python) = python("python") else { return };
    run(&python, "pg_psycopg.py", "postgresql", &["json", "held_cursors", "scrollable_cursors", "error_fields"]);
}

#[test]
fn sqlalchemy_pandas_and_polars_do_what_their_users_do() {
    let Some(python) = python("python") else { return };
    for driver in ["postgresql+psycopg", "postgresql+psycopg2"] {
        run(&python, "pg_sqlalchemy.py", driver, &["documents_and_uuids"]);
    }
}

#[test]
fn adbc_of_postgresql_does_what_its_users_do() {
    let Some(python) = python("python") else { return };
    // Its question for constraints joins UNNEST of a column of the table before it.
    run(&python, "pg_adbc.py", "postgresql", &["objects"]);
}

#[test]
fn pgcli_is_at_home() {
    let Some(python) = python("python") else { return };
    // Its question for foreign keys has subqueries in FROM that read the outer row; there is no regexp_split_to_table.
    run(&python, "pg_pgcli.py", "postgresql", &["foreign_keys", "casing"]);
}

/// `dbt build`: seeds, a snapshot, views, tables, incremental models, and tests of them; twice, because the second time replaces and adds.
#[test]
fn dbt_builds_its_project_twice() {
    let Some(python) = python("dbt") else { return };
    let cluster = ProcessCluster::start(2);
    let project = clients().join("dbt");
    let made = tempfile::tempdir().expect("a temporary directory");
    for run in ["first", "second"] {
        let mut dbt = Command::new(python.with_file_name("dbt"));
        dbt.args(["--no-use-colors", "build", "--project-dir"]).arg(&project).arg("--profiles-dir").arg(&project);
        dbt.env("DBT_TARGET_PATH", made.path().join("target")).env("DBT_LOG_PATH", made.path().join("logs"));
        dbt.env("DBT_SEND_ANONYMOUS_USAGE_STATS", "false");
        dbt.env("DBT_PORT", cluster.postgres_address().port().to_string());
        let output = dbt.output().expect("dbt runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "the {run} run: {said}");
        assert!(said.contains("Done. PASS=16 WARN=0 ERROR=0 SKIP=0"), "the {run} run: {said}");
    }
    let shell = cluster.shell();
    assert_eq!(shell.value("SELECT count(*) FROM dbt_it.orders_added"), "4");
    assert_eq!(shell.value("SELECT count(*) FROM dbt_it.orders_merged WHERE run = 'again'"), "4");
    assert_eq!(shell.value("SELECT count(*) FROM dbt_it.customers_seen"), "3");
}
