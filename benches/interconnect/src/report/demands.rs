//! What is demanded of the interconnect, and whether it holds.

use super::Report;
use crate::limits::{FLIGHT_SHARE_MIN, GB_PER_CORE_SECOND_MIN, QUIC_SHARE_MIN, SLOW_CHANGE_MAX, TPCH_RATIO_MAX};
use crate::limits::{MOTION_MEMORY_BYTES_MAX, QUIC_ENDPOINTS};
use crate::message::{Side, Socket, Transport};
use crate::suite::{Kind, TRANSPORTS, Way};
use crate::tpch::ENGINES;
use damson_bench_report::gibibytes;

/// One demand.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    pub what: String,
    pub wanted: String,
    /// None where it was not measured.
    pub found: Option<String>,
    pub is_met: Option<bool>,
    /// Whether other work on the machine can break it.
    pub is_speed: bool,
}

/// All of them, in the order of the report.
pub fn of(report: &Report) -> Vec<Demand> {
    let copy = report.gb_per_s(Kind::Stream, Way::Copy(Socket::Tcp));
    let mut demands = vec![];
    let in_process = report.best(Kind::Redistribute, Way::Route(Transport::InProcess));
    demands.push(at_least(
        "Redistribute within a process, GB/s per core".into(),
        GB_PER_CORE_SECOND_MIN,
        in_process.map(|outcome| outcome.gb_per_cpu_s(Side::Both)),
    ));
    for (transport, least) in [
        (Transport::FlightUnix, FLIGHT_SHARE_MIN),
        (Transport::FlightTcp, FLIGHT_SHARE_MIN),
        (Transport::Quic { endpoints: QUIC_ENDPOINTS }, QUIC_SHARE_MIN),
    ] {
        let way = Way::Route(transport);
        // The faster of one route and several.
        let rates = [Kind::Stream, Kind::Streams].map(|kind| report.gb_per_s(kind, way));
        let rate = rates.into_iter().flatten().reduce(f64::max);
        let share = rate.zip(copy).map(|(rate, copy)| rate / copy);
        demands.push(at_least(format!("{} / plain TCP copy", way.title()), least, share));
    }
    demands.extend(tpch(report));
    for transport in TRANSPORTS {
        let way = Way::Route(transport);
        let once = report.best(Kind::Broadcast, way).map(|outcome| outcome.sender.totals);
        demands.push(Demand {
            what: format!("Broadcast, {}: encodings of a batch", way.title()),
            wanted: "1".into(),
            found: once.map(|t| format!("{} / {}", t.broadcasts_encoded, t.batches)),
            is_met: once.map(|t| t.broadcasts_encoded == t.batches && t.batches > 0),
            is_speed: false,
        });
    }
    for transport in TRANSPORTS {
        let way = Way::Route(transport);
        let outcome = report.best(Kind::SlowReceiver, way);
        let change = outcome.map(|outcome| outcome.change_by_sleep());
        demands.push(Demand {
            what: format!("Slow receiver, {}: change of the others", way.title()),
            wanted: format!("< {:.0} %", SLOW_CHANGE_MAX * 100.0),
            found: change.map(|change| format!("{:+.1} %", change * 100.0)),
            is_met: change.map(|change| change.abs() < SLOW_CHANGE_MAX),
            is_speed: true,
        });
        let held = outcome.map(|outcome| outcome.sender_growth_bytes());
        demands.push(Demand {
            what: format!("Slow receiver, {}: sender's memory, GiB", way.title()),
            wanted: format!("< {:.2}", gibibytes(MOTION_MEMORY_BYTES_MAX)),
            found: held.map(|bytes| format!("{:.3}", gibibytes(bytes))),
            is_met: held.map(|bytes| bytes < MOTION_MEMORY_BYTES_MAX),
            is_speed: false,
        });
    }
    demands
}

fn at_least(what: String, least: f64, found: Option<f64>) -> Demand {
    Demand {
        what,
        wanted: format!(">= {least:.2}"),
        found: found.map(|found| format!("{found:.2}")),
        is_met: found.map(|found| found >= least),
        is_speed: true,
    }
}

/// Only Flight's total has a bound.
fn tpch(report: &Report) -> Vec<Demand> {
    let totals = report.tpch.as_ref().and_then(|tpch| tpch.as_ref().ok()).map(|tpch| &tpch.totals_s);
    let demand = |number: usize| {
        let ratio = totals.map(|totals| totals[number] / totals[0]);
        let is_bound = ENGINES[number].starts_with("damson-flight");
        Demand {
            what: format!("TPC-H SF1, {} / in one process", ENGINES[number]),
            wanted: if is_bound { format!("<= {TPCH_RATIO_MAX:.2}") } else { "-".into() },
            found: ratio.map(|ratio| format!("{ratio:.2}")),
            is_met: ratio.filter(|_| is_bound).map(|ratio| ratio <= TPCH_RATIO_MAX),
            is_speed: true,
        }
    };
    (1..ENGINES.len()).map(demand).collect()
}
