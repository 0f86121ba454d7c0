//! Who a client is: rules, passwords, and what they are checked by. Every protocol asks [`Authenticator`].

mod authenticator;
mod exchange;
mod hba;
mod scram;
mod throttle;
mod valid_until;

pub use authenticator::{Authenticator, Demand, HbaSource};
pub use exchange::ScramExchange;
pub use hba::{HbaError, HbaRules, Method, Peer};
pub use scram::{ScramVerifier, hash_password, is_verifier};
pub(crate) use valid_until::ValidUntil;
