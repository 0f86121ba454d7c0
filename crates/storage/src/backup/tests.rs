//! Places in a directory and in a bucket that fails.

use super::place::BackupPlace;
use super::testing::{Fault, faulty_place};
use crate::limits::BACKUP_BLOCK_BYTES;
use crate::{StorageError, TableStore};
use bytes::Bytes;
use damson_cluster::{BackupFile, ContentId, Copied, RestoreFile, TableId};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// A segment's store, in a directory of its own.
fn segment(content: i32) -> (TempDir, TableStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = TableStore::open(ContentId(content), directory.path()).unwrap();
    (directory, store)
}

/// A file of table 7 in a segment's directory, as the catalog has it.
fn put(directory: &Path, name: &str, bytes: &[u8]) -> BackupFile {
    let path = format!("base/t7/{name}");
    let full = directory.join(&path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    fs::write(full, bytes).unwrap();
    BackupFile { table: TableId(7), path, bytes: bytes.len() as u64, checksum: xxh3_64(bytes) }
}

/// Several blocks and a rest, no two alike.
fn large() -> Vec<u8> {
    (0..2 * BACKUP_BLOCK_BYTES as u64 / 8 + 100).flat_map(u64::to_le_bytes).collect()
}

async fn back_up(store: &TableStore, place: &BackupPlace, files: &[BackupFile]) -> Result<Copied, StorageError> {
    sum(store.back_up(place, files.to_vec()).try_collect().await?)
}

async fn restore(store: &TableStore, place: &BackupPlace, files: &[RestoreFile]) -> Result<Copied, StorageError> {
    sum(store.restore(place, files.to_vec()).try_collect().await?)
}

fn sum(copied: Vec<Copied>) -> Result<Copied, StorageError> {
    let mut all = Copied::default();
    copied.into_iter().for_each(|copied| all += copied);
    Ok(all)
}

/// Of content 0's files, under new names.
fn restored(file: &BackupFile) -> RestoreFile {
    let target = file.path.replace("t7/", "t9/new-");
    RestoreFile { content: ContentId(0), path: file.path.clone(), target, bytes: file.bytes, checksum: file.checksum }
}

/// Names of all files below a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut all = vec![];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(names(&path)),
            false => all.push(path.file_name().unwrap().to_string_lossy().into_owned()),
        }
    }
    all.sort();
    all
}

