//! Files without a table: their columns, and columns and row groups that need not be read.

mod support;

use damson_cluster::{
    Codec, CopyFile, CopyFormat, CopyUnit, CsvOptions, JsonOptions, OnBadRow, ParquetOptions, SourceAccess,
};
use damson_storage::{CopyRead, Inferred, StorageError, copy_read_columns, infer, list_sources, split};
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::Operator;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, col, lit};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use support::*;

fn csv_with_header() -> CopyFormat {
    CopyFormat::Csv(CsvOptions { header: true, ..CsvOptions::default() })
}

async fn found(directory: &Path, format: &CopyFormat) -> Result<Inferred, StorageError> {
    let names = [directory.to_str().unwrap().to_owned()];
    let files = list_sources(&names, None, &SourceAccess::default()).await?;
    infer(&files, format, None, &SourceAccess::default()).await
}

fn columns(inferred: &Inferred) -> Vec<(&str, DataType)> {
    inferred.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect()
}

#[tokio::test]
async fn text_files_agree_or_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("y=1/a.csv", "Id,v\n1,2\n");
    put("y=2/b.csv", "Id,v\n2,2.5\n");
    put("y=2/empty.csv", "");
    let inferred = found(directory.path(), &csv_with_header()).await.unwrap();
    assert_eq!(columns(&inferred), [("id", DataType::Int64), ("v", DataType::Float64), ("y", DataType::Int64)]);
    assert_eq!(inferred.partition_columns, 1);
    put("y=3/c.csv", "Id,w\n2,2.5\n");
    let error = found(directory.path(), &csv_with_header()).await.unwrap_err();
    assert_eq!(error.sqlstate(), "42804");
    let message = error.to_string();
    assert!(message.contains("y=3/c.csv") && message.contains("y=1/a.csv"), "{message}");

    let json = tempfile::tempdir().unwrap();
    fs::write(json.path().join("a.json"), "{\"a\": 1}\n{\"b\": true, \"a\": null}\n").unwrap();
    fs::write(json.path().join("b.json"), "{\"c\": \"x\"}\n").unwrap();
    let inferred = found(json.path(), &CopyFormat::Json(JsonOptions::default())).await.unwrap();
    let wanted = [("a", DataType::Int64), ("b", DataType::Boolean), ("c", DataType::Utf8View)];
    assert_eq!(columns(&inferred), wanted);
}

/// Two row groups: 0..100 and 100..200.
fn parquet(path: &Path, text: bool) {
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..200));
    let others: ArrayRef = match text {
        true => Arc::new(StringArray::from_iter_values((0..200).map(|v| format!("v{v}")))),
        false => Arc::new(Int16Array::from_iter_values(0..200)),
    };
    let batch = RecordBatch::try_from_iter([("K", numbers), ("Other", others)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[tokio::test]
async fn parquet_files_say_their_columns() {
    let directory = tempfile::tempdir().unwrap();
    parquet(&directory.path().join("a.parquet"), true);
    let format = CopyFormat::Parquet(ParquetOptions::default());
    let inferred = found(directory.path(), &format).await.unwrap();
    assert_eq!(columns(&inferred), [("k", DataType::Int32), ("other", DataType::Utf8View)]);
    parquet(&directory.path().join("b.parquet"), false);
    let error = found(directory.path(), &format).await.unwrap_err();
    assert_eq!(error.sqlstate(), "42804");
    assert!(error.to_string().contains("a.parquet") && error.to_string().contains("b.parquet"), "{error}");
}

fn read(format: &CopyFormat, schema: &SchemaRef, units: Vec<CopyUnit>, projection: &[usize]) -> Arc<dyn ExecutionPlan> {
    copy_read_columns(copying(format, schema, units), projection).unwrap()
}

#[tokio::test]
async fn columns_that_are_not_wanted_are_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Int32, true),
        Field::new("c", DataType::Utf8View, true),
    ]));
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("f.csv"), "1,no number,x\n2,,y\n").unwrap();
    fs::write(path("f.json"), "{\"a\": 1, \"b\": \"no number\", \"c\": \"x\"}\n{\"a\": 2, \"c\": \"y\"}\n").unwrap();
    for (name, format) in
        [("f.csv", CopyFormat::Csv(CsvOptions::default())), ("f.json", CopyFormat::Json(JsonOptions::default()))]
    {
        let files = list_sources(&[path(name)], None, &SourceAccess::default()).await.unwrap();
        let unit =
            |file: CopyFile| CopyUnit::Records { file, codec: Codec::None, newline: None, start: 0, end: u64::MAX };
        let units: Vec<CopyUnit> = files.into_iter().map(unit).collect();
        let batch = rows(read(&format, &schema, units.clone(), &[2, 0])).await.unwrap();
        assert_eq!(batch.column(0).as_string_view().iter().flatten().collect::<Vec<_>>(), ["x", "y"], "{name}");
        assert_eq!(batch.column(1).as_primitive::<Int32Type>().values()[..], [1, 2], "{name}");
        let none = run(read(&format, &schema, units.clone(), &[])).await.unwrap();
        assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), 2, "{name}");
        let (sqlstate, _) = failure(read(&format, &schema, units, &[1])).await;
        assert_eq!(sqlstate, "22P02", "{name}");
    }
}

