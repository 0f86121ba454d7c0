//! Blocks on a disk: one file of slots. A slot says which block it has, and a checksum over that and its bytes is compared whenever it is
//! read, so that nothing has to be synced, and a slot that is written while it is read is as one that has nothing.
//!
//! A slot: 4,096 bytes that begin with the magic, the object's hash (u128), the block's number (u32), its bytes (u32) and XXH3-64 of what
//! comes before it and of the block, all little-endian; then the block.

use super::slots::{BlockKey, Slots};
use crate::limits::RANGE_BLOCK_BYTES;
use bytes::Bytes;
use parking_lot::Mutex;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 8] = b"DMSNRNG1";
/// A page, so that blocks begin at one.
const HEAD_BYTES: usize = 4096;
/// Of the head, what is used, and what the checksum covers of it.
const HEAD_USED: usize = 40;
const HEAD_SUMMED: usize = 32;
const SLOT_BYTES: u64 = HEAD_BYTES as u64 + RANGE_BLOCK_BYTES;
/// The file's name in its directory.
const FILE: &str = "ranges";

#[derive(Debug)]
pub(super) struct DiskBlocks {
    file: File,
    slots: Mutex<Slots>,
    capacity_bytes: u64,
    has_failed: AtomicBool,
}

impl DiskBlocks {
    /// Opens the blocks of a directory, which is made where it is missing. What is there of a larger one is cut off. Blocks.
    ///
    /// # Errors
    /// A directory that cannot be used, or is used by another process; room for less than one block.
    pub(super) fn open(directory: &Path, capacity_bytes: u64) -> io::Result<Self> {
        let limit = u32::try_from(capacity_bytes / SLOT_BYTES).unwrap_or(u32::MAX);
        if limit == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has no room for a block"));
        }
        fs::create_dir_all(directory)?;
        let file = File::options().read(true).write(true).create(true).truncate(false).open(directory.join(FILE))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it"),
            TryLockError::Error(error) => error,
        })?;
        let most = u64::from(limit) * SLOT_BYTES;
        let bytes = file.metadata()?.len().min(most);
        file.set_len(bytes)?;
        let mut slots = Slots::new(limit as usize);
        // The last block may be shorter than its slot.
        for slot in 0..bytes.div_ceil(SLOT_BYTES) {
            let mut head = [0; HEAD_USED];
            match file.read_exact_at(&mut head, slot * SLOT_BYTES) {
                Ok(()) => slots.restore(key_of(&head)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => slots.restore(None),
                Err(error) => return Err(error),
            }
        }
        Ok(DiskBlocks { file, slots: Mutex::new(slots), capacity_bytes: most, has_failed: AtomicBool::new(false) })
    }

    pub(super) fn contains(&self, key: &BlockKey) -> bool {
        self.slots.lock().contains(key)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.slots.lock().len() as u64 * SLOT_BYTES
    }

    pub(super) fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    pub(super) fn forget_object(&self, object: u128) {
        self.slots.lock().forget_object(object);
    }

    /// A block of this length; None if it is not there, or not what was written, and then it is forgotten. Blocks.
    pub(super) fn read(&self, key: &BlockKey, bytes: usize) -> Option<Bytes> {
        let slot = self.slots.lock().find(key)?;
        let mut read = vec![0; HEAD_BYTES + bytes];
        let found = self.file.read_exact_at(&mut read, u64::from(slot) * SLOT_BYTES);
        if let Err(error) = &found {
            tracing::debug!(%error, "could not read a block of the range cache");
        }
        if found.is_err() || read[..HEAD_USED] != head(key, &read[HEAD_BYTES..]) {
            self.slots.lock().forget(slot, key);
            return None;
        }
        Some(Bytes::from(read).slice(HEAD_BYTES..))
    }

    /// Takes a block of at most [`RANGE_BLOCK_BYTES`]; a disk that does not is as one that has forgotten it. Blocks.
    pub(super) fn write(&self, key: BlockKey, block: &[u8]) {
        debug_assert!(block.len() as u64 <= RANGE_BLOCK_BYTES);
        let Some(slot) = self.slots.lock().take(&key) else { return };
        let at = u64::from(slot) * SLOT_BYTES;
        let written = self.file.write_all_at(block, at + HEAD_BYTES as u64);
        let written = written.and_then(|()| self.file.write_all_at(&head(&key, block), at));
        match written {
            Ok(()) => self.slots.lock().publish(slot, key),
            Err(error) => {
                // A full disk says so for each block.
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "could not write to the range cache");
                }
                self.slots.lock().give_back(slot);
            }
        }
    }
}

