use super::*;
use crate::catalog::{Catalog, CatalogState, Commit, Durability};
use crate::error::{SqlError, SqlState};
use crate::sql::parse;
use arrow::datatypes::{DataType, Field, Schema};
use damson_cluster::{ContentId, Distribution, FileEntry, Identity, SnapshotId};
use std::sync::Arc;

struct Fixture {
    _directory: tempfile::TempDir,
    catalog: Arc<Catalog>,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(directory.path(), 3).unwrap();
        Fixture { _directory: directory, catalog }
    }

    fn run(&self, sql: &str) -> SqlResult<CommandDone> {
        let mut workspace = Workspace::new(&self.catalog);
        let done = match parse(sql)? {
            Statement::CreateView(view) => create_view(&mut workspace, &view, &["q1".into(), "q2".into()], "public"),
            statement => {
                execute(&mut workspace, &statement, "public", None).unwrap_or_else(|| panic!("not DDL: {sql}"))
            }
        }?;
        workspace.commit(Durability::Synced)?;
        Ok(done)
    }

    fn ok(&self, sql: &str) -> CommandDone {
        self.run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn err(&self, sql: &str, state: SqlState) -> SqlError {
        let error = self.run(sql).err().unwrap_or_else(|| panic!("{sql} went well"));
        assert_eq!(error.state, state, "{sql}: {error}");
        error
    }

    fn state(&self) -> Arc<CatalogState> {
        self.catalog.current()
    }

    fn distribution(&self, table: &str) -> Distribution {
        self.state().table("public", table).unwrap().def.distribution.clone()
    }

    fn add_row(&self, table: &str) {
        let state = self.state();
        let file = FileEntry {
            table: state.table("public", table).unwrap().def.id,
            content: ContentId(0),
            path: format!("{table}-file"),
            rows: 1,
            bytes: 1,
            checksum: 0,
            buckets: None,
            columns: Vec::new(),
            deletes: None,
            created: SnapshotId(0),
        };
        self.catalog.alone(|w| w.add(Commit::of_adds(vec![file]))).unwrap();
    }
}

#[test]
fn distribution_defaults() {
    let fixture = Fixture::new();
    let done = fixture.ok("create table a (x bytea, y int, z text)");
    let Distribution::Hashed(key) = fixture.distribution("a") else { panic!() };
    assert_eq!(done.tag, "CREATE TABLE");
    assert_eq!(done.notices.len(), 1, "{:?}", done.notices);
    let state = fixture.state();
    let first = &state.table("public", "a").unwrap().def.columns[key[0]].name;
    assert!(done.notices[0].contains(&format!("'{first}'")), "{:?}", done.notices);
    let done = fixture.ok("create table b (x int, y int, z int, primary key (z, y))");
    assert_eq!(fixture.distribution("b"), Distribution::Hashed(vec![2, 1]));
    assert!(done.notices.iter().all(|notice| !notice.contains("DISTRIBUTED")));
    let def = Arc::clone(&fixture.state().table("public", "b").unwrap().def);
    assert_eq!(def.primary_key().unwrap().columns, [2, 1]);
    assert_eq!(def.columns.iter().map(|c| c.nullable).collect::<Vec<_>>(), [true, false, false]);
    fixture.ok("create table c (x int, y int) distributed by (y, x)");
    assert_eq!(fixture.distribution("c"), Distribution::Hashed(vec![1, 0]));
    fixture.ok("create table d (x int) distributed randomly");
    assert_eq!(fixture.distribution("d"), Distribution::Randomly);
    fixture.ok("create table e (x int primary key) distributed replicated");
    assert_eq!(fixture.distribution("e"), Distribution::Replicated);
    let done = fixture.ok("create table f (like c)");
    assert_eq!(fixture.distribution("f"), Distribution::Hashed(vec![1, 0]));
    assert!(done.notices[0].contains("(y, x)"));
}

