//! The receiving end of a route.

use super::{ToReceiver, ToSender};
use crate::RouteError;
use crate::limits::BATCH_BYTES_MAX;
use damson_cluster::RouteKey;

/// What to do with data that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Keep,
    /// The route has stopped or failed.
    Drop,
}

/// What a reader sees once it has taken everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// More may come.
    Open,
    /// End-of-stream, or nobody reads any more.
    Ended,
    Failed(RouteError),
}

#[derive(Debug)]
pub(crate) struct ReceiveState {
    route: RouteKey,
    phase: Phase,
    credit_bytes: u64,
    is_credit_new: bool,
    allowance: Allowance,
    /// Arrived and not taken.
    buffered_bytes: u64,
    /// Taken and not acknowledged.
    unacknowledged_bytes: u64,
    /// The messages of the batch that is arriving, and whether it may exceed the credit: it was alone when it began.
    batch_bytes: u64,
    is_batch_alone: bool,
    is_within_batch: bool,
}

/// The largest credit by which the sender may have sent what arrives now. A lowered credit reaches it late: until then it
/// sends by the old one. What it has sent when the lowered one reaches it, it has sent with no more acknowledgements than
/// had been given when that was announced; so whatever comes beyond those and the old credit was sent by the new one.
#[derive(Debug, Default)]
struct Allowance {
    bytes: u64,
    announced_bytes: u64,
    /// Once so much has arrived, the announced credit alone counts.
    until_arrived: Option<u64>,
    arrived_bytes: u64,
    acknowledged_bytes: u64,
}

impl Allowance {
    fn announce(&mut self, credit_bytes: u64) {
        self.announced_bytes = credit_bytes;
        if credit_bytes >= self.bytes {
            self.bytes = credit_bytes;
            self.until_arrived = None;
        } else {
            self.until_arrived = Some(self.acknowledged_bytes.saturating_add(self.bytes));
        }
    }

    fn batch_begins(&mut self) {
        if self.until_arrived.is_some_and(|until| self.arrived_bytes >= until) {
            self.bytes = self.announced_bytes;
            self.until_arrived = None;
        }
    }
}

#[derive(Debug)]
enum Phase {
    Open,
    Ended,
    Stopped { is_told: bool },
    Failed { error: RouteError, is_told: bool },
}

impl ReceiveState {
    /// Without a reader, and so without credit.
    pub(crate) fn new(route: RouteKey) -> Self {
        ReceiveState {
            route,
            phase: Phase::Open,
            credit_bytes: 0,
            is_credit_new: false,
            allowance: Allowance::default(),
            buffered_bytes: 0,
            unacknowledged_bytes: 0,
            batch_bytes: 0,
            is_batch_alone: false,
            is_within_batch: false,
        }
    }

    /// A reader is there, or its query has got more or fewer routes.
    pub(crate) fn set_credit(&mut self, bytes: u64) {
        self.is_credit_new |= bytes != self.credit_bytes;
        self.credit_bytes = bytes;
    }

    pub(crate) fn credit_bytes(&self) -> u64 {
        self.credit_bytes
    }

    /// The sender's word.
    pub(crate) fn receive(&mut self, message: ToReceiver) -> Arrival {
        match (&self.phase, message) {
            (Phase::Open, ToReceiver::Data { bytes, is_last }) => self.data(bytes, is_last),
            (Phase::Open, ToReceiver::End) if self.is_within_batch => {
                self.break_rules("the stream ended within a batch");
                Arrival::Drop
            }
            (Phase::Open, ToReceiver::End) => {
                self.phase = Phase::Ended;
                Arrival::Keep
            }
            (Phase::Open, ToReceiver::Fail(error)) => {
                self.buffered_bytes = 0;
                self.phase = Phase::Failed { error, is_told: true };
                Arrival::Keep
            }
            (Phase::Ended, ToReceiver::Data { .. }) => {
                self.break_rules("data after the end-of-stream");
                Arrival::Drop
            }
            _ => Arrival::Drop,
        }
    }

