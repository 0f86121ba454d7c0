//! Text that is compressed while it is written.

use damson_cluster::Codec;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockSize, FrameEncoder as Lz4Encoder, FrameInfo};
use snap::write::FrameEncoder as SnappyEncoder;
use std::io::{self, Write};
use zstd::stream::write::Encoder as ZstdEncoder;

/// What `gzip` and `zstd` choose by themselves.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// Compresses into memory.
pub(super) enum Compressor {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    Snappy(Box<SnappyEncoder<Vec<u8>>>),
    Lz4(Box<Lz4Encoder<Vec<u8>>>),
}

impl Compressor {
    /// # Errors
    /// The library's, for want of memory.
    pub(super) fn new(codec: Codec) -> io::Result<Self> {
        Ok(match codec {
            Codec::None => Compressor::None(vec![]),
            Codec::Gzip => Compressor::Gzip(GzEncoder::new(vec![], flate2::Compression::new(GZIP_LEVEL))),
            Codec::Zstd => Compressor::Zstd(ZstdEncoder::new(vec![], ZSTD_LEVEL)?),
            Codec::Snappy => Compressor::Snappy(Box::new(SnappyEncoder::new(vec![]))),
            Codec::Lz4 => {
                let frame = FrameInfo::new().block_size(BlockSize::Max256KB);
                Compressor::Lz4(Box::new(Lz4Encoder::with_frame_info(frame, vec![])))
            }
        })
    }

    /// # Errors
    /// None in practice: a vector takes all.
    pub(super) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Compressor::None(out) => out.write_all(text),
            Compressor::Gzip(encoder) => encoder.write_all(text),
            Compressor::Zstd(encoder) => encoder.write_all(text),
            Compressor::Snappy(encoder) => encoder.write_all(text),
            Compressor::Lz4(encoder) => encoder.write_all(text),
        }
    }

    /// What has come out so far and was not taken; the rest is still inside.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Compressor::None(out) => out,
            Compressor::Gzip(encoder) => encoder.get_mut(),
            Compressor::Zstd(encoder) => encoder.get_mut(),
            Compressor::Snappy(encoder) => encoder.get_mut(),
            Compressor::Lz4(encoder) => encoder.get_mut(),
        }
    }

    /// Bytes of [`Compressor::out`].
    pub(super) fn out_bytes(&self) -> usize {
        match self {
            Compressor::None(out) => out.len(),
            Compressor::Gzip(encoder) => encoder.get_ref().len(),
            Compressor::Zstd(encoder) => encoder.get_ref().len(),
            Compressor::Snappy(encoder) => encoder.get_ref().len(),
            Compressor::Lz4(encoder) => encoder.get_ref().len(),
        }
    }

    /// Bytes of a compressor's own state, about.
    pub(super) fn state_bytes(&self) -> usize {
        match self {
            Compressor::None(_) => 0,
            Compressor::Gzip(_) => 300 << 10,
            Compressor::Zstd(_) => 4 << 20,
            Compressor::Snappy(_) => 160 << 10,
            Compressor::Lz4(_) => 1 << 20,
        }
    }

    /// The rest of what comes out.
    ///
    /// # Errors
    /// None in practice: a vector takes all.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Compressor::None(out) => Ok(out),
            Compressor::Gzip(encoder) => encoder.finish(),
            Compressor::Zstd(encoder) => encoder.finish(),
            Compressor::Snappy(encoder) => encoder.into_inner().map_err(|error| error.into_error()),
            Compressor::Lz4(encoder) => encoder.finish().map_err(io::Error::from),
        }
    }
}
