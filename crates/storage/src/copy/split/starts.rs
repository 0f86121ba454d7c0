//! Where the records begin at which a file is cut.
//!
//! The file is looked through in pieces at the same time. What state a piece begins in is known only when all before it are done, so each is
//! looked through from every state that there is; then the right ones are put together, from the file's start on. Text that has a mark of its
//! data's end has no records after that.

use crate::StorageError;
use crate::copy::csv::Form;
use crate::copy::newline::{end_byte, newline_of};
use crate::copy::scanner::Scanner;
use crate::limits::{COPY_BLOCK_BYTES, FIRST_READ_BYTES, SPLIT_PIECE_BYTES, SPLIT_PIECES_AT_ONCE};
use crate::source::{SourceFile, await_read};
use damson_cluster::{CopyFile, Newline, SourceAccess};
use datafusion::common::runtime::SpawnedTask;
use futures::{StreamExt, TryStreamExt, stream};
use std::io;
use std::ops::Range;

/// Bytes of a block after which scanners are compared.
const UNITE_BYTES: usize = 1024;

/// A piece, by the state that it begins in.
struct Found {
    /// The state after it.
    end: usize,
    /// Where the first record begins whose end of the one before is in the piece.
    first: Option<u64>,
    /// The data's end is in the piece, after `first`.
    has_ended: bool,
}

/// Where a file is cut.
pub(super) struct Starts {
    /// For each target the first record start at or after it; the file's length if none is.
    pub starts: Vec<u64>,
    /// None: of a file that is not looked into, or not of this kind.
    pub newline: Option<Newline>,
}

/// Cuts a file at the ascending `targets`. `form`: None where every line feed ends a record.
///
/// # Errors
/// As [`SourceFile::open`] and its reads.
pub(super) async fn record_starts(
    file: &CopyFile,
    form: Option<Form>,
    targets: &[u64],
    access: &SourceAccess,
) -> Result<Starts, StorageError> {
    let mut starts = vec![0; targets.iter().take_while(|&&target| target == 0).count()];
    let targets = &targets[starts.len()..];
    if targets.is_empty() {
        return Ok(Starts { starts, newline: None });
    }
    let source = SourceFile::open(file, access).await?;
    let newline = match form {
        Some(form) => Some(newline_of(&source, form).await?),
        None => None,
    };
    let scanner = Scanner::new(form, newline.map_or(b'\n', end_byte));
    let found = starts_from(&source, &scanner, targets).await?;
    starts.extend(found.into_iter().map(|start| start.unwrap_or(file.bytes)));
    Ok(Starts { starts, newline })
}

/// For each target the first record start at or after it.
async fn starts_from(
    source: &SourceFile,
    scanner: &Scanner,
    targets: &[u64],
) -> Result<Vec<Option<u64>>, StorageError> {
    // Where every line end ends a record, nothing before a target matters.
    if let [only] = &scanner.all_states()[..] {
        let found = targets.iter().map(|&target| first_from(source, only.clone(), target - 1)).collect::<Vec<_>>();
        return stream::iter(found).buffered(SPLIT_PIECES_AT_ONCE).try_collect().await;
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
    let mut starts = Vec::with_capacity(targets.len());
    let (mut state, mut waiting) = (0, 0);
    let mut coming = targets.iter().peekable();
    for (&at, piece) in points.iter().zip(pieces) {
        while coming.next_if(|&&target| target - 1 == at).is_some() {
            waiting += 1;
        }
        let found = &piece[state];
        if let Some(first) = found.first.filter(|_| waiting > 0) {
            starts.extend(std::iter::repeat_n(Some(first), waiting));
            waiting = 0;
        }
        if found.has_ended {
            starts.resize(targets.len(), None);
            return Ok(starts);
        }
        state = found.end;
    }
    // The last target, and those before it that no record's end has answered yet.
    waiting += coming.count();
    if let Some(last) = targets.last() {
        let first = first_from(source, scanner.all_states().swap_remove(state), last - 1).await?;
        starts.extend(std::iter::repeat_n(first, waiting));
    }
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

/// Scanners that began in different states and are in the same one now, so that one of them is enough.
struct Way {
    scanner: Scanner,
    /// By the state that one began in: see [`Found::first`].
    firsts: Vec<(usize, Option<u64>)>,
}

impl Way {
    fn pass(&mut self, offset: u64, bytes: &[u8]) {
        let mut rest = bytes;
        if self.firsts.iter().any(|(_, first)| first.is_none()) {
            let Some(length) = self.scanner.pass_record_end(rest) else { return };
            let unknown = self.firsts.iter_mut().filter(|(_, first)| first.is_none());
            unknown.for_each(|(_, first)| *first = Some(offset + length as u64));
            rest = &rest[length..];
        }
        self.scanner.pass(rest);
    }
}

fn unite(ways: &mut Vec<Way>) {
    for from in (1..ways.len()).rev() {
        if let Some(to) = (0..from).find(|&to| ways[to].scanner == ways[from].scanner) {
            let Way { firsts, .. } = ways.swap_remove(from);
            ways[to].firsts.extend(firsts);
        }
    }
}

/// By state.
async fn look_through(source: &SourceFile, scanner: &Scanner, range: Range<u64>) -> Result<Vec<Found>, StorageError> {
    let states = scanner.all_states().into_iter().enumerate();
    let mut ways: Vec<Way> = states.map(|(begin, scanner)| Way { scanner, firsts: vec![(begin, None)] }).collect();
    let mut offset = range.start;
    while offset < range.end {
        let bytes = (range.end - offset).min(COPY_BLOCK_BYTES as u64) as usize;
        let block = await_read(source.begin_read(offset, bytes)).await?;
        if block.is_empty() {
            break;
        }
        // Ways that become one do so soon: what an escape takes is one byte.
        let (head, rest) = block.split_at(block.len().min(UNITE_BYTES));
        ways.iter_mut().for_each(|way| way.pass(offset, head));
        unite(&mut ways);
        ways.iter_mut().for_each(|way| way.pass(offset + head.len() as u64, rest));
        offset += block.len() as u64;
    }
    let found = |way: &Way, first| Found { end: way.scanner.state(), first, has_ended: way.scanner.has_ended() };
    let mut by_state: Vec<(usize, Found)> =
        ways.iter().flat_map(|way| way.firsts.iter().map(move |&(begin, first)| (begin, found(way, first)))).collect();
    by_state.sort_by_key(|&(begin, _)| begin);
    Ok(by_state.into_iter().map(|(_, found)| found).collect())
}

/// Where the first record begins after a line end at or after `offset`; None if there is none.
async fn first_from(source: &SourceFile, mut scanner: Scanner, mut offset: u64) -> Result<Option<u64>, StorageError> {
    let mut bytes = FIRST_READ_BYTES;
    loop {
        let block = await_read(source.begin_read(offset, bytes)).await?;
        if block.is_empty() {
            return Ok(None);
        }
        if let Some(length) = scanner.pass_record_end(&block) {
            return Ok(Some(offset + length as u64));
        }
        if scanner.has_ended() {
            return Ok(None);
        }
        offset += block.len() as u64;
        bytes = COPY_BLOCK_BYTES;
    }
}
