//! One segment's table files.

use crate::StorageError;
use crate::backup::PlaceUrl;
use crate::blocking;
use crate::cache::ColumnCache;
use crate::deletes::DeleteVectors;
use crate::footers::{Footers, Verification};
use crate::handover::{self, GiveExec, Giving, leaving_row_by_row};
use crate::limits::{PLACE_REMOVALS_AT_ONCE, PLACES_OPEN_MAX};
use crate::object_clients::bucket_client;
use crate::places::{Bucket, BucketClient, Directory, Place};
use crate::range_cache::{ObjectName, RangeCache};
use crate::retry::RetryPolicy;
use crate::scan::{self, TableFiles};
use crate::write::{self, ModifySpec, WriteSpec};
use damson_cluster::{ContentId, Departures, FileEntry, PlaceId, PlaceSpec, TableId};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_plan::ExecutionPlan;
use futures::{StreamExt, stream};
use object_store::path::{Path as ObjectPath, PathPart};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a place's table files are: `base/t{table}/{uuid}.parquet`.
const BASE: &str = "base";

/// The table files of one content on this node, at one place. The node makes the one of its data directory, and from it those of others
/// ([`TableStore::at`]); a clone shares everything.
#[derive(Clone, Debug)]
pub struct TableStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    content: ContentId,
    data_dir: PathBuf,
    /// At this store's place.
    files: Arc<TableFiles>,
    places: Arc<OtherPlaces>,
}

/// What the contents of a process share.
#[derive(Clone, Debug)]
pub struct StoreCaches {
    /// Decoded columns.
    pub columns: Arc<ColumnCache>,
    /// Ranges of files in buckets.
    pub ranges: Arc<RangeCache>,
}

/// Places beside the data directory that were used.
#[derive(Debug)]
struct OtherPlaces {
    ranges: Arc<RangeCache>,
    opened: Mutex<BTreeMap<PlaceId, (PlaceSpec, Arc<TableFiles>)>>,
}

impl TableStore {
    /// Opens a data directory, and creates it durably where it is missing. Nothing is cached but footers. Blocks.
    pub fn open(content: ContentId, data_dir: &Path) -> Result<TableStore, StorageError> {
        TableStore::open_with_cache(content, data_dir, Arc::new(ColumnCache::new(0)), Verification::default())
    }

    /// As [`TableStore::open`]; scans keep the columns that they decode in `cache`, which the node's contents share.
    pub fn open_with_cache(
        content: ContentId,
        data_dir: &Path,
        cache: Arc<ColumnCache>,
        verification: Verification,
    ) -> Result<TableStore, StorageError> {
        let caches = StoreCaches { columns: cache, ranges: Arc::new(RangeCache::off()) };
        TableStore::open_with_caches(content, data_dir, caches, verification)
    }

    /// As [`TableStore::open_with_cache`], with a cache of ranges for the places that are buckets.
    pub fn open_with_caches(
        content: ContentId,
        data_dir: &Path,
        caches: StoreCaches,
        verification: Verification,
    ) -> Result<TableStore, StorageError> {
        let StoreCaches { columns, ranges } = caches;
        let directory = Directory::open(data_dir, BASE)?;
        let data_dir = directory.root.clone();
        let place = Place::Directory(Arc::new(directory));
        let (footers, deletes) = (Footers::new(place.clone(), verification), DeleteVectors::new(place.clone()));
        let files = Arc::new(TableFiles { place, footers, deletes, cache: columns });
        let places = Arc::new(OtherPlaces { ranges, opened: Mutex::default() });
        Ok(TableStore { inner: Arc::new(Inner { content, data_dir, files, places }) })
    }

