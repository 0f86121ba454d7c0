//! Arrow IPC messages to batches.

use super::check::{check, malformed};
use crate::wire::ReceivedFrame;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::{MessageHeader, root_as_message};
use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Decodes the messages of one route. A batch's columns share the frame's memory.
#[derive(Default)]
pub(crate) struct Decoder {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
}

impl Decoder {
    /// A batch; None for a schema or a dictionary, which are kept for the batches that follow. After an error it is of no
    /// more use.
    pub(crate) fn decode(&mut self, frame: &ReceivedFrame) -> Result<Option<RecordBatch>, ArrowError> {
        // Arrow's reader asserts some of what a peer can get wrong, such as the types of a schema: that is the peer's fault,
        // and must not be the end of who reads.
        catch_unwind(AssertUnwindSafe(|| self.read(frame))).unwrap_or_else(|panic| Err(malformed(panic_text(&*panic))))
    }

    fn read(&mut self, frame: &ReceivedFrame) -> Result<Option<RecordBatch>, ArrowError> {
        let message = root_as_message(&frame.header).map_err(|e| malformed(&e.to_string()))?;
        let version = message.version();
        match message.header_type() {
            MessageHeader::Schema => {
                let schema = message.header_as_schema().ok_or_else(|| malformed("schema"))?;
                self.schema = Some(Arc::new(fb_to_schema(schema)));
                Ok(None)
            }
            MessageHeader::DictionaryBatch => {
                let dictionary = message.header_as_dictionary_batch().ok_or_else(|| malformed("dictionary"))?;
                let data = dictionary.data().ok_or_else(|| malformed("a dictionary without values"))?;
                check(data, &frame.body)?;
                let schema: &Schema = self.schema.as_ref().ok_or_else(|| malformed("a dictionary without schema"))?;
                read_dictionary(&frame.body, dictionary, schema, &mut self.dictionaries, &version)?;
                Ok(None)
            }
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch().ok_or_else(|| malformed("batch"))?;
                check(batch, &frame.body)?;
                let schema = self.schema.clone().ok_or_else(|| malformed("a batch without schema"))?;
                read_record_batch(&frame.body, batch, schema, &self.dictionaries, None, &version).map(Some)
            }
            other => Err(malformed(&format!("{other:?}"))),
        }
    }
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("the reader gave up")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Compression;
    use crate::batch::Encoder;
    use crate::wire::{Deframer, Integrity};
    use arrow::array::{DictionaryArray, StringViewArray};
    use arrow::datatypes::Int8Type;

    /// Dictionary and view columns, encoded as they travel: schema, dictionary, batch.
    fn encoded(compression: Compression) -> (RecordBatch, Vec<Vec<u8>>) {
        let words: DictionaryArray<Int8Type> = ["a", "b", "a"].into_iter().collect();
        let views = StringViewArray::from(vec![Some("x"), None, Some("a string that is no inline view")]);
        let columns: [(&str, ArrayRef); 2] = [("d", Arc::new(words)), ("v", Arc::new(views))];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap();
        let frames = Encoder::new(&batch.schema(), compression).unwrap().encode(&batch).unwrap();
        let bytes = frames.iter().map(|frame| frame.chunks(Integrity::Transport).concat());
        (batch, bytes.collect())
    }

    fn received(message: &[u8]) -> ReceivedFrame {
        let mut frame = None;
        Deframer::default().push(message, |f| frame = Some(f)).unwrap();
        frame.unwrap()
    }

    fn decode(messages: &[Vec<u8>]) -> Result<Option<RecordBatch>, String> {
        let mut decoder = Decoder::default();
        let mut last = None;
        for message in messages {
            last = decoder.decode(&received(message)).map_err(|e| e.to_string())?;
        }
        Ok(last)
    }

    #[test]
    fn batches_survive() {
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let (batch, messages) = encoded(compression);
            assert_eq!(messages.len(), 3);
            assert_eq!(decode(&messages), Ok(Some(batch)));
        }
    }

    #[test]
    fn messages_out_of_place_are_errors() {
        let (_, messages) = encoded(Compression::None);
        assert!(decode(&messages[1..]).unwrap_err().contains("without schema"));
        assert!(decode(&messages[2..]).unwrap_err().contains("without schema"));
        assert!(decode(&[messages[0].clone(), messages[2].clone()]).is_err(), "the dictionary is missing");
    }

    #[test]
    fn a_shorter_body_is_an_error() {
        let (_, mut messages) = encoded(Compression::None);
        let mut frame = received(&messages.pop().unwrap());
        frame.body = frame.body.slice_with_length(0, 64);
        let mut decoder = Decoder::default();
        for message in messages {
            decoder.decode(&received(&message)).unwrap();
        }
        assert!(decoder.decode(&frame).unwrap_err().to_string().contains("outside the body"));
    }
}
