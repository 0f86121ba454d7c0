//! Random plans.

use super::graph::{Graph, Kind, Motion, Op, Slice};
use super::random::Random;
use damson_cluster::ContentId;

const SEGMENTS_MAX: usize = 6;
const SLICES_MAX: usize = 9;
const DEPTH_MAX: usize = 5;
/// Broadcasts multiply rows.
const BROADCASTS_MAX: usize = 2;

pub(super) fn graph(random: &mut Random) -> Graph {
    let segments = 1 + random.below(SEGMENTS_MAX);
    let mut generator = Generator { random, segments, graph: Graph::default() };
    generator.slice(vec![ContentId::MASTER], vec![]);
    generator.graph
}

struct Generator<'a> {
    random: &'a mut Random,
    segments: usize,
    graph: Graph,
}

impl Generator<'_> {
    /// A slice and everything below it; its number.
    fn slice(&mut self, gang: Vec<ContentId>, outputs: Vec<usize>) -> usize {
        let number = self.graph.slices.len();
        self.graph.slices.push(Slice { gang, root: Op::Scan, outputs });
        self.graph.slices[number].root = self.op(number, 0);
        number
    }

    fn op(&mut self, slice: usize, depth: usize) -> Op {
        let is_full = depth >= DEPTH_MAX;
        let input = |this: &mut Self| Box::new(this.op(slice, depth + 1));
        let inputs = |this: &mut Self| (0..2 + this.random.below(2)).map(|_| this.op(slice, depth + 1)).collect();
        match self.random.below(if is_full { 35 } else { 100 }) {
            0..10 => Op::Scan,
            10..35 => self.receive(slice),
            35..43 => Op::Filter(input(self)),
            43..50 => Op::Sort(input(self)),
            50..55 => Op::Limit(1 + self.random.below(20), input(self)),
            55..70 => {
                let ends_early = self.random.chance(50);
                Op::Join { build: input(self), probe: input(self), ends_early }
            }
            70..83 => {
                let ends_early = self.random.chance(30);
                Op::Alternate { inputs: inputs(self), ends_early }
            }
            83..88 => Op::Concat(inputs(self)),
            88..93 => Op::Interleave(inputs(self)),
            _ => self.shared(slice),
        }
    }

    fn receive(&mut self, to: usize) -> Op {
        if self.graph.slices.len() >= SLICES_MAX {
            return Op::Scan;
        }
        let gang = self.gang();
        let motion = self.motion(to, gang.len(), true);
        let from = self.slice(gang, vec![motion]);
        self.graph.motions[motion].from = from;
        Op::Receive(motion)
    }

    /// Two inputs that one slice sends in lock-step.
    fn shared(&mut self, to: usize) -> Op {
        if self.graph.slices.len() >= SLICES_MAX {
            return Op::Scan;
        }
        let gang = self.gang();
        let motions = [self.motion(to, gang.len(), false), self.motion(to, gang.len(), false)];
        let from = self.slice(gang, motions.to_vec());
        for motion in motions {
            self.graph.motions[motion].from = from;
        }
        let [first, second] = motions.map(Op::Receive);
        match self.random.below(3) {
            0 => Op::Join { build: Box::new(first), probe: Box::new(second), ends_early: false },
            1 => Op::Alternate { inputs: vec![first, Op::Filter(Box::new(second))], ends_early: false },
            _ => Op::Concat(vec![Op::Sort(Box::new(first)), second]),
        }
    }

    fn gang(&mut self) -> Vec<ContentId> {
        let segment = |number: usize| ContentId(number as i32);
        match self.random.below(20) {
            0 => vec![ContentId::MASTER],
            1 => vec![segment(self.random.below(self.segments))],
            _ => (0..self.segments).map(segment).collect(),
        }
    }

    /// A motion whose sending slice is not known yet.
    fn motion(&mut self, to: usize, senders: usize, may_merge: bool) -> usize {
        let (kind, merges) = if self.graph.slices[to].gang.len() == 1 {
            (Kind::Gather, may_merge && senders > 1 && self.random.chance(50))
        } else {
            let broadcasts = self.graph.motions.iter().filter(|motion| motion.kind == Kind::Broadcast).count();
            let kinds = [Kind::RoundRobin, Kind::Redistribute, Kind::Redistribute, Kind::Broadcast];
            let choices = if broadcasts < BROADCASTS_MAX { &kinds[..] } else { &kinds[..3] };
            (self.random.pick(choices), false)
        };
        self.graph.motions.push(Motion { kind, from: usize::MAX, to, merges });
        self.graph.motions.len() - 1
    }
}
