//! Bulk ingest: rows that a client sends, and the table that is made for them.

use super::{Outcome, Session};
use crate::error::{SqlError, SqlResult};
use crate::sql::{
    ColumnSpec, CreateTable, Drop, IfAbsent, IfExists, Ingest, Insert, InsertSource, LayoutOptions, Name, RelationName,
    Statement, stored_type_of,
};
use crate::transaction::Transaction;
use datafusion::arrow::datatypes::{FieldRef, Schema};
use futures::FutureExt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// There is no text that an error could point into.
const NOWHERE: usize = 1;

impl Session {
    /// Runs an ingest as one statement, which others see as `text`, as [`Session::execute_until`] does. Columns are the table's by their names, those
    /// that are not sent get their defaults. The rows are read as fast as segments take them.
    ///
    /// # Errors
    /// Those of CREATE TABLE, DROP TABLE and INSERT, and what the rows end with. Then nothing has changed.
    pub(crate) async fn ingest_until(
        self: &Arc<Self>,
        ingest: Ingest,
        text: &str,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let statement = Ok(Statement::Ingest(Box::new(ingest)));
        let outcome = self.run_until(statement, text, vec![], cancel).boxed().await;
        outcome.map_err(|error| SqlError { position: None, ..error })
    }

    pub(super) async fn ingest(
        self: &Arc<Self>,
        ingest: &Ingest,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let Ingest { table, if_absent, if_exists, overriding, rows } = ingest;
        let schema = self.search_schema();
        let exists = transaction.state().relation(table.schema_or(&schema), &table.name).is_some();
        let mut told = vec![];
        if exists && *if_exists == IfExists::Replace {
            self.drop_for(table, transaction, &cancel).await?;
        }
        let makes = match exists {
            true => *if_exists != IfExists::Append,
            false => *if_absent == IfAbsent::Create,
        };
        if makes {
            // Of what is there already the definition says so.
            let create = Statement::CreateTable(definition(table, rows.schema())?);
            if let Outcome::Command { notices, .. } = self.define(&create, transaction, &cancel).boxed().await? {
                told = notices;
            }
        }
        let insert = Insert {
            table: table.clone(),
            alias: None,
            columns: rows.schema().fields().iter().map(name).collect(),
            overriding: *overriding,
            source: InsertSource::Sent(rows.clone()),
            on_conflict: None,
            returning: None,
        };
        match self.insert(&insert, vec![], transaction, cancel).boxed().await? {
            Outcome::Command { tag, rows, notices } => {
                told.extend(notices);
                Ok(Outcome::Command { tag, rows, notices: told })
            }
            rows @ Outcome::Rows { .. } => Ok(rows),
        }
    }

    async fn drop_for(
        self: &Arc<Self>,
        table: &RelationName,
        transaction: &mut Transaction,
        cancel: &CancellationToken,
    ) -> SqlResult<()> {
        // Somebody else may have dropped it while this waited.
        let drop = Statement::DropTable(Drop { names: vec![table.clone()], if_exists: true, cascade: false });
        self.lock_defined(&drop, transaction, cancel).await?;
        self.define(&drop, transaction, cancel).boxed().await.map(|_| ())
    }
}

fn name(field: &FieldRef) -> Name {
    Name { text: field.name().clone(), position: NOWHERE }
}

/// A table for rows: every column may be NULL, whatever the client promises, as with CREATE TABLE AS.
///
/// # Errors
/// 0A000 for a type that is not stored.
fn definition(table: &RelationName, rows: &Arc<Schema>) -> SqlResult<CreateTable> {
    let column = |field: &FieldRef| {
        let sql_type = stored_type_of(field.data_type()).map_err(|error| {
            let message = format!("column \"{}\": {}", field.name(), error.message);
            SqlError { message, ..error }
        })?;
        Ok(ColumnSpec { name: name(field), sql_type, nullable: true, default: None, identity: None })
    };
    Ok(CreateTable {
        table: table.clone(),
        if_not_exists: false,
        columns: rows.fields().iter().map(column).collect::<SqlResult<_>>()?,
        like: None,
        keys: vec![],
        checks: vec![],
        foreign_key: false,
        distribution: None,
        compression: None,
        layout: LayoutOptions::default(),
        tablespace: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SqlState;
    use datafusion::arrow::datatypes::{DataType, Field};

    #[test]
    fn a_table_has_the_types_that_hold_the_rows() {
        let table = RelationName { schema: None, name: "T".into(), position: NOWHERE };
        let fields = [("A", DataType::UInt32), ("b", DataType::LargeUtf8), ("c", DataType::Null)];
        let fields: Vec<_> = fields.into_iter().map(|(name, t)| Field::new(name, t, false)).collect();
        let made = definition(&table, &Arc::new(Schema::new(fields))).unwrap();
        let columns: Vec<_> = made.columns.iter().map(|c| (c.name.text.as_str(), c.sql_type.name.as_str())).collect();
        assert_eq!(columns, [("A", "bigint"), ("b", "text"), ("c", "text")]);
        assert!(made.columns.iter().all(|column| column.nullable));
        let record = DataType::Struct(vec![Field::new("x", DataType::Int32, true)].into());
        let error = definition(&table, &Arc::new(Schema::new(vec![Field::new("r", record, true)]))).unwrap_err();
        assert_eq!(error.state, SqlState::FEATURE_NOT_SUPPORTED);
        assert!(error.message.starts_with("column \"r\""), "{}", error.message);
    }
}
