//! `pg_constraint`, `pg_index` and what depends on tables.

use super::cells::{Cell, Row, bigints, boolean, integer, oid, row, smallint, smallints, text};
use super::pg_attribute::DEFAULT_COLLATION;
use super::pg_types::{by_oid, of_sql_type};
use super::table::{SystemContext, SystemTable};
use super::{PG_CATALOG, oids};
use damson_cluster::{KeyDef, TableDef};
use sqlparser::ast::Ident;
use sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, Keyword};

/// PostgreSQL's reserved words, which are no names of columns without quotes.
const RESERVED: &[Keyword] = &[
    Keyword::ALL,
    Keyword::ANALYZE,
    Keyword::AND,
    Keyword::ANY,
    Keyword::ARRAY,
    Keyword::AS,
    Keyword::ASC,
    Keyword::BOTH,
    Keyword::CASE,
    Keyword::CAST,
    Keyword::CHECK,
    Keyword::COLLATE,
    Keyword::COLUMN,
    Keyword::CONSTRAINT,
    Keyword::CREATE,
    Keyword::CROSS,
    Keyword::DEFAULT,
    Keyword::DESC,
    Keyword::DISTINCT,
    Keyword::DO,
    Keyword::ELSE,
    Keyword::END,
    Keyword::EXCEPT,
    Keyword::FALSE,
    Keyword::FETCH,
    Keyword::FOR,
    Keyword::FOREIGN,
    Keyword::FROM,
    Keyword::FULL,
    Keyword::GRANT,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::INNER,
    Keyword::INTERSECT,
    Keyword::INTO,
    Keyword::IS,
    Keyword::JOIN,
    Keyword::LATERAL,
    Keyword::LEADING,
    Keyword::LEFT,
    Keyword::LIKE,
    Keyword::LIMIT,
    Keyword::NATURAL,
    Keyword::NOT,
    Keyword::NULL,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::ONLY,
    Keyword::OR,
    Keyword::ORDER,
    Keyword::OUTER,
    Keyword::OVERLAPS,
    Keyword::PRIMARY,
    Keyword::REFERENCES,
    Keyword::RETURNING,
    Keyword::RIGHT,
    Keyword::SELECT,
    Keyword::SIMILAR,
    Keyword::SOME,
    Keyword::SYMMETRIC,
    Keyword::TABLE,
    Keyword::THEN,
    Keyword::TO,
    Keyword::TRAILING,
    Keyword::TRUE,
    Keyword::UNION,
    Keyword::UNIQUE,
    Keyword::USER,
    Keyword::USING,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WINDOW,
    Keyword::WITH,
];

pub(super) const CONSTRAINT: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_constraint",
    columns: &[
        oid("oid"),
        text("conname"),
        oid("connamespace"),
        text("contype"),
        boolean("condeferrable"),
        boolean("condeferred"),
        boolean("convalidated"),
        oid("conrelid"),
        oid("contypid"),
        oid("conindid"),
        oid("conparentid"),
        oid("confrelid"),
        text("confupdtype"),
        text("confdeltype"),
        text("confmatchtype"),
        boolean("conislocal"),
        integer("coninhcount"),
        boolean("connoinherit"),
        smallints("conkey"),
        smallints("confkey"),
        bigints("conpfeqop"),
        bigints("conppeqop"),
        bigints("conffeqop"),
        bigints("conexclop"),
        text("conbin"),
    ],
    rows: constraints,
};

fn constraints(context: &SystemContext) -> Vec<Row> {
    let mut rows = vec![];
    for entry in context.state.tables() {
        let def = &entry.def;
        let namespace = oids::namespace(context, &def.schema);
        for (n, key) in def.keys.iter().enumerate() {
            let Some(oid) = oids::of_key(def.id.0, n) else { continue };
            let kind = if key.primary { "p" } else { "u" };
            let name = key.name.as_str();
            rows.push(constraint(
                [oid, namespace, oids::of_id(def.id.0), oid],
                name,
                kind,
                numbers(key).into(),
                Cell::Null,
            ));
        }
        for (n, check) in def.checks.iter().enumerate() {
            let Some(oid) = oids::of_check(def.id.0, n) else { continue };
            let expression = check.expression.as_str().into();
            let ids = [oid, namespace, oids::of_id(def.id.0), 0];
            rows.push(constraint(ids, &check.name, "c", Cell::Null, expression));
        }
    }
    rows
}

/// `ids`: its own, its schema's, its table's, its index's.
fn constraint(ids: [u64; 4], name: &str, kind: &'static str, columns: Cell, expression: Cell) -> Row {
    let [oid, namespace, table, index] = ids;
    row![oid, name, namespace, kind, false, false, true, table, 0, index, 0, 0, " ", " ", " ", true, 0, kind != "c",]
        .into_iter()
        .chain([columns, Cell::Null, Cell::Null, Cell::Null, Cell::Null, Cell::Null, expression])
        .collect()
}

