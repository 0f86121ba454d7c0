//! Tablespaces, and the secrets by which object stores are reached.

use super::cells::{Cell, Row, oid, row, text, texts, time};
use super::table::{SystemContext, SystemTable};
use super::{PG_CATALOG, oids};
use crate::catalog::{SecretDef, TablespaceDef};
use crate::sql::DEFAULT_TABLESPACE;
use std::sync::Arc;

/// What PostgreSQL gives `pg_default`.
pub(super) const DEFAULT_OID: u64 = 1663;

pub(super) const TABLESPACES: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_tablespace",
    columns: &[
        oid("oid"),
        text("spcname"),
        oid("spcowner"),
        texts("spcacl"),
        texts("spcoptions"),
        text("spclocation"),
        text("spcsecret"),
    ],
    rows: tablespaces,
};

/// `spclocation` is NULL for the segments' own disks; `spcsecret` where none was named.
fn tablespaces(context: &SystemContext) -> Vec<Row> {
    let (owner, none) = (oids::OWNER_OID, || Cell::Null);
    let default = row![DEFAULT_OID, DEFAULT_TABLESPACE, owner, none(), none(), none(), none()];
    let row = |def: &Arc<TablespaceDef>| {
        let (location, secret) = (def.location.as_str(), def.secret.as_deref());
        row![oids::of_id(def.id.0), def.name.as_str(), owner, none(), none(), location, secret]
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
