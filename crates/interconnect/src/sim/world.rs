//! A plan at work: one task for each QE of each slice, run in random order, among messages that arrive in random order.

use super::graph::{Graph, Kind};
use super::network::{Network, Reached};
use super::operator::{Batch, Maker, Operator, Step};
use super::random::Random;
use crate::RouteError;
use crate::route::{Admission, ToReceiver};
use damson_cluster::{ContentId, MotionId, QueryId, RouteKey};
use std::collections::VecDeque;

/// Steps of one run: far more than any needs.
const STEPS_MAX: usize = 2_000_000;

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// After so many steps, a task fails.
    Raise(usize),
    /// The query is cancelled everywhere.
    Cancel(usize),
    /// A connection is lost.
    Lose(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything has ended, and as it should.
    Ended,
    /// Nothing can run and nothing is under way, but these wait: told.
    Deadlock(String),
    Wrong(String),
}

pub(super) struct World<'a> {
    graph: &'a Graph,
    random: Random,
    network: Network,
    tasks: Vec<Task>,
    /// By link: the tasks at its ends.
    ends: Vec<(usize, usize)>,
    fault: Fault,
}

struct Task {
    slice: usize,
    content: ContentId,
    operator: Operator,
    /// Links of each of its motions, by receiver.
    outputs: Vec<(Kind, Vec<usize>)>,
    incoming: Vec<usize>,
    /// Pieces to send, in this order.
    outgoing: VecDeque<(usize, Batch)>,
    /// Whose turn it is, when receivers get batches in turn.
    turn: usize,
    state: State,
    is_runnable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Running,
    Over,
}

impl<'a> World<'a> {
    pub(super) fn new(graph: &'a Graph, seed: u64, credit_bytes: u64, fault: Fault) -> Self {
        let mut routes = vec![];
        // Of each motion: its links, by sender and receiver.
        let mut links: Vec<Vec<Vec<usize>>> = vec![];
        for (number, motion) in graph.motions.iter().enumerate() {
            let (senders, receivers) = (&graph.slices[motion.from].gang, &graph.slices[motion.to].gang);
            let mut by_sender = vec![];
            for &sender in senders {
                let to_each = receivers.iter().map(|&receiver| {
                    let motion = MotionId(number as u32 + 1);
                    routes.push(RouteKey { query: QueryId(1), motion, sender, receiver });
                    routes.len() - 1
                });
                by_sender.push(to_each.collect());
            }
            links.push(by_sender);
        }
        let mut ends = vec![(0, 0); routes.len()];
        let mut tasks = vec![];
        for (number, slice) in graph.slices.iter().enumerate() {
            for (position, &content) in slice.gang.iter().enumerate() {
                let to_me = |motion: usize| links[motion].iter().map(|to| to[position]).collect::<Vec<_>>();
                let incoming = graph.motions.iter().enumerate().filter(|(_, motion)| motion.to == number);
                let incoming: Vec<_> = incoming.flat_map(|(motion, _)| to_me(motion)).collect();
                let outputs = slice.outputs.iter().map(|&m| (graph.motions[m].kind, links[m][position].clone()));
                let outputs: Vec<_> = outputs.collect();
                incoming.iter().for_each(|&link| ends[link].1 = tasks.len());
                outputs.iter().flat_map(|(_, links)| links).for_each(|&link| ends[link].0 = tasks.len());
                let random = Random::new(&[seed, 1, number as u64, position as u64]);
                let operator = Maker { graph, links: &to_me, random }.make(&slice.root);
                tasks.push(Task {
                    slice: number,
                    content,
                    operator,
                    outputs,
                    incoming,
                    outgoing: VecDeque::new(),
                    turn: position,
                    state: State::New,
                    is_runnable: true,
                });
            }
        }
        let network = Network::new(routes, credit_bytes);
        World { graph, random: Random::new(&[seed, 2]), network, tasks, ends, fault }
    }

    pub(super) fn run(&mut self) -> Verdict {
        for step in 0..STEPS_MAX {
            self.break_something(step);
            let busy = self.network.busy();
            let runnable: Vec<_> = (0..self.tasks.len()).filter(|&task| self.tasks[task].is_runnable).collect();
            if busy.is_empty() && runnable.is_empty() {
                return self.verdict();
            }
            match self.random.below(busy.len() + runnable.len()) {
                choice if choice < busy.len() => {
                    let (from, to) = match self.network.deliver(busy[choice]) {
                        Reached::Sender(link) => (Some(self.ends[link].0), None),
                        Reached::Receiver(link) => (None, Some(self.ends[link].1)),
                    };
                    from.into_iter().chain(to).for_each(|task| self.wake(task));
                }
                choice => self.step(runnable[choice - busy.len()]),
            }
        }
        Verdict::Wrong(format!("still running after {STEPS_MAX} steps"))
    }

