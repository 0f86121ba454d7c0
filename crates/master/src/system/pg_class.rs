//! `pg_class`, `pg_namespace` and what tells of relations as wholes.

use super::cells::{Cell, Row, bigint, boolean, integer, oid, real, row, smallint, text, texts};
use super::pg_roles::owner_oid;
use super::relations::{Kind, Listed, relations};
use super::table::{SystemContext, SystemTable};
use super::{PG_CATALOG, oids};
use crate::catalog::{Object, TableEntry};
use damson_cluster::Distribution;

/// The access method of tables, and the one that clients expect of keys.
pub(super) const PARQUET: (u64, &str) = (9000, "parquet");
pub(super) const BTREE: (u64, &str) = (403, "btree");

/// Bytes of a page, by which clients of PostgreSQL reckon sizes.
const PAGE_BYTES: u64 = 8192;

pub(super) const CLASS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_class",
    columns: &[
        oid("oid"),
        text("relname"),
        oid("relnamespace"),
        oid("reltype"),
        oid("reloftype"),
        oid("relowner"),
        oid("relam"),
        oid("relfilenode"),
        oid("reltablespace"),
        integer("relpages"),
        real("reltuples"),
        integer("relallvisible"),
        oid("reltoastrelid"),
        boolean("relhasindex"),
        boolean("relisshared"),
        text("relpersistence"),
        text("relkind"),
        smallint("relnatts"),
        smallint("relchecks"),
        boolean("relhasrules"),
        boolean("relhastriggers"),
        boolean("relhassubclass"),
        boolean("relrowsecurity"),
        boolean("relforcerowsecurity"),
        boolean("relispopulated"),
        text("relreplident"),
        boolean("relispartition"),
        oid("relrewrite"),
        bigint("relfrozenxid"),
        bigint("relminmxid"),
        texts("relacl"),
        texts("reloptions"),
        text("relpartbound"),
    ],
    rows: class,
};

struct ClassRow<'a> {
    oid: u64,
    name: &'a str,
    namespace: u64,
    owner: u64,
    access_method: u64,
    tablespace: u64,
    pages: i32,
    /// -1: not known.
    tuples: f64,
    has_index: bool,
    kind: &'static str,
    columns: usize,
    checks: usize,
    has_rules: bool,
}

impl ClassRow<'_> {
    fn cells(self) -> Row {
        row![
            self.oid,
            self.name,
            self.namespace,
            0,
            0,
            self.owner,
            self.access_method,
            self.oid,
            self.tablespace,
            self.pages,
            self.tuples,
            0,
            0,
            self.has_index,
            false,
            "p",
            self.kind,
            // A table has fewer than 32,768 columns, and checks: they are one message.
            self.columns,
            self.checks,
            self.has_rules,
            false,
            false,
            false,
            false,
            true,
            if self.kind == "r" { "d" } else { "n" },
            false,
            0,
            0,
            0,
            Cell::Null,
            Cell::Null,
            Cell::Null,
        ]
    }
}

fn class(context: &SystemContext) -> Vec<Row> {
    let mut rows = vec![];
    for relation in relations(context) {
        let namespace = oids::namespace(context, &relation.schema);
        rows.push(relation_row(&relation, namespace).cells());
        for (n, key) in relation.table.iter().flat_map(|entry| entry.def.keys.iter().enumerate()) {
            let table = relation.table.as_ref().map_or(0, |entry| entry.def.id.0);
            let Some(oid) = oids::of_key(table, n) else { continue };
            let index = ClassRow {
                oid,
                name: &key.name,
                namespace,
                owner: relation.owner,
                access_method: BTREE.0,
                tablespace: 0,
                pages: 0,
                tuples: -1.0,
                has_index: false,
                kind: "i",
                columns: key.columns.len(),
                checks: 0,
                has_rules: false,
            };
            rows.push(index.cells());
        }
    }
    rows
}

fn relation_row(relation: &Listed, namespace: u64) -> ClassRow<'_> {
    let table = relation.table.as_deref();
    ClassRow {
        oid: relation.oid,
        name: &relation.name,
        namespace,
        owner: relation.owner,
        access_method: if relation.kind == Kind::Table { PARQUET.0 } else { 0 },
        tablespace: table.and_then(|entry| entry.def.tablespace).map_or(0, |id| oids::of_id(id.0)),
        pages: table.map_or(0, |entry| i32::try_from(bytes(entry).div_ceil(PAGE_BYTES)).unwrap_or(i32::MAX)),
        tuples: table.map_or(-1.0, |entry| live_rows(entry) as f64),
        has_index: table.is_some_and(|entry| !entry.def.keys.is_empty()),
        kind: relation.kind.letter(),
        columns: relation.columns.len(),
        checks: table.map_or(0, |entry| entry.def.checks.len()),
        has_rules: relation.kind == Kind::View,
    }
}

