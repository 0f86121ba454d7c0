//! Connections that have not shown who they are: there are some, and no more.

use crate::limits::OPENINGS_MAX;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Every connection that opens. Of too many the oldest goes: a client needs some moments, and who keeps others out has to be quicker than
/// they are.
#[derive(Default)]
pub(crate) struct Openings {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    count: u64,
    /// In the order in which they came.
    by_number: BTreeMap<u64, CancellationToken>,
}

/// A connection that opens, until this is dropped.
pub(crate) struct Opens {
    number: u64,
    evicted: CancellationToken,
    all: Arc<Openings>,
}

impl Openings {
    pub(crate) fn enter(self: &Arc<Self>) -> Opens {
        let evicted = CancellationToken::new();
        let mut waiting = self.waiting.lock();
        if waiting.by_number.len() >= OPENINGS_MAX
            && let Some((_, oldest)) = waiting.by_number.pop_first()
        {
            oldest.cancel();
        }
        waiting.count += 1;
        let number = waiting.count;
        waiting.by_number.insert(number, evicted.clone());
        Opens { number, evicted, all: Arc::clone(self) }
    }
}

impl Opens {
    /// Waits until the connection has to go.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Opens {
    fn drop(&mut self) {
        self.all.waiting.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_oldest_goes() {
        let openings = Arc::new(Openings::default());
        let first = openings.enter();
        let mut others: Vec<Opens> = (1..OPENINGS_MAX).map(|_| openings.enter()).collect();
        let is_evicted = |opens: &Opens| opens.evicted.is_cancelled();
        assert!(!is_evicted(&first));
        others.push(openings.enter());
        assert!(is_evicted(&first) && !others.iter().any(is_evicted));
        // One that is let in makes room.
        others.remove(10);
        others.push(openings.enter());
        assert!(!others.iter().any(is_evicted));
        others.push(openings.enter());
        assert_eq!(others.iter().position(is_evicted), Some(0));
        drop((first, others));
        assert!(openings.waiting.lock().by_number.is_empty());
    }
}
