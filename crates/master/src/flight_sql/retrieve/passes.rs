//! Tokens of those who have logged in at a segment, where no session begins.

use crate::flight_sql::clients::Reader;
use crate::flight_sql::limits::{PASSES_MAX, STATEMENT_IDLE};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Instant;
use uuid::Uuid;

/// A master's. A token is good for as long as a ticket.
#[derive(Default)]
pub(crate) struct Passes(Mutex<HashMap<String, (Reader, Instant)>>);

impl Passes {
    /// A new token, as of `now`. Of too many the oldest goes.
    pub(crate) fn give(&self, reader: Reader, now: Instant) -> String {
        let mut passes = self.0.lock();
        passes.retain(|_, (_, given)| now.duration_since(*given) < STATEMENT_IDLE);
        if passes.len() >= PASSES_MAX {
            let oldest = passes.iter().min_by_key(|(_, (_, given))| *given).map(|(token, _)| token.clone());
            oldest.map(|token| passes.remove(&token));
        }
        let token = Uuid::new_v4().simple().to_string();
        passes.insert(token.clone(), (reader, now));
        token
    }

    pub(crate) fn find(&self, token: &str, now: Instant) -> Option<Reader> {
        let passes = self.0.lock();
        let (reader, given) = passes.get(token)?;
        (now.duration_since(*given) < STATEMENT_IDLE).then(|| reader.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::RoleId;
    use std::time::Duration;

    #[test]
    fn a_pass_is_good_for_a_while() {
        let (passes, now) = (Passes::default(), Instant::now());
        let reader = Reader { user: "u".into(), role: RoleId::BOOTSTRAP, is_encrypted: false };
        let token = passes.give(reader.clone(), now);
        assert_eq!(passes.find(&token, now), Some(reader.clone()));
        assert_eq!(passes.find("other", now), None);
        assert_eq!(passes.find(&token, now + STATEMENT_IDLE), None);
        passes.give(reader, now + STATEMENT_IDLE);
        assert_eq!(passes.0.lock().len(), 1, "what is over is forgotten");
    }

    #[test]
    fn of_too_many_the_oldest_goes() {
        let (passes, now) = (Passes::default(), Instant::now());
        let reader = |n: usize| Reader { user: n.to_string(), role: RoleId::BOOTSTRAP, is_encrypted: false };
        let tokens: Vec<_> =
            (0..=PASSES_MAX).map(|n| passes.give(reader(n), now + Duration::from_millis(n as u64 / 100))).collect();
        assert_eq!(passes.0.lock().len(), PASSES_MAX);
        let found = |at: usize| passes.find(&tokens[at], now + Duration::from_secs(1)).map(|reader| reader.user);
        assert_eq!(found(PASSES_MAX), Some(PASSES_MAX.to_string()));
        assert_eq!((0..100).filter(|at| found(*at).is_none()).count(), 1, "one of the first");
    }
}