    fn verdict(&self) -> Verdict {
        let waiting: String =
            self.tasks.iter().filter(|task| task.state != State::Over).map(|t| self.tell(t)).collect();
        if !waiting.is_empty() {
            return Verdict::Deadlock(waiting);
        }
        match self.network.check_end(self.fault == Fault::Nothing) {
            Ok(()) => Verdict::Ended,
            Err(reason) => Verdict::Wrong(reason),
        }
    }

    fn tell(&self, task: &Task) -> String {
        let held_up = match task.outgoing.front() {
            Some((link, _)) => format!("is held up by {}", self.network.links[*link].route),
            None => format!("waits in {}", self.graph.slices[task.slice].root),
        };
        format!("slice {} on {} {held_up}\n", task.slice, task.content)
    }

    pub(super) fn trace(&self) -> String {
        self.network.trace()
    }

    fn wake(&mut self, task: usize) {
        self.tasks[task].is_runnable = self.tasks[task].state != State::Over;
    }

    fn break_something(&mut self, step: usize) {
        match self.fault {
            Fault::Raise(at) if at == step => {
                let task = self.random.below(self.tasks.len());
                if self.tasks[task].state != State::Over {
                    self.fail(task);
                }
            }
            Fault::Cancel(at) if at == step => {
                (0..self.network.links.len()).for_each(|link| self.network.cancel(link));
                (0..self.tasks.len()).for_each(|task| self.wake(task));
            }
            Fault::Lose(at) if at == step => {
                let one = self.tasks[self.random.below(self.tasks.len())].content;
                let other = self.tasks[self.random.below(self.tasks.len())].content;
                for link in self.network.lose(one, other) {
                    let (from, to) = self.ends[link];
                    self.wake(from);
                    self.wake(to);
                }
            }
            _ => {}
        }
    }

    /// Lets a task do one thing. It stays runnable if it did; else something must arrive first.
    fn step(&mut self, number: usize) {
        let task = &mut self.tasks[number];
        if task.state == State::New {
            task.state = State::Running;
            task.incoming.iter().for_each(|&link| self.network.claim(link));
            return;
        }
        let has_filled = task.operator.fill_spools(&mut self.network);
        if let Some((link, batch)) = task.outgoing.front() {
            match self.network.send(*link, batch) {
                Admission::Wait => {
                    task.is_runnable = has_filled;
                    return;
                }
                Admission::Failed(_) => return self.fail(number),
                Admission::Send | Admission::Stopped => drop(task.outgoing.pop_front()),
            }
            if task.outgoing.is_empty() && self.is_wanted_no_more(number) {
                self.finish(number, ToReceiver::End);
            }
            return;
        }
        match task.operator.poll(&mut self.network) {
            Step::Rows(batch) => task.route(&batch),
            Step::Wait => task.is_runnable = has_filled,
            Step::End => self.finish(number, ToReceiver::End),
            Step::Failed => self.fail(number),
        }
    }

    /// Every receiver has stopped.
    fn is_wanted_no_more(&self, number: usize) -> bool {
        let mut links = self.tasks[number].outputs.iter().flat_map(|(_, links)| links);
        links.all(|&link| self.network.links[link].sender.is_stopped())
    }

    fn fail(&mut self, number: usize) {
        let message = format!("slice {} failed", self.tasks[number].slice);
        self.finish(number, ToReceiver::Fail(RouteError::Remote { code: "XX000".into(), message }));
    }

    fn finish(&mut self, number: usize, word: ToReceiver) {
        let task = &mut self.tasks[number];
        task.outgoing.clear();
        task.operator.stop(&mut self.network);
        // A task that never started has not claimed its routes; its node drops them with the query.
        task.incoming.iter().for_each(|&link| {
            if task.state == State::New {
                self.network.cancel(link);
            }
        });
        task.outputs.iter().flat_map(|(_, links)| links).for_each(|&link| self.network.end(link, word.clone()));
        task.state = State::Over;
        task.is_runnable = false;
    }
}

impl Task {
    /// Decides which receivers get the rows.
    fn route(&mut self, batch: &Batch) {
        for (kind, links) in &self.outputs {
            match kind {
                Kind::Gather => self.outgoing.push_back((links[0], batch.clone())),
                Kind::Broadcast => self.outgoing.extend(links.iter().map(|&link| (link, batch.clone()))),
                Kind::RoundRobin => {
                    self.turn += 1;
                    self.outgoing.push_back((links[self.turn % links.len()], batch.clone()));
                }
                Kind::Redistribute => {
                    for (position, &link) in links.iter().enumerate() {
                        let is_owner = |row: &&u64| (*row % links.len() as u64) as usize == position;
                        let rows: Batch = batch.iter().filter(is_owner).copied().collect();
                        if !rows.is_empty() {
                            self.outgoing.push_back((link, rows));
                        }
                    }
                }
            }
        }
    }
}
