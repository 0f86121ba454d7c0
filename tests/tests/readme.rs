//! What README.md tells a new user to type works as it stands there.

use damson_tests::processes::{ProcessCluster, Setup};
use damson_tests::s3_server::{BUCKET, KEY, S3Server, SECRET};
use std::fs;
use std::path::Path;

/// Before the statements in README.md.
const MARK: &str = "<!-- A test (tests/tests/readme.rs) runs these statements. -->\n```sql\n";

fn statements() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).expect("README.md");
    let (_, after) = readme.split_once(MARK).expect("the statements are marked");
    after.split_once("```").expect("they end").0.to_owned()
}

/// Load from a bucket, query, export, with the user's bucket and key.
#[test]
fn a_users_first_path_works() {
    let server = S3Server::start();
    let put = |name: &str, text: &str| {
        let path = server.object(name);
        fs::create_dir_all(path.parent().expect("it is in the bucket")).expect("room");
        fs::write(path, text).expect("room");
    };
    put("sales/2025.csv", "id,region,amount,sold\n1,north,10.50,2025-01-31\n2,south,1.25,2025-02-28\n");
    put(
        "sales/2026.csv",
        "id,region,amount,sold\n3,north,0.50,2026-01-01\n4,north,much,2026-01-02\n5,east,7,2026-01-03\n",
    );
    let mut sql = statements();
    for (there, here) in [
        ("s3://my-bucket", format!("s3://{BUCKET}")),
        ("http://127.0.0.1:9000", server.endpoint()),
        ("'AKID'", format!("'{KEY}'")),
        ("'hush'", format!("'{SECRET}'")),
    ] {
        assert!(sql.contains(there), "{there}");
        sql = sql.replace(there, &here);
    }
    let cluster = ProcessCluster::start_with(Setup { segments: 2, ..Setup::default() });
    let shell = cluster.shell();
    let script = cluster.directory().join("readme.sql");
    fs::write(&script, &sql).expect("room");
    let run = shell.run("csv", &["-f", script.to_str().expect("UTF-8")]);
    assert!(run.success, "{}\n{}", run.stdout, run.stderr);
    // What the queries say: a bad row, the sums, what was exported.
    assert!(run.stdout.contains("2026.csv,3,"), "the bad row's line: {}", run.stdout);
    assert!(run.stdout.contains("east,1,7.00\nnorth,2,11.00\nsouth,1,1.25\n"), "{}", run.stdout);
    assert!(run.stdout.trim_end().ends_with("\n4"), "{}", run.stdout);
    assert_eq!(shell.value("SELECT count(*) FROM sales"), "4");
    let exported = server.objects();
    assert!(exported.iter().any(|name| name.contains("export/region=east/")), "{exported:?}");
}
