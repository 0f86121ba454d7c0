//! A slice table as a tree of nodes.

use super::cost::Cost;
use super::describe;
use super::expression::Printer;
use super::node::{Description, Inputs, Node, Place, Steps};
use crate::planner::SliceTable;
use damson_cluster::SliceId;
use damson_motion::{Gang, MotionExec, MotionKind, TableModifyExec, TableWriteExec};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use std::sync::Arc;

/// A plan to show, and the operators that the QEs will report about.
pub(super) struct Tree {
    pub root: Node,
    /// Of each slice, in the order of a depth-first walk of it.
    pub steps: Vec<Step>,
}

/// One operator of one slice as it was sent to the QEs.
#[derive(Debug)]
pub(super) struct Step {
    pub slice: SliceId,
    /// The operator as DataFusion names it.
    pub operator: String,
}

/// How a plan's slices are numbered where it is shown: the plan's own motions are moved up by `offset`, and its root
/// slice, which sends nothing, is `root`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    pub offset: u32,
    pub root: u32,
}

pub(super) fn build(table: &SliceTable, numbering: Numbering, verbose: bool) -> Tree {
    let mut builder = Builder { numbering, verbose, steps: vec![] };
    let place = Place { slice: numbering.root, gang: Gang::Entry, writes: writes(&table.whole) };
    let root = builder.visit(&table.whole, &Within { slice: SliceId(0), place });
    Tree { root, steps: builder.steps }
}

struct Builder {
    numbering: Numbering,
    verbose: bool,
    steps: Vec<Step>,
}

/// The slice that is being walked.
struct Within {
    slice: SliceId,
    place: Place,
}

impl Builder {
    /// Notes an operator; called in the order of the walk.
    fn step(&mut self, within: &Within, operator: &str) -> usize {
        self.steps.push(Step { slice: within.slice, operator: operator.into() });
        self.steps.len() - 1
    }

    fn visit(&mut self, plan: &Arc<dyn ExecutionPlan>, within: &Within) -> Node {
        if let Some(motion) = plan.downcast_ref::<MotionExec>() {
            return self.motion(plan, motion, within);
        }
        if describe::is_hidden(plan) {
            let step = self.step(within, plan.name());
            let mut node = self.visit(plan.children()[0], within);
            node.steps.chain.insert(0, step);
            return node;
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>()
            && filter.input().children().is_empty()
        {
            return self.filtered_leaf(plan, filter, within);
        }
        let step = self.step(within, plan.name());
        let description = describe::describe(plan);
        let children: Vec<Node> = plan.children().into_iter().map(|child| self.visit(child, within)).collect();
        let mut steps = Steps { chain: vec![step], main: Some(step), ..Steps::default() };
        let is_limit =
            plan.downcast_ref::<GlobalLimitExec>().is_some() || plan.downcast_ref::<LocalLimitExec>().is_some();
        if is_limit && let Some(child) = children.first() {
            steps.fallback = child.steps.chain.clone();
        }
        let mut cost = Cost::of(&**plan, &description, &children);
        if writes_table(plan) {
            // Its own output is one report a writer; what users ask is how many rows are written.
            steps.rows_of_input = true;
            if let Some(child) = children.first() {
                cost = Cost { rows: child.cost.rows, width: child.cost.width, ..cost };
            }
        }
        self.node(plan, description, within.place.clone(), cost, steps, children)
    }

    /// A motion is two operators, or three if it merges: the receiving ones are in the slice above.
    fn motion(&mut self, plan: &Arc<dyn ExecutionPlan>, motion: &MotionExec, within: &Within) -> Node {
        let def = motion.def();
        let mut chain = vec![];
        if matches!(def.kind, MotionKind::Gather { merge: Some(_) }) {
            chain.push(self.step(within, "SortPreservingMergeExec"));
        }
        let receive = self.step(within, "MotionRecvExec");
        chain.push(receive);
        let slice = SliceId(def.id.0);
        let shown = def.id.0 + self.numbering.offset;
        let place = Place { slice: shown, gang: def.senders.clone(), writes: writes(motion.input()) };
        let below = Within { slice, place };
        let send = self.step(&below, "MotionSendExec");
        let children = vec![self.visit(motion.input(), &below)];
        let description = describe::describe_motion(def, motion.input(), shown);
        let cost = if below.place.writes && is_writer(motion.input()) {
            Cost::of_reports(def, &children)
        } else {
            Cost::of_motion(&**plan, def, &children)
        };
        let by_hash = matches!(def.kind, MotionKind::Redistribute { .. });
        let steps = Steps { chain, main: Some(receive), send: Some(send), by_hash, ..Steps::default() };
        self.node(plan, description, below.place, cost, steps, children)
    }

    /// A filter on a scan is the scan's.
    fn filtered_leaf(&mut self, plan: &Arc<dyn ExecutionPlan>, filter: &FilterExec, within: &Within) -> Node {
        let step = self.step(within, plan.name());
        let mut node = self.visit(filter.input(), within);
        let condition = Printer::of(filter.input()).sql(filter.predicate());
        node.description = node.description.text("Filter", condition);
        let cost = Cost::of(&**plan, &node.description, &[]);
        // It reads what the scan reads, and gives what the filter leaves.
        node.cost = Cost { total: node.cost.total, ..cost };
        node.steps.filtered = node.steps.main;
        node.steps.chain.insert(0, step);
        node.steps.main = Some(step);
        node
    }

    fn node(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        description: Description,
        place: Place,
        cost: Cost,
        steps: Steps,
        children: Vec<Node>,
    ) -> Node {
        let inputs = description.inputs;
        let description = if self.verbose { description.list("Output", describe::output(plan)) } else { description };
        let children = arrange(inputs, &place, children);
        Node { label: None, description, place, cost, steps, actual: None, children }
    }
}

fn arrange(inputs: Inputs, place: &Place, mut children: Vec<Node>) -> Vec<Node> {
    let Inputs::ProbeFirst { hash } = inputs else { return children };
    children.reverse();
    if hash && let Some(build) = children.pop() {
        children.push(hash_of(build, place));
    }
    children
}

/// The hash table of a join's build side, which DataFusion has no operator for.
fn hash_of(build: Node, place: &Place) -> Node {
    Node {
        label: None,
        description: Description::new("Hash").blocking(),
        place: place.clone(),
        cost: Cost::blocked(build.cost),
        steps: Steps { rows_of_input: true, ..Steps::default() },
        actual: None,
        children: vec![build],
    }
}

fn writes_table(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<TableWriteExec>().is_some() || plan.downcast_ref::<TableModifyExec>().is_some()
}

/// Whether what an operator gives is writers' reports.
fn is_writer(plan: &Arc<dyn ExecutionPlan>) -> bool {
    writes_table(plan) || (describe::is_hidden(plan) && plan.children().into_iter().all(is_writer))
}

/// Whether a slice writes a table: the walk stops at motions.
fn writes(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_motion = plan.downcast_ref::<MotionExec>().is_some();
    writes_table(plan) || (!is_motion && plan.children().into_iter().any(writes))
}
