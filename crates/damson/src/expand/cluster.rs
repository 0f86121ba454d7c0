//! What the server says of its segments, bucket maps and tables.

use super::failure::ExpandFailure;
use super::record::SCHEMA;
use super::session::{Row, Session, identifier};
use damson_cluster::{BucketMap, ContentId, MapVersion, SegmentSet, TableId};
use damson_gpexpand::{Members, TableProgress};
use std::collections::{BTreeMap, BTreeSet};

const SEGMENTS: &str = "SELECT content, dbid, address, port, status FROM gp_segment_configuration ORDER BY content";
const MAPS: &str = "SELECT version, gp_segment_id, buckets FROM gp_bucket_map ORDER BY version, first_bucket";
/// Objects' ids are 16,384 more than the catalog's.
const TABLES: &str = "SELECT localoid - 16384, table_schema, table_name, policytype, distkey, bucket_map \
                      FROM gp_distribution_policy ORDER BY localoid";
const BYTES: &str = "SELECT table_schema, table_name, content, CAST(coalesce(sum(bytes), 0) AS bigint) \
                     FROM gp_files GROUP BY table_schema, table_name, content";

/// Tables whose rank nobody has changed; Greenplum's.
const RANK: i32 = i32::MAX;

/// A segment of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub content: ContentId,
    pub dbid: u32,
    pub is_up: bool,
}

/// Segments and bucket maps.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    /// Where peers reach the master, if it has an address.
    pub master: Option<(String, u16)>,
    /// By content.
    pub segments: Vec<Segment>,
    /// Master and segments are one process, as in the demo.
    is_one_process: bool,
    maps: BTreeMap<MapVersion, BucketMap>,
}

impl Cluster {
    /// # Errors
    /// The server's.
    pub(super) async fn read(session: &mut Session) -> Result<Self, ExpandFailure> {
        let (mut master, mut segments, mut is_one_process) = (None, vec![], true);
        for row in session.rows(SEGMENTS).await? {
            let content = ContentId(row.number(0)?);
            // NULL: a node of one process with the others.
            let port = row.number_if_any(3);
            is_one_process &= port.is_none();
            if content.is_master() {
                master = port.map(|port| (row.text(2).unwrap_or_default().to_owned(), port));
                continue;
            }
            segments.push(Segment { content, dbid: row.number(1)?, is_up: row.text(4)? == "u" });
        }
        let maps = maps_of(&session.rows(MAPS).await?, segments.len())?;
        match maps.is_empty() {
            true => Err(ExpandFailure::Answer("there is no bucket map")),
            false => Ok(Cluster { master, segments, is_one_process, maps }),
        }
    }

    /// # Errors
    /// It is one process: segments of others have nowhere to register.
    pub(super) fn check_can_grow(&self) -> Result<(), ExpandFailure> {
        if self.is_one_process { Err(ExpandFailure::OneProcess) } else { Ok(()) }
    }

    /// Before anything is changed, as nothing would work afterwards.
    ///
    /// # Errors
    /// A segment that statements need now, or one of `owners`, is down.
    pub(super) fn check_up(&self, owners: &SegmentSet, tables: &[Table]) -> Result<(), ExpandFailure> {
        let needed = self.in_use(tables).union(owners);
        let down: Vec<ContentId> = self.down().filter(|content| needed.contains(*content)).collect();
        if down.is_empty() { Ok(()) } else { Err(ExpandFailure::SegmentsDown { down }) }
    }

    /// Segments that do not call.
    pub(super) fn down(&self) -> impl Iterator<Item = ContentId> {
        self.segments.iter().filter(|segment| !segment.is_up).map(|segment| segment.content)
    }

    /// The segments that have rows of these tables, or get rows.
    pub(super) fn in_use(&self, tables: &[Table]) -> SegmentSet {
        let owners = tables.iter().map(|table| &table.map).chain([self.newest()]);
        let owners = owners.flat_map(|map| map.owning_segments().iter());
        owners.chain(tables.iter().flat_map(|table| table.bytes.keys().copied())).collect()
    }

    /// The map that new tables are laid out by.
    pub(super) fn newest(&self) -> &BucketMap {
        self.maps.values().next_back().expect("read with at least one")
    }

    /// For an input file.
    pub(super) fn members(&self) -> Members {
        let owning: BTreeSet<ContentId> = self.newest().owning_segments().iter().collect();
        let dbids = self.segments.iter().filter(|segment| owning.contains(&segment.content)).map(|s| s.dbid);
        // The master's.
        let dbids = dbids.chain([1]).collect();
        Members { count: self.segments.len(), owning, dbids }
    }

    /// The tables of users.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn tables(&self, session: &mut Session) -> Result<Vec<Table>, ExpandFailure> {
        let mut bytes: BTreeMap<(String, String), BTreeMap<ContentId, u64>> = BTreeMap::new();
        for row in session.rows(BYTES).await? {
            let name = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
            bytes.entry(name).or_default().insert(ContentId(row.number(2)?), row.number(3)?);
        }
        let mut tables = vec![];
        for row in session.rows(TABLES).await? {
            let (schema, name) = (row.text(1)?.to_owned(), row.text(2)?.to_owned());
            if schema == SCHEMA {
                continue;
            }
            let policy = match (row.text(3)?, row.text(4)?) {
                ("r", _) => Policy::Replicated,
                (_, "") => Policy::Random,
                _ => Policy::Hashed,
            };
            let map = self.maps.get(&MapVersion(row.number(5)?));
            // Altered since the maps were read: it is the newest.
            let map = map.unwrap_or(self.newest()).clone();
            let bytes = bytes.remove(&(schema.clone(), name.clone())).unwrap_or_default();
            tables.push(Table { id: TableId(row.number(0)?), schema, name, policy, map, bytes });
        }
        Ok(tables)
    }

    /// Those that are laid out by another map than the newest.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn tables_to_move(&self, session: &mut Session) -> Result<Vec<Table>, ExpandFailure> {
        let mut tables = self.tables(session).await?;
        tables.retain(|table| !table.is_laid_out_by(self.newest()));
        Ok(tables)
    }
}

