//! Pass 7: a slice whose every row is on one segment runs there only.

use super::distribute::Tables;
use arrow::array::ArrayRef;
use damson_cluster::{ContentId, Distribution, placement};
use damson_motion::{CopyReadExec, FileScanExec, HashFilterExec, MotionExec, TableScanExec, TableWriteExec};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// The segment that has all the rows of a slice: every hashed table in it is filtered by its whole key to one value,
/// and nothing comes from elsewhere.
pub(crate) fn pinned_content(slice: &Arc<dyn ExecutionPlan>, tables: &dyn Tables) -> Option<ContentId> {
    let mut pinned = None;
    is_pinned(slice, tables, &mut pinned).then_some(pinned).flatten()
}

fn is_pinned(plan: &Arc<dyn ExecutionPlan>, tables: &dyn Tables, pinned: &mut Option<ContentId>) -> bool {
    if let Some(filter) = plan.downcast_ref::<FilterExec>()
        && let Some(scan) = filter.input().downcast_ref::<TableScanExec>()
    {
        if is_replicated(scan, tables) {
            return is_copy_pinned(scan, pinned);
        }
        let Some(content) = owner(filter.predicate(), scan, tables) else { return false };
        return *pinned.get_or_insert(content) == content;
    }
    if let Some(scan) = plan.downcast_ref::<TableScanExec>() {
        return is_replicated(scan, tables) && is_copy_pinned(scan, pinned);
    }
    let elsewhere = plan.downcast_ref::<MotionExec>().is_some()
        || plan.downcast_ref::<HashFilterExec>().is_some()
        || plan.downcast_ref::<CopyReadExec>().is_some()
        || plan.downcast_ref::<FileScanExec>().is_some()
        || plan.downcast_ref::<TableWriteExec>().is_some();
    !elsewhere && plan.children().into_iter().all(|child| is_pinned(child, tables, pinned))
}

fn is_replicated(scan: &TableScanExec, tables: &dyn Tables) -> bool {
    tables.scanned(scan.spec()).is_some_and(|table| table.distribution == Distribution::Replicated)
}

/// Any copy will do, unless one is named.
fn is_copy_pinned(scan: &TableScanExec, pinned: &mut Option<ContentId>) -> bool {
    scan.spec().only.is_none_or(|only| *pinned.get_or_insert(only) == only)
}

/// The owner of the one key value that the predicate lets through.
fn owner(predicate: &Arc<dyn PhysicalExpr>, scan: &TableScanExec, tables: &dyn Tables) -> Option<ContentId> {
    let table = tables.scanned(scan.spec())?;
    let Distribution::Hashed(key) = &table.distribution else { return None };
    // As the table is laid out, which may be another way than new tables are.
    let map = tables.map(table.map_version)?;
    let equalities: Vec<(usize, ScalarValue)> = split_conjunction(predicate).into_iter().filter_map(equality).collect();
    let value_of = |&column: &usize| -> Option<ArrayRef> {
        let position = scan.spec().projection.iter().position(|&p| p == column)?;
        let (_, value) = equalities.iter().find(|(c, _)| *c == position)?;
        let same_family =
            placement::hash_family(&value.data_type()) == placement::hash_family(&table.columns[column].data_type);
        if value.is_null() || !same_family { None } else { value.to_array().ok() }
    };
    let columns = key.iter().map(value_of).collect::<Option<Vec<_>>>()?;
    let mut hashes = vec![];
    placement::hash_rows(&columns, &mut hashes).ok()?;
    Some(map.owner(placement::bucket_of(hashes[0])))
}

/// `column = constant`, either way round.
fn equality(conjunct: &Arc<dyn PhysicalExpr>) -> Option<(usize, ScalarValue)> {
    let binary = conjunct.downcast_ref::<BinaryExpr>()?;
    if *binary.op() != Operator::Eq {
        return None;
    }
    let pair = |column: &Arc<dyn PhysicalExpr>, value: &Arc<dyn PhysicalExpr>| {
        let column = column.downcast_ref::<Column>()?.index();
        Some((column, value.downcast_ref::<Literal>()?.value().clone()))
    };
    pair(binary.left(), binary.right()).or_else(|| pair(binary.right(), binary.left()))
}
