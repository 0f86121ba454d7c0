//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Rows of a table file after which the next begins: a file is the unit of compaction and of moving buckets.
pub const FILE_ROWS_MAX: u64 = 4 << 20;

/// Bytes of a table file after which the next begins, whatever its rows: wide rows must not make files that take
/// minutes to move.
pub const FILE_BYTES_MAX: u64 = 512 << 20;

/// Rows of a row group: large enough for dictionaries and pruning to pay, small enough to decode in parallel.
pub const ROW_GROUP_ROWS_MAX: usize = 1 << 20;

/// Bytes of a row group while it is encoded: what one writer holds in memory.
pub const ROW_GROUP_BYTES_MAX: usize = 128 << 20;

/// Bytes of a column's dictionary in a row group: where it is as large, values go on without. Parquet writers' own default.
pub const DICTIONARY_BYTES_MAX: usize = 1 << 20;

/// Values of a dictionary that is small whatever else could be: it stays in a core's nearest caches, and runs of one value take no room.
pub const DICTIONARY_FEW_VALUES: usize = 4096;

/// Rows of a file that tell how its columns are encoded: a batch of COPY. Up to some 60,000 values it can be seen from them how many there are;
/// dictionaries of more seldom pay.
pub const ENCODING_SAMPLE_ROWS: usize = 8192;

/// Bytes of the rows that a file's writer holds until it knows the encodings: of long rows fewer tell.
pub const ENCODING_SAMPLE_BYTES: usize = 16 << 20;

/// What a column may be long at most by an encoding that takes more time, as a part of its length by a simpler one.
pub const ENCODING_PAYS: f64 = 0.75;

/// Rows of a file from which on it is divided by buckets: a file of eight row groups has a batch and more in the shortest, a twelfth.
pub const DIVIDED_ROWS_MIN: usize = 128 << 10;

/// Bytes of the rows that are held until they are so many: longer rows are enough before.
pub const DIVIDED_HELD_BYTES: usize = 32 << 20;

/// Rows that are divided by buckets at once: most of eight row groups get thousands of them. Those of one batch of a motion would be some
/// hundred, and COPY of lineitem took a sixth more time than without buckets.
pub const DIVIDED_AT_ONCE_ROWS: usize = 4 * CHUNK_ROWS;

/// Bytes of the rows that are gathered until they are so many: longer rows are enough before.
pub const DIVIDED_AT_ONCE_BYTES: usize = 16 << 20;

/// Bytes of a memory pool in which files are divided. A smaller one has no room for what that takes beside what it is for: in a writer, up to
/// [`DIVIDED_HELD_BYTES`] and then [`OPEN_BUFFERS_BYTES_MAX`] more than otherwise.
pub const DIVIDED_POOL_BYTES_MIN: usize = 1 << 30;

/// Bytes that the row groups that are open at once may hold before they have rows: as much again is for rows.
pub const OPEN_BUFFERS_BYTES_MAX: usize = ROW_GROUP_BYTES_MAX / 2;

/// Column chunks that are open at once in one file: each has its buffers, some 10 KiB.
pub const OPEN_CHUNKS_MAX: usize = 1024;

/// Bytes of the buffer of a column with DELTA_BINARY_PACKED, and of a Bloom filter of a full row group, while it is encoded.
pub const DELTA_BUFFER_BYTES: usize = 1 << 20;
pub const BLOOM_FILTER_BYTES: usize = 2 << 20;

/// Columns of a file with DELTA_BINARY_PACKED: each holds a buffer of 1 MiB as soon as a row group begins.
pub const DELTA_COLUMNS_MAX: usize = 32;

/// Rows of a batch that COPY hands on: DataFusion's own default.
pub const BATCH_ROWS: usize = 8192;

/// Bytes that COPY reads from a text file at a time; the next block is read while one is parsed.
pub const COPY_BLOCK_BYTES: usize = 4 << 20;

/// Bytes that are read first where the end of one line is looked for: a line is seldom longer.
pub const FIRST_READ_BYTES: usize = 64 << 10;

/// A segment's share of a text file is at least this: less does not pay for a cut.
pub const COPY_RANGE_BYTES_MIN: u64 = 1 << 20;

/// Bytes of the pieces in which a text file is looked through for its cuts: enough of them for every core, and for the requests to a
/// bucket that are worth making at once.
pub const SPLIT_PIECE_BYTES: u64 = 32 << 20;

/// Pieces of one file that are looked through at once, each with a block of it in memory.
pub const SPLIT_PIECES_AT_ONCE: usize = 8;

