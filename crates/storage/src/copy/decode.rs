//! Compressed text, and text in other encodings than UTF-8.
//!
//! A task reads the file, a thread decodes it; both end when nobody waits for the text any more.

use super::progress::CopyProgress;
use crate::StorageError;
use crate::limits::{COPY_BLOCK_BYTES, DECODE_READ_BYTES};
use crate::source::{SourceFile, await_read};
use bytes::{Buf, Bytes};
use damson_cluster::{Codec, Encoding};
use datafusion::common::runtime::SpawnedTask;
use encoding_rs::{Decoder, DecoderResult};
use lz4_flex::frame::FrameDecoder;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Text on its way.
pub(crate) struct Decoding {
    url: String,
    blocks: mpsc::Receiver<Result<Bytes, StorageError>>,
    /// The task that reads and the thread that decodes; none once they have ended.
    at_work: Vec<SpawnedTask<()>>,
}

impl Decoding {
    /// The next block; None at the end. An error is the last.
    ///
    /// # Panics
    /// If the task or the thread did.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, StorageError>> {
        if let Some(block) = self.blocks.recv().await {
            return Some(block);
        }
        // Work that was cut short must not look like the text's end.
        while let Some(task) = self.at_work.pop() {
            if let Err(shut_down) = task.join_unwind().await {
                return Some(Err(StorageError::io("decode", &self.url)(io::Error::other(shut_down))));
            }
        }
        None
    }
}

