//! Who a client is: passwords, and what they are checked by.

mod base64;
mod scram;

pub use scram::{ScramVerifier, hash_password, is_verifier};
