//! What clients of PostgreSQL write in their questions about the catalog, in words that the binder knows: functions, types and operators
//! with `pg_catalog.` in front, casts to `regclass` and its like, session functions, `ARRAY(SELECT …)`.

use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{DATABASE, fold, parse_expression, walk_mut};
use crate::system::PG_CATALOG;
use crate::system::functions::{REGCLASS, REGNAMESPACE, REGOPERATOR, REGPROC, REGROLE, REGTYPE, is_catalog_function};
use damson_pg::values::array_from_text;
use sqlparser::ast::{
    self, AccessExpr, ArrayElemTypeDef, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, ObjectName, OrderByKind,
    Query, Select, SelectItem, SetExpr, TableFactor, Value, VisitorMut,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use uuid::Uuid;

/// What is constant for a statement.
pub(super) struct SessionFacts<'a> {
    /// The role whose rights count.
    pub user: &'a str,
    pub session_user: &'a str,
    pub search_schema: &'a str,
    pub session: u64,
    /// A setting's value; None where there is none of that name.
    pub setting: &'a dyn Fn(&str) -> Option<String>,
}

/// What was found in a statement.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Names of the catalog's functions that it calls.
    pub called: BTreeSet<String>,
    /// Whether it takes fields out of records.
    pub takes_fields: bool,
}

/// Rewrites a statement whose columns have their names already.
///
/// # Errors
/// 42704 for `current_setting` of what is none.
pub(super) fn write_out_client_names(statement: &mut ast::Statement, facts: &SessionFacts<'_>) -> SqlResult<Found> {
    let mut rewrite = ClientNames { facts, called: BTreeSet::new(), takes_fields: false };
    if let ControlFlow::Break(error) = walk_mut(statement, &mut rewrite) {
        return Err(error);
    }
    if let ast::Statement::Query(query) = statement {
        show_names(&mut query.body, &mut rewrite.called);
    }
    Ok(Found { called: rewrite.called, takes_fields: rewrite.takes_fields })
}

struct ClientNames<'a> {
    facts: &'a SessionFacts<'a>,
    called: BTreeSet<String>,
    takes_fields: bool,
}

/// Types that stand for objects, and the function that a cast to each is.
const OBJECT_TYPES: [(&str, &str); 8] = [
    ("regclass", REGCLASS),
    ("regtype", REGTYPE),
    ("regproc", REGPROC),
    ("regprocedure", REGPROC),
    ("regoper", REGOPERATOR),
    ("regoperator", REGOPERATOR),
    ("regnamespace", REGNAMESPACE),
    ("regrole", REGROLE),
];