/// Of a table's files; those of a replicated table on all segments.
pub(crate) fn bytes(entry: &TableEntry) -> u64 {
    entry.files.iter().map(|file| file.bytes + file.deletes.as_ref().map_or(0, |deletes| deletes.bytes)).sum()
}

/// Rows, of which a replicated table has each on every segment.
pub(super) fn live_rows(entry: &TableEntry) -> u64 {
    let replicated = matches!(entry.def.distribution, Distribution::Replicated);
    let first = entry.files.iter().map(|file| file.content).min();
    let files = entry.files.iter().filter(|file| !replicated || Some(file.content) == first);
    files.map(|file| file.live_rows()).sum()
}

pub(super) const NAMESPACE: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_namespace",
    columns: &[oid("oid"), text("nspname"), oid("nspowner"), texts("nspacl")],
    rows: |context| {
        let schemas = oids::schemas(&context.state);
        let owner = |name: &str| owner_oid(context, &Object::Schema(name.to_owned()));
        schemas.into_iter().map(|(oid, name)| row![oid, name.as_str(), owner(&name), Cell::Null]).collect()
    },
};

pub(super) const AM: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_am",
    columns: &[oid("oid"), text("amname"), oid("amhandler"), text("amtype")],
    rows: |_| vec![row![BTREE.0, BTREE.1, 0, "i"], row![PARQUET.0, PARQUET.1, 0, "t"]],
};

/// What was counted as rows were written; nothing is counted while tables are read.
pub(super) const STAT_USER_TABLES: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_stat_user_tables",
    columns: &[
        oid("relid"),
        text("schemaname"),
        text("relname"),
        bigint("seq_scan"),
        bigint("seq_tup_read"),
        bigint("idx_scan"),
        bigint("idx_tup_fetch"),
        bigint("n_tup_ins"),
        bigint("n_tup_upd"),
        bigint("n_tup_del"),
        bigint("n_tup_hot_upd"),
        bigint("n_live_tup"),
        bigint("n_dead_tup"),
        bigint("n_mod_since_analyze"),
        bigint("n_ins_since_vacuum"),
        super::cells::time("last_vacuum"),
        super::cells::time("last_autovacuum"),
        super::cells::time("last_analyze"),
        super::cells::time("last_autoanalyze"),
        bigint("vacuum_count"),
        bigint("autovacuum_count"),
        bigint("analyze_count"),
        bigint("autoanalyze_count"),
    ],
    rows: stat_user_tables,
};

fn stat_user_tables(context: &SystemContext) -> Vec<Row> {
    let row = |entry: &std::sync::Arc<TableEntry>| {
        let dead: u64 = entry.files.iter().map(|file| file.rows - file.live_rows()).sum();
        let (def, none) = (&entry.def, || Cell::Null);
        row![
            oids::of_id(def.id.0),
            def.schema.as_str(),
            def.name.as_str(),
            none(),
            none(),
            none(),
            none(),
            none(),
            none(),
            none(),
            none(),
            live_rows(entry),
            dead,
            0,
            0,
            none(),
            none(),
            none(),
            none(),
            0,
            0,
            0,
            0
        ]
    };
    context.state.tables().map(row).collect()
}

pub(super) const SEQUENCE: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_sequence",
    columns: &[
        oid("seqrelid"),
        oid("seqtypid"),
        bigint("seqstart"),
        bigint("seqincrement"),
        bigint("seqmax"),
        bigint("seqmin"),
        bigint("seqcache"),
        boolean("seqcycle"),
    ],
    rows: |context| {
        let sequences = context.state.sequences().map(|def| {
            row![
                oids::of_id(def.id.0),
                super::pg_types::of_sql_type(&def.sql_type).0,
                def.start,
                def.counting.increment,
                def.counting.max,
                def.counting.min,
                def.counting.cache,
                def.counting.cycle
            ]
        });
        sequences.collect()
    },
};

pub(super) const DATABASE: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_database",
    columns: &[
        oid("oid"),
        text("datname"),
        oid("datdba"),
        integer("encoding"),
        text("datcollate"),
        text("datctype"),
        boolean("datistemplate"),
        boolean("datallowconn"),
        integer("datconnlimit"),
        oid("datlastsysoid"),
        bigint("datfrozenxid"),
        bigint("datminmxid"),
        oid("dattablespace"),
        texts("datacl"),
    ],
    rows: |_| {
        vec![row![
            oids::DATABASE_OID,
            crate::sql::DATABASE,
            oids::OWNER_OID,
            6,
            "C",
            "C",
            false,
            true,
            -1,
            oids::FIRST_USER - 1,
            0,
            0,
            super::tablespaces::DEFAULT_OID,
            Cell::Null
        ]]
    },
};
