//! The planner's figures of a node.

use super::node::{Description, Node};
use crate::planner::{row_bytes, rows_and_bytes};
use damson_motion::{Gang, MotionDef, MotionKind};
use datafusion::physical_plan::ExecutionPlan;

/// Bytes through a motion that a unit of cost stands for.
const UNIT_BYTES: f64 = 1024.0;

/// What handling a row costs, as bytes through a motion: the planner's own figure.
const ROW_BYTES: f64 = 16.0;

/// Estimates of one node, over all segments together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Before the first row.
    pub startup: f64,
    /// Until the last row, inputs included.
    pub total: f64,
    pub rows: f64,
    /// Bytes of a row.
    pub width: f64,
}

impl Cost {
    /// A node's cost above its inputs' costs. A leaf reads its bytes; everything else handles its inputs' rows.
    pub(super) fn of(plan: &dyn ExecutionPlan, description: &Description, children: &[Node]) -> Cost {
        let own = if children.is_empty() {
            let (_, bytes) = rows_and_bytes(plan);
            bytes
        } else {
            children.iter().map(|child| child.cost.rows * ROW_BYTES).sum()
        };
        Cost::above(plan, own, description.blocking, children)
    }

    /// A motion's: what it sends, as often as it sends it.
    pub(super) fn of_motion(plan: &dyn ExecutionPlan, def: &MotionDef, children: &[Node]) -> Cost {
        let (rows, bytes) = rows_and_bytes(plan);
        let copies = match (&def.kind, &def.receivers) {
            (MotionKind::Broadcast, Gang::Segments(segments)) => segments.len() as f64,
            _ => 1.0,
        };
        let cost = Cost::above(plan, (bytes + rows * ROW_BYTES) * copies, false, children);
        Cost { rows: rows * copies, ..cost }
    }

    /// A motion's of writers' reports, one a sender, which statistics know nothing of.
    pub(super) fn of_reports(def: &MotionDef, children: &[Node]) -> Cost {
        let inputs: f64 = children.iter().map(|child| child.cost.total).sum();
        let rows = def.senders.size() as f64;
        Cost { startup: inputs, total: inputs + rows * ROW_BYTES / UNIT_BYTES, rows, width: ROW_BYTES }
    }

    /// A node that hands on its input's rows once it has all of them.
    pub(super) fn blocked(input: Cost) -> Cost {
        Cost { startup: input.total, ..input }
    }

    fn above(plan: &dyn ExecutionPlan, own_bytes: f64, blocking: bool, children: &[Node]) -> Cost {
        let (rows, _) = rows_and_bytes(plan);
        let inputs: f64 = children.iter().map(|child| child.cost.total).sum();
        let total = inputs + own_bytes / UNIT_BYTES;
        let first = children.iter().map(|child| child.cost.startup).fold(0.0, f64::max);
        let startup = if blocking { total } else { first };
        Cost { startup, total, rows, width: row_bytes(&plan.schema()) }
    }
}
