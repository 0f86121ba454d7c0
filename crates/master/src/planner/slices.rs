//! Pass 6: gangs, numbers, and the cut at motions.

use super::direct_dispatch;
use super::distribute::Tables;
use damson_cluster::{ContentId, MotionId, SliceId};
use damson_motion::{Gang, MotionDef, MotionExec, MotionKind, MotionRecvExec, MotionSendExec};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use std::sync::Arc;

/// A slice and who runs it. Slice 0 is the root; every other one's root is a [`MotionSendExec`] of its own number.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub id: SliceId,
    pub gang: Gang,
    pub plan: Arc<dyn ExecutionPlan>,
}

/// A plan, whole for EXPLAIN and cut for dispatch.
#[derive(Clone, Debug)]
pub(crate) struct SliceTable {
    /// The plan with its motions, numbered from the top.
    pub whole: Arc<dyn ExecutionPlan>,
    /// By slice id.
    pub slices: Vec<Slice>,
}

impl SliceTable {
    pub(crate) fn root(&self) -> &Slice {
        &self.slices[0]
    }
}

/// Numbers the motions, decides each slice's gang (direct dispatch shrinks one to a single segment) and cuts.
///
/// # Errors
/// DataFusion's, from rebuilding an operator.
pub(crate) fn slice(plan: Arc<dyn ExecutionPlan>, tables: &dyn Tables) -> Result<SliceTable> {
    let mut numbering = Numbering { tables, next: 1 };
    let whole = numbering.number(&plan, &Gang::Entry)?;
    let mut slices = vec![];
    let root = cut(&whole, &mut slices)?;
    slices.push(Slice { id: SliceId(0), gang: Gang::Entry, plan: root });
    slices.sort_by_key(|s| s.id);
    assert!(slices.iter().enumerate().all(|(i, s)| s.id.0 as usize == i), "slices are numbered without gaps");
    Ok(SliceTable { whole, slices })
}

struct Numbering<'a> {
    tables: &'a dyn Tables,
    next: u32,
}

impl Numbering<'_> {
    /// `gang` runs the slice that `plan` belongs to.
    fn number(&mut self, plan: &Arc<dyn ExecutionPlan>, gang: &Gang) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(motion) = plan.downcast_ref::<MotionExec>() {
            let id = MotionId(self.next);
            self.next += 1;
            let pinned = direct_dispatch::pinned_content(motion.input(), self.tables);
            let pinned = pinned.or_else(|| gathered_at(motion.input()));
            let senders = match (&motion.def().senders, pinned) {
                (Gang::Segments(_), Some(content)) => Gang::Single(content),
                (senders, _) => senders.clone(),
            };
            let input = self.number(motion.input(), &senders)?;
            let def = MotionDef { id, kind: motion.def().kind.clone(), senders, receivers: gang.clone() };
            return Ok(Arc::new(MotionExec::new(def, input)));
        }
        let children = plan.children().into_iter().map(|child| self.number(child, gang));
        with_children(plan, children.collect::<Result<Vec<_>>>()?)
    }
}

/// The segment to which a motion below gathers all that the slice has: only there is it to run.
fn gathered_at(plan: &Arc<dyn ExecutionPlan>) -> Option<ContentId> {
    match plan.downcast_ref::<MotionExec>() {
        Some(motion) => match &motion.def().receivers {
            Gang::Single(content) => Some(*content),
            Gang::Entry | Gang::Segments(_) => None,
        },
        None => plan.children().into_iter().find_map(gathered_at),
    }
}

fn cut(plan: &Arc<dyn ExecutionPlan>, slices: &mut Vec<Slice>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(motion) = plan.downcast_ref::<MotionExec>() {
        let def = motion.def().clone();
        let input = cut(motion.input(), slices)?;
        let receive: Arc<dyn ExecutionPlan> = Arc::new(MotionRecvExec::new(def.clone(), input.schema()));
        let merge = match &def.kind {
            MotionKind::Gather { merge } => merge.clone(),
            _ => None,
        };
        let (id, gang) = (SliceId(def.id.0), def.senders.clone());
        slices.push(Slice { id, gang, plan: Arc::new(MotionSendExec::new(def, input)) });
        return Ok(match merge {
            Some(ordering) => Arc::new(SortPreservingMergeExec::new(ordering, receive)),
            None => receive,
        });
    }
    let children = plan.children().into_iter().map(|child| cut(child, slices));
    with_children(plan, children.collect::<Result<Vec<_>>>()?)
}

fn with_children(
    plan: &Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.children().iter().zip(&children).all(|(old, new)| Arc::ptr_eq(old, new)) {
        return Ok(Arc::clone(plan));
    }
    Arc::clone(plan).replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}