/// Files whose cuts, or whose footers, are looked for at once.
pub const SPLIT_FILES_AT_ONCE: usize = 8;

/// Bytes of one request to a bucket: a larger read is several at once.
pub const SOURCE_PART_BYTES: u64 = 2 << 20;

/// Requests at once for one read.
pub const SOURCE_PARTS_AT_ONCE: usize = 8;

/// Bytes of a file that is held in memory because its web server gives no parts of files: once for each piece of it that is read.
pub const SOURCE_WHOLE_BYTES_MAX: u64 = 64 << 20;

/// Addresses that a web server may send a request on to, one after the other.
pub const SOURCE_REDIRECTS_MAX: usize = 5;

/// Files of one COPY: each takes about 200 bytes on the master, and a row of the catalog.
pub const SOURCE_FILES_MAX: usize = 1_000_000;

/// Levels of directories below a name: links that lead in a circle end here.
pub const SOURCE_DEPTH_MAX: usize = 64;

/// Choices of a pattern's `{a,b}` together.
pub const PATTERN_ALTERNATIVES_MAX: usize = 1_000;

/// Clients of buckets, and of web servers, that are kept, each with its idle connections.
pub const OBJECT_CLIENTS_MAX: usize = 64;

/// Files that are looked at for their columns; of a directory of many that are alike.
pub const INFER_FILES_MAX: usize = 32;

/// Bytes of a text file that are looked at for its columns.
pub const INFER_BYTES: usize = 1 << 20;

/// Records of a text file that are looked at.
pub const INFER_ROWS_MAX: usize = 10_000;

/// Members that objects may have whose names make columns: more are a map of something.
pub const INFER_COLUMNS_MAX: usize = 2_000;

/// Bytes of a compressed file that are read at a time: they become several times as many.
pub const DECODE_READ_BYTES: usize = 1 << 20;

/// Bytes of text after which a batch of records is handed on, however few they are: long records must not gather in memory.
pub const COPY_BATCH_BYTES: usize = 64 << 20;

/// Bytes of one record of a COPY text file. An unbalanced quote would otherwise swallow the file into memory.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

/// Bytes of a text or bytea that a table keeps: a page of Parquet has whole values, and encoding one is not interrupted. As long as a record of
/// COPY may be.
pub const VALUE_BYTES_MAX: usize = RECORD_BYTES_MAX;

/// Bad rows that a reader of COPY gathers before it counts and logs them: 4 MiB at most, see [`damson_cluster::BAD_ROW_BYTES_MAX`].
pub const BAD_ROWS_AT_ONCE: usize = 1024;

/// Bytes of the bad rows that one statement logs on one segment: who has a thousand of them at hand needs no more.
pub const ERROR_LOG_FILE_BYTES_MAX: u64 = 16 << 20;

/// Bytes of one table's error log on one segment; all of it is read at once.
pub const ERROR_LOG_BYTES_MAX: u64 = 64 << 20;

/// Fields of the records that are cut before they are typed, 8 bytes each: a table of many columns has smaller batches.
pub const RECORD_FIELDS_MAX: usize = 1 << 20;

/// Bytes that COPY's writers collect before they write.
pub const CSV_WRITE_BYTES: usize = 1 << 20;

/// Bytes of text that COPY TO compresses at a time, and of rows that are encoded between two looks at a part's size.
pub const COPY_TO_PIECE_BYTES: usize = 256 << 10;

/// Bytes of a part of COPY TO after which the next begins, if the statement does not say: as many as other engines' readers give to one
/// task, and few parts of a large table.
pub const COPY_TO_PART_BYTES: u64 = 256 << 20;

/// Parts of one COPY TO on one segment: each is listed in its report, which the master keeps until the end.
pub const COPY_TO_PARTS_MAX: usize = 200_000;

/// Directories of PARTITION BY that have a part open at once, on one segment: each is a file, and a writer with its buffers.
pub const COPY_TO_OPEN_MAX: usize = 64;

/// Bytes that the open parts of one COPY TO hold on one segment, beside the one that is written to.
pub const COPY_TO_OPEN_BYTES_MAX: usize = 256 << 20;

/// Parts that are being finished at once: a bucket answers after tens of milliseconds, and there may be many small ones.
pub const COPY_TO_FINISHING_MAX: usize = 8;

/// Bytes of a directory's name, `column=value`: what file systems take.
pub const COPY_TO_DIRECTORY_BYTES_MAX: usize = 255;