fn head(key: &BlockKey, block: &[u8]) -> [u8; HEAD_USED] {
    let mut head = [0; HEAD_USED];
    head[..8].copy_from_slice(MAGIC);
    head[8..24].copy_from_slice(&key.object.to_le_bytes());
    head[24..28].copy_from_slice(&key.block.to_le_bytes());
    head[28..32].copy_from_slice(&(block.len() as u32).to_le_bytes());
    let mut hasher = Xxh3::new();
    hasher.update(&head[..HEAD_SUMMED]);
    hasher.update(block);
    head[HEAD_SUMMED..].copy_from_slice(&hasher.digest().to_le_bytes());
    head
}

/// What a slot says that it has.
fn key_of(head: &[u8; HEAD_USED]) -> Option<BlockKey> {
    let object = head[8..24].try_into().ok().map(u128::from_le_bytes)?;
    let block = head[24..28].try_into().ok().map(u32::from_le_bytes)?;
    head.starts_with(MAGIC).then_some(BlockKey { object, block })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = RANGE_BLOCK_BYTES as usize;

    fn key(block: u32) -> BlockKey {
        BlockKey { object: (7 << 100) | 3, block }
    }

    fn block(block: u32, bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at as u32 ^ (block.wrapping_mul(2_654_435_761) >> 7)) as u8).collect()
    }

    #[test]
    fn blocks_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = DiskBlocks::open(dir.path(), 4 * SLOT_BYTES).unwrap();
        blocks.write(key(0), &block(0, BLOCK));
        blocks.write(key(1), &block(1, 5000));
        assert_eq!(blocks.read(&key(0), BLOCK).unwrap(), block(0, BLOCK));
        assert!(blocks.read(&key(2), BLOCK).is_none());
        // Two processes would write into each other's slots.
        assert_eq!(DiskBlocks::open(dir.path(), SLOT_BYTES).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        drop(blocks);
        let blocks = DiskBlocks::open(dir.path(), 4 * SLOT_BYTES).unwrap();
        assert_eq!(blocks.read(&key(1), 5000).unwrap(), block(1, 5000));
        assert_eq!(blocks.read(&key(0), BLOCK).unwrap(), block(0, BLOCK));
        assert_eq!(blocks.bytes(), 2 * SLOT_BYTES);
    }

    #[test]
    fn the_file_is_bounded_also_when_it_becomes_smaller() {
        let dir = tempfile::tempdir().unwrap();
        let length = || fs::metadata(dir.path().join(FILE)).unwrap().len();
        let blocks = DiskBlocks::open(dir.path(), 4 * SLOT_BYTES + 17).unwrap();
        for number in 0..20 {
            blocks.write(key(number), &block(number, BLOCK));
            assert_eq!(blocks.read(&key(number), BLOCK).unwrap(), block(number, BLOCK));
            assert!(length() <= 4 * SLOT_BYTES);
        }
        assert_eq!(blocks.bytes(), blocks.capacity_bytes());
        drop(blocks);
        let blocks = DiskBlocks::open(dir.path(), 2 * SLOT_BYTES).unwrap();
        assert_eq!((length(), blocks.bytes()), (2 * SLOT_BYTES, 2 * SLOT_BYTES));
        assert!(DiskBlocks::open(&dir.path().join("other"), SLOT_BYTES - 1).is_err());
    }

    #[test]
    fn damage_is_a_miss_and_the_slot_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = DiskBlocks::open(dir.path(), 2 * SLOT_BYTES).unwrap();
        for at in [3, 9, 26, 30, 35, HEAD_BYTES as u64, SLOT_BYTES - 1] {
            blocks.write(key(0), &block(0, BLOCK));
            let mut byte = [0];
            blocks.file.read_exact_at(&mut byte, at).unwrap();
            blocks.file.write_all_at(&[byte[0] ^ 16], at).unwrap();
            assert!(blocks.read(&key(0), BLOCK).is_none(), "byte {at}");
            assert!(!blocks.contains(&key(0)) && blocks.bytes() == 0);
        }
        // Cut off below the running process.
        blocks.write(key(1), &block(1, BLOCK));
        blocks.file.set_len(100).unwrap();
        assert!(blocks.read(&key(1), BLOCK).is_none());
        blocks.write(key(1), &block(1, BLOCK));
        assert_eq!(blocks.read(&key(1), BLOCK).unwrap(), block(1, BLOCK));
        // Of another length than the file has.
        assert!(blocks.read(&key(1), BLOCK - 1).is_none());
    }
}
