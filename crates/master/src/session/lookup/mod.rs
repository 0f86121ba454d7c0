//! Lookups: queries of one table that come again and again with other values. Their optimized plans are kept.
//!
//! A plan is kept only if it can be proven to hold nothing that changes but its values ([`class`]), and is used only while the table is what
//! it was and the schema that names are looked up in is the same. Everything else is looked at anew for each run: the snapshot, with the
//! table's files; rights; where the rows are. EXPLAIN plans as if nothing were kept.

mod class;
mod numbers;

use super::Session;
use super::ast::mentions_segment_id;
use super::bind::Bound;
use super::column_names::plain;
use super::privileges::check_read;
use super::query::{parameter_types, place_of, value_of_type};
use crate::catalog::{CatalogState, Relation, TableEntry};
use crate::engine::DamsonTable;
use crate::error::{SqlResult, of_datafusion};
use crate::planner;
use crate::sql::{self, Statement};
use class::{is_lookup, relation_of_plain, table_of};
use damson_cluster::{SourceAccess, TableDef};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, TableSource};
use datafusion::scalar::ScalarValue;
use numbers::numbers;
use sqlparser::ast;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Columns of a table: what is kept names each of them several times, in some hundred bytes.
const COLUMNS_MAX: usize = 256;

/// The plan of a lookup.
pub(super) struct Lookup {
    /// In which its names were looked up.
    search_schema: String,
    def: Arc<TableDef>,
    /// Optimized. It scans an empty table of the same columns, and its values are placeholders.
    plan: LogicalPlan,
    /// Of `$1`, `$2`, …
    types: Vec<DataType>,
    /// The columns that a client is told of.
    schema: SchemaRef,
}

/// What a session knows of a text.
#[derive(Clone)]
pub(super) enum Known {
    /// It came once. Only what comes again is worth another planning.
    Once,
    Kept(Arc<Lookup>),
    /// It is no lookup.
    Other,
}

/// A query as plans are kept: what differs between two lookups is values.
struct Asked<'a> {
    text: Cow<'a, str>,
    values: Cow<'a, [ScalarValue]>,
    /// Whether the values are numbers that stood in the client's text.
    is_of_numbers: bool,
}

impl<'a> Asked<'a> {
    /// By which it is known: numbers mean something else than parameters in their place do.
    fn key(&self) -> Cow<'_, str> {
        match self.is_of_numbers {
            true => Cow::Owned(format!("{} \0", self.text)),
            false => Cow::Borrowed(&self.text),
        }
    }

    fn of(text: &'a str, parameters: &'a [ScalarValue]) -> Self {
        match numbers(text).filter(|_| parameters.is_empty()) {
            Some((text, numbers)) => {
                let values = numbers.into_iter().map(|number| ScalarValue::Int64(Some(number))).collect();
                Asked { text: Cow::Owned(text), values: Cow::Owned(values), is_of_numbers: true }
            }
            None => Asked { text: Cow::Borrowed(text), values: Cow::Borrowed(parameters), is_of_numbers: false },
        }
    }
}

impl Session {
    /// The query, whose text is given, with its plan optimized already; None where it has to be bound and planned.
    ///
    /// # Errors
    /// Internal.
    pub(super) async fn look_up(
        &self,
        query: &ast::Statement,
        text: &str,
        parameters: &[ScalarValue],
        catalog: &Arc<CatalogState>,
    ) -> SqlResult<Option<Bound>> {
        let asked = Asked::of(text, parameters);
        let key = asked.key();
        let known = self.lookups.lock().get(&key);
        let lookup = match known {
            Some(Known::Other) => return Ok(None),
            Some(Known::Kept(lookup)) if lookup.table(self, catalog).is_some() => lookup,
            Some(Known::Once) => match self.plan_lookup(&asked, query, catalog).await {
                Some(lookup) => {
                    let lookup = Arc::new(lookup);
                    self.lookups.lock().insert(&key, Known::Kept(Arc::clone(&lookup)));
                    lookup
                }
                None => {
                    self.lookups.lock().insert(&key, Known::Other);
                    return Ok(None);
                }
            },
            // What was kept is of another table.
            Some(Known::Kept(_)) | None => {
                self.lookups.lock().insert(&key, Known::Once);
                return Ok(None);
            }
        };
        let bound = lookup.bound(self, catalog, &asked.values)?;
        self.lookups_run.fetch_add(u64::from(bound.is_some()), Ordering::Relaxed);
        Ok(bound)
    }

    /// How many queries of this session ran by a plan that it had kept.
    pub fn lookups(&self) -> u64 {
        self.lookups_run.load(Ordering::Relaxed)
    }

    /// Columns and types of parameters of a query whose plan is kept.
    pub(super) fn described_lookup(&self, text: &str, catalog: &CatalogState) -> Option<(SchemaRef, Vec<DataType>)> {
        let asked = Asked::of(text, &[]);
        let Some(Known::Kept(lookup)) = self.lookups.lock().get(&asked.key()) else { return None };
        lookup.readable(self, catalog)?;
        let types = if asked.is_of_numbers { vec![] } else { lookup.types.clone() };
        Some((Arc::clone(&lookup.schema), types))
    }

