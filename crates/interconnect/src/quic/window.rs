//! How much a connection over loopback may have under way.

use crate::limits::LOOPBACK_WINDOW_BYTES;
use quinn::congestion::{Controller, ControllerFactory};
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

/// A congestion controller for loopback, where nothing is lost until the receiver's socket is full. An ordinary one would
/// grow until it fills it, over and over; this one keeps [`LOOPBACK_WINDOW_BYTES`] under way, and fewer only while they
/// do not fit.
#[derive(Clone)]
pub(super) struct LoopbackWindow {
    bytes: u64,
    mtu: u64,
    /// When the latest loss was noticed; others of the same time are part of it.
    shrunk: Option<Instant>,
}

/// Makes [`LoopbackWindow`]s.
pub(super) struct LoopbackWindows;

impl ControllerFactory for LoopbackWindows {
    fn build(self: Arc<Self>, _: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(LoopbackWindow { bytes: LOOPBACK_WINDOW_BYTES, mtu: mtu.into(), shrunk: None })
    }
}

impl Controller for LoopbackWindow {
    /// Acknowledgements come every two datagrams: the window grows by one datagram in the time of a window.
    fn on_end_acks(&mut self, _: Instant, _: u64, app_limited: bool, _: Option<u64>) {
        if !app_limited {
            let more = 2 * self.mtu * self.mtu / self.bytes;
            self.bytes = (self.bytes + more).min(LOOPBACK_WINDOW_BYTES);
        }
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, _: bool, _: u64) {
        if self.shrunk.is_none_or(|shrunk| sent > shrunk) {
            self.shrunk = Some(now);
            self.bytes = (self.bytes / 2).max(2 * self.mtu);
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.mtu = mtu.into();
        self.bytes = self.bytes.max(2 * self.mtu);
    }

    fn window(&self) -> u64 {
        self.bytes
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        LOOPBACK_WINDOW_BYTES
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_loss_halves_the_window_once_and_acknowledgements_restore_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut window = Arc::new(LoopbackWindows).build(start, 65_000);
        assert_eq!(window.window(), LOOPBACK_WINDOW_BYTES);
        window.on_congestion_event(at(10), at(1), false, 65_000);
        window.on_congestion_event(at(11), at(2), false, 65_000);
        assert_eq!(window.window(), LOOPBACK_WINDOW_BYTES / 2);
        window.on_end_acks(at(12), 0, true, None);
        assert_eq!(window.window(), LOOPBACK_WINDOW_BYTES / 2, "nobody wanted more");
        for _ in 0..100 {
            window.on_end_acks(at(13), 0, false, None);
        }
        assert_eq!(window.window(), LOOPBACK_WINDOW_BYTES);
        for ms in 20..40 {
            window.on_congestion_event(at(ms + 1), at(ms), false, 65_000);
        }
        assert_eq!(window.window(), 130_000, "two datagrams");
    }
}
