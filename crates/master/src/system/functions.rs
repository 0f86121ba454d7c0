//! PostgreSQL's functions that tell of the catalog: one statement's, over its snapshot. They run on the master, where system tables are
//! read and constants are folded; no segment knows them.

use super::pg_constraint::{index_definition, key_definition, quoted};
use super::pg_roles::{of_role, role_of_oid};
use super::table::system_tables;
use super::tablespaces::DEFAULT_OID;
use super::{PG_CATALOG, has_privilege, oids, pg_class, pg_type, pg_types};
use crate::catalog::{CatalogState, Relation, RoleId, TableEntry};
use crate::error::{SqlError, SqlState};
use crate::sql::DEFAULT_TABLESPACE;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What the functions of one statement look things up in.
#[derive(Clone)]
pub(crate) struct Lookup {
    pub state: Arc<CatalogState>,
    /// Where unqualified names are looked up.
    pub search_schema: String,
    /// Whose privileges are asked for, if it does not say.
    pub role: RoleId,
}

type Run = fn(&Lookup, &[ScalarValue]) -> Result<ScalarValue>;

/// A function's name, its result's type, and what it does of one row.
struct Definition {
    name: &'static str,
    returns: DataType,
    run: Run,
}

const fn to_text(name: &'static str, run: Run) -> Definition {
    Definition { name, returns: DataType::Utf8View, run }
}
const fn to_bigint(name: &'static str, run: Run) -> Definition {
    Definition { name, returns: DataType::Int64, run }
}
const fn to_bool(name: &'static str, run: Run) -> Definition {
    Definition { name, returns: DataType::Boolean, run }
}

