//! `SELECT gp_truncate_error_log('t')`.

use super::backup::until;
use super::{Outcome, Session};
use crate::catalog::CatalogState;
use crate::ddl::find_error_log;
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::sql::{self, RelationName, call_arguments, name_in_quotes, relation_in_text};
use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use sqlparser::ast as syntax;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const FUNCTION: &str = "gp_truncate_error_log";

/// A query whose only item is a call of the function, without FROM.
pub(super) struct TruncateErrorLog {
    /// None: all tables.
    table: Option<RelationName>,
    column: String,
}

impl TruncateErrorLog {
    /// None for a query that is none.
    ///
    /// # Errors
    /// 22023 for what names no table.
    pub(super) fn of(query: &syntax::Statement) -> SqlResult<Option<TruncateErrorLog>> {
        let Some((call, _, column)) = only_call(query, &[FUNCTION]) else { return Ok(None) };
        let name = call_arguments(call).as_deref().and_then(|arguments| match arguments {
            [argument] => name_in_quotes(argument),
            _ => None,
        });
        let Some(name) = name else {
            let message = format!("{FUNCTION} takes the name of a table, in quotes, or '*': all of the database");
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message));
        };
        // Greenplum's second one is of all databases: here there is one.
        let table = if ["*", "*.*"].contains(&name.as_str()) { None } else { Some(relation_in_text(&name)?) };
        Ok(Some(TruncateErrorLog { table, column }))
    }

    /// None: all tables.
    pub(super) fn table(&self) -> Option<&RelationName> {
        self.table.as_ref()
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(&self.column, DataType::Boolean, false)]))
    }
}

/// The call of one of the functions that is all of a query, the function's name, and what its column is called.
pub(super) fn only_call<'a>(
    query: &'a syntax::Statement,
    functions: &[&'static str],
) -> Option<(&'a syntax::Function, &'static str, String)> {
    let syntax::Statement::Query(query) = query else { return None };
    let syntax::SetExpr::Select(select) = query.body.as_ref() else { return None };
    let (call, alias) = match select.projection.as_slice() {
        [syntax::SelectItem::UnnamedExpr(syntax::Expr::Function(call))] => (call, None),
        [syntax::SelectItem::ExprWithAlias { expr: syntax::Expr::Function(call), alias }] => {
            (call, Some(sql::fold(alias)))
        }
        _ => return None,
    };
    let name: Vec<String> = call.name.0.iter().map(|part| part.as_ident().map(sql::fold)).collect::<Option<_>>()?;
    let name = match name.as_slice() {
        [name] => name,
        [schema, name] if schema == "pg_catalog" => name,
        _ => return None,
    };
    let function = functions.iter().find(|function| *function == name)?;
    let column = alias.unwrap_or_else(|| (*function).to_owned());
    (select.from.is_empty() && select.selection.is_none()).then_some((call, *function, column))
}

impl Session {
    /// Forgets what is in the logs, at once and for everybody: it is not undone with the transaction.
    pub(super) async fn truncate_error_log(
        &self,
        truncate: &TruncateErrorLog,
        state: &CatalogState,
        read_only: bool,
        cancel: &CancellationToken,
    ) -> SqlResult<Outcome> {
        if read_only {
            let message = format!("cannot execute {FUNCTION}() in a read-only transaction");
            return Err(SqlError::new(SqlState::READ_ONLY_TRANSACTION, message));
        }
        let table = match &truncate.table {
            None => None,
            Some(name) => {
                let found = find_error_log(state, name, &self.search_schema());
                // The position would be that of the name in its quotes.
                Some(found.map_err(|error| SqlError { position: None, ..error })?.0)
            }
        };
        until(cancel, self.master.files.truncate_error_logs(table.as_ref().map(std::slice::from_ref))).await?;
        let schema = truncate.schema();
        let done: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![done]).map_err(|e| of_datafusion(e.into()))?;
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream::iter([Ok(batch)]));
        Ok(Outcome::Rows { schema, stream: Box::pin(rows) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> SqlResult<Option<TruncateErrorLog>> {
        let sql::Statement::Query(query) = sql::parse(text).unwrap() else { panic!("{text} is a query") };
        TruncateErrorLog::of(&query)
    }

    #[test]
    fn the_call_stands_alone() {
        let table = |text: &str| of(text).unwrap().unwrap().table.map(|table| (table.schema, table.name));
        assert_eq!(table("select GP_Truncate_Error_Log('s.\"T\"')"), Some((Some("s".into()), "T".into())));
        assert_eq!(table("select pg_catalog.gp_truncate_error_log('t'::regclass)"), Some((None, "t".into())));
        assert_eq!(table("select gp_truncate_error_log('*')"), None);
        assert_eq!(of("select gp_truncate_error_log('t') as done").unwrap().unwrap().column, "done");
        for text in ["select 1", "select gp_truncate_error_log('t') from t", "select gp_truncate_error_log('t'), 1"] {
            assert!(of(text).unwrap().is_none(), "{text}");
        }
        for text in ["select gp_truncate_error_log(t)", "select gp_truncate_error_log()"] {
            assert_eq!(of(text).err().map(|error| error.state), Some(SqlState::INVALID_PARAMETER), "{text}");
        }
    }
}
