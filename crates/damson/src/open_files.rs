//! How many files and connections a process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More than any process here has.
const OPEN_FILES_MAX: u64 = 1 << 20;

/// As many as the system lets this user have: a shell's usual limit is a tenth of a master's clients.
pub fn open_many_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(now, most)| {
        let wanted = most.min(OPEN_FILES_MAX);
        if now < wanted { setrlimit(Resource::RLIMIT_NOFILE, wanted, most) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays what it is");
    }
}
