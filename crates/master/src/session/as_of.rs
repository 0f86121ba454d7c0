//! Tables as they were: `FROM t AS OF …`.
//!
//! Such a table is found in the catalog as of its snapshot, under the name of a database of its own: `"damson@17".public.t`. What it
//! is called in the statement stays, by an alias.

use super::Session;
use super::bind::external;
use crate::catalog::{AsOf, CatalogState};
use crate::engine::{StatementNames, past_catalog, write_out_constants};
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::sql::{self, DATABASE, Version};
use crate::sql::{walk, walk_mut};
use damson_cluster::SnapshotId;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::array::RecordBatchOptions;
use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::SessionState;
use datafusion::logical_expr::cast;
use datafusion::scalar::ScalarValue;
use sqlparser::ast::{self, Ident, ObjectName, TableAlias, TableFactor, TableVersion, Visitor, VisitorMut};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

impl Session {
    /// Puts the past states that the query names into `names`, and their names in the place of every AS OF.
    ///
    /// # Errors
    /// 72000 for a snapshot that is not kept; 22023, 42704, 22007 for what is none; 0A000 for what has no past.
    pub(super) async fn find_past(
        &self,
        names: &StatementNames,
        state: &SessionState,
        query: &mut ast::Statement,
    ) -> Result<(), DataFusionError> {
        let mut versions = Versions(vec![]);
        let _: ControlFlow<()> = walk(query, &mut versions);
        if versions.0.is_empty() {
            return Ok(());
        }
        let mut snapshots = VecDeque::with_capacity(versions.0.len());
        for version in versions.0 {
            let at = as_of(state, &version).map_err(external)?;
            let past = self.state_at(at).await.map_err(external)?;
            snapshots.push_back(past.snapshot);
            names.add_past(past);
        }
        let mut write =
            WritePast { snapshots, search_schema: names.search_schema(), segment_id: names.has_segment_id() };
        match walk_mut(query, &mut write) {
            ControlFlow::Break(error) => Err(external(error)),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// The catalog as it was.
    ///
    /// # Errors
    /// As [`Catalog::state_at`](crate::catalog::Catalog::state_at).
    pub(super) async fn state_at(&self, at: AsOf) -> SqlResult<Arc<CatalogState>> {
        self.master.files.in_catalog(move |catalog| catalog.state_at(&at)).await
    }
}

/// # Errors
/// 0A000 where a view's query reads the past: its snapshots are this cluster's, and go.
pub(super) fn refuse_past_in_view(query: &ast::Statement) -> SqlResult<()> {
    let mut versions = Versions(vec![]);
    let _: ControlFlow<()> = walk(query, &mut versions);
    if versions.0.is_empty() {
        return Ok(());
    }
    Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "AS OF in a view is not supported")
        .with_hint("Read the view as it was: FROM view AS OF ..."))
}

/// What the tables' versions say, in the order in which the tables are visited.
struct Versions(Vec<TableVersion>);

impl Visitor for Versions {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { version: Some(version), .. } = factor {
            self.0.push(version.clone());
        }
        ControlFlow::Continue(())
    }
}

/// Stops at a parameter or a subquery.
struct Constant;

impl Visitor for Constant {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Gives each table with a version its name in the past.
struct WritePast<'a> {
    snapshots: VecDeque<SnapshotId>,
    search_schema: &'a str,
    segment_id: bool,
}

impl VisitorMut for WritePast<'_> {
    type Break = SqlError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let TableFactor::Table { name, alias, version, args, .. } = factor else { return ControlFlow::Continue(()) };
        if version.take().is_none() {
            return ControlFlow::Continue(());
        }
        let Some(snapshot) = self.snapshots.pop_front() else {
            return ControlFlow::Break(crate::error::internal("a table's version was not found before"));
        };
        let parts: Option<Vec<Ident>> = name.0.iter().map(|part| part.as_ident().cloned()).collect();
        let (schema, table) = match parts.as_deref() {
            Some([table]) if args.is_none() => (Ident::with_quote('"', self.search_schema), table.clone()),
            Some([schema, table]) if args.is_none() => (schema.clone(), table.clone()),
            Some([database, schema, table]) if args.is_none() && sql::fold(database) == DATABASE => {
                (schema.clone(), table.clone())
            }
            _ => {
                let message = format!("AS OF of \"{name}\", which is no table of this database, is not supported");
                return ControlFlow::Break(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
        };
        if alias.is_none() {
            *alias = Some(TableAlias { explicit: true, name: table.clone(), columns: vec![], at: None });
        }
        *name = ObjectName::from(vec![Ident::with_quote('"', past_catalog(snapshot, self.segment_id)), schema, table]);
        ControlFlow::Continue(())
    }
}

fn as_of(state: &SessionState, version: &TableVersion) -> SqlResult<AsOf> {
    let expr = match version {
        TableVersion::ForSystemTimeAsOf(expr) => expr,
        _ => {
            let message = format!("{version} is not supported");
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                .with_hint("Write AS OF SNAPSHOT n, AS OF TIMESTAMP '...', or AS OF RESTORE POINT name."));
        }
    };
    as_of_expr(state, expr)
}

/// What an expression after `FOR SYSTEM_TIME AS OF` says.
///
/// # Errors
/// 22023, and those of the expression.
pub(super) fn as_of_expr(state: &SessionState, expr: &ast::Expr) -> SqlResult<AsOf> {
    match Version::of(expr) {
        Some(Version::Snapshot(snapshot)) => Ok(AsOf::Snapshot(SnapshotId(snapshot))),
        Some(Version::RestorePoint(name)) => Ok(AsOf::RestorePoint(name)),
        Some(Version::Time(expr)) => Ok(AsOf::Time(time_us(state, &expr)?)),
        None => Err(wrong("AS OF needs a snapshot's number, or a restore point's name")),
    }
}

fn wrong(message: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER, message)
        .with_hint("Write AS OF SNAPSHOT n, AS OF TIMESTAMP '...', or AS OF RESTORE POINT name.")
}

/// Microseconds since 1970 UTC.
fn time_us(state: &SessionState, expr: &ast::Expr) -> SqlResult<i64> {
    if walk(expr, &mut Constant).is_break() {
        let message = "a parameter or a subquery in AS OF is not supported";
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    let empty = DFSchema::empty();
    let time = state.create_logical_expr(&expr.to_string(), &empty).map_err(of_datafusion)?;
    let time = cast(time, DataType::Timestamp(TimeUnit::Microsecond, None));
    let time = write_out_constants(state, time).and_then(|time| state.create_physical_expr(time, &empty));
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options);
    let one_row = one_row.map_err(crate::error::internal)?;
    let value = time.and_then(|time| time.evaluate(&one_row)?.into_array(1)).map_err(of_datafusion)?;
    match ScalarValue::try_from_array(&value, 0).map_err(of_datafusion)? {
        ScalarValue::TimestampMicrosecond(Some(us), _) => Ok(us),
        _ => Err(wrong("AS OF needs a point in time, which is not NULL")),
    }
}