static FUNCTIONS: &[Definition] = &[
    to_text("format_type", format_type),
    to_text("pg_get_userbyid", |lookup, args| {
        let name = |oid| role_of_oid(&lookup.state, oid).map(|role| role.name.clone());
        Ok(text(int(args, 0)?.map(|oid| name(oid).unwrap_or_else(|| format!("unknown (OID={oid})")))))
    }),
    // Expressions are kept as text.
    to_text("pg_get_expr", |_, args| Ok(text(word(args, 0)?))),
    to_text("pg_get_constraintdef", constraint_definition),
    to_text("pg_get_indexdef", index_text),
    to_text("pg_get_viewdef", view_definition),
    to_text("pg_get_ruledef", nothing),
    to_text("pg_get_triggerdef", nothing),
    to_text("pg_get_partkeydef", nothing),
    to_text("pg_get_partition_constraintdef", nothing),
    to_text("pg_get_statisticsobjdef", nothing),
    to_text("pg_get_statisticsobjdef_columns", nothing),
    to_text("pg_get_function_result", |_, _| Ok(text(Some("\"any\"".into())))),
    to_text("pg_get_function_arguments", |_, _| Ok(text(Some("VARIADIC \"any\"".into())))),
    to_text("pg_get_function_identity_arguments", |_, _| Ok(text(Some("VARIADIC \"any\"".into())))),
    to_text("pg_get_functiondef", nothing),
    to_text("pg_get_serial_sequence", serial_sequence),
    to_text("obj_description", nothing),
    to_text("col_description", nothing),
    to_text("shobj_description", nothing),
    to_text("pg_encoding_to_char", |_, args| {
        Ok(text(int(args, 0)?.map(|encoding| match encoding {
            0 => "SQL_ASCII".into(),
            6 => "UTF8".into(),
            _ => String::new(),
        })))
    }),
    to_bigint("pg_char_to_encoding", |_, args| {
        let number = |name: String| match name.to_ascii_uppercase().as_str() {
            "SQL_ASCII" => 0,
            "UTF8" | "UTF-8" | "UNICODE" => 6,
            _ => -1,
        };
        Ok(ScalarValue::Int64(word(args, 0)?.map(number)))
    }),
    to_text("pg_tablespace_location", |lookup, args| {
        let Some(oid) = int(args, 0)? else { return Ok(text(None)) };
        let location = lookup.state.tablespaces().find(|def| oids::of_id(def.id.0) == oid);
        Ok(text(Some(location.map(|def| def.location.clone()).unwrap_or_default())))
    }),
    to_text("quote_ident", |_, args| Ok(text(word(args, 0)?.map(|name| quoted(&name))))),
    to_text("quote_literal", |_, args| Ok(text(shown(args, 0).map(|value| literal(&value))))),
    to_text("quote_nullable", |_, args| Ok(text(Some(shown(args, 0).map_or("NULL".into(), |value| literal(&value)))))),
    to_text("format", |_, args| filled(args)),
    to_text("json_build_object", json_object),
    to_text("pg_size_pretty", |_, args| Ok(text(signed(args, 0)?.map(pretty)))),
    to_bool("pg_table_is_visible", table_is_visible),
    to_bool("pg_type_is_visible", exists),
    to_bool("pg_function_is_visible", exists),
    to_bool("pg_collation_is_visible", exists),
    to_bool("pg_operator_is_visible", exists),
    to_bool("pg_opclass_is_visible", exists),
    to_bool("pg_opfamily_is_visible", exists),
    to_bool("pg_ts_config_is_visible", exists),
    to_bool("pg_ts_dict_is_visible", exists),
    to_bool("pg_ts_parser_is_visible", exists),
    to_bool("pg_ts_template_is_visible", exists),
    to_bool("pg_conversion_is_visible", exists),
    to_bool("pg_statistics_obj_is_visible", exists),
    to_bool("pg_relation_is_publishable", |_, _| Ok(ScalarValue::Boolean(Some(false)))),
    to_bool("row_security_active", |_, _| Ok(ScalarValue::Boolean(Some(false)))),
    to_bool("has_table_privilege", has_privilege::of_relation),
    to_bool("has_any_column_privilege", has_privilege::of_relation),
    to_bool("has_column_privilege", has_privilege::of_column),
    to_bool("has_schema_privilege", has_privilege::of_schema),
    to_bool("has_database_privilege", has_privilege::of_database),
    to_bool("has_sequence_privilege", has_privilege::of_relation),
    // Nothing is granted on these: everybody may use them.
    to_bool("has_function_privilege", allowed),
    to_bool("has_language_privilege", allowed),
    to_bool("has_type_privilege", allowed),
    to_bool("has_tablespace_privilege", allowed),
    to_bool("has_foreign_data_wrapper_privilege", allowed),
    to_bool("has_server_privilege", allowed),
    to_bool("pg_has_role", has_privilege::of_role),
    to_bigint("pg_relation_size", table_size),
    to_bigint("pg_table_size", table_size),
    to_bigint("pg_total_relation_size", table_size),
    to_bigint("pg_indexes_size", |lookup, args| Ok(ScalarValue::Int64(table(lookup, args)?.map(|_| 0)))),
    to_bigint("pg_tablespace_size", tablespace_size),
    // Keys are no indexes that anybody looks things up in.
    to_bigint("pg_stat_get_numscans", |_, args| Ok(ScalarValue::Int64(int(args, 0)?.map(|_| 0)))),
    to_bigint("pg_database_size", |lookup, args| {
        let all = lookup.state.tables().map(|entry| pg_class::bytes(entry)).sum::<u64>();
        Ok(ScalarValue::Int64((!args.iter().any(ScalarValue::is_null)).then_some(all.cast_signed())))
    }),
    to_bigint("pg_relation_is_updatable", |lookup, args| {
        // INSERT, UPDATE and DELETE, as PostgreSQL's bits.
        Ok(ScalarValue::Int64(int(args, 0)?.map(|oid| if table_of(lookup, oid).is_some() { 28 } else { 0 })))
    }),
    to_bigint(REGCLASS, |lookup, args| {
        object(args, |name| relation_oid(lookup, name)?.ok_or_else(|| no_relation(name)))
    }),
    to_bigint("to_regclass", |lookup, args| {
        Ok(ScalarValue::Int64(match word(args, 0)? {
            Some(name) => relation_oid(lookup, &name)?.map(u64::cast_signed),
            None => None,
        }))
    }),
    to_bigint(REGTYPE, |_, args| {
        let missing = |name: &str| undefined(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"));
        object(args, |name| pg_types::oid_of_name(name).ok_or_else(|| missing(name)))
    }),
    to_bigint("to_regtype", |_, args| {
        Ok(ScalarValue::Int64(word(args, 0)?.and_then(|name| pg_types::oid_of_name(&name)).map(u64::cast_signed)))
    }),
    to_bigint(REGPROC, |_, args| {
        let missing =
            |name: &str| undefined(SqlState::UNDEFINED_FUNCTION, format!("function \"{name}\" does not exist"));
        object(args, |name| pg_type::function_oid(name).ok_or_else(|| missing(name)))
    }),
    to_bigint(REGOPERATOR, |_, args| {
        let missing = |name: &str| format!("operator does not exist: {name}");
        object(args, |name| Err(undefined(SqlState::UNDEFINED_FUNCTION, missing(name))))
    }),
    to_bigint(REGNAMESPACE, |lookup, args| {
        let missing = |name: &str| undefined(SqlState::UNDEFINED_SCHEMA, format!("schema \"{name}\" does not exist"));
        object(args, |name| oids::of_schema(&lookup.state, name).ok_or_else(|| missing(name)))
    }),
    to_bigint(REGROLE, |lookup, args| {
        let missing = |name: &str| undefined(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"));
        object(args, |name| lookup.state.role(name).map(|role| of_role(role.id)).ok_or_else(|| missing(name)))
    }),
    to_text("damson_regclass_name", |lookup, args| {
        named(args, |oid| name_of_relation(lookup, oid).map(|(schema, name)| qualified(lookup, &schema, &name)))
    }),
    to_text("damson_regtype_name", |_, args| {
        named(args, |oid| Some(pg_types::formatted(oid, None)).filter(|name| name != "???"))
    }),
    to_text("damson_regproc_name", |_, args| match args.first() {
        // A column of that name in a table of a user's.
        Some(value) if is_text(value) => Ok(text(word(args, 0)?)),
        _ => named(args, pg_type::function_name),
    }),
    to_text("damson_regoperator_name", |_, args| named(args, |_| None)),
    to_text("damson_regnamespace_name", |lookup, args| {
        named(args, |oid| {
            oids::schemas(&lookup.state).into_iter().find(|(of, _)| *of == oid).map(|(_, name)| quoted(&name))
        })
    }),
    to_text("damson_regrole_name", |lookup, args| {
        named(args, |oid| role_of_oid(&lookup.state, oid).map(|role| quoted(&role.name)))
    }),
];

/// What a cast to `regclass` is written as: of a name its id, of an id itself. With `_name` after it, what such a value is shown as.
pub(crate) const REGCLASS: &str = "damson_regclass";
pub(crate) const REGTYPE: &str = "damson_regtype";
pub(crate) const REGPROC: &str = "damson_regproc";
pub(crate) const REGOPERATOR: &str = "damson_regoperator";
pub(crate) const REGNAMESPACE: &str = "damson_regnamespace";
pub(crate) const REGROLE: &str = "damson_regrole";

/// Whether there is such a function.
pub(crate) fn is_catalog_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|definition| definition.name == name)
}

