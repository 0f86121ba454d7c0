//! SHOW and ANALYZE.

use super::history::{BUCKET_MAP, SNAPSHOT_RETENTION};
use super::{Outcome, Session};
use crate::catalog::CatalogState;
use crate::error::{SqlResult, of_datafusion};
use crate::sql::{RelationName, ShowTarget};
use crate::transaction::Transaction;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use std::sync::Arc;

pub(super) fn schema(target: &ShowTarget) -> SchemaRef {
    let columns: &[&str] = match target {
        ShowTarget::All => &["name", "setting", "description"],
        ShowTarget::Name(name) => &[name],
    };
    Arc::new(Schema::new(columns.iter().map(|c| Field::new(*c, DataType::Utf8, false)).collect::<Vec<_>>()))
}

impl Session {
    pub(super) fn show(&self, target: &ShowTarget, transaction: &Transaction) -> SqlResult<Outcome> {
        let state = transaction.state();
        let settings = self.settings.lock();
        let now = |(name, value, about): (&'static str, String, &'static str)| match name {
            "transaction_isolation" => (name, transaction.isolation.name().to_owned(), about),
            "transaction_read_only" => (name, if transaction.read_only { "on" } else { "off" }.to_owned(), about),
            "transaction_snapshot" => (name, state.snapshot.0.to_string(), about),
            "session_authorization" if value.is_empty() => (name, self.role_name(self.login, &state).to_owned(), about),
            SNAPSHOT_RETENTION => (name, self.snapshot_retention(), about),
            BUCKET_MAP => (name, state.current_map().owners_text(), about),
            _ => (name, value, about),
        };
        let columns: Vec<Vec<String>> = match target {
            ShowTarget::Name(name) => vec![vec![now(settings.get(name)?).1]],
            ShowTarget::All => {
                let all: Vec<_> = settings.all().map(now).collect();
                vec![
                    all.iter().map(|s| s.0.to_owned()).collect(),
                    all.iter().map(|s| s.1.clone()).collect(),
                    all.iter().map(|s| s.2.to_owned()).collect(),
                ]
            }
        };
        text_rows(schema(target), columns)
    }

    /// Statistics are collected while rows are written; there is nothing left to do but to check the names.
    pub(super) fn analyze(&self, table: Option<&RelationName>, catalog: &CatalogState) -> SqlResult<Outcome> {
        match table {
            Some(table) => {
                self.table(catalog, table)?.statistics();
            }
            None => catalog.tables().for_each(|entry| {
                entry.statistics();
            }),
        }
        Ok(Outcome::command("ANALYZE"))
    }
}

/// Columns of text as a result.
pub(super) fn text_rows(schema: SchemaRef, columns: Vec<Vec<String>>) -> SqlResult<Outcome> {
    let arrays = columns.into_iter().map(|c| Arc::new(StringArray::from(c)) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
        .map_err(|e| of_datafusion(DataFusionError::ArrowError(Box::new(e), None)))?;
    let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream::iter([Ok(batch)]));
    Ok(Outcome::Rows { schema, stream: Box::pin(rows) })
}