impl VisitorMut for ClientNames<'_> {
    type Break = SqlError;

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor {
            strip_schema(name);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match self.rewritten(expr) {
            Ok(Some(new)) => *expr = new,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

impl ClientNames<'_> {
    fn rewritten(&mut self, expr: &mut Expr) -> SqlResult<Option<Expr>> {
        match expr {
            Expr::Identifier(name)
                if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("current_schema") =>
            {
                Ok(Some(text(self.facts.search_schema)))
            }
            Expr::Function(function) => self.function(function),
            Expr::CompoundFieldAccess { root, access_chain } => {
                let field = field(root, access_chain);
                self.takes_fields |= field.is_some();
                Ok(field)
            }
            Expr::Collate { expr, collation } if is_plain_collation(collation) => Ok(Some(expr.as_ref().clone())),
            Expr::BinaryOp { op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                    && let Some(known) = operator(parts)
                {
                    *op = known;
                }
                Ok(None)
            }
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                if let Expr::Value(literal) = right.as_ref()
                    && let Some(list) = untyped_list(&literal.value)
                {
                    **right = list;
                }
                Ok(None)
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, .. } => {
                if matches!(data_type, DataType::Interval { .. }) {
                    write_out_interval(expr);
                }
                self.cast(expr, data_type)
            }
            Expr::Interval(interval) if interval.leading_field.is_none() => {
                write_out_interval(&mut interval.value);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn cast(&mut self, value: &Expr, data_type: &mut DataType) -> SqlResult<Option<Expr>> {
        if let Some(function) = object_type(data_type) {
            return Ok(Some(self.call(function, value.clone())));
        }
        if let Some(known) = known_type(data_type)? {
            *data_type = known;
        }
        // Its values are texts.
        if *data_type == DataType::Uuid {
            *data_type = DataType::Text;
            return literal_text(value).map(uuid).transpose();
        }
        let is_text = matches!(
            data_type,
            DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::CharVarying(_)
        );
        let function = object_function(value).or_else(|| is_function_column(value).then_some(REGPROC));
        if is_text && let Some(function) = function {
            return Ok(Some(self.call(&format!("{function}_name"), value.clone())));
        }
        match (value, &*data_type) {
            // '{a,b}'::text[]
            (Expr::Value(literal), DataType::Array(ArrayElemTypeDef::SquareBracket(item, _))) => {
                Ok(array_literal(&literal.value, item))
            }
            _ => Ok(None),
        }
    }

    fn call(&mut self, function: &str, argument: Expr) -> Expr {
        self.called.insert(function.to_owned());
        call(function, vec![argument])
    }

    fn function(&mut self, function: &mut Function) -> SqlResult<Option<Expr>> {
        strip_schema(&mut function.name);
        let [part] = function.name.0.as_slice() else { return Ok(None) };
        let Some(name) = part.as_ident().map(fold) else { return Ok(None) };
        if let (true, FunctionArguments::Subquery(query)) = (name.eq_ignore_ascii_case("array"), &function.args) {
            return Ok(array_of(query));
        }
        if is_catalog_function(&name) {
            self.called.insert(name);
            return Ok(None);
        }
        let facts = self.facts;
        Ok(Some(match name.as_str() {
            "current_database" | "current_catalog" => text(DATABASE),
            "current_user" | "user" | "current_role" => text(facts.user),
            "session_user" => text(facts.session_user),
            "current_schema" => text(facts.search_schema),
            "version" => {
                let version = (facts.setting)("server_version").unwrap_or_default();
                text(&format!("PostgreSQL {version} {}", env!("CARGO_PKG_VERSION")))
            }
            "pg_backend_pid" => number(facts.session),
            "pg_my_temp_schema" => number(0),
            "pg_is_in_recovery" | "pg_is_other_temp_schema" | "pg_is_wal_replay_paused" => boolean(false),
            "getdatabaseencoding" | "pg_client_encoding" => text("UTF8"),
            "inet_client_addr" | "inet_server_addr" => super::ast::null(),
            "current_schemas" => {
                let with_system =
                    !matches!(argument(function, 0), Some(Expr::Value(v)) if v.value == Value::Boolean(false));
                let names = with_system.then_some(PG_CATALOG).into_iter().chain([facts.search_schema]);
                array(names.map(text).collect())
            }
            "_pg_expandarray" => match argument(function, 0) {
                Some(elements) => expanded(elements.clone()),
                None => return Ok(None),
            },
            "array_upper" | "array_lower" => match array_bound(function, name == "array_upper") {
                Some(bound) => bound,
                None => return Ok(None),
            },
            "generate_subscripts" => match subscripts(function) {
                Some(subscripts) => subscripts,
                None => return Ok(None),
            },
            "current_setting" => match argument(function, 0).and_then(literal_text) {
                None => match argument(function, 0) {
                    Some(name) => setting_named(name)?,
                    None => return Ok(None),
                },
                Some(setting) => match (facts.setting)(&setting.to_ascii_lowercase()) {
                    Some(value) => text(&value),
                    None if argument(function, 1).is_some() => super::ast::null(),
                    None => {
                        let message = format!("unrecognized configuration parameter \"{setting}\"");
                        return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
                    }
                },
            },
            _ => return Ok(None),
        }))
    }
}

/// A value of an object's type is shown by its name, in the rows of the whole statement, and a vector as its elements
/// with spaces between.
fn show_names(body: &mut SetExpr, called: &mut BTreeSet<String>) {
    match body {
        SetExpr::Select(select) => {
            let Select { from, projection, .. } = select.as_mut();
            // Asked of few columns: most statements are not written out for it.
            let reads = |table: &str| from.iter().any(|from| from.to_string().contains(table));
            for item in projection {
                let (SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr)) = item else { continue };
                if is_vector(expr) && (reads("pg_index") || reads("pg_proc")) {
                    *expr = call("array_to_string", vec![expr.clone(), text(" ")]);
                }
                let column = || (is_function_column(expr) && reads("pg_type")).then_some(REGPROC);
                if let Some(function) = object_function(expr).or_else(column) {
                    let name = format!("{function}_name");
                    *expr = call(&name, vec![expr.clone()]);
                    called.insert(name);
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            show_names(left, called);
            show_names(right, called);
        }
        SetExpr::Query(query) => show_names(&mut query.body, called),
        _ => {}
    }
}

/// Columns of `pg_type` that are of type regproc.
const FUNCTION_COLUMNS: [&str; 4] = ["typinput", "typoutput", "typreceive", "typsend"];

/// The function of an expression that is a cast to an object's type.
fn object_function(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Nested(inner) => object_function(inner),
        Expr::Function(function) => {
            let name = function.name.0.first()?.as_ident()?;
            OBJECT_TYPES.iter().map(|(_, function)| *function).find(|known| *known == name.value)
        }
        _ => None,
    }
}

fn is_function_column(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Nested(inner) => return is_function_column(inner),
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    name.is_some_and(|name| FUNCTION_COLUMNS.contains(&fold(name).as_str()))
}

/// Takes `pg_catalog.` away, and `information_schema.`, whose functions have names of their own.
fn strip_schema(name: &mut ObjectName) {
    if let [schema, _] = name.0.as_slice()
        && let Some(schema) = schema.as_ident().map(fold)
        && [PG_CATALOG, crate::system::INFORMATION_SCHEMA].contains(&schema.as_str())
    {
        name.0.remove(0);
    }
}

/// Texts are compared by their bytes, as these collations do.
fn is_plain_collation(collation: &ObjectName) -> bool {
    let name = collation.0.last().and_then(|part| part.as_ident()).map(fold);
    name.is_some_and(|name| ["default", "C", "c", "POSIX", "posix", "ucs_basic"].contains(&name.as_str()))
}

/// `OPERATOR(pg_catalog.~)`.
fn operator(parts: &[String]) -> Option<BinaryOperator> {
    let symbol = match parts {
        [symbol] => symbol,
        [schema, symbol] if schema == PG_CATALOG => symbol,
        _ => return None,
    };
    Some(match symbol.as_str() {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "||" => BinaryOperator::StringConcat,
        _ => return None,
    })
}

/// The name of a type that the parser does not know, without `pg_catalog.`, folded.
fn type_name(data_type: &DataType) -> Option<(String, bool, &[String])> {
    let DataType::Custom(name, modifiers) = data_type else { return None };
    let parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    match parts.as_slice() {
        [name] => Some((fold(name), false, modifiers)),
        [schema, name] if fold(schema) == PG_CATALOG => Some((fold(name), true, modifiers)),
        _ => None,
    }
}

fn object_type(data_type: &DataType) -> Option<&'static str> {
    if let DataType::Regclass = data_type {
        return Some(REGCLASS);
    }
    let (name, ..) = type_name(data_type)?;
    OBJECT_TYPES.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

/// The type by the name that the binder knows; None: it knows the type, or nobody does.
fn known_type(data_type: &DataType) -> SqlResult<Option<DataType>> {
    if let DataType::Array(ArrayElemTypeDef::SquareBracket(item, length)) = data_type {
        let item = known_type(item)?.or_else(|| object_type(item).map(|_| DataType::BigInt(None)));
        return Ok(item.map(|item| DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(item), *length))));
    }
    let Some((name, is_qualified, modifiers)) = type_name(data_type) else { return Ok(None) };
    Ok(match name.as_str() {
        "oid" | "xid" | "xid8" | "cid" => Some(DataType::BigInt(None)),
        "name" | "char" | "bpchar" | "cstring" | "citext" | "unknown" | "aclitem" | "pg_node_tree" => {
            Some(DataType::Text)
        }
        name if is_qualified => {
            let modifiers = if modifiers.is_empty() { String::new() } else { format!("({})", modifiers.join(",")) };
            match parse_expression(&format!("CAST(NULL AS {name}{modifiers})"))? {
                Expr::Cast { data_type, .. } => Some(data_type),
                _ => None,
            }
        }
        _ => None,
    })
}

/// Whether it is a column of the catalog that PostgreSQL has as int2vector or oidvector, and Damson as an array.
fn is_vector(expr: &Expr) -> bool {
    const VECTORS: [&str; 5] = ["indkey", "indclass", "indcollation", "indoption", "proargtypes"];
    let name = match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    name.is_some_and(|name| VECTORS.contains(&fold(name).as_str()))
}

/// `generate_subscripts(elements, dimension)`: a row for each element. Vectors of the catalog begin with 0, arrays with 1.
fn subscripts(function: &Function) -> Option<Expr> {
    let (elements, dimension) = (argument(function, 0)?, argument(function, 1)?);
    let first = number(u64::from(!is_vector(elements)));
    let length = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(call("array_length", vec![elements.clone(), dimension.clone()])),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    };
    // Not the last one.
    let end = Expr::BinaryOp { left: Box::new(length), op: BinaryOperator::Plus, right: Box::new(first.clone()) };
    Some(call("unnest", vec![call("range", vec![first, end])]))
}