/// Names of those that users call.
pub(super) fn catalog_function_names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|definition| definition.name).filter(|name| !name.starts_with("damson_"))
}

/// The function of that name, over `lookup`.
pub(crate) fn catalog_function(name: &str, lookup: &Lookup) -> Option<ScalarUDF> {
    let definition = FUNCTIONS.iter().find(|definition| definition.name == name)?;
    let function =
        CatalogFunction { definition, lookup: lookup.clone(), signature: Signature::variadic_any(Volatility::Stable) };
    Some(ScalarUDF::from(function))
}

struct CatalogFunction {
    definition: &'static Definition,
    lookup: Lookup,
    signature: Signature,
}

impl fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CatalogFunction").field(&self.definition.name).finish()
    }
}

/// Two of one statement: they never meet those of another.
impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name && Arc::ptr_eq(&self.lookup.state, &other.lookup.state)
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.definition.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let mut results = Vec::with_capacity(rows);
        let mut values = Vec::with_capacity(args.args.len());
        for row in 0..rows {
            values.clear();
            for arg in &args.args {
                values.push(match arg {
                    ColumnarValue::Scalar(value) => value.clone(),
                    ColumnarValue::Array(array) => ScalarValue::try_from_array(array, row)?,
                });
            }
            results.push((self.definition.run)(&self.lookup, &values)?);
        }
        match results.pop() {
            Some(only) if is_constant => Ok(ColumnarValue::Scalar(only)),
            Some(last) => {
                let all = results.into_iter().chain([last]);
                Ok(ColumnarValue::Array(ScalarValue::iter_to_array(all)?))
            }
            None => Ok(ColumnarValue::Array(arrow::array::new_empty_array(&self.definition.returns))),
        }
    }
}

