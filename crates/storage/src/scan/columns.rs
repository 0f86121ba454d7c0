//! The match of a file's columns with the table's: by position, because columns are renamed and appended but never moved.

use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{DefaultPhysicalExprAdapter, PhysicalExprAdapter, PhysicalExprAdapterFactory};
use std::sync::Arc;

/// Rewrites a scan's projection and filters from the table's columns to a file's. A column beyond the file's last was
/// added later and reads as NULL.
#[derive(Debug)]
pub(crate) struct ByPosition;

impl PhysicalExprAdapterFactory for ByPosition {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        // DataFusion's adapter matches by name: give it the table under the file's names.
        let rename = |(i, field): (usize, &FieldRef)| match file.fields().get(i) {
            Some(stored) => Arc::new(field.as_ref().clone().with_name(stored.name())),
            // A name that no file column can have: SQL identifiers hold no NUL.
            None => Arc::new(field.as_ref().clone().with_name(format!("\0{i}")).with_nullable(true)),
        };
        let renamed: Vec<FieldRef> = table.fields().iter().enumerate().map(rename).collect();
        let renamed = Arc::new(Schema::new(renamed));
        let inner = DefaultPhysicalExprAdapter::new(Arc::clone(&renamed), file);
        Ok(Arc::new(Renamed { table, renamed, inner }))
    }
}

#[derive(Debug)]
struct Renamed {
    table: SchemaRef,
    renamed: SchemaRef,
    inner: DefaultPhysicalExprAdapter,
}

impl PhysicalExprAdapter for Renamed {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let expr = expr
            .transform(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
                // By name: an index can be stale after the planner's rewrites, and a table's names are unique.
                let position = self.table.index_of(column.name())?;
                let name = self.renamed.field(position).name();
                Ok(Transformed::yes(Arc::new(Column::new(name, position)) as _))
            })
            .data()?;
        self.inner.rewrite(expr)
    }
}
