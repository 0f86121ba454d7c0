//! Rows of a table that is distributed by a key, on one of several segments.

use super::{TABLE, rows};
use damson_cluster::{
    BucketMap, ColumnDef, Compression, ContentId, Distribution, FileEntry, MapVersion, TableDef, placement,
};
use damson_storage::{TableStore, WriteSpec};
use datafusion::arrow::array::*;
use datafusion::arrow::compute::{concat_batches, filter_record_batch, sort_to_indices, take_record_batch};
use datafusion::arrow::datatypes::*;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::file::metadata::ParquetMetaData;
use rand::Rng;
use rand::rngs::StdRng;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

pub const KEY: usize = 0;
pub const NUMBER: usize = 1;

pub fn schema() -> SchemaRef {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    Arc::new(Schema::new(vec![
        field("k", DataType::Int64, true),
        field("number", DataType::Int64, false),
        field("few", DataType::Utf8View, true),
        field("text", DataType::Utf8View, true),
    ]))
}

/// Rows of a segment: those of `rows` random ones whose buckets it owns, in batches of any length. Keys come up to a few times.
pub fn own_rows(rng: &mut StdRng, rows: usize, map: &BucketMap, content: ContentId) -> Vec<RecordBatch> {
    let (mut batches, mut made) = (vec![], 0);
    while made < rows {
        let count = rng.random_range(1..40_000).min(rows - made);
        let k: Int64Array =
            (0..count).map(|_| rng.random_bool(0.999).then(|| rng.random_range(0..rows as i64 / 2))).collect();
        let number = Int64Array::from_iter_values((made as i64)..(made + count) as i64);
        let few: StringViewArray = (0..count).map(|at| (at % 7 > 0).then(|| format!("value {}", at % 5))).collect();
        let text: StringViewArray =
            (0..count).map(|at| Some(format!("a text that is longer than a view {}", at * 31))).collect();
        made += count;
        let columns: Vec<ArrayRef> = vec![Arc::new(k), Arc::new(number), Arc::new(few), Arc::new(text)];
        let batch = RecordBatch::try_new(schema(), columns).unwrap();
        let own = buckets(batch.column(KEY)).into_iter().map(|bucket| Some(map.owner(bucket) == content)).collect();
        batches.push(filter_record_batch(&batch, &own).unwrap());
    }
    batches
}

pub fn buckets(key: &ArrayRef) -> Vec<u16> {
    let mut hashes = vec![];
    placement::hash_rows(&[Arc::clone(key)], &mut hashes).unwrap();
    hashes.into_iter().map(placement::bucket_of).collect()
}

pub fn spec(map: &BucketMap, content: ContentId) -> WriteSpec {
    WriteSpec {
        filtered: vec![KEY, 3],
        buckets: map.owned_by(content),
        ..WriteSpec::new(TABLE, schema(), Compression::Lz4, vec![KEY])
    }
}

pub fn table() -> TableDef {
    let column = |field: &FieldRef| ColumnDef {
        name: field.name().clone(),
        sql_type: String::new(),
        data_type: field.data_type().clone(),
        nullable: field.is_nullable(),
        default: None,
        identity: None,
    };
    TableDef {
        id: TABLE,
        schema: "public".into(),
        name: "t".into(),
        columns: schema().fields().iter().map(column).collect(),
        distribution: Distribution::Hashed(vec![KEY]),
        map_version: MapVersion(1),
        keys: vec![],
        checks: vec![],
        compression: Compression::Lz4,
        layout: Default::default(),
        tablespace: None,
    }
}

pub fn by_number(batch: &RecordBatch) -> RecordBatch {
    let order = sort_to_indices(batch.column(NUMBER), None, None).unwrap();
    take_record_batch(batch, &order).unwrap()
}

pub async fn all_rows(store: &TableStore, files: &[FileEntry]) -> RecordBatch {
    rows(store.scan(&schema(), &[0, 1, 2, 3], files, 1).unwrap()).await.unwrap()
}

pub fn metadata(path: &Path) -> Arc<ParquetMetaData> {
    Arc::clone(ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().metadata())
}

/// What the footer says of the row groups' buckets.
pub fn ranges(metadata: &ParquetMetaData) -> Option<Vec<(u16, u16)>> {
    let said = metadata.file_metadata().key_value_metadata()?.iter().find(|said| said.key == "damson.buckets")?;
    let said: serde_json::Value = serde_json::from_str(said.value.as_deref().unwrap()).unwrap();
    assert_eq!(said["key"], serde_json::json!([KEY]));
    Some(serde_json::from_value(said["ranges"].clone()).unwrap())
}

pub fn row_group(path: &Path, index: usize) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.with_row_groups(vec![index]).build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}