#[test]
fn create_table_errors() {
    let fixture = Fixture::new();
    fixture.ok("create table t (a int)");
    let error = fixture.err("create table t (a int)", SqlState::DUPLICATE_TABLE);
    assert_eq!((error.message.as_str(), error.position), ("relation \"t\" already exists", Some(14)));
    let done = fixture.ok("create table if not exists t (a int)");
    assert_eq!(done.notices, ["relation \"t\" already exists, skipping"]);
    let error = fixture.err("create table u (a int, a text)", SqlState::DUPLICATE_COLUMN);
    assert_eq!(error.position, Some(24));
    fixture.err("create table u (gp_segment_id int)", SqlState::DUPLICATE_COLUMN);
    fixture.err("create table u (a int) distributed by (b)", SqlState::UNDEFINED_COLUMN);
    fixture.err("create table u (a int) distributed by (a, a)", SqlState::DUPLICATE_COLUMN);
    fixture.err("create table u (a int, primary key (b))", SqlState::UNDEFINED_COLUMN);
    let error =
        fixture.err("create table u (a int primary key, b int) distributed by (b)", SqlState::INVALID_TABLE_DEFINITION);
    assert!(error.hint.is_some());
    fixture.err("create table u (a int primary key) distributed randomly", SqlState::INVALID_TABLE_DEFINITION);
    fixture.ok("create table u (a int, b int, primary key (a, b)) distributed by (b)");
    fixture.err("create table nowhere.u (a int)", SqlState::UNDEFINED_SCHEMA);
    fixture.err("create table pg_catalog.u (a int)", SqlState::RESERVED_NAME);
    fixture.err("create table w (like nowhere)", SqlState::UNDEFINED_TABLE);
}

#[test]
fn schemas() {
    let fixture = Fixture::new();
    fixture.ok("create schema s");
    fixture.err("create schema s", SqlState::DUPLICATE_SCHEMA);
    assert_eq!(fixture.ok("create schema if not exists s").notices.len(), 1);
    fixture.err("create schema pg_x", SqlState::RESERVED_NAME);
    fixture.ok("create table s.t (a int) distributed randomly");
    fixture.err("drop schema s", SqlState::DEPENDENT_OBJECTS);
    assert_eq!(fixture.ok("drop schema s cascade").notices, ["drop cascades to s.t"]);
    fixture.err("drop schema s", SqlState::UNDEFINED_SCHEMA);
    assert_eq!(fixture.ok("drop schema if exists s").notices.len(), 1);
}

#[test]
fn drops() {
    let fixture = Fixture::new();
    fixture.ok("create table t (a int, b int) distributed by (a)");
    fixture.ok("create view v as select a, b from t");
    fixture.ok("create view w as select * from v, pg_tables");
    let error = fixture.err("drop table nothing", SqlState::UNDEFINED_TABLE);
    assert_eq!((error.message.as_str(), error.position), ("table \"nothing\" does not exist", Some(12)));
    assert_eq!(fixture.ok("drop table if exists nothing").notices, ["table \"nothing\" does not exist, skipping"]);
    fixture.err("drop table v", SqlState::WRONG_OBJECT_TYPE);
    fixture.err("drop view t", SqlState::WRONG_OBJECT_TYPE);
    let error = fixture.err("drop table t", SqlState::DEPENDENT_OBJECTS);
    assert!(error.detail.unwrap().contains("view public.v"));
    fixture.err("drop view v", SqlState::DEPENDENT_OBJECTS);
    fixture.ok("drop view w, v");
    fixture.ok("create view v as select a, b from t");
    assert_eq!(fixture.ok("drop table t cascade").notices, ["drop cascades to view public.v"]);
    assert_eq!(fixture.state().relations().count(), 0);
}

#[test]
fn truncate_is_all_or_nothing() {
    let fixture = Fixture::new();
    fixture.ok("create table t (a int) distributed by (a)");
    fixture.ok("create view v as select a, a from t");
    fixture.add_row("t");
    fixture.err("truncate t, nothing", SqlState::UNDEFINED_TABLE);
    fixture.err("truncate t, v", SqlState::WRONG_OBJECT_TYPE);
    assert_eq!(fixture.state().table("public", "t").unwrap().files.len(), 1);
    fixture.ok("truncate t, t");
    assert!(fixture.state().table("public", "t").unwrap().files.is_empty());
}

