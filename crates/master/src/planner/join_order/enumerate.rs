//! The cheapest join tree: dynamic programming over connected sets, one best plan per set and place of its rows.

use super::estimate::{Lies, RelationEstimate, distinct_of, estimate, scale};
use super::graph::{JoinGraph, RELATIONS_MAX, Set};
use datafusion::logical_expr::JoinType;
use std::collections::HashMap;
use std::rc::Rc;

/// A join tree; the left side of a join is the one that is hashed.
#[derive(Debug)]
pub(super) enum Tree {
    Relation(usize),
    Join {
        build: Rc<Tree>,
        probe: Rc<Tree>,
        build_set: Set,
        probe_set: Set,
    },
    /// The semi join of that number over its left side.
    Semi {
        left: Rc<Tree>,
        semi: usize,
    },
}

/// Where a set's rows are: by classes of equal columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Everywhere,
    /// By the hash of one member of each of these classes, in the key's order.
    Hashed(Vec<usize>),
    Somewhere,
}

#[derive(Clone)]
struct Plan {
    tree: Rc<Tree>,
    cost: f64,
    place: Place,
}

/// What holds of a set of relations in whatever order it is joined.
struct SetInfo {
    rows: f64,
    width: f64,
}

/// Cost per row, in units of handling one row of a scan: measured on TPC-H with one core a segment.
mod cost {
    /// Into a hash table.
    pub const BUILD: f64 = 3.0;
    /// Into one that does not fit in the cache.
    pub const BUILD_LARGE: f64 = 6.0;
    pub const PROBE: f64 = 1.0;
    pub const PROBE_LARGE: f64 = 3.0;
    /// Out of a join, per column's worth of 16 bytes.
    pub const OUTPUT: f64 = 0.4;
    /// Through a motion.
    pub const MOVE: f64 = 2.0;
    pub const MOVE_PER_BYTE: f64 = 0.02;
    /// Rows of a hash table that fits in a core's cache.
    pub const CACHED_ROWS: f64 = 100_000.0;
}

/// The cheapest tree; None where there are too many relations, or predicates that must not move.
pub(super) fn enumerate(graph: &JoinGraph) -> Option<Rc<Tree>> {
    let size = graph.size();
    let movable = graph.predicates.iter().all(|(e, _)| super::graph::is_movable(e));
    if size > RELATIONS_MAX || !movable || graph.semis.iter().any(|s| s.needs == 0) {
        return None;
    }
    let search = Search::new(graph);
    let whole: Set = (1 << size) - 1;
    let mut best: Vec<Vec<Plan>> = vec![vec![]; 1 << size];
    for relation in 0..graph.relations.len() {
        let place = search.place_of(relation);
        best[1 << relation] = vec![Plan { tree: Rc::new(Tree::Relation(relation)), cost: 0.0, place }];
    }
    for set in 1..=whole {
        if set.count_ones() < 2 || !search.is_valid(set) {
            continue;
        }
        let mut plans: HashMap<Place, Plan> = HashMap::new();
        search.semi_joins(set, &best, &mut plans);
        search.joins(set, &best, &mut plans, true);
        if plans.is_empty() && search.must_cross(set) {
            search.joins(set, &best, &mut plans, false);
        }
        best[set as usize] = plans.into_values().collect();
    }
    let cheapest = best[whole as usize].iter().min_by(|a, b| a.cost.total_cmp(&b.cost))?;
    Some(Rc::clone(&cheapest.tree))
}

struct Search<'a> {
    graph: &'a JoinGraph,
    relations: Vec<RelationEstimate>,
    /// Share of rows that each semi join leaves, and the size of its right side.
    semis: Vec<(f64, f64)>,
    sets: Vec<SetInfo>,
    segments: f64,
}

impl<'a> Search<'a> {
    fn new(graph: &'a JoinGraph) -> Self {
        let mut relations: Vec<RelationEstimate> = graph.relations.iter().map(estimate).collect();
        for (number, relation) in relations.iter_mut().enumerate() {
            if let Some(predicate) = graph.predicates_within(number) {
                let share = super::selectivity::selectivity(&predicate, relation);
                scale(relation, share);
            }
        }
        let segments = relations.iter().map(|r| r.segments).fold(1.0, f64::max);
        let mut search = Search { graph, relations, semis: vec![], sets: vec![], segments };
        search.semis = graph.semis.iter().map(|semi| search.semi_share(semi)).collect();
        search.sets = (0..1 << graph.size()).map(|set| search.info(set)).collect();
        search
    }

