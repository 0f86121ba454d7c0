//! A proof by simulation that no plan's motions deadlock: random slice graphs over the real [`crate::route`] machines, on a
//! simulated network, with random scheduling and the smallest credits, all from a seed.
//!
//! # Who waits for whom
//!
//! A sender of a motion serves its receivers one after the other: while one of their routes is out of credit, the others get
//! nothing. A receiver that does not read a motion therefore holds up, through the motion's senders, its own siblings. That
//! is no harm while it will read the motion by itself, sooner or later; it is a deadlock when it waits for something that
//! one of those siblings, or one of their senders, must do first.
//!
//! *A plan does not deadlock where every slice reads its motions in an order that does not depend on data.* Plans are trees
//! of slices; order their motions as they are read, depth first (a build side before its probe side, the first input of a
//! union before the second, a motion's own inputs before it). Take the first motion in this order that has not ended.
//! All before it have, so each of its receivers reads it or is held up by the receivers of its own output; those in turn
//! read that output, since everything that they read before it has ended; and so on up to the master, which reads always. So
//! the motion's senders are not held up for ever, and everything that they read has ended or is local: it ends. Inputs that
//! are read at the same time, whichever has rows (a union's under `CoalescePartitionsExec`), only add to what is read.
//! An early end (LIMIT) stops the senders, which then are not held up either.
//!
//! # Which inputs need room
//!
//! Two kinds of reader choose by the data what they read next. Let an operator's input *carry* motions if its slice receives
//! some below it, and *stream* if rows can leave it before all of these have ended: everything but a sort, a hash
//! aggregate and the build side of a join (or an input whose motions are all below these) streams. Room is a spool: it reads
//! its input from the start, whatever its reader does, and spills. What is below a spool is not carried by what is above.
//!
//! 1. **An operator that alternates** between its inputs (sort-merge join, ordered union, merge of partitions), in a slice
//!    of more than one QE, with two or more inputs that carry motions: *each of its inputs that streams*. One QE waits for a
//!    row of one input while another waits for a row of the other, and each holds up the sender that the other waits for.
//!    Where all inputs are sorts above their motions, they are read one after the other: no room is needed. In a slice of
//!    one QE (the master) none is needed either: it holds up nobody but the senders that have rows for it.
//! 2. **A motion that merges** its senders' streams (a Gather with a merge key, more than one sender): *the whole input of the
//!    motion, if it streams*. The reader waits for a certain sender; that one waits for rows of a motion below, whose sender
//!    is held up by a sibling for which the reader does not wait. The usual sort below the merge is its own room.
//! 3. **A slice with two outputs** (a shared input): *every input that receives one of them*. They are sent in lock-step, so
//!    that reading one after the other is enough to deadlock. Plans do not have such slices today.
//!
//! A merging motion has one receiver, and a slice with two outputs does not merge; plans with either would need room on each
//! route. [`rooms::needs_room`] is this rule; the master's planner has the same one over its plans (`planner/spool.rs`).
//!
//! # How to run more, or one again
//!
//! `DAMSON_SIM_SEEDS=10000 cargo test --release -p damson-interconnect sim::`; `DAMSON_SIM_SEED=17` runs one and prints its
//! plan. A failure prints its seed and the last events in the language of the golden scripts.

mod generate;
mod graph;
mod network;
mod operator;
mod random;
mod rooms;
mod tests;
mod world;
