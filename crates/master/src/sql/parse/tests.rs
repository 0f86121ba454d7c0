use super::super::{
    AlterAction, DistributionClause, ExplainFormat, Isolation, Restore, SetSetting, ShowTarget, Statement,
    TransactionModes, TransactionStatement, parse,
};
use crate::error::{SqlError, SqlState};
use crate::locks::LockMode;
use damson_cluster::Compression;

mod changes;
mod copy;
mod definitions;
mod secrets;

fn ok(sql: &str) -> Statement {
    parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn err(sql: &str) -> SqlError {
    match parse(sql) {
        Ok(statement) => panic!("{sql}: {statement:?}"),
        Err(error) => error,
    }
}

/// The error's state and the text from its position on.
fn err_at(sql: &str, state: SqlState) -> &str {
    let error = err(sql);
    assert_eq!(error.state, state, "{sql}: {error}");
    let position = error.position.unwrap_or_else(|| panic!("{sql}: no position: {error}"));
    let byte = sql.char_indices().nth(position - 1).map_or(sql.len(), |(byte, _)| byte);
    &sql[byte..]
}

fn names(names: &[super::super::Name]) -> Vec<&str> {
    names.iter().map(|name| name.text.as_str()).collect()
}

#[test]
fn queries() {
    for sql in [
        "SELECT 1",
        "select * from t where a = $1;",
        "(select 1) union all (select 2) order by 1;;",
        "VALUES (1, 'a'), (2, 'b')",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "-- first\nselect /* ; */ ';' as \"a;b\"",
        "select $$it's; fine$$",
        "select a.distributed, distributed from t as distributed",
    ] {
        assert!(matches!(ok(sql), Statement::Query(_)), "{sql}");
        assert!(!ok(sql).is_update());
    }
    // The text of a query is DataFusion's to bind: only its shape matters here.
    let Statement::Query(query) = ok("select 1 from \"T\"") else { panic!() };
    assert_eq!(query.to_string(), "SELECT 1 FROM \"T\"");
}

#[test]
fn syntax_errors_have_postgresql_text_and_positions() {
    let error = err("selec 1");
    assert_eq!(error.message, "syntax error at or near \"selec\"");
    assert_eq!((error.state, error.position), (SqlState::SYNTAX_ERROR, Some(1)));

    let error = err("select 'ä'\n  from t )");
    assert_eq!(error.message, "syntax error at or near \")\"");
    assert_eq!(error.position, Some(21));

    let error = err("select * from  ");
    assert_eq!(error.message, "syntax error at end of input");
    assert_eq!(error.position, Some(14));

    assert_eq!(err_at("select 1 'x' 2", SqlState::SYNTAX_ERROR), "2");
    assert_eq!(err_at("select 'open", SqlState::SYNTAX_ERROR), "'open");
    assert_eq!(err_at("create table t (a int,, b int)", SqlState::SYNTAX_ERROR), ", b int)");
    assert_eq!(err_at("select 1; select 2", SqlState::SYNTAX_ERROR), "select 2");
    assert_eq!(err("  ; ").message, "the statement is empty");
    assert_eq!(err_at("drop table", SqlState::SYNTAX_ERROR), "");
    assert_eq!(err_at("drop table t cascade cascade", SqlState::SYNTAX_ERROR), "cascade");
}

#[test]
fn known_but_unsupported_statements_are_named() {
    for (sql, named) in [
        ("create index i on t (a)", "CREATE INDEX"),
        ("create unique index i on t (a)", "CREATE UNIQUE"),
        ("create temp table t (a int)", "CREATE TEMP"),
        ("create external web table t (a int)", "CREATE EXTERNAL WEB TABLE"),
        ("create materialized view v as select 1", "CREATE MATERIALIZED"),
        ("create function f() returns int as $$ select 1; $$ language sql", "CREATE FUNCTION"),
        ("drop index i", "DROP INDEX"),
        ("alter view v rename to w", "ALTER VIEW"),
        ("create temp sequence s", "CREATE TEMP"),
        ("select 1 into t", "SELECT ... INTO"),
        ("select * from t for update", "FOR UPDATE"),
        ("copy t from stdin", "COPY with STDIN"),
    ] {
        let error = err(sql);
        assert_eq!(error.state, SqlState::FEATURE_NOT_SUPPORTED, "{sql}: {error}");
        assert!(error.message.contains(named), "{sql}: {error}");
        assert!(error.position.is_some(), "{sql}: {error}");
    }
}

#[test]
fn create_table() {
    let Statement::CreateTable(table) = ok("CREATE TABLE IF NOT EXISTS S.\"T\" (
        a int PRIMARY KEY, B varchar(10) NOT NULL DEFAULT 'x', \"C\" numeric(10,2) NULL DEFAULT (1 + 2),
        d timestamp with time zone DEFAULT now(), e int REFERENCES other (id) ON DELETE CASCADE
    ) WITH (appendoptimized=true, orientation=column, compresstype=zstd, compresslevel=5) DISTRIBUTED BY (a)") else {
        panic!()
    };
    assert_eq!((table.table.schema.as_deref(), table.table.name.as_str()), (Some("s"), "T"));
    assert!(table.if_not_exists && table.foreign_key);
    let columns: Vec<_> = table.columns.iter().map(|c| (c.name.text.as_str(), c.sql_type.name.as_str())).collect();
    assert_eq!(
        columns,
        [
            ("a", "integer"),
            ("b", "character varying(10)"),
            ("C", "numeric(10,2)"),
            ("d", "timestamp with time zone"),
            ("e", "integer")
        ]
    );
    assert!(!table.columns[1].nullable && table.columns[2].nullable);
    assert_eq!(table.columns[1].default.as_deref(), Some("'x'"));
    assert_eq!(table.columns[3].default.as_deref(), Some("now()"));
    assert!(matches!(&table.keys[..], [key] if key.primary && names(&key.columns) == ["a"]));
    assert_eq!(table.compression, Some(Compression::Zstd(5)));
    assert!(matches!(&table.distribution, Some(DistributionClause::By(key)) if names(key) == ["a"]));

    let Statement::CreateTable(table) = ok("create table t (a int, b int, primary key (b, a))") else { panic!() };
    assert!(matches!(&table.keys[..], [key] if key.primary && names(&key.columns) == ["b", "a"]));
    assert_eq!((table.distribution, table.compression), (None, None));
}

