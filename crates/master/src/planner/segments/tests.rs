use super::*;
use damson_cluster::{BUCKETS, BucketMap, Compression, ContentId, Distribution, PlaceId, TableDef, TableLayout};
use damson_motion::ScanSpec;
use datafusion::arrow::datatypes::Schema;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::union::UnionExec;

const SEGMENTS: usize = 6;
const SNAPSHOT: SnapshotId = SnapshotId(7);

/// Tables by their maps, and who has files of them; as of [`SNAPSHOT`] those of `past`.
struct Fixture {
    maps: Vec<Arc<BucketMap>>,
    tables: Vec<(u32, SegmentSet)>,
    past: Vec<(u32, SegmentSet)>,
}

impl Fixture {
    fn find(&self, id: TableId, as_of: Option<SnapshotId>) -> Option<&(u32, SegmentSet)> {
        let tables = if as_of == Some(SNAPSHOT) { &self.past } else { &self.tables };
        tables.get(id.0 as usize)
    }

    fn gang(&self, newest: u32, scans: &[(u64, Option<SnapshotId>)]) -> Result<SegmentSet> {
        let state = SessionStateBuilder::new().build();
        let map = self.map(MapVersion(newest)).expect("one of the maps");
        let context = PlanContext { state: &state, tables: self, map: &map };
        let inputs = scans.iter().map(|&(table, as_of)| scan(table, as_of)).collect::<Vec<_>>();
        let plan = match inputs.len() {
            1 => Arc::clone(&inputs[0]),
            _ => UnionExec::try_new(inputs).expect("of one schema"),
        };
        segments_of(&context, &plan, &Output::Rows)
    }
}

impl Tables for Fixture {
    fn table(&self, id: TableId, as_of: Option<SnapshotId>) -> Option<Arc<TableDef>> {
        let (map, _) = self.find(id, as_of)?;
        Some(Arc::new(TableDef {
            id,
            schema: "public".into(),
            name: "t".into(),
            columns: vec![],
            distribution: Distribution::Randomly,
            map_version: MapVersion(*map),
            keys: vec![],
            checks: vec![],
            compression: Compression::Lz4,
            layout: TableLayout::default(),
            tablespace: None,
        }))
    }

    fn map(&self, version: MapVersion) -> Option<Arc<BucketMap>> {
        self.maps.get(version.0 as usize).map(Arc::clone)
    }

    fn segments_with_files(&self, id: TableId, as_of: Option<SnapshotId>) -> SegmentSet {
        self.find(id, as_of).map(|(_, files)| files.clone()).unwrap_or_default()
    }
}

fn scan(table: u64, as_of: Option<SnapshotId>) -> Arc<dyn ExecutionPlan> {
    let spec = ScanSpec {
        only: None,
        leaving: None,
        row_ids: false,
        table: TableId(table),
        place: PlaceId::LOCAL,
        as_of,
        name: "t".into(),
        table_schema: Arc::new(Schema::empty()),
        projection: vec![],
        segment_id: false,
    };
    Arc::new(TableScanExec::try_new(spec, None).expect("a scan"))
}

fn set(contents: &[i32]) -> SegmentSet {
    contents.iter().copied().map(ContentId).collect()
}

/// Shared by these segments in turn.
fn map(version: u32, owners: &[u16]) -> Arc<BucketMap> {
    let owners = (0..BUCKETS).map(|bucket| owners[bucket % owners.len()]).collect();
    Arc::new(BucketMap::from_owners(MapVersion(version), owners, SEGMENTS).expect("a map"))
}

#[test]
fn a_gang_has_who_owns_rows_and_who_has_files_and_nobody_else() {
    let fixture = Fixture {
        maps: vec![map(0, &[0, 1]), map(1, &[1, 4]), map(2, &[0, 1, 2, 3, 4, 5])],
        tables: vec![(0, set(&[0, 1])), (1, set(&[])), (0, set(&[0, 3]))],
        past: vec![(0, set(&[5]))],
    };
    let of = |newest, scans: &[(u64, Option<SnapshotId>)]| fixture.gang(newest, scans).unwrap();
    assert_eq!(of(1, &[(0, None)]), set(&[0, 1, 4]), "the newest map's owners, too");
    assert_eq!(of(1, &[(1, None)]), set(&[1, 4]), "no files, and no owner below the first");
    assert_eq!(of(0, &[(1, None)]), set(&[0, 1, 4]), "an empty table's owners");
    assert_eq!(of(1, &[(2, None)]), set(&[0, 1, 3, 4]), "files where no map says");
    assert_eq!(of(1, &[(0, Some(SNAPSHOT))]), set(&[0, 1, 4, 5]), "files of the past");
    assert_eq!(of(1, &[(1, None), (2, None)]), set(&[0, 1, 3, 4]), "every table's");
    assert_eq!(of(2, &[(0, None)]), SegmentSet::first_of(SEGMENTS), "all own something");
    assert!(fixture.gang(1, &[(9, None)]).is_err(), "no such table");
}

#[test]
fn a_map_that_all_own_says_nothing_of_older_ones() {
    // As of a transaction's snapshot: the cluster has grown since, and a statement has read what is newer.
    let of_two = Arc::new(BucketMap::uniform(MapVersion(0), 2));
    let fixture = Fixture { maps: vec![of_two], tables: vec![(0, set(&[0, 1, 3]))], past: vec![] };
    assert_eq!(fixture.gang(0, &[(0, None)]).unwrap(), set(&[0, 1, 3]));
}
