//! The receiving end of a route.

use super::{ToReceiver, ToSender};
use crate::RouteError;
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
    /// The largest credit ever announced: a lowered one reaches the sender late.
    credit_bytes_peak: u64,
    is_credit_new: bool,
    /// Arrived and not taken.
    buffered_bytes: u64,
    /// Taken and not acknowledged.
    unacknowledged_bytes: u64,
    /// The batch whose messages arrive was the only one under way when it began, and so may exceed the credit.
    is_batch_alone: bool,
    is_within_batch: bool,
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
            credit_bytes_peak: 0,
            is_credit_new: false,
            buffered_bytes: 0,
            unacknowledged_bytes: 0,
            is_batch_alone: false,
            is_within_batch: false,
        }
    }

    /// A reader is there, or its query has got more or fewer routes.
    pub(crate) fn set_credit(&mut self, bytes: u64) {
        self.is_credit_new |= bytes != self.credit_bytes;
        self.credit_bytes = bytes;
        self.credit_bytes_peak = self.credit_bytes_peak.max(bytes);
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
        if !self.is_within_batch {
            self.is_batch_alone = self.buffered_bytes + self.unacknowledged_bytes == 0;
        }
        self.is_within_batch = !is_last;
        let held = self.buffered_bytes + self.unacknowledged_bytes + bytes;
        if held > self.credit_bytes_peak && !self.is_batch_alone {
            let peak = self.credit_bytes_peak;
            self.break_rules(&format!("the sender has {held} bytes under way, its credit is {peak}"));
            return Arrival::Drop;
        }
        self.buffered_bytes += bytes;
        Arrival::Keep
    }

    fn break_rules(&mut self, message: &str) {
        self.fail(RouteError::Protocol { route: self.route, message: message.into() });
    }

    /// The reader took something that had arrived.
    pub(crate) fn take(&mut self, bytes: u64) {
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
                Some(ToSender::Credit(self.credit_bytes))
            }
            Phase::Open if is_due => Some(ToSender::Taken(std::mem::take(&mut self.unacknowledged_bytes))),
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