/// Waits until a directory has these files: what was being written when a copy ended goes a moment later.
async fn settles(directory: &Path, wanted: impl Fn(&[String]) -> bool) {
    for _ in 0..500 {
        if wanted(&names(directory)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("files that should not be there: {:?}", names(directory));
}

#[tokio::test]
async fn files_go_to_a_directory_and_come_back() {
    let (source_dir, source) = segment(0);
    let (target_dir, target) = segment(4);
    let place_dir = tempfile::tempdir().unwrap();
    let place = BackupPlace::create(&format!("file://{}/a/b", place_dir.path().display())).await.unwrap();
    let files = [
        put(source_dir.path(), "1.parquet", &large()),
        put(source_dir.path(), "2.parquet", b"small"),
        put(source_dir.path(), "2.deletes", b""),
    ];
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();

    let first = back_up(&source, &place, &files[..2]).await.unwrap();
    assert_eq!(first, Copied { files: 2, bytes, new_files: 2, new_bytes: bytes });
    let second = back_up(&source, &place, &files).await.unwrap();
    assert_eq!(second, Copied { files: 3, bytes, new_files: 1, new_bytes: 0 });
    assert_eq!(names(place_dir.path()), ["1.parquet", "2.deletes", "2.parquet"], "no temporary file is left");
    assert_eq!(fs::read(place_dir.path().join("a/b/files/0/base/t7/2.parquet")).unwrap(), b"small");

    let wanted: Vec<RestoreFile> = files.iter().map(restored).collect();
    let copied = restore(&target, &place, &wanted).await.unwrap();
    assert_eq!((copied.files, copied.new_bytes), (3, bytes));
    for file in &wanted {
        let bytes = fs::read(target_dir.path().join(&file.target)).unwrap();
        assert_eq!((bytes.len() as u64, xxh3_64(&bytes)), (file.bytes, file.checksum), "{}", file.target);
    }
}

#[tokio::test]
async fn a_damaged_file_is_not_backed_up() {
    let (source_dir, source) = segment(0);
    let place_dir = tempfile::tempdir().unwrap();
    let place = BackupPlace::create(&place_dir.path().display().to_string()).await.unwrap();
    let file = put(source_dir.path(), "1.parquet", &large());
    let full = source_dir.path().join(&file.path);
    let mut damaged = large();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&full, &damaged).unwrap();
    let error = back_up(&source, &place, std::slice::from_ref(&file)).await.unwrap_err();
    assert_eq!(error.sqlstate(), "XX001");
    assert!(error.to_string().contains("t7") && error.to_string().contains("1.parquet"), "{error}");
    settles(place_dir.path(), <[String]>::is_empty).await;

    fs::write(&full, &damaged[1..]).unwrap();
    let error = back_up(&source, &place, std::slice::from_ref(&file)).await.unwrap_err();
    assert!(error.sqlstate() == "XX001" && error.to_string().contains("bytes"), "{error}");
    fs::remove_file(&full).unwrap();
    let error = back_up(&source, &place, std::slice::from_ref(&file)).await.unwrap_err();
    assert!(error.sqlstate() == "58P01" && error.to_string().contains("1.parquet"), "{error}");
}

#[tokio::test]
async fn a_damaged_backup_is_not_restored() {
    let (source_dir, source) = segment(0);
    let (target_dir, target) = segment(1);
    let place_dir = tempfile::tempdir().unwrap();
    let place = BackupPlace::create(&place_dir.path().display().to_string()).await.unwrap();
    let file = put(source_dir.path(), "1.parquet", b"what was written");
    back_up(&source, &place, std::slice::from_ref(&file)).await.unwrap();
    let there = place_dir.path().join("files/0").join(&file.path);
    for (damage, sqlstate) in [(Some(&b"what was wrItten"[..]), "XX001"), (Some(b"what"), "XX001"), (None, "58P01")] {
        match damage {
            Some(bytes) => fs::write(&there, bytes).unwrap(),
            None => fs::remove_file(&there).unwrap(),
        }
        let error = restore(&target, &place, &[restored(&file)]).await.unwrap_err();
        assert_eq!(error.sqlstate(), sqlstate, "{error}");
        assert!(error.to_string().contains(&there.display().to_string()), "it is named: {error}");
        settles(target_dir.path(), <[String]>::is_empty).await;
    }
    // Its length says that it is not what was copied: it is copied again.
    fs::write(&there, b"what").unwrap();
    assert_eq!(back_up(&source, &place, std::slice::from_ref(&file)).await.unwrap().new_files, 1);
    restore(&target, &place, &[restored(&file)]).await.unwrap();
}

#[tokio::test]
async fn a_place_is_one_clusters() {
    let directory = tempfile::tempdir().unwrap();
    let url = directory.path().join("backups").display().to_string();
    assert_eq!(BackupPlace::open(&url).await.unwrap_err().sqlstate(), "58P01");
    let place = BackupPlace::create(&url).await.unwrap();
    assert_eq!(place.backups().await.unwrap_err().sqlstate(), "58P01", "it is no place of backups yet");
    let marker = place.claim("ours").await.unwrap();
    assert_eq!(place.claim("ours").await.unwrap(), marker);
    place.check_marker(&marker).await.unwrap();
    let error = place.claim("theirs").await.unwrap_err();
    assert!(error.sqlstate() == "22023" && error.to_string().contains("ours"), "{error}");
    // Another host's directory of that name.
    fs::remove_file(directory.path().join("backups/damson-backup.json")).unwrap();
    assert_eq!(place.check_marker(&marker).await.unwrap_err().sqlstate(), "22023");
    place.claim("ours").await.unwrap();
    assert_eq!(place.check_marker(&marker).await.unwrap_err().sqlstate(), "22023");
}

#[tokio::test]
async fn what_is_written_once_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (bucket, _) = faulty_place();
    for place in [BackupPlace::create(&directory.path().display().to_string()).await.unwrap(), bucket] {
        place.claim("c").await.unwrap();
        for id in ["b", "a"] {
            place.write_new(&format!("backups/{id}.json"), Bytes::from_static(b"{}")).await.unwrap();
        }
        place.write_new("backups/c/0.json", Bytes::from_static(b"part")).await.unwrap();
        place.write_new("backups/a.json", Bytes::from_static(b"{}")).await.expect("it is the same");
        let error = place.write_new("backups/a.json", Bytes::from_static(b"[]")).await.unwrap_err();
        assert_eq!(error.sqlstate(), "58P02", "{error}");
        assert_eq!(place.read("backups/a.json").await.unwrap(), b"{}"[..]);
        assert_eq!(place.backups().await.unwrap(), ["a", "b"], "a backup without manifest is none");
        assert_eq!(place.read("backups/d.json").await.unwrap_err().sqlstate(), "58P01");
    }
}

