//! Where the records begin at which a file is cut.
//!
//! The file is looked through in pieces at the same time. What state a piece begins in is known only when all before it are done, so each is
//! looked through from every state that there is; then the right ones are put together, from the file's start on.

use super::scanner::Scanner;
use crate::StorageError;
use crate::limits::{COPY_BLOCK_BYTES, SPLIT_PIECE_BYTES, SPLIT_PIECES_AT_ONCE};
use crate::source::{SourceFile, await_read};
use damson_cluster::{CopyFile, SourceAccess};
use datafusion::common::runtime::SpawnedTask;
use futures::{StreamExt, TryStreamExt, stream};
use std::io;
use std::ops::Range;

/// A piece, by the state that it begins in.
struct Found {
    /// The state after it.
    end: usize,
    /// Where the first record begins whose end of the one before is in the piece.
    first: Option<u64>,
}

/// For each of the ascending `targets` the first record start at or after it; the file's length if none is.
///
/// # Errors
/// As [`SourceFile::open`] and its reads.
pub(super) async fn record_starts(
    file: &CopyFile,
    scanner: &Scanner,
    targets: &[u64],
    access: &SourceAccess,
) -> Result<Vec<u64>, StorageError> {
    let mut starts = vec![0; targets.iter().take_while(|&&target| target == 0).count()];
    let targets = &targets[starts.len()..];
    let Some(&last) = targets.last() else { return Ok(starts) };
    let source = SourceFile::open(file, access).await?;
    // Where every line end ends a record, nothing before a target matters.
    if let [only] = &scanner.all_states()[..] {
        let found = targets.iter().map(|&target| first_from(&source, only.clone(), target - 1)).collect::<Vec<_>>();
        let found = stream::iter(found).buffered(SPLIT_PIECES_AT_ONCE).try_collect();
        let found: Vec<Option<u64>> = found.await?;
        starts.extend(found.into_iter().map(|first| first.unwrap_or(file.bytes)));
        return Ok(starts);
    }
    let points = points(targets);
    let look = |piece: &[u64]| {
        let (source, scanner, range) = (source.clone(), scanner.clone(), piece[0]..piece[1]);
        async move {
            let work = SpawnedTask::spawn(async move { look_through(&source, &scanner, range).await });
            match work.join_unwind().await {
                Ok(found) => found,
                Err(shut_down) => Err(StorageError::io("read", "a file")(io::Error::other(shut_down))),
            }
        }
    };
    let pieces: Vec<Vec<Found>> =
        stream::iter(points.windows(2).map(look)).buffered(SPLIT_PIECES_AT_ONCE).try_collect().await?;

    // Put together: which targets still wait for a record's start.
    let (mut state, mut waiting) = (0, 0);
    let mut coming = targets.iter().peekable();
    for (&at, piece) in points.iter().zip(pieces) {
        while coming.next_if(|&&target| target - 1 == at).is_some() {
            waiting += 1;
        }
        let found = &piece[state];
        if let Some(first) = found.first.filter(|_| waiting > 0) {
            starts.extend(std::iter::repeat_n(first, waiting));
            waiting = 0;
        }
        state = found.end;
    }
    // The last target, and those before it that no record's end has answered yet.
    waiting += coming.count();
    let first = first_from(&source, scanner.all_states().swap_remove(state), last - 1).await?;
    starts.extend(std::iter::repeat_n(first.unwrap_or(file.bytes), waiting));
    Ok(starts)
}

/// Where pieces begin, and after them where the last one ends: one byte before the last target. The record start at a target follows a line
/// end at the byte before it, so a piece begins there.
fn points(targets: &[u64]) -> Vec<u64> {
    let last = targets.last().map_or(0, |target| target - 1);
    let mut points: Vec<u64> = (0..last).step_by(SPLIT_PIECE_BYTES as usize).collect();
    points.extend(targets.iter().map(|target| target - 1));
    points.sort_unstable();
    points.dedup();
    points
}

/// By state.
async fn look_through(source: &SourceFile, scanner: &Scanner, range: Range<u64>) -> Result<Vec<Found>, StorageError> {
    let mut scanners: Vec<(Scanner, Option<u64>)> =
        scanner.all_states().into_iter().map(|state| (state, None)).collect();
    let mut offset = range.start;
    while offset < range.end {
        let bytes = (range.end - offset).min(COPY_BLOCK_BYTES as u64) as usize;
        let block = await_read(source.begin_read(offset, bytes)).await?;
        if block.is_empty() {
            break;
        }
        for (scanner, first) in &mut scanners {
            let mut rest = &block[..];
            if first.is_none() {
                match scanner.pass_record_end(rest) {
                    Some(length) => {
                        *first = Some(offset + length as u64);
                        rest = &rest[length..];
                    }
                    None => continue,
                }
            }
            scanner.pass(rest);
        }
        offset += block.len() as u64;
    }
    Ok(scanners.into_iter().map(|(scanner, first)| Found { end: scanner.state(), first }).collect())
}

/// Where the first record begins after a line end at or after `offset`; None if there is none.
async fn first_from(source: &SourceFile, mut scanner: Scanner, mut offset: u64) -> Result<Option<u64>, StorageError> {
    // A record is seldom as long as a block.
    let mut bytes = COPY_BLOCK_BYTES / 64;
    loop {
        let block = await_read(source.begin_read(offset, bytes)).await?;
        if block.is_empty() {
            return Ok(None);
        }
        if let Some(length) = scanner.pass_record_end(&block) {
            return Ok(Some(offset + length as u64));
        }
        offset += block.len() as u64;
        bytes = COPY_BLOCK_BYTES;
    }
}
