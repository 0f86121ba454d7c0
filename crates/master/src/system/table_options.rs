//! `gp_table_options`.

use super::PG_CATALOG;
use super::cells::{Row, row, text};
use super::table::{SystemContext, SystemTable};
use damson_cluster::{Compression, SortColumn, TableDef};

/// What WITH would have to say to make the table as it is.
pub(super) const TABLE_OPTIONS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_table_options",
    columns: &[text("table_schema"), text("table_name"), text("options")],
    rows,
};

fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |def: &TableDef| row![def.schema.as_str(), def.name.as_str(), options(def)];
    context.state.tables().map(|entry| row(&entry.def)).collect()
}

fn options(def: &TableDef) -> String {
    let mut options = match def.compression {
        Compression::None => vec!["compresstype=none".to_owned()],
        Compression::Snappy => vec!["compresstype=snappy".to_owned()],
        Compression::Lz4 => vec!["compresstype=lz4".to_owned()],
        Compression::Zstd(level) => vec!["compresstype=zstd".to_owned(), format!("compresslevel={level}")],
    };
    let name = |column: usize| identifier(&def.columns[column].name);
    let sorted = |sort: &SortColumn| format!("{}{}", name(sort.column), if sort.descending { " DESC" } else { "" });
    let mut list = |option: &str, columns: Vec<String>| {
        if !columns.is_empty() {
            options.push(format!("{option}='{}'", columns.join(", ").replace('\'', "''")));
        }
    };
    list("sort_key", def.layout.sort_key.iter().map(sorted).collect());
    list("bloom_filter_columns", def.layout.bloom_filter_columns.iter().map(|&column| name(column)).collect());
    options.join(", ")
}

/// In quotes where it would be read as another name without.
fn identifier(name: &str) -> String {
    let is_plain = |(at, c): (usize, char)| c == '_' || c.is_ascii_lowercase() || (at > 0 && c.is_ascii_digit());
    if !name.is_empty() && name.char_indices().all(is_plain) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;
    use damson_cluster::{ColumnDef, Distribution, MapVersion, TableId, TableLayout};

    #[test]
    fn options_are_as_they_would_be_written() {
        let column = |name: &str| ColumnDef {
            name: name.into(),
            sql_type: "bigint".into(),
            data_type: DataType::Int64,
            nullable: true,
            default: None,
            identity: None,
        };
        let def = TableDef {
            id: TableId(1),
            schema: "public".into(),
            name: "t".into(),
            columns: vec![column("a"), column("It's")],
            distribution: Distribution::Randomly,
            map_version: MapVersion(1),
            keys: vec![],
            checks: vec![],
            compression: Compression::Zstd(3),
            layout: TableLayout::default(),
            tablespace: None,
        };
        assert_eq!(options(&def), "compresstype=zstd, compresslevel=3");
        let sort = |column, descending| SortColumn { column, descending };
        let layout = TableLayout { sort_key: vec![sort(1, true), sort(0, false)], bloom_filter_columns: vec![0] };
        let def = TableDef { compression: Compression::Lz4, layout, ..def };
        assert_eq!(options(&def), "compresstype=lz4, sort_key='\"It''s\" DESC, a', bloom_filter_columns='a'");
    }
}
