use super::cells::Cell;
use super::*;
use crate::backup::TransferRow;
use crate::catalog::{Catalog, Commit, CopiedFile, Durability, SecretDef, Workspace};
use crate::copies::CopyRow;
use crate::ddl;
use crate::sql::{Statement, parse};
use arrow::array::Array;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use damson_cluster::{
    ContentId, Copied, CopyCounts, CopyFile, Endpoint, FileEntry, MotionId, QueryId, SecretType, SegmentDef,
    SequencePosition, SessionId, SnapshotId, TableId,
};
use damson_interconnect::{Direction, Moved, NodeStats, RouteState, RouteStats, Transport};
use damson_motion::NodeReport;
use std::collections::BTreeMap;
use std::sync::Arc;

fn context() -> (tempfile::TempDir, SystemContext) {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    let mut workspace = Workspace::new(&catalog);
    for sql in [
        "create schema s",
        "create table s.t (a int, b varchar(25) not null default 'x', n numeric(15,2), c timestamptz, primary key (a)) \
         distributed by (a)",
        "create table r (x numeric) distributed replicated",
        "create table z (x text) distributed randomly",
        "create view v (x2) as select x from r",
        "create sequence s.q as smallint increment by -3 maxvalue 30 cycle cache 4",
    ] {
        match parse(sql).unwrap() {
            Statement::CreateView(view) => ddl::create_view(&mut workspace, &view, &["x".into()], "public").unwrap(),
            statement => ddl::execute(&mut workspace, &statement, "public", None).unwrap().unwrap(),
        };
    }
    workspace.commit(Durability::Synced).unwrap();
    let t = catalog.current().table("s", "t").unwrap().def.id;
    let file = |content: i32, rows: u64| FileEntry {
        table: t,
        content: ContentId(content),
        path: format!("f{content}"),
        rows,
        bytes: rows * 10,
        checksum: 0xabc,
        buckets: Some((0, 16383)),
        columns: Vec::new(),
        deletes: None,
        created: SnapshotId(0),
    };
    catalog.alone(|w| w.add(Commit::of_adds(vec![file(0, 30), file(1, 10)]))).unwrap();
    let segment = |dbid: u32, content: i32, endpoint: &str, up: bool| SegmentDef {
        dbid,
        content: ContentId(content),
        endpoint: Endpoint(endpoint.into()),
        data_dir: format!("/data/{content}"),
        up,
    };
    let segments = vec![
        segment(1, -1, "in-process", true),
        segment(2, 0, "10.0.0.1:40000", true),
        segment(3, 1, "[::1]:40001", false),
    ];
    let position = SequencePosition { last: 27, is_called: true };
    let positions = BTreeMap::from([(catalog.current().sequence("s", "q").unwrap().id, position)]);
    let view_schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Decimal128(38, 10), true)]));
    let view_schemas = BTreeMap::from([(("public".to_owned(), "v".to_owned()), view_schema)]);
    (
        directory,
        SystemContext {
            state: catalog.current(),
            segments,
            waiting: vec![segment(4, 2, "10.0.0.3:40002", true)],
            view_schemas,
            running: Vec::new(),
            interconnect: interconnect(),
            history: catalog.history(),
            positions,
            locks: vec![],
            transfers: vec![transfer()],
            copies: vec![copy()],
            copied: vec![copied(t)],
            findings: vec![],
            settings: vec![("timezone".into(), "UTC".into(), "Always UTC.".into())],
            functions: vec![("abs".into(), "f"), ("sum".into(), "a")],
            role: crate::catalog::RoleId::BOOTSTRAP,
            sessions: vec![],
        },
    )
}

/// A backup that has copied one of three files, and found one.
fn transfer() -> TransferRow {
    let mut done = Copied::new_file(10);
    done += Copied::old_file(5);
    TransferRow {
        session: SessionId(7),
        command: "BACKUP",
        place: "/b".into(),
        phase: "copying files",
        files_total: 3,
        bytes_total: 30,
        done,
        elapsed_ms: 1500,
    }
}

/// A COPY that has read one of three files on a segment.
fn copy() -> CopyRow {
    CopyRow {
        session: SessionId(8),
        query: Some(QueryId(17)),
        schema: "s".into(),
        table: "t".into(),
        command: "COPY FROM",
        phase: "loading files",
        content: Some(ContentId(1)),
        counts: CopyCounts { units: 3, units_done: 1, bytes: 30, bytes_done: 12, rows: 5, rejected: 2 },
        elapsed_ms: 1500,
    }
}

