//! What clients of the PostgreSQL protocol send: the packet that opens a connection, answers to authentication, and messages.
//!
//! The first byte of an input chooses what it is; the second: the rest as it is, or a good one with the rest as changes to it.
#![no_main]

use damson_fuzz::{keep_panics, run};
use damson_pg::fuzzing::{authentication, edited, message, opening, valid_messages, valid_openings};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static OPENINGS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(valid_openings);
static MESSAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(valid_messages);

fuzz_target!(init: keep_panics(), |input: &[u8]| {
    let [what, which, rest @ ..] = input else { return };
    let good = if what % 3 == 0 { &OPENINGS } else { &MESSAGES };
    let bytes = match good.get(usize::from(*which)) {
        Some(good) => edited(good, rest),
        None => rest.to_vec(),
    };
    run(move || {
        _ = match what % 3 {
            0 => opening(&bytes),
            1 => message(&bytes),
            // Without its kind.
            _ => authentication(bytes.get(1..).unwrap_or_default()),
        }
    });
});
