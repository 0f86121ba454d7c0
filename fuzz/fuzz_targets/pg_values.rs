//! Values that clients bind to parameters, or send to COPY, in the text and the binary format of each type.
//!
//! The first byte of an input chooses a good value, whose type is asked for and to which the rest is changes, or the type alone, of which the
//! rest is the value.
#![no_main]

use damson_fuzz::{keep_panics, run};
use damson_pg::fuzzing::{edited, valid_values, value};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static VALUES: LazyLock<Vec<(usize, Vec<u8>)>> = LazyLock::new(valid_values);

fuzz_target!(init: keep_panics(), |input: &[u8]| {
    let [which, rest @ ..] = input else { return };
    let (kind, bytes) = match VALUES.get(usize::from(*which)) {
        Some((kind, good)) => (*kind, edited(good, rest)),
        None => (usize::from(*which), rest.to_vec()),
    };
    run(move || _ = value(kind, &bytes));
});
