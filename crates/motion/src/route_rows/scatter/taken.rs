//! Every type that has no scatter of its own.

use super::{Groups, Piece, Scatter};
use arrow::array::{Array, ArrayRef, UInt32Array, make_array, new_empty_array};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use damson_interconnect::{array_bytes, has_views, unshare};

/// So many chunks are made one: small ones have more overhead than values.
const CHUNKS_MAX: usize = 32;

/// Lists, structs, maps, unions, …: Arrow's `take` makes a chunk for each piece, `concat` an array of the chunks.
pub(super) struct Taken {
    data_type: DataType,
    /// Views below lists and the like share their source's buffers when they are taken.
    has_views: bool,
    chunks: Vec<Vec<ArrayRef>>,
    bytes: Vec<usize>,
}

impl Taken {
    pub(super) fn new(data_type: &DataType, destinations: usize) -> Self {
        let chunks = (0..destinations).map(|_| vec![]).collect();
        let has_views = has_views(data_type);
        Taken { data_type: data_type.clone(), has_views, chunks, bytes: vec![0; destinations] }
    }

    fn concat(&self, chunks: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
        match chunks {
            [] => Ok(new_empty_array(&self.data_type)),
            [only] => Ok(only.clone()),
            many => concat(&many.iter().map(|chunk| chunk.as_ref()).collect::<Vec<_>>()),
        }
    }
}

impl Scatter for Taken {
    fn append(&mut self, column: &ArrayRef, groups: &Groups, pieces: &[Piece]) -> Result<(), ArrowError> {
        for piece in pieces {
            let taken = take(column, &UInt32Array::from(piece.rows(groups).to_vec()), None)?;
            let taken = if self.has_views { make_array(unshare(taken.to_data())?) } else { taken };
            self.bytes[piece.destination] += array_bytes(&taken);
            self.chunks[piece.destination].push(taken);
            if self.chunks[piece.destination].len() == CHUNKS_MAX {
                let chunks = std::mem::take(&mut self.chunks[piece.destination]);
                self.chunks[piece.destination] = vec![self.concat(&chunks)?];
            }
        }
        Ok(())
    }

    fn finish(&mut self, destination: usize) -> Result<ArrayRef, ArrowError> {
        self.bytes[destination] = 0;
        let chunks = std::mem::take(&mut self.chunks[destination]);
        self.concat(&chunks)
    }

    fn bytes(&self) -> usize {
        self.bytes.iter().sum()
    }
}