fn text(value: Option<String>) -> ScalarValue {
    ScalarValue::Utf8View(value)
}

/// Names and values in turn, as PostgreSQL writes them.
fn json_object(_: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    let wrong = |message: &str| undefined(SqlState::INVALID_PARAMETER, message.to_owned());
    if args.len() % 2 == 1 {
        return Err(wrong("argument list must have even number of elements"));
    }
    let mut members = Vec::with_capacity(args.len() / 2);
    for n in (0..args.len()).step_by(2) {
        let name = word(args, n)?.ok_or_else(|| wrong("null value not allowed for object key"))?;
        members.push(format!("{} : {}", serde_json::Value::from(name), json_value(args, n + 1)?));
    }
    Ok(text(Some(format!("{{{}}}", members.join(", ")))))
}

fn json_value(args: &[ScalarValue], n: usize) -> Result<String> {
    let value = &args[n];
    let Some(written) = word(args, n)? else { return Ok("null".to_owned()) };
    let is_number =
        value.data_type().is_numeric() && written.bytes().all(|byte| !byte.is_ascii_alphabetic() || byte == b'e');
    Ok(match value {
        ScalarValue::Boolean(_) => written,
        // NaN and infinities are texts.
        _ if is_number => written,
        _ => serde_json::Value::from(written).to_string(),
    })
}

fn nothing(_: &Lookup, _: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(text(None))
}

fn allowed(_: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(ScalarValue::Boolean((!args.iter().any(ScalarValue::is_null)).then_some(true)))
}

fn exists(_: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    allowed_first(args)
}

fn allowed_first(args: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(ScalarValue::Boolean(int(args, 0)?.map(|_| true)))
}

/// An argument as it is shown.
fn shown(args: &[ScalarValue], n: usize) -> Option<String> {
    args.get(n).filter(|value| !value.is_null()).map(ToString::to_string)
}

/// A text argument.
pub(super) fn word(args: &[ScalarValue], n: usize) -> Result<Option<String>> {
    match args.get(n) {
        None => Ok(None),
        Some(value) => Ok(value.cast_to(&DataType::Utf8)?.try_as_str().flatten().map(str::to_owned)),
    }
}

/// A number, or a text that is one.
fn signed(args: &[ScalarValue], n: usize) -> Result<Option<i64>> {
    match args.get(n).map(|value| value.cast_to(&DataType::Int64)).transpose()? {
        Some(ScalarValue::Int64(value)) => Ok(value),
        _ => Ok(None),
    }
}

/// An object's id.
pub(super) fn int(args: &[ScalarValue], n: usize) -> Result<Option<u64>> {
    // None is negative.
    Ok(signed(args, n)?.map(|value| u64::try_from(value).unwrap_or_default()))
}