/// COPY TOs whose end a segment waits for; of more, the oldest stay as they are.
pub const EXPORTS_REMEMBERED_MAX: usize = 1024;

/// How long a segment waits for the writers of a COPY TO that failed, and for what they take back, before it says so.
pub const EXPORT_END_WAIT: Duration = Duration::from_secs(20);
/// How long a request that makes an object of a COPY TO is waited for when the statement has ended; within [`EXPORT_END_WAIT`].
pub const UPLOAD_ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Bytes of an upload's part, for the first parts of a file, and for those after them: buckets take so many parts, and 5 MiB at least.
pub const UPLOAD_PART_BYTES: usize = 8 << 20;
pub const UPLOAD_LATER_PART_BYTES: usize = 32 << 20;
pub const UPLOAD_FIRST_PARTS: usize = 4_000;
pub const UPLOAD_PARTS_MAX: usize = 10_000;

/// Parts of one file on their way to a bucket at once: the next is sent while an answer is awaited.
pub const UPLOAD_PARTS_AT_ONCE: usize = 2;

/// Bytes of a file that is made, written and synced by one call off the runtime: a row that is inserted alone makes a file of 1 to 4 KiB,
/// and the wake of a thread costs as much as writing it.
pub const SMALL_FILE_BYTES: usize = 64 << 10;

/// Bytes of a new file after which the system is asked to put them on stable storage while others are made: what its end waits for is then of
/// about this size, and not the whole file.
pub const WRITE_BEHIND_BYTES: u64 = 16 << 20;

/// Bytes of a file that are read at a time when its row groups get another segment, and of those that travel as one row: a motion's message has a
/// few of these.
pub const HANDOVER_READ_BYTES: u64 = 4 << 20;
pub const HANDOVER_PIECE_BYTES: usize = 256 << 10;

/// Reads that wait for the motion: one is on its way while another is made.
pub const HANDOVER_READS_AHEAD: usize = 2;

/// Files of a bucket whose footers and delete vectors are read ahead when they are given to others.
pub const HANDOVER_FOOTERS_AHEAD: usize = 16;

/// Files that have come whole and are being synced, while others come; when one more has come, the first of them is waited for.
pub const HANDOVER_SYNCS_MAX: usize = 4;

/// The same, of delete vectors, which are small: a bucket takes its time for each, and takes many at once.
pub const HANDOVER_VECTORS_MAX: usize = 16;

/// Files that come to a segment at once: one from each of the others.
pub const HANDOVER_FILES_MAX: usize = 1 << 14;

/// Bytes hashed at a time while a file's checksum is verified.
pub const VERIFY_BLOCK_BYTES: usize = 1 << 20;

/// Requests at once while the checksum of a file in a bucket is compared.
pub const VERIFY_REQUESTS_AT_ONCE: usize = 4;

/// Bytes that are asked for at once at the end of a file in a bucket, where it has its footer.
pub const FOOTER_GUESS_BYTES: usize = 64 << 10;

/// Files whose footers are kept in memory by one segment; a footer of 20 columns and 4 row groups takes about 30 KiB.
pub const FOOTERS_MAX: usize = 16 << 10;

/// Bytes of delete vectors that one content keeps: a tenth of a billion rows, deleted at random, takes about 125 MiB on disk,
/// and a table's vectors are read again by each of its scans.
pub const DELETES_CACHE_BYTES: u64 = 64 << 20;

/// Rows of a batch of a table scan, and of a chunk of a cached column: DataFusion's own batch size.
pub const CHUNK_ROWS: usize = 8192;

/// The part of a column cache's capacity that one column of one row group may take: one over this. What is larger would
/// drive out everything else.
pub const CACHE_COLUMN_SHARE: u64 = 4;

/// The part of a column cache's capacity that columns may take together while they are decoded, beside the capacity: one
/// over this.
pub const CACHE_COLLECTING_SHARE: u64 = 2;

/// Bytes of a typical cached column: sizes the cache's memory of evicted keys, where an order of magnitude is good enough.
pub const CACHE_COLUMN_BYTES_EXPECTED: u64 = 1 << 20;

/// Columns that a cache of any capacity is prepared for: small tables have small columns, and 64 Ki keys take a few MiB.
pub const CACHE_COLUMNS_EXPECTED_MIN: usize = 1 << 10;
pub const CACHE_COLUMNS_EXPECTED_MAX: usize = 64 << 10;

/// Bytes of a value shown in an error.
pub const ERROR_VALUE_BYTES_MAX: usize = 64;

