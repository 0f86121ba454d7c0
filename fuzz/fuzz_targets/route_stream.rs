//! A route's stream: the deframer on bytes in pieces of any size, then the decoder of batches.
//!
//! The first byte of an input chooses: the rest as it is, or a good stream with the rest as changes to it. The second is
//! the pieces' length.
#![no_main]

use damson_fuzz::{keep_panics, run};
use damson_interconnect::fuzzing::{edited, route_stream, valid_streams};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static STREAMS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(valid_streams);

fuzz_target!(init: keep_panics(), |input: &[u8]| {
    let [which, piece, rest @ ..] = input else { return };
    let (which, piece) = (usize::from(*which), usize::from(*piece));
    let stream = match STREAMS.get(which) {
        Some(stream) => edited(stream, rest),
        None => rest.to_vec(),
    };
    run(move || {
        let at_once = route_stream(&stream, []);
        assert_eq!(route_stream(&stream, std::iter::repeat(piece)), at_once);
    });
});
