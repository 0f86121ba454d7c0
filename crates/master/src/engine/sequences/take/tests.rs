//! Which calls become columns, and of which rows.

use super::*;
use crate::catalog::{Catalog, Workspace};
use crate::ddl;
use crate::engine::sequences::next_value_function;
use crate::error::of_datafusion;
use datafusion::functions::expr_fn::{coalesce, random};
use datafusion::logical_expr::{LogicalPlanBuilder, col, when};

fn names() -> (tempfile::TempDir, StatementNames) {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    let mut workspace = Workspace::new(&catalog);
    for sql in ["create sequence s", "create sequence \"S\" increment 2", "create table t (a int) distributed by (a)"] {
        ddl::execute(&mut workspace, &crate::sql::parse(sql).unwrap(), "public", None).unwrap().unwrap();
    }
    let names = StatementNames::new(workspace.state(), "public", false);
    (directory, names)
}

fn nextval(name: &str) -> Expr {
    next_value_function().call(vec![lit(name)])
}

fn rows() -> LogicalPlanBuilder {
    LogicalPlanBuilder::values(vec![vec![lit(1i64), lit(true)], vec![lit(2i64), lit(false)]]).unwrap()
}

fn calls(plan: &LogicalPlan) -> Vec<Call> {
    let mut calls = vec![];
    plan.apply(|node| {
        if let LogicalPlan::Extension(extension) = node
            && let Some(next) = extension.node.as_any().downcast_ref::<NextValues>()
        {
            calls.extend(next.calls().to_vec());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    calls
}

/// The calls of a select list over [`rows`]. Its columns keep their names, and no call is left.
fn taken(items: Vec<Expr>) -> Result<Vec<Call>, SqlError> {
    let (_directory, names) = names();
    let plan = rows().project(items).unwrap().build().unwrap();
    let taken = take_next_values(plan.clone(), &names).map_err(of_datafusion)?;
    let fields = |plan: &LogicalPlan| plan.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    assert_eq!(fields(&taken), fields(&plan));
    assert!(!calls_nextval_anywhere(&taken).unwrap());
    Ok(calls(&taken))
}

fn conditional(items: Vec<Expr>) -> Vec<bool> {
    taken(items).unwrap().iter().map(|call| call.condition.is_some()).collect()
}

#[test]
fn each_call_is_a_column() {
    let calls = taken(vec![nextval("s"), col("column1"), nextval("public.\"S\"") + nextval("s")]).unwrap();
    let sequences: Vec<(&str, i64)> =
        calls.iter().map(|call| (call.sequence.name.as_str(), call.sequence.counting.increment)).collect();
    assert_eq!(sequences, [("s", 1), ("S", 2), ("s", 1)]);
    assert!(calls.iter().all(|call| call.condition.is_none()));
    let columns: std::collections::BTreeSet<&str> = calls.iter().map(|call| call.column.as_str()).collect();
    assert_eq!(columns.len(), 3);
    assert!(taken(vec![col("column1")]).unwrap().is_empty());
}

#[test]
fn branches_take_values_of_the_rows_that_come_to_them() {
    let case = |condition: Expr, then: Expr, otherwise: Expr| when(condition, then).otherwise(otherwise).unwrap();
    let column = || col("column1");
    assert_eq!(conditional(vec![case(col("column2"), nextval("s"), column())]), [true]);
    assert_eq!(conditional(vec![case(col("column2"), column(), nextval("s") * lit(2i64))]), [true]);
    let nested = case(col("column2"), case(column().gt(lit(1i64)), nextval("s"), column()), nextval("s"));
    assert_eq!(conditional(vec![nested]), [true, true]);
    assert_eq!(conditional(vec![coalesce(vec![column(), nextval("s")])]), [true]);
    assert_eq!(conditional(vec![coalesce(vec![nextval("s"), column()])]), [false]);
    // Who cannot be asked before takes values that it may not need.
    assert_eq!(conditional(vec![case(random().gt(lit(0.5)), nextval("s"), column())]), [false]);
    let error = taken(vec![case(nextval("s").gt(lit(1i64)), column(), column())]).unwrap_err();
    assert_eq!(error.state.0, "0A000");
}

#[test]
fn values_take_where_they_call() {
    let (_directory, names) = names();
    let plan = LogicalPlanBuilder::values(vec![
        vec![nextval("s"), lit("a")],
        vec![lit(10i64), lit("b")],
        vec![nextval("s"), lit("c")],
        vec![nextval("s") * lit(5i64), lit("d")],
    ]);
    let plan = plan.unwrap().build().unwrap();
    let taken = take_next_values(plan.clone(), &names).unwrap();
    let calls = calls(&taken);
    assert_eq!(calls.len(), 2, "one for each expression, not for each row");
    assert!(calls.iter().all(|call| call.condition.is_some()));
    let types = |plan: &LogicalPlan| {
        plan.schema().fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect::<Vec<_>>()
    };
    assert_eq!(types(&taken), types(&plan));
}

#[test]
fn elsewhere_it_is_refused() {
    let (_directory, names) = names();
    let refused = |plan: LogicalPlanBuilder| {
        let error = of_datafusion(take_next_values(plan.build().unwrap(), &names).unwrap_err());
        (error.state.0, error.message)
    };
    let filter = rows().filter(nextval("s").gt(lit(1i64))).unwrap();
    assert_eq!(refused(filter), ("0A000", "nextval is not supported in WHERE or HAVING".into()));
    let group = rows().aggregate(vec![nextval("s")], Vec::<Expr>::new()).unwrap();
    assert_eq!(refused(group), ("0A000", "nextval is not supported in GROUP BY or an aggregate".into()));
    let sort = rows().sort(vec![nextval("s").sort(true, false)]).unwrap();
    assert_eq!(refused(sort), ("0A000", "nextval is not supported in ORDER BY".into()));
    let project = |name: &str| refused(rows().project(vec![nextval(name)]).unwrap());
    assert_eq!(project("none"), ("42P01", "relation \"none\" does not exist".into()));
    assert_eq!(project("t"), ("42809", "\"t\" is not a sequence".into()));
    assert_eq!(project("a b").0, "42601");
}
