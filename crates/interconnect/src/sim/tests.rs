//! Random plans by seed; and the plans of the rule, which deadlock without their spools.

use super::generate;
use super::graph::{Graph, Kind, Motion, Op, Slice};
use super::random::Random;
use super::rooms::with_rooms;
use super::world::{Fault, Verdict, World};
use damson_cluster::ContentId;

/// Seeds of an ordinary run; `make nightly` asks for more.
const SEEDS: u64 = 200;

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A plan, a credit and a fault from a seed.
fn scene(seed: u64) -> (Graph, u64, Fault) {
    let mut random = Random::new(&[seed]);
    let graph = generate::graph(&mut random);
    // No credit at all: one batch.
    let credit_bytes = random.pick(&[0, 0, 100, 400, 2000]);
    let at = random.below(400);
    let fault = match random.below(10) {
        0 => Fault::Raise(at),
        1 => Fault::Cancel(at),
        2 => Fault::Lose(at),
        _ => Fault::Nothing,
    };
    (graph, credit_bytes, fault)
}

#[test]
fn no_plan_deadlocks() {
    let one = number_of("DAMSON_SIM_SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..number_of("DAMSON_SIM_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let (graph, credit_bytes, fault) = scene(seed);
        let graph = with_rooms(&graph);
        if one.is_some() {
            println!("{graph}credit {credit_bytes}, {fault:?}");
        }
        let mut world = World::new(&graph, seed, credit_bytes, fault);
        let verdict = world.run();
        assert!(
            verdict == Verdict::Ended,
            "seed {seed}: {verdict:?}\n{graph}credit {credit_bytes}, {fault:?}\n\nthe last events:\n{}\n\
             again: DAMSON_SIM_SEED={seed} cargo test --release -p damson-interconnect sim::tests::no_plan_deadlocks",
            world.trace(),
        );
    }
}

/// Random plans deadlock without their spools, and the simulation says so.
#[test]
fn seeds_deadlock_without_their_spools() {
    let is_deadlock = |seed| {
        let (graph, credit_bytes, _) = scene(seed);
        matches!(World::new(&graph, seed, credit_bytes, Fault::Nothing).run(), Verdict::Deadlock(_))
    };
    assert!(is_deadlock(SEED_THAT_DEADLOCKS), "seed {SEED_THAT_DEADLOCKS} ends: the simulation finds nothing any more");
    assert!((0..SEEDS).filter(|&seed| is_deadlock(seed)).count() > 20);
}

const SEED_THAT_DEADLOCKS: u64 = 3;

fn boxed(op: Op) -> Box<Op> {
    Box::new(op)
}

fn segments(count: i32) -> Vec<ContentId> {
    (0..count).map(ContentId).collect()
}

/// A plan whose slice 1, on the segments, receives motions of scanning slices; it sends to the master.
struct Shape {
    graph: Graph,
}

impl Shape {
    fn new(merges: bool) -> Self {
        let master = Slice { gang: vec![ContentId::MASTER], root: Op::Receive(0), outputs: vec![] };
        let sending = Slice { gang: segments(3), root: Op::Scan, outputs: vec![0] };
        let motions = vec![Motion { kind: Kind::Gather, from: 1, to: 0, merges }];
        Shape { graph: Graph { slices: vec![master, sending], motions } }
    }

    /// Another slice that scans and sends; what receives each of its outputs.
    fn scan(&mut self, to: usize, kind: Kind, outputs: usize) -> Vec<Op> {
        let (from, first) = (self.graph.slices.len(), self.graph.motions.len());
        let motions = first..first + outputs;
        self.graph.slices.push(Slice { gang: segments(3), root: Op::Scan, outputs: motions.clone().collect() });
        self.graph.motions.extend(motions.clone().map(|_| Motion { kind, from, to, merges: false }));
        motions.map(Op::Receive).collect()
    }

    fn receive(&mut self, kind: Kind) -> Op {
        self.scan(1, kind, 1).remove(0)
    }

    fn with(mut self, root: impl FnOnce(&mut Self) -> Op) -> Graph {
        self.graph.slices[1].root = root(&mut self);
        self.graph
    }
}

fn spools(graph: &Graph) -> usize {
    graph.to_string().matches("spool(").count()
}

