//! A whole explanation: the plan, its init plans, and the figures at the end.

use super::actual::{SliceMemory, fill, memory, reports};
use super::literal::literal;
use super::node::Node;
use super::tree::{Numbering, build};
use crate::dispatch::SliceMetrics;
use crate::planner::SliceTable;
use damson_cluster::SliceId;
use datafusion::scalar::ScalarValue;
use std::time::Duration;

/// What the session knows of a statement that it explains.
pub(crate) struct Explained {
    pub main: Part,
    /// In the order in which they run; the n-th returns `$n`, counted from 0.
    pub init_plans: Vec<Part>,
    pub verbose: bool,
    pub planning: Duration,
    /// None for a statement that did not run.
    pub execution: Option<Execution>,
}

/// One dispatched plan: the statement's own, or an init plan's.
pub(crate) struct Part {
    pub table: SliceTable,
    /// What the QEs reported; None for a plan that did not run.
    pub metrics: Option<SliceMetrics>,
    /// An init plan's value.
    pub value: Option<ScalarValue>,
}

/// How the run went.
pub(crate) struct Execution {
    /// Init plans included.
    pub elapsed: Duration,
    /// Rows that the client would have got, or that were written.
    pub rows: u64,
}

/// What is printed.
pub(super) struct Document {
    pub root: Node,
    /// By slice as it is shown.
    pub slices: Vec<SliceMemory>,
}

/// Numbers the init plans' slices after the main plan's, and puts them below the root, before its inputs.
pub(super) fn document(explained: &Explained) -> Document {
    let main = Numbering { offset: 0, root: 0 };
    let (mut root, mut slices) = part(&explained.main, main, explained.verbose);
    let mut used = motions(&explained.main);
    let mut init_plans = vec![];
    for (number, init_plan) in explained.init_plans.iter().enumerate() {
        let motions = motions(init_plan);
        let numbering = Numbering { offset: used, root: used + motions + 1 };
        let (mut node, memory) = part(init_plan, numbering, explained.verbose);
        node.label = Some(format!("InitPlan {} (returns ${number})  (slice{})", number + 1, numbering.root));
        if let Some(value) = &init_plan.value {
            node.description = node.description.text("Returned", literal(value));
        }
        init_plans.push(node);
        slices.extend(memory);
        used = numbering.root;
    }
    root.children.splice(0..0, init_plans);
    slices.sort_by_key(|s| s.slice);
    Document { root, slices }
}

/// Motions of a plan: as many as slices below its root.
fn motions(part: &Part) -> u32 {
    part.table.slices.len() as u32 - 1
}

fn part(part: &Part, numbering: Numbering, verbose: bool) -> (Node, Vec<SliceMemory>) {
    let mut tree = build(&part.table, numbering, verbose);
    let Some(metrics) = &part.metrics else { return (tree.root, vec![]) };
    fill(&mut tree.root, &reports(&tree.steps, metrics));
    let shown = |slice: SliceId| if slice.0 == 0 { numbering.root } else { slice.0 + numbering.offset };
    (tree.root, memory(metrics, shown))
}
