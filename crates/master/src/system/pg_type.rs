//! `pg_type`, `pg_proc` and what types and functions have beside.

use super::cells::{Cell, Row, bigints, boolean, integer, oid, real, row, smallint, text, texts};
use super::functions::catalog_function_names;
use super::pg_attribute::{DEFAULT_COLLATION, alignment};
use super::pg_types::{PgType, TYPES};
use super::table::{SystemContext, SystemTable};
use super::{PG_CATALOG, oids};

/// What clients tell arrays by: their input and output functions.
const ARRAY_FUNCTIONS: [(u64, &str); 4] =
    [(750, "array_in"), (751, "array_out"), (2400, "array_recv"), (2401, "array_send")];

/// The first id of the functions that read and write a type: four each, in the order of [`TYPES`]. PostgreSQL's own are all over
/// the ids below [`FIRST_FUNCTION`]; clients know these by their names.
const FIRST_IO_FUNCTION: u64 = 9_000;

/// The first id of a function of Damson's, among functions.
const FIRST_FUNCTION: u64 = 10_000;

pub(super) const TYPE: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_type",
    columns: &[
        oid("oid"),
        text("typname"),
        oid("typnamespace"),
        oid("typowner"),
        smallint("typlen"),
        boolean("typbyval"),
        text("typtype"),
        text("typcategory"),
        boolean("typispreferred"),
        boolean("typisdefined"),
        text("typdelim"),
        oid("typrelid"),
        oid("typsubscript"),
        oid("typelem"),
        oid("typarray"),
        oid("typinput"),
        oid("typoutput"),
        oid("typreceive"),
        oid("typsend"),
        oid("typmodin"),
        oid("typmodout"),
        oid("typanalyze"),
        text("typalign"),
        text("typstorage"),
        boolean("typnotnull"),
        oid("typbasetype"),
        integer("typtypmod"),
        integer("typndims"),
        oid("typcollation"),
        text("typdefaultbin"),
        text("typdefault"),
        texts("typacl"),
    ],
    rows: types,
};

fn types(_: &SystemContext) -> Vec<Row> {
    let arrays = TYPES.iter().filter(|known| known.array != 0).map(array_row);
    TYPES.iter().map(type_row).chain(arrays).collect()
}

fn type_row(known: &PgType) -> Row {
    let element = match known.name {
        "int2vector" => 21,
        "oidvector" => 26,
        "name" => 18,
        _ => 0,
    };
    let functions = io_functions(known).map(|ids| ids.map(|(oid, _)| oid)).unwrap_or_default();
    cells(known, known.name.to_owned(), (known.oid, known.length, known.category), (element, known.array), functions)
}

/// Input, output, receive, send: with PostgreSQL's names, by which clients tell what a type's values are. None for
/// pseudo-types.
fn io_functions(known: &PgType) -> Option<[(u64, String); 4]> {
    if known.category == "P" {
        return None;
    }
    let place = TYPES.iter().position(|other| other.oid == known.oid)?;
    // Later types have an underscore.
    let is_late = ["json", "date", "time", "timestamp", "timestamptz", "interval", "numeric", "uuid", "pg_node_tree"]
        .contains(&known.name);
    let name = if is_late { format!("{}_", known.name) } else { known.name.to_owned() };
    let first = FIRST_IO_FUNCTION + 4 * place as u64;
    let function = |(n, verb): (u64, &str)| (first + n, format!("{name}{verb}"));
    Some([(0, "in"), (1, "out"), (2, "recv"), (3, "send")].map(function))
}

fn array_row(item: &PgType) -> Row {
    let functions = ARRAY_FUNCTIONS.map(|(oid, _)| oid);
    cells(item, format!("_{}", item.name), (item.array, -1, "A"), (item.oid, 0), functions)
}

