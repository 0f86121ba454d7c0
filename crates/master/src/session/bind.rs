//! Text to a bound logical plan.

use super::Session;
use super::ast::{has_natural_join, hide_segment_id, mentions_segment_id};
use super::client_names::{SessionFacts, write_out_client_names};
use super::client_scopes::write_out_scopes;
use super::column_names::name_columns;
use super::fetch::limit_by_fetch;
use super::keywords::{GET_KEYWORDS, GetKeywords};
use super::merged_columns::merge_columns;
use super::privileges::check_read;
use super::read_error_log::{READ_ERROR_LOG, ReadErrorLog};
use super::relation_names::name_relations;
use super::row_values::compare_rows;
use super::sequence_calls::write_out_nextval;
use super::set_returning::give_rows;
use crate::catalog::{Catalog, CatalogState, Object, Relation, ViewDef};
use crate::engine::{
    CATALOG, StatementNames, count_occurrences, join_scalar_rows, statement_state, write_out_nulls,
    write_out_subqueries,
};
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::sql;
use crate::system::functions::{Lookup, catalog_function};
use crate::system::{self, SystemContext, SystemTable};
use damson_cluster::SourceAccess;
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement as EngineStatement;
use futures::future::BoxFuture;
use sqlparser::ast;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Views within views.
const VIEW_DEPTH_MAX: usize = 32;

/// A statement's plan, and the state and names that it was bound with.
pub(super) struct Bound {
    pub state: Arc<SessionState>,
    pub names: StatementNames,
    pub plan: LogicalPlan,
    /// How the places of COPY are reached.
    pub access: SourceAccess,
}

impl Session {
    /// Binds a query, which reads `catalog`. Parameters stay placeholders.
    pub(super) async fn bind(
        &self,
        catalog: Arc<CatalogState>,
        query: &ast::Statement,
        text: &str,
    ) -> SqlResult<Bound> {
        let names = self.names(catalog, mentions_segment_id(query));
        self.bind_named(names, query.clone(), text).await
    }

    /// As [`Session::bind`], with names that the caller has prepared.
    pub(super) async fn bind_named(
        &self,
        names: StatementNames,
        query: ast::Statement,
        text: &str,
    ) -> SqlResult<Bound> {
        if names.has_segment_id() && has_natural_join(&query) {
            let message = "NATURAL JOIN is not supported in a statement that names gp_segment_id";
            return Err(
                SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint("Write the columns with USING.")
            );
        }
        let query = if names.has_segment_id() { hide_segment_id(query) } else { query };
        let (state, plan) = self.bind_with(&names, &query, 0).await.map_err(|e| located(e, text))?;
        Ok(Bound { state: Arc::new(state), names, plan, access: SourceAccess::default() })
    }

    /// What a statement needs beside a physical plan that it makes itself: COPY, and what writes a table anew.
    pub(super) fn bind_nothing(&self, catalog: Arc<CatalogState>) -> SqlResult<Bound> {
        let names = self.names(catalog, false);
        let state = Arc::new(statement_state(&self.master.base, &names));
        let plan = LogicalPlanBuilder::empty(false).build().map_err(of_datafusion)?;
        Ok(Bound { state, names, plan, access: SourceAccess::default() })
    }

    pub(super) fn names(&self, catalog: Arc<CatalogState>, segment_id: bool) -> StatementNames {
        let reader = self.reader(&catalog);
        StatementNames::new(catalog, &self.search_schema(), segment_id).with_reader(reader)
    }