#[test]
fn distributed_clauses() {
    for (sql, distribution) in [
        ("create table t (a int) distributed randomly", DistributionClause::Randomly),
        ("create table t (a int) DISTRIBUTED REPLICATED;", DistributionClause::Replicated),
        ("create table t (a int) distributed randomly with (compresstype=lz4)", DistributionClause::Randomly),
        ("create table t (distributed int, \"by\" int) distributed randomly -- end", DistributionClause::Randomly),
    ] {
        let Statement::CreateTable(table) = ok(sql) else { panic!("{sql}") };
        assert_eq!(table.distribution, Some(distribution), "{sql}");
    }
    let Statement::CreateTable(table) = ok("create table t (a int, \"B\" int) distributed by (\"B\", a)") else {
        panic!()
    };
    assert!(matches!(&table.distribution, Some(DistributionClause::By(key)) if names(key) == ["B", "a"]));

    let sql = "create table t (a int) distributed by a";
    assert_eq!(err_at(sql, SqlState::SYNTAX_ERROR), "a");
    let sql = "create table t (a int) distributed";
    assert_eq!(err_at(sql, SqlState::SYNTAX_ERROR), "");
    let sql = "create table t (a int) distributed by (a) distributed randomly";
    assert_eq!(err(sql).state, SqlState::SYNTAX_ERROR);
}

