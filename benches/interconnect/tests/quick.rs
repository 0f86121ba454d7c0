//! Every measurement runs, over real processes, and finds what does not depend on the machine's speed.

use std::process::Command;

#[test]
fn everything_runs() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_damson-bench-interconnect")).arg("--quick").output().expect("it starts");
    let (text, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{log}");
    let with_verdict = |start: &str, verdict: &str| text.lines().any(|l| l.starts_with(start) && l.ends_with(verdict));
    assert!(with_verdict("Broadcast, Flight, TCP: encodings of a batch", "pass"), "{text}");
    assert!(with_verdict("Slow receiver, QUIC × 1: sender's memory", "pass"), "{text}");
    assert!(!text.contains("written:"), "a quick run is no report\n{text}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for arguments in [["--seconds", "0"], ["--rounds", "0"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_damson-bench-interconnect")).args(arguments).output();
        assert!(!output.expect("it starts").status.success(), "{arguments:?}");
    }
}
