//! What spill files promise: a limit that holds for all together, space that is given back, errors that can be told apart.

use super::*;
use arrow::error::ArrowError;
use std::io::Write;
use std::sync::Arc;

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

fn files_in(directory: &Path) -> usize {
    let below = std::fs::read_dir(directory).expect("the spill directory");
    below.map(|entry| std::fs::read_dir(entry.expect("an entry").path()).expect("DataFusion's directory").count()).sum()
}

/// As Arrow's writer hands it on.
fn through_arrow(error: io::Error) -> DataFusionError {
    DataFusionError::from(ArrowError::from(error))
}

fn state(error: &DataFusionError) -> Option<&'static str> {
    SpillError::find(error).map(SpillError::sqlstate)
}

#[test]
fn all_files_together_keep_the_limit_and_give_it_back() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let files = SpillFiles::new(directory.path(), Some(2 << 20)).expect("a directory to spill to");
    let (first, second) = (files.create_temp_file("a").unwrap(), files.create_temp_file("b").unwrap());
    first.open_writer().unwrap().write_all(&vec![1; 1 << 20]).expect("half of it");
    let mut writer = second.open_writer().unwrap();
    writer.write_all(&vec![2; 1 << 20]).expect("the other half");
    for _ in 0..3 {
        let error = through_arrow(writer.write_all(&[3]).unwrap_err());
        assert_eq!(state(&error), Some("53400"), "{error}");
        assert!(error.to_string().contains("limit of 2 MiB (--spill-limit)"), "{error}");
    }
    assert_eq!(files_in(directory.path()), 2);
    drop(first);
    assert_eq!(files_in(directory.path()), 1);
    writer.write_all(&vec![3; 1 << 20]).expect("the first file's space");
    drop((writer, second));
    assert_eq!(files_in(directory.path()), 0);
    assert_eq!(files.space.used_bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_was_written_is_read() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let files = SpillFiles::new(directory.path(), None).expect("a directory to spill to");
    let file = files.create_temp_file("a").unwrap();
    let text: Vec<u8> = (0..300_000_u32).map(|at| at as u8).collect();
    let mut writer = file.open_writer().unwrap();
    writer.write_all(&text).unwrap();
    writer.finish().unwrap();
    assert_eq!(file.size(), Some(text.len() as u64));
    let chunks: Vec<_> = file.read_stream().unwrap().collect().await;
    let read: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap()).collect();
    assert!(read == text);
}

/// A disk that is full, or fails.
struct Broken(i32);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        // As DataFusion's writer says it.
        Err(DataFusionError::IoError(io::Error::from_raw_os_error(self.0)).into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpillWriter for Broken {
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_from_a_broken_one_and_takes_no_space() {
    let space = Arc::new(Space { used_bytes: AtomicU64::new(0), bytes_max: None });
    for (number, wanted) in [(ENOSPC, "53100"), (EIO, "58030")] {
        let part = Arc::new(Part { space: Arc::clone(&space), bytes: AtomicU64::new(0) });
        let place = Place { directory: "/disk/spill".into() };
        let mut writer = LimitedWriter { inner: Box::new(Broken(number)), place, part };
        let error = through_arrow(writer.write_all(&[1; 1000]).unwrap_err());
        assert_eq!(state(&error), Some(wanted), "{error}");
        let found = SpillError::find(&error).expect("found").to_string();
        assert!(found.starts_with("could not write a spill file in /disk/spill: "), "{found}");
        assert!(found.ends_with(&format!("(os error {number})")), "{found}");
        assert_eq!(space.used_bytes.load(Ordering::Relaxed), 0);
        for wrapped in [
            DataFusionError::Shared(Arc::new(through_arrow(writer.write_all(&[1]).unwrap_err()))),
            DataFusionError::Collection(vec![DataFusionError::Execution("x".into()), error]),
        ] {
            assert_eq!(state(&wrapped.context("sort")), Some(wanted));
        }
    }
    assert_eq!(state(&DataFusionError::ResourcesExhausted("memory".into())), None);
}

#[test]
fn a_directory_that_is_gone_is_said() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let files = SpillFiles::new(directory.path(), None).expect("a directory to spill to");
    std::fs::remove_dir_all(directory.path()).expect("it is ours");
    let error = files.create_temp_file("a").err().expect("nowhere to be");
    assert_eq!(state(&error), Some("58030"), "{error}");
}