/// Bytes of a text value kept as a file's minimum or maximum.
pub const STAT_TEXT_BYTES_MAX: usize = 64;

const _: () = assert!(FILE_ROWS_MAX + (ROW_GROUP_ROWS_MAX as u64) < u32::MAX as u64, "row numbers have 32 bits");
const _: () = assert!(ROW_GROUP_ROWS_MAX as u64 <= FILE_ROWS_MAX, "a file holds at least one row group");
const _: () = assert!((ROW_GROUP_BYTES_MAX as u64) < FILE_BYTES_MAX, "a file holds several row groups");
const _: () = assert!(ENCODING_SAMPLE_BYTES < ROW_GROUP_BYTES_MAX, "what is held is a small part of a row group");
const _: () = assert!(DIVIDED_HELD_BYTES < ROW_GROUP_BYTES_MAX, "what is held is a small part of a row group");
const _: () = assert!(DIVIDED_AT_ONCE_BYTES <= DIVIDED_HELD_BYTES, "what is gathered takes no more than what was held");
const _: () = assert!(DIVIDED_ROWS_MIN / 12 > CHUNK_ROWS, "the shortest row group has a batch");
const _: () =
    assert!(DIVIDED_AT_ONCE_ROWS + CHUNK_ROWS < ROW_GROUP_ROWS_MAX / 8, "row groups end when they are nearly full");
const _: () =
    assert!(DELTA_COLUMNS_MAX * DELTA_BUFFER_BYTES < ROW_GROUP_BYTES_MAX, "buffers are a small part of a row group");
const _: () = assert!(COPY_BLOCK_BYTES < RECORD_BYTES_MAX, "a record may span blocks");
const _: () = assert!(CACHE_COLLECTING_SHARE <= CACHE_COLUMN_SHARE, "a column that may be kept can be collected");
// A field's length and kind share 32 bits: see `copy::csv::records`.
const _: () = assert!(
    COPY_BATCH_BYTES + RECORD_BYTES_MAX + 2 * COPY_BLOCK_BYTES <= 1 << 30,
    "offsets in a batch's text fit 30 bits"
);

/// The part of a column cache's capacity that hashes of keys take, 8 bytes for each row of a file whose keys were looked up: one over
/// this. Where they do not fit, Bloom filters tell most files that have none of a few keys.
pub const KEY_INDEX_SHARE: u64 = 16;

/// The part of a column cache's capacity that page indexes take: one over this. One of a file of four row groups and 20 columns takes about
/// 200 KiB.
pub const PAGE_INDEX_SHARE: u64 = 64;

/// The part of a column cache's capacity that Bloom filters take: one over this. One of a column of a million different values takes about
/// 1.5 MiB.
pub const BLOOM_FILTER_SHARE: u64 = 16;

/// Keys that are looked for in a file's Bloom filters before its keys are read: of more, a filter that is wrong once in a hundred
/// times nearly always says that one may be there.
pub const BLOOM_PROBES_MAX: usize = 64;

/// How often a Bloom filter says of a value that it may be there, and it is not: ten bits a value.
pub const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Characters of a value in an error's detail, as in PostgreSQL.
pub const DETAIL_VALUE_CHARS_MAX: usize = 64;

/// Bytes of a backup's files that are read and sent at a time: what buckets call a part. They want 5 MiB at least, and 10,000 parts of
/// an object at most.
pub const BACKUP_BLOCK_BYTES: usize = 8 << 20;

/// Parts of one file on their way to a bucket at once: the next is sent while an answer is awaited.
pub const BACKUP_PARTS_AT_ONCE: usize = 2;

/// Files that one content copies at once, to or from a place of backups: a bucket answers after tens of milliseconds.
pub const BACKUP_FILES_AT_ONCE: usize = 4;

/// Files that a process copies at once, whatever contents it hosts: each holds a block that is read, and its parts.
pub const BACKUP_FILES_OF_PROCESS_MAX: usize = 8;

/// The first pause after an answer of a bucket that may be another one next time, and the longest: each is twice the one before.
pub const BACKUP_RETRY_FIRST: Duration = Duration::from_millis(100);
pub const BACKUP_RETRY_LONGEST: Duration = Duration::from_secs(5);

/// How long a bucket may refuse before the copy gives up: longer than what clouds call a brief disturbance.
pub const BACKUP_RETRY_FOR: Duration = Duration::from_secs(60);

/// How long a bucket's server may refuse connections before a statement that looks for its files gives up.
pub const LOOK_RETRY_FOR: Duration = Duration::from_secs(5);

