//! Operators at work: each is polled for rows and polls its inputs.

use super::graph::{Graph, Op};
use super::random::Random;
use std::collections::VecDeque;

/// Rows; never empty.
pub(super) type Batch = Vec<u64>;

#[derive(Debug)]
pub(super) enum Step {
    Rows(Batch),
    /// Until something arrives.
    Wait,
    End,
    /// A route has failed.
    Failed,
}

/// The receiving ends of a QE's routes.
pub(super) trait Routes {
    fn take(&mut self, link: usize) -> Step;
    fn stop(&mut self, link: usize);
}

pub(super) enum Operator {
    Scan(VecDeque<Batch>),
    /// By link; None once it has ended.
    Receive {
        links: Vec<Option<usize>>,
        next: usize,
    },
    Merge {
        links: Vec<usize>,
        heads: Vec<Head>,
    },
    Filter {
        input: Box<Operator>,
        salt: u64,
    },
    Sort {
        input: Box<Operator>,
        rows: Batch,
        sorted: Option<VecDeque<Batch>>,
    },
    Join {
        build: Box<Operator>,
        probe: Box<Operator>,
        ends_early: bool,
        build_rows: usize,
        is_built: bool,
    },
    Alternate {
        inputs: Vec<Operator>,
        heads: Vec<Head>,
        ends_early: bool,
    },
    Concat(VecDeque<Operator>),
    Interleave(VecDeque<Operator>),
    Limit {
        input: Box<Operator>,
        left: usize,
    },
    Spool {
        input: Box<Operator>,
        rows: VecDeque<Batch>,
        end: Option<Step>,
    },
    /// Ended or stopped.
    Over,
}

pub(super) enum Head {
    Unknown,
    Rows(Batch),
    Ended,
}

/// What an operator is made from beside its description.
pub(super) struct Maker<'a> {
    pub(super) graph: &'a Graph,
    /// The links of a motion to this QE, by sender.
    pub(super) links: &'a dyn Fn(usize) -> Vec<usize>,
    pub(super) random: Random,
}

impl Maker<'_> {
    pub(super) fn make(&mut self, op: &Op) -> Operator {
        let many = |this: &mut Self, inputs: &[Op]| inputs.iter().map(|input| this.make(input)).collect::<Vec<_>>();
        match op {
            Op::Scan => Operator::Scan(self.rows()),
            Op::Receive(motion) => {
                let links = (self.links)(*motion);
                if self.graph.motions[*motion].merges {
                    let heads = links.iter().map(|_| Head::Unknown).collect();
                    Operator::Merge { links, heads }
                } else {
                    Operator::Receive { links: links.into_iter().map(Some).collect(), next: 0 }
                }
            }
            Op::Filter(input) => Operator::Filter { input: Box::new(self.make(input)), salt: self.random.next() },
            Op::Sort(input) => Operator::Sort { input: Box::new(self.make(input)), rows: vec![], sorted: None },
            Op::Join { build, probe, ends_early } => Operator::Join {
                build: Box::new(self.make(build)),
                probe: Box::new(self.make(probe)),
                ends_early: *ends_early,
                build_rows: 0,
                is_built: false,
            },
            Op::Alternate { inputs, ends_early } => {
                let heads = inputs.iter().map(|_| Head::Unknown).collect();
                Operator::Alternate { inputs: many(self, inputs), heads, ends_early: *ends_early }
            }
            Op::Concat(inputs) => Operator::Concat(many(self, inputs).into()),
            Op::Interleave(inputs) => Operator::Interleave(many(self, inputs).into()),
            Op::Limit(rows, input) => Operator::Limit { input: Box::new(self.make(input)), left: *rows },
            Op::Spool(input) => Operator::Spool { input: Box::new(self.make(input)), rows: VecDeque::new(), end: None },
        }
    }

    /// Of very different numbers, often none.
    fn rows(&mut self) -> VecDeque<Batch> {
        let batches = match self.random.below(10) {
            0..3 => 0,
            3..8 => 1 + self.random.below(6),
            _ => self.random.below(40),
        };
        // Some have few distinct values: their rows all go one way.
        let distinct = self.random.pick(&[1, 3, 1 << 20]);
        let batch = |_| {
            // A large one needs nearly all of the largest credit.
            let rows = if self.random.chance(10) { 12 + self.random.below(7) } else { 1 + self.random.below(4) };
            (0..rows).map(|_| self.random.next() % distinct).collect()
        };
        (0..batches).map(batch).collect()
    }
}