#[test]
fn create_table_as() {
    for (sql, by) in [
        ("CREATE TABLE x AS SELECT a FROM y DISTRIBUTED BY (a)", vec!["a"]),
        ("create table x as select a, b from y z DISTRIBUTED BY (a, b);", vec!["a", "b"]),
        ("create table x as (select a from y) distributed by (a)", vec!["a"]),
        (
            "create table x as select distributed from y as distributed distributed by (distributed)",
            vec!["distributed"],
        ),
        ("create table x as select a from y where b in (1, 2) /* c */ distributed /* d */ by (a)", vec!["a"]),
    ] {
        let Statement::CreateTableAs(create) = ok(sql) else { panic!("{sql}") };
        assert!(matches!(&create.distribution, Some(DistributionClause::By(key)) if names(key) == by), "{sql}");
        assert!(!create.query.to_string().to_lowercase().contains("distributed by"), "{sql}: {}", create.query);
        assert!(create.with_data);
    }
    let sql = "create table x (c, d) with (compresstype=snappy) as select 1, 2 with no data distributed replicated";
    let Statement::CreateTableAs(create) = ok(sql) else { panic!() };
    assert_eq!(names(&create.columns), ["c", "d"]);
    assert_eq!(create.compression, Some(Compression::Snappy));
    assert_eq!(create.distribution, Some(DistributionClause::Replicated));
    assert!(!create.with_data);
    // An alias, not a clause.
    let Statement::CreateTableAs(create) = ok("create table x as select 1 as distributed") else { panic!() };
    assert_eq!(create.distribution, None);
    let Statement::CreateTableAs(create) = ok("create table x as select 'y distributed randomly'") else { panic!() };
    assert_eq!(create.distribution, None);
    let sql = "create table if not exists x distributed by (a) as select 1 as a";
    let Statement::CreateTableAs(create) = ok(sql) else { panic!() };
    assert!(create.if_not_exists && create.distribution.is_some());
    assert_eq!(err_at("create table x as select 1 from y distributed by a", SqlState::SYNTAX_ERROR), "by a");
}

#[test]
fn create_table_errors() {
    for (sql, state, at) in [
        ("create table t ()", SqlState::INVALID_TABLE_DEFINITION, "()"),
        ("create table t (x int, b blah)", SqlState::UNDEFINED_OBJECT, "b blah)"),
        ("create table t (a int default b)", SqlState::FEATURE_NOT_SUPPORTED, "a int default b)"),
        ("create table t (a int null not null)", SqlState::SYNTAX_ERROR, "a int null not null)"),
        ("create table t (a int primary key, primary key (a))", SqlState::INVALID_TABLE_DEFINITION, "a))"),
        ("create table t (a int) with (nonsense=1)", SqlState::INVALID_PARAMETER, "nonsense=1)"),
        ("create table t (a int) with (compresstype=zlib)", SqlState::INVALID_PARAMETER, "compresstype=zlib)"),
        ("create table t (a int) with (compresslevel=20)", SqlState::INVALID_PARAMETER, "compresslevel=20)"),
        ("create table t (a int) partition by range (a)", SqlState::FEATURE_NOT_SUPPORTED, "partition by range (a)"),
        ("create table other.public.t (a int)", SqlState::FEATURE_NOT_SUPPORTED, "other.public.t (a int)"),
        ("create table \"\" (a int)", SqlState::SYNTAX_ERROR, "\"\" (a int)"),
    ] {
        assert_eq!(err_at(sql, state), at, "{sql}");
    }
    let long = format!("create table {} (a int)", "x".repeat(64));
    assert_eq!(err(&long).state, SqlState::NAME_TOO_LONG);
    assert!(matches!(ok("create table damson.public.t (a int)"), Statement::CreateTable(_)));
}

