//! Named places in the code where a test can end the process, as a kill would.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that chooses one: `name`, or `name=3` for the third time that a process comes there.
pub const FAILPOINT: &str = "DAMSON_FAILPOINT";

struct Chosen {
    name: String,
    /// Times that it is passed before it ends the process.
    left: AtomicU64,
}

static CHOSEN: OnceLock<Option<Chosen>> = OnceLock::new();

/// Ends the process at once, without any clean-up, if [`FAILPOINT`] names this place. Otherwise it costs one load.
pub fn failpoint(name: &str) {
    let Some(chosen) = CHOSEN.get_or_init(chosen) else { return };
    if chosen.name == name && chosen.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        eprintln!("failpoint {name}: the process ends here");
        std::process::abort();
    }
}

fn chosen() -> Option<Chosen> {
    let text = std::env::var(FAILPOINT).ok()?;
    let (name, times) = text.split_once('=').unwrap_or((&text, "1"));
    let left = times.parse().ok().filter(|times| *times > 0)?;
    Some(Chosen { name: name.to_owned(), left: AtomicU64::new(left) })
}
