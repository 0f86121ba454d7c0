//! `gp_external_tables`.

use super::PG_CATALOG;
use super::cells::{Cell, Row, boolean, row, text, texts};
use super::table::{SystemContext, SystemTable};
use crate::backup::shown_url;
use crate::catalog::{ExternalDef, ViewDef};
use damson_cluster::CopyFormat;

/// Where external tables' rows are.
pub(super) const EXTERNAL_TABLES: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_external_tables",
    columns: &[
        text("table_schema"),
        text("table_name"),
        texts("locations"),
        text("pattern"),
        text("format"),
        text("secret"),
        boolean("writable"),
    ],
    rows,
};

fn rows(context: &SystemContext) -> Vec<Row> {
    context.state.views().filter_map(|view| Some(cells(view, view.external.as_ref()?))).collect()
}

fn cells(view: &ViewDef, external: &ExternalDef) -> Row {
    let locations = external.locations.iter().map(|place| shown_url(place).to_owned());
    row![
        view.schema.as_str(),
        view.name.as_str(),
        Cell::Texts(locations.collect()),
        external.pattern.as_deref(),
        format_name(&external.format),
        external.secret.as_deref(),
        external.writable
    ]
}

fn format_name(format: &CopyFormat) -> &'static str {
    match format {
        CopyFormat::Csv(_) => "csv",
        CopyFormat::Text(_) => "text",
        CopyFormat::Json(_) => "json",
        CopyFormat::Parquet(_) => "parquet",
    }
}
