//! A group of joins as relations and predicates.

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, ExprSchema, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan};
use std::collections::{HashMap, HashSet};

/// Relations are numbered from 0; more than so many are left in their order: the search takes 0.4 s for twelve that are all
/// joined by one key, and three times as long for each more.
pub(super) const RELATIONS_MAX: usize = 12;

/// A set of relations and semi joins, by bit.
pub(super) type Set = u32;

/// A group of inner joins and the semi and anti joins over them.
#[derive(Debug, Default)]
pub(super) struct JoinGraph {
    pub relations: Vec<LogicalPlan>,
    pub semis: Vec<Semi>,
    /// Columns that the joins make equal.
    pub classes: Vec<Class>,
    /// Everything else that must hold, with the relations that it needs.
    pub predicates: Vec<(Expr, Set)>,
    owner: HashMap<Column, usize>,
}

/// Columns of at least two relations that joins make equal.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// Relation and column.
    pub members: Vec<(usize, Column)>,
}

/// A semi or anti join: its right side filters the left.
#[derive(Clone, Debug)]
pub(super) struct Semi {
    pub right: LogicalPlan,
    pub join: Join,
    /// Relations whose columns it needs on the left.
    pub needs: Set,
}

/// True for the joins that make up a group.
pub(super) fn is_orderable(join: &Join) -> bool {
    let plain = join.null_equality == NullEquality::NullEqualsNothing && !join.null_aware;
    plain && matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi | JoinType::LeftAnti)
}

impl JoinGraph {
    /// Takes the group at the root of `plan` apart.
    pub(super) fn of(plan: &LogicalPlan) -> Result<JoinGraph> {
        let mut graph = JoinGraph::default();
        let mut conjuncts = vec![];
        graph.flatten(plan, &mut conjuncts);
        if graph.size() > RELATIONS_MAX {
            return Ok(graph);
        }
        for (number, relation) in graph.relations.iter().enumerate() {
            for column in relation.schema().columns() {
                graph.owner.insert(column, number);
            }
        }
        let mut pairs = vec![];
        for conjunct in conjuncts {
            match graph.equality(&conjunct) {
                Some(pair) => pairs.push(pair),
                None => {
                    let needs = graph.needs(&conjunct);
                    graph.predicates.push((conjunct, needs));
                }
            }
        }
        graph.classes = graph.classes_of(pairs);
        for i in 0..graph.semis.len() {
            let join = &graph.semis[i].join;
            let left_keys = join.on.iter().map(|(left, _)| left);
            let needs = left_keys.chain(&join.filter).fold(0, |set, expr| set | graph.needs(expr));
            graph.semis[i].needs = needs;
        }
        Ok(graph)
    }

    fn flatten(&mut self, plan: &LogicalPlan, conjuncts: &mut Vec<Expr>) {
        match plan {
            LogicalPlan::Join(join) if is_orderable(join) && join.join_type == JoinType::Inner => {
                self.flatten(&join.left, conjuncts);
                self.flatten(&join.right, conjuncts);
                conjuncts.extend(join.on.iter().map(|(left, right)| left.clone().eq(right.clone())));
                conjuncts.extend(join.filter.iter().flat_map(|f| split_conjunction_owned(f.clone())));
            }
            LogicalPlan::Join(join) if is_orderable(join) => {
                self.flatten(&join.left, conjuncts);
                self.semis.push(Semi { right: join.right.as_ref().clone(), join: join.clone(), needs: 0 });
            }
            LogicalPlan::Filter(filter) if matches!(filter.input.as_ref(), LogicalPlan::Join(j) if is_orderable(j)) => {
                self.flatten(&filter.input, conjuncts);
                conjuncts.extend(split_conjunction_owned(filter.predicate.clone()));
            }
            LogicalPlan::Projection(projection)
                if projection.expr.iter().all(|e| matches!(e, Expr::Column(_))) && has_group(&projection.input) =>
            {
                self.flatten(&projection.input, conjuncts);
            }
            relation => self.relations.push(relation.clone()),
        }
    }

    /// Every plan below the group.
    pub(super) fn inputs_mut(&mut self) -> impl Iterator<Item = &mut LogicalPlan> {
        self.relations.iter_mut().chain(self.semis.iter_mut().map(|s| &mut s.right))
    }