/// A file of a server, loaded into that table.
fn copied(table: TableId) -> CopiedFile {
    let file = CopyFile {
        url: "s3://b/a.csv".into(),
        bytes: 30,
        etag: Some("e".into()),
        modified_us: None,
        partition: vec![],
    };
    CopiedFile { table, file, rows: 3, loaded_us: 1_000_000, snapshot: SnapshotId(5) }
}

/// Two nodes, one of two contents, with a route and a line of several.
fn interconnect() -> Vec<InterconnectNode> {
    let moved = Moved { batches: 3, rows: 4, bytes: 5, blocked_ns: 1_500_000, spilled_bytes: 6 };
    let route = RouteStats {
        query: QueryId(17),
        motion: MotionId(2),
        direction: Direction::Send,
        content: ContentId(0),
        peer: Some(ContentId(-1)),
        routes: 1,
        transport: Some(Transport::FlightUnix),
        state: RouteState::Ended,
        moved,
    };
    let several = RouteStats {
        direction: Direction::Receive,
        content: ContentId(1),
        peer: None,
        routes: 5000,
        transport: None,
        state: RouteState::Open,
        ..route
    };
    let stats =
        NodeStats { buffered_bytes: 70, open_routes: 80, open_queries: 1, connections: 9, ..Default::default() };
    vec![
        InterconnectNode {
            endpoint: Endpoint("in-process".into()),
            contents: vec![ContentId(-1), ContentId(0)],
            report: NodeReport { stats, routes: vec![route] },
        },
        InterconnectNode {
            endpoint: Endpoint("[::1]:40001".into()),
            contents: vec![ContentId(1)],
            report: NodeReport { stats: NodeStats::default(), routes: vec![several] },
        },
    ]
}

/// Rows as text; NULL is `-`.
fn rows(schema: &str, name: &str) -> Vec<String> {
    let (_directory, context) = context();
    text_of(&system_table(schema, name).unwrap().rows(&context))
}

fn text_of(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
    let row = |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

#[test]
fn every_table_makes_its_own_schema() {
    let (_directory, context) = context();
    for table in system_tables() {
        assert_eq!(table.rows(&context).schema(), table.schema(), "{table:?}");
        assert!(std::ptr::eq(system_table(table.schema_name, table.name).unwrap(), table));
    }
    assert!(system_table("pg_catalog", "nothing").is_none());
    // Without a prefix a name resolves to the search schema first.
    assert_eq!(system_table("public", "gp_files").unwrap().schema_name, PG_CATALOG);
    assert!(system_table("public", "columns").is_none());
    assert!(system_table(INFORMATION_SCHEMA, "gp_files").is_none());
}

/// Tables of `pg_catalog` that show what every cluster has.
const ALWAYS: [&str; 13] = [
    "gp_bucket_map",
    "pg_tablespace",
    "pg_class",
    "pg_namespace",
    "pg_am",
    "pg_database",
    "pg_roles",
    "pg_user",
    "pg_attribute",
    "pg_type",
    "pg_proc",
    "pg_language",
    "pg_collation",
];

#[test]
fn an_empty_catalog_has_empty_tables() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 1).unwrap();
    let context = SystemContext {
        state: catalog.current(),
        segments: Vec::new(),
        waiting: Vec::new(),
        view_schemas: BTreeMap::new(),
        running: Vec::new(),
        interconnect: Vec::new(),
        history: catalog.history(),
        positions: BTreeMap::new(),
        locks: vec![],
        transfers: vec![],
        copies: vec![],
        copied: vec![],
        findings: vec![],
        settings: vec![],
        functions: vec![],
        role: crate::catalog::RoleId::BOOTSTRAP,
        sessions: vec![],
    };
    for table in system_tables() {
        let rows = table.rows(&context).num_rows();
        let always = match table.schema_name {
            INFORMATION_SCHEMA => ["schemata", "tables", "columns", "routines"].contains(&table.name),
            _ => ALWAYS.contains(&table.name),
        };
        assert_eq!(rows > 0, always, "{table:?}");
    }
}

