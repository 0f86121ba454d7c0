//! PRIMARY KEY, UNIQUE and CHECK: random rows against a set, with every way that a key can be looked for; what is told of a violation;
//! what is skipped, and what comes back.

mod support;

use damson_cluster::{Compression, FileEntry, Modification, OnDuplicate, UniqueKey};
use damson_storage::{Check, ModifySpec, TableStore, WriteSpec, Writes};
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashSet;
use std::sync::Arc;
use support::*;

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("a", DataType::Int64),
        field("b", DataType::Utf8View),
        field("c", DataType::Float64),
    ]))
}

type Row = (Option<i64>, Option<String>, Option<f64>);

fn batch(rows: &[Row]) -> RecordBatch {
    let a: Int64Array = rows.iter().map(|row| row.0).collect();
    let b: StringViewArray = rows.iter().map(|row| row.1.as_deref()).collect();
    let c: Float64Array = rows.iter().map(|row| row.2).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(a), Arc::new(b), Arc::new(c)]).unwrap()
}

fn key(name: &str, columns: &[usize], on_duplicate: OnDuplicate) -> UniqueKey {
    UniqueKey { constraint: name.into(), columns: columns.to_vec(), on_duplicate }
}

fn spec(keys: Vec<UniqueKey>, files: &[FileEntry], file_rows_max: u64) -> WriteSpec {
    WriteSpec {
        name: "t".into(),
        filtered: vec![0, 1, 2],
        keys,
        files: files.to_vec(),
        file_rows_max,
        ..WriteSpec::new(TABLE, schema(), Compression::Lz4, vec![0])
    }
}

/// The keys that a row takes; none where it is NULL.
fn keys_of(row: &Row) -> Vec<(usize, String)> {
    let mut keys = vec![];
    if let Some(a) = row.0 {
        keys.push((0, a.to_string()));
        if let (Some(b), Some(c)) = (&row.1, row.2) {
            let c = if c == 0.0 { 0.0 } else { c };
            keys.push((1, format!("{a} {b} {c}")));
        }
    }
    keys
}

async fn all_rows(store: &TableStore, files: &[FileEntry]) -> Vec<Row> {
    let all = rows(store.scan(&schema(), &[0, 1, 2], files, 1).unwrap()).await.unwrap();
    let (a, b, c) = (
        all.column(0).as_primitive::<Int64Type>(),
        all.column(1).as_string_view(),
        all.column(2).as_primitive::<Float64Type>(),
    );
    let row = |at: usize| {
        let a = a.is_valid(at).then(|| a.value(at));
        (a, b.is_valid(at).then(|| b.value(at).to_owned()), c.is_valid(at).then(|| c.value(at)))
    };
    (0..all.num_rows()).map(row).collect()
}

fn text(rows: &[Row]) -> Vec<String> {
    let mut text: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    text.sort_unstable();
    text
}

