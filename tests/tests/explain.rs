//! EXPLAIN's shapes: where motions are, and where not.

use damson_tests::{Damson, TestCluster};
use serde_json::Value;

/// Two large tables by `k`, a small one by `k`, a replicated and a random one, on three segments.
async fn tables(session: &Damson) {
    for (table, clause, rows) in [
        ("big_a", "DISTRIBUTED BY (k)", 30_000),
        ("big_b", "DISTRIBUTED BY (k)", 30_000),
        ("small", "DISTRIBUTED BY (k)", 10),
        ("everywhere", "DISTRIBUTED REPLICATED", 100),
        ("anywhere", "DISTRIBUTED RANDOMLY", 30_000),
    ] {
        let create = format!("CREATE TABLE {table} (k int, v int, g int) {clause}");
        let fill = format!("INSERT INTO {table} SELECT x, x * 7, x % 5 FROM generate_series(1, {rows}) AS s(x)");
        for statement in [create, fill] {
            session.execute(&statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
    }
}

/// `Gather Motion 3:1`, `Redistribute Motion 3:3`, … of a plan, from the top.
fn motions(plan: &str) -> Vec<String> {
    let lines = plan.lines().filter(|line| line.contains(" Motion "));
    lines
        .map(|line| {
            let text = line.trim().trim_start_matches("-> ").trim();
            text.split_whitespace().take_while(|word| !word.starts_with('(')).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

/// Three segments hold everything that this file looks at: one cluster, one test.
#[tokio::test(flavor = "multi_thread")]
async fn shapes() {
    let cluster = TestCluster::start(3).await;
    let session = cluster.session();
    tables(&session).await;
    co_location(&session).await;
    moving_joins(&session).await;
    direct_dispatch(&session).await;
    orders_and_groups(&session).await;
    analyze_and_json(&session).await;
    motions_tell_what_they_moved(&session).await;
    routes_are_counted(&session).await;
    cluster.shutdown().await;
}

async fn explain(session: &Damson, sql: &str) -> String {
    session.text(&format!("EXPLAIN {sql}")).await
}

async fn co_location(session: &Damson) {
    for sql in [
        "SELECT a.v, b.v FROM big_a a JOIN big_b b ON a.k = b.k",
        "SELECT a.v, b.v FROM big_a a LEFT JOIN big_b b ON a.k = b.k AND b.v > 5",
        "SELECT a.v, b.v FROM big_a a FULL JOIN big_b b ON a.k = b.k",
        "SELECT v FROM big_a a WHERE EXISTS (SELECT 1 FROM big_b b WHERE b.k = a.k)",
        "SELECT a.v, e.v FROM big_a a JOIN everywhere e ON a.g = e.k",
        "SELECT a.v, e.v FROM anywhere a LEFT JOIN everywhere e ON a.v = e.v",
        "SELECT k, count(*) FROM big_a GROUP BY k",
        "SELECT k, g, sum(v) FROM big_a GROUP BY k, g",
    ] {
        let plan = explain(session, sql).await;
        assert_eq!(motions(&plan), ["Gather Motion 3:1"], "{sql}\n{plan}");
    }
    // Rows of a replicated table come from one segment.
    let plan = explain(session, "SELECT k FROM everywhere").await;
    assert_eq!(motions(&plan), ["Gather Motion 1:1"], "{plan}");
}

async fn moving_joins(session: &Damson) {
    let plan = explain(session, "SELECT a.k, b.k FROM big_a a JOIN big_b b ON a.v = b.v").await;
    let two_sides = ["Gather Motion 3:1", "Redistribute Motion 3:3", "Redistribute Motion 3:3"];
    assert_eq!(motions(&plan), two_sides, "both sides are large\n{plan}");
    assert!(plan.contains("Hash Key: "), "{plan}");

    let plan = explain(session, "SELECT a.k, s.k FROM big_a a JOIN small s ON a.v = s.v").await;
    assert_eq!(motions(&plan), ["Gather Motion 3:1", "Broadcast Motion 3:3"], "ten rows go everywhere\n{plan}");

    let plan = explain(session, "SELECT a.v, r.v FROM big_a a JOIN anywhere r ON a.k = r.k").await;
    assert_eq!(motions(&plan), ["Gather Motion 3:1", "Redistribute Motion 3:3"], "one side is in place\n{plan}");
}

async fn direct_dispatch(session: &Damson) {
    for sql in ["SELECT v FROM big_a WHERE k = 5", "SELECT sum(v) FROM big_a WHERE k = 5 AND v > 0"] {
        let plan = explain(session, sql).await;
        assert_eq!(motions(&plan).first().map(String::as_str), Some("Gather Motion 1:1"), "{sql}\n{plan}");
        assert!(plan.contains("(slice1; segments: 1)"), "{plan}");
    }
    let plan = explain(session, "SELECT v FROM big_a WHERE v = 35").await;
    assert_eq!(motions(&plan), ["Gather Motion 3:1"], "{plan}");
    assert_eq!(session.lines("SELECT v FROM big_a WHERE k = 5").await, ["35"]);
}

async fn orders_and_groups(session: &Damson) {
    let plan = explain(session, "SELECT k, v FROM big_a ORDER BY v").await;
    assert!(plan.contains("Merge Key: "), "{plan}");
    let plan = explain(session, "SELECT k, v FROM big_a ORDER BY v LIMIT 10").await;
    let gather = plan.find("Gather Motion").expect("a gather");
    assert!(plan[gather..].contains("top-N heapsort (10 rows)"), "LIMIT is below it too\n{plan}");

    let plan = explain(session, "SELECT g, count(*), sum(v) FROM big_a GROUP BY g").await;
    assert!(plan.contains("Partial"), "{plan}");
    let plan = explain(session, "SELECT v % 10000, count(*) FROM anywhere GROUP BY v % 10000").await;
    assert!(motions(&plan).contains(&"Redistribute Motion 3:3".to_string()), "{plan}");

    let plan = explain(session, "SELECT k FROM big_a WHERE v > (SELECT avg(v) FROM big_b)").await;
    assert!(plan.contains("InitPlan 1"), "{plan}");
}

async fn analyze_and_json(session: &Damson) {
    let sql = "SELECT a.g, count(*) FROM big_a a JOIN anywhere r ON a.k = r.k GROUP BY a.g";
    let plan = session.text(&format!("EXPLAIN ANALYZE {sql}")).await;
    for part in ["Gather Motion 3:1  (slice1; segments: 3)", "actual", "rows=", "memory", "slice2"] {
        assert!(plan.contains(part), "{part}\n{plan}");
    }
    let text = session.text(&format!("EXPLAIN (FORMAT json) {sql}")).await;
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    // The groups are few: the master puts the segments' sums together.
    assert_eq!(json[0]["Plan"]["Node Type"], "Finalize HashAggregate", "{text}");
    let gather = &json[0]["Plan"]["Plans"][0];
    assert_eq!(gather["Node Type"], "Gather Motion", "{text}");
    assert_eq!((&gather["Senders"], &gather["Receivers"]), (&Value::from(3), &Value::from(1)), "{text}");
    assert_eq!(gather["Slice"], 1, "{text}");
}

/// Lines about what motions moved, with `N` for what differs from run to run.
fn moved(plan: &str) -> Vec<String> {
    let lines = plan.lines().map(str::trim).filter(|line| line.starts_with("Sent: ") || line.starts_with("Received: "));
    let masked = |word: &str| match word.trim_end_matches([',', ';', ')']) {
        "bytes" | "kB" => "size".to_owned(),
        word if word.starts_with("(seg") => "(seg)".to_owned(),
        word if word.starts_with(|c: char| c.is_ascii_digit()) => "N".to_owned(),
        word => word.to_owned(),
    };
    lines.map(|line| line.split(' ').map(masked).collect::<Vec<_>>().join(" ")).collect()
}

async fn motions_tell_what_they_moved(session: &Damson) {
    let plan = session.text("EXPLAIN ANALYZE SELECT a.k, b.k FROM big_a a JOIN big_b b ON a.v = b.v").await;
    let sent = "Sent: N batches N size blocked N ms avg N ms max (seg)";
    let received = "Received: N batches N size waited N ms avg N ms max (seg)";
    let by_master = "Received: N batches N size waited N ms";
    assert_eq!(moved(&plan), [sent, by_master, sent, received, sent, received], "{plan}");
    assert!(!plan.contains("Skew:"), "keys are spread evenly\n{plan}");

    // Nine of ten rows have one key, and so one receiver.
    let skewed = "SELECT count(*) FROM (SELECT CASE WHEN k < 27000 THEN 1 ELSE k END AS g FROM big_a) a \
                  JOIN big_b b ON a.g = b.k";
    let plan = session.text(&format!("EXPLAIN ANALYZE {skewed}")).await;
    assert!(plan.contains("Skew: 2."), "{plan}");
    let text = session.text(&format!("EXPLAIN (ANALYZE, FORMAT json) {skewed}")).await;
    assert!(text.contains("\"Skewed Segment\": "), "{text}");
    for key in ["Sent Batches", "Sent Bytes", "Maximum Blocked Time", "Received Bytes", "Average Waited Time"] {
        assert!(text.contains(&format!("\"{key}\": ")), "{key}\n{text}");
    }
}

async fn routes_are_counted(session: &Damson) {
    session.execute("SELECT a.k, b.k FROM big_a a JOIN big_b b ON a.v = b.v").await.unwrap_or_else(|e| panic!("{e}"));
    let last = "SELECT query_id FROM gp_interconnect_stats ORDER BY length(query_id) DESC, query_id DESC LIMIT 1";
    let query = session.lines(last).await.remove(0);
    let by_motion = format!(
        "SELECT motion, direction, driver, state, sum(routes), sum(rows) FROM gp_interconnect_stats \
         WHERE query_id = '{query}' GROUP BY motion, direction, driver, state ORDER BY motion, direction"
    );
    let gather = ["receive", "send"].map(|direction| format!("1 | {direction} | in-process | ended | 3 | 30000"));
    let redistribute = |motion| ["receive", "send"].map(|d| format!("{motion} | {d} | in-process | ended | 9 | 30000"));
    let expected = [gather, redistribute(2), redistribute(3)].concat();
    assert_eq!(session.lines(&by_motion).await, expected);
    let ends = format!(
        "SELECT DISTINCT gp_segment_id, peer FROM gp_interconnect_stats WHERE query_id = '{query}' AND motion = 1 \
         AND direction = 'send' ORDER BY gp_segment_id"
    );
    assert_eq!(session.lines(&ends).await, ["0 | -1", "1 | -1", "2 | -1"]);
    let nodes = "SELECT contents, connections, open_routes, buffered_bytes FROM gp_interconnect_nodes";
    assert_eq!(session.lines(nodes).await, ["-1,0,1,2 | 0 | 0 | 0"]);
}
