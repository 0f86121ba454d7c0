//! How many rows a relation has, how wide they are, and where they lie.

use super::selectivity::{column_of, number_of, selectivity};
use crate::engine::{DamsonTable, FileTable};
use damson_cluster::Distribution;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, TableScan};
use std::collections::HashMap;

/// Rows of a relation about which nothing is known.
const UNKNOWN_ROWS: f64 = 1000.0;
/// Bytes of a text whose length is unknown.
const TEXT_BYTES: f64 = 24.0;

/// A relation as the enumeration sees it.
#[derive(Clone, Debug)]
pub(super) struct RelationEstimate {
    pub rows: f64,
    /// Bytes of one row.
    pub width: f64,
    pub columns: HashMap<Column, ColumnEstimate>,
    pub lies: Lies,
    /// Segments of the cluster, as far as a table tells.
    pub segments: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnEstimate {
    pub distinct: f64,
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// Where a relation's rows are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Lies {
    Everywhere,
    Hashed(Vec<Column>),
    Somewhere,
}

/// Estimates any plan; what is below is estimated first.
pub(super) fn estimate(plan: &LogicalPlan) -> RelationEstimate {
    let mut estimate = match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan),
        LogicalPlan::Filter(filter) => {
            let mut input = estimate(&filter.input);
            let share = selectivity(&filter.predicate, &input);
            scale(&mut input, share);
            input
        }
        LogicalPlan::Projection(projection) => renamed(&estimate(&projection.input), plan, &projection.expr),
        LogicalPlan::SubqueryAlias(alias) => {
            let input = estimate(&alias.input);
            let from = alias.input.schema().columns();
            let names: HashMap<Column, Column> = from.into_iter().zip(plan.schema().columns()).collect();
            rename(&input, &names)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let input = estimate(&aggregate.input);
            let groups = aggregate.group_expr.iter().map(|e| distinct_of(e, &input)).product::<f64>();
            let rows = groups.min(input.rows).max(1.0);
            let mut output = renamed(&input, plan, &aggregate.group_expr);
            output.rows = rows;
            output.columns.values_mut().for_each(|c| c.distinct = c.distinct.min(rows));
            output
        }
        LogicalPlan::Distinct(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_) => match plan.inputs().first() {
            Some(input) => estimate(input),
            None => unknown(),
        },
        LogicalPlan::Limit(limit) => {
            let mut input = estimate(&limit.input);
            if let Ok(datafusion::logical_expr::FetchType::Literal(Some(fetch))) = limit.get_fetch_type() {
                input.rows = input.rows.min(fetch as f64);
            }
            input.lies = Lies::Somewhere;
            input
        }
        LogicalPlan::Join(join) => {
            let (left, right) = (estimate(&join.left), estimate(&join.right));
            let keys = join.on.iter().map(|(l, r)| (distinct_of(l, &left), distinct_of(r, &right)));
            let matching = keys.fold(1.0, |share, (l, r)| share / l.max(r).max(1.0));
            let mut rows = left.rows * right.rows * matching;
            rows = match join.join_type {
                JoinType::Inner => rows,
                JoinType::Left | JoinType::LeftMark => rows.max(left.rows),
                JoinType::Right | JoinType::RightMark => rows.max(right.rows),
                JoinType::Full => rows.max(left.rows + right.rows),
                JoinType::LeftSemi | JoinType::LeftAnti => left.rows * 0.5,
                JoinType::RightSemi | JoinType::RightAnti => right.rows * 0.5,
            };
            let segments = left.segments.max(right.segments);
            let mut columns = left.columns;
            columns.extend(right.columns);
            RelationEstimate { rows, width: 0.0, columns, lies: left.lies, segments }
        }
        LogicalPlan::Union(union) => {
            let rows = union.inputs.iter().map(|input| estimate(input).rows).sum();
            RelationEstimate { rows, ..unknown() }
        }
        LogicalPlan::EmptyRelation(_) => RelationEstimate { rows: 1.0, lies: Lies::Everywhere, ..unknown() },
        LogicalPlan::Values(values) => {
            RelationEstimate { rows: values.values.len() as f64, lies: Lies::Everywhere, ..unknown() }
        }
        _ => unknown(),
    };
    estimate.rows = estimate.rows.max(1.0);
    estimate.width = width_of(plan);
    estimate
}

fn unknown() -> RelationEstimate {
    RelationEstimate {
        rows: UNKNOWN_ROWS,
        width: TEXT_BYTES,
        columns: HashMap::new(),
        lies: Lies::Somewhere,
        segments: 1.0,
    }
}

