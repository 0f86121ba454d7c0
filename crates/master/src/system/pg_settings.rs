//! `pg_settings`: what SHOW ALL shows.

use super::PG_CATALOG;
use super::cells::{Cell, boolean, integer, row, text, texts};
use super::table::SystemTable;

pub(super) const SETTINGS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_settings",
    columns: &[
        text("name"),
        text("setting"),
        text("unit"),
        text("category"),
        text("short_desc"),
        text("extra_desc"),
        text("context"),
        text("vartype"),
        text("source"),
        text("min_val"),
        text("max_val"),
        texts("enumvals"),
        text("boot_val"),
        text("reset_val"),
        text("sourcefile"),
        integer("sourceline"),
        boolean("pending_restart"),
    ],
    rows: |context| {
        let row = |(name, value, about): &(String, String, String)| {
            row![
                name.as_str(),
                value.as_str(),
                Cell::Null,
                "Damson",
                about.as_str(),
                Cell::Null,
                "user",
                "string",
                "session",
                Cell::Null,
                Cell::Null,
                Cell::Null,
                Cell::Null,
                Cell::Null,
                Cell::Null,
                Cell::Null,
                false
            ]
        };
        context.settings.iter().map(row).collect()
    },
};
