//! Catalogs, schemas and tables for clients' trees, from `information_schema`.

use super::columns::{client_field, client_schema, type_name};
use super::results::on_cpu;
use crate::error::{SqlResult, internal, of_datafusion};
use crate::session::{Outcome, Session};
use crate::shared::Shared;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow_flight::sql::metadata::GetTablesBuilder;
use arrow_flight::sql::{CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables};
use futures::{FutureExt, TryStreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Table types, by JDBC's names.
const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";
const SYSTEM_TABLE: &str = "SYSTEM TABLE";

/// PostgreSQL's type of each column of a relation, by its qualified name.
type TypeNames = HashMap<(String, String), HashMap<String, String>>;

/// Asks the catalog on behalf of one session.
pub(super) struct Listing {
    session: Shared<Session>,
    cpu: Handle,
}

impl Listing {
    pub(super) fn new(session: Shared<Session>, cpu: Handle) -> Self {
        Listing { session, cpu }
    }

    /// Rows of a small query, as text; NULL is empty.
    pub(super) async fn rows(&self, query: &'static str) -> SqlResult<Vec<Vec<String>>> {
        let session = self.session.clone();
        let work = async move {
            let Outcome::Rows { stream, .. } = session.execute(query, vec![]).await? else {
                return Err(internal("a listing is a query"));
            };
            let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(of_datafusion)?;
            let mut rows = vec![];
            for batch in batches {
                let texts = batch.columns().iter().map(|column| cast(column, &DataType::Utf8));
                let texts = texts.collect::<Result<Vec<_>, _>>().map_err(internal)?;
                let value = |column: &dyn Array, row: usize| match column.is_valid(row) {
                    true => column.as_string::<i32>().value(row).to_owned(),
                    false => String::new(),
                };
                rows.extend((0..batch.num_rows()).map(|row| texts.iter().map(|c| value(c, row)).collect()));
            }
            Ok(rows)
        };
        on_cpu(&self.cpu, work.boxed()).await
    }

    pub(super) async fn catalogs(&self, command: CommandGetCatalogs) -> SqlResult<RecordBatch> {
        let mut catalogs = command.into_builder();
        for row in self.rows("SELECT DISTINCT catalog_name FROM information_schema.schemata").await? {
            row.into_iter().for_each(|name| catalogs.append(name));
        }
        catalogs.build().map_err(internal)
    }

    pub(super) async fn schemas(&self, command: CommandGetDbSchemas) -> SqlResult<RecordBatch> {
        let mut schemas = command.into_builder();
        for row in self.rows("SELECT catalog_name, schema_name FROM information_schema.schemata").await? {
            let [catalog, schema] = &row[..] else { return Err(internal("a listing lacks columns")) };
            schemas.append(catalog, schema);
        }
        schemas.build().map_err(internal)
    }

    /// Tables and views; with `include_schema`, their columns too.
    pub(super) async fn tables(&self, command: CommandGetTables) -> SqlResult<RecordBatch> {
        let include_schema = command.include_schema;
        let mut tables = CommandGetTables { include_schema: false, ..command }.into_builder();
        let nothing = Schema::empty();
        let rows = self
            .rows("SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables")
            .await?;
        for row in &rows {
            let [catalog, schema, name, kind] = &row[..] else { return Err(internal("a listing lacks columns")) };
            tables.append(catalog, schema, name, table_type(schema, kind), &nothing).map_err(internal)?;
        }
        let matching = tables.build().map_err(internal)?;
        if include_schema { self.with_columns(&matching).await } else { Ok(matching) }
    }

    async fn with_columns(&self, tables: &RecordBatch) -> SqlResult<RecordBatch> {
        let none: Option<String> = None;
        let mut with_columns = GetTablesBuilder::new(none.clone(), none.clone(), none, Vec::<String>::new(), true);
        let type_names = self.type_names().await?;
        let [catalogs, schemas, names, kinds] = [0, 1, 2, 3].map(|i| tables.column(i).as_string::<i32>());
        for row in 0..tables.num_rows() {
            let (schema, name) = (schemas.value(row), names.value(row));
            let columns = self.columns(schema, name, &type_names).await;
            with_columns.append(catalogs.value(row), schema, name, kinds.value(row), &columns).map_err(internal)?;
        }
        with_columns.build().map_err(internal)
    }

    /// A relation's columns; none for a view that is broken, so that the others can be seen.
    async fn columns(&self, schema: &str, name: &str, type_names: &TypeNames) -> Schema {
        let (session, query) = (self.session.clone(), format!("SELECT * FROM {}.{}", quote(schema), quote(name)));
        match on_cpu(&self.cpu, async move { session.prepare(&query).await }.boxed()).await {
            Ok(prepared) => {
                let known = type_names.get(&(schema.to_owned(), name.to_owned()));
                let Some(known) = known else { return client_schema(&prepared.schema).as_ref().clone() };
                let field = |f: &Arc<arrow::datatypes::Field>| {
                    let sql_type = known.get(f.name()).cloned();
                    let sql_type = sql_type.unwrap_or_else(|| type_name(f.data_type()));
                    client_field(f.name(), f.data_type(), f.is_nullable(), sql_type)
                };
                Schema::new(prepared.schema.fields().iter().map(field).collect::<Vec<_>>())
            }
            Err(error) => {
                tracing::debug!(%error, schema, name, "a relation's columns cannot be listed");
                Schema::empty()
            }
        }
    }

    async fn type_names(&self) -> SqlResult<TypeNames> {
        let rows = self
            .rows("SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns")
            .await?;
        let mut names = TypeNames::new();
        for row in rows {
            let Ok([schema, table, column, data_type]) = <[String; 4]>::try_from(row) else {
                return Err(internal("a listing lacks columns"));
            };
            names.entry((schema, table)).or_default().insert(column, data_type);
        }
        Ok(names)
    }
}

pub(super) fn table_types(command: CommandGetTableTypes) -> SqlResult<RecordBatch> {
    let mut types = command.into_builder();
    [TABLE, VIEW, SYSTEM_TABLE].into_iter().for_each(|name| types.append(name));
    types.build().map_err(internal)
}

fn table_type(schema: &str, kind: &str) -> &'static str {
    match (schema, kind) {
        ("pg_catalog" | "information_schema", _) => SYSTEM_TABLE,
        (_, "VIEW") => VIEW,
        _ => TABLE,
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_jdbc_names() {
        assert_eq!(table_type("public", "BASE TABLE"), TABLE);
        assert_eq!(table_type("public", "VIEW"), VIEW);
        assert_eq!(table_type("pg_catalog", "VIEW"), SYSTEM_TABLE);
        assert_eq!(table_types(CommandGetTableTypes {}).unwrap().num_rows(), 3);
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}