    /// This content's files at another place; of [`PlaceId::LOCAL`] they are this store's. Of a bucket nothing is asked yet.
    ///
    /// # Errors
    /// 22023 for what is no URL of a place, or for credentials that a client cannot be made of; [`StorageError::Io`] for a directory.
    pub async fn at(&self, spec: &PlaceSpec) -> Result<TableStore, StorageError> {
        if spec.id.is_local() {
            return Ok(self.clone());
        }
        if let Some((opened, files)) = self.inner.places.opened.lock().get(&spec.id)
            && opened == spec
        {
            return Ok(self.with(Arc::clone(files)));
        }
        let (store, asked) = (self.clone(), spec.clone());
        // The client of a bucket reads certificates from the disk.
        let place = blocking::try_run("open", "a place".as_ref(), move || store.open_place(&asked)).await?;
        let files = self.files_at(place);
        let mut opened = self.inner.places.opened.lock();
        // Which of them goes does not matter: it is opened again.
        if opened.len() >= PLACES_OPEN_MAX {
            opened.pop_first();
        }
        opened.insert(spec.id, (spec.clone(), Arc::clone(&files)));
        Ok(self.with(files))
    }

    /// This content's files in a bucket that the caller has a client of. `name` is its URL, or anything that no other bucket is called.
    pub fn in_bucket(&self, name: &str, client: BucketClient) -> TableStore {
        let bucket = self.bucket(name.to_owned(), ObjectPath::default(), client, "");
        self.with(self.files_at(bucket))
    }

    /// Blocks.
    fn open_place(&self, spec: &PlaceSpec) -> Result<Place, StorageError> {
        let url = PlaceUrl::parse(&spec.url)?;
        let name = url.to_string();
        match url {
            PlaceUrl::Directory(directory) => {
                let root = directory.join(&spec.cluster_id).join(self.content().to_string());
                Ok(Place::Directory(Arc::new(Directory::open(&root, BASE)?)))
            }
            PlaceUrl::Bucket(url) => {
                let client = bucket_client(&url.bucket, &spec.access)?;
                Ok(self.bucket(name, url.path, client, &spec.cluster_id))
            }
        }
    }

    /// Names of this content's files there begin with the cluster's id and the content's number.
    fn bucket(&self, name: String, prefix: ObjectPath, client: BucketClient, cluster_id: &str) -> Place {
        let content = self.content().to_string();
        let own = [cluster_id, &content].into_iter().filter(|part| !part.is_empty()).map(PathPart::from);
        let below: ObjectPath = own.clone().collect();
        let prefix: ObjectPath = prefix.parts().chain(own).collect();
        let (name, cache) = (format!("{name}/{below}"), Arc::clone(&self.inner.places.ranges));
        Place::Bucket(Arc::new(Bucket { client, name, prefix, retry: RetryPolicy::BUCKET, cache }))
    }

    fn files_at(&self, place: Place) -> Arc<TableFiles> {
        let TableFiles { footers, deletes, cache, .. } = &*self.inner.files;
        let (footers, deletes) = (footers.at(place.clone()), deletes.at(place.clone()));
        Arc::new(TableFiles { place, footers, deletes, cache: Arc::clone(cache) })
    }

    fn with(&self, files: Arc<TableFiles>) -> TableStore {
        let Inner { content, data_dir, places, .. } = &*self.inner;
        let (data_dir, places) = (data_dir.clone(), Arc::clone(places));
        TableStore { inner: Arc::new(Inner { content: *content, data_dir, files, places }) }
    }

    pub fn content(&self) -> ContentId {
        self.inner.content
    }

    /// The content's own, whatever this store's place; without links in its path.
    pub fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    /// Whether a path is in a directory of this content's tables.
    pub(crate) fn has_below(&self, path: &Path) -> bool {
        let opened = self.inner.places.opened.lock();
        let others = opened.values().map(|(_, files)| &files.place);
        let is_below = |place: &Place| match place {
            Place::Directory(directory) => path.starts_with(&directory.root),
            Place::Bucket(_) => false,
        };
        path.starts_with(&self.inner.data_dir) || others.chain([&self.inner.files.place]).any(is_below)
    }

    pub(crate) fn files(&self) -> &TableFiles {
        &self.inner.files
    }

