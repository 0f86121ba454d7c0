//! Keys, checks, identity columns, sequences.

use super::super::super::statement::SequenceOptions;
use super::super::super::{AlterAction, CheckSpec, CreateTable, Including, KeySpec, Statement};
use super::{err, err_at, names, ok};
use crate::error::SqlState;

fn table(sql: &str) -> CreateTable {
    match ok(sql) {
        Statement::CreateTable(table) => table,
        other => panic!("{sql}: {other:?}"),
    }
}

fn action(sql: &str) -> AlterAction {
    match ok(&format!("alter table t {sql}")) {
        Statement::AlterTable(alter) => alter.action,
        other => panic!("{sql}: {other:?}"),
    }
}

/// `name: PRIMARY a, b`.
fn key(key: &KeySpec) -> String {
    let name = key.name.as_ref().map_or("-", |name| &name.text);
    format!("{name}: {} {}", if key.primary { "primary" } else { "unique" }, names(&key.columns).join(", "))
}

/// `name column: expression`.
fn check(check: &CheckSpec) -> String {
    let name = check.name.as_ref().map_or("-", |name| &name.text);
    format!("{name} {}: {}", check.column.as_ref().map_or("-", |column| &column.text), check.expression)
}

/// As CREATE and ALTER SEQUENCE take them.
fn options(sql: &str) -> SequenceOptions {
    match ok(sql) {
        Statement::CreateSequence(create) => create.options,
        Statement::AlterSequence(alter) => alter.options,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn keys_and_checks_of_tables() {
    for (columns, keys, checks) in [
        ("a int primary key, b int unique", vec!["-: primary a", "-: unique b"], vec![]),
        (
            "a int constraint PK primary key not null, b int constraint \"U\" unique constraint c check (b > A)",
            vec!["pk: primary a", "U: unique b"],
            vec!["c b: b > A"],
        ),
        (
            "a int, b int, constraint pk primary key (b, \"A\"), unique (a), constraint u unique nulls distinct (a, b)",
            vec!["pk: primary b, A", "-: unique a", "u: unique a, b"],
            vec![],
        ),
        (
            "check (a < b), a int check ((a > 0)) check (a is not null) no inherit default 1 not null, b int, constraint c check (f(b))",
            vec![],
            vec!["- -: a < b", "- a: (a > 0)", "- a: a IS NOT NULL", "c -: f(b)"],
        ),
        (
            "a int primary key not deferrable initially immediate not null, b int references u not deferrable null",
            vec!["-: primary a"],
            vec![],
        ),
    ] {
        let sql = format!("create table t ({columns})");
        let table = table(&sql);
        assert_eq!(table.keys.iter().map(key).collect::<Vec<_>>(), keys, "{sql}");
        assert_eq!(table.checks.iter().map(check).collect::<Vec<_>>(), checks, "{sql}");
        assert_eq!(table.foreign_key, sql.contains("references"), "{sql}");
    }
    assert!(
        table("create table t (a int, constraint f foreign key (a) references u (b) on delete cascade)").foreign_key
    );
    assert_eq!(table("create table t (a int, check (a > 0))").checks[0].position, 24);
}

#[test]
fn keys_and_checks_that_are_refused() {
    for (columns, state, at) in [
        ("a int primary key deferrable", SqlState::FEATURE_NOT_SUPPORTED, "deferrable)"),
        ("a int unique initially deferred", SqlState::FEATURE_NOT_SUPPORTED, "initially deferred)"),
        ("a int, unique (a) deferrable", SqlState::FEATURE_NOT_SUPPORTED, "deferrable)"),
        ("a int check (a > 0) not enforced", SqlState::FEATURE_NOT_SUPPORTED, "not enforced)"),
        ("a int unique nulls not distinct", SqlState::FEATURE_NOT_SUPPORTED, "nulls not distinct)"),
        ("a int, unique nulls not distinct (a)", SqlState::FEATURE_NOT_SUPPORTED, "nulls not distinct (a))"),
        ("a int, primary key (a) include (b)", SqlState::FEATURE_NOT_SUPPORTED, "include (b))"),
        ("a int, primary key using index i", SqlState::FEATURE_NOT_SUPPORTED, "using index i)"),
        ("a int, exclude using gist (a with =)", SqlState::FEATURE_NOT_SUPPORTED, "exclude using gist (a with =))"),
        ("a int check (a in (select 1))", SqlState::FEATURE_NOT_SUPPORTED, "check (a in (select 1)))"),
        ("a int, check (sum(a) over () > 1)", SqlState::FEATURE_NOT_SUPPORTED, "check (sum(a) over () > 1))"),
        ("a int, check (a > $1)", SqlState::FEATURE_NOT_SUPPORTED, "check (a > $1))"),
        ("a int primary key, b int primary key", SqlState::INVALID_TABLE_DEFINITION, "b int primary key)"),
        ("a int, primary key (a), primary key (a)", SqlState::INVALID_TABLE_DEFINITION, "a))"),
        ("primary key (a)", SqlState::INVALID_TABLE_DEFINITION, "(primary key (a))"),
        ("a int null primary key", SqlState::SYNTAX_ERROR, "a int null primary key)"),
        ("a int, primary key (lower(a))", SqlState::SYNTAX_ERROR, "(a)))"),
        ("a int, unique ()", SqlState::SYNTAX_ERROR, "))"),
        ("a int, check ()", SqlState::SYNTAX_ERROR, "))"),
        ("a int check a > 0", SqlState::SYNTAX_ERROR, "a > 0)"),
        ("a int constraint c", SqlState::SYNTAX_ERROR, ")"),
        ("a int, constraint c", SqlState::SYNTAX_ERROR, ")"),
        ("a int auto_increment", SqlState::SYNTAX_ERROR, "auto_increment)"),
        ("a int collate \"C\"", SqlState::FEATURE_NOT_SUPPORTED, "collate \"C\")"),
        ("a int,", SqlState::SYNTAX_ERROR, ")"),
        ("a", SqlState::SYNTAX_ERROR, ""),
    ] {
        let sql = format!("create table t ({columns})");
        assert_eq!(err_at(&sql, state), at, "{sql}");
    }
}

#[test]
fn identity_and_serial_columns() {
    for (column, name, always, serial) in [
        ("a serial", "integer", false, true),
        ("a SERIAL4 primary key", "integer", false, true),
        ("a bigserial not null", "bigint", false, true),
        ("a serial8", "bigint", false, true),
        ("a smallserial", "smallint", false, true),
        ("a serial2", "smallint", false, true),
        ("a int generated always as identity", "integer", true, false),
        ("a bigint not null generated by default as identity unique", "bigint", false, false),
    ] {
        let table = table(&format!("create table t ({column})"));
        let [spec] = &table.columns[..] else { panic!("{column}") };
        let identity = spec.identity.as_ref().unwrap_or_else(|| panic!("{column}"));
        assert_eq!((spec.sql_type.name.as_str(), identity.always, identity.serial), (name, always, serial), "{column}");
        assert_eq!(identity.options, SequenceOptions::default(), "{column}");
        assert!(!spec.nullable && spec.default.is_none(), "{column}");
        let AlterAction::AddColumn { column: added, .. } =
            action(&format!("add {}", column.split(" primary").next().unwrap().trim_end_matches(" unique")))
        else {
            panic!("{column}")
        };
        assert_eq!(added.identity.as_ref(), Some(identity), "{column}");
    }
    let table = table(
        "create table t (a int generated always as identity (start with 10 increment by -5 no minvalue cache 3 no cycle))",
    );
    let expected = SequenceOptions {
        start: Some(10),
        increment: Some(-5),
        min: Some(None),
        cache: Some(3),
        cycle: Some(false),
        ..SequenceOptions::default()
    };
    assert_eq!(table.columns[0].identity.as_ref().unwrap().options, expected);
    for (column, state, at) in [
        ("a serial null", SqlState::SYNTAX_ERROR, "a serial null)"),
        ("a int null generated always as identity", SqlState::SYNTAX_ERROR, "a int null generated always as identity)"),
        ("a serial default 1", SqlState::SYNTAX_ERROR, "a serial default 1)"),
        ("a int default 1 default 2", SqlState::SYNTAX_ERROR, "a int default 1 default 2)"),
        (
            "a int default 1 generated always as identity",
            SqlState::SYNTAX_ERROR,
            "a int default 1 generated always as identity)",
        ),
        (
            "a int generated always as identity default 1",
            SqlState::SYNTAX_ERROR,
            "a int generated always as identity default 1)",
        ),
        ("a text generated always as identity", SqlState::INVALID_PARAMETER, "a text generated always as identity)"),
        ("a int generated always as identity (as bigint)", SqlState::SYNTAX_ERROR, "as bigint))"),
        ("a int generated always as identity (owned by t.a)", SqlState::SYNTAX_ERROR, "owned by t.a))"),
        ("a int generated always as identity (restart)", SqlState::SYNTAX_ERROR, "restart))"),
        ("a int generated always as identity (sequence name s)", SqlState::FEATURE_NOT_SUPPORTED, "sequence name s))"),
        ("a int generated always as (b + 1) stored", SqlState::FEATURE_NOT_SUPPORTED, "(b + 1) stored)"),
        ("a int generated as identity", SqlState::SYNTAX_ERROR, "as identity)"),
        ("a serial[]", SqlState::FEATURE_NOT_SUPPORTED, "a serial[])"),
        ("a serial(3)", SqlState::FEATURE_NOT_SUPPORTED, "a serial(3))"),
    ] {
        let sql = format!("create table t ({column})");
        assert_eq!(err_at(&sql, state), at, "{sql}");
    }
    let error = err("create table t (a serial generated always as identity)");
    assert_eq!(error.message, "both default and identity specified for column \"a\"");
    let error = err("create table t (a int generated always as identity generated by default as identity)");
    assert_eq!(error.message, "multiple identity specifications for column \"a\"");
}

#[test]
fn defaults_may_take_from_a_sequence() {
    let table =
        table("create table t (a int default nextval('s') not null, b int default 2 * nextval('s.\"T\"'::regclass))");
    assert_eq!(table.columns[0].default.as_deref(), Some("nextval('s')"));
    assert_eq!(table.columns[1].default.as_deref(), Some("2 * nextval('s.\"T\"'::REGCLASS)"));
    assert!(!table.columns[0].nullable && table.columns[0].identity.is_none());
    assert_eq!(err("create table t (a int default nextval(b))").state, SqlState::FEATURE_NOT_SUPPORTED);
}

#[test]
fn like_says_what_it_copies() {
    let including = |[constraints, defaults, indexes, identity, storage]: [bool; 5]| Including {
        constraints,
        defaults,
        indexes,
        identity,
        storage,
    };
    for (words, expected) in [
        ("", including([false; 5])),
        ("including all", including([true; 5])),
        ("including all excluding INDEXES", including([true, true, false, true, true])),
        ("including constraints including defaults excluding storage", including([true, true, false, false, false])),
        ("including identity including comments including storage", including([false, false, false, true, true])),
        ("including generated including compression including indexes excluding all", including([false; 5])),
    ] {
        let like = table(&format!("create table t (like s.u {words}) distributed randomly")).like.unwrap();
        assert_eq!((like.table.to_string().as_str(), like.including), ("s.u", expected), "{words}");
    }
    for (words, at) in [("including nonsense", "nonsense)"), ("including", ")"), ("all", "all)")] {
        let sql = format!("create table t (like u {words})");
        assert_eq!(err_at(&sql, SqlState::SYNTAX_ERROR), at, "{sql}");
    }
}

#[test]
fn sequences() {
    let all = options(
        "create sequence if not exists s as smallint increment by 2 minvalue -10 maxvalue +1_000 start with 5 cache 20 cycle owned by s.T.a",
    );
    assert_eq!(all.data_type.map(|sql_type| sql_type.name).as_deref(), Some("smallint"));
    assert_eq!((all.increment, all.start, all.cache, all.cycle), (Some(2), Some(5), Some(20), Some(true)));
    assert_eq!((all.min, all.max, all.restart), (Some(Some(-10)), Some(Some(1000)), None));
    let (table, column) = all.owned_by.unwrap().unwrap();
    assert_eq!((table.to_string().as_str(), column.text.as_str()), ("s.t", "a"));
    let none = SequenceOptions::default();
    for (sql, expected) in [
        ("create sequence s", none.clone()),
        (
            "create sequence s no cycle start -9223372036854775808 increment -1",
            SequenceOptions { cycle: Some(false), start: Some(i64::MIN), increment: Some(-1), ..none.clone() },
        ),
        (
            "create sequence s no minvalue no maxvalue owned by none",
            SequenceOptions { min: Some(None), max: Some(None), owned_by: Some(None), ..none.clone() },
        ),
        ("alter sequence s restart", SequenceOptions { restart: Some(None), ..none.clone() }),
        (
            "alter sequence s restart 5 cache 1",
            SequenceOptions { restart: Some(Some(5)), cache: Some(1), ..none.clone() },
        ),
        ("alter sequence s restart with -5", SequenceOptions { restart: Some(Some(-5)), ..none }),
    ] {
        assert_eq!(options(sql), expected, "{sql}");
        assert!(ok(sql).is_update());
    }
    assert!(ok("create sequence if not exists s").is_content_with_existing());
    assert!(!ok("create sequence s").is_content_with_existing());
    let Statement::AlterSequence(alter) = ok("alter sequence if exists a.s cycle") else { panic!() };
    assert_eq!((alter.sequence.to_string().as_str(), alter.if_exists), ("a.s", true));
    let Statement::DropSequence(drop) = ok("drop sequence if exists a, s.b cascade") else { panic!() };
    assert!(drop.names.len() == 2 && drop.if_exists && drop.cascade);
    for (sql, state, at) in [
        ("create sequence s increment 0", SqlState::INVALID_PARAMETER, "increment 0"),
        ("create sequence s cache 0", SqlState::INVALID_PARAMETER, "cache 0"),
        ("create sequence s as text", SqlState::INVALID_PARAMETER, "text"),
        ("create sequence s start 9223372036854775808", SqlState::NUMERIC_OUT_OF_RANGE, "9223372036854775808"),
        ("create sequence s start 1.5", SqlState::SYNTAX_ERROR, "1.5"),
        ("create sequence s start x", SqlState::SYNTAX_ERROR, "x"),
        ("create sequence s cycle no cycle", SqlState::SYNTAX_ERROR, "no cycle"),
        ("create sequence s minvalue 1 no minvalue", SqlState::SYNTAX_ERROR, "no minvalue"),
        ("create sequence s restart", SqlState::SYNTAX_ERROR, "restart"),
        ("create sequence s owned by a", SqlState::SYNTAX_ERROR, "a"),
        ("create sequence s nonsense", SqlState::SYNTAX_ERROR, "nonsense"),
        ("create or replace sequence s", SqlState::SYNTAX_ERROR, "sequence s"),
        ("alter sequence s", SqlState::SYNTAX_ERROR, ""),
        ("alter sequence s rename to u", SqlState::FEATURE_NOT_SUPPORTED, "rename to u"),
    ] {
        assert_eq!(err_at(sql, state), at, "{sql}");
    }
}

#[test]
fn alter_table_changes_constraints_and_columns() {
    assert!(matches!(action("add primary key (a, b)"), AlterAction::AddKey(k) if key(&k) == "-: primary a, b"));
    assert!(matches!(action("add constraint u unique (a)"), AlterAction::AddKey(k) if key(&k) == "u: unique a"));
    assert!(matches!(action("add constraint c check (a > 0)"), AlterAction::AddCheck(c) if check(&c) == "c -: a > 0"));
    for sql in ["add foreign key (a) references u", "add constraint f foreign key (a) references u (b) not valid"] {
        assert!(matches!(action(sql), AlterAction::AddForeignKey), "{sql}");
    }
    for (sql, name, exists, cascades) in
        [("c", "c", false, false), ("if exists \"C\" cascade", "C", true, true), ("c restrict", "c", false, false)]
    {
        assert!(matches!(
            action(&format!("drop constraint {sql}")),
            AlterAction::DropConstraint { name: dropped, if_exists, cascade }
                if (dropped.text.as_str(), if_exists, cascade) == (name, exists, cascades)
        ));
        for drop in ["drop column", "drop"] {
            assert!(matches!(
                action(&format!("{drop} {sql}")),
                AlterAction::DropColumn { column, if_exists, cascade }
                    if (column.text.as_str(), if_exists, cascade) == (name, exists, cascades)
            ));
        }
    }
    assert!(matches!(
        action("rename constraint a to B"),
        AlterAction::RenameConstraint { from, to } if from.text == "a" && to.text == "b"
    ));
    for alter in ["alter column a", "alter a"] {
        assert!(matches!(action(&format!("{alter} set not null")), AlterAction::SetNotNull(name) if name.text == "a"));
        assert!(
            matches!(action(&format!("{alter} drop not null")), AlterAction::DropNotNull(name) if name.text == "a")
        );
        assert!(matches!(action(&format!("{alter} drop default")), AlterAction::DropDefault(name) if name.text == "a"));
        assert!(matches!(
            action(&format!("{alter} set default 1 + nextval('s')")),
            AlterAction::SetDefault { column, default } if column.text == "a" && default == "1 + nextval('s')"
        ));
    }
    let AlterAction::AddColumn { column, checks, .. } =
        action("add column c int constraint p check (c > a) references u default 1")
    else {
        panic!()
    };
    assert_eq!(
        (column.default.as_deref(), checks.iter().map(check).collect()),
        (Some("1"), vec!["p c: c > a".to_owned()])
    );
    for (sql, state, at) in [
        ("add c int primary key", SqlState::FEATURE_NOT_SUPPORTED, "c int primary key"),
        ("add c int unique", SqlState::FEATURE_NOT_SUPPORTED, "c int unique"),
        ("add constraint c check (a > 0) not valid", SqlState::FEATURE_NOT_SUPPORTED, "not valid"),
        ("add constraint c check (exists (select 1))", SqlState::FEATURE_NOT_SUPPORTED, "check (exists (select 1))"),
        ("add constraint u unique using index i", SqlState::FEATURE_NOT_SUPPORTED, "using index i"),
        ("add partition p", SqlState::FEATURE_NOT_SUPPORTED, "add partition p"),
        ("add constraint c", SqlState::SYNTAX_ERROR, ""),
        ("drop partition p", SqlState::FEATURE_NOT_SUPPORTED, "drop partition p"),
        ("drop column", SqlState::SYNTAX_ERROR, ""),
        ("drop a, drop b", SqlState::FEATURE_NOT_SUPPORTED, ", drop b"),
        ("alter a type text", SqlState::FEATURE_NOT_SUPPORTED, "type text"),
        ("alter a set data type text", SqlState::FEATURE_NOT_SUPPORTED, "set data type text"),
        (
            "alter a add generated always as identity",
            SqlState::FEATURE_NOT_SUPPORTED,
            "add generated always as identity",
        ),
        ("alter a drop identity", SqlState::FEATURE_NOT_SUPPORTED, "drop identity"),
        ("alter a set default b", SqlState::FEATURE_NOT_SUPPORTED, "b"),
        ("alter a set default", SqlState::SYNTAX_ERROR, ""),
        ("alter a frobnicate", SqlState::SYNTAX_ERROR, "frobnicate"),
        ("alter constraint c deferrable", SqlState::FEATURE_NOT_SUPPORTED, "alter constraint c deferrable"),
        ("validate constraint c", SqlState::FEATURE_NOT_SUPPORTED, "validate constraint c"),
    ] {
        let sql = format!("alter table t {sql}");
        assert_eq!(err_at(&sql, state), at, "{sql}");
    }
}