    fn bind_with<'a>(
        &'a self,
        names: &'a StatementNames,
        query: &'a ast::Statement,
        depth: usize,
    ) -> BoxFuture<'a, Result<(SessionState, LogicalPlan), DataFusionError>> {
        Box::pin(async move {
            let mut state = statement_state(&self.master.base, names);
            state.register_udtf(READ_ERROR_LOG, Arc::new(self.read_error_log(names)));
            state.register_udtf(GET_KEYWORDS, Arc::new(GetKeywords));
            let mut query = query.clone();
            self.name_files(names, &mut query).await?;
            self.find_past(names, &state, &mut query).await?;
            limit_by_fetch(&mut query).map_err(external)?;
            let is_aggregate = |name: &str| state.aggregate_functions().contains_key(name);
            give_rows(&mut query, &is_aggregate).map_err(external)?;
            name_relations(&mut query, names.search_schema(), None).map_err(external)?;
            merge_columns(&mut query).map_err(external)?;
            compare_rows(&mut query).map_err(external)?;
            write_out_nextval(&mut query).map_err(external)?;
            name_columns(&mut query);
            self.know_client_names(names, &mut state, &mut query)?;
            let statement = EngineStatement::Statement(Box::new(query));
            for reference in state.resolve_table_references(&statement)? {
                self.prepare_name(names, &reference, depth).await?;
            }
            let plan = state.statement_to_plan(statement).await?;
            let plan = write_out_subqueries(write_out_nulls(count_occurrences(plan)?)?)?;
            let plan = join_scalar_rows(plan, &state)?;
            Ok((state, plan))
        })
    }

    /// Writes out what clients ask of PostgreSQL's catalog, and makes the functions that are called known.
    fn know_client_names(
        &self,
        names: &StatementNames,
        state: &mut SessionState,
        query: &mut ast::Statement,
    ) -> Result<(), DataFusionError> {
        let setting = |name: &str| self.settings.lock().get(name).ok().map(|(_, value, _)| value);
        let search_schema = names.search_schema();
        let catalog = names.state();
        let name = |role| self.role_name(role, catalog);
        let (acting, session_role) = (self.acting_role(catalog), self.session_role(catalog));
        let facts = SessionFacts {
            user: name(acting),
            session_user: name(session_role),
            search_schema,
            session: self.id.0,
            setting: &setting,
        };
        write_out_scopes(query).map_err(external)?;
        let found = write_out_client_names(query, &facts).map_err(external)?;
        if found.takes_fields {
            // The pass that moves the taking of fields below joins forgets where a record is made of UNNEST.
            state.config_mut().options_mut().optimizer.enable_leaf_expression_pushdown = false;
        }
        let lookup = Lookup { state: Arc::clone(catalog), search_schema: search_schema.to_owned(), role: acting };
        for function in found.called.iter().filter_map(|name| catalog_function(name, &lookup)) {
            state.register_udf(Arc::new(function))?;
        }
        Ok(())
    }

    fn read_error_log(&self, names: &StatementNames) -> ReadErrorLog {
        ReadErrorLog {
            files: Arc::clone(&self.master.files),
            state: Arc::clone(names.state()),
            search_schema: names.search_schema().to_owned(),
            reader: names.reader(),
        }
    }

    /// Makes a view or a system table known to the binder; tables it finds by itself.
    async fn prepare_name(
        &self,
        names: &StatementNames,
        reference: &TableReference,
        depth: usize,
    ) -> Result<(), DataFusionError> {
        let resolved = reference.clone().resolve(CATALOG, names.search_schema());
        let (schema, name) = (&*resolved.schema, &*resolved.table);
        if let Some(past) = names.past().snapshot_of(&resolved.catalog).and_then(|(snapshot, _)| names.as_of(snapshot))
        {
            return self.prepare_past(&past, schema, name, depth).await;
        }
        if names.is_prepared(schema, name) {
            return Ok(());
        }
        if let (Some(role), Some(relation)) = (names.reader(), names.state().relation(schema, name)) {
            check_read(names.state(), role, relation).map_err(external)?;
        }
        match names.state().relation(schema, name) {
            Some(Relation::View(view)) => {
                let table = self.view(names, view, depth).await?;
                names.prepare(schema, name, table);
            }
            Some(Relation::Table(_)) => {}
            Some(Relation::Sequence(_)) => {
                let message = format!("sequence \"{name}\" cannot be read as a table");
                let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, message);
                return Err(external(error.with_hint("pg_sequences shows where sequences are.")));
            }
            None => {
                if let Some(system) = system::system_table(schema, name) {
                    let rows = system.rows(&self.system_context(names, system).await?);
                    let table = MemTable::try_new(system.schema(), vec![vec![rows]])?;
                    names.prepare(system.schema_name, name, Arc::new(table));
                }
            }
        }
        Ok(())
    }

    /// Makes a table or view as it was known to the binder. `names` are of that snapshot.
    async fn prepare_past(
        &self,
        names: &StatementNames,
        schema: &str,
        name: &str,
        depth: usize,
    ) -> Result<(), DataFusionError> {
        let state = names.state();
        if let (Some(role), Some(relation)) = (names.reader(), state.relation(schema, name)) {
            // What was granted then does not count.
            check_read(&self.master.catalog.current(), role, relation).map_err(external)?;
        }
        let provider = match state.relation(schema, name) {
            Some(Relation::View(view)) => Some(self.view(names, view, depth).await?),
            Some(Relation::Table(_)) => names.find(schema, name),
            Some(Relation::Sequence(_)) => {
                let message = format!("\"{name}\" is a sequence, and has no past");
                return Err(external(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)));
            }
            None if system::system_table(schema, name).is_some() => {
                let message = format!("AS OF of the system table \"{name}\" is not supported");
                return Err(external(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)));
            }
            None => None,
        };
        let provider = provider.ok_or_else(|| {
            let message = format!("relation \"{schema}.{name}\" did not exist at snapshot {}", state.snapshot.0);
            external(SqlError::new(SqlState::UNDEFINED_TABLE, message))
        })?;
        names.past().prepare((state.snapshot, names.has_segment_id()), schema, name, provider);
        Ok(())
    }

    /// A view's plan, bound with the names of where it was defined.
    async fn view(
        &self,
        names: &StatementNames,
        view: &ViewDef,
        depth: usize,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        if let Some(external) = &view.external {
            return self.external_table(names, view, external).await.map_err(self::external);
        }
        let name = view.qualified_name();
        if depth >= VIEW_DEPTH_MAX {
            let message = format!("views are nested more than {VIEW_DEPTH_MAX} deep at {name}");
            return Err(external(SqlError::new(SqlState::TOO_COMPLEX, message)));
        }
        let statement = sql::parse(&view.query).map_err(external)?;
        let sql::Statement::Query(query) = statement else {
            return Err(external(SqlError::new(SqlState::INTERNAL_ERROR, format!("view {name} is not a query"))));
        };
        // A view reads what its owner may read.
        let rights = self.master.catalog.current();
        let rights = if names.is_past() { &rights } else { names.state() };
        let owner = rights.access(&Object::View(view.schema.clone(), view.name.clone())).owner;
        let reader = Some(owner).filter(|owner| !rights.is_superuser(*owner));
        let inner = names.within_view(&view.search_schema, mentions_segment_id(&query)).with_reader(reader);
        let (_, mut plan) = self.bind_with(&inner, &query, depth + 1).await?;
        if !view.columns.is_empty() {
            let columns = plan.schema().columns();
            let renamed = columns.into_iter().enumerate().map(|(i, column)| {
                let new_name = view.columns.get(i).cloned().unwrap_or_else(|| column.name.clone());
                datafusion::logical_expr::Expr::Column(column).alias(new_name)
            });
            plan = LogicalPlanBuilder::from(plan.clone()).project(renamed.collect::<Vec<_>>())?.build()?;
        }
        Ok(Arc::new(ViewTable::new(plan, Some(view.query.clone()))))
    }

    async fn system_context(
        &self,
        names: &StatementNames,
        table: &SystemTable,
    ) -> Result<SystemContext, DataFusionError> {
        let mut view_schemas = BTreeMap::new();
        if table.needs_view_schemas() {
            // External tables say their columns themselves.
            for view in names.state().views().filter(|view| view.external.is_none()) {
                // A view that no longer binds, because something below it changed, shows no columns.
                if let Ok(provider) = self.view(names, view, 0).await {
                    view_schemas.insert((view.schema.clone(), view.name.clone()), provider.schema());
                }
            }
        }
        let running = if table.needs_running() { self.master.files.running().await } else { vec![] };
        let interconnect = if table.needs_interconnect() { self.master.files.interconnect().await } else { vec![] };
        let (locks, history) = (self.master.locks.rows(), self.master.catalog.history());
        let (transfers, copies) = (self.master.transfers.rows(), self.master.copies.rows(&running));
        let positions = match table.needs_positions() {
            true => {
                let ids: Vec<_> = names.state().sequences().map(|def| def.id).collect();
                let positions = self.master.files.in_catalog(move |catalog| {
                    Ok(ids.into_iter().filter_map(|id| Some((id, catalog.position(id)?))).collect())
                });
                positions.await.map_err(external)?
            }
            false => BTreeMap::new(),
        };
        let copied = match table.needs_copied() {
            true => self.master.files.in_catalog(Catalog::copy_history).await.map_err(external)?,
            false => vec![],
        };
        let findings = match table.needs_check() {
            true => self.master.files.check(names.state()).await.map_err(external)?,
            false => vec![],
        };
        let functions = if table.needs_functions() { functions_of(&self.master.base) } else { vec![] };
        let mut segments = vec![self.master.registry.master_definition()];
        segments.extend(self.master.registry.definitions());
        // Not within the value below: a lock that is taken there is held until its end.
        let settings =
            self.settings.lock().all().map(|(name, value, about)| (name.into(), value, about.into())).collect();
        Ok(SystemContext {
            state: Arc::clone(names.state()),
            segments,
            waiting: self.master.registry.waiting(),
            view_schemas,
            running,
            interconnect,
            history,
            positions,
            locks,
            transfers,
            copies,
            copied,
            findings,
            settings,
            functions,
            role: self.acting_role(names.state()),
            sessions: if table.needs_sessions() { self.master.sessions.activity() } else { vec![] },
        })
    }
}

/// Names of all functions with their `prokind`, by name.
fn functions_of(state: &SessionState) -> Vec<(String, &'static str)> {
    let mut kinds = BTreeMap::new();
    kinds.extend(state.window_functions().keys().map(|name| (name.clone(), "w")));
    kinds.extend(state.aggregate_functions().keys().map(|name| (name.clone(), "a")));
    kinds.extend(state.scalar_functions().keys().map(|name| (name.clone(), "f")));
    kinds.into_iter().collect()
}

pub(super) fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The error with its position in the text, where the binder tells one.
pub(super) fn located(error: DataFusionError, text: &str) -> SqlError {
    let span = error.diagnostic().and_then(|d| d.span);
    let error = of_datafusion(error);
    match span {
        Some(span) if error.position.is_none() => {
            let position = char_position(text, span.start.line as usize, span.start.column as usize);
            SqlError { position, ..error }
        }
        _ => error,
    }
}

/// 1-based position of a 1-based line and column, in characters.
fn char_position(text: &str, line: usize, column: usize) -> Option<usize> {
    let before: usize = text.split('\n').take(line.checked_sub(1)?).map(|l| l.chars().count() + 1).sum();
    Some(before + column)
}