/// Begins to decode a whole file.
///
/// # Errors
/// 22023 for an encoding that nobody knows. The stream: the file's; 22P04 for what is not compressed so, or not to its end; 22021 for what is not
/// text of the encoding.
pub(crate) fn decode(
    file: SourceFile,
    codec: Codec,
    encoding: &Encoding,
    progress: Arc<CopyProgress>,
) -> Result<Decoding, StorageError> {
    let url = file.file().url.clone();
    let text = match encoding {
        Encoding::Utf8 => None,
        Encoding::Other(label) => {
            let known = encoding_rs::Encoding::for_label(label.as_bytes());
            let unknown = || StorageError::File {
                path: url.clone(),
                message: format!("\"{label}\" is not a valid encoding name"),
                sqlstate: "22023",
            };
            let known = known.ok_or_else(unknown)?;
            // Only of UTF-16 a mark says more than the name: what looks like one elsewhere may be text.
            let says_more = [encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(&known);
            Some(if says_more { known.new_decoder() } else { known.new_decoder_with_bom_removal() })
        }
    };
    let (read, arrived) = mpsc::channel(1);
    let (decoded, blocks) = mpsc::channel(1);
    let reading = SpawnedTask::spawn(read_all(file, read, progress));
    let (encoding, name) = (encoding.clone(), url.clone());
    // Ends by itself: when the text does, or when nobody takes it.
    let worker = SpawnedTask::spawn_blocking(move || {
        let source = Arrived { blocks: arrived, current: Bytes::new(), has_ended: false };
        let mut worker = Worker { url, codec, encoding, text, decoded };
        if let Err(error) = worker.run(source) {
            // Nobody waits for it: then nobody wants it.
            let _ = worker.decoded.blocking_send(Err(error));
        }
    });
    Ok(Decoding { url: name, blocks, at_work: vec![reading, worker] })
}

async fn read_all(file: SourceFile, read: mpsc::Sender<Result<Bytes, StorageError>>, progress: Arc<CopyProgress>) {
    let mut offset = 0;
    let mut next = Some(file.begin_read(0, DECODE_READ_BYTES));
    while let Some(task) = next.take() {
        let block = await_read(task).await;
        if let Ok(block) = &block {
            offset += block.len() as u64;
            progress.add_bytes(block.len() as u64);
            if block.is_empty() {
                return;
            }
            next = (offset < file.file().bytes).then(|| file.begin_read(offset, DECODE_READ_BYTES));
        }
        if read.send(block).await.is_err() {
            return;
        }
    }
}

/// What was read, to a thread.
struct Arrived {
    blocks: mpsc::Receiver<Result<Bytes, StorageError>>,
    current: Bytes,
    /// Someone has read to the end, and was told so.
    has_ended: bool,
}

impl Arrived {
    /// Waits for the next bytes if none are at hand; whether there are any.
    fn has_more(&mut self) -> io::Result<bool> {
        while self.current.is_empty() {
            match self.blocks.blocking_recv() {
                None => return Ok(false),
                Some(Ok(block)) => self.current = block,
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
        Ok(true)
    }
}

impl Read for Arrived {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.has_more()? {
            self.has_ended = true;
            return Ok(0);
        }
        let taken = out.len().min(self.current.len());
        self.current.copy_to_slice(&mut out[..taken]);
        Ok(taken)
    }
}

struct Worker {
    url: String,
    codec: Codec,
    encoding: Encoding,
    text: Option<Decoder>,
    decoded: mpsc::Sender<Result<Bytes, StorageError>>,
}

impl Worker {
    fn run(&mut self, source: Arrived) -> Result<(), StorageError> {
        let mut bytes: Box<dyn Read> = match self.codec {
            Codec::None => Box::new(source),
            Codec::Gzip => Box::new(flate2::read::MultiGzDecoder::new(source)),
            Codec::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(source);
                Box::new(decoder.map_err(|error| self.damaged(error))?)
            }
            Codec::Snappy => Box::new(snap::read::FrameDecoder::new(source)),
            Codec::Lz4 => Box::new(Lz4Frames { frames: FrameDecoder::new(source), in_frame: false }),
        };
        loop {
            let mut block = vec![0; COPY_BLOCK_BYTES];
            let filled = fill(&mut bytes, &mut block).map_err(|error| self.damaged(error))?;
            block.truncate(filled);
            let is_last = filled < COPY_BLOCK_BYTES;
            let block = self.recode(block, is_last)?;
            if !block.is_empty() && self.decoded.blocking_send(Ok(block.into())).is_err() || is_last {
                return Ok(());
            }
        }
    }

    /// In UTF-8.
    fn recode(&mut self, bytes: Vec<u8>, is_last: bool) -> Result<Vec<u8>, StorageError> {
        let Some(decoder) = &mut self.text else { return Ok(bytes) };
        let bound = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(usize::MAX);
        let mut out = vec![0; bound];
        let (result, _, written) = decoder.decode_to_utf8_without_replacement(&bytes, &mut out, is_last);
        match result {
            DecoderResult::InputEmpty => {
                out.truncate(written);
                Ok(out)
            }
            DecoderResult::Malformed(..) | DecoderResult::OutputFull => {
                let name = match &self.encoding {
                    Encoding::Utf8 => "UTF8",
                    Encoding::Other(label) => label,
                };
                let message = format!("invalid byte sequence for encoding \"{name}\"");
                Err(StorageError::File { path: self.url.clone(), message, sqlstate: "22021" })
            }
        }
    }

    /// The place's own failure, or what the bytes are not.
    fn damaged(&self, error: io::Error) -> StorageError {
        let error = match error.downcast::<StorageError>() {
            Ok(error) => return error,
            Err(error) => error,
        };
        let codec = match self.codec {
            Codec::None => "plain text",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
        };
        let message = format!("it is not {codec}, or not whole: {error}");
        StorageError::File { path: self.url.clone(), message, sqlstate: "22P04" }
    }
}

/// Fills `block`; less only at the end.
fn fill(source: &mut dyn Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match source.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Frames one after the other. The decoder says nothing of a file that ends between two blocks of a frame, and takes an empty frame for the
/// end.
struct Lz4Frames {
    frames: FrameDecoder<Arrived>,
    in_frame: bool,
}

impl Read for Lz4Frames {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if !self.frames.get_mut().has_more()? {
                    return Ok(0);
                }
                self.in_frame = true;
            }
            match self.frames.read(out)? {
                // A frame that is whole ends before the decoder has asked for more.
                0 if self.frames.get_ref().has_ended => return Err(io::ErrorKind::UnexpectedEof.into()),
                0 => self.in_frame = false,
                n => return Ok(n),
            }
        }
    }
}
