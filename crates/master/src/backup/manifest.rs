//! What a backup says of its snapshot.

use super::limits::{ID_BYTES_MAX, PART_COLUMNS_MAX};
use crate::catalog::{SequenceDef, ViewDef};
use crate::error::{SqlError, SqlResult, SqlState, internal};
use chrono::{DateTime, Utc};
use damson_cluster::{BUCKETS, BucketMap, Distribution, FileEntry, MapVersion, SequencePosition, SnapshotId, TableDef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// Of the manifest and its parts.
const FORMAT: u32 = 1;

/// A backup: everything that a cluster needs to have its tables, except their files, which are listed in parts. It is written last, so
/// that a backup that has it is whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Its name among the backups of a place: see [`Manifest::order`].
    pub id: String,
    pub cluster_id: String,
    pub build: String,
    pub snapshot: SnapshotId,
    /// `2026-11-26T18:55:09Z`.
    pub taken_at: String,
    /// Of the cluster.
    pub segments: usize,
    /// Those that tables are laid out by.
    pub maps: Vec<BucketMap>,
    pub schemas: Vec<String>,
    pub tables: Vec<BackupTable>,
    pub views: Vec<ViewDef>,
    pub sequences: Vec<BackupSequence>,
    pub totals: Totals,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BackupSequence {
    pub def: SequenceDef,
    /// When the backup was made: beyond where it was in its snapshot, unless setval or RESTART went back since.
    pub position: SequencePosition,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BackupTable {
    pub def: TableDef,
    pub totals: Totals,
    /// The lists of its files.
    pub parts: Vec<Part>,
}

/// Of a table or of all. A replicated table is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Data files and delete vectors.
    pub files: u64,
    pub bytes: u64,
    /// Those that are not deleted.
    pub rows: u64,
}

impl Totals {
    pub fn add(&mut self, file: &FileEntry) {
        self.files += 1 + u64::from(file.deletes.is_some());
        self.bytes += file.bytes + file.deletes.as_ref().map_or(0, |vector| vector.bytes);
        self.rows += file.live_rows();
    }
}

/// A file of the place: a [`FileEntry`] a line, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub name: String,
    pub files: u64,
    pub bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
}

/// A manifest's first line, about the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    format: u32,
    bytes: u64,
    /// XXH3-64.
    checksum: u64,
}

impl Manifest {
    /// A new backup's name: `20261126T185509Z-s17-3fa9`. The end is random: several may be made of one snapshot in one second.
    pub fn new_id(taken_at: DateTime<Utc>, snapshot: SnapshotId) -> String {
        let random = Uuid::new_v4().simple().to_string();
        format!("{}-{snapshot}-{}", taken_at.format("%Y%m%dT%H%M%SZ"), &random[..4])
    }

    /// Of backups' names: by snapshot, then by the time when they were taken. One of the past may be taken after one of the present.
    pub fn order(id: &str) -> (u64, String) {
        let (time, rest) = id.split_once("-s").unwrap_or((id, ""));
        let snapshot = rest.split('-').next().unwrap_or_default();
        (snapshot.parse().unwrap_or(0), time.to_owned())
    }