pub(super) fn is_text(value: &ScalarValue) -> bool {
    matches!(value, ScalarValue::Utf8(_) | ScalarValue::Utf8View(_) | ScalarValue::LargeUtf8(_))
}

pub(super) fn undefined(state: SqlState, message: String) -> DataFusionError {
    DataFusionError::External(Box::new(SqlError::new(state, message)))
}

fn no_relation(name: &str) -> DataFusionError {
    undefined(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
}

/// The first argument as an id: a name is looked up, unless it is a number, as PostgreSQL reads it.
fn object(args: &[ScalarValue], find: impl FnOnce(&str) -> Result<u64>) -> Result<ScalarValue> {
    let Some(value) = args.first().filter(|value| !value.is_null()) else { return Ok(ScalarValue::Int64(None)) };
    if !is_text(value) {
        return Ok(ScalarValue::Int64(signed(args, 0)?));
    }
    let name = word(args, 0)?.unwrap_or_default();
    let oid = match name.as_str() {
        "-" => 0,
        name => match name.parse() {
            Ok(oid) => oid,
            Err(_) => find(name)?,
        },
    };
    Ok(ScalarValue::Int64(Some(oid.cast_signed())))
}

/// What an id is shown as: its number where nothing has it.
fn named(args: &[ScalarValue], find: impl FnOnce(u64) -> Option<String>) -> Result<ScalarValue> {
    Ok(text(int(args, 0)?.map(|oid| match oid {
        0 => "-".to_owned(),
        oid => find(oid).unwrap_or_else(|| oid.to_string()),
    })))
}

/// Parts of a name as it is written in SQL.
pub(super) fn parts(name: &str) -> Result<Vec<String>> {
    let invalid = || undefined(SqlState::SYNTAX_ERROR, "invalid name syntax".to_owned());
    let mut parts = vec![];
    let mut chars = name.trim().chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut part = String::new();
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next().ok_or_else(invalid)? {
                    '"' if chars.next_if_eq(&'"').is_none() => break,
                    other => part.push(other),
                }
            }
        } else {
            while let Some(next) = chars.next_if(|c| *c != '.' && *c != '"' && !c.is_whitespace()) {
                part.extend(next.to_lowercase());
            }
        }
        parts.push(part);
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.next() {
            None => return Ok(parts),
            Some('.') => {}
            Some(_) => return Err(invalid()),
        }
    }
}

pub(super) fn relation_oid(lookup: &Lookup, name: &str) -> Result<Option<u64>> {
    let parts = parts(name)?;
    let find = |schema: &str, name: &str| {
        let user = lookup.state.relation(schema, name).map(|relation| oids::of_relation(&lookup.state, relation));
        user.or_else(|| key_oid(lookup, schema, name)).or_else(|| {
            let system = system_tables().iter().find(|table| table.schema_name == schema && table.name == name);
            system.map(oids::of_system_table)
        })
    };
    Ok(match parts.as_slice() {
        [name] => find(&lookup.search_schema, name).or_else(|| find(PG_CATALOG, name)),
        [schema, name] | [_, schema, name] => find(schema, name),
        _ => None,
    })
}

fn key_oid(lookup: &Lookup, schema: &str, name: &str) -> Option<u64> {
    let mut tables = lookup.state.tables().filter(|entry| entry.def.schema == schema);
    tables.find_map(|entry| {
        let key = entry.def.keys.iter().position(|key| key.name == name)?;
        oids::of_key(entry.def.id.0, key)
    })
}