/// A constant interval with a time of day, or in ISO 8601's form, in the words that the binder reads. What is wrong with others, it tells.
fn write_out_interval(value: &mut Expr) {
    let Expr::Value(literal) = value else { return };
    let Value::SingleQuotedString(written) = &mut literal.value else { return };
    let is_words = !written.contains([':', 'P', '@']) && !written.to_ascii_lowercase().contains("ago");
    if !is_words && let Ok((months, days, nanos)) = damson_pg::values::interval_from_text(written) {
        *written = format!("{months} months {days} days {nanos} nanoseconds");
    }
}

/// `'{a,b}'` as an array of a type; None where its elements are not plain words.
fn array_literal(literal: &Value, item: &DataType) -> Option<Expr> {
    let element = |word: Option<String>| {
        let expr = word.map_or_else(super::ast::null, |word| text(&word));
        Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type: item.clone(), array: false, format: None }
    };
    Some(array(items(literal)?.into_iter().map(element).collect()))
}

/// The items of `'{a,"b c",NULL}'`; None for what is no list, and for a list of lists.
fn items(literal: &Value) -> Option<Vec<Option<String>>> {
    let Value::SingleQuotedString(written) = literal else { return None };
    array_from_text(written).ok()
}

/// `'{a,b}'` where only an array can be: of numbers if all are some.
fn untyped_list(literal: &Value) -> Option<Expr> {
    let is_number = |word: &String| word.parse::<i64>().is_ok();
    let is_numbers = items(literal)?.iter().flatten().all(is_number);
    array_literal(literal, &if is_numbers { DataType::BigInt(None) } else { DataType::Text })
}

