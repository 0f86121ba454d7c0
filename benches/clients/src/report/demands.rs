//! What is demanded, and whether it holds.

use super::Report;
use crate::fetch;
use crate::latency::{Statement, WAYS};
use crate::limits::{FLIGHT_RATIO_MIN, LOOKUP_P50_MAX};

/// One demand.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    pub what: String,
    pub wanted: String,
    /// None where it was not measured, as the next.
    pub found: Option<String>,
    pub is_met: Option<bool>,
}

/// All of them, in the report's order.
pub fn of(report: &Report) -> Vec<Demand> {
    let flight = report.best_rate(fetch::Way::is_flight);
    let postgres = report.best_rate(fetch::Way::is_postgres);
    let ratio = flight.zip(postgres).map(|(flight, postgres)| flight / postgres);
    let mut demands = vec![Demand {
        what: "Flight SQL's rate / that of the faster client of the PostgreSQL protocol".into(),
        wanted: format!(">= {FLIGHT_RATIO_MIN:.1}"),
        found: ratio.map(|ratio| format!("{ratio:.1}")),
        is_met: ratio.map(|ratio| ratio >= FLIGHT_RATIO_MIN),
    }];
    for way in WAYS {
        let measured = report.point(Statement::Lookup, way, 1);
        let p50 = measured.and_then(|measured| measured.latency.as_ref().ok()).map(|latency| latency.p50);
        demands.push(Demand {
            what: format!("lookup at 1 connection, {}: p50, ms", way.title()),
            wanted: format!("< {}", LOOKUP_P50_MAX.as_millis()),
            found: p50.map(|p50| format!("{:.2}", p50.as_secs_f64() * 1e3)),
            is_met: p50.map(|p50| p50 < LOOKUP_P50_MAX),
        });
    }
    demands
}