#[test]
fn segments_and_distribution() {
    assert_eq!(
        rows(PG_CATALOG, "gp_segment_configuration"),
        [
            "1|-1|p|p|n|u|-|in-process|in-process|/data/-1",
            "2|0|p|p|n|u|40000|10.0.0.1|10.0.0.1|/data/0",
            "3|1|p|p|n|d|40001|::1|::1|/data/1"
        ]
    );
    assert_eq!(
        rows(PG_CATALOG, "gp_distribution_policy"),
        [
            "16387|r|2||-|public|r|DISTRIBUTED REPLICATED|1",
            "16388|p|2||-|public|z|DISTRIBUTED RANDOMLY|1",
            "16386|p|2|1|-|s|t|DISTRIBUTED BY (a)|1"
        ]
    );
    assert_eq!(rows(PG_CATALOG, "gp_waiting_segments"), ["2|40002|10.0.0.3|/data/2"]);
    assert_eq!(rows(PG_CATALOG, "gp_bucket_map"), ["1|0|0|8192", "1|1|8192|8192"]);
}

#[test]
fn catalogs_of_postgresql() {
    let of = |name: &str, from: &str| -> Vec<String> {
        rows(PG_CATALOG, name).into_iter().filter(|row| row.starts_with(from)).collect()
    };
    // The table, and its key under the table's id.
    let key = (1_u64 << 31) + 2 * 256;
    assert_eq!(
        of("pg_class", "16386|"),
        [
            "16386|t|16385|0|0|10|9000|16386|0|1|40.0|0|0|true|false|p|r|4|0|false|false|false|false|false|true|d|false|0|0|0|-|-|-"
        ]
    );
    assert_eq!(of("pg_class", &key.to_string()).len(), 1);
    let columns = of("pg_attribute", "16386|");
    assert_eq!(columns.len(), 4);
    assert_eq!(columns[2], "16386|n|1700|-1|-1|3|0|-1|983046|false|i|x||false|false|false|||false|true|0|0|-|-|-|-");
    assert_eq!(of("pg_attrdef", ""), [format!("{}|16386|2|'x'", key + 1)]);
    assert_eq!(
        of("pg_constraint", ""),
        [format!("{key}|t_pkey|16385|p|false|false|true|16386|0|{key}|0|0| | | |true|0|true|[1]|-|-|-|-|-|-")]
    );
    assert_eq!(
        of("pg_index", ""),
        [format!("{key}|16386|1|1|true|true|false|true|false|true|false|true|true|false|[1]|[0]|[0]|[0]|-|-")]
    );
    assert_eq!(
        rows(PG_CATALOG, "pg_namespace"),
        ["11|pg_catalog|10|-", "12999|information_schema|10|-", "2200|public|10|-", "16385|s|10|-"]
    );
    assert_eq!(rows(PG_CATALOG, "pg_sequence"), ["16390|21|30|-3|30|-32768|4|true"]);
    assert_eq!(of("pg_proc", "10001|sum|11|10|12|1.0|0.0|2276|0|a|").len(), 1);
    assert_eq!(of("pg_type", "23|int4|11|10|4|true|b|N|false|true|,|0|0|0|1007|").len(), 1);
    assert_eq!(of("pg_type", "1007|_int4|11|10|-1|false|b|A|false|true|,|0|0|23|0|750|751|2400|2401|").len(), 1);
}

#[test]
fn ids_stay_over_restarts_and_replacements() {
    let directory = tempfile::tempdir().unwrap();
    let view = |catalog: &Arc<Catalog>, sql: &str| {
        let mut workspace = Workspace::new(catalog);
        let Statement::CreateView(view) = parse(sql).unwrap() else { panic!("{sql}") };
        ddl::create_view(&mut workspace, &view, &["x".into()], "s").unwrap();
        workspace.commit(Durability::Synced).unwrap();
    };
    let ids = |catalog: &Arc<Catalog>| {
        let state = catalog.current();
        (oids::of_schema(&state, "s").unwrap(), oids::of_relation(&state, state.relation("s", "v").unwrap()))
    };
    let before = {
        let catalog = Catalog::open(directory.path(), 1).unwrap();
        catalog.alone(|w| w.create_schema("s")).unwrap();
        view(&catalog, "create view s.v as select 1 as x");
        ids(&catalog)
    };
    assert_ne!(before.0, before.1);
    let catalog = Catalog::open(directory.path(), 1).unwrap();
    assert_eq!(ids(&catalog), before);
    view(&catalog, "create or replace view s.v as select 2 as x");
    assert_eq!(ids(&catalog), before);
    catalog.alone(|w| w.drop_relations(&[("s".into(), "v".into())], false)).unwrap();
    view(&catalog, "create view s.v as select 1 as x");
    assert!(ids(&catalog).1 > before.1, "an id is given once");
}

#[test]
fn backups_under_way() {
    assert_eq!(rows(PG_CATALOG, "gp_stat_progress_backup"), ["7|BACKUP|/b|copying files|3|2|30|15|10|1500"]);
}