/// `ARRAY(SELECT x …)` as a subquery that gathers its rows; None where the query is not a plain SELECT of one column.
fn array_of(query: &Query) -> Option<Expr> {
    let mut query = query.clone();
    let keys = match query.order_by.take().map(|order| order.kind) {
        Some(OrderByKind::Expressions(keys)) => keys,
        Some(OrderByKind::All(_)) => return None,
        None => vec![],
    };
    let (limit, fetch) = (query.limit_clause.is_some(), query.fetch.is_some());
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let Select { distinct: None, projection, group_by, having: None, .. } = select.as_mut() else { return None };
    let is_grouped = !matches!(group_by, ast::GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] = projection.as_slice() else {
        return None;
    };
    if limit || fetch || is_grouped {
        return None;
    }
    let value = value.clone();
    let keys = keys.into_iter().map(|key| {
        let expr = if is_one(&key.expr) { value.clone() } else { key.expr };
        ast::OrderByExpr { expr, ..key }
    });
    let keys: Vec<_> = keys.collect();
    let mut gathered = call("array_agg", vec![value.clone()]);
    if let (false, Expr::Function(Function { args: FunctionArguments::List(list), .. })) =
        (keys.is_empty(), &mut gathered)
    {
        list.clauses.push(FunctionArgumentClause::OrderBy(keys));
    }
    *projection = vec![SelectItem::ExprWithAlias { expr: gathered, alias: Ident::with_quote('"', "array") }];
    Some(Expr::Subquery(Box::new(query)))
}

/// `_pg_expandarray(elements)`: a row for each, with the element as `x` and its number as `n`.
fn expanded(elements: Expr) -> Expr {
    let count = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(call("cardinality", vec![elements.clone()])),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    };
    let numbers = call("generate_series", vec![number(1), count]);
    let [element, position] = [elements, numbers].map(|list| call("unnest", vec![list]));
    call("named_struct", vec![text("x"), element, text("n"), position])
}

/// A uuid as PostgreSQL writes it.
fn uuid(written: &str) -> SqlResult<Expr> {
    let invalid =
        |_| SqlError::new(SqlState::INVALID_TEXT, format!("invalid input syntax for type uuid: \"{written}\""));
    let uuid = Uuid::try_parse(written.trim()).map_err(invalid)?;
    Ok(Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(text(&uuid.hyphenated().to_string())),
        data_type: DataType::Text,
        array: false,
        format: None,
    })
}