/// What a filter above a read lets through, with the read's rows as the filter got them.
async fn filtered(read: Arc<dyn ExecutionPlan>, predicate: Arc<dyn PhysicalExpr>) -> (usize, usize) {
    let plan: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(predicate, read).unwrap());
    let plan = FilterPushdown::new().optimize(plan, &ConfigOptions::new()).unwrap();
    assert!(displayable(plan.as_ref()).indent(false).to_string().contains("pruning="), "the filter is pushed");
    let passed = rows(Arc::clone(&plan)).await.unwrap().num_rows();
    let scan = plan.children()[0];
    (passed, scan.metrics().unwrap().output_rows().unwrap())
}

#[tokio::test]
async fn row_groups_and_files_that_have_no_match_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    for year in [2025, 2026] {
        let below = directory.path().join(format!("y={year}"));
        fs::create_dir(&below).unwrap();
        parquet(&below.join("a.parquet"), true);
    }
    let format = CopyFormat::Parquet(ParquetOptions::default());
    let names = [directory.path().to_str().unwrap().to_owned()];
    let files = list_sources(&names, None, &SourceAccess::default()).await.unwrap();
    let Inferred { schema, .. } = infer(&files, &format, None, &SourceAccess::default()).await.unwrap();
    assert_eq!(schema.field(2).name(), "y");
    let units = split(files, &format, None, 1, &SourceAccess::default()).await.unwrap().remove(0);
    // Of a wider type than the file's.
    let wide = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("other", DataType::Utf8View, true),
        Field::new("y", DataType::Int64, true),
    ]));
    let new_read = || {
        let read = CopyRead {
            partition_columns: vec![2],
            on_bad_row: OnBadRow::Fail,
            ..copying(&format, &wide, units.clone())
        };
        copy_read_columns(read, &[0, 2]).unwrap()
    };
    let compare = |column: &str, operator: Operator, value: i64| {
        let schema = wide.project(&[0, 2]).unwrap();
        Arc::new(BinaryExpr::new(col(column, &schema).unwrap(), operator, lit(value))) as Arc<dyn PhysicalExpr>
    };
    assert_eq!(filtered(new_read(), compare("k", Operator::Lt, 10)).await, (20, 200));
    assert_eq!(filtered(new_read(), compare("k", Operator::Gt, 500)).await, (0, 0));
    assert_eq!(filtered(new_read(), compare("y", Operator::Eq, 2026)).await, (200, 200));
    assert_eq!(filtered(new_read(), compare("k", Operator::GtEq, 0)).await, (400, 400));
}
