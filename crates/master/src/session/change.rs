//! What INSERT, UPDATE, DELETE and MERGE have in common: plan with a writer on top, run to the end, give what was written to the
//! transaction, and the rows of RETURNING to the client.

use super::bind::Bound;
use super::query::{described_types, with_parameters};
use super::write::{Changed, Reports, Returned};
use super::{Outcome, Session};
use crate::error::{SqlResult, of_datafusion};
use crate::planner::{Output, WriteTarget};
use crate::transaction::Transaction;
use damson_cluster::TableDef;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A bound statement that changes the rows of one table.
pub(super) struct BoundChange {
    pub def: Arc<TableDef>,
    pub bound: Bound,
    pub target: WriteTarget,
    /// `INSERT 0`, before the count.
    pub tag: &'static str,
    /// Names of RETURNING's columns.
    pub returning: Option<Vec<String>>,
}

impl BoundChange {
    /// What its writers report.
    pub(super) fn reports(&self) -> Reports {
        match &self.target {
            WriteTarget::Modify { .. } => Reports::Modifications,
            WriteTarget::Table(_) | WriteTarget::Files { .. } => Reports::Files,
        }
    }

    /// Whether it was seen to that keys are unique.
    pub(super) fn is_unique(&self) -> bool {
        match &self.target {
            WriteTarget::Table(table) | WriteTarget::Modify { table, .. } => !table.spec.keys.is_empty(),
            WriteTarget::Files { .. } => false,
        }
    }
}

impl Session {
    /// Runs a change in a transaction. The caller has its place.
    pub(super) async fn run_change(
        self: &Arc<Self>,
        change: BoundChange,
        parameters: Vec<ScalarValue>,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let (reports, unique) = (change.reports(), change.is_unique());
        let BoundChange { def, bound, target, tag, returning } = change;
        let bound = self.run_init_plans(with_parameters(bound, parameters)?, &cancel).await?;
        let table = self.plan(&bound, Output::Write(target)).await?;
        let running = self.dispatch(&bound, &table, HashMap::new(), true, cancel.clone()).await?;
        let Changed { rows, commit, returned } = self.changed(&bound, running, &def, reports, unique).await?;
        self.add(transaction, &bound, commit, &cancel).await?;
        match returning {
            None => Ok(Outcome::changed(format!("{tag} {rows}"), rows)),
            Some(names) => Ok(of_rows(&names, returned)),
        }
    }

    /// Columns of RETURNING, none without, and the parameters' types.
    pub(super) fn describe_change(&self, change: &BoundChange) -> SqlResult<(SchemaRef, Vec<DataType>)> {
        let parameters = described_types(&change.bound.plan)?;
        let Some(names) = &change.returning else { return Ok((Arc::new(Schema::empty()), parameters)) };
        let state = &change.bound.state;
        let analyzed = state.analyzer().execute_and_check(change.bound.plan.clone(), state.config_options(), |_, _| {});
        // A parameter without a type stops the analyzer; the binder's schema is what is known then.
        let plan = match analyzed {
            Err(error) if parameters.is_empty() => return Err(of_datafusion(error)),
            Err(_) => change.bound.plan.clone(),
            Ok(plan) => plan,
        };
        let schema = plan.schema().as_arrow();
        let columns = schema.fields().iter().skip(schema.fields().len() - names.len());
        let fields = columns.zip(names).map(|(field, name)| field.as_ref().clone().with_name(name).with_nullable(true));
        Ok((Arc::new(Schema::new(fields.collect::<Vec<_>>())), parameters))
    }
}

/// The rows under the names that the client sees.
fn of_rows(names: &[String], returned: Returned) -> Outcome {
    let Returned { schema, batches, reservation } = returned;
    let fields = schema.fields().iter().zip(names).map(|(field, name)| field.as_ref().clone().with_name(name));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let named = Arc::clone(&schema);
    let rows = futures::stream::iter(batches).map(move |batch| {
        // The rows are here until the client has taken them all.
        let _held = &reservation;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&named), batch.columns().to_vec(), &options)?)
    });
    let stream = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), rows));
    Outcome::Rows { schema, stream }
}