#[test]
fn copies_under_way() {
    let row = "8|q17|s|t|COPY FROM|loading files|1|3|1|30|12|5|2|1500";
    assert_eq!(rows(PG_CATALOG, "gp_stat_progress_copy"), [row]);
    let (_directory, mut context) = context();
    (context.copies[0].content, context.copies[0].query) = (None, None);
    let progress = system_table(PG_CATALOG, "gp_stat_progress_copy").unwrap().rows(&context);
    assert!(progress.column_by_name("segment").unwrap().is_null(0));
}

#[test]
fn files_that_were_loaded() {
    assert_eq!(rows(PG_CATALOG, "gp_copy_history"), ["s|t|s3://b/a.csv|e|30|-|3|1970-01-01T00:00:01Z|5"]);
    let (_directory, mut context) = context();
    context.copied[0].table = TableId(999);
    let history = system_table(PG_CATALOG, "gp_copy_history").unwrap();
    assert_eq!(history.rows(&context).num_rows(), 0, "a table that the snapshot does not have");
}

#[test]
fn interconnect_by_route_and_by_node() {
    assert_eq!(
        rows(PG_CATALOG, "gp_interconnect_stats"),
        ["0|q17|2|send|-1|1|flight-unix|ended|3|4|5|1.5|6", "1|q17|2|receive|-|5000|-|open|3|4|5|1.5|6"]
    );
    assert_eq!(rows(PG_CATALOG, "gp_interconnect_nodes"), ["in-process|-1,0|9|1|80|70", "[::1]:40001|1|0|0|0|0"]);
}

#[test]
fn files_and_skew() {
    assert_eq!(
        rows(PG_CATALOG, "gp_files"),
        ["s|t|0|f0|30|300|0|16383|0000000000000abc|3", "s|t|1|f1|10|100|0|16383|0000000000000abc|3"]
    );
    let segment_rows = rows(PG_CATALOG, "gp_segment_rows");
    assert_eq!(segment_rows.len(), 6);
    assert_eq!(segment_rows[4..], ["s|t|0|1|30|300", "s|t|1|1|10|100"]);
    let skew = rows(PG_CATALOG, "gp_skew");
    assert_eq!(skew[2], "s|t|2|10|20.0|30|0.5");
    assert_eq!(skew[0], "public|r|2|0|0.0|0|0.0");
}

#[test]
fn information_schema() {
    let tables = rows(INFORMATION_SCHEMA, "tables");
    assert_eq!(
        tables[..4],
        [
            "damson|public|r|BASE TABLE|YES|NO",
            "damson|public|v|VIEW|NO|NO",
            "damson|public|z|BASE TABLE|YES|NO",
            "damson|s|t|BASE TABLE|YES|NO"
        ]
    );
    assert!(tables.contains(&"damson|pg_catalog|gp_files|VIEW|NO|NO".to_owned()));
    let columns = rows(INFORMATION_SCHEMA, "columns");
    assert_eq!(
        columns[..7],
        [
            "damson|public|r|x|1|-|YES|numeric|-|-|-|10|-|-|damson|pg_catalog|numeric|NO|-|NEVER|YES",
            "damson|public|v|x2|1|-|YES|numeric|-|-|38|10|10|-|damson|pg_catalog|numeric|NO|-|NEVER|NO",
            "damson|public|z|x|1|-|YES|text|-|1073741824|-|-|-|-|damson|pg_catalog|text|NO|-|NEVER|YES",
            "damson|s|t|a|1|-|NO|integer|-|-|32|2|0|-|damson|pg_catalog|int4|NO|-|NEVER|YES",
            "damson|s|t|b|2|'x'|NO|character varying|25|100|-|-|-|-|damson|pg_catalog|varchar|NO|-|NEVER|YES",
            "damson|s|t|n|3|-|YES|numeric|-|-|15|10|2|-|damson|pg_catalog|numeric|NO|-|NEVER|YES",
            "damson|s|t|c|4|-|YES|timestamp with time zone|-|-|-|-|-|6|damson|pg_catalog|timestamptz|NO|-|NEVER|YES"
        ]
    );
    assert_eq!(rows(INFORMATION_SCHEMA, "schemata").len(), 4);
    assert_eq!(rows(INFORMATION_SCHEMA, "views"), ["damson|public|v|select x from r|NONE|NO|NO"]);
    assert_eq!(rows(INFORMATION_SCHEMA, "table_constraints"), ["damson|s|t_pkey|damson|s|t|PRIMARY KEY|NO|NO|YES"]);
    assert_eq!(rows(INFORMATION_SCHEMA, "key_column_usage"), ["damson|s|t_pkey|damson|s|t|a|1|-"]);
    assert_eq!(rows(PG_CATALOG, "pg_tables").len(), 3);
    assert_eq!(rows(PG_CATALOG, "pg_views"), ["public|v|damson|select x from r"]);
}

