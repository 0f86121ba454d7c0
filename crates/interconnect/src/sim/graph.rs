//! A plan as the simulation knows it: slices of operators, and the motions between them.

use damson_cluster::ContentId;
use std::fmt;

/// Slice 0 is the root, on the master.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    pub(super) slices: Vec<Slice>,
    pub(super) motions: Vec<Motion>,
}

#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) gang: Vec<ContentId>,
    pub(super) root: Op,
    /// Motions that its rows go out by: one; none of the root; two of a shared input, in lock-step.
    pub(super) outputs: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Motion {
    pub(super) kind: Kind,
    /// The slices at its ends.
    pub(super) from: usize,
    pub(super) to: usize,
    /// The receiver waits for each sender's next row, and takes the least.
    pub(super) merges: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gather,
    Redistribute,
    Broadcast,
    RoundRobin,
}

/// An operator, by how it reads its inputs.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Rows of the QE's own.
    Scan,
    Receive(usize),
    /// Filters, projections, partial aggregates, windows: row in, row out.
    Filter(Box<Op>),
    /// Sorts and hash aggregates: everything in, then rows out.
    Sort(Box<Op>),
    /// All of the build side, then the probe side. `ends_early`: an empty build side is the end.
    Join {
        build: Box<Op>,
        probe: Box<Op>,
        ends_early: bool,
    },
    /// A sort-merge join or an ordered union: the input with the least row is read next. `ends_early`: with the first
    /// input that ends.
    Alternate {
        inputs: Vec<Op>,
        ends_early: bool,
    },
    /// One input after the other.
    Concat(Vec<Op>),
    /// Whichever input has rows.
    Interleave(Vec<Op>),
    Limit(usize, Box<Op>),
    /// Room: reads its input from the start.
    Spool(Box<Op>),
}

impl Op {
    pub(super) fn inputs(&self) -> Vec<&Op> {
        match self {
            Op::Scan | Op::Receive(_) => vec![],
            Op::Filter(input) | Op::Sort(input) | Op::Limit(_, input) | Op::Spool(input) => vec![input],
            Op::Join { build, probe, .. } => vec![build, probe],
            Op::Alternate { inputs, .. } | Op::Concat(inputs) | Op::Interleave(inputs) => inputs.iter().collect(),
        }
    }

    /// The operator with each input changed.
    pub(super) fn map_inputs(self, mut f: impl FnMut(Op) -> Op) -> Op {
        match self {
            leaf @ (Op::Scan | Op::Receive(_)) => leaf,
            Op::Filter(input) => Op::Filter(Box::new(f(*input))),
            Op::Sort(input) => Op::Sort(Box::new(f(*input))),
            Op::Limit(rows, input) => Op::Limit(rows, Box::new(f(*input))),
            Op::Spool(input) => Op::Spool(Box::new(f(*input))),
            Op::Join { build, probe, ends_early } => {
                Op::Join { build: Box::new(f(*build)), probe: Box::new(f(*probe)), ends_early }
            }
            Op::Alternate { inputs, ends_early } => {
                Op::Alternate { inputs: inputs.into_iter().map(f).collect(), ends_early }
            }
            Op::Concat(inputs) => Op::Concat(inputs.into_iter().map(f).collect()),
            Op::Interleave(inputs) => Op::Interleave(inputs.into_iter().map(f).collect()),
        }
    }

    fn name(&self) -> String {
        match self {
            Op::Scan => "scan".into(),
            Op::Receive(motion) => format!("m{}", motion + 1),
            Op::Filter(_) => "filter".into(),
            Op::Sort(_) => "sort".into(),
            Op::Join { .. } => "join".into(),
            Op::Alternate { .. } => "alternate".into(),
            Op::Concat(_) => "concat".into(),
            Op::Interleave(_) => "interleave".into(),
            Op::Limit(rows, _) => format!("limit {rows}"),
            Op::Spool(_) => "spool".into(),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs: Vec<_> = self.inputs().into_iter().map(Op::to_string).collect();
        f.write_str(&self.name())?;
        if inputs.is_empty() { Ok(()) } else { write!(f, "({})", inputs.join(", ")) }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, slice) in self.slices.iter().enumerate() {
            let gang: Vec<_> = slice.gang.iter().map(ContentId::to_string).collect();
            write!(f, "slice {number} on {}: {}", gang.join(" "), slice.root)?;
            for &output in &slice.outputs {
                let Motion { kind, to, merges, .. } = &self.motions[output];
                write!(f, " -> m{} {kind:?}{} to slice {to}", output + 1, if *merges { " merging" } else { "" })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