#[tokio::test]
async fn a_dead_process_leaves_nothing_for_long() {
    let (source_dir, source) = segment(0);
    let place_dir = tempfile::tempdir().unwrap();
    let place = BackupPlace::create(&place_dir.path().display().to_string()).await.unwrap();
    let file = put(source_dir.path(), "1.parquet", b"rows");
    let folder = place_dir.path().join("files/0/base/t7");
    fs::create_dir_all(&folder).unwrap();
    let long_ago = std::time::SystemTime::now() - 2 * crate::limits::BACKUP_TEMPORARY_LIFE;
    fs::write(folder.join(".new.tmp"), b"ro").unwrap();
    fs::File::create(folder.join(".old.tmp")).unwrap().set_modified(long_ago).unwrap();
    back_up(&source, &place, &[file]).await.unwrap();
    assert_eq!(names(place_dir.path()), [".new.tmp", "1.parquet"]);
}

#[tokio::test]
async fn a_busy_bucket_is_asked_again() {
    let (source_dir, source) = segment(0);
    let (target_dir, target) = segment(1);
    let (place, bucket) = faulty_place();
    let files = [put(source_dir.path(), "1.parquet", &large()), put(source_dir.path(), "2.parquet", b"small")];
    for kind in ["list", "put", "put", "multipart", "part", "complete", "head"] {
        bucket.script.fail(kind, Fault::Refused);
    }
    let copied = back_up(&source, &place, &files).await.unwrap();
    assert_eq!((copied.new_files, copied.new_bytes), (2, files[0].bytes + files[1].bytes));

    for (kind, fault) in [("get", Fault::Refused), ("get", Fault::Cut), ("get", Fault::Cut), ("head", Fault::Refused)] {
        bucket.script.fail(kind, fault);
    }
    let wanted: Vec<RestoreFile> = files.iter().map(restored).collect();
    restore(&target, &place, &wanted).await.unwrap();
    assert!(bucket.script.is_over(), "every fault came");
    assert_eq!(fs::read(target_dir.path().join(&wanted[0].target)).unwrap(), large());
    assert_eq!(fs::read(target_dir.path().join(&wanted[1].target)).unwrap(), b"small");
}