#[test]
fn views() {
    let fixture = Fixture::new();
    fixture.ok("create view v (x) as select 1, 2");
    assert_eq!(fixture.state().view("public", "v").unwrap().query, "select 1, 2");
    fixture.err("create view v as select 1, 2", SqlState::DUPLICATE_TABLE);
    fixture.ok("create or replace view v as select 3, 4");
    fixture.err("create view w (a, b, c) as select 1, 2", SqlState::SYNTAX_ERROR);
    fixture.err("create view w (q2) as select 1, 2", SqlState::DUPLICATE_COLUMN);
    fixture.err("create or replace view v as select * from v", SqlState::INVALID_OBJECT_DEFINITION);
    fixture.err("create view nowhere.v as select 1, 2", SqlState::UNDEFINED_SCHEMA);
}

#[test]
fn alter_table() {
    let fixture = Fixture::new();
    fixture.ok("create table t (a int, b int) distributed by (a)");
    fixture.ok("create table other (a int) distributed by (a)");
    fixture.err("alter table nothing rename to x", SqlState::UNDEFINED_TABLE);
    assert_eq!(fixture.ok("alter table if exists nothing rename to x").notices.len(), 1);
    fixture.err("alter table t rename to other", SqlState::DUPLICATE_TABLE);
    fixture.ok("alter table t rename to t2");
    fixture.err("alter table t2 rename column x to y", SqlState::UNDEFINED_COLUMN);
    fixture.err("alter table t2 rename column a to b", SqlState::DUPLICATE_COLUMN);
    fixture.err("alter table t2 rename column gp_segment_id to x", SqlState::FEATURE_NOT_SUPPORTED);
    fixture.ok("alter table t2 rename column a to c");
    fixture.ok("alter table t2 add column d numeric(5,2) not null default 1");
    fixture.err("alter table t2 add column d int", SqlState::DUPLICATE_COLUMN);
    assert_eq!(fixture.ok("alter table t2 add column if not exists d int").notices.len(), 1);
    fixture.add_row("t2");
    fixture.err("alter table t2 add column e int not null", SqlState::NOT_NULL_VIOLATION);
    fixture.ok("alter table t2 add column e int default null");
    let state = fixture.state();
    let columns: Vec<_> = state.table("public", "t2").unwrap().def.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(columns, ["c", "b", "d", "e"]);
    fixture.ok("create view v as select c, b from t2");
    fixture.err("alter table t2 rename to t3", SqlState::DEPENDENT_OBJECTS);
    fixture.err("alter table t2 rename column c to z", SqlState::DEPENDENT_OBJECTS);
    // As in PostgreSQL, a view is renamed by ALTER TABLE too, and nothing else.
    fixture.ok("alter table v rename to z");
    fixture.err("alter table z add column e int", SqlState::WRONG_OBJECT_TYPE);
}

#[test]
fn set_distributed_plans_a_rewrite() {
    let fixture = Fixture::new();
    fixture.ok("create table t (a int, b int) distributed by (a)");
    fixture.ok("create table k (a int primary key, b int)");
    let plan = |sql: &str| {
        let Statement::AlterTable(alter) = parse(sql).unwrap() else { panic!("{sql}") };
        set_distributed(&fixture.state(), &alter, "public")
    };
    let rewrite = plan("alter table t set distributed by (b)").unwrap().unwrap();
    assert_eq!(rewrite.def.distribution, Distribution::Hashed(vec![1]));
    assert_eq!(rewrite.entry.def.distribution, Distribution::Hashed(vec![0]));
    let done = plan("alter table t set distributed by (a)").unwrap().unwrap_err();
    assert!(done.notices[0].contains("already set"));
    assert!(plan("alter table t set with (reorganize=true)").unwrap().is_ok());
    assert!(plan("alter table if exists x set distributed randomly").unwrap().is_err());
    let state = |sql: &str| plan(sql).unwrap_err().state;
    assert_eq!(state("alter table x set distributed randomly"), SqlState::UNDEFINED_TABLE);
    assert_eq!(state("alter table t set distributed by (x)"), SqlState::UNDEFINED_COLUMN);
    assert_eq!(state("alter table k set distributed by (b)"), SqlState::INVALID_TABLE_DEFINITION);
    let sql = "alter table t set with (reorganize=false) distributed randomly";
    assert_eq!(state(sql), SqlState::FEATURE_NOT_SUPPORTED);
}

