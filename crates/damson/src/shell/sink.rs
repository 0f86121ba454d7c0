//! Where results go.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

/// Stdout, or the file that `\o` names; a clone is the same, and writes on where the others stopped.
#[derive(Clone, Debug, Default)]
pub(super) enum Sink {
    #[default]
    Stdout,
    File(Arc<File>),
}

impl Sink {
    /// A file, without what was in it.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn create(path: &str) -> io::Result<Self> {
        File::create(path).map(|file| Sink::File(Arc::new(file)))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Stdout => io::stdout().write(bytes),
            Sink::File(file) => (&**file).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Stdout => io::stdout().flush(),
            Sink::File(file) => (&**file).flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_write_one_after_the_other() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("out").display().to_string();
        std::fs::write(&path, "what was there").expect("room");
        let mut sink = Sink::create(&path).expect("a file");
        writeln!(sink.clone(), "a").expect("room");
        writeln!(sink, "b").expect("room");
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "a\nb\n");
        assert!(Sink::create("/no/such/directory/out").is_err());
    }
}
