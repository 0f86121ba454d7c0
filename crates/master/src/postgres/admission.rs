//! Who is let in.

use crate::error::{SqlError, SqlState};
use std::net::IpAddr;

const INVALID_AUTHORIZATION: SqlState = SqlState("28000");

/// Lets anybody of this machine in, whatever the name, and nobody else: there are no passwords yet.
///
/// # Errors
/// 28000, in PostgreSQL's words.
pub(super) fn admit(peer: IpAddr, user: &str, database: &str) -> Result<(), SqlError> {
    if peer.to_canonical().is_loopback() {
        return Ok(());
    }
    let message =
        format!("no pg_hba.conf entry for host \"{peer}\", user \"{user}\", database \"{database}\", no encryption");
    Err(SqlError::new(INVALID_AUTHORIZATION, message)
        .with_hint("Connections are accepted from the master's own machine: there are no passwords yet."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_trusted() {
        for local in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(admit(local.parse().unwrap(), "u", "d").is_ok(), "{local}");
        }
        for other in ["10.0.0.1", "0.0.0.0", "::ffff:10.0.0.1", "fe80::1"] {
            assert_eq!(admit(other.parse().unwrap(), "u", "d").unwrap_err().state.0, "28000", "{other}");
        }
    }
}