#[test]
fn create_table_as_defines_from_the_query() {
    let fixture = Fixture::new();
    fixture.ok("create table there (a int) distributed by (a)");
    let query = Schema::new(vec![
        Field::new("l", DataType::Utf8, false),
        Field::new("n", DataType::Decimal128(15, 2), true),
        Field::new("count", DataType::Int64, false),
    ]);
    let define = |sql: &str, query: &Schema| {
        let Statement::CreateTableAs(create) = parse(sql).unwrap() else { panic!("{sql}") };
        define_table_as(&fixture.state(), &create, query, "public")
    };
    let TableAs::New { table, notices } = define("create table t (x) as select 1", &query).unwrap() else { panic!() };
    let columns: Vec<_> = table.columns.iter().map(|c| (c.name.as_str(), c.sql_type.as_str(), c.nullable)).collect();
    assert_eq!(columns, [("x", "text", true), ("n", "numeric(15,2)", true), ("count", "bigint", true)]);
    assert_eq!(table.columns[1].data_type, DataType::Decimal64(15, 2));
    assert_eq!((table.distribution, notices.len()), (Distribution::Hashed(vec![0]), 1));
    let sql = "create table t as select 1 distributed by (count)";
    let TableAs::New { table, notices } = define(sql, &query).unwrap() else { panic!() };
    assert_eq!((table.distribution, notices.len()), (Distribution::Hashed(vec![2]), 0));
    assert!(matches!(define("create table if not exists there as select 1", &query).unwrap(), TableAs::Exists(_)));
    let state = |sql: &str, query: &Schema| define(sql, query).unwrap_err().state;
    assert_eq!(state("create table there as select 1", &query), SqlState::DUPLICATE_TABLE);
    assert_eq!(state("create table t (a, b, c, d) as select 1", &query), SqlState::SYNTAX_ERROR);
    assert_eq!(state("create table t (n) as select 1", &query), SqlState::DUPLICATE_COLUMN);
    assert_eq!(state("create table t as select 1 distributed by (z)", &query), SqlState::UNDEFINED_COLUMN);
    let list = Schema::new(vec![Field::new("a", DataType::new_list(DataType::Int32, true), true)]);
    assert_eq!(state("create table t as select 1", &list), SqlState::FEATURE_NOT_SUPPORTED);
    assert_eq!(state("create table t as select 1", &Schema::empty()), SqlState::INVALID_TABLE_DEFINITION);
}

#[test]
fn columns_resolve_with_positions() {
    let fixture = Fixture::new();
    fixture.ok("create table t (a int, b int) distributed by (a)");
    let state = fixture.state();
    let def = &state.table("public", "t").unwrap().def;
    let resolve = |sql: &str| {
        let Statement::Insert(insert) = parse(sql).unwrap() else { panic!("{sql}") };
        resolve_columns(def, &insert.columns)
    };
    assert_eq!(resolve("insert into t (b, a) values (1, 2)").unwrap(), [1, 0]);
    assert_eq!(resolve("insert into t values (1, 2)").unwrap(), [0, 1]);
    let error = resolve("insert into t (b, c) values (1, 2)").unwrap_err();
    assert_eq!((error.state, error.position), (SqlState::UNDEFINED_COLUMN, Some(19)));
    assert_eq!(error.message, "column \"c\" of relation \"t\" does not exist");
    assert_eq!(resolve("insert into t (b, b) values (1, 2)").unwrap_err().state, SqlState::DUPLICATE_COLUMN);
}

#[test]
fn sequences() {
    let fixture = Fixture::new();
    fixture.ok("create sequence s increment 5 minvalue -10 start 0");
    fixture.err("create sequence s", SqlState::DUPLICATE_TABLE);
    fixture.err("create table s (a int)", SqlState::DUPLICATE_TABLE);
    assert_eq!(fixture.ok("create sequence if not exists s").notices.len(), 1);
    fixture.err("create sequence nowhere.s", SqlState::UNDEFINED_SCHEMA);
    fixture.err("create sequence pg_catalog.s", SqlState::RESERVED_NAME);
    let def = |name: &str| fixture.state().sequence("public", name).unwrap().as_ref().clone();
    let before = def("s");
    fixture.ok("alter sequence s maxvalue 100 cycle");
    assert_eq!(def("s").id, before.id, "it goes on");
    assert!(def("s").counting.cycle && def("s").counting.max == 100 && def("s").counting.increment == 5);
    fixture.ok("alter sequence s restart with 7");
    assert_ne!(def("s").id, before.id, "it begins anew");
    assert_eq!((def("s").first, def("s").start), (7, 0));
    fixture.err("alter sequence s restart with 101", SqlState::INVALID_PARAMETER);
    fixture.err("alter sequence s minvalue 8", SqlState::INVALID_PARAMETER);
    fixture.ok("drop sequence s, s");
    fixture.err("drop sequence s", SqlState::UNDEFINED_TABLE);
    assert_eq!(fixture.ok("drop sequence if exists s").notices, ["sequence \"s\" does not exist, skipping"]);
}

