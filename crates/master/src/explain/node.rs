//! A plan as EXPLAIN shows it, before it is text or JSON.

use super::actual::Actual;
use super::cost::Cost;
use damson_motion::Gang;

/// One `->` of a plan: an operator that users know, which may stand for several of DataFusion's.
#[derive(Debug)]
pub(super) struct Node {
    /// `InitPlan 1 (returns $0)  (slice3)`: what the node is to its parent, if not an input.
    pub label: Option<String>,
    pub description: Description,
    pub place: Place,
    pub cost: Cost,
    pub steps: Steps,
    /// None before the run, and where the QEs' reports do not tell.
    pub actual: Option<Actual>,
    pub children: Vec<Node>,
}

/// The slice that a node belongs to; of a motion, the slice that sends.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// As it is shown: init plans' slices are numbered after the main plan's.
    pub slice: u32,
    pub gang: Gang,
    /// Whether the slice writes a table.
    pub writes: bool,
}

/// What a node is called and what is said about it.
#[derive(Debug)]
pub(super) struct Description {
    /// The operator's name alone: `Seq Scan`. JSON's `Node Type`.
    pub node_type: String,
    /// What follows the name: ` on lineitem`, ` 3:1  (slice1; segments: 3)`.
    pub suffix: String,
    /// The lines below.
    pub details: Vec<(&'static str, Value)>,
    /// What only JSON says.
    pub facts: Vec<(&'static str, serde_json::Value)>,
    /// True if no row comes out before the last one went in.
    pub blocking: bool,
    pub inputs: Inputs,
}

/// The order in which a node's inputs are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inputs {
    AsPlanned,
    /// DataFusion's right input, then its left one, under `Hash` if it fills a hash table.
    ProbeFirst {
        hash: bool,
    },
}

#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    /// Text joins them by `, `.
    List(Vec<String>),
}

impl Description {
    pub(super) fn new(node_type: impl Into<String>) -> Self {
        Description {
            node_type: node_type.into(),
            suffix: String::new(),
            details: vec![],
            facts: vec![],
            blocking: false,
            inputs: Inputs::AsPlanned,
        }
    }

    pub(super) fn suffixed(self, suffix: impl Into<String>) -> Self {
        Description { suffix: suffix.into(), ..self }
    }

    pub(super) fn blocking(self) -> Self {
        Description { blocking: true, ..self }
    }

    pub(super) fn text(mut self, key: &'static str, text: impl Into<String>) -> Self {
        self.details.push((key, Value::Text(text.into())));
        self
    }

    pub(super) fn list(mut self, key: &'static str, list: Vec<String>) -> Self {
        self.details.push((key, Value::List(list)));
        self
    }

    pub(super) fn fact(mut self, key: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.facts.push((key, value.into()));
        self
    }
}

/// The operators that a node stands for, as positions in [`super::tree::Tree::steps`].
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// From the outermost to the innermost, all in one slice.
    pub chain: Vec<usize>,
    /// The one whose rows are the node's.
    pub main: Option<usize>,
    /// Whose rows to take if the QEs dropped the main one: of a limit that its input took over.
    pub fallback: Vec<usize>,
    /// The sending end of a motion.
    pub send: Option<usize>,
    /// True for a motion that sends each row to the owner of its hash.
    pub by_hash: bool,
    /// What the main one filters.
    pub filtered: Option<usize>,
    /// True if the node's rows are its input's: it counts none by itself.
    pub rows_of_input: bool,
}