/// How many of some seeds deadlock.
fn deadlocks(graph: &Graph) -> usize {
    let run = |seed| match World::new(graph, seed, 0, Fault::Nothing).run() {
        Verdict::Ended => 0,
        Verdict::Deadlock(_) => 1,
        Verdict::Wrong(reason) => panic!("{reason}\n{graph}"),
    };
    (0..300).map(run).sum()
}

fn needs(graph: &Graph, rooms: usize) {
    let roomy = with_rooms(graph);
    assert_eq!(spools(&roomy), rooms, "{roomy}");
    assert!(rooms == 0 || deadlocks(graph) > 0, "the rule asks for more than is needed:\n{graph}");
    assert_eq!(deadlocks(&roomy), 0, "{roomy}");
}

#[test]
fn an_operator_that_alternates_between_motions_needs_room() {
    let join = |inputs| Op::Alternate { inputs, ends_early: false };
    let redistributed = |shape: &mut Shape| shape.receive(Kind::Redistribute);
    needs(&Shape::new(false).with(|s| join(vec![redistributed(s), redistributed(s)])), 2);
    needs(&Shape::new(false).with(|s| join(vec![Op::Filter(boxed(redistributed(s))), redistributed(s)])), 2);
    needs(&Shape::new(false).with(|s| join(vec![redistributed(s), Op::Sort(boxed(s.receive(Kind::Broadcast)))])), 1);
    needs(&Shape::new(false).with(|s| join(vec![redistributed(s), redistributed(s), redistributed(s)])), 3);
}

#[test]
fn one_that_reads_sorts_or_one_motion_only_does_not() {
    let join = |inputs| Op::Alternate { inputs, ends_early: false };
    let sorted = |shape: &mut Shape| Op::Sort(boxed(shape.receive(Kind::Redistribute)));
    needs(&Shape::new(false).with(|s| join(vec![sorted(s), sorted(s)])), 0);
    needs(&Shape::new(false).with(|s| join(vec![s.receive(Kind::Redistribute), Op::Scan])), 0);
    // On the master it holds nobody up.
    let mut on_master = Shape::new(false);
    let other = on_master.scan(0, Kind::Gather, 1).remove(0);
    on_master.graph.slices[0].root = join(vec![Op::Receive(0), other]);
    needs(&on_master.graph, 0);
}

#[test]
fn a_build_side_before_a_probe_side_needs_none() {
    let join = |build, probe| Op::Join { build: boxed(build), probe: boxed(probe), ends_early: false };
    needs(&Shape::new(false).with(|s| join(s.receive(Kind::Broadcast), s.receive(Kind::Redistribute))), 0);
    let deep = |s: &mut Shape| {
        let inner = join(s.receive(Kind::Redistribute), s.receive(Kind::Redistribute));
        join(s.receive(Kind::Broadcast), join(inner, s.receive(Kind::Redistribute)))
    };
    needs(&Shape::new(false).with(deep), 0);
    needs(&Shape::new(false).with(|s| Op::Concat(vec![s.receive(Kind::Redistribute), s.receive(Kind::Broadcast)])), 0);
    needs(
        &Shape::new(false).with(|s| Op::Interleave(vec![s.receive(Kind::Redistribute), s.receive(Kind::Redistribute)])),
        0,
    );
}

#[test]
fn a_merging_gather_needs_room_where_its_senders_stream() {
    needs(&Shape::new(true).with(|s| s.receive(Kind::Redistribute)), 1);
    let build_then_stream = |s: &mut Shape| Op::Join {
        build: boxed(Op::Scan),
        probe: boxed(s.receive(Kind::Redistribute)),
        ends_early: false,
    };
    needs(&Shape::new(true).with(build_then_stream), 1);
    needs(&Shape::new(true).with(|s| Op::Sort(boxed(s.receive(Kind::Redistribute)))), 0);
    let build_only = |s: &mut Shape| Op::Join {
        build: boxed(s.receive(Kind::Broadcast)),
        probe: boxed(Op::Scan),
        ends_early: false,
    };
    needs(&Shape::new(true).with(build_only), 0);
    needs(&Shape::new(true).with(|_| Op::Scan), 0);
}

#[test]
fn a_shared_input_needs_room_wherever_it_is_read() {
    let shared = |s: &mut Shape| {
        let [build, probe] = s.scan(1, Kind::Redistribute, 2).try_into().expect("two outputs");
        Op::Join { build: boxed(build), probe: boxed(probe), ends_early: false }
    };
    needs(&Shape::new(false).with(shared), 2);
}