    fn semi_share(&self, semi: &super::graph::Semi) -> (f64, f64) {
        let right = estimate(&semi.right);
        let left = &self.relations[semi.needs.trailing_zeros() as usize];
        let share = semi.join.on.iter().map(|(l, r)| distinct_of(r, &right) / distinct_of(l, left)).fold(1.0, f64::min);
        let share = share.clamp(0.001, 1.0) * if semi.join.filter.is_some() { 0.6 } else { 1.0 };
        let share = if semi.join.join_type == JoinType::LeftAnti { (1.0 - share).max(0.1) } else { share };
        (share, right.rows)
    }

    /// A set's rows do not depend on the order: the product of its relations, less what classes and predicates cut.
    fn info(&self, set: Set) -> SetInfo {
        let members: Vec<usize> = (0..self.relations.len()).filter(|r| set & (1 << r) != 0).collect();
        let mut rows: f64 = members.iter().map(|&r| self.relations[r].rows).product();
        let width = members.iter().map(|&r| self.relations[r].width).sum();
        // Between two relations joined by several columns, the columns together are no more selective than all of a
        // relation's rows told apart.
        let mut cut: HashMap<usize, f64> = HashMap::new();
        for class in &self.graph.classes {
            let mut distinct: Vec<(f64, usize)> = class
                .members
                .iter()
                .filter(|(r, _)| set & (1 << r) != 0)
                .map(|(r, c)| (self.relations[*r].columns.get(c).map_or(self.relations[*r].rows, |e| e.distinct), *r))
                .collect();
            distinct.sort_by(|a, b| a.0.total_cmp(&b.0));
            for &(d, relation) in distinct.iter().skip(1) {
                *cut.entry(relation).or_insert(1.0) *= d.max(1.0);
            }
        }
        for (relation, factor) in cut {
            rows /= factor.min(self.relations[relation].rows.max(1.0)).max(1.0);
        }
        for (_, needs) in &self.graph.predicates {
            if needs.count_ones() > 1 && needs & !set == 0 {
                rows *= 0.3;
            }
        }
        for (i, (share, _)) in self.semis.iter().enumerate() {
            if set & (1 << (self.relations.len() + i)) != 0 {
                rows *= share;
            }
        }
        SetInfo { rows: rows.max(1.0), width }
    }

    fn place_of(&self, relation: usize) -> Place {
        let class_of = |column| {
            let has = |class: &super::graph::Class| class.members.iter().any(|(r, c)| *r == relation && c == column);
            self.graph.classes.iter().position(has)
        };
        match &self.relations[relation].lies {
            Lies::Everywhere => Place::Everywhere,
            Lies::Somewhere => Place::Somewhere,
            Lies::Hashed(key) => {
                key.iter().map(class_of).collect::<Option<Vec<_>>>().map_or(Place::Somewhere, Place::Hashed)
            }
        }
    }

    /// A semi join is only there together with what it needs.
    fn is_valid(&self, set: Set) -> bool {
        let n = self.relations.len();
        let semis = self.graph.semis.iter().enumerate();
        semis.filter(|(i, _)| set & (1 << (n + i)) != 0).all(|(_, semi)| semi.needs & !set == 0)
    }

    /// Only sets that no predicate connects are joined without one.
    fn must_cross(&self, set: Set) -> bool {
        let relations: Set = set & ((1 << self.relations.len()) - 1);
        relations.count_ones() > 1
    }

    /// The last step is one of the set's semi joins.
    fn semi_joins(&self, set: Set, best: &[Vec<Plan>], plans: &mut HashMap<Place, Plan>) {
        let n = self.relations.len();
        for semi in (0..self.semis.len()).filter(|i| set & (1 << (n + i)) != 0) {
            let left = set & !(1 << (n + semi));
            if !self.is_valid(left) {
                continue;
            }
            for plan in &best[left as usize] {
                let (rows, right) = (self.sets[left as usize].rows, self.semis[semi].1);
                let cost = plan.cost + self.hash_cost(rows.min(right), rows.max(right)) + self.output_cost(set);
                let tree = Rc::new(Tree::Semi { left: Rc::clone(&plan.tree), semi });
                keep(plans, Plan { tree, cost, place: plan.place.clone() });
            }
        }
    }

