//! Named places in the code where a test can end the process, as a kill would, or have the system refuse what is asked of it.

use std::io;
use std::path::PathBuf;
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

/// The environment variable that names a directory of faults: see [`fault`].
pub const FAULTS: &str = "DAMSON_FAULTS";

static FAULTS_DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Fails as the system would, while the directory that [`FAULTS`] names has a file called `name`, which holds the number of the system's
/// error: 28 for a full disk. Otherwise it costs one load.
///
/// # Errors
/// That error.
pub fn fault(name: &str) -> io::Result<()> {
    let directory = FAULTS_DIRECTORY.get_or_init(|| std::env::var_os(FAULTS).map(PathBuf::from));
    let Some(directory) = directory else { return Ok(()) };
    match std::fs::read_to_string(directory.join(name)).ok().and_then(|number| number.trim().parse().ok()) {
        Some(number) => Err(io::Error::from_raw_os_error(number)),
        None => Ok(()),
    }
}
