//! The opening of a route, and what a receiver answers: the small messages, which are read before a peer has shown that it may
//! send at all.
//!
//! The first byte of an input chooses: the rest as it is, or a good message with the rest as changes to it.
#![no_main]

use damson_fuzz::{keep_panics, run};
use damson_interconnect::fuzzing::{answer, edited, opening, valid_answers, valid_openings};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static MESSAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| [valid_openings(), valid_answers()].concat());

fuzz_target!(init: keep_panics(), |input: &[u8]| {
    let [which, rest @ ..] = input else { return };
    let message = match MESSAGES.get(usize::from(*which)) {
        Some(message) => edited(message, rest),
        None => rest.to_vec(),
    };
    run(move || {
        opening(&message);
        answer(&message);
    });
});
