//! Rows that a client sends to COPY FROM STDIN: in text, in CSV and in binary, in pieces of any size.
//!
//! The first byte of an input chooses the format; the second is the pieces' length; the third: the rest as it is, or good rows with the rest
//! as changes to them.
#![no_main]

use damson_fuzz::{keep_panics, run};
use damson_pg::fuzzing::{LINE_STYLES, binary_rows, edited, lines, valid_binary_rows, valid_lines};
use libfuzzer_sys::fuzz_target;
use std::iter::repeat;
use std::sync::LazyLock;

static LINES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(valid_lines);
static BINARY: LazyLock<Vec<Vec<u8>>> = LazyLock::new(valid_binary_rows);

fuzz_target!(init: keep_panics(), |input: &[u8]| {
    let [format, piece, which, rest @ ..] = input else { return };
    let (format, piece) = (usize::from(*format) % (LINE_STYLES + 1), usize::from(*piece));
    let good = if format < LINE_STYLES { &LINES } else { &BINARY };
    let bytes = match good.get(usize::from(*which)) {
        Some(good) => edited(good, rest),
        None => rest.to_vec(),
    };
    run(move || {
        if format < LINE_STYLES {
            assert_eq!(lines(format, &bytes, repeat(piece)), lines(format, &bytes, []));
        } else {
            assert_eq!(binary_rows(2, &bytes, repeat(piece)), binary_rows(2, &bytes, []));
        }
    });
});