    /// A leaf that reads the columns at `projection` (positions in `table_schema`, any order) of `files`, in exactly
    /// `partitions` partitions, each batch of exactly the projected schema. Columns that a file lacks, because they
    /// were added after it was written, are NULL. Without files it is the same plan and yields nothing.
    ///
    /// Filters and dynamic filters that are pushed into it prune row groups, and nothing else: they stay where they came
    /// from. It takes over limits and projections that select columns. Batches have [`crate::limits::CHUNK_ROWS`] rows
    /// whatever the session's batch size, fewer at a row group's end. It declares no ordering, and its statistics (rows
    /// and bytes) as inexact.
    ///
    /// A column of a row group that was read to its end may stay in the node's [`ColumnCache`], decoded, and is then
    /// neither read nor decoded again. Files never change and their names are never used again, so nothing in it is
    /// ever stale.
    ///
    /// # Memory
    /// A partition: the encoded bytes of two row groups' projected columns, and one batch. Footers stay in the store;
    /// the cache bounds itself, with the columns that are on their way into it.
    ///
    /// # Cancellation
    /// Dropping the stream ends it; reads in progress finish in the background.
    ///
    /// # Errors
    /// Its stream fails with [`StorageError::Missing`] or [`StorageError::Corrupt`] before a file's first row: length
    /// and checksum are verified once per process. They arrive wrapped: use [`StorageError::find`].
    pub fn scan(
        &self,
        table_schema: &SchemaRef,
        projection: &[usize],
        files: &[FileEntry],
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        scan::scan(Arc::clone(&self.inner.files), table_schema, projection, files, false, partitions)
    }

    /// As [`TableStore::scan`], in one partition, with two more columns after the projection: `file` (Int32, position in
    /// `files`) and `row` (Int64, number in the file), which [`TableStore::modify`] takes.
    ///
    /// # Errors
    /// As [`TableStore::scan`].
    pub fn scan_with_row_ids(
        &self,
        table_schema: &SchemaRef,
        projection: &[usize],
        files: &[FileEntry],
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        scan::scan(Arc::clone(&self.inner.files), table_schema, projection, files, true, 1)
    }

    /// A sink that writes `input`'s rows, which have the table's columns in its order, into new files. One partition, one
    /// batch of one row: `rows` (UInt64) and `files` (Binary, JSON of `Vec<FileEntry>`, `created` 0). When that row
    /// arrives, every file and its directory are on stable storage. Rows that the statement returns come in batches before it, see
    /// [`WriteSpec::returning`].
    ///
    /// # Memory
    /// One row group while it is encoded and one while it is written, at most about
    /// [`crate::limits::ROW_GROUP_BYTES_MAX`] each; of a table whose files are divided by buckets ([`WriteSpec::buckets`]) several that have as much
    /// together, and [`crate::limits::OPEN_BUFFERS_BYTES_MAX`], unless the pool has less; 8 bytes for each row and key; the rows that are returned. Reserved from the query's
    /// memory pool.
    ///
    /// # Cancellation
    /// Dropping the stream before its row removes every file that it made.
    ///
    /// # Errors
    /// As on cancellation, then [`StorageError::NotNull`], [`StorageError::Check`], [`StorageError::Duplicate`], [`StorageError::Io`]
    /// (53100 on a full disk), or the input's.
    pub fn write(
        &self,
        spec: WriteSpec,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        write::plan(self.inner.content, Arc::clone(&self.inner.files), spec, input)
    }

    /// A sink that deletes the rows that `input` names, and writes the rows that take their place. One partition, one batch of
    /// one row: `rows` (UInt64, those that were changed) and `files` (Binary, JSON of a
    /// [`Modification`](damson_cluster::Modification)). Columns of `input`: `file` and `row` as from
    /// [`TableStore::scan_with_row_ids`] over the same files, then what [`ModifySpec::writes`] says.
    ///
    /// A row that comes twice is deleted once, and its first new row counts.
    ///
    /// # Memory
    /// A bitmap of the deleted rows of each file that has any, and what [`TableStore::write`] takes; from the query's pool.
    ///
    /// # Cancellation
    /// Dropping the stream before its row removes every file that it made.
    ///
    /// # Errors
    /// As [`TableStore::write`].
    pub fn modify(
        &self,
        spec: ModifySpec,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        write::modify(self.inner.content, Arc::clone(&self.inner.files), spec, input)
    }