#[tokio::test]
async fn a_lost_answer_is_resolved_by_reading_back() {
    let (source_dir, source) = segment(0);
    let (place, bucket) = faulty_place();
    let files = [put(source_dir.path(), "1.parquet", &large()), put(source_dir.path(), "2.parquet", b"small")];
    bucket.script.fail("put", Fault::AnswerLost);
    bucket.script.fail("complete", Fault::AnswerLost);
    back_up(&source, &place, &files).await.unwrap();
    assert!(bucket.script.is_over());
    assert_eq!((bucket.script.count("put"), bucket.script.count("complete")), (1, 1), "neither was sent again");
    let there =
        bucket.inner.get(&ObjectPath::from("p/files/0/base/t7/1.parquet")).await.unwrap().bytes().await.unwrap();
    assert_eq!(there, large());

    // The client of a bucket asks again by itself, and hears that the upload is gone.
    let third = put(source_dir.path(), "3.parquet", &large());
    bucket.script.fail("complete", Fault::Gone);
    back_up(&source, &place, &[third]).await.unwrap();
    assert_eq!((bucket.script.is_over(), bucket.script.count("complete")), (true, 2), "it was not sent again");
    // Or it is gone indeed: it is sent again.
    let fourth = put(source_dir.path(), "4.parquet", &large());
    bucket.script.fail("part", Fault::Forbidden);
    back_up(&source, &place, &[fourth]).await.unwrap();
    assert_eq!((bucket.script.is_over(), bucket.script.count("complete")), (true, 3));

    bucket.script.fail("put", Fault::AnswerLost);
    place.write_new("backups/a.json", Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(place.read("backups/a.json").await.unwrap(), b"{}"[..]);
    // An attempt whose answer was lost is not taken for somebody else's; somebody else's is.
    bucket.script.fail("put", Fault::Refused);
    assert_eq!(place.write_new("backups/a.json", Bytes::from_static(b"[]")).await.unwrap_err().sqlstate(), "58P02");
}

#[tokio::test]
async fn a_refused_request_is_not_taken_for_a_lost_answer() {
    let (source_dir, source) = segment(0);
    let (place, bucket) = faulty_place();
    let file = put(source_dir.path(), "1.parquet", b"small");
    let location = ObjectPath::from("p/files/0/base/t7/1.parquet");
    // Somebody's, of another length: it is to be replaced, and is still there after the refusal.
    bucket.inner.put(&location, "SMAL".into()).await.unwrap();
    bucket.script.fail("put", Fault::Refused);
    back_up(&source, &place, &[file]).await.unwrap();
    assert_eq!(bucket.inner.get(&location).await.unwrap().bytes().await.unwrap(), b"small"[..]);
    assert_eq!(bucket.script.count("put"), 2);
}

#[tokio::test]
async fn what_will_not_change_is_told_at_once() {
    let (source_dir, source) = segment(0);
    let (place, bucket) = faulty_place();
    let file = put(source_dir.path(), "1.parquet", b"small");
    bucket.script.fail("put", Fault::Forbidden);
    let error = back_up(&source, &place, std::slice::from_ref(&file)).await.unwrap_err();
    assert_eq!(error.sqlstate(), "42501", "{error}");
    assert_eq!(bucket.script.count("put"), 1, "it was not asked again");
    assert!(error.to_string().contains("s3://test/p/files/0/base/t7/1.parquet"), "{error}");
    // What was read is the right file only at its end: nothing is sent of a damaged one.
    fs::write(source_dir.path().join(&file.path), b"smalL").unwrap();
    assert_eq!(back_up(&source, &place, &[file]).await.unwrap_err().sqlstate(), "XX001");
    assert_eq!(bucket.script.count("put"), 1);
}

#[tokio::test]
async fn a_dropped_copy_leaves_whole_files_or_none() {
    let (source_dir, source) = segment(0);
    let place_dir = tempfile::tempdir().unwrap();
    let place = BackupPlace::create(&place_dir.path().display().to_string()).await.unwrap();
    let files: Vec<BackupFile> = (0..8).map(|i| put(source_dir.path(), &format!("{i}.parquet"), &large())).collect();
    // In the midst of the first files, and once one of them has its name.
    for wanted in [".tmp", ".parquet"] {
        let mut copy = source.back_up(&place, files.clone());
        let is_there = async {
            while !names(place_dir.path()).iter().any(|name| name.ends_with(wanted)) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        let all = async { while copy.try_next().await.unwrap().is_some() {} };
        tokio::select! {
            () = is_there => {}
            () = all => {}
        }
        drop(copy);
        // A file that was about to be made is made, and goes.
        settles(place_dir.path(), |names| names.iter().all(|name| !name.starts_with('.'))).await;
        for name in names(place_dir.path()).iter().filter(|name| !name.starts_with('.')) {
            let copied = fs::read(place_dir.path().join("files/0/base/t7").join(name)).unwrap();
            assert!(copied == large(), "{name} has {} bytes", copied.len());
        }
    }
    let there = names(place_dir.path()).iter().filter(|name| !name.starts_with('.')).count() as u64;
    assert!(there > 0, "what has its name stays");
    let copied = back_up(&source, &place, &files).await.unwrap();
    assert_eq!((copied.files, copied.new_files), (8, 8 - there));
}

#[tokio::test]
async fn a_directory_of_the_segments_own_is_no_place() {
    let (directory, source) = segment(0);
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("link");
    std::os::unix::fs::symlink(directory.path().join("base"), &link).unwrap();
    for inside in [directory.path(), &directory.path().join("base/new/place"), &link, &link.join("new")] {
        let error = source.refuse_place_inside(&inside.display().to_string()).await.unwrap_err();
        assert!(error.sqlstate() == "22023" && error.to_string().contains("seg0"), "{error}");
    }
    for outside in [links.path().display().to_string(), "/nowhere/at/all".into(), "s3://bucket/base".into()] {
        source.refuse_place_inside(&outside).await.unwrap();
    }
}

#[tokio::test]
async fn what_would_not_be_read_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let place = BackupPlace::create(&directory.path().display().to_string()).await.unwrap();
    let long = Bytes::from(vec![0_u8; crate::limits::BACKUP_MANIFEST_BYTES_MAX as usize + 1]);
    let error = place.write_new("backups/a.json", long).await.unwrap_err();
    assert!(error.sqlstate() == "54001" && error.to_string().contains("backups/a.json"), "{error}");
    assert_eq!(names(directory.path()), [""; 0]);
}
