//! `gp_read_error_log('t')` in FROM.

use super::bind::external;
use super::privileges::check_read;
use crate::catalog::{CatalogState, RoleId};
use crate::ddl::find_error_log;
use crate::dispatch::FileService;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::relation_in_text;
use damson_cluster::{BadRow, ContentId, TableId, bad_row_batch, bad_row_schema};
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;

/// What the function is called.
pub(super) const READ_ERROR_LOG: &str = "gp_read_error_log";

/// Where the table's name stands in the result.
const RELNAME: usize = 1;

/// The function, as one statement calls it: the table is of its snapshot.
pub(super) struct ReadErrorLog {
    pub files: Arc<FileService>,
    pub state: Arc<CatalogState>,
    pub search_schema: String,
    /// Whose rights to read count; None: a superuser's.
    pub reader: Option<RoleId>,
}

impl fmt::Debug for ReadErrorLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadErrorLog").field("snapshot", &self.state.snapshot).finish_non_exhaustive()
    }
}

impl TableFunctionImpl for ReadErrorLog {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let (table, name) = self.table(args.exprs()).map_err(external)?;
        let log = Log { schema: schema(), files: Arc::clone(&self.files), table, name };
        Ok(Arc::new(StreamingTable::try_new(schema(), vec![Arc::new(log)])?))
    }
}

impl ReadErrorLog {
    fn table(&self, arguments: &[Expr]) -> SqlResult<(TableId, String)> {
        let name = match arguments {
            [Expr::Literal(value, _)] => value.try_as_str().flatten(),
            _ => None,
        };
        let Some(name) = name else {
            let message = format!("{READ_ERROR_LOG} takes the name of a table, in quotes");
            let error = SqlError::new(SqlState::INVALID_PARAMETER, message);
            return Err(error.with_hint(format!("SELECT * FROM {READ_ERROR_LOG}('table').")));
        };
        let found = relation_in_text(name)
            .and_then(|name| Ok((find_error_log(&self.state, &name, &self.search_schema)?, name)));
        // The position would be that of the name in its quotes.
        let (log, name) = found.map_err(|error| SqlError { position: None, ..error })?;
        let relation = self.state.relation(name.schema_or(&self.search_schema), &name.name);
        if let (Some(role), Some(relation)) = (self.reader, relation) {
            check_read(&self.state, role, relation)?;
        }
        Ok(log)
    }
}

/// As of bad rows, and the table's name: Greenplum's columns, then ours.
fn schema() -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = bad_row_schema().fields().to_vec();
    fields.insert(RELNAME, Arc::new(Field::new("relname", DataType::Utf8View, false)));
    Arc::new(Schema::new(fields))
}

/// One table's log, read by the master.
struct Log {
    schema: SchemaRef,
    files: Arc<FileService>,
    table: TableId,
    name: String,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("table", &self.name).finish_non_exhaustive()
    }
}

impl PartitionStream for Log {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, name) = (Arc::clone(&self.schema), self.name.clone());
        let rows = Arc::clone(&self.files).read_error_log(self.table);
        let batches = rows.map(move |part| {
            let (content, rows) = part.map_err(external)?;
            batch(&schema, &name, &rows, content)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

fn batch(schema: &SchemaRef, table: &str, rows: &[BadRow], content: ContentId) -> Result<RecordBatch> {
    let mut columns = bad_row_batch(rows, content).columns().to_vec();
    let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.iter().map(|_| table)));
    columns.insert(RELNAME, names);
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::AsArray;

    #[test]
    fn a_row_names_its_table() {
        let names: Vec<String> = schema().fields().iter().map(|field| field.name().clone()).collect();
        let greenplums = ["cmdtime", "relname", "filename", "linenum", "bytenum", "errmsg", "rawdata"];
        assert_eq!(names[..7], greenplums);
        let row = BadRow {
            time_us: 1,
            file: "/f".into(),
            line: 3,
            byte_offset: None,
            column: None,
            sqlstate: "22P04".into(),
            message: "missing data for column \"b\"".into(),
            raw: None,
        };
        let batch = batch(&schema(), "t", &[row.clone(), row], ContentId(1)).unwrap();
        assert_eq!(batch.column(RELNAME).as_string_view().iter().flatten().collect::<Vec<_>>(), ["t", "t"]);
    }
}