    /// Where it is in its place.
    ///
    /// # Errors
    /// 42704 for what is no backup's name.
    pub fn name(id: &str) -> SqlResult<String> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(is_name) {
            let message = format!("\"{id}\" is no backup's name");
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message)
                .with_hint("SHOW BACKUPS IN … lists the backups of a place."));
        }
        Ok(format!("backups/{id}.json"))
    }

    /// As it is written.
    ///
    /// # Errors
    /// None in practice: every field can be written as JSON.
    pub fn text(&self) -> SqlResult<String> {
        let body = serde_json::to_string(self).map_err(internal)?;
        let head = Head { format: FORMAT, bytes: body.len() as u64, checksum: xxh3_64(body.as_bytes()) };
        Ok(format!("{}\n{body}", serde_json::to_string(&head).map_err(internal)?))
    }

    /// The manifest in the file `name`, of which `place` is the place.
    ///
    /// # Errors
    /// XX001 naming it, for a file that is not what was written; 0A000 for one of another format.
    pub fn read(place: &str, name: &str, text: &[u8]) -> SqlResult<Manifest> {
        let damaged = |detail: &str| damaged(place, name, detail);
        let end = text.iter().position(|&byte| byte == b'\n').ok_or_else(|| damaged("it has no head"))?;
        let (head, body) = (&text[..end], &text[end + 1..]);
        let head: Head = parse(head).map_err(|error| damaged(&error))?;
        if head.format != FORMAT {
            let message =
                format!("file {place}/{name}: it is of format {}, and this build reads {FORMAT}", head.format);
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        verify(body, head.bytes, head.checksum).map_err(|error| damaged(&error))?;
        let manifest: Manifest = parse(body).map_err(|error| damaged(&error))?;
        manifest.check().map_err(|error| damaged(&error))?;
        Ok(manifest)
    }

    /// What reading it does not see to.
    fn check(&self) -> Result<(), String> {
        for map in &self.maps {
            BucketMap::from_owners(map.version, map.owners().to_vec(), map.segment_count())
                .map_err(|error| error.to_string())?;
        }
        if !(1..=BUCKETS).contains(&self.segments) {
            return Err(format!("it is of a cluster of {} segments", self.segments));
        }
        self.tables.iter().try_for_each(|table| self.check_table(&table.def))?;
        self.sequences.iter().try_for_each(|sequence| self.check_sequence(&sequence.def))
    }

    fn check_table(&self, def: &TableDef) -> Result<(), String> {
        let name = def.qualified_name();
        if self.map(def.map_version).is_none() {
            return Err(format!("it lacks the bucket map of {name}"));
        }
        let key: &[usize] = match &def.distribution {
            Distribution::Hashed(columns) => columns,
            Distribution::Randomly | Distribution::Replicated => &[],
        };
        let mut positions = key.iter().chain(def.keys.iter().flat_map(|key| &key.columns));
        match positions.find(|position| **position >= def.columns.len()) {
            Some(position) => Err(format!("{name} has no column {position}, which is of a key")),
            None => Ok(()),
        }
    }

    fn check_sequence(&self, def: &SequenceDef) -> Result<(), String> {
        let (name, counting) = (def.qualified_name(), &def.counting);
        if counting.increment == 0 || counting.min > counting.max || counting.cache == 0 {
            return Err(format!("sequence {name} does not count: {counting:?}"));
        }
        let Some(owner) = def.owner else { return Ok(()) };
        let table = self.tables.iter().find(|table| table.def.id == owner.table);
        if table.is_none_or(|table| owner.column >= table.def.columns.len()) {
            return Err(format!("sequence {name} has an owner that is not there"));
        }
        Ok(())
    }

    pub fn map(&self, version: MapVersion) -> Option<&BucketMap> {
        self.maps.iter().find(|map| map.version == version)
    }
}

/// A part that is to be written.
pub(super) struct NewPart {
    pub part: Part,
    pub text: String,
}

/// The lists of a table's files, in parts that fit into a message.
///
/// # Errors
/// None in practice: every field can be written as JSON.
pub(super) fn parts_of<'a>(
    id: &'a str,
    def: &'a TableDef,
    files: &'a [Arc<FileEntry>],
) -> impl Iterator<Item = SqlResult<NewPart>> + 'a {
    let at_once = (PART_COLUMNS_MAX / def.columns.len().max(1)).max(1);
    files.chunks(at_once).enumerate().map(move |(number, files)| {
        let mut text = String::new();
        for file in files {
            text.push_str(&serde_json::to_string(&**file).map_err(internal)?);
            text.push('\n');
        }
        let name = format!("backups/{id}/{}-{number}.json", def.id);
        let (bytes, checksum) = (text.len() as u64, xxh3_64(text.as_bytes()));
        Ok(NewPart { part: Part { name, files: files.len() as u64, bytes, checksum }, text })
    })
}

/// The files that a part lists, of a table of a cluster of so many segments.
///
/// # Errors
/// XX001 naming it, for a file that is not what was written, or cannot be of the table.
pub(super) fn read_part(
    place: &str,
    part: &Part,
    text: &[u8],
    def: &TableDef,
    segments: usize,
) -> SqlResult<Vec<FileEntry>> {
    let damaged = |detail: &str| damaged(place, &part.name, detail);
    verify(text, part.bytes, part.checksum).map_err(|error| damaged(&error))?;
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let files: Vec<FileEntry> = lines.map(parse).collect::<Result<_, _>>().map_err(|error| damaged(&error))?;
    if files.len() as u64 != part.files {
        return Err(damaged(&format!("it lists {} files, not {}", files.len(), part.files)));
    }
    files.iter().try_for_each(|file| check_file(file, def, segments)).map_err(|error| damaged(&error))?;
    Ok(files)
}

