use super::super::exports::{Exports, Reported};
use super::*;
use crate::backup::testing::{Fault, FaultyStore, LATE};
use crate::sink::Keep;
use object_store::ObjectStore;

/// A bucket that fails as it is told, and its client.
fn bucket() -> (Arc<FaultyStore>, BucketClient) {
    let store = Arc::new(FaultyStore::default());
    (Arc::clone(&store), BucketClient { store: Arc::clone(&store) as Arc<dyn ObjectStore>, parts: store })
}

fn location() -> ObjectPath {
    ObjectPath::from("p/part.csv")
}

/// Not of whole parts, in blocks that do not fit into them.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

async fn begin(client: &BucketClient, export: &Arc<Export>, replaces: bool) -> Upload {
    Upload::begin(client, location(), "s3://b/p/part.csv", export, replaces).await.unwrap()
}

async fn send(upload: &mut Upload, content: &[u8]) -> Result<(), StorageError> {
    for block in content.chunks(1_300_000) {
        upload.write_block(Bytes::copy_from_slice(block)).await?;
    }
    Ok(())
}

async fn object(store: &FaultyStore) -> Option<Vec<u8>> {
    match store.inner.get(&location()).await {
        Ok(found) => Some(found.bytes().await.unwrap().to_vec()),
        Err(Error::NotFound { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

const LONG: usize = 3 * UPLOAD_PART_BYTES + 12_345;

#[tokio::test]
async fn a_file_arrives_whatever_the_bucket_says() {
    for (bytes, faults) in [
        (0, vec![]),
        (1_000, vec![]),
        (1_000, vec![("put", Fault::Refused), ("put", Fault::AnswerLost)]),
        (UPLOAD_PART_BYTES, vec![]),
        (LONG, vec![]),
        (LONG, vec![("multipart", Fault::Refused), ("part", Fault::Refused), ("part", Fault::AnswerLost)]),
        (LONG, vec![("complete", Fault::Refused), ("complete", Fault::AnswerLost)]),
        (LONG, vec![("complete", Fault::Gone), ("head", Fault::Refused)]),
    ] {
        let (store, client) = bucket();
        let exports = Exports::default();
        let export = exports.begin("s");
        faults.iter().for_each(|(kind, fault)| store.script.fail(kind, *fault));
        let content = content(bytes);
        let mut upload = begin(&client, &export, false).await;
        send(&mut upload, &content).await.unwrap();
        assert!(upload.memory_bytes() <= (UPLOAD_PARTS_AT_ONCE + 1) * UPLOAD_PART_BYTES + 1_300_000);
        assert_eq!(upload.finish().await.unwrap(), bytes as u64, "{faults:?}");
        assert!(object(&store).await.is_some_and(|found| found == content), "{bytes} {faults:?}");
        assert!(store.uploads.lock().is_empty() && store.script.is_over(), "{faults:?}");
        // Reported and kept, it stays; else it is taken back.
        if bytes == LONG {
            Box::new(Reported(export)).keep();
            exports.end("s", true).await.unwrap();
            assert!(object(&store).await.is_some());
        } else {
            drop(export);
            exports.take_back("s").await.unwrap();
            assert!(object(&store).await.is_none());
        }
    }
}

#[tokio::test]
async fn what_fails_or_is_given_up_leaves_nothing() {
    for fault in [None, Some("part"), Some("complete")] {
        let (store, client) = bucket();
        let exports = Exports::default();
        let export = exports.begin("s");
        if let Some(kind) = fault {
            store.script.fail(kind, Fault::Forbidden);
        }
        store.script.fail("abort", Fault::Refused);
        let mut upload = begin(&client, &export, false).await;
        let sent = send(&mut upload, &content(LONG)).await;
        assert_eq!(store.uploads.lock().len(), 1);
        match fault {
            None => drop(upload),
            Some(_) => {
                let ended = match sent {
                    Ok(()) => upload.finish().await.map(|_| ()),
                    Err(error) => {
                        drop(upload);
                        Err(error)
                    }
                };
                assert_eq!(ended.unwrap_err().sqlstate(), "42501", "{fault:?}");
            }
        }
        drop(export);
        exports.take_back("s").await.unwrap();
        assert!(store.uploads.lock().is_empty() && object(&store).await.is_none(), "{fault:?}");
    }
}

#[tokio::test]
async fn what_is_made_when_its_writer_has_gone_goes_too() {
    let (store, client) = bucket();
    let exports = Exports::default();
    let export = exports.begin("s");
    store.script.fail("put", Fault::Late);
    let mut upload = begin(&client, &export, false).await;
    send(&mut upload, &content(1_000)).await.unwrap();
    assert!(tokio::time::timeout(LATE / 10, upload.finish()).await.is_err(), "it has no answer yet");
    drop(export);
    exports.take_back("s").await.unwrap();
    assert_eq!(store.script.count("put"), 1);
    tokio::time::sleep(2 * LATE).await;
    assert!(object(&store).await.is_none());
}

#[tokio::test]
async fn another_object_is_replaced_or_stays() {
    for (fault, is_new) in [(Fault::None, true), (Fault::Gone, true), (Fault::Forbidden, false)] {
        let (store, client) = bucket();
        // As long as the new one: only its etag tells them apart.
        let old = vec![7; LONG];
        store.inner.put(&location(), old.clone().into()).await.unwrap();
        let exports = Exports::default();
        let export = exports.begin("s");
        store.script.fail("complete", fault);
        let mut upload = begin(&client, &export, true).await;
        send(&mut upload, &content(LONG)).await.unwrap();
        assert_eq!(upload.finish().await.is_ok(), is_new, "{fault:?}");
        drop(export);
        exports.take_back("s").await.unwrap();
        let wanted = if is_new { content(LONG) } else { old };
        assert!(object(&store).await == Some(wanted), "{fault:?}");
        assert!(store.uploads.lock().is_empty(), "{fault:?}");
    }
}