/// Columns count from 1.
fn numbers(key: &KeyDef) -> Vec<i64> {
    key.columns.iter().map(|column| *column as i64 + 1).collect()
}

pub(super) const INDEX: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_index",
    columns: &[
        oid("indexrelid"),
        oid("indrelid"),
        smallint("indnatts"),
        smallint("indnkeyatts"),
        boolean("indisunique"),
        boolean("indisprimary"),
        boolean("indisexclusion"),
        boolean("indimmediate"),
        boolean("indisclustered"),
        boolean("indisvalid"),
        boolean("indcheckxmin"),
        boolean("indisready"),
        boolean("indislive"),
        boolean("indisreplident"),
        smallints("indkey"),
        bigints("indcollation"),
        bigints("indclass"),
        smallints("indoption"),
        text("indexprs"),
        text("indpred"),
    ],
    rows: indexes,
};

/// A key is an index to clients, which look for primary keys there. Nothing is stored for it.
fn indexes(context: &SystemContext) -> Vec<Row> {
    let mut rows = vec![];
    for entry in context.state.tables() {
        let def = &entry.def;
        for (n, key) in def.keys.iter().enumerate() {
            let Some(oid) = oids::of_key(def.id.0, n) else { continue };
            let zeros = || vec![0_i64; key.columns.len()];
            let collation = |column: &usize| {
                let (ty, _) = of_sql_type(&def.columns[*column].sql_type);
                by_oid(ty).map_or(0, |known| if known.category == "S" { DEFAULT_COLLATION as i64 } else { 0 })
            };
            rows.push(row![
                oid,
                oids::of_id(def.id.0),
                key.columns.len(),
                key.columns.len(),
                true,
                key.primary,
                false,
                true,
                false,
                true,
                false,
                true,
                true,
                false,
                numbers(key),
                key.columns.iter().map(collation).collect::<Vec<_>>(),
                zeros(),
                zeros(),
                Cell::Null,
                Cell::Null
            ]);
        }
    }
    rows
}

/// `PRIMARY KEY (a, b)`, as `pg_get_constraintdef` gives it.
pub(crate) fn key_definition(def: &TableDef, key: &KeyDef) -> String {
    let kind = if key.primary { "PRIMARY KEY" } else { "UNIQUE" };
    format!("{kind} ({})", key_columns(def, key))
}

/// `CREATE UNIQUE INDEX …`, as `pg_get_indexdef` gives it.
pub(crate) fn index_definition(def: &TableDef, key: &KeyDef) -> String {
    let [name, schema, table] = [&key.name, &def.schema, &def.name].map(|name| quoted(name));
    format!("CREATE UNIQUE INDEX {name} ON {schema}.{table} USING btree ({})", key_columns(def, key))
}

fn key_columns(def: &TableDef, key: &KeyDef) -> String {
    key.columns.iter().map(|column| quoted(&def.columns[*column].name)).collect::<Vec<_>>().join(", ")
}

/// Words that the parser knows, in capitals, and whether they are reserved.
pub(crate) fn keywords() -> impl Iterator<Item = (&'static str, bool)> {
    ALL_KEYWORDS.iter().zip(ALL_KEYWORDS_INDEX).map(|(word, keyword)| (*word, RESERVED.contains(keyword)))
}

/// In quotes where it needs them, as `quote_ident` has it.
pub(crate) fn quoted(name: &str) -> String {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let rest = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let word = ALL_KEYWORDS.binary_search(&name.to_ascii_uppercase().as_str());
    let is_reserved = word.is_ok_and(|n| RESERVED.contains(&ALL_KEYWORDS_INDEX[n]));
    if first && rest && !is_reserved { name.to_owned() } else { Ident::with_quote('"', name).to_string() }
}

pub(super) const DEPEND: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_depend",
    columns: &[
        oid("classid"),
        oid("objid"),
        integer("objsubid"),
        oid("refclassid"),
        oid("refobjid"),
        integer("refobjsubid"),
        text("deptype"),
    ],
    rows: depend,
};

/// Which column a sequence belongs to: what clients look for there.
fn depend(context: &SystemContext) -> Vec<Row> {
    let class = oids::of_catalog("pg_class");
    let owned = context.state.sequences().filter_map(|def| {
        let owner = def.owner?;
        let kind = if owner.identity { "i" } else { "a" };
        let column = i64::try_from(owner.column).unwrap_or_default() + 1;
        Some(row![class, oids::of_id(def.id.0), 0, class, oids::of_id(owner.table.0), column, kind])
    });
    owned.collect()
}