#[test]
fn views_and_schemas() {
    let sql = "create or replace view v (x, y) as with c as (select * from t) select c.a, u.b from c, S.u where a in \
               (select a from w) ; ";
    let Statement::CreateView(view) = ok(sql) else { panic!() };
    assert!(view.or_replace);
    assert_eq!(names(&view.columns), ["x", "y"]);
    assert_eq!(view.query_text, "with c as (select * from t) select c.a, u.b from c, S.u where a in (select a from w)");
    let mut references: Vec<String> = view.references.iter().map(ToString::to_string).collect();
    references.sort();
    assert_eq!(references, ["s.u", "t", "w"]);
    let Statement::CreateSchema(schema) = ok("create schema if not exists \"S x\"") else { panic!() };
    assert_eq!((schema.schema.text.as_str(), schema.if_not_exists), ("S x", true));
}

#[test]
fn drop_and_truncate() {
    let Statement::DropTable(drop) = ok("drop table if exists a, s.b cascade") else { panic!() };
    assert_eq!(drop.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "s.b"]);
    assert!(drop.if_exists && drop.cascade);
    let Statement::DropView(drop) = ok("drop view v restrict") else { panic!() };
    assert!(!drop.if_exists && !drop.cascade);
    assert!(matches!(ok("drop schema s"), Statement::DropSchema(_)));
    for (sql, tables, restarts) in [
        ("truncate table a, b", 2, false),
        ("truncate a", 1, false),
        ("truncate a continue identity", 1, false),
        ("truncate only a restart identity cascade", 1, true),
    ] {
        let Statement::Truncate(truncate) = ok(sql) else { panic!("{sql}") };
        assert_eq!((truncate.tables.len(), truncate.restart_identity), (tables, restarts), "{sql}");
    }
}