/// `array_upper(elements, 1)`, or the lower bound: arrays begin with 1.
fn array_bound(function: &Function, is_upper: bool) -> Option<Expr> {
    let (elements, dimension) = (argument(function, 0)?, argument(function, 1)?);
    // The binder wants a number where a table function is called.
    if let (Expr::Array(list), true) = (elements, is_one(dimension)) {
        return Some(match list.elem.len() {
            0 => super::ast::null(),
            length => number(if is_upper { length as u64 } else { 1 }),
        });
    }
    let length = call("array_length", vec![elements.clone(), dimension.clone()]);
    // An empty array has no bounds.
    let length = call("nullif", vec![length, number(0)]);
    let bound = if is_upper {
        length
    } else {
        let floor =
            Expr::BinaryOp { left: Box::new(length.clone()), op: BinaryOperator::Minus, right: Box::new(length) };
        Expr::BinaryOp { left: Box::new(number(1)), op: BinaryOperator::Plus, right: Box::new(floor) }
    };
    Some(Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(bound),
        data_type: DataType::Integer(None),
        array: false,
        format: None,
    })
}

fn is_one(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(v) if v.value == Value::Number("1".into(), false))
}

/// `current_setting(name)` of a name that is no constant.
fn setting_named(column: &Expr) -> SqlResult<Expr> {
    parse_expression(&format!(
        "(SELECT damson_setting.setting FROM pg_catalog.pg_settings AS damson_setting WHERE damson_setting.name = lower({column}))"
    ))
}

/// `(record).name`; of a record that is made there, what is put in.
fn field(root: &Expr, access: &[AccessExpr]) -> Option<Expr> {
    let (Expr::Nested(record), [AccessExpr::Dot(Expr::Identifier(name))]) = (root, access) else { return None };
    let name = fold(name);
    if let Expr::Function(function) = record.as_ref()
        && function.name.to_string() == "named_struct"
    {
        let mut names = (0..).step_by(2).map_while(|n| Some((n, literal_text(argument(function, n)?)?)));
        let position = names.find(|(_, known)| *known == name).map(|(n, _)| n + 1);
        return argument(function, position?).cloned();
    }
    Some(call("get_field", vec![record.as_ref().clone(), text(&name)]))
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

fn argument(function: &Function, n: usize) -> Option<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.get(n)? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_owned()).with_empty_span())
}

fn number(value: u64) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).with_empty_span())
}

fn boolean(value: bool) -> Expr {
    Expr::Value(Value::Boolean(value).with_empty_span())
}