/// Bytes of a backup's manifest, and of a part of it: it is read whole. The master writes shorter ones.
pub const BACKUP_MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// A temporary file of a backup that nobody has written to for so long is a dead process's.
pub const BACKUP_TEMPORARY_LIFE: Duration = Duration::from_secs(3600);

/// Bytes of one request to a bucket of tables: long enough for a stream to reach its speed, short enough that several go at once.
pub const PLACE_REQUEST_BYTES: u64 = 8 << 20;

/// Bytes that are read for nothing to spare a request: about what a bucket sends in the time in which it answers.
pub const PLACE_GAP_BYTES: u64 = 1 << 20;

/// Requests at once for one read: one stream of a bucket gives a tenth of what a host's network takes.
pub const PLACE_REQUESTS_AT_ONCE: usize = 8;

/// Requests of a process to buckets of tables at once, whatever reads and writes there are.
pub const PLACE_REQUESTS_OF_PROCESS_MAX: usize = 64;

/// Bytes of a part of a table file that is sent to a bucket; a file that is no longer is sent in one request.
pub const PLACE_PART_BYTES: usize = 8 << 20;

/// Parts of one file on their way to a bucket at once: what a writer holds beside its row group.
pub const PLACE_PARTS_AT_ONCE: usize = 4;

/// Places beside the data directory that one content keeps open, each with its clients.
pub const PLACES_OPEN_MAX: usize = 64;

/// Files of a bucket that are removed at once.
pub const PLACE_REMOVALS_AT_ONCE: usize = 16;

/// Row groups of a bucket that a scan reads ahead, and their bytes: a bucket answers after tens of milliseconds, in which a small row group
/// is decoded. The next one is read whatever its size, as that of a disk is.
pub const READ_AHEAD_ROW_GROUPS: usize = 16;
pub const READ_AHEAD_BYTES: usize = 64 << 20;

/// Files of a bucket whose footers a scan reads ahead.
pub const READ_AHEAD_FOOTERS: usize = 4;

/// Bytes of a block of the range cache.
pub const RANGE_BLOCK_BYTES: u64 = 1 << 20;

/// Bytes of the range cache in memory: what is read again at once, such as the end of a file with its footer. The rest is in the kernel's
/// cache of the disk.
pub const RANGE_CACHE_MEMORY_BYTES: u64 = 64 << 20;

/// Bytes of the range cache on the disk, unless the process is told otherwise.
pub const RANGE_CACHE_DISK_BYTES: u64 = 10 << 30;

/// Bytes of the range cache that are on their way to the disk: who brings more waits.
pub const RANGE_CACHE_WRITING_BYTES_MAX: u64 = 64 << 20;

/// Reads of the range cache's disk at once for one read of a scan.
pub const RANGE_CACHE_READS_AT_ONCE: usize = 4;

const _: () = assert!(PLACE_REQUEST_BYTES.is_multiple_of(RANGE_BLOCK_BYTES), "a request brings whole blocks");
const _: () = assert!(PLACE_REQUEST_BYTES <= RANGE_CACHE_WRITING_BYTES_MAX, "what a request brings can be written");
const _: () = assert!(PLACE_PART_BYTES >= 5 << 20, "S3 takes no shorter part");
const _: () = assert!(FILE_BYTES_MAX.div_ceil(PLACE_PART_BYTES as u64) < 10_000 / 2, "S3 takes no more parts");
const _: () = assert!(PLACE_REQUESTS_AT_ONCE <= PLACE_REQUESTS_OF_PROCESS_MAX);
const _: () = assert!(BACKUP_BLOCK_BYTES >= 5 << 20, "S3 takes no shorter part");
const _: () = assert!(FILE_BYTES_MAX.div_ceil(BACKUP_BLOCK_BYTES as u64) < 10_000 / 2, "S3 takes no more parts");
const _: () = assert!(UPLOAD_PART_BYTES >= 5 << 20, "S3 takes no shorter part");
const _: () = assert!(UPLOAD_FIRST_PARTS < UPLOAD_PARTS_MAX && UPLOAD_PART_BYTES < UPLOAD_LATER_PART_BYTES);
const _: () = assert!(COPY_TO_PIECE_BYTES <= CSV_WRITE_BYTES, "pieces gather to blocks");
const _: () = assert!(BACKUP_FILES_AT_ONCE <= BACKUP_FILES_OF_PROCESS_MAX);
const _: () = assert!(ERROR_LOG_FILE_BYTES_MAX <= ERROR_LOG_BYTES_MAX, "a log holds a file");