    fn joins(&self, set: Set, best: &[Vec<Plan>], plans: &mut HashMap<Place, Plan>, connected: bool) {
        let mut left = (set - 1) & set;
        while left > 0 {
            let right = set & !left;
            // Each pair of sides once: the one with the lowest relation is `left`.
            let both_valid = left & set.isolate_lowest() != 0 && self.is_valid(left) && self.is_valid(right);
            if both_valid && !best[left as usize].is_empty() && !best[right as usize].is_empty() {
                let keys: Vec<usize> = self.graph.keys_between(left, right).into_iter().map(|k| k.0).collect();
                if !connected || !keys.is_empty() {
                    for l in &best[left as usize] {
                        for r in &best[right as usize] {
                            self.join(set, (left, l), (right, r), &keys, plans);
                        }
                    }
                }
            }
            left = (left - 1) & set;
        }
    }

    /// One join, with every useful motion.
    fn join(
        &self,
        set: Set,
        (left_set, left): (Set, &Plan),
        (right_set, right): (Set, &Plan),
        keys: &[usize],
        plans: &mut HashMap<Place, Plan>,
    ) {
        let (l, r) = (&self.sets[left_set as usize], &self.sets[right_set as usize]);
        let left_builds = l.rows <= r.rows;
        let ((build_set, build), (probe_set, probe)) =
            if left_builds { ((left_set, left), (right_set, right)) } else { ((right_set, right), (left_set, left)) };
        let tree =
            Rc::new(Tree::Join { build: Rc::clone(&build.tree), probe: Rc::clone(&probe.tree), build_set, probe_set });
        let (b, p) = (&self.sets[build_set as usize], &self.sets[probe_set as usize]);
        let work = if keys.is_empty() {
            b.rows * p.rows * cost::PROBE / self.segments
        } else {
            self.hash_cost(b.rows, p.rows)
        };
        let base = left.cost + right.cost + work + self.output_cost(set);
        let mut add = |cost: f64, place: Place| {
            keep(plans, Plan { tree: Rc::clone(&tree), cost: base + cost, place });
        };
        let moved = |s: &SetInfo| s.rows * (cost::MOVE + cost::MOVE_PER_BYTE * s.width) / self.segments;
        // Every segment builds, or probes with, all of it.
        let everywhere = |s: &SetInfo, builds: bool| {
            let per_row = if builds { cost::BUILD } else { cost::PROBE };
            moved(s) * self.segments + s.rows * per_row * (self.segments - 1.0) / self.segments
        };
        match (&left.place, &right.place) {
            (Place::Everywhere, place) | (place, Place::Everywhere) => add(0.0, place.clone()),
            (left_place, right_place) => {
                let usable = |place: &Place| match place {
                    Place::Hashed(key) if key.iter().all(|class| keys.contains(class)) => Some(key.clone()),
                    _ => None,
                };
                match (usable(left_place), usable(right_place)) {
                    (Some(a), Some(b)) if a == b => add(0.0, Place::Hashed(a)),
                    (a, b) => {
                        if let Some(a) = a {
                            add(moved(r), Place::Hashed(a));
                        }
                        if let Some(b) = b {
                            add(moved(l), Place::Hashed(b));
                        }
                        for &class in keys {
                            add(moved(l) + moved(r), Place::Hashed(vec![class]));
                        }
                    }
                }
                add(everywhere(l, left_builds), right_place.clone());
                add(everywhere(r, !left_builds), left_place.clone());
            }
        }
    }

    /// Of a hash join whose rows are spread over the segments.
    fn hash_cost(&self, build: f64, probe: f64) -> f64 {
        let cached = build / self.segments <= cost::CACHED_ROWS;
        let (per_build, per_probe) =
            if cached { (cost::BUILD, cost::PROBE) } else { (cost::BUILD_LARGE, cost::PROBE_LARGE) };
        (build * per_build + probe * per_probe) / self.segments
    }

    fn output_cost(&self, set: Set) -> f64 {
        let info = &self.sets[set as usize];
        info.rows * cost::OUTPUT * (1.0 + info.width / 64.0) / self.segments
    }
}

fn keep(plans: &mut HashMap<Place, Plan>, plan: Plan) {
    match plans.get(&plan.place) {
        Some(kept) if kept.cost <= plan.cost => {}
        _ => {
            plans.insert(plan.place.clone(), plan);
        }
    }
}

trait IsolateLowest {
    fn isolate_lowest(self) -> Self;
}

impl IsolateLowest for Set {
    fn isolate_lowest(self) -> Set {
        self & self.wrapping_neg()
    }
}