fn maps_of(rows: &[Row], segments: usize) -> Result<BTreeMap<MapVersion, BucketMap>, ExpandFailure> {
    let mut owners: BTreeMap<MapVersion, Vec<u16>> = BTreeMap::new();
    for row in rows {
        let run = std::iter::repeat_n(row.number::<u16>(1)?, row.number::<u16>(2)?.into());
        owners.entry(MapVersion(row.number(0)?)).or_default().extend(run);
    }
    let map = |(version, owners): (MapVersion, Vec<u16>)| {
        // Segments may have been added since they were read.
        let named = owners.iter().max().map_or(0, |&owner| usize::from(owner) + 1);
        let map = BucketMap::from_owners(version, owners, segments.max(named));
        map.map(|map| (version, map)).map_err(|_| ExpandFailure::Answer("a bucket map is none"))
    };
    owners.into_iter().map(map).collect()
}

/// What decides where a table's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Hashed,
    Random,
    Replicated,
}

impl Policy {
    pub(super) fn name(self) -> &'static str {
        match self {
            Policy::Hashed => "hashed",
            Policy::Random => "random",
            Policy::Replicated => "replicated",
        }
    }
}

/// A table of a user.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub id: TableId,
    pub schema: String,
    pub name: String,
    pub policy: Policy,
    /// That it is laid out by.
    pub map: BucketMap,
    /// Of its files on each segment.
    pub bytes: BTreeMap<ContentId, u64>,
}

impl Table {
    /// Whether it names this map. One that names another of the same owners is not joined with it where the rows are.
    pub(super) fn is_laid_out_by(&self, map: &BucketMap) -> bool {
        self.map.version == map.version
    }

    /// Whether rows of it move if it is laid out by that map.
    pub(super) fn has_other_owners(&self, map: &BucketMap) -> bool {
        self.map.owners() != map.owners()
    }

    /// As SQL takes it.
    pub(super) fn sql_name(&self) -> String {
        format!("{}.{}", identifier(&self.schema), identifier(&self.name))
    }

    /// As people read it.
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    pub(super) fn source_bytes(&self) -> u64 {
        self.bytes.values().sum()
    }

    pub(super) fn progress(&self) -> TableProgress {
        TableProgress::new(self.id, RANK, self.source_bytes())
    }

    /// About how many bytes move when the table is laid out by `map`.
    pub(super) fn bytes_to_move(&self, map: &BucketMap) -> u64 {
        let on = |content: &ContentId| self.bytes.get(content).copied().unwrap_or(0) as f64;
        let bytes: f64 = match self.policy {
            Policy::Hashed => {
                let mut leaving: BTreeMap<ContentId, usize> = BTreeMap::new();
                for (&from, &to) in self.map.owners().iter().zip(map.owners()) {
                    *leaving.entry(ContentId(i32::from(from))).or_default() += usize::from(from != to);
                }
                let counts = self.map.bucket_counts();
                leaving.iter().map(|(content, &left)| on(content) * share(left, counts[content.0 as usize])).sum()
            }
            Policy::Random => {
                let counts = map.bucket_counts();
                let count = |content: &ContentId| counts.get(content.0 as usize).copied().unwrap_or(0);
                let total = self.source_bytes() as f64;
                let wanted = |content: &ContentId| total * share(count(content), damson_cluster::BUCKETS);
                self.bytes.keys().map(|content| (on(content) - wanted(content)).max(0.0)).sum()
            }
            Policy::Replicated => {
                let lacking = map.owning_segments().iter().filter(|content| !self.map.owns_any(*content)).count();
                on(&self.map.first_owner()) * lacking as f64
            }
        };
        bytes.round() as u64
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(policy: Policy, bytes: &[(i32, u64)]) -> Table {
        Table {
            id: TableId(1),
            schema: "public".into(),
            name: "it's \"t\"".into(),
            policy,
            map: BucketMap::uniform(MapVersion(1), 2),
            bytes: bytes.iter().map(|&(content, bytes)| (ContentId(content), bytes)).collect(),
        }
    }

    fn map(text: &str) -> BucketMap {
        BucketMap::from_owners(MapVersion(2), BucketMap::parse_owners(text).unwrap(), 4).unwrap()
    }

    #[test]
    fn bytes_that_would_move_are_estimated() {
        let new = map("0*4096 2*4096 1*4096 3*4096");
        let hashed = table(Policy::Hashed, &[(0, 1000), (1, 3000)]);
        assert_eq!(hashed.bytes_to_move(&new), 500 + 1500);
        assert_eq!(hashed.bytes_to_move(&hashed.map.clone()), 0);
        let random = table(Policy::Random, &[(0, 1000), (1, 3000)]);
        assert_eq!(random.bytes_to_move(&new), 2000, "all but a quarter of seg1's");
        let copies = table(Policy::Replicated, &[(0, 1000), (1, 1000)]);
        assert_eq!(copies.bytes_to_move(&new), 2000, "two more copies");
        assert_eq!(copies.bytes_to_move(&map("1*16384")), 0, "copies are dropped, not moved");
    }

    #[test]
    fn names_are_quoted() {
        let table = table(Policy::Hashed, &[]);
        assert_eq!(table.sql_name(), "\"public\".\"it's \"\"t\"\"\"");
        assert_eq!((table.source_bytes(), table.full_name().as_str()), (0, "public.it's \"t\""));
    }
}