#[test]
fn tablespaces_and_secrets() {
    let (_directory, mut context) = context();
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    let mut workspace = Workspace::new(&catalog);
    let secret = SecretDef {
        name: "s".into(),
        kind: SecretType::S3,
        scope: "s3://b".into(),
        options: vec!["endpoint".into(), "region".into()],
        created_us: 1_000_000,
        key: "key".into(),
        sealed: "hush".into(),
    };
    workspace.create_secret(secret, false).unwrap();
    workspace.create_tablespace("near", "s3://b/near", Some("s".into())).unwrap();
    workspace.create_tablespace("far", "gs://c", None).unwrap();
    let near = workspace.state().tablespace("near").unwrap().id;
    let create = parse("create table t (a int) distributed by (a)").unwrap();
    ddl::execute(&mut workspace, &create, "public", Some(near)).unwrap().unwrap();
    context.state = workspace.state();
    let rows = |name: &str| text_of(&system_table(PG_CATALOG, name).unwrap().rows(&context));
    assert_eq!(
        rows("pg_tablespace"),
        [
            "1663|pg_default|10|-|-|-|-".to_owned(),
            format!("{}|near|10|-|-|s3://b/near|s", 16_384 + near.0),
            format!("{}|far|10|-|-|gs://c|-", 16_385 + near.0),
        ]
    );
    assert_eq!(rows("gp_secrets"), ["s|s3|s3://b|endpoint, region|1970-01-01T00:00:01Z"]);
    assert_eq!(rows("pg_tables"), ["public|t|damson|near|false|false|false|false"]);
}

#[test]
fn external_tables_with_their_places() {
    let (_directory, mut context) = context();
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    let mut workspace = Workspace::new(&catalog);
    for sql in [
        "create external table e (a int) location ('/data/a.csv', '/data/b.csv') format 'csv'",
        "create writable external table w (a int) location ('/data/out') format 'parquet'",
    ] {
        ddl::execute(&mut workspace, &parse(sql).unwrap(), "public", None).unwrap().unwrap();
    }
    context.state = workspace.state();
    assert_eq!(
        text_of(&system_table(PG_CATALOG, "gp_external_tables").unwrap().rows(&context)),
        ["public|e|[/data/a.csv, /data/b.csv]|-|csv|-|false", "public|w|[/data/out]|-|parquet|-|true"]
    );
}

#[test]
fn sequences_and_identity_columns() {
    assert_eq!(rows(INFORMATION_SCHEMA, "sequences"), ["damson|s|q|smallint|16|2|0|30|-32768|30|-3|YES"]);
    assert_eq!(rows(PG_CATALOG, "pg_sequences"), ["s|q|damson|smallint|30|-32768|30|-3|true|4|27"]);
    let (_directory, mut context) = context();
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    let mut workspace = Workspace::new(&catalog);
    let create =
        "create table t (a serial, b int generated always as identity, c int generated by default as identity)";
    ddl::execute(&mut workspace, &parse(create).unwrap(), "public", None).unwrap().unwrap();
    context.state = workspace.state();
    let system = system_table(INFORMATION_SCHEMA, "columns").unwrap();
    let rows = (system.rows)(&context);
    let position = |name: &str| system.columns.iter().position(|column| column.name == name).unwrap();
    let shown = ["column_default", "is_nullable", "is_identity", "identity_generation"].map(position);
    let text = |cell: &Cell| if let Cell::Text(text) = cell { text.clone() } else { "-".to_owned() };
    let shown: Vec<String> = rows[..3].iter().map(|row| shown.map(|at| text(&row[at])).join("|")).collect();
    assert_eq!(shown, ["nextval('public.t_a_seq')|NO|NO|-", "-|NO|YES|ALWAYS", "-|NO|YES|BY DEFAULT"]);
    // Those of identities are not the user's, to the standard.
    assert_eq!((system_table(INFORMATION_SCHEMA, "sequences").unwrap().rows)(&context).len(), 1);
    assert_eq!((system_table(PG_CATALOG, "pg_sequences").unwrap().rows)(&context).len(), 3);
}
