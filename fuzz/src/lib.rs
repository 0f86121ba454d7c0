//! What the fuzz targets share.

use std::panic::{self, UnwindSafe};
use std::sync::Mutex;

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Takes libfuzzer's place at panics: it would abort at those too that the code under test catches.
pub fn keep_panics() {
    panic::set_hook(Box::new(|panic| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = panic.to_string();
        }
    }));
}

/// Runs one input; a panic that gets here is a finding.
pub fn run(input: impl FnOnce() + UnwindSafe) {
    if panic::catch_unwind(input).is_err() {
        eprintln!("{}", LAST_PANIC.lock().map_or_else(|_| String::new(), |last| last.clone()));
        std::process::abort();
    }
}
