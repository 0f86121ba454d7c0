//! INSERT, UPDATE, DELETE, MERGE.

use super::super::super::statement::Overriding;
use super::super::super::{
    ConflictAction, ConflictTarget, Insert, InsertSource, InsertValue, Merge, MergeAction, MergeWhen, Name, Statement,
};
use super::{err, err_at, names, ok};
use crate::error::SqlState;

fn inserted(sql: &str) -> Insert {
    match ok(sql) {
        Statement::Insert(insert) => insert,
        other => panic!("{sql}: {other:?}"),
    }
}

fn merged(sql: &str) -> Merge {
    match ok(sql) {
        Statement::Merge(merge) => *merge,
        other => panic!("{sql}: {other:?}"),
    }
}

fn values(values: &[InsertValue]) -> Vec<String> {
    let text = |value: &InsertValue| match value {
        InsertValue::Default => "DEFAULT".to_owned(),
        InsertValue::Expr(expression) => expression.to_string(),
    };
    values.iter().map(text).collect()
}

/// `a = 1, b = DEFAULT`.
fn assigned(assignments: &[(Name, InsertValue)]) -> String {
    let text = |(name, value): &(Name, InsertValue)| {
        format!("{} = {}", name.text, values(std::slice::from_ref(value)).concat())
    };
    assignments.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn insert() {
    let Statement::Insert(insert) = ok("insert into s.t (a, \"B\") values (1, DEFAULT), (-2, 'x' || 'y')") else {
        panic!()
    };
    assert_eq!((insert.table.to_string().as_str(), names(&insert.columns)), ("s.t", vec!["a", "B"]));
    let InsertSource::Values(rows) = insert.source else { panic!() };
    assert_eq!(rows.len(), 2);
    assert!(matches!(rows[0][1], InsertValue::Default));
    assert!(matches!(&rows[1][1], InsertValue::Expr(expr) if expr.to_string() == "'x' || 'y'"));
    for sql in [
        "insert into t select * from u",
        "insert into t with x as (select 1) select * from x",
        "insert into t values (1), (2) order by 1 limit 1",
    ] {
        let Statement::Insert(insert) = ok(sql) else { panic!() };
        assert!(matches!(insert.source, InsertSource::Query(_)), "{sql}");
    }
    let Statement::Insert(insert) = ok("insert into t default values") else { panic!() };
    assert!(matches!(insert.source, InsertSource::DefaultValues));
    let error = err("insert into t values (1), (1, 2)");
    assert_eq!(error.message, "VALUES lists must all be the same length");
}

#[test]
fn insert_says_what_it_inserts() {
    for (sql, columns, overriding, source) in [
        ("insert into t (a, B) overriding system value values (1, 2)", "a b", Some(Overriding::System), "values"),
        ("insert into t overriding user value select 1, 2", "", Some(Overriding::User), "query"),
        ("insert into t (a) (select 1)", "a", None, "query"),
        ("insert into t (select 1)", "", None, "query"),
        ("insert into t ((select 1) union all (select 2))", "", None, "query"),
        ("insert into t (values (1))", "", None, "query"),
        ("insert into t (values) values (1)", "values", None, "values"),
        ("insert into t (with x as (select 1) select * from x)", "", None, "query"),
        ("insert into t table u", "", None, "query"),
        ("insert into t default values", "", None, "default"),
    ] {
        let insert = inserted(sql);
        assert_eq!(names(&insert.columns).join(" "), columns, "{sql}");
        assert_eq!(insert.overriding, overriding, "{sql}");
        let found = match insert.source {
            InsertSource::Values(_) => "values",
            InsertSource::Query(_) => "query",
            InsertSource::DefaultValues => "default",
            InsertSource::Sent(_) => "sent",
        };
        assert_eq!(found, source, "{sql}");
        assert!(insert.alias.is_none() && insert.on_conflict.is_none() && insert.returning.is_none(), "{sql}");
    }
    assert_eq!(inserted("insert into t as \"X\" (a) values (1)").alias.as_deref(), Some("X"));
    for (sql, state, at) in [
        ("insert t values (1)", SqlState::SYNTAX_ERROR, "t values (1)"),
        ("insert into t", SqlState::SYNTAX_ERROR, ""),
        ("insert into t x values (1)", SqlState::SYNTAX_ERROR, "x values (1)"),
        ("insert into t (t.a) values (1)", SqlState::SYNTAX_ERROR, ".a) values (1)"),
        ("insert into t () values (1)", SqlState::SYNTAX_ERROR, ") values (1)"),
        ("insert into t (a) default values", SqlState::SYNTAX_ERROR, "default values"),
        ("insert into t overriding values (1)", SqlState::SYNTAX_ERROR, "values (1)"),
        ("insert into t set a = 1", SqlState::SYNTAX_ERROR, "set a = 1"),
        ("insert into t select * from u for update", SqlState::FEATURE_NOT_SUPPORTED, "select * from u for update"),
    ] {
        assert_eq!(err_at(sql, state), at, "{sql}");
    }
}

#[test]
fn conflicts() {
    for (sql, target, action) in [
        ("insert into t values (1) on conflict do nothing", "any", "nothing"),
        ("insert into t select 1 on conflict (a, \"B\") do nothing", "a B", "nothing"),
        ("insert into t select * from u on conflict on constraint K do nothing", "constraint k", "nothing"),
        (
            "insert into t as x values (1, 2) on conflict (a) do update set b = excluded.b + x.b, (c, d) = (1, default)",
            "a",
            "b = excluded.b + x.b, c = 1, d = DEFAULT",
        ),
        (
            "insert into t default values on conflict on constraint k do update set a = (select max(b) from u) where t.a < 5",
            "constraint k",
            "a = (SELECT max(b) FROM u) WHERE t.a < 5",
        ),
    ] {
        let conflict = inserted(sql).on_conflict.unwrap_or_else(|| panic!("{sql}"));
        let found = match conflict.target {
            ConflictTarget::Any => "any".to_owned(),
            ConflictTarget::Columns(columns) => names(&columns).join(" "),
            ConflictTarget::Constraint(name) => format!("constraint {}", name.text),
        };
        assert_eq!(found, target, "{sql}");
        let found = match conflict.action {
            ConflictAction::Nothing => "nothing".to_owned(),
            ConflictAction::Update { assignments, selection: None } => assigned(&assignments),
            ConflictAction::Update { assignments, selection: Some(selection) } => {
                format!("{} WHERE {selection}", assigned(&assignments))
            }
        };
        assert_eq!(found, action, "{sql}");
    }
    for (clause, state, at) in [
        ("(a) where a > 0 do nothing", SqlState::FEATURE_NOT_SUPPORTED, "where a > 0 do nothing"),
        ("(lower(a)) do nothing", SqlState::FEATURE_NOT_SUPPORTED, "(a)) do nothing"),
        ("((a + 1)) do nothing", SqlState::FEATURE_NOT_SUPPORTED, "(a + 1)) do nothing"),
        ("(a collate \"C\") do nothing", SqlState::FEATURE_NOT_SUPPORTED, "collate \"C\") do nothing"),
        ("(a) do update set t.a = 1", SqlState::SYNTAX_ERROR, "t.a = 1"),
        ("(a) do update set (a, b) = (1, 2, 3)", SqlState::SYNTAX_ERROR, "(a, b) = (1, 2, 3)"),
        ("(a) do update set a = 1 where", SqlState::SYNTAX_ERROR, ""),
        ("(a) do delete", SqlState::SYNTAX_ERROR, "delete"),
        ("(a", SqlState::SYNTAX_ERROR, ""),
        ("() do nothing", SqlState::SYNTAX_ERROR, ") do nothing"),
        ("on constraint do nothing", SqlState::SYNTAX_ERROR, "nothing"),
    ] {
        let sql = format!("insert into t values (1) on conflict {clause}");
        assert_eq!(err_at(&sql, state), at, "{sql}");
    }
    let error = err("insert into t values (1) on conflict do update set a = 1");
    assert_eq!((error.state, error.position), (SqlState::SYNTAX_ERROR, Some(26)));
    assert_eq!(error.message, "ON CONFLICT DO UPDATE requires inference specification or constraint name");
    assert_eq!(error.hint.as_deref(), Some("For example, ON CONFLICT (column_name)."));
}

#[test]
fn returning_makes_rows() {
    for (sql, items) in [
        ("insert into t values (1) returning *", vec!["*"]),
        ("insert into t select 1 returning a as x, b + 1 y", vec!["a AS x", "b + 1 AS y"]),
        ("insert into t select a from u returning t.*", vec!["t.*"]),
        ("insert into t values (1) on conflict (a) do update set b = 1 where t.b > 2 returning a", vec!["a"]),
        ("update t set a = 1 from u where t.b = u.b returning old.a, new.*", vec!["old.a", "new.*"]),
        ("update t set a = default returning (select max(a) from u)", vec!["(SELECT max(a) FROM u)"]),
        ("delete from t returning *", vec!["*"]),
        ("delete from t as x using u where x.a = u.a returning x.a", vec!["x.a"]),
        (
            "merge into t using u on t.a = u.a when matched then delete returning merge_action(), t.*",
            vec!["merge_action()", "t.*"],
        ),
        ("merge into t using u on t.a = u.a when matched then update set b = 1 returning u.b", vec!["u.b"]),
    ] {
        let statement = ok(sql);
        assert!(!statement.is_update(), "{sql}");
        let found: Vec<String> = statement.returning().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, items, "{sql}");
    }
    for sql in ["insert into t values (1)", "update t set a = 1", "delete from t"] {
        assert!(ok(sql).is_update() && ok(sql).returning().is_none(), "{sql}");
    }
    for (sql, state) in [
        ("delete from t returning", SqlState::SYNTAX_ERROR),
        ("insert into t values (1) returning a,", SqlState::SYNTAX_ERROR),
        ("insert into t values (1) returning a on conflict do nothing", SqlState::SYNTAX_ERROR),
        (
            "insert into t values (1) returning (select 1 from u tablesample system (1))",
            SqlState::FEATURE_NOT_SUPPORTED,
        ),
        ("delete from t returning (select 1 from u tablesample system (1))", SqlState::FEATURE_NOT_SUPPORTED),
        ("delete from t using u tablesample system (1)", SqlState::FEATURE_NOT_SUPPORTED),
        ("update t set a = (select 1 from u tablesample system (1))", SqlState::FEATURE_NOT_SUPPORTED),
    ] {
        assert_eq!(err(sql).state, state, "{sql}");
    }
}