fn array(elem: Vec<Expr>) -> Expr {
    Expr::Array(ast::Array { elem, named: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    fn rewritten(query: &str) -> SqlResult<(String, Vec<String>)> {
        let sql::Statement::Query(mut statement) = sql::parse(query).unwrap() else { panic!("{query} is a query") };
        let setting = |name: &str| (name == "timezone").then(|| "UTC".to_owned());
        let facts =
            SessionFacts { user: "ann", session_user: "bob", search_schema: "public", session: 7, setting: &setting };
        let found = write_out_client_names(&mut statement, &facts)?;
        Ok((statement.to_string(), found.called.into_iter().collect()))
    }

    #[test]
    fn clients_words_are_the_binders() {
        for (written, expected, called) in [
            (
                "SELECT c.relname ~ 'x' FROM pg_class AS c WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default",
                "SELECT c.relname ~ 'x' FROM pg_class AS c WHERE c.relname ~ '^(t)$'",
                vec![],
            ),
            (
                "SELECT 1 FROM pg_class WHERE oid = 't'::pg_catalog.regclass::oid",
                "SELECT 1 FROM pg_class WHERE oid = damson_regclass('t')::BIGINT",
                vec!["damson_regclass"],
            ),
            (
                "SELECT oid::regclass::text FROM pg_class",
                "SELECT damson_regclass_name(damson_regclass(oid)) FROM pg_class",
                vec!["damson_regclass", "damson_regclass_name"],
            ),
            (
                "SELECT INTERVAL '-1 day 00:00:01.5', '3:00:00'::INTERVAL, INTERVAL '1 day'",
                "SELECT INTERVAL '0 months -1 days 1500000000 nanoseconds', \
                 '0 months 0 days 10800000000000 nanoseconds'::INTERVAL, INTERVAL '1 day'",
                vec![],
            ),
            (
                "SELECT i.indoption AS o, unnest(i.indkey) AS k FROM pg_catalog.pg_index AS i",
                "SELECT array_to_string(i.indoption, ' ') AS o, unnest(i.indkey) AS k FROM pg_catalog.pg_index AS i",
                vec![],
            ),
            ("SELECT indkey FROM t", "SELECT indkey FROM t", vec![]),
            (
                "SELECT generate_subscripts(i.indkey, 1) AS n, pg_catalog.generate_subscripts(a, 1) AS m FROM pg_index AS i",
                "SELECT unnest(range(0, CAST(array_length(i.indkey, 1) AS BIGINT) + 0)) AS n, \
                 unnest(range(1, CAST(array_length(a, 1) AS BIGINT) + 1)) AS m FROM pg_index AS i",
                vec![],
            ),
            (
                "SELECT 1 FROM pg_class WHERE relkind = ANY('{r,v}')",
                "SELECT 1 FROM pg_class WHERE relkind = ANY(ARRAY[CAST('r' AS TEXT), CAST('v' AS TEXT)])",
                vec![],
            ),
            (
                "SELECT oid::regclass AS r FROM pg_class",
                "SELECT damson_regclass_name(damson_regclass(oid)) AS r FROM pg_class",
                vec!["damson_regclass", "damson_regclass_name"],
            ),
            (
                "SELECT pg_catalog.format_type(1, 2)::pg_catalog.text, current_user, pg_catalog.pg_backend_pid()",
                "SELECT format_type(1, 2)::TEXT, 'ann', 7",
                vec!["format_type"],
            ),
            (
                "SELECT 'r'::\"char\", 'x'::name = ANY (current_schemas(false)), '{a,b}'::name[]",
                "SELECT 'r'::TEXT, 'x'::TEXT = ANY(ARRAY['public']), ARRAY[CAST('a' AS TEXT), CAST('b' AS TEXT)]",
                vec![],
            ),
            (
                "SELECT ARRAY(SELECT r.rolname FROM pg_roles AS r WHERE r.oid = 1 ORDER BY 1)",
                "SELECT (SELECT array_agg(r.rolname ORDER BY r.rolname) AS \"array\" FROM pg_roles AS r WHERE r.oid = 1)",
                vec![],
            ),
            (
                "SELECT (information_schema._pg_expandarray(k)).n, (r.keys).x FROM r",
                "SELECT unnest(generate_series(1, CAST(cardinality(k) AS BIGINT))), get_field(r.keys, 'x') FROM r",
                vec![],
            ),
            (
                "SELECT pg_catalog.current_setting('TimeZone'), current_setting('no', true)",
                "SELECT 'UTC', NULL",
                vec![],
            ),
            (
                "SELECT a = ANY ('{x,y}'), b <> ALL ('{1,2}') FROM s",
                "SELECT a = ANY(ARRAY[CAST('x' AS TEXT), CAST('y' AS TEXT)]), b <> ALL(ARRAY[CAST('1' AS BIGINT), CAST('2' AS BIGINT)]) FROM s",
                vec![],
            ),
            (
                "SELECT current_setting(s.name) FROM s",
                "SELECT (SELECT damson_setting.setting FROM pg_catalog.pg_settings AS damson_setting WHERE damson_setting.name = lower(s.name)) FROM s",
                vec![],
            ),
            (
                "SELECT 1 FROM generate_series(1, array_upper(current_schemas(false), 1)) AS g(x)",
                "SELECT 1 FROM generate_series(1, 1) AS g (x)",
                vec![],
            ),
            ("SELECT array_upper(k, 1) FROM r", "SELECT CAST(nullif(array_length(k, 1), 0) AS INTEGER) FROM r", vec![]),
            (
                "SELECT NULL::uuid, k::uuid, '00112233445566778899AABBCCDDEEFF'::uuid FROM r",
                "SELECT NULL::TEXT, k::TEXT, CAST('00112233-4455-6677-8899-aabbccddeeff' AS TEXT) FROM r",
                vec![],
            ),
        ] {
            let (text, functions) = rewritten(written).unwrap();
            assert_eq!(
                (text.as_str(), functions),
                (expected, called.into_iter().map(str::to_owned).collect()),
                "{written}"
            );
        }
    }

    #[test]
    fn what_is_no_uuid_is_refused() {
        assert_eq!(rewritten("SELECT 'x'::uuid").unwrap_err().state, SqlState::INVALID_TEXT);
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert_eq!(rewritten("SELECT current_setting('no')").unwrap_err().state, SqlState::UNDEFINED_OBJECT);
    }
}
