//! Who says whether clients may retrieve rows from segments.

use damson_interconnect::ControlHandler;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Flight SQL's answers to segments, for as long as it serves. Clones are of the same.
#[derive(Clone, Default)]
pub(crate) struct RetrieveGate(Arc<Mutex<Option<Weak<dyn ControlHandler>>>>);

impl RetrieveGate {
    pub(crate) fn set(&self, handler: Weak<dyn ControlHandler>) {
        *self.0.lock() = Some(handler);
    }

    pub(crate) fn get(&self) -> Option<Arc<dyn ControlHandler>> {
        self.0.lock().as_ref()?.upgrade()
    }
}