#[test]
fn changes_name_a_table_and_what_becomes_of_its_rows() {
    let modify = |sql: &str| match ok(sql) {
        Statement::Modify(modify) => *modify,
        other => panic!("{sql}: {other:?}"),
    };
    let update = modify("UPDATE s.T AS x SET (a, B) = (1, DEFAULT), c = x.c + 1 FROM u, v WHERE x.k = u.k");
    assert_eq!((update.table.to_string(), update.alias.as_deref()), ("s.t".to_owned(), Some("x")));
    let assigned: Vec<_> =
        update.assignments.iter().flatten().map(|(name, value)| (name.text.as_str(), value)).collect();
    assert!(matches!(
        assigned[..],
        [("a", InsertValue::Expr(_)), ("b", InsertValue::Default), ("c", InsertValue::Expr(_))]
    ));
    assert_eq!(update.from.len(), 2);
    let delete = modify("DELETE FROM t USING u WHERE t.k = u.k");
    assert!(delete.assignments.is_none() && delete.from.len() == 1 && delete.selection.is_some());
    // A subquery of several columns is asked once for each.
    let update = modify("UPDATE t SET (a, b) = (SELECT min(x), max(y) FROM u)");
    let values: Vec<String> = update
        .assignments
        .iter()
        .flatten()
        .map(|(_, value)| match value {
            InsertValue::Expr(expr) => expr.to_string(),
            InsertValue::Default => "DEFAULT".into(),
        })
        .collect();
    assert_eq!(values, ["(SELECT min(x) FROM u)", "(SELECT max(y) FROM u)"]);
    for (sql, state) in [
        ("UPDATE t SET a.b = 1", SqlState::SYNTAX_ERROR),
        ("UPDATE t SET (a, b) = (1, 2, 3)", SqlState::SYNTAX_ERROR),
        ("UPDATE t SET (a, b) = (SELECT * FROM u)", SqlState::FEATURE_NOT_SUPPORTED),
        ("UPDATE t JOIN u ON t.k = u.k SET a = 1", SqlState::SYNTAX_ERROR),
        ("DELETE FROM t, u", SqlState::FEATURE_NOT_SUPPORTED),
        ("DELETE FROM (SELECT 1) AS t", SqlState::FEATURE_NOT_SUPPORTED),
    ] {
        assert_eq!(err(sql).state, state, "{sql}");
    }
}