fn check_file(file: &FileEntry, def: &TableDef, segments: usize) -> Result<(), String> {
    let FileEntry { content, path, columns, buckets, .. } = file;
    if !usize::try_from(content.0).is_ok_and(|content| content < segments) {
        return Err(format!("{path} is of {content}, of {segments} segments"));
    }
    if columns.len() > def.columns.len() {
        return Err(format!("{path} has {} columns, and its table {}", columns.len(), def.columns.len()));
    }
    if buckets.is_some_and(|(least, most)| least > most || usize::from(most) >= BUCKETS) {
        return Err(format!("{path} has rows of buckets that there are not: {buckets:?}"));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn verify(text: &[u8], bytes: u64, checksum: u64) -> Result<(), String> {
    if text.len() as u64 != bytes {
        return Err(format!("it has {} bytes, not {bytes}", text.len()));
    }
    let found = xxh3_64(text);
    if found != checksum {
        return Err(format!("its checksum is {found:016x}, not {checksum:016x}"));
    }
    Ok(())
}

fn damaged(place: &str, name: &str, detail: &str) -> SqlError {
    SqlError::new(SqlState::DATA_CORRUPTED, format!("file {place}/{name}: it is damaged: {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::SequenceOwner;
    use damson_cluster::{Compression, ContentId, Counting, KeyDef, SequenceId, TableId};

    fn manifest() -> Manifest {
        let def = TableDef {
            id: TableId(3),
            schema: "public".into(),
            name: "t".into(),
            columns: vec![],
            distribution: Distribution::Randomly,
            map_version: MapVersion(1),
            keys: vec![],
            checks: vec![],
            compression: Compression::Zstd(1),
            layout: Default::default(),
            tablespace: None,
        };
        Manifest {
            id: "20261126T185509Z-s17-3fa9".into(),
            cluster_id: "c".into(),
            build: "b".into(),
            snapshot: SnapshotId(17),
            taken_at: "2026-11-26T18:55:09Z".into(),
            segments: 3,
            maps: vec![BucketMap::uniform(MapVersion(1), 3)],
            schemas: vec!["public".into()],
            tables: vec![BackupTable { def, totals: Totals::default(), parts: vec![] }],
            views: vec![],
            sequences: vec![],
            totals: Totals::default(),
        }
    }

    fn file(number: u64) -> Arc<FileEntry> {
        Arc::new(FileEntry {
            table: TableId(3),
            content: ContentId(1),
            path: format!("base/t3/{number}.parquet"),
            rows: number,
            bytes: 10,
            checksum: u64::MAX - number,
            buckets: Some((0, 7)),
            columns: vec![],
            deletes: None,
            created: SnapshotId(2),
        })
    }

    #[test]
    fn names_sort_by_snapshot_and_time() {
        let taken_at = DateTime::from_timestamp(1_795_719_309, 0).unwrap();
        let id = Manifest::new_id(taken_at, SnapshotId(17));
        assert!(id.starts_with("20261126T185509Z-s17-") && id.len() == manifest().id.len(), "{id}");
        assert_eq!(Manifest::order(&id), (17, "20261126T185509Z".into()));
        assert_eq!(Manifest::name(&id).unwrap(), format!("backups/{id}.json"));
        let sorted = [
            "20261126T185510Z-s9-0000",
            "20261126T185509Z-s10-ffff",
            "20261126T185510Z-s10-0000",
            "20261126T185508Z-s11-0000",
        ];
        let mut ids = sorted;
        ids.reverse();
        ids.sort_by_key(|id| Manifest::order(id));
        assert_eq!(ids, sorted);
        for id in ["", "../x", "a/b", "a.json", &"x".repeat(65)] {
            assert_eq!(Manifest::name(id).unwrap_err().state, SqlState::UNDEFINED_OBJECT, "{id}");
        }
    }

    #[test]
    fn a_manifest_is_what_was_written_or_refused() {
        let text = manifest().text().unwrap();
        assert_eq!(Manifest::read("/p", "backups/x.json", text.as_bytes()).unwrap(), manifest());
        // All of the head, and some of the rest.
        for position in (0..200).chain((200..text.len()).step_by(499)) {
            let mut changed = text.clone().into_bytes();
            changed[position] ^= 1;
            let error = Manifest::read("/p", "backups/x.json", &changed).unwrap_err();
            assert!(error.message.contains("/p/backups/x.json"), "byte {position}: {error}");
            let cut = Manifest::read("/p", "backups/x.json", &text.as_bytes()[..position]);
            assert!(cut.is_err(), "{position} bytes");
        }
        let newer = text.replacen("\"format\":1", "\"format\":2", 1);
        let error = Manifest::read("/p", "n", newer.as_bytes()).unwrap_err();
        assert_eq!(error.state, SqlState::FEATURE_NOT_SUPPORTED, "{error}");
    }

    #[test]
    fn a_table_without_its_map_is_damage() {
        let text = Manifest { maps: vec![], ..manifest() }.text().unwrap();
        let error = Manifest::read("/p", "n", text.as_bytes()).unwrap_err();
        assert!(error.state == SqlState::DATA_CORRUPTED && error.message.contains("public.t"), "{error}");
    }

    fn column() -> damson_cluster::ColumnDef {
        damson_cluster::ColumnDef {
            name: "a".into(),
            sql_type: "integer".into(),
            data_type: arrow::datatypes::DataType::Int32,
            nullable: true,
            default: None,
            identity: None,
        }
    }

    fn sequence() -> SequenceDef {
        SequenceDef {
            schema: "public".into(),
            name: "q".into(),
            id: SequenceId(4),
            sql_type: "bigint".into(),
            counting: Counting { increment: 1, min: 1, max: 9, cycle: false, cache: 1 },
            start: 1,
            first: 1,
            owner: Some(SequenceOwner { table: TableId(3), column: 0, identity: false }),
        }
    }

    #[test]
    fn what_cannot_be_is_damage() {
        type Change = fn(&mut TableDef, &mut SequenceDef, &mut usize);
        let damages: [(Change, &str); 9] = [
            (|_, _, segments| *segments = 0, "0 segments"),
            (|def, _, _| def.distribution = Distribution::Hashed(vec![1]), "public.t"),
            (|def, _, _| def.keys[0].columns = vec![0, 1], "public.t"),
            (|def, _, _| def.map_version = MapVersion(2), "public.t"),
            (|_, sequence, _| sequence.counting.increment = 0, "public.q"),
            (|_, sequence, _| sequence.counting.min = 10, "public.q"),
            (|_, sequence, _| sequence.counting.cache = 0, "public.q"),
            (|_, sequence, _| sequence.owner.as_mut().unwrap().column = 1, "public.q"),
            (|_, sequence, _| sequence.owner.as_mut().unwrap().table = TableId(5), "public.q"),
        ];
        let read = |change: Option<Change>| {
            let (mut manifest, mut def) = (manifest(), sequence());
            let table = &mut manifest.tables[0].def;
            table.columns = vec![column()];
            table.distribution = Distribution::Hashed(vec![0]);
            table.keys = vec![KeyDef { name: "t_pkey".into(), columns: vec![0], primary: true }];
            if let Some(change) = change {
                change(table, &mut def, &mut manifest.segments);
            }
            let position = def.beginning();
            manifest.sequences = vec![BackupSequence { def, position }];
            Manifest::read("/p", "backups/x.json", manifest.text().unwrap().as_bytes())
        };
        read(None).unwrap();
        for (change, what) in damages {
            let error = read(Some(change)).unwrap_err();
            assert_eq!(error.state, SqlState::DATA_CORRUPTED, "{error}");
            assert!(error.message.contains("/p/backups/x.json") && error.message.contains(what), "{what}: {error}");
        }
    }

    #[test]
    fn files_that_cannot_be_of_the_table_are_damage() {
        let def = TableDef { columns: vec![column()], ..manifest().tables.remove(0).def };
        let read = |file: FileEntry| {
            let files = [Arc::new(file)];
            let NewPart { part, text } = parts_of("id", &def, &files).next().unwrap().unwrap();
            read_part("/p", &part, text.as_bytes(), &def, 3)
        };
        let right = FileEntry::clone(&file(1));
        read(right.clone()).unwrap();
        for wrong in [
            FileEntry { content: ContentId(3), ..right.clone() },
            FileEntry { content: ContentId(-1), ..right.clone() },
            FileEntry { buckets: Some((7, 6)), ..right.clone() },
            FileEntry { buckets: Some((0, u16::MAX)), ..right.clone() },
        ] {
            let error = read(wrong).unwrap_err();
            assert_eq!(error.state, SqlState::DATA_CORRUPTED, "{error}");
            assert!(error.message.contains("t3-0.json") && error.message.contains("1.parquet"), "{error}");
        }
    }

    #[test]
    fn lists_of_files_are_cut_and_put_together() {
        let mut def = manifest().tables.remove(0).def;
        def.columns = vec![column(); PART_COLUMNS_MAX / 2];
        let files: Vec<Arc<FileEntry>> = (0..5).map(file).collect();
        let parts: Vec<NewPart> = parts_of("id", &def, &files).collect::<SqlResult<_>>().unwrap();
        let names: Vec<&str> = parts.iter().map(|new| new.part.name.as_str()).collect();
        assert_eq!(names, ["backups/id/t3-0.json", "backups/id/t3-1.json", "backups/id/t3-2.json"]);
        let mut read = vec![];
        for NewPart { part, text } in &parts {
            read.extend(read_part("/p", part, text.as_bytes(), &def, 3).unwrap());
            let error = read_part("/p", part, &text.as_bytes()[1..], &def, 3).unwrap_err();
            assert!(error.state == SqlState::DATA_CORRUPTED && error.message.contains(&part.name), "{error}");
        }
        assert_eq!(read, files.iter().map(|file| FileEntry::clone(file)).collect::<Vec<_>>());
        assert_eq!(parts_of("id", &def, &[]).count(), 0);
    }
}
