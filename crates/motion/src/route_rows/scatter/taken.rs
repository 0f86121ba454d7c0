//! Every type that has no scatter of its own.

use super::super::sizes::slice_bytes;
use super::{Piece, Scatter};
use arrow::array::{
    Array, ArrayData, ArrayRef, BinaryViewArray, StringViewArray, UInt32Array, make_array, new_empty_array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

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
    fn append(&mut self, column: &ArrayRef, rows: &[u32], pieces: &[Piece]) -> Result<(), ArrowError> {
        for piece in pieces {
            let taken = take(column, &UInt32Array::from(piece.rows(rows).to_vec()), None)?;
            let taken = if self.has_views { make_array(unshare(taken.to_data())?) } else { taken };
            self.bytes[piece.destination] += slice_bytes(&taken);
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

fn has_views(data_type: &DataType) -> bool {
    use DataType::*;
    match data_type {
        Utf8View | BinaryView => true,
        List(field) | LargeList(field) | ListView(field) | LargeListView(field) | FixedSizeList(field, _) => {
            has_views(field.data_type())
        }
        Map(field, _) | RunEndEncoded(_, field) => has_views(field.data_type()),
        Struct(fields) => fields.iter().any(|field| has_views(field.data_type())),
        Union(fields, _) => fields.iter().any(|(_, field)| has_views(field.data_type())),
        _ => false,
    }
}

/// The same values, with views into buffers of their own.
fn unshare(data: ArrayData) -> Result<ArrayData, ArrowError> {
    match data.data_type() {
        DataType::Utf8View => Ok(StringViewArray::from(data).gc().into_data()),
        DataType::BinaryView => Ok(BinaryViewArray::from(data).gc().into_data()),
        _ => {
            let children = data.child_data().iter().cloned().map(unshare).collect::<Result<_, _>>()?;
            data.into_builder().child_data(children).build()
        }
    }
}
