//! Which of a file's statistics go to the segments with it. There, a scan compares them with its filters before it opens a file, as it does
//! with those of row groups: the filters that joins make while they run are among them, which the master does not have.

use damson_cluster::{ColumnStats, FileEntry, TableDef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use std::collections::HashSet;
use std::sync::Arc;

/// Names of the columns that a query's filters are on: those of WHERE, the keys of joins, and those of a sort with a limit. A column that
/// has another name in between is missed; then its files are opened.
pub(super) struct FilteredColumns {
    names: HashSet<String>,
}

impl FilteredColumns {
    pub(super) fn of<'a>(slices: impl Iterator<Item = &'a Arc<dyn ExecutionPlan>>) -> Self {
        let mut filtered = FilteredColumns { names: HashSet::new() };
        slices.for_each(|plan| filtered.visit(plan));
        filtered
    }

    fn visit(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            self.note(filter.predicate());
        } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            for (left, right) in join.on() {
                self.note(left);
                self.note(right);
            }
        } else if let Some(sort) = plan.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_some()) {
            sort.expr().iter().for_each(|key| self.note(&key.expr));
        }
        plan.children().into_iter().for_each(|child| self.visit(child));
    }

    fn note(&mut self, expression: &Arc<dyn PhysicalExpr>) {
        self.names.extend(collect_columns(expression).into_iter().map(|column| column.name().to_owned()));
    }

    /// Those of a table.
    pub(super) fn positions(&self, def: &TableDef) -> Known {
        let is_filtered = def.columns.iter().map(|column| self.names.contains(&column.name));
        let mut is_filtered: Vec<bool> = is_filtered.collect();
        let last = is_filtered.iter().rposition(|is_filtered| *is_filtered);
        is_filtered.truncate(last.map_or(0, |last| last + 1));
        Known { is_filtered }
    }
}

/// The columns of a table whose statistics are sent.
pub(super) struct Known {
    /// By position; those after the last are not.
    is_filtered: Vec<bool>,
}

impl Known {
    /// The file as a segment is told of it: without sketches, which only the planner needs.
    pub(super) fn entry(&self, file: &FileEntry) -> FileEntry {
        let column = |(column, is_filtered): (&ColumnStats, &bool)| {
            if *is_filtered { column.bounds() } else { ColumnStats::UNKNOWN }
        };
        FileEntry {
            table: file.table,
            content: file.content,
            path: file.path.clone(),
            rows: file.rows,
            bytes: file.bytes,
            checksum: file.checksum,
            buckets: file.buckets,
            columns: file.columns.iter().zip(&self.is_filtered).map(column).collect(),
            deletes: file.deletes.clone(),
            created: file.created,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{
        ColumnDef, Compression, ContentId, Distribution, MapVersion, SnapshotId, StatValue, TableId, TableLayout,
    };
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{binary, col, lit};
    use datafusion::physical_plan::empty::EmptyExec;

    #[test]
    fn columns_of_filters_keep_their_bounds() {
        let names = ["a", "b", "c"];
        let column = |name: &&str| ColumnDef {
            name: (*name).into(),
            sql_type: "bigint".into(),
            data_type: DataType::Int64,
            nullable: true,
            default: None,
            identity: None,
        };
        let def = TableDef {
            id: TableId(1),
            schema: "public".into(),
            name: "t".into(),
            columns: names.iter().map(column).collect(),
            distribution: Distribution::Randomly,
            map_version: MapVersion(1),
            keys: vec![],
            checks: vec![],
            compression: Compression::None,
            layout: TableLayout::default(),
            tablespace: None,
        };
        let stats = |value| ColumnStats {
            nulls: 1,
            min: Some(StatValue::Int(value)),
            max: Some(StatValue::Int(value)),
            value_bytes: 8,
            distinct_sketch: vec![1; 16],
        };
        let file = FileEntry {
            table: TableId(1),
            content: ContentId(0),
            path: "f".into(),
            rows: 2,
            bytes: 3,
            checksum: 4,
            buckets: Some((5, 6)),
            columns: vec![stats(1), stats(2), stats(3)],
            deletes: None,
            created: SnapshotId(7),
        };
        let schema = Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Int64, true)).to_vec()));
        let predicate = binary(col("b", &schema).unwrap(), Operator::Gt, lit(1i64), &schema).unwrap();
        let scan = Arc::new(EmptyExec::new(Arc::clone(&schema)));
        let plan: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(predicate, scan).unwrap());
        let sent = FilteredColumns::of([&plan].into_iter()).positions(&def).entry(&file);
        assert_eq!(sent.columns, [ColumnStats::UNKNOWN, stats(2).bounds()]);
        assert_eq!(FileEntry { columns: file.columns.clone(), ..sent }, file);
        let unfiltered: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(schema));
        assert!(FilteredColumns::of([&unfiltered].into_iter()).positions(&def).entry(&file).columns.is_empty());
    }
}
