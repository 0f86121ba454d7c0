//! Object ids, as clients of PostgreSQL join by them. All follow from ids that the catalog keeps: they stay over restarts and renames.
//!
//! Schemas, tables, views, external tables, sequences and tablespaces have ids of one counter, so that none of them has another's. What
//! belongs to a table, its keys and checks, has numbers of the upper half:
//!
//! | oid | of |
//! |---|---|
//! | below 10,000 | PostgreSQL's own: types, `pg_class`, `pg_catalog` |
//! | 12,000 + n | the n-th system table that PostgreSQL has not, or gives no fixed id |
//! | 16,384 + id | what has an id of the catalog |
//! | 2^31 + 256 id + n | the n-th key (from 0) or check (from 128) of the table `id`, and its n-th column's default in `pg_attrdef` |
//!
//! So 8,388,607 ids have room for their tables' keys below 2^32. A sequence's changes when it is RESTARTed.

use super::table::{SystemContext, SystemTable, system_tables};
use super::{INFORMATION_SCHEMA, PG_CATALOG};
use crate::catalog::{CatalogState, Relation};
use crate::sql::DEFAULT_SCHEMA;

/// The first that users' objects can have.
pub(crate) const FIRST_USER: u64 = 16_384;
const FIRST_SYSTEM: u64 = 12_000;
const FIRST_OF_TABLES: u64 = 1 << 31;
/// Objects of one table that have an id.
const OBJECTS_OF_TABLE: u64 = 256;
/// Of those, keys.
const KEYS_OF_TABLE: usize = 128;

pub(crate) const DATABASE_OID: u64 = 5;
pub(crate) const OWNER_OID: u64 = 10;
pub(crate) const PG_CATALOG_OID: u64 = 11;
const PUBLIC_OID: u64 = 2200;
const INFORMATION_SCHEMA_OID: u64 = 12_999;

/// Catalogs whose ids PostgreSQL gives by hand, and clients write as numbers or look descriptions up by.
const KNOWN: &[(&str, u64)] = &[
    ("pg_type", 1247),
    ("pg_attribute", 1249),
    ("pg_proc", 1255),
    ("pg_class", 1259),
    ("pg_attrdef", 2604),
    ("pg_constraint", 2606),
    ("pg_depend", 2608),
    ("pg_description", 2609),
    ("pg_index", 2610),
    ("pg_inherits", 2611),
    ("pg_language", 2612),
    ("pg_namespace", 2615),
    ("pg_operator", 2617),
    ("pg_opclass", 2616),
    ("pg_am", 2601),
    ("pg_rewrite", 2618),
    ("pg_trigger", 2620),
    ("pg_cast", 2605),
    ("pg_enum", 3501),
    ("pg_range", 3541),
    ("pg_extension", 3079),
    ("pg_policy", 3256),
    ("pg_collation", 3456),
    ("pg_database", 1262),
    ("pg_tablespace", 1213),
    ("pg_shdescription", 2396),
    ("pg_auth_members", 1261),
    ("pg_foreign_table", 3118),
    ("pg_foreign_server", 1417),
    ("pg_sequence", 2224),
    ("pg_publication", 6104),
    ("pg_publication_rel", 6106),
    ("pg_statistic_ext", 3381),
    ("pg_partitioned_table", 3350),
];

/// Of an id that the catalog has given.
pub(crate) fn of_id(id: u64) -> u64 {
    FIRST_USER + id
}

/// Of the n-th key of a table, in its constraint's and its index's role; None after the 128th.
pub(crate) fn of_key(table: u64, n: usize) -> Option<u64> {
    (n < KEYS_OF_TABLE).then(|| FIRST_OF_TABLES + table * OBJECTS_OF_TABLE + n as u64)
}

/// Of the n-th check of a table; None after the 128th.
pub(crate) fn of_check(table: u64, n: usize) -> Option<u64> {
    of_key(table, n).map(|oid| oid + KEYS_OF_TABLE as u64)
}

/// Of a column's default, among those in `pg_attrdef`; 0 after the 256th column.
pub(super) fn of_default(table: u64, column: usize) -> u64 {
    let column = column as u64;
    if column < OBJECTS_OF_TABLE { FIRST_OF_TABLES + table * OBJECTS_OF_TABLE + column } else { 0 }
}

/// Of a schema; None where there is none of that name.
pub(crate) fn of_schema(state: &CatalogState, name: &str) -> Option<u64> {
    match name {
        PG_CATALOG => Some(PG_CATALOG_OID),
        INFORMATION_SCHEMA => Some(INFORMATION_SCHEMA_OID),
        _ => state.schema_id(name).map(of_id).or_else(|| (name == DEFAULT_SCHEMA).then_some(PUBLIC_OID)),
    }
}

/// All schemas with their ids.
pub(crate) fn schemas(state: &CatalogState) -> Vec<(u64, String)> {
    let names = [PG_CATALOG, INFORMATION_SCHEMA].into_iter().chain(state.schemas());
    names.filter_map(|name| Some((of_schema(state, name)?, name.to_owned()))).collect()
}

/// Of a table, view, external table or sequence.
pub(crate) fn of_relation(state: &CatalogState, relation: &Relation) -> u64 {
    match relation {
        Relation::Table(entry) => of_id(entry.def.id.0),
        // Every view has been given one: see `Workspace::create_view`.
        Relation::View(view) => state.view_id(&view.schema, &view.name).map_or(0, of_id),
        Relation::Sequence(def) => of_id(def.id.0),
    }
}

/// Of a system table.
pub(crate) fn of_system_table(table: &SystemTable) -> u64 {
    let known = KNOWN.iter().find(|(name, _)| *name == table.name && table.schema_name == PG_CATALOG);
    let position = || system_tables().iter().position(|other| std::ptr::eq(other, table)).unwrap_or_default();
    known.map_or_else(|| FIRST_SYSTEM + position() as u64, |(_, oid)| *oid)
}

/// A catalog's own id, as `classoid` and `classid` have it.
pub(crate) fn of_catalog(name: &str) -> u64 {
    KNOWN.iter().find(|(known, _)| *known == name).map_or(0, |(_, oid)| *oid)
}

/// Of a schema that a row names: the state has it.
pub(super) fn namespace(context: &SystemContext, schema: &str) -> u64 {
    of_schema(&context.state, schema).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn objects_of_neighbours_differ() {
        let mut seen = BTreeSet::new();
        for table in 1..4 {
            for n in 0..KEYS_OF_TABLE {
                assert!(seen.insert(of_key(table, n).unwrap()) && seen.insert(of_check(table, n).unwrap()));
            }
            assert!(seen.insert(of_id(table)));
        }
        assert_eq!((of_key(1, KEYS_OF_TABLE), of_check(1, KEYS_OF_TABLE)), (None, None));
        assert!(of_check((1 << 23) - 1, KEYS_OF_TABLE - 1).unwrap() <= u64::from(u32::MAX));
    }

    #[test]
    fn system_tables_differ() {
        let oids: BTreeSet<u64> = system_tables().iter().map(of_system_table).collect();
        assert_eq!(oids.len(), system_tables().len());
        assert!(oids.iter().all(|oid| *oid < FIRST_USER));
    }
}
