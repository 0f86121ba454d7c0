//! The sending end of a route.

use super::ToSender;
use crate::RouteError;

/// Whether a batch may be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Send,
    /// The credit is spent.
    Wait,
    /// The receiver wants no more.
    Stopped,
    Failed(RouteError),
}

#[derive(Debug)]
pub(crate) struct SendState {
    credit_bytes: u64,
    /// What the sender itself allows.
    window_bytes: u64,
    unacknowledged_bytes: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// The end-of-stream, or a failure, was sent.
    Ended,
    Stopped,
    Failed(RouteError),
}

impl SendState {
    /// Without credit: one batch may go ahead of the receiver's first word.
    pub(crate) fn new() -> Self {
        SendState { credit_bytes: 0, window_bytes: u64::MAX, unacknowledged_bytes: 0, phase: Phase::Open }
    }

    /// Allows fewer bytes under way than the credit, or no longer.
    pub(crate) fn set_window(&mut self, bytes: u64) {
        self.window_bytes = bytes;
    }

    pub(crate) fn admit(&self, bytes: u64) -> Admission {
        match &self.phase {
            Phase::Open => {
                let unacknowledged = self.unacknowledged_bytes;
                if unacknowledged == 0 || unacknowledged + bytes <= self.credit_bytes.min(self.window_bytes) {
                    Admission::Send
                } else {
                    Admission::Wait
                }
            }
            Phase::Ended => panic!("nothing is sent after the end-of-stream"),
            Phase::Stopped => Admission::Stopped,
            Phase::Failed(error) => Admission::Failed(error.clone()),
        }
    }

    /// Notes a batch that was admitted and sent.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.unacknowledged_bytes += bytes;
    }

    /// Ends the route, by end-of-stream or by the sender's own failure. False if there is nobody to tell any more.
    pub(crate) fn end(&mut self) -> bool {
        let is_open = self.is_open();
        if is_open {
            self.phase = Phase::Ended;
        }
        is_open
    }

    /// The receiver's word.
    pub(crate) fn receive(&mut self, message: ToSender) {
        match message {
            ToSender::Credit(bytes) => self.credit_bytes = bytes,
            ToSender::Taken(bytes) => self.unacknowledged_bytes = self.unacknowledged_bytes.saturating_sub(bytes),
            ToSender::Stop if self.is_open() => self.phase = Phase::Stopped,
            ToSender::Fail(error) => self.fail(error),
            ToSender::Stop => {}
        }
    }

    /// The route broke under the sender.
    pub(crate) fn fail(&mut self, error: RouteError) {
        if self.is_open() {
            self.phase = Phase::Failed(error);
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    pub(crate) fn error(&self) -> Option<&RouteError> {
        match &self.phase {
            Phase::Failed(error) => Some(error),
            _ => None,
        }
    }
}