/// Batches of a few and of many rows, some of them repeated, into several files each, with what was deleted free again; half of
/// the time with another process, which has read nothing yet.
#[tokio::test]
async fn no_key_is_there_twice() {
    let mut rng = StdRng::seed_from_u64(6);
    for on_duplicate in [OnDuplicate::Fail, OnDuplicate::Skip] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let (mut files, mut model): (Vec<FileEntry>, Vec<Row>) = (vec![], vec![]);
        let (mut refused, mut taken) = (0, 0);
        for round in 0..80 {
            if rng.random_bool(0.5) {
                store = open(dir.path());
            }
            let count = [1, 3, 80, 700][rng.random_range(0..4)];
            let values = if rng.random_bool(0.5) { 100_000_000 } else { 2000 };
            let new: Vec<Row> = (0..count)
                .map(|_| {
                    let a = rng.random_bool(0.95).then(|| rng.random_range(0..values));
                    let b = rng.random_bool(0.9).then(|| format!("b{}", rng.random_range(0..3)));
                    (a, b, rng.random_bool(0.9).then(|| [-0.0, 0.0, 1.5][rng.random_range(0..3)]))
                })
                .collect();
            let mut keys: HashSet<(usize, String)> = model.iter().flat_map(keys_of).collect();
            let mut wanted = vec![];
            // Only the longer key, or both.
            let both = round % 2 == 0;
            let of =
                |row: &Row| keys_of(row).into_iter().filter(|(number, _)| both || *number == 1).collect::<Vec<_>>();
            let mut fails = false;
            for row in &new {
                let of_row = of(row);
                if of_row.iter().any(|key| keys.contains(key)) {
                    fails = true;
                } else {
                    keys.extend(of_row);
                    wanted.push(row.clone());
                }
            }
            let mut unique = vec![key("t_key", &[0, 1, 2], on_duplicate)];
            if both {
                unique.insert(0, key("t_pkey", &[0], on_duplicate));
            }
            let spec = WriteSpec { returning: 3, ..spec(unique, &files, 300) };
            let doubled = doubled(&new);
            let input: Vec<RecordBatch> =
                (0..new.len()).step_by(100).map(|at| doubled.slice(at, 100.min(new.len() - at))).collect();
            let plan = store.write(spec, memory(&doubled.schema(), input)).unwrap();
            if fails && on_duplicate == OnDuplicate::Fail {
                let on_disk = store.list().await.unwrap().len();
                let (state, message) = failure(plan).await;
                assert!(state == "23505" && message.contains("already exists"), "{state} {message}");
                assert_eq!(store.list().await.unwrap().len(), on_disk, "nothing is left of it");
                refused += 1;
            } else {
                let (report, count, returned) = sink_with_rows(plan).await;
                files.extend(serde_json::from_slice::<Vec<FileEntry>>(&report).unwrap());
                assert_eq!(count, wanted.len() as u64);
                assert_eq!(returned, wanted.len(), "what comes back is what was written");
                model.extend(wanted);
                taken += 1;
            }
            assert_eq!(text(&all_rows(&store, &files).await), text(&model), "round {round}");
            if round % 10 == 9 {
                (files, model) = delete_some(&store, files, &mut rng).await;
            }
        }
        assert!(taken > 15 && (refused > 10 || on_duplicate == OnDuplicate::Skip), "{refused} refused, {taken} taken");
    }
}

/// Each column twice: to be written, and to come back.
fn doubled(new: &[Row]) -> RecordBatch {
    let once = batch(new);
    let (table, back) = (schema(), |field: &FieldRef| field.as_ref().clone().with_name(format!("r_{}", field.name())));
    let fields = table.fields().iter().cloned().chain(table.fields().iter().map(|field| Arc::new(back(field))));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, [once.columns(), once.columns()].concat()).unwrap()
}

async fn sink_with_rows(plan: Arc<dyn datafusion::physical_plan::ExecutionPlan>) -> (Vec<u8>, u64, usize) {
    let all = rows(plan).await.unwrap();
    let (count, reports) = (all.column_by_name("rows").unwrap(), all.column_by_name("files").unwrap());
    let last = all.num_rows() - 1;
    let report = reports.as_binary::<i32>().value(last).to_vec();
    assert!((0..last).all(|row| reports.as_binary::<i32>().value(row).is_empty()));
    (report, count.as_primitive::<UInt64Type>().value(last), last)
}

async fn delete_some(store: &TableStore, files: Vec<FileEntry>, rng: &mut StdRng) -> (Vec<FileEntry>, Vec<Row>) {
    let named = rows(store.scan_with_row_ids(&schema(), &[], &files).unwrap()).await.unwrap();
    let chosen: BooleanArray = (0..named.num_rows()).map(|_| Some(rng.random_bool(0.3))).collect();
    let input = datafusion::arrow::compute::filter_record_batch(&named, &chosen).unwrap();
    let write = spec(vec![], &files, 300);
    let spec = ModifySpec { write, writes: Writes::Nothing, once: None };
    let (report, _) = sink(store.modify(spec, memory(&input.schema(), vec![input.clone()])).unwrap()).await.unwrap();
    let files = after(files, &report);
    let left = all_rows(store, &files).await;
    (files, left)
}

