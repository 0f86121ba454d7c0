//! Joins in PostgreSQL's words.
//!
//! DataFusion's left input is the one that fills the hash table or is kept in memory; PostgreSQL calls it the inner one
//! and shows it last. An outer join is named after the side, in that order, whose rows all come out.

use super::expression::Printer;
use super::node::{Description, Inputs};
use damson_motion::TableScanExec;
use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use std::sync::Arc;

pub(super) fn describe(plan: &Arc<dyn ExecutionPlan>) -> Option<Description> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return Some(hash_join(join));
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let description = named("Nested Loop", "Nested Loop", swapped(*join.join_type()));
        return Some(probe_first(filtered(description, join.filter()), false));
    }
    if plan.downcast_ref::<CrossJoinExec>().is_some() {
        return Some(probe_first(named("Nested Loop", "Nested Loop", JoinType::Inner), false));
    }
    if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        // Shown as planned: its left input is the one that streams.
        let description = named("Merge Join", "Merge", join.join_type());
        let condition = condition(join.on().iter().map(|(left, right)| (left, join.left(), right, join.right())));
        return Some(filtered(description.text("Merge Cond", condition), join.filter().as_ref()));
    }
    None
}

fn hash_join(join: &HashJoinExec) -> Description {
    let description = if join.null_aware {
        Description::new("Hash Left Anti Semi (Not-In) Join").fact("Join Type", "LASJ_NOTIN")
    } else {
        named("Hash Join", "Hash", swapped(*join.join_type()))
    };
    let condition = condition(join.on().iter().map(|(left, right)| (right, join.right(), left, join.left())));
    probe_first(filtered(description.text("Hash Cond", condition), join.filter()), true)
}

/// The type as seen from DataFusion's right input.
fn swapped(join_type: JoinType) -> JoinType {
    match join_type {
        JoinType::Inner => JoinType::Inner,
        JoinType::Full => JoinType::Full,
        JoinType::Left => JoinType::Right,
        JoinType::Right => JoinType::Left,
        JoinType::LeftSemi => JoinType::RightSemi,
        JoinType::RightSemi => JoinType::LeftSemi,
        JoinType::LeftAnti => JoinType::RightAnti,
        JoinType::RightAnti => JoinType::LeftAnti,
        JoinType::LeftMark => JoinType::RightMark,
        JoinType::RightMark => JoinType::LeftMark,
    }
}

/// `Hash Join`, `Hash Left Join`, …: the first input is the left one.
fn named(inner: &str, method: &str, join_type: JoinType) -> Description {
    let kind = match join_type {
        JoinType::Inner => return Description::new(inner).fact("Join Type", "Inner"),
        JoinType::Left => "Left",
        JoinType::Right => "Right",
        JoinType::Full => "Full",
        JoinType::LeftSemi => "Semi",
        JoinType::RightSemi => "Right Semi",
        JoinType::LeftAnti => "Anti",
        JoinType::RightAnti => "Right Anti",
        JoinType::LeftMark => "Mark",
        JoinType::RightMark => "Right Mark",
    };
    Description::new(format!("{method} {kind} Join")).fact("Join Type", kind)
}

fn probe_first(description: Description, hash: bool) -> Description {
    Description { inputs: Inputs::ProbeFirst { hash }, ..description }
}

fn filtered(description: Description, filter: Option<&JoinFilter>) -> Description {
    match filter {
        Some(filter) => description.text("Join Filter", Printer::alone().sql(filter.expression())),
        None => description,
    }
}

/// An expression of a join's condition and the input that it is over.
type Side<'a> = (&'a Arc<dyn PhysicalExpr>, &'a Arc<dyn ExecutionPlan>);

/// `(a = b)`, `((a = b) AND (c = d))`.
fn condition<'a>(
    equalities: impl Iterator<
        Item = (
            &'a Arc<dyn PhysicalExpr>,
            &'a Arc<dyn ExecutionPlan>,
            &'a Arc<dyn PhysicalExpr>,
            &'a Arc<dyn ExecutionPlan>,
        ),
    >,
) -> String {
    let equality = |(a, a_input, b, b_input): (_, _, _, _)| {
        let [a, b] = [(a, a_input), (b, b_input)].map(|side: Side<'a>| (side, Printer::of(side.1).sql(side.0)));
        // Of one name: which is whose?
        match a.1 == b.1 {
            true => format!("({} = {})", qualified(a.0, &a.1), qualified(b.0, &b.1)),
            false => format!("({} = {})", a.1, b.1),
        }
    };
    let equalities: Vec<String> = equalities.map(equality).collect();
    match &equalities[..] {
        [one] => one.clone(),
        several => format!("({})", several.join(" AND ")),
    }
}

/// A column with its table's name in front, if it is known.
fn qualified((expression, input): Side<'_>, text: &str) -> String {
    let table = expression.downcast_ref::<Column>().and_then(|column| table_of(column.name(), input));
    table.map_or_else(|| text.to_owned(), |table| format!("{table}.{text}"))
}

/// The one table that is read here and has a column of that name.
fn table_of<'a>(column: &str, plan: &'a Arc<dyn ExecutionPlan>) -> Option<&'a str> {
    let mut tables = vec![];
    tables_with(column, plan, &mut tables);
    match tables[..] {
        [one] => Some(one),
        _ => None,
    }
}

fn tables_with<'a>(column: &str, plan: &'a Arc<dyn ExecutionPlan>, tables: &mut Vec<&'a str>) {
    match plan.downcast_ref::<TableScanExec>() {
        Some(scan) if scan.schema().column_with_name(column).is_some() => tables.push(&scan.spec().name),
        Some(_) => {}
        None => plan.children().into_iter().for_each(|child| tables_with(column, child, tables)),
    }
}
