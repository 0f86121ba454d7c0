//! Which inputs need room: the rule of the module's documentation.

use super::graph::{Graph, Op};

/// An input of a plan.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    /// The i-th input of an operator of a slice.
    Of { slice: usize, operator: &'a Op, index: usize },
    /// What a motion sends.
    OfMotion(usize),
}

/// Whether there must be a spool at this input. Of a plan that has its spools, no more inputs need any.
pub(super) fn needs_room(graph: &Graph, input: Input<'_>) -> bool {
    match input {
        Input::Of { slice, operator, index } => {
            let inputs = operator.inputs();
            let is_alternating = matches!(operator, Op::Alternate { .. })
                && graph.slices[slice].gang.len() > 1
                && inputs.iter().filter(|input| carries(input)).count() > 1;
            let receives_shared = matches!(inputs[index], Op::Receive(motion) if is_shared(graph, *motion));
            is_alternating && streams(inputs[index]) || receives_shared && !matches!(operator, Op::Spool(_))
        }
        Input::OfMotion(motion) => {
            let sender = &graph.slices[graph.motions[motion].from];
            graph.motions[motion].merges && sender.gang.len() > 1 && streams(&sender.root)
        }
    }
}

/// The plan with a spool wherever one is needed.
pub(super) fn with_rooms(graph: &Graph) -> Graph {
    let mut roomy = graph.clone();
    for number in 0..graph.slices.len() {
        let mut root = rooms_below(&roomy, number, roomy.slices[number].root.clone());
        // The root of the plan may itself receive a shared input.
        if matches!(root, Op::Receive(motion) if is_shared(graph, motion)) {
            root = Op::Spool(Box::new(root));
        }
        roomy.slices[number].root = root;
    }
    for motion in 0..graph.motions.len() {
        if needs_room(&roomy, Input::OfMotion(motion)) {
            let slice = &mut roomy.slices[graph.motions[motion].from];
            slice.root = Op::Spool(Box::new(slice.root.clone()));
        }
    }
    roomy
}

/// From the leaves up: room below decides what streams above.
fn rooms_below(graph: &Graph, slice: usize, op: Op) -> Op {
    let op = op.map_inputs(|input| rooms_below(graph, slice, input));
    let needs: Vec<_> =
        (0..op.inputs().len()).map(|index| needs_room(graph, Input::Of { slice, operator: &op, index })).collect();
    let mut needs = needs.into_iter();
    op.map_inputs(|input| if needs.next() == Some(true) { Op::Spool(Box::new(input)) } else { input })
}

fn is_shared(graph: &Graph, motion: usize) -> bool {
    graph.slices[graph.motions[motion].from].outputs.len() > 1
}

/// Motions are read below it, in its slice.
fn carries(op: &Op) -> bool {
    match op {
        Op::Receive(_) => true,
        Op::Spool(_) => false,
        op => op.inputs().into_iter().any(carries),
    }
}

/// Rows can leave before all the motions that it carries have ended.
fn streams(op: &Op) -> bool {
    match op {
        Op::Scan | Op::Sort(_) | Op::Spool(_) => false,
        Op::Receive(_) => true,
        Op::Filter(input) | Op::Limit(_, input) => streams(input),
        // All of the build side comes before the first row.
        Op::Join { probe, .. } => streams(probe),
        // Each input gives its first row before there is any.
        Op::Alternate { inputs, .. } => inputs.iter().any(streams),
        // An input gives rows before the later ones are read at all.
        Op::Concat(inputs) => inputs.iter().any(streams) || inputs[1..].iter().any(carries),
        Op::Interleave(inputs) => inputs.iter().any(streams) || inputs.len() > 1 && inputs.iter().any(carries),
    }
}