#[test]
fn columns_own_sequences() {
    let fixture = Fixture::new();
    fixture.ok("create schema x");
    fixture.ok("create sequence t_a_seq");
    fixture.ok(
        "create table t (a serial, b int generated always as identity (increment by 3), c int default nextval('t_a_seq') + 1) \
         distributed by (c)",
    );
    let state = fixture.state();
    let t = &state.table("public", "t").unwrap().def;
    let default = |column: usize| t.columns[column].default.as_deref();
    assert_eq!(default(0), Some("nextval('public.t_a_seq1')"), "the first name is taken");
    assert_eq!(default(1), Some("nextval('public.t_b_seq')"));
    assert_eq!(default(2), Some("nextval('public.t_a_seq') + 1"));
    assert_eq!(t.columns.iter().map(|c| c.identity).collect::<Vec<_>>(), [None, Some(Identity::Always), None]);
    assert!(!t.columns[0].nullable && !t.columns[1].nullable);
    let b = state.sequence("public", "t_b_seq").unwrap();
    assert_eq!((b.sql_type.as_str(), b.counting.increment), ("integer", 3));
    assert_eq!(b.owner.map(|owner| (owner.table, owner.column, owner.identity)), Some((t.id, 1, true)));
    // LIKE takes an identity with a sequence of its own, or not at all.
    fixture.ok("create table l (like t including all)");
    fixture.ok("create table m (like t)");
    let columns = |name: &str| fixture.state().table("public", name).unwrap().def.columns.clone();
    assert_eq!(columns("l")[0].default.as_deref(), Some("nextval('public.t_a_seq1')"), "as PostgreSQL: it is shared");
    assert_eq!(columns("l")[1].default.as_deref(), Some("nextval('public.l_b_seq')"));
    assert!(columns("m").iter().all(|column| column.default.is_none() && column.identity.is_none()));
    assert!(!columns("m")[1].nullable);
    // What needs what.
    fixture.err("drop sequence t_a_seq", SqlState::DEPENDENT_OBJECTS);
    fixture.err("drop sequence l_b_seq cascade", SqlState::DEPENDENT_OBJECTS);
    let error = fixture.err("drop table t", SqlState::DEPENDENT_OBJECTS);
    assert_eq!(error.detail.as_deref(), Some("default value for column a of table public.l depends on public.t"));
    fixture.ok("drop table m");
    fixture.ok("drop table t, l");
    assert_eq!(fixture.state().sequences().map(|def| def.name.clone()).collect::<Vec<_>>(), ["t_a_seq"]);
    // Another schema's.
    fixture.err("create table u (a int default nextval('nothing'))", SqlState::UNDEFINED_TABLE);
    fixture.ok("create table x.u (a serial)");
    fixture.err("alter sequence t_a_seq owned by x.u.a", SqlState::OBJECT_NOT_IN_STATE);
    fixture.ok("create table v (a int default nextval('x.u_a_seq'))");
    let notices = fixture.ok("drop schema x cascade").notices;
    let default = "drop cascades to default value for column a of table public.v";
    assert_eq!(notices, ["drop cascades to x.u", default]);
}

#[test]
fn truncate_may_restart_what_the_table_owns() {
    let fixture = Fixture::new();
    fixture.ok("create table t (a serial, b int generated by default as identity) distributed by (a)");
    fixture.ok("create sequence other");
    let ids = || fixture.state().sequences().map(|def| def.id).collect::<Vec<_>>();
    let before = ids();
    fixture.ok("truncate t");
    assert_eq!(ids(), before);
    fixture.ok("truncate t restart identity");
    let changed: Vec<bool> = before.iter().zip(ids()).map(|(before, after)| *before != after).collect();
    assert_eq!(changed, [false, true, true]);
}