impl Operator {
    pub(super) fn poll(&mut self, routes: &mut dyn Routes) -> Step {
        match self {
            Operator::Over => Step::End,
            Operator::Scan(rows) => rows.pop_front().map_or(Step::End, Step::Rows),
            Operator::Receive { links, next } => {
                let count = links.len();
                for i in (*next..count).chain(0..*next) {
                    let Some(link) = links[i] else { continue };
                    match routes.take(link) {
                        Step::Wait => {}
                        Step::End => links[i] = None,
                        step => {
                            *next = (i + 1) % count;
                            return step;
                        }
                    }
                }
                if links.iter().all(Option::is_none) { Step::End } else { Step::Wait }
            }
            Operator::Merge { links, heads } => least(heads, false, |i| routes.take(links[i])),
            Operator::Filter { input, salt } => loop {
                match input.poll(routes) {
                    Step::Rows(mut rows) => {
                        rows.retain(|row| (row ^ *salt) % 3 != 0);
                        if !rows.is_empty() {
                            return Step::Rows(rows);
                        }
                    }
                    step => return step,
                }
            },
            Operator::Sort { input, rows, sorted } => {
                while sorted.is_none() {
                    match input.poll(routes) {
                        Step::Rows(more) => rows.extend(more),
                        Step::End => {
                            rows.sort_unstable();
                            *sorted = Some(rows.chunks(3).map(<[u64]>::to_vec).collect());
                        }
                        step => return step,
                    }
                }
                sorted.as_mut().and_then(VecDeque::pop_front).map_or(Step::End, Step::Rows)
            }
            Operator::Join { build, probe, ends_early, build_rows, is_built } => {
                while !*is_built {
                    match build.poll(routes) {
                        Step::Rows(rows) => *build_rows += rows.len(),
                        Step::End => *is_built = true,
                        step => return step,
                    }
                }
                if *ends_early && *build_rows == 0 {
                    self.stop(routes);
                    return Step::End;
                }
                probe.poll(routes)
            }
            Operator::Alternate { inputs, heads, ends_early } => {
                let ends_early = *ends_early;
                let step = least(heads, ends_early, |i| inputs[i].poll(routes));
                if matches!(step, Step::End) {
                    self.stop(routes);
                }
                step
            }
            Operator::Concat(inputs) => {
                while let Some(input) = inputs.front_mut() {
                    match input.poll(routes) {
                        Step::End => drop(inputs.pop_front()),
                        step => return step,
                    }
                }
                Step::End
            }
            Operator::Interleave(inputs) => {
                for _ in 0..inputs.len() {
                    let Some(mut input) = inputs.pop_front() else { break };
                    match input.poll(routes) {
                        Step::End => {}
                        Step::Wait => inputs.push_back(input),
                        step => {
                            inputs.push_back(input);
                            return step;
                        }
                    }
                }
                if inputs.is_empty() { Step::End } else { Step::Wait }
            }
            Operator::Limit { input, left } => match input.poll(routes) {
                Step::Rows(mut rows) => {
                    rows.truncate(*left);
                    *left -= rows.len();
                    if *left == 0 {
                        self.stop(routes);
                    }
                    Step::Rows(rows)
                }
                step => step,
            },
            Operator::Spool { rows, end, .. } => match (end, rows.pop_front()) {
                // As on a route, it overtakes the rows.
                (Some(Step::Failed), _) => Step::Failed,
                (_, Some(rows)) => Step::Rows(rows),
                (None, None) => Step::Wait,
                (Some(_), None) => Step::End,
            },
        }
    }

    /// Lets every spool read a batch. True if one did, or has ended.
    pub(super) fn fill_spools(&mut self, routes: &mut dyn Routes) -> bool {
        let below = self.inputs().into_iter().fold(false, |filled, input| input.fill_spools(routes) | filled);
        let Operator::Spool { input, rows, end: end @ None } = self else { return below };
        match input.poll(routes) {
            Step::Rows(batch) => rows.push_back(batch),
            Step::Wait => return below,
            step => {
                // Who fails reads no more, and so must let the senders go.
                input.stop(routes);
                *end = Some(step);
            }
        }
        true
    }

    /// Nobody wants more of its rows.
    pub(super) fn stop(&mut self, routes: &mut dyn Routes) {
        self.inputs().into_iter().for_each(|input| input.stop(routes));
        match std::mem::replace(self, Operator::Over) {
            Operator::Receive { links, .. } => links.into_iter().flatten().for_each(|link| routes.stop(link)),
            Operator::Merge { links, .. } => links.into_iter().for_each(|link| routes.stop(link)),
            _ => {}
        }
    }

    fn inputs(&mut self) -> Vec<&mut Operator> {
        match self {
            Operator::Over | Operator::Scan(_) | Operator::Receive { .. } | Operator::Merge { .. } => vec![],
            Operator::Filter { input, .. }
            | Operator::Sort { input, .. }
            | Operator::Limit { input, .. }
            | Operator::Spool { input, .. } => vec![input],
            Operator::Join { build, probe, .. } => vec![build, probe],
            Operator::Alternate { inputs, .. } => inputs.iter_mut().collect(),
            Operator::Concat(inputs) | Operator::Interleave(inputs) => inputs.iter_mut().collect(),
        }
    }
}

/// The input with the least row, once all have shown theirs; they are asked in order.
fn least(heads: &mut [Head], ends_early: bool, mut poll: impl FnMut(usize) -> Step) -> Step {
    for (i, head) in heads.iter_mut().enumerate() {
        if let Head::Unknown = head {
            *head = match poll(i) {
                Step::Rows(rows) => Head::Rows(rows),
                Step::End if ends_early => return Step::End,
                Step::End => Head::Ended,
                step => return step,
            };
        }
    }
    let row = |head: &&mut Head| if let Head::Rows(rows) = head { rows[0] } else { u64::MAX };
    match heads.iter_mut().filter(|head| matches!(head, Head::Rows(_))).min_by_key(row) {
        Some(head) => match std::mem::replace(head, Head::Unknown) {
            Head::Rows(rows) => Step::Rows(rows),
            Head::Unknown | Head::Ended => unreachable!("it has rows"),
        },
        None => Step::End,
    }
}