/// Schema and name of a relation, an index included.
fn name_of_relation(lookup: &Lookup, oid: u64) -> Option<(String, String)> {
    let user = lookup.state.relations().find(|relation| oids::of_relation(&lookup.state, relation) == oid);
    match user {
        Some(Relation::Table(entry)) => return Some((entry.def.schema.clone(), entry.def.name.clone())),
        Some(Relation::View(view)) => return Some((view.schema.clone(), view.name.clone())),
        Some(Relation::Sequence(def)) => return Some((def.schema.clone(), def.name.clone())),
        None => {}
    }
    if let Some((entry, key)) = key_of(lookup, oid) {
        return Some((entry.def.schema.clone(), entry.def.keys[key].name.clone()));
    }
    let system = system_tables().iter().find(|table| oids::of_system_table(table) == oid)?;
    Some((system.schema_name.to_owned(), system.name.to_owned()))
}

/// With its schema, if it is not found without.
fn qualified(lookup: &Lookup, schema: &str, name: &str) -> String {
    if schema == PG_CATALOG || schema == lookup.search_schema {
        quoted(name)
    } else {
        format!("{}.{}", quoted(schema), quoted(name))
    }
}

/// The table and the position of the key that has the id.
fn key_of(lookup: &Lookup, oid: u64) -> Option<(&Arc<TableEntry>, usize)> {
    lookup.state.tables().find_map(|entry| {
        let key = (0..entry.def.keys.len()).find(|n| oids::of_key(entry.def.id.0, *n) == Some(oid));
        key.map(|n| (entry, n))
    })
}

fn table_of(lookup: &Lookup, oid: u64) -> Option<&Arc<TableEntry>> {
    let id = oid.checked_sub(oids::FIRST_USER)?;
    lookup.state.table_by_id(damson_cluster::TableId(id))
}

/// The table that the first argument names or is the id of; None also where it is another relation.
fn table<'a>(lookup: &'a Lookup, args: &[ScalarValue]) -> Result<Option<&'a Arc<TableEntry>>> {
    match args.first() {
        Some(value) if is_text(value) => {
            let Some(name) = word(args, 0)? else { return Ok(None) };
            let oid = relation_oid(lookup, &name)?.ok_or_else(|| no_relation(&name))?;
            Ok(table_of(lookup, oid))
        }
        _ => Ok(int(args, 0)?.and_then(|oid| table_of(lookup, oid))),
    }
}

/// NULL for an id that no relation has; 0 for one without files.
fn tablespace_size(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    let asked = match args.first() {
        Some(value) if is_text(value) => match word(args, 0)? {
            Some(name) if name == DEFAULT_TABLESPACE => Some(DEFAULT_OID),
            Some(name) => {
                let known = lookup.state.tablespace(&name).map(|def| oids::of_id(def.id.0));
                let missing = || undefined(SqlState::UNDEFINED_OBJECT, format!("tablespace \"{name}\" does not exist"));
                Some(known.ok_or_else(missing)?)
            }
            None => None,
        },
        _ => int(args, 0)?,
    };
    let is_known =
        |oid: &u64| *oid == DEFAULT_OID || lookup.state.tablespaces().any(|def| oids::of_id(def.id.0) == *oid);
    let size = |oid: u64| {
        let of = |entry: &&Arc<TableEntry>| entry.def.tablespace.map_or(DEFAULT_OID, |id| oids::of_id(id.0)) == oid;
        lookup.state.tables().filter(of).map(|entry| pg_class::bytes(entry)).sum::<u64>().cast_signed()
    };
    Ok(ScalarValue::Int64(asked.filter(is_known).map(size)))
}

fn table_size(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    if let Some(entry) = table(lookup, args)? {
        return Ok(ScalarValue::Int64(Some(pg_class::bytes(entry).cast_signed())));
    }
    let is_known = match args.first() {
        Some(value) if is_text(value) => !value.is_null(),
        _ => int(args, 0)?.is_some_and(|oid| name_of_relation(lookup, oid).is_some()),
    };
    Ok(ScalarValue::Int64(is_known.then_some(0)))
}

fn format_type(_: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    let modifier = signed(args, 1)?;
    Ok(text(int(args, 0)?.map(|oid| pg_types::formatted(oid, modifier))))
}