/// Number of distinct values of an expression.
pub(super) fn distinct_of(expr: &Expr, relation: &RelationEstimate) -> f64 {
    match column_of(expr).and_then(|c| relation.columns.get(c)) {
        Some(column) => column.distinct.clamp(1.0, relation.rows.max(1.0)),
        None => (relation.rows * 0.1).max(1.0),
    }
}

/// Leaves a share of the rows. A column keeps the number of its values that such a sample of rows is expected to show.
pub(super) fn scale(relation: &mut RelationEstimate, share: f64) {
    let before = relation.rows;
    relation.rows = (before * share).max(1.0);
    for column in relation.columns.values_mut() {
        let per_value = before / column.distinct.max(1.0);
        let seen = 1.0 - (1.0 - share).powf(per_value.max(1.0));
        column.distinct = (column.distinct * seen).clamp(1.0, relation.rows);
    }
}

fn of_scan(scan: &TableScan) -> RelationEstimate {
    let Ok(provider) = source_as_provider(&scan.source) else { return unknown() };
    let Some(table) = provider.downcast_ref::<DamsonTable>() else {
        let rows = provider.statistics().and_then(|s| s.num_rows.get_value().copied());
        let rows = rows.map_or(UNKNOWN_ROWS, |r| r as f64);
        let lies = match provider.downcast_ref::<FileTable>() {
            Some(_) => Lies::Somewhere,
            None => Lies::Everywhere,
        };
        return RelationEstimate { rows, lies, ..unknown() };
    };
    let statistics = table.table_statistics();
    let rows = statistics.num_rows.get_value().map_or(UNKNOWN_ROWS, |&r| r as f64).max(1.0);
    let schema = scan.source.schema();
    let mut columns = HashMap::new();
    for column in scan.projected_schema.columns() {
        let Ok(index) = schema.index_of(&column.name) else { continue };
        let known = &statistics.column_statistics[index];
        let number = |v: &datafusion::common::stats::Precision<datafusion::scalar::ScalarValue>| {
            v.get_value().and_then(number_of)
        };
        let distinct = known.distinct_count.get_value().map_or(rows * 0.1, |&d| d as f64).max(1.0);
        columns
            .insert(column, ColumnEstimate { distinct, min: number(&known.min_value), max: number(&known.max_value) });
    }
    let def = &table.entry().def;
    let lies = match &def.distribution {
        Distribution::Replicated => Lies::Everywhere,
        Distribution::Randomly => Lies::Somewhere,
        Distribution::Hashed(key) => {
            let column = |&k: &usize| {
                let name = &def.columns[k].name;
                scan.projected_schema.columns().into_iter().find(|c| c.name == *name)
            };
            key.iter().map(column).collect::<Option<Vec<_>>>().map_or(Lies::Somewhere, Lies::Hashed)
        }
    };
    let mut estimate = RelationEstimate { rows, width: 0.0, columns, lies, segments: table.segments() as f64 };
    for filter in &scan.filters {
        let share = selectivity(filter, &estimate);
        scale(&mut estimate, share);
    }
    estimate
}

/// The estimate seen through `expressions`, which become the first columns of `plan`.
fn renamed(input: &RelationEstimate, plan: &LogicalPlan, expressions: &[Expr]) -> RelationEstimate {
    let outputs = plan.schema().columns();
    let named = expressions.iter().zip(outputs);
    let names: HashMap<Column, Column> = named
        .filter_map(|(expr, output)| {
            let expr = if let Expr::Alias(alias) = expr { alias.expr.as_ref() } else { expr };
            if let Expr::Column(column) = expr { Some((column.clone(), output)) } else { None }
        })
        .collect();
    rename(input, &names)
}

fn rename(input: &RelationEstimate, names: &HashMap<Column, Column>) -> RelationEstimate {
    let columns = input.columns.iter().filter_map(|(c, e)| Some((names.get(c)?.clone(), *e))).collect();
    let lies = match &input.lies {
        Lies::Hashed(key) => {
            let key: Option<Vec<Column>> = key.iter().map(|c| names.get(c).cloned()).collect();
            key.map_or(Lies::Somewhere, Lies::Hashed)
        }
        other => other.clone(),
    };
    RelationEstimate { rows: input.rows, width: input.width, columns, lies, segments: input.segments }
}

fn width_of(plan: &LogicalPlan) -> f64 {
    let bytes = |data_type: &DataType| data_type.primitive_width().map_or(TEXT_BYTES, |w| w as f64);
    plan.schema().fields().iter().map(|f| bytes(f.data_type())).sum::<f64>().max(1.0)
}
