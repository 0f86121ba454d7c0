//! What the system tables say of routes between processes.

use super::scene::{FLOWING, Running, Via, cluster};
use damson_tests::processes::{Shell, wait_for};
use std::time::{Duration, Instant};

const JOIN: &str = "SELECT count(*) FROM big a JOIN big b ON a.k + 1 = b.v";

/// A statement's own routes are those of the latest query.
fn latest_query(shell: &Shell) -> String {
    shell.value("SELECT query_id FROM gp_interconnect_stats ORDER BY length(query_id) DESC, query_id DESC LIMIT 1")
}

#[test]
fn both_ends_of_every_route_agree() {
    for (via, driver) in
        [(Via::Tcp, "flight-tls"), (Via::PlainTcp, "flight-tcp"), (Via::Unix, "flight-unix"), (Via::Quic, "quic")]
    {
        let (_cluster, shell) = cluster(via, 2);
        shell.execute(JOIN);
        let query = latest_query(&shell);
        let ended = format!("FROM gp_interconnect_stats WHERE query_id = '{query}' AND state = 'ended'");
        // A segment notes the end of a query a moment after the client has its rows.
        wait_for("ended routes", Duration::from_secs(5), || {
            let open =
                format!("SELECT count(*) FROM gp_interconnect_stats WHERE query_id = '{query}' AND state = 'open'");
            (shell.value(&open) == "0").then_some(())
        });
        let differing = format!(
            "SELECT count(*) FROM (SELECT motion, sum(CASE direction WHEN 'send' THEN 1 ELSE -1 END) AS ends, \
             sum(CASE direction WHEN 'send' THEN rows ELSE -rows END) AS rows, \
             sum(CASE direction WHEN 'send' THEN bytes ELSE -bytes END) AS bytes {ended} \
             GROUP BY motion, least(gp_segment_id, peer), greatest(gp_segment_id, peer)) t \
             WHERE ends <> 0 OR rows <> 0 OR bytes <> 0"
        );
        let deadline = Instant::now() + Duration::from_secs(5);
        while shell.value(&differing) != "0" {
            let all = format!("SELECT * FROM gp_interconnect_stats WHERE query_id = '{query}' ORDER BY 1, 2, 3, 4");
            assert!(Instant::now() < deadline, "{driver}: ends differ: {:#?}", shell.rows(&all));
        }
        let drivers = format!("SELECT DISTINCT driver {ended} AND gp_segment_id <> peer ORDER BY driver");
        assert_eq!(shell.rows(&drivers), [[driver]]);
        let own = format!("SELECT DISTINCT driver {ended} AND gp_segment_id = peer");
        assert_eq!(shell.rows(&own), [["in-process"]]);
        let moved = format!("SELECT count(*) {ended} AND motion > 1 AND rows > 0 AND bytes > 0");
        assert_ne!(shell.value(&moved), "0");
        let nodes = "SELECT contents FROM gp_interconnect_nodes WHERE connections > 0 ORDER BY contents";
        assert_eq!(shell.rows(nodes), [["-1"], ["0"], ["1"]], "each node is asked once");
    }
}

/// A query that runs is seen while it runs: its routes are open, and what they wait for counts.
#[test]
fn open_routes_are_seen() {
    let (cluster, shell) = cluster(Via::Unix, 2);
    let mut running = Running::start(&cluster, "flowing", FLOWING, 2);
    let open = "SELECT count(DISTINCT gp_segment_id) FROM gp_interconnect_stats WHERE state = 'open' \
                AND direction = 'send' AND rows > 0 AND blocked_ms >= 0";
    wait_for("open routes on both segments", Duration::from_secs(20), || (shell.value(open) == "2").then_some(()));
    let nodes = "SELECT count(*) FROM gp_interconnect_nodes WHERE open_routes > 0 AND open_queries > 0";
    assert_eq!(shell.value(nodes), "3");
    running.client.kill();
    running.leaves_nothing(&shell);
    let left = "SELECT count(*) FROM gp_interconnect_stats WHERE state = 'open'";
    wait_for("end of every route", Duration::from_secs(5), || (shell.value(left) == "0").then_some(()));
    let ended = "SELECT DISTINCT state FROM gp_interconnect_stats WHERE state = 'cancelled'";
    assert_eq!(shell.rows(ended), [["cancelled"]]);
}