fn constraint_definition(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(oid) = int(args, 0)? else { return Ok(text(None)) };
    if let Some((entry, key)) = key_of(lookup, oid) {
        return Ok(text(Some(key_definition(&entry.def, &entry.def.keys[key]))));
    }
    let check = lookup.state.tables().find_map(|entry| {
        let n = (0..entry.def.checks.len()).find(|n| oids::of_check(entry.def.id.0, *n) == Some(oid))?;
        let expression = &entry.def.checks[n].expression;
        // With fewer parentheses where the second argument asks for it.
        let is_pretty = matches!(args.get(1), Some(ScalarValue::Boolean(Some(true))));
        Some(if is_pretty { format!("CHECK ({expression})") } else { format!("CHECK (({expression}))") })
    });
    Ok(text(check))
}

/// Of the whole index, or of the column that the second argument numbers.
fn index_text(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some((entry, key)) = int(args, 0)?.and_then(|oid| key_of(lookup, oid)) else { return Ok(text(None)) };
    let key = &entry.def.keys[key];
    Ok(text(match int(args, 1)? {
        None | Some(0) => Some(index_definition(&entry.def, key)),
        Some(column) => {
            let column = usize::try_from(column - 1).ok().and_then(|column| key.columns.get(column));
            column.map(|column| quoted(&entry.def.columns[*column].name))
        }
    }))
}

fn view_definition(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    let oid = match args.first() {
        Some(value) if is_text(value) => match word(args, 0)? {
            Some(name) => Some(relation_oid(lookup, &name)?.ok_or_else(|| no_relation(&name))?),
            None => None,
        },
        _ => int(args, 0)?,
    };
    let name = oid.and_then(|oid| name_of_relation(lookup, oid));
    let view = name.and_then(|(schema, name)| lookup.state.view(&schema, &name).cloned());
    Ok(text(view.filter(|view| view.external.is_none()).map(|view| format!(" {};", view.query.trim_end_matches(';')))))
}

/// The sequence of a column, by the table's name and the column's.
fn serial_sequence(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    let (Some(name), Some(column)) = (word(args, 0)?, word(args, 1)?) else { return Ok(text(None)) };
    let oid = relation_oid(lookup, &name)?.ok_or_else(|| no_relation(&name))?;
    let Some(entry) = table_of(lookup, oid) else { return Ok(text(None)) };
    let Some(position) = entry.def.columns.iter().position(|known| known.name == column) else {
        let message = format!("column \"{column}\" of relation \"{}\" does not exist", entry.def.name);
        return Err(undefined(SqlState::UNDEFINED_COLUMN, message));
    };
    let owned = |owner: crate::catalog::SequenceOwner| owner.table == entry.def.id && owner.column == position;
    let sequence = lookup.state.sequences().find(|def| def.owner.is_some_and(owned));
    Ok(text(sequence.map(|def| format!("{}.{}", quoted(&def.schema), quoted(&def.name)))))
}

fn table_is_visible(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(oid) = int(args, 0)? else { return Ok(ScalarValue::Boolean(None)) };
    let visible = name_of_relation(lookup, oid).map(|(schema, name)| {
        let hidden = || system_tables().iter().any(|table| table.schema_name == PG_CATALOG && table.name == name);
        schema == PG_CATALOG || schema == lookup.search_schema && !hidden()
    });
    Ok(ScalarValue::Boolean(visible))
}

fn literal(value: &str) -> String {
    let escaped = value.replace('\'', "''");
    if value.contains('\\') { format!(" E'{}'", escaped.replace('\\', "\\\\")) } else { format!("'{escaped}'") }
}