    /// Relations whose columns an expression names.
    fn needs(&self, expr: &Expr) -> Set {
        expr.column_refs().into_iter().filter_map(|c| self.owner.get(c)).fold(0, |set, &r| set | 1 << r)
    }

    /// `a = b` between columns of one type of two relations.
    fn equality(&self, expr: &Expr) -> Option<(Column, Column)> {
        let Expr::BinaryExpr(binary) = expr else { return None };
        let (Expr::Column(left), Expr::Column(right)) = (binary.left.as_ref(), binary.right.as_ref()) else {
            return None;
        };
        let (l, r) = (*self.owner.get(left)?, *self.owner.get(right)?);
        let type_of = |relation: usize, column: &Column| {
            self.relations[relation].schema().field_from_column(column).map(|f| f.data_type().clone()).ok()
        };
        let is_equality = binary.op == datafusion::logical_expr::Operator::Eq;
        (is_equality && l != r && type_of(l, left) == type_of(r, right)).then(|| (left.clone(), right.clone()))
    }

    /// Transitive closure of the equalities.
    fn classes_of(&self, pairs: Vec<(Column, Column)>) -> Vec<Class> {
        let mut classes: Vec<Vec<Column>> = vec![];
        for (left, right) in pairs {
            let (mut with, without): (Vec<_>, Vec<_>) =
                classes.into_iter().partition(|class| class.contains(&left) || class.contains(&right));
            let mut merged: Vec<Column> = with.drain(..).flatten().collect();
            for column in [left, right] {
                if !merged.contains(&column) {
                    merged.push(column);
                }
            }
            classes = without;
            classes.push(merged);
        }
        let owned = |column: Column| (self.owner[&column], column);
        classes.into_iter().map(|columns| Class { members: columns.into_iter().map(owned).collect() }).collect()
    }

    /// Number of relations and semi joins: bits of the whole set.
    pub(super) fn size(&self) -> usize {
        self.relations.len() + self.semis.len()
    }

    /// The predicates that can be checked once `set` is joined, and not in `left` or `right` alone.
    pub(super) fn predicates_between(&self, left: Set, right: Set) -> Option<Expr> {
        let set = left | right;
        let is_new = |needs: Set| needs & !set == 0 && (needs & !left != 0) && (needs & !right != 0);
        conjunction(self.predicates.iter().filter(|(_, needs)| is_new(*needs)).map(|(expr, _)| expr.clone()))
    }

    /// Predicates on one relation (or none): they stay on top of it.
    pub(super) fn predicates_within(&self, relation: usize) -> Option<Expr> {
        let only = 1 << relation;
        let is_own = |needs: Set| needs == only || (needs == 0 && relation == 0);
        conjunction(self.predicates.iter().filter(|(_, needs)| is_own(*needs)).map(|(expr, _)| expr.clone()))
    }

    /// A pair of columns per class that both sides have.
    pub(super) fn keys_between(&self, left: Set, right: Set) -> Vec<(usize, Column, Column)> {
        let member_in = |class: &Class, set: Set| {
            class.members.iter().find(|(relation, _)| set & (1 << relation) != 0).map(|(_, c)| c.clone())
        };
        let classes = self.classes.iter().enumerate();
        classes.filter_map(|(i, class)| Some((i, member_in(class, left)?, member_in(class, right)?))).collect()
    }

    /// Columns of a class within one relation that the class makes equal: a filter that no join checks.
    pub(super) fn equal_within(&self, relation: usize) -> Vec<Expr> {
        let mut filters = vec![];
        for class in &self.classes {
            let own: Vec<&Column> = class.members.iter().filter(|(r, _)| *r == relation).map(|(_, c)| c).collect();
            let unique: HashSet<&Column> = own.iter().copied().collect();
            if unique.len() > 1 {
                filters.extend(own.windows(2).map(|w| Expr::Column(w[0].clone()).eq(Expr::Column(w[1].clone()))));
            }
        }
        filters
    }
}

fn has_group(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => is_orderable(join),
        LogicalPlan::Filter(filter) => has_group(&filter.input),
        LogicalPlan::Projection(projection) => has_group(&projection.input),
        _ => false,
    }
}

/// True if an expression can be moved: it gives the same value wherever it is computed.
pub(super) fn is_movable(expr: &Expr) -> bool {
    !expr.is_volatile() && !expr.exists(|e| Ok(matches!(e, Expr::OuterReferenceColumn(..)))).unwrap_or(true)
}