fn after(mut files: Vec<FileEntry>, report: &[u8]) -> Vec<FileEntry> {
    let Modification { deletes, adds, .. } = serde_json::from_slice(report).unwrap();
    for (path, vector) in deletes {
        match vector {
            Some(vector) => files.iter_mut().find(|file| file.path == path).unwrap().deletes = Some(vector),
            None => files.retain(|file| file.path != path),
        }
    }
    files.extend(adds);
    files
}

fn plain(values: std::ops::Range<i64>) -> Vec<Row> {
    values.map(|a| (Some(a), Some("x".into()), Some(1.0))).collect()
}

/// What a statement deletes is free for its new rows: keys that move up by one, or change places.
#[tokio::test]
async fn keys_that_the_statement_frees_are_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let files = write(&store, spec(vec![], &[], 40), vec![batch(&plain(0..100))]).await;
    let named = rows(store.scan_with_row_ids(&schema(), &[0, 1, 2], &files).unwrap()).await.unwrap();
    let moved = |by: i64, rows: std::ops::Range<usize>| {
        let part = named.slice(rows.start, rows.len());
        let a: Int64Array = part.column(0).as_primitive::<Int64Type>().unary(|a| a + by);
        let columns: Vec<ArrayRef> = vec![
            part.column(3).clone(),
            part.column(4).clone(),
            Arc::new(a),
            part.column(1).clone(),
            part.column(2).clone(),
        ];
        RecordBatch::try_from_iter(["damson_file", "damson_row", "a", "b", "c"].into_iter().zip(columns)).unwrap()
    };
    let update = |input: RecordBatch| {
        let write = spec(vec![key("t_pkey", &[0], OnDuplicate::Fail)], &files, 40);
        let spec = ModifySpec { write, writes: Writes::InPlace, once: None };
        store.modify(spec, memory(&input.schema(), vec![input.clone()])).unwrap()
    };
    let (report, count) = sink(update(moved(1, 0..100))).await.unwrap();
    assert_eq!(count, 100);
    let files_after = after(files.clone(), &report);
    assert_eq!(text(&all_rows(&store, &files_after).await), text(&plain(1..101)));
    // The last one moves onto nothing, the others onto rows that stay.
    sink(update(moved(1, 99..100))).await.unwrap();
    let (state, message) = failure(update(moved(1, 50..60))).await;
    assert_eq!(state, "23505");
    let wanted = "duplicate key value violates unique constraint \"t_pkey\"\nDETAIL:  Key (a)=(60) already exists.";
    assert_eq!(message, wanted);
}

#[tokio::test]
async fn checks_and_nulls_tell_of_the_row() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let expression = Arc::new(BinaryExpr::new(Arc::new(Column::new("a", 0)), Operator::Gt, lit(0i64)));
    let check = Check { constraint: "t_a_check".into(), expression };
    let spec = || WriteSpec { checks: vec![check.clone()], ..spec(vec![], &[], 40) };
    // NULL is not false.
    write(&store, spec(), vec![batch(&[(None, None, None), (Some(1), None, None)])]).await;
    let long = "é".repeat(70);
    let bad = batch(&[(Some(5), None, None), (Some(-1), Some(long), None)]);
    let (state, message) = failure(store.write(spec(), memory(&schema(), vec![bad])).unwrap()).await;
    let wanted = format!(
        "new row for relation \"t\" violates check constraint \"t_a_check\"\nDETAIL:  Failing row contains (-1, {}..., null).",
        "é".repeat(64)
    );
    assert_eq!((state.as_str(), message), ("23514", wanted));
    let mut not_null = spec();
    let table = schema();
    let fields = table.fields().iter().map(|field| field.as_ref().clone().with_nullable(field.name() != "b"));
    not_null.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let bad = batch(&[(Some(5), None, Some(0.5))]);
    let (state, message) = failure(store.write(not_null, memory(&schema(), vec![bad])).unwrap()).await;
    let wanted = "null value in column \"b\" of relation \"t\" violates not-null constraint\nDETAIL:  Failing row contains (5, null, 0.5).";
    assert_eq!((state.as_str(), message.as_str()), ("23502", wanted));
}
