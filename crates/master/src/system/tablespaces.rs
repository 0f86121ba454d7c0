//! Tablespaces, and the secrets by which object stores are reached.

use super::cells::{Cell, Row, bigint, row, text, time};
use super::table::{SystemContext, SystemTable};
use super::{OWNER, PG_CATALOG, oids};
use crate::catalog::{SecretDef, TablespaceDef};
use crate::sql::DEFAULT_TABLESPACE;
use std::sync::Arc;

/// What PostgreSQL gives `pg_default`.
pub(super) const DEFAULT_OID: u64 = 1663;

pub(super) const TABLESPACES: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_tablespace",
    columns: &[bigint("oid"), text("spcname"), text("spcowner"), text("spclocation"), text("spcsecret")],
    rows: tablespaces,
};

/// `spclocation` is NULL for the segments' own disks; `spcsecret` where none was named.
fn tablespaces(context: &SystemContext) -> Vec<Row> {
    let default = row![DEFAULT_OID, DEFAULT_TABLESPACE, OWNER, Cell::Null, Cell::Null];
    let row = |def: &Arc<TablespaceDef>| {
        row![oids::of_id(def.id.0), def.name.as_str(), OWNER, def.location.as_str(), def.secret.as_deref()]
    };
    [default].into_iter().chain(context.state.tablespaces().map(row)).collect()
}

/// Without what they say.
pub(super) const SECRETS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_secrets",
    columns: &[text("name"), text("type"), text("scope"), text("options"), time("created")],
    rows: secrets,
};

/// `options` are names, with commas between them.
fn secrets(context: &SystemContext) -> Vec<Row> {
    let row = |def: &Arc<SecretDef>| {
        let options = def.options.join(", ");
        row![def.name.as_str(), def.kind.name(), def.scope.as_str(), options, Cell::Int(def.created_us)]
    };
    context.state.secrets().map(row).collect()
}