fn cells(
    item: &PgType,
    name: String,
    (oid, length, category): (u64, i16, &'static str),
    (element, array): (u64, u64),
    [input, output, receive, send]: [u64; 4],
) -> Row {
    // Those that PostgreSQL prefers of their category.
    let is_preferred =
        oid == item.oid && ["bool", "text", "float8", "oid", "timestamptz", "interval"].contains(&item.name);
    let is_text = item.category == "S" && item.name != "char";
    row![
        oid,
        name,
        oids::PG_CATALOG_OID,
        oids::OWNER_OID,
        length,
        (1..=8).contains(&length),
        if category == "P" { "p" } else { "b" },
        category,
        is_preferred,
        true,
        ",",
        0,
        0,
        element,
        array,
        input,
        output,
        receive,
        send,
        0,
        0,
        0,
        if length > 0 { alignment(length) } else { alignment(item.length) },
        if length > 0 { "p" } else { "x" },
        false,
        0,
        -1,
        0,
        if is_text { DEFAULT_COLLATION } else { 0 },
        Cell::Null,
        Cell::Null,
        Cell::Null
    ]
}

pub(super) const PROC: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_proc",
    columns: &[
        oid("oid"),
        text("proname"),
        oid("pronamespace"),
        oid("proowner"),
        oid("prolang"),
        real("procost"),
        real("prorows"),
        oid("provariadic"),
        oid("prosupport"),
        text("prokind"),
        boolean("prosecdef"),
        boolean("proleakproof"),
        boolean("proisstrict"),
        boolean("proretset"),
        text("provolatile"),
        text("proparallel"),
        smallint("pronargs"),
        smallint("pronargdefaults"),
        oid("prorettype"),
        bigints("proargtypes"),
        bigints("proallargtypes"),
        texts("proargmodes"),
        texts("proargnames"),
        text("proargdefaults"),
        bigints("protrftypes"),
        text("prosrc"),
        text("probin"),
        text("prosqlbody"),
        texts("proconfig"),
        texts("proacl"),
    ],
    rows: |context| functions(context).into_iter().map(|(oid, name, kind)| proc_row(oid, &name, kind)).collect(),
};

/// Ids, names and `prokind` of functions. An id is good for one build.
pub(super) fn functions(context: &SystemContext) -> Vec<(u64, String, &'static str)> {
    let io = ARRAY_FUNCTIONS.iter().map(|(oid, name)| (*oid, (*name).to_owned(), "f"));
    let io = io.chain(TYPES.iter().filter_map(io_functions).flatten().map(|(oid, name)| (oid, name, "f")));
    let own = context.functions.iter().map(|(name, kind)| (name.clone(), *kind));
    let of_catalog = catalog_function_names().map(|name| (name.to_owned(), "f"));
    let numbered = own.chain(of_catalog).zip(FIRST_FUNCTION..).map(|((name, kind), oid)| (oid, name, kind));
    io.chain(numbered).collect()
}

/// Which of the functions that clients compare by id a name is.
pub(crate) fn function_oid(name: &str) -> Option<u64> {
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    let of_type = || TYPES.iter().filter_map(io_functions).flatten().find(|(_, known)| known == name);
    let of_arrays = ARRAY_FUNCTIONS.iter().find(|(_, known)| *known == name).map(|(oid, _)| *oid);
    of_arrays.or_else(|| of_type().map(|(oid, _)| oid))
}

/// The name of a function that reads or writes a type.
pub(crate) fn function_name(oid: u64) -> Option<String> {
    let of_type = || TYPES.iter().filter_map(io_functions).flatten().find(|(known, _)| *known == oid);
    let of_arrays = ARRAY_FUNCTIONS.iter().find(|(known, _)| *known == oid).map(|(_, name)| (*name).to_owned());
    of_arrays.or_else(|| of_type().map(|(_, name)| name))
}

/// A function takes what its overloads do, which one row cannot say: it is variadic of "any".
fn proc_row(oid: u64, name: &str, kind: &'static str) -> Row {
    row![
        oid,
        name,
        oids::PG_CATALOG_OID,
        oids::OWNER_OID,
        12,
        1.0,
        0.0,
        2276,
        0,
        kind,
        false,
        false,
        false,
        false,
        "s",
        "s",
        1,
        0,
        2276,
        vec![2276_i64],
        Cell::Null,
        vec!["v".to_owned()],
        Cell::Null,
        Cell::Null,
        Cell::Null,
        name,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null
    ]
}

pub(super) const LANGUAGE: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_language",
    columns: &[
        oid("oid"),
        text("lanname"),
        oid("lanowner"),
        boolean("lanispl"),
        boolean("lanpltrusted"),
        oid("lanplcallfoid"),
        oid("laninline"),
        oid("lanvalidator"),
        texts("lanacl"),
    ],
    rows: |_| vec![row![12, "internal", oids::OWNER_OID, false, false, 0, 0, 0, Cell::Null]],
};

pub(super) const COLLATION: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_collation",
    columns: &[
        oid("oid"),
        text("collname"),
        oid("collnamespace"),
        oid("collowner"),
        text("collprovider"),
        boolean("collisdeterministic"),
        integer("collencoding"),
        text("collcollate"),
        text("collctype"),
        text("collversion"),
    ],
    rows: |_| {
        let row = |(oid, name, provider, locale): (u64, &str, &str, &str)| {
            row![oid, name, oids::PG_CATALOG_OID, oids::OWNER_OID, provider, true, -1, locale, locale, Cell::Null]
        };
        [(DEFAULT_COLLATION, "default", "d", ""), (950, "C", "c", "C"), (951, "POSIX", "c", "POSIX")].map(row).to_vec()
    },
};