/// `format('%s %I %L', …)`: texts, names and literals in their places; `%%`, `%2$s`, and no widths.
fn filled(args: &[ScalarValue]) -> Result<ScalarValue> {
    const NULL_VALUE_NOT_ALLOWED: SqlState = SqlState("22004");
    let Some(form) = word(args, 0)? else { return Ok(text(None)) };
    let wrong = |message: String| undefined(SqlState::INVALID_PARAMETER, message);
    let (mut written, mut next) = (String::new(), 1);
    let mut rest = form.as_str();
    while let Some(at) = rest.find('%') {
        written.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            written.push('%');
            rest = after;
            continue;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if let (Ok(position), Some(after)) = (rest[..digits].parse::<usize>(), rest[digits..].strip_prefix('$')) {
            if position == 0 {
                return Err(wrong("format specifies argument 0, but arguments are numbered from 1".into()));
            }
            (next, rest) = (position, after);
        }
        let Some(kind) = rest.chars().next() else {
            return Err(wrong("unterminated format() type specifier".into()));
        };
        rest = &rest[kind.len_utf8()..];
        if args.len() <= next {
            return Err(wrong("too few arguments for format()".into()));
        }
        let value = shown(args, next);
        next += 1;
        match (kind, value) {
            ('s', value) => written.push_str(&value.unwrap_or_default()),
            ('I', Some(name)) => written.push_str(&quoted(&name)),
            ('I', None) => {
                let message = "null values cannot be formatted as an SQL identifier";
                return Err(undefined(NULL_VALUE_NOT_ALLOWED, message.into()));
            }
            ('L', value) => written.push_str(&value.map_or_else(|| "NULL".into(), |value| literal(&value))),
            (other, _) => return Err(wrong(format!("unrecognized format() type specifier \"{other}\""))),
        }
    }
    Ok(text(Some(written + rest)))
}

/// As PostgreSQL writes sizes: the next unit from 10,240 on, rounded.
fn pretty(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let (mut size, mut unit) = (bytes.unsigned_abs(), 0);
    // From kB on in halves, for rounding.
    while size >= (if unit == 0 { 10_240 } else { 2 * 10_240 - 1 }) && unit + 1 < UNITS.len() {
        size >>= if unit == 0 { 9 } else { 10 };
        unit += 1;
    }
    let shown = if unit == 0 { size } else { size.div_ceil(2) };
    format!("{}{shown} {}", if bytes < 0 { "-" } else { "" }, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_as_in_postgresql() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (10_752, "11 kB"),
            (1_000_000, "977 kB"),
            (123_456_789, "118 MB"),
            (-20_000, "-20 kB"),
        ] {
            assert_eq!(pretty(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn names_are_cut_at_points_outside_quotes() {
        assert_eq!(parts("S.\"A.b\"").unwrap(), ["s", "A.b"]);
        assert_eq!(parts("t").unwrap(), ["t"]);
        assert!(parts("\"open").is_err());
    }

    #[test]
    fn forms_are_filled() {
        let format = |args: &[Option<&str>]| {
            let args: Vec<ScalarValue> = args.iter().map(|arg| text(arg.map(str::to_owned))).collect();
            filled(&args).map(|value| value.try_as_str().flatten().map(str::to_owned))
        };
        assert_eq!(
            format(&[Some("100%% %s|%I|%L"), Some("a"), Some("B c"), Some("it's")]).unwrap().as_deref(),
            Some("100% a|\"B c\"|'it''s'")
        );
        assert_eq!(format(&[Some("%2$s %1$s%s"), Some("a"), Some("b")]).unwrap().as_deref(), Some("b ab"));
        assert_eq!(format(&[Some("%s%L"), None, None]).unwrap().as_deref(), Some("NULL"));
        assert_eq!(format(&[None]).unwrap(), None);
        for wrong in
            [&[Some("%s")][..], &[Some("%")], &[Some("%x"), Some("a")], &[Some("%0$s"), Some("a")], &[Some("%I"), None]]
        {
            assert!(format(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn values_are_quoted() {
        assert_eq!((literal("a'b"), literal("a\\b")), ("'a''b'".into(), " E'a\\\\b'".into()));
        assert_eq!(
            [quoted("a_1"), quoted("A"), quoted("select"), quoted("1a")],
            ["a_1", "\"A\"", "\"select\"", "\"1a\""]
        );
    }
}
