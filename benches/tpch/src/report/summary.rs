//! Ratios between engines.

use super::{EngineResult, QueryResult};
use crate::engine::EngineKind;
use serde::Serialize;

/// One engine against another: below 1, it is the faster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub engine: EngineKind,
    pub baseline: EngineKind,
    /// One a query; None where either failed.
    pub ratios: Vec<Option<f64>>,
    /// Ratio of the totals; None where either failed at a query.
    pub total: Option<f64>,
    /// Of the ratios that there are.
    pub geometric_mean: Option<f64>,
    /// The largest ratio and its query.
    pub worst: Option<(usize, f64)>,
}

/// Both ways to run Damson against DataFusion, as far as they ran.
pub fn comparisons(queries: &[usize], engines: &[EngineResult]) -> Vec<Comparison> {
    let Some(baseline) = engines.iter().find(|e| e.engine == EngineKind::Datafusion) else { return vec![] };
    engines.iter().filter(|e| e.engine.is_damson()).map(|engine| compare(queries, engine, baseline)).collect()
}

fn compare(queries: &[usize], engine: &EngineResult, baseline: &EngineResult) -> Comparison {
    let best = |of: &EngineResult, query| of.queries.iter().find(|q| q.query == query).and_then(QueryResult::best);
    let ratios: Vec<Option<f64>> =
        queries.iter().map(|&query| Some(best(engine, query)? / best(baseline, query)?)).collect();
    let found = queries.iter().zip(&ratios).filter_map(|(&query, ratio)| Some((query, (*ratio)?)));
    Comparison {
        engine: engine.engine,
        baseline: baseline.engine,
        total: engine.total().zip(baseline.total()).map(|(a, b)| a / b),
        geometric_mean: geometric_mean(ratios.iter().flatten().copied()),
        worst: found.max_by(|a, b| a.1.total_cmp(&b.1)),
        ratios,
    }
}

/// None of no values.
pub fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value.ln();
        count += 1;
    }
    (count > 0).then(|| (sum / f64::from(count)).exp())
}