    /// As [`TableStore::scan_with_row_ids`], of the row groups whose rows leave otherwise than by [`TableStore::give_row_groups`], or may; `key`
    /// are the positions of the distribution key.
    ///
    /// # Errors
    /// As [`TableStore::scan`].
    pub fn scan_leaving(
        &self,
        table_schema: &SchemaRef,
        projection: &[usize],
        files: &[FileEntry],
        key: &[usize],
        departures: &Arc<Departures>,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        let choice = Some(leaving_row_by_row(key, departures));
        scan::scan_chosen(Arc::clone(&self.inner.files), table_schema, projection, files, true, 1, choice)
    }

    /// A leaf that sends the row groups of `files` that another segment gets as they are, or nearly, and what is left of those files: rows
    /// of [`handover_schema`](damson_cluster::handover_schema), each of which names the segment that it is for.
    ///
    /// # Errors
    /// As [`TableStore::scan`].
    pub fn give_row_groups(
        &self,
        table_schema: &SchemaRef,
        files: &[FileEntry],
        key: &[usize],
        departures: &Arc<Departures>,
    ) -> Arc<dyn ExecutionPlan> {
        Arc::new(self.giving(table_schema, files, key, departures, false))
    }

    /// The same of files that others read where they are: a leaf that sends them what they may not read, and what is left of the files.
    ///
    /// # Errors
    /// As [`TableStore::scan`].
    pub fn share_files(
        &self,
        table_schema: &SchemaRef,
        files: &[FileEntry],
        key: &[usize],
        departures: &Arc<Departures>,
    ) -> Arc<dyn ExecutionPlan> {
        Arc::new(self.giving(table_schema, files, key, departures, true))
    }

    fn giving(
        &self,
        table_schema: &SchemaRef,
        files: &[FileEntry],
        key: &[usize],
        departures: &Arc<Departures>,
        in_place: bool,
    ) -> GiveExec {
        GiveExec::new(Giving {
            content: self.inner.content,
            files: Arc::clone(&self.inner.files),
            schema: Arc::clone(table_schema),
            key: key.to_vec(),
            departures: Arc::clone(departures),
            in_place,
            entries: files.to_vec(),
        })
    }

    /// A sink of such rows: makes files of what others give, and delete vectors of what has left `files`, which this segment's leaf has. One
    /// partition, one batch of one row: `rows` (UInt64, those that came) and `files` (Binary, JSON of a
    /// [`HandedOver`](damson_cluster::HandedOver)).
    ///
    /// # Memory
    /// What is written of each file that comes: a row's bytes, in the message that they came in.
    ///
    /// # Cancellation
    /// Dropping the stream before its row removes every file that it made.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] for a file that did not arrive as it was sent; [`StorageError::Io`]; the input's.
    pub fn take_row_groups(
        &self,
        table: TableId,
        files: &[FileEntry],
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        handover::take(self.inner.content, Arc::clone(&self.inner.files), table, files.to_vec(), input)
    }

    /// Deletes files: dropped tables, a failed statement's orphans. Missing ones are fine. Tries all before it reports the
    /// first failure, but of a bucket that does not answer no more than are under way. Their columns leave the cache; of what the range cache has of them, memory ages out.
    pub async fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        let TableFiles { place, footers, deletes, cache, .. } = &*self.inner.files;
        cache.forget(&paths.iter().filter_map(|path| footers.forget(path)).collect());
        for path in paths {
            deletes.forget(path);
            if let Place::Bucket(bucket) = place {
                self.inner.places.ranges.forget(ObjectName::new(&bucket.name_of(path)));
            }
        }
        let at_once = if place.is_remote() { PLACE_REMOVALS_AT_ONCE } else { 1 };
        let removals: Vec<_> = paths.iter().map(|path| place.remove(path)).collect();
        let (mut removals, mut outcome) = (stream::iter(removals).buffer_unordered(at_once), Ok(()));
        while let Some(removed) = removals.next().await {
            let gives_up = place.is_remote() && removed.as_ref().is_err_and(|error| error.sqlstate() == "58030");
            outcome = outcome.and(removed);
            if gives_up {
                break;
            }
        }
        outcome
    }

    /// Every data file of this content at this place and its bytes: paths as in [`FileEntry::path`]. Files that are being written may be
    /// among them, so what the catalog does not know is an orphan only once no statement that can have made it runs.
    pub async fn list(&self) -> Result<Vec<(String, u64)>, StorageError> {
        self.inner.files.place.list(BASE).await
    }
}
