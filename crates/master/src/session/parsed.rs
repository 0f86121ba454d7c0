//! What a session has parsed and may be asked for again: prepared statements, and those that a protocol looks at, describes and runs.

use super::Session;
use crate::error::SqlResult;
use crate::sql::{self, Statement};
use std::sync::Arc;

impl Session {
    /// The text's one statement, parsed unless the session has it still.
    ///
    /// # Errors
    /// As [`sql::parse`].
    pub(crate) fn parse(&self, text: &str) -> SqlResult<Arc<Statement>> {
        if let Some(known) = self.parsed.lock().get(text) {
            return Ok(known);
        }
        let statement = Arc::new(sql::parse(text)?);
        if is_kept(&statement) {
            self.parsed.lock().insert(text, Arc::clone(&statement));
        }
        Ok(statement)
    }
}

/// What is asked for again and again. Others may hold secrets.
fn is_kept(statement: &Statement) -> bool {
    matches!(statement, Statement::Query(_) | Statement::Insert(_) | Statement::Modify(_) | Statement::Merge(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_a_secret_is_not_kept() {
        let keeps = |text: &str| is_kept(&sql::parse(text).unwrap());
        assert!(keeps("SELECT k FROM t WHERE k = $1") && keeps("INSERT INTO t VALUES ($1)"));
        assert!(keeps("UPDATE t SET v = $1 WHERE k = $2") && keeps("DELETE FROM t WHERE k = $1"));
        assert!(!keeps("CREATE ROLE r PASSWORD 'x'") && !keeps("SET search_path TO s") && !keeps("BEGIN"));
    }
}