#[test]
fn alter_table() {
    let action = |sql: &str| match ok(sql) {
        Statement::AlterTable(alter) => alter.action,
        other => panic!("{sql}: {other:?}"),
    };
    assert!(matches!(action("alter table t rename to u"), AlterAction::RenameTo(name) if name.text == "u"));
    for sql in ["alter table t rename column a to b", "alter table t rename a to b"] {
        assert!(matches!(action(sql), AlterAction::RenameColumn { from, to } if from.text == "a" && to.text == "b"));
    }
    let AlterAction::AddColumn { column, if_not_exists, checks } =
        action("alter table if exists only t add column if not exists c numeric(5,2) not null default 0")
    else {
        panic!()
    };
    assert!(if_not_exists && !column.nullable && checks.is_empty());
    assert_eq!(column.default.as_deref(), Some("0"));
    assert!(matches!(action("alter table t add c int"), AlterAction::AddColumn { .. }));
    assert!(matches!(
        action("alter table t set distributed by (a, b)"),
        AlterAction::SetDistributed { distribution: Some(DistributionClause::By(_)), reorganize: None, .. }
    ));
    assert!(matches!(
        action("alter table t set with (reorganize=true) distributed randomly"),
        AlterAction::SetDistributed { distribution: Some(DistributionClause::Randomly), reorganize: Some(true), .. }
    ));
    assert!(matches!(
        action("alter table t set with (REORGANIZE=true)"),
        AlterAction::SetDistributed { distribution: None, reorganize: Some(true), .. }
    ));
    let key = |sql: &str| match action(sql) {
        AlterAction::SetLayout(layout) => {
            let key = layout.sort_key.unwrap_or_default().into_iter();
            (key.map(|sort| (sort.column.text, sort.descending)).collect::<Vec<_>>(), layout.bloom_filter_columns)
        }
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(key("alter table t set with (sort_key='')"), (vec![], None));
    let two = vec![("a".to_owned(), false), ("B, c".to_owned(), true)];
    assert_eq!(key("alter table t set (sort_key='A asc, \"B, c\" DESC', reorganize=false)"), (two, None));
    let (_, filtered) = key("alter table t set with (bloom_filter_columns='b, C')");
    assert_eq!(names(&filtered.unwrap()), ["b", "c"]);
    assert!(matches!(
        action("alter table t set with (sort_key=a, reorganize=true)"),
        AlterAction::SetDistributed { reorganize: Some(true), layout, .. } if layout.sort_key.is_some()
    ));
    for value in ["a b", "a,", "1", "a desc nulls last", "\"a", "a;"] {
        let sql = format!("alter table t set with (reorganize=true, sort_key='{value}')");
        assert_eq!(err_at(&sql, SqlState::INVALID_PARAMETER), format!("sort_key='{value}')"));
    }
    assert_eq!(err_at("alter table t add a int, add b int", SqlState::FEATURE_NOT_SUPPORTED), ", add b int");
    assert_eq!(err_at("alter table t frobnicate", SqlState::SYNTAX_ERROR), "frobnicate");
}

#[test]
fn explain() {
    let explain = |sql: &str| match ok(sql) {
        Statement::Explain(explain) => (explain.analyze, explain.verbose, explain.format),
        other => panic!("{sql}: {other:?}"),
    };
    use ExplainFormat::{Json, Text};
    assert_eq!(explain("explain select 1"), (false, false, Text));
    assert_eq!(explain("explain analyze verbose select 1"), (true, true, Text));
    assert_eq!(explain("explain (select 1)"), (false, false, Text));
    assert_eq!(explain("explain (format json) select 1"), (false, false, Json));
    assert_eq!(explain("explain (analyze, format 'JSON', costs off) (select 1)"), (true, false, Json));
    let costs = |sql: &str| matches!(ok(sql), Statement::Explain(explain) if explain.costs);
    assert!(costs("explain (verbose, costs) select 1") && !costs("explain (costs off, buffers off) select 1"));
    assert_eq!(err_at("explain (buffers) select 1", SqlState::FEATURE_NOT_SUPPORTED), "buffers) select 1");
    assert_eq!(explain("explain (analyze false, verbose 1) insert into t select 1"), (false, true, Text));
    let Statement::Explain(inner) = ok("explain create table x as select 1 as a distributed by (a)") else { panic!() };
    assert!(matches!(&*inner.statement, Statement::CreateTableAs(create) if create.distribution.is_some()));
    assert_eq!(err_at("explain explain select 1", SqlState::SYNTAX_ERROR), "explain select 1");
    assert_eq!(err_at("explain (format xml) select 1", SqlState::INVALID_PARAMETER), "xml) select 1");
    assert_eq!(err_at("explain (nonsense) select 1", SqlState::SYNTAX_ERROR), "nonsense) select 1");
    assert_eq!(err_at("explain drop table t", SqlState::FEATURE_NOT_SUPPORTED), "drop table t");
}

#[test]
fn settings_and_transactions() {
    let set = |sql: &str| match ok(sql) {
        Statement::Set(set) => set,
        other => panic!("{sql}: {other:?}"),
    };
    let plain = |name: &str, value: &str| SetSetting { local: false, name: name.into(), value: Some(value.into()) };
    assert_eq!(set("set statement_mem = '128MB'"), plain("statement_mem", "128MB"));
    assert_eq!(set("SET SESSION Work_Mem TO 10"), plain("work_mem", "10"));
    assert_eq!(set("set search_path to a, \"B\", public"), plain("search_path", "a, B, public"));
    assert_eq!(set("set x.y = -1.5"), plain("x.y", "-1.5"));
    assert_eq!(set("set time zone 'UTC'"), plain("timezone", "UTC"));
    assert_eq!(set("set enable_sort = on"), plain("enable_sort", "on"));
    assert_eq!(set("set a to default").value, None);
    assert!(set("set local a = 1").local);
    assert_eq!(
        set("set session characteristics as transaction isolation level read committed"),
        plain("default_transaction_isolation", "read committed")
    );
    assert_eq!(
        set("set session characteristics as transaction read only"),
        plain("default_transaction_read_only", "on")
    );
    assert!(matches!(ok("show all"), Statement::Show(ShowTarget::All)));
    assert!(matches!(ok("show time zone"), Statement::Show(ShowTarget::Name(name)) if name == "timezone"));
    assert!(matches!(
        ok("show transaction isolation level"),
        Statement::Show(ShowTarget::Name(name)) if name == "transaction_isolation"
    ));
    assert!(matches!(ok("reset all"), Statement::Reset(None)));
    assert!(matches!(ok("reset a.b"), Statement::Reset(Some(name)) if name == "a.b"));
    assert!(matches!(ok("analyze"), Statement::Analyze(None)));
    assert!(matches!(ok("analyze verbose s.t (a, b)"), Statement::Analyze(Some(_))));
    assert!(matches!(ok("vacuum full t"), Statement::Vacuum(Some(_))));
    assert_eq!(err_at("set a b", SqlState::SYNTAX_ERROR), "b");
    assert_eq!(err_at("show", SqlState::SYNTAX_ERROR), "");
}

#[test]
fn backups() {
    let Statement::Backup(backup) = ok("backup to '/b'") else { panic!() };
    assert_eq!((backup.place.as_str(), backup.as_of), ("/b", None));
    for as_of in ["snapshot 7", "restore point p", "timestamp '2026-11-26'"] {
        let Statement::Backup(backup) = ok(&format!("backup to '/b' as of {as_of}")) else { panic!() };
        assert!(backup.as_of.is_some(), "{as_of}");
    }
    let restored = |sql: &str| match ok(sql) {
        Statement::Restore(Restore { place, backup }) => (place, backup),
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(restored("RESTORE FROM 's3://b/p';"), ("s3://b/p".into(), None));
    assert_eq!(restored("restore from E'/b' backup '2026-s1'"), ("/b".into(), Some("2026-s1".into())));
    assert!(matches!(ok("show backups in '/b'"), Statement::ShowBackups(place) if place == "/b"));
    assert!(matches!(ok("show backups"), Statement::Show(ShowTarget::Name(name)) if name == "backups"));
    for sql in ["backup to '/b'", "restore from '/b'", "show backups in '/b'"] {
        assert!(!ok(sql).is_update(), "it gives rows: {sql}");
    }
    assert_eq!(err_at("backup '/b'", SqlState::SYNTAX_ERROR), "'/b'");
    assert_eq!(err_at("backup to b", SqlState::SYNTAX_ERROR), "b");
    assert_eq!(err_at("backup to '/b' '/c'", SqlState::SYNTAX_ERROR), "'/c'");
    assert_eq!(err_at("backup to '/b' as of yesterday", SqlState::SYNTAX_ERROR), "yesterday");
    assert!(err("backup to '/b' as of yesterday").detail.is_some_and(|detail| detail.contains("RESTORE POINT name")));
    assert_eq!(err_at("restore from", SqlState::SYNTAX_ERROR), "");
    assert_eq!(err_at("restore from '/b' backup", SqlState::SYNTAX_ERROR), "");
    assert_eq!(err_at("show backups in", SqlState::SYNTAX_ERROR), "");
}

#[test]
fn two_phase_commit_by_the_client() {
    let refused = err("prepare transaction 'x'");
    assert_eq!(
        (refused.state, refused.message.as_str()),
        (SqlState::FEATURE_NOT_SUPPORTED, "PREPARE TRANSACTION is not supported")
    );
    assert!(refused.hint.is_some_and(|hint| hint.starts_with("COMMIT is all or nothing")));
    assert!(err("prepare p as select 1").hint.is_some_and(|hint| hint.contains("prepared statements")));
}

#[test]
fn transactions() {
    use TransactionStatement as T;
    let parsed = |text: &str| match ok(text) {
        Statement::Transaction(transaction) => transaction,
        other => panic!("{text}: {other:?}"),
    };
    let modes = |isolation, read_only| TransactionModes { isolation, read_only };
    let begin = |modes| T::Begin { modes, tag: "BEGIN" };
    assert_eq!(parsed("begin"), begin(TransactionModes::default()));
    assert_eq!(parsed("begin work"), begin(TransactionModes::default()));
    assert_eq!(
        parsed("start transaction isolation level repeatable read, read only"),
        T::Begin { modes: modes(Some(Isolation::RepeatableRead), Some(true)), tag: "START TRANSACTION" }
    );
    assert_eq!(
        parsed("begin transaction isolation level read uncommitted read write not deferrable"),
        begin(modes(Some(Isolation::ReadCommitted), Some(false)))
    );
    assert_eq!(
        parsed("set transaction isolation level serializable"),
        T::Set(modes(Some(Isolation::RepeatableRead), None))
    );
    assert_eq!(parsed("commit work"), T::Commit { chain: false });
    assert_eq!(parsed("end and chain"), T::Commit { chain: true });
    assert_eq!(parsed("rollback transaction and no chain"), T::Rollback { chain: false });
    assert_eq!(parsed("abort"), T::Rollback { chain: false });
    assert!(matches!(parsed("savepoint A"), T::Savepoint(name) if name.text == "a"));
    assert!(matches!(parsed("release savepoint a"), T::Release(name) if name.text == "a"));
    assert!(matches!(parsed("release a"), T::Release(name) if name.text == "a"));
    assert!(matches!(parsed("rollback work to savepoint a"), T::RollbackTo(name) if name.text == "a"));
    assert_eq!(err_at("begin isolation level chaos", SqlState::SYNTAX_ERROR), "chaos");
    assert_eq!(err_at("set transaction", SqlState::SYNTAX_ERROR), "");
    assert_eq!(err_at("commit prepared 'x'", SqlState::FEATURE_NOT_SUPPORTED), "prepared 'x'");
    let lock = |text: &str| match ok(text) {
        Statement::LockTable(lock) => (lock.tables.len(), lock.mode, lock.nowait),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(lock("lock t"), (1, LockMode::AccessExclusive, false));
    assert_eq!(lock("lock table s.t, u in share row exclusive mode nowait"), (2, LockMode::ShareRowExclusive, true));
    assert_eq!(lock("lock table only t in access share mode"), (1, LockMode::AccessShare, false));
    assert_eq!(err_at("lock t in some mode", SqlState::SYNTAX_ERROR), "some mode");
}

/// These run on a test thread's 2 MiB: the point is that they return.
#[test]
fn complex_statements_are_refused_and_not_run_into_the_stack() {
    let nested = |n: usize| format!("select {}1{}", "(".repeat(n), ")".repeat(n));
    let ors = |n: usize| format!("select * from t where {}", vec!["a = 1"; n].join(" or "));
    for sql in [
        nested(5_000),
        ors(20_000),
        format!("select {}1", "1+".repeat(20_000)),
        format!("select {}1", "-".to_owned() + &" -".repeat(20_000)),
        format!("select * from {}t{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("select {}", "case when a then ".repeat(5_000)),
        format!("explain {}", "(".repeat(5_000)),
        vec!["select 1"; 5_000].join(" union all "),
        format!("create view v as select {}1", "not ".repeat(5_000)),
        format!("create table t (a int default {}1)", "1 + ".repeat(5_000)),
        format!("copy ({}select 1{}) to 'x'", "(".repeat(5_000), ")".repeat(5_000)),
        format!("insert into t values ({}1{})", "abs(".repeat(5_000), ")".repeat(5_000)),
        format!("create table t (a int check ({}1))", "1 + ".repeat(5_000)),
        format!("merge into t using u on {} when matched then delete", vec!["a = 1"; 20_000].join(" or ")),
        format!("merge into t using {}u{} on true", "(".repeat(5_000), ")".repeat(5_000)),
        format!("delete from t returning {}1", "1+".repeat(5_000)),
    ] {
        assert_eq!(err(&sql).state, SqlState::TOO_COMPLEX, "{}", &sql[..60]);
    }
    // What is allowed is parsed, shown, copied and dropped on the same stack.
    let plus = "1+".repeat(900);
    let climbing = "1 or 1 and not 1 = 1 + 1 * -(";
    for sql in [
        nested(120),
        ors(900),
        format!("select {}1", "1+".repeat(900)),
        format!("select {}true", "not ".repeat(900)),
        format!("select {}1{}", climbing.repeat(80), ")".repeat(80)),
        format!("{}select * from t{}", "select * from (".repeat(45), ") x".repeat(45)),
        format!("{}select 1{}", "select (".repeat(45), ")".repeat(45)),
        format!("{}select 1{}", "(".repeat(120), ")".repeat(120)),
        format!("select * from {}t{}", "(u join ".repeat(75), " on true)".repeat(75)),
        vec!["select 1"; 250].join(" union "),
        format!("create view v as {}", ors(900)),
        format!("create table t (a int default {}1)", "1+".repeat(900)),
        format!("create table t (a int, check ({}1 > a))", "1+".repeat(900)),
        format!("merge into t using u on {plus}1 when matched and {plus}1 then update set a = {plus}1"),
        format!("insert into t values (1) on conflict (a) do update set a = {plus}1 where {plus}1 returning {plus}1"),
    ] {
        let statement = ok(&sql);
        if let Statement::Query(query) = &statement {
            assert!(query.to_string().len() > 100);
        }
        let copy = statement.clone();
        drop(statement);
        drop(copy);
    }
}

/// A parser that tries twice at each level would never come back.
#[test]
fn nested_text_takes_linear_time() {
    let started = std::time::Instant::now();
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("(", "1 1", ")"),
        ("abs(", "1 1", ")"),
        ("cast(", "1 1", " as int)"),
        ("case when ", "1 1", " then 1 end"),
        ("not ", "1 1", ""),
        ("(select ", "1 1 1", ")"),
        ("exists (select ", "1 1 1", ")"),
        ("array[", "1 1", "]"),
        ("interval (", "1 1", ")"),
        ("a in (", "1 1", ")"),
        ("extract(year from ", "1 1", ")"),
    ] {
        for before in ["select ", "select * from t where ", "insert into t values ("] {
            let sql = format!("{before}{}{inner}{}", open.repeat(100), close.repeat(100));
            // Most are no SQL: what counts is that the answer comes.
            let _ = parse(&sql);
        }
    }
    for (open, inner, close) in [
        ("(", "t", ")"),
        ("(", "t t t", ")"),
        ("(select * from ", "t t t", ") as x"),
        ("(t join ", "t t t", ")"),
        ("lateral (select * from ", "t t t", ") x"),
    ] {
        let _ = parse(&format!("select * from {}{inner}{}", open.repeat(100), close.repeat(100)));
        let _ = parse(&format!("create view v as select * from {}{inner}{}", open.repeat(100), close.repeat(100)));
    }
    for inner in ["select 1", "select 1 1 1", "values (1)"] {
        let _ = parse(&format!("{}{inner}{}", "(".repeat(100), ")".repeat(100)));
        let _ = parse(&format!("with x as {}{inner}{} select 1", "(".repeat(100), ")".repeat(100)));
    }
    // The dialect stops a parser that tries again and again, and the error is where it could go no farther.
    for (open, close) in [("cast(", " as int)"), ("position(", ")"), ("floor(", ")"), ("array[", "]")] {
        let sql = format!("select {}1 + oops 1{}", open.repeat(60), close.repeat(60));
        assert!(err_at(&sql, SqlState::SYNTAX_ERROR).starts_with(&format!("1{close}")), "{sql}");
    }
    // And valid text is not tried again and again.
    for open in ["replace(", "coalesce(", "abs(", "nullif("] {
        ok(&format!("select {}a{} from t", open.repeat(100), ", 'x', 'y')".repeat(100)));
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
