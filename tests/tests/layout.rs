//! ARCHITECTURE.md's rules about crates and sockets, checked against the code.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// `crates/motion` → what its row of the table says that it may depend on.
fn table() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let section = text.split("## Code map").nth(1).expect("a section `Code map`");
    let section = section.split("\n## ").next().expect("text");
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [names, _, dependencies] = cells[..] else { panic!("three cells: {line}") };
        let allowed: Vec<String> = dependencies.split(", ").map(String::from).collect();
        for name in names.split(", ") {
            rows.insert(name.trim_matches('`').trim_end_matches('/').to_string(), allowed.clone());
        }
    }
    assert!(rows.len() >= 9, "the table was not understood: {rows:?}");
    rows
}

/// Directory of each workspace member → names of its dependencies, without those of tests.
fn members() -> BTreeMap<String, Vec<String>> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut members = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        let directory = manifest.parent().and_then(|d| d.strip_prefix(root()).ok()).expect("inside the workspace");
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let names = dependencies
            .filter(|d| d["kind"].as_str() != Some("dev"))
            .map(|d| d["name"].as_str().expect("a name").to_string());
        members.insert(directory.to_string_lossy().into_owned(), names.collect());
    }
    members
}

/// Holds no code: it makes every crate ask for the same features of third-party crates.
const WORKSPACE_HACK: &str = "workspace-hack";

/// DataFusion is allowed where the row says so, and above a crate whose row does: its plans pass through.
fn may_use_datafusion(table: &BTreeMap<String, Vec<String>>, allowed: &[String]) -> bool {
    allowed.iter().any(|a| {
        a == "DataFusion" || table.get(&format!("crates/{a}")).is_some_and(|row| may_use_datafusion(table, row))
    })
}

#[test]
fn crates_depend_on_what_the_table_allows() {
    let (table, mut members) = (table(), members());
    assert!(members.remove(&format!("crates/{WORKSPACE_HACK}")).is_some_and(|d| !d.iter().any(|d| d == "damson")));
    let names = |map: &BTreeMap<String, Vec<String>>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&table), names(&members), "ARCHITECTURE.md's table lists exactly the workspace's crates");
    let mut wrong = vec![];
    for (member, dependencies) in &members {
        let allowed = &table[member];
        if allowed.iter().any(|a| a == "everything" || a == "anything") {
            continue;
        }
        for dependency in dependencies {
            let fits = match dependency.strip_prefix("damson-") {
                Some(WORKSPACE_HACK) => true,
                Some(ours) => allowed.iter().any(|a| a == ours),
                None if dependency.starts_with("datafusion") => may_use_datafusion(&table, allowed),
                None => dependency != "damson",
            };
            if !fits {
                wrong.push(format!("{member} depends on {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "not in ARCHITECTURE.md's table:\n{}", wrong.join("\n"));
}

/// Where sockets may be opened: `interconnect` between nodes, `master`'s protocol modules for clients, and the binary,
/// which binds the listeners that it hands to both.
const SOCKET_PATHS: [&str; 4] =
    ["crates/interconnect/src/", "crates/master/src/flight_sql/", "crates/master/src/postgres/", "crates/damson/src/"];

#[test]
fn only_the_network_modules_open_sockets() {
    let mut wrong = vec![];
    let mut seen = 0;
    for crate_directory in fs::read_dir(root().join("crates")).expect("crates") {
        visit(&crate_directory.expect("an entry").path().join("src"), &mut |path, text| {
            seen += 1;
            let relative = path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
            if SOCKET_PATHS.iter().any(|allowed| relative.starts_with(allowed)) {
                return;
            }
            for (number, line) in text.lines().enumerate() {
                if ["TcpListener", "TcpStream", "UdpSocket", "UnixListener", "UnixStream"]
                    .iter()
                    .any(|s| line.contains(s))
                {
                    wrong.push(format!("{relative}:{}: {}", number + 1, line.trim()));
                }
            }
        });
    }
    assert!(seen > 20, "the sources were not found");
    assert!(wrong.is_empty(), "sockets outside the network modules:\n{}", wrong.join("\n"));
}

fn visit(directory: &Path, see: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit(&path, see);
        } else if path.extension().is_some_and(|e| e == "rs") {
            see(&path, &fs::read_to_string(&path).expect("UTF-8"));
        }
    }
}
