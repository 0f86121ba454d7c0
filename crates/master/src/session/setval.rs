//! `SELECT setval('s', value [, is_called]) [FROM …]`.

use super::query::with_parameters;
use super::{Outcome, Session, ast};
use crate::catalog::{CatalogState, SequenceDef};
use crate::ddl::find_sequence;
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion, task_ended};
use crate::planner::Output;
use crate::sql::{
    self, RelationName, call_arguments, calls_sequence, name_in_quotes, not_a_name, relation_in_text, sequence_function,
};
use damson_cluster::SequencePosition;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, stream};
use sqlparser::ast as syntax;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A query whose only item is a call of setval.
pub(super) struct Setval {
    sequence: RelationName,
    /// The same query of the value and of whether it is called.
    pub arguments: syntax::Statement,
    column: String,
}

impl Setval {
    /// None for a query that is none.
    ///
    /// # Errors
    /// 0A000 for a sequence that is not named in quotes; 42883 for another number of arguments.
    pub(super) fn of(query: &syntax::Statement) -> SqlResult<Option<Setval>> {
        if calls_sequence(query) != Some("setval") {
            return Ok(None);
        }
        let mut arguments = query.clone();
        let Some(select) = ast::select_of(&mut arguments) else { return Ok(None) };
        let (call, column) = match select.projection.as_slice() {
            [syntax::SelectItem::UnnamedExpr(syntax::Expr::Function(call))] => (call, "setval".to_owned()),
            [syntax::SelectItem::ExprWithAlias { expr: syntax::Expr::Function(call), alias }] => {
                (call, sql::fold(alias))
            }
            _ => return Ok(None),
        };
        if sequence_function(call) != Some("setval") {
            return Ok(None);
        }
        let (name, value, is_called) = match call_arguments(call).as_deref() {
            Some([name, value]) => (*name, (*value).clone(), sql::parse_expression("true")?),
            Some([name, value, is_called]) => (*name, (*value).clone(), (*is_called).clone()),
            _ => return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "setval takes two or three arguments")),
        };
        let sequence = relation_in_text(&name_in_quotes(name).ok_or_else(|| not_a_name("setval"))?)?;
        let item = |expr: syntax::Expr, name: &str| syntax::SelectItem::ExprWithAlias {
            expr,
            alias: syntax::Ident::with_quote('"', name),
        };
        select.projection = vec![item(value, "value"), item(is_called, "is_called")];
        Ok(Some(Setval { sequence, arguments, column }))
    }

    pub(super) fn sequence(&self) -> &RelationName {
        &self.sequence
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(&self.column, DataType::Int64, true)]))
    }
}

impl Session {
    /// Sets the sequence for each row of the query, in their order. At once, and for everybody: it is not undone with the transaction.
    pub(super) async fn setval(
        self: &Arc<Self>,
        setval: &Setval,
        parameters: Vec<ScalarValue>,
        state: Arc<CatalogState>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let def = find_sequence(&state, &setval.sequence, &self.search_schema())
            // The position would be that of the name in its quotes.
            .map_err(|error| SqlError { position: None, ..error })?;
        let bound = with_parameters(self.bind(state, &setval.arguments, "").await?, parameters)?;
        let _admitted = self.admit_query(&bound, &cancel).await?;
        let bound = self.run_init_plans(bound, &cancel).await?;
        let table = self.plan(&bound, Output::Rows).await?;
        let mut rows = self.dispatch(&bound, &table, HashMap::new(), false, cancel).await?.stream;
        let mut set: Vec<Option<i64>> = vec![];
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(of_datafusion)?;
            for row in 0..batch.num_rows() {
                let (value, is_called) =
                    (argument(&batch, 0, row, &DataType::Int64)?, argument(&batch, 1, row, &DataType::Boolean)?);
                // As a function that is strict.
                let (ScalarValue::Int64(Some(last)), ScalarValue::Boolean(Some(is_called))) = (value, is_called) else {
                    set.push(None);
                    continue;
                };
                self.set_position(&def, SequencePosition { last, is_called }).await?;
                set.push(Some(last));
            }
        }
        let schema = setval.schema();
        let values: ArrayRef = Arc::new(Int64Array::from(set));
        let arrow = |error: ArrowError| of_datafusion(error.into());
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values]).map_err(arrow)?;
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream::iter([Ok(batch)]));
        Ok(Outcome::Rows { schema, stream: Box::pin(rows) })
    }

    async fn set_position(&self, def: &Arc<SequenceDef>, position: SequencePosition) -> SqlResult<()> {
        // What the transaction has altered may be rolled back; the position is not.
        let current = self.master.catalog.current();
        let counting = current.sequences().find(|other| other.id == def.id).map_or(&def.counting, |def| &def.counting);
        let (value, (min, max)) = (position.last, (counting.min, counting.max));
        if !(min..=max).contains(&value) {
            let message =
                format!("setval: value {value} is out of bounds for sequence \"{}\" ({min}..{max})", def.name);
            return Err(SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, message));
        }
        let (catalog, id) = (Arc::clone(&self.master.catalog), def.id);
        // It waits for the disk.
        let work = tokio::task::spawn_blocking(move || catalog.set_position(id, position));
        Ok(work.await.map_err(task_ended)??)
    }
}

fn argument(batch: &RecordBatch, column: usize, row: usize, data_type: &DataType) -> SqlResult<ScalarValue> {
    let value = ScalarValue::try_from_array(batch.column(column), row).map_err(of_datafusion)?;
    value.cast_to(data_type).map_err(of_datafusion)
}
