//! `gp_distribution_policy` and `gp_bucket_map`.

use super::cells::{Cell, Row, bigint, integer, row, smallint, text};
use super::table::{SystemContext, SystemTable};
use super::{PG_CATALOG, oids};
use damson_cluster::{BucketMap, Distribution, TableDef};
use std::sync::Arc;

/// Greenplum's columns, then names. Then which version of the bucket map the table is laid out by.
pub(super) const DISTRIBUTION_POLICY: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_distribution_policy",
    columns: &[
        bigint("localoid"),
        text("policytype"),
        integer("numsegments"),
        text("distkey"),
        text("distclass"),
        text("table_schema"),
        text("table_name"),
        text("distributed_by"),
        bigint("bucket_map"),
    ],
    rows,
};

/// Who owns which buckets by each bucket map that is kept, in runs.
pub(super) const BUCKET_MAP: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_bucket_map",
    columns: &[bigint("version"), smallint("gp_segment_id"), integer("first_bucket"), integer("buckets")],
    rows: bucket_maps,
};

fn bucket_maps(context: &SystemContext) -> Vec<Row> {
    let runs = |map: &Arc<BucketMap>| {
        let mut first = 0;
        let mut rows = vec![];
        for run in map.owners().chunk_by(|a, b| a == b) {
            rows.push(row![map.version.0, i32::from(run[0]), first, run.len()]);
            first += run.len();
        }
        rows
    };
    context.state.bucket_maps().flat_map(runs).collect()
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |def: &TableDef| {
        let segments = context.state.bucket_map(def.map_version).map(|map| map.segment_count());
        let (policy, key) = match &def.distribution {
            // Greenplum numbers columns from 1.
            Distribution::Hashed(key) => {
                ("p", key.iter().map(|column| (column + 1).to_string()).collect::<Vec<_>>().join(" "))
            }
            Distribution::Randomly => ("p", String::new()),
            Distribution::Replicated => ("r", String::new()),
        };
        row![
            oids::of_id(def.id.0),
            policy,
            segments,
            key,
            Cell::Null,
            def.schema.as_str(),
            def.name.as_str(),
            distributed_by(def),
            def.map_version.0
        ]
    };
    context.state.tables().map(|entry| row(&entry.def)).collect()
}

/// The clause that gives the table's policy.
fn distributed_by(def: &TableDef) -> String {
    match &def.distribution {
        Distribution::Hashed(key) => {
            let key: Vec<&str> = key.iter().map(|column| def.columns[*column].name.as_str()).collect();
            format!("DISTRIBUTED BY ({})", key.join(", "))
        }
        Distribution::Randomly => "DISTRIBUTED RANDOMLY".into(),
        Distribution::Replicated => "DISTRIBUTED REPLICATED".into(),
    }
}