    /// None for what is no lookup; what is wrong with it, binding it in the usual way tells.
    async fn plan_lookup(
        &self,
        asked: &Asked<'_>,
        query: &ast::Statement,
        catalog: &Arc<CatalogState>,
    ) -> Option<Lookup> {
        let of_parameters = match asked.is_of_numbers {
            true => match sql::parse(&asked.text).ok()? {
                Statement::Query(query) => Cow::Owned(*query),
                _ => return None,
            },
            false => Cow::Borrowed(query),
        };
        let relation = relation_of_plain(&of_parameters).filter(|_| !mentions_segment_id(&of_parameters))?;
        // No view, whose query, rights and owner are others than the table's below it.
        let named = catalog.table(relation.schema_or(&self.search_schema()), &relation.name)?;
        let bound = self.bind(Arc::clone(catalog), &of_parameters, &asked.text).await.ok()?;
        Lookup::of(&bound, asked.is_of_numbers).filter(|lookup| Arc::ptr_eq(&lookup.def, &named.def))
    }
}

impl Lookup {
    fn of(bound: &Bound, is_of_numbers: bool) -> Option<Self> {
        let types = parameter_types(&bound.plan).ok()?;
        let is_integer = |data_type: &DataType| data_type.is_signed_integer();
        // A number beside a text or a numeric is more than a value of the other's type.
        let are_known = types.iter().all(|data_type| match is_of_numbers {
            true => is_integer(data_type),
            false => *data_type != DataType::Null,
        });
        if !are_known || !is_lookup(&bound.plan, &types, false) {
            return None;
        }
        let (def, columns) = table_of(&bound.plan)?;
        if columns.fields().len() > COLUMNS_MAX {
            return None;
        }
        let options = bound.state.config_options();
        let analyzed = bound.state.analyzer().execute_and_check(bound.plan.clone(), options, |_, _| {}).ok()?;
        let schema = plain(&Arc::new(analyzed.schema().as_arrow().clone()));
        let optimized = planner::optimize(&bound.state, &bound.plan).ok()?;
        if !is_lookup(&optimized, &types, true) {
            return None;
        }
        let nothing = provider_as_source(Arc::new(EmptyTable::new(columns)));
        let plan = optimized.transform_up(|node| Ok(over(node, &nothing))).data().ok()?;
        Some(Lookup { search_schema: bound.names.search_schema().to_owned(), def, plan, types, schema })
    }

    /// The table, if it is what it was, and is what the query's name for it means.
    fn table<'a>(&self, session: &Session, catalog: &'a CatalogState) -> Option<&'a Arc<TableEntry>> {
        let entry = catalog.table(&self.def.schema, &self.def.name)?;
        let is_same = Arc::ptr_eq(&entry.def, &self.def) || entry.def == self.def;
        (is_same && session.search_schema() == self.search_schema).then_some(entry)
    }

    /// The same, if the session's role may read it.
    fn readable<'a>(&self, session: &Session, catalog: &'a CatalogState) -> Option<&'a Arc<TableEntry>> {
        let entry = self.table(session, catalog)?;
        let relation = Relation::Table(Arc::clone(entry));
        let is_readable = session.reader(catalog).is_none_or(|role| check_read(catalog, role, &relation).is_ok());
        is_readable.then_some(entry)
    }

    /// None where the values are of other types, or the role may not read: that is found as for any query.
    fn bound(
        &self,
        session: &Session,
        catalog: &Arc<CatalogState>,
        values: &[ScalarValue],
    ) -> SqlResult<Option<Bound>> {
        let (Some(entry), Some(values)) = (self.readable(session, catalog), self.fitting(values)) else {
            return Ok(None);
        };
        let segments = catalog.current_map().owning_segments().len();
        let table = DamsonTable::new(Arc::clone(entry), false, segments).without_statistics();
        let source = provider_as_source(Arc::new(table));
        let filled = self.plan.clone().transform_up(|node| with_values(over(node, &source).data, &values)).data();
        Ok(Some(Bound {
            state: Arc::clone(&session.master.base),
            names: session.names(Arc::clone(catalog), false),
            plan: filled.map_err(of_datafusion)?,
            access: SourceAccess::default(),
        }))
    }

    /// The values as the plan's columns have them; None if one cannot be, or is NULL.
    fn fitting(&self, values: &[ScalarValue]) -> Option<Vec<ScalarValue>> {
        let fits = |(value, data_type): (&ScalarValue, &DataType)| {
            let value = value_of_type(value.clone(), data_type).ok()?;
            (value.data_type() == *data_type && !value.is_null()).then_some(value)
        };
        if values.len() < self.types.len() {
            return None;
        }
        values.iter().zip(&self.types).map(fits).collect()
    }
}

/// A scan of another table with the same columns.
fn over(node: LogicalPlan, source: &Arc<dyn TableSource>) -> Transformed<LogicalPlan> {
    match node {
        LogicalPlan::TableScan(scan) => {
            Transformed::yes(LogicalPlan::TableScan(TableScan { source: Arc::clone(source), ..scan }))
        }
        other => Transformed::no(other),
    }
}

/// A filter with values in place of its placeholders.
fn with_values(node: LogicalPlan, values: &[ScalarValue]) -> Result<Transformed<LogicalPlan>> {
    let value = |expr: Expr| match &expr {
        Expr::Placeholder(placeholder) => {
            Ok(Transformed::yes(Expr::Literal(values[place_of(placeholder)?].clone(), None)))
        }
        _ => Ok(Transformed::no(expr)),
    };
    match node {
        LogicalPlan::Filter(mut filter) => {
            filter.predicate = filter.predicate.transform(value).data()?;
            Ok(Transformed::yes(LogicalPlan::Filter(filter)))
        }
        other => Ok(Transformed::yes(other)),
    }
}