#[test]
fn merge() {
    let merge = merged(
        "MERGE INTO ONLY s.T AS x USING (SELECT a, b FROM u) AS y (k, v) ON x.k = y.k
         WHEN MATCHED AND y.v IS NULL THEN DELETE
         WHEN MATCHED AND case when y.v > 1 then true else false end THEN UPDATE SET v = y.v, (w, z) = (DEFAULT, 1)
         WHEN MATCHED THEN DO NOTHING
         WHEN NOT MATCHED BY SOURCE THEN DELETE
         WHEN NOT MATCHED BY TARGET AND y.k > 0 THEN INSERT (k, \"V\") OVERRIDING SYSTEM VALUE VALUES (y.k, DEFAULT)
         WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
    );
    assert_eq!((merge.table.to_string().as_str(), merge.alias.as_deref()), ("s.t", Some("x")));
    assert_eq!(merge.source.to_string(), "(SELECT a, b FROM u) AS y (k, v)");
    assert_eq!(merge.on.to_string(), "x.k = y.k");
    assert!(merge.returning.is_none());
    let clauses: Vec<_> = merge
        .clauses
        .iter()
        .map(|clause| {
            let action = match &clause.action {
                MergeAction::Nothing => "nothing".to_owned(),
                MergeAction::Delete => "delete".to_owned(),
                MergeAction::Update(assignments) => assigned(assignments),
                MergeAction::Insert { columns, overriding, values: new } => {
                    format!("{:?} {overriding:?} {:?}", names(columns), new.as_deref().map(values))
                }
            };
            (clause.when, clause.condition.as_ref().map(ToString::to_string), action)
        })
        .collect();
    let clause = |when, condition: &str, action: &str| {
        (when, Some(condition.to_owned()).filter(|condition| !condition.is_empty()), action.to_owned())
    };
    assert_eq!(
        clauses,
        [
            clause(MergeWhen::Matched, "y.v IS NULL", "delete"),
            clause(MergeWhen::Matched, "CASE WHEN y.v > 1 THEN true ELSE false END", "v = y.v, w = DEFAULT, z = 1"),
            clause(MergeWhen::Matched, "", "nothing"),
            clause(MergeWhen::NotMatchedBySource, "", "delete"),
            clause(MergeWhen::NotMatched, "y.k > 0", r#"["k", "V"] Some(System) Some(["y.k", "DEFAULT"])"#),
            clause(MergeWhen::NotMatched, "", "[] None None"),
        ]
    );
    for (sql, alias, source) in [
        ("merge into t using u on true when matched then delete", None, "u"),
        ("merge into t x using s.u as y on x.a = y.a when matched then delete", Some("x"), "s.u AS y"),
        (
            "merge into t using (values (1, 2)) v (a, b) on t.a = v.a when matched then delete;",
            None,
            "(VALUES (1, 2)) v (a, b)",
        ),
        ("merge into t \"using\" using u on a = b when not matched then insert values (1)", Some("using"), "u"),
    ] {
        let merge = merged(sql);
        assert_eq!((merge.alias.as_deref(), merge.source.to_string().as_str()), (alias, source), "{sql}");
        assert!(ok(sql).is_update());
        assert_eq!(ok(sql).name(), "MERGE");
        assert!(matches!(ok(&format!("explain {sql}")), Statement::Explain(_)), "{sql}");
    }
}

#[test]
fn merge_errors() {
    for (rest, state, at) in [
        ("", SqlState::SYNTAX_ERROR, ""),
        ("when matched then insert values (1)", SqlState::SYNTAX_ERROR, "insert values (1)"),
        ("when not matched by source then insert values (1)", SqlState::SYNTAX_ERROR, "insert values (1)"),
        ("when not matched then delete", SqlState::SYNTAX_ERROR, "delete"),
        ("when not matched by target then update set a = 1", SqlState::SYNTAX_ERROR, "update set a = 1"),
        ("when matched by source then delete", SqlState::SYNTAX_ERROR, "by source then delete"),
        ("when not matched by then delete", SqlState::SYNTAX_ERROR, "then delete"),
        ("when true then delete", SqlState::SYNTAX_ERROR, "true then delete"),
        ("when matched and then delete", SqlState::SYNTAX_ERROR, "delete"),
        ("when matched then update a = 1", SqlState::SYNTAX_ERROR, "a = 1"),
        ("when matched then update set t.a = 1", SqlState::SYNTAX_ERROR, "t.a = 1"),
        (
            "when matched then delete when matched then do nothing",
            SqlState::SYNTAX_ERROR,
            "when matched then do nothing",
        ),
        (
            "when not matched then do nothing when not matched by target and a > 1 then insert values (1)",
            SqlState::SYNTAX_ERROR,
            "when not matched by target and a > 1 then insert values (1)",
        ),
        ("when not matched then insert values (1), (2)", SqlState::SYNTAX_ERROR, ", (2)"),
        ("when not matched then insert (a) default values", SqlState::SYNTAX_ERROR, "default values"),
        ("when not matched then insert select 1", SqlState::SYNTAX_ERROR, "select 1"),
        ("when matched then delete returning", SqlState::SYNTAX_ERROR, ""),
        (
            "when matched and a in (select 1 from v tablesample system (1)) then delete",
            SqlState::FEATURE_NOT_SUPPORTED,
            "a in (select 1 from v tablesample system (1)) then delete",
        ),
    ] {
        let sql = format!("merge into t using u on t.a = u.a {rest}");
        assert_eq!(err_at(sql.trim_end(), state), at, "{sql}");
    }
    for (sql, state, at) in [
        (
            "merge t using u on true when matched then delete",
            SqlState::SYNTAX_ERROR,
            "t using u on true when matched then delete",
        ),
        ("merge into t on true when matched then delete", SqlState::SYNTAX_ERROR, "true when matched then delete"),
        ("merge into t using u when matched then delete", SqlState::SYNTAX_ERROR, "matched then delete"),
        (
            "merge into t using u join v on true on true when matched then delete",
            SqlState::FEATURE_NOT_SUPPORTED,
            "join v on true on true when matched then delete",
        ),
        (
            "merge into t using (select * from v for update) u on true when matched then delete",
            SqlState::FEATURE_NOT_SUPPORTED,
            "(select * from v for update) u on true when matched then delete",
        ),
    ] {
        assert_eq!(err_at(sql, state), at, "{sql}");
    }
    let error = err("merge into t using u on true when matched then delete when matched and a > 1 then delete");
    assert_eq!(error.message, "unreachable WHEN clause specified after unconditional WHEN clause");
    // Conditions do not make another one of the same kind unreachable.
    merged("merge into t using u on true when matched and a > 1 then delete when matched then delete");
}