    fn data(&mut self, bytes: u64, is_last: bool) -> Arrival {
        assert!(bytes > 0, "a message counts something");
        let held = self.buffered_bytes.saturating_add(self.unacknowledged_bytes);
        if !self.is_within_batch {
            self.is_batch_alone = held == 0;
            self.batch_bytes = 0;
            self.allowance.batch_begins();
        }
        self.is_within_batch = !is_last;
        self.batch_bytes = self.batch_bytes.saturating_add(bytes);
        let (held, allowed) = (held.saturating_add(bytes), self.allowance.bytes);
        if self.batch_bytes > BATCH_BYTES_MAX {
            self.break_rules(&format!("a batch is larger than {BATCH_BYTES_MAX} bytes"));
            return Arrival::Drop;
        }
        if held > allowed && !self.is_batch_alone {
            self.break_rules(&format!("the sender has {held} bytes under way, its credit is {allowed}"));
            return Arrival::Drop;
        }
        self.buffered_bytes += bytes;
        self.allowance.arrived_bytes = self.allowance.arrived_bytes.saturating_add(bytes);
        Arrival::Keep
    }

    fn break_rules(&mut self, message: &str) {
        self.fail(RouteError::Protocol { route: self.route, message: message.into() });
    }

    /// The reader took something that had arrived.
    ///
    /// # Panics
    /// If it had not, or was lost since.
    pub(crate) fn take(&mut self, bytes: u64) {
        assert!(bytes <= self.buffered_bytes, "only what is buffered can be taken");
        self.buffered_bytes -= bytes;
        self.unacknowledged_bytes += bytes;
    }

    /// The reader has gone.
    pub(crate) fn stop(&mut self) {
        self.buffered_bytes = 0;
        match self.phase {
            Phase::Open => self.phase = Phase::Stopped { is_told: false },
            Phase::Ended => self.phase = Phase::Stopped { is_told: true },
            Phase::Stopped { .. } | Phase::Failed { .. } => {}
        }
    }

    /// The receiver's side fails the route; the sender is told. What has arrived is lost, even an end-of-stream.
    pub(crate) fn fail(&mut self, error: RouteError) {
        self.buffered_bytes = 0;
        match self.phase {
            Phase::Open => self.phase = Phase::Failed { error, is_told: false },
            Phase::Ended => self.phase = Phase::Failed { error, is_told: true },
            Phase::Stopped { .. } | Phase::Failed { .. } => {}
        }
    }

    /// What the sender must be told next.
    pub(crate) fn next_message(&mut self) -> Option<ToSender> {
        let is_due = self.is_acknowledgement_due();
        match &mut self.phase {
            Phase::Open if self.is_credit_new => {
                self.is_credit_new = false;
                self.allowance.announce(self.credit_bytes);
                Some(ToSender::Credit(self.credit_bytes))
            }
            Phase::Open if is_due => {
                let taken = std::mem::take(&mut self.unacknowledged_bytes);
                self.allowance.acknowledged_bytes = self.allowance.acknowledged_bytes.saturating_add(taken);
                Some(ToSender::Taken(taken))
            }
            Phase::Stopped { is_told } if !*is_told => {
                *is_told = true;
                Some(ToSender::Stop)
            }
            Phase::Failed { error, is_told } if !*is_told => {
                *is_told = true;
                Some(ToSender::Fail(error.clone()))
            }
            _ => None,
        }
    }

    /// Whether [`ReceiveState::next_message`] has one, or never will again: either is news to who waits for it.
    pub(crate) fn has_news(&self) -> bool {
        !self.is_open() || self.is_credit_new || self.is_acknowledgement_due()
    }

    /// A quarter of the credit at a time: the sender goes on early, and few messages are sent.
    fn is_acknowledgement_due(&self) -> bool {
        let taken = self.unacknowledged_bytes;
        taken > 0 && (self.buffered_bytes == 0 || taken >= self.credit_bytes / 4)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match &self.phase {
            Phase::Open => Outcome::Open,
            Phase::Ended | Phase::Stopped { .. } => Outcome::Ended,
            Phase::Failed { error, .. } => Outcome::Failed(error.clone()),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(crate) fn buffered_bytes(&self) -> u64 {
        self.buffered_bytes
    }
}
