//! `\d` and its family: questions to the catalog.

use super::pattern::Pattern;
use super::quoted;

/// One part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// Above the rows; empty for none.
    pub title: String,
    pub query: String,
    pub no_rows: NoRows,
}

/// What is shown where there are no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRows {
    /// The header.
    Header,
    Nothing,
    /// This error.
    Error(String),
}

impl Question {
    fn new(title: impl Into<String>, query: impl Into<String>) -> Self {
        Question { title: title.into(), query: query.into(), no_rows: NoRows::Header }
    }

    fn if_any(query: String) -> Self {
        Question { no_rows: NoRows::Nothing, ..Question::new("", query) }
    }

    /// A list of what a pattern stands for. Without a pattern there may be nothing to list.
    fn list(title: &str, query: String, pattern: Option<&Pattern>, what: &str) -> Self {
        let no_rows = pattern.map_or(NoRows::Header, |pattern| NoRows::Error(not_found(what, pattern)));
        Question { no_rows, ..Question::new(title, query) }
    }
}

/// As psql says it.
pub(super) fn not_found(what: &str, pattern: &Pattern) -> String {
    format!("Did not find any {what} named \"{}\".", pattern.text())
}

/// What lists may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    View,
    External,
    Sequence,
}

impl Kind {
    /// `table_type` of `information_schema.tables`.
    fn table_type(self) -> &'static str {
        match self {
            Kind::Table => "BASE TABLE",
            Kind::View => "VIEW",
            Kind::External => "FOREIGN",
            Kind::Sequence => "SEQUENCE",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Table => "table",
            Kind::View => "view",
            Kind::External => "external table",
            Kind::Sequence => "sequence",
        }
    }

    pub(super) const ALL: [Kind; 4] = [Kind::Table, Kind::View, Kind::External, Kind::Sequence];
}

/// Without what belongs to the system, which is much.
const NOT_SYSTEM: &str = "NOT IN ('pg_catalog', 'information_schema')";

/// Relations of all kinds.
const RELATIONS: &str = "(SELECT table_schema, table_name, table_type FROM information_schema.tables \
    UNION ALL SELECT sequence_schema, sequence_name, 'SEQUENCE' FROM information_schema.sequences) AS t";

/// `pg_catalog` is searched with every schema; what is elsewhere must be named, as in queries.
fn named(pattern: &Pattern, schema: &str, name: &str) -> String {
    let condition = pattern.condition(schema, name);
    match pattern.has_schema() {
        true => condition,
        false => format!("{schema} <> 'information_schema' AND {condition}"),
    }
}

/// `\d`, `\dt`, `\dv`, `\de`: relations of these kinds.
pub(super) fn relations(title: &str, kinds: &[Kind], pattern: Option<&Pattern>) -> Question {
    let which = pattern.map_or_else(
        || format!("t.table_schema {NOT_SYSTEM}"),
        |pattern| named(pattern, "t.table_schema", "t.table_name"),
    );
    let types: Vec<String> = kinds.iter().map(|kind| quoted(kind.table_type())).collect();
    let names = kinds.iter().map(|kind| format!(" WHEN {} THEN {}", quoted(kind.table_type()), quoted(kind.name())));
    let query = format!(
        "SELECT t.table_schema AS \"Schema\", t.table_name AS \"Name\", \
         CASE t.table_type{} END AS \"Type\", p.distributed_by AS \"Distribution\" \
         FROM {RELATIONS} LEFT JOIN pg_catalog.gp_distribution_policy p \
         ON p.table_schema = t.table_schema AND p.table_name = t.table_name \
         WHERE {which} AND t.table_type IN ({}) ORDER BY 1, 2",
        names.collect::<String>(),
        types.join(", ")
    );
    Question::list(title, query, pattern, "relation")
}

/// Schema, name and type of each relation that a pattern names, and `t` if it is found without its schema.
pub(super) fn matches(pattern: &Pattern) -> String {
    format!(
        "SELECT t.table_schema, t.table_name, t.table_type, \
         t.table_schema = current_schema() OR t.table_schema = 'pg_catalog' AS is_visible \
         FROM {RELATIONS} WHERE {} ORDER BY 1, 2",
        named(pattern, "t.table_schema", "t.table_name")
    )
}

/// `\d NAME`, for one relation: columns, then key, distribution, options and tablespace, place, or the view's text.
pub(super) fn relation(schema: &str, name: &str, table_type: &str) -> Vec<Question> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.table_type() == table_type).unwrap_or(Kind::Table);
    let title = format!("{} \"{schema}.{name}\"", capitalized(kind.name()));
    if kind == Kind::Sequence {
        let pattern = format!("schemaname = {} AND sequencename = {}", quoted(schema), quoted(name));
        return vec![Question::new(title, sequences_where(&pattern))];
    }
    let filter = format!("table_schema = {} AND table_name = {}", quoted(schema), quoted(name));
    let columns = format!(
        "SELECT column_name AS \"Column\", \
         CASE WHEN character_maximum_length IS NOT NULL \
         THEN concat(data_type, '(', character_maximum_length, ')') \
         WHEN data_type = 'numeric' AND numeric_precision IS NOT NULL \
         THEN concat('numeric(', numeric_precision, ',', numeric_scale, ')') ELSE data_type END AS \"Type\", \
         CASE is_nullable WHEN 'NO' THEN 'not null' END AS \"Nullable\", \
         CASE is_identity WHEN 'YES' THEN concat('generated ', lower(identity_generation), ' as identity') \
         ELSE column_default END AS \"Default\" \
         FROM information_schema.columns WHERE {filter} ORDER BY ordinal_position"
    );
    let key = format!(
        "SELECT constraint_name AS \"Primary key\", column_name AS \"Column\" \
         FROM information_schema.key_column_usage WHERE {filter} ORDER BY ordinal_position"
    );
    let policy = format!(
        "SELECT distributed_by AS \"Distribution\", numsegments AS \"Segments\" \
         FROM pg_catalog.gp_distribution_policy WHERE {filter}"
    );
    let options = format!("SELECT options AS \"Options\" FROM pg_catalog.gp_table_options WHERE {filter}");
    let tablespace = format!(
        "SELECT tablespace AS \"Tablespace\" \
         FROM (SELECT schemaname AS table_schema, tablename AS table_name, tablespace FROM pg_catalog.pg_tables) AS t \
         WHERE {filter} AND tablespace IS NOT NULL"
    );
    let place = format!(
        "SELECT locations AS \"Location\", format AS \"Format\", CASE WHEN writable THEN 'yes' ELSE 'no' END AS \"Writable\" \
         FROM pg_catalog.gp_external_tables WHERE {filter}"
    );
    let view = format!("SELECT view_definition AS \"View definition\" FROM information_schema.views WHERE {filter}");
    let more = match kind {
        Kind::View => vec![view],
        Kind::External => vec![place],
        Kind::Table | Kind::Sequence => vec![key, policy, options, tablespace],
    };
    [Question::new(title, columns)].into_iter().chain(more.into_iter().map(Question::if_any)).collect()
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `\ds`
pub(super) fn sequences(pattern: Option<&Pattern>) -> Question {
    let which = pattern.map_or_else(|| "true".into(), |pattern| pattern.condition("schemaname", "sequencename"));
    Question::list("Sequences", sequences_where(&which), pattern, "relation")
}

fn sequences_where(condition: &str) -> String {
    format!(
        "SELECT schemaname AS \"Schema\", sequencename AS \"Name\", data_type AS \"Type\", \
         last_value AS \"Last\", min_value AS \"Minimum\", max_value AS \"Maximum\", \
         increment_by AS \"Increment\", cycle AS \"Cycles\" FROM pg_catalog.pg_sequences WHERE {condition} ORDER BY 1, 2"
    )
}

/// `\db`
pub(super) fn tablespaces(pattern: Option<&Pattern>) -> Question {
    let query = format!(
        "SELECT spcname AS \"Name\", pg_get_userbyid(spcowner) AS \"Owner\", spclocation AS \"Location\", spcsecret AS \"Secret\" \
         FROM pg_catalog.pg_tablespace WHERE {} ORDER BY 1",
        of_name(pattern, "spcname")
    );
    Question::list("Tablespaces", query, pattern, "tablespace")
}

/// `\dn`
pub(super) fn schemas(pattern: Option<&Pattern>) -> Question {
    let which =
        pattern.map_or_else(|| format!("schema_name {NOT_SYSTEM}"), |pattern| of_name(Some(pattern), "schema_name"));
    let query = format!(
        "SELECT schema_name AS \"Name\", schema_owner AS \"Owner\" FROM information_schema.schemata \
         WHERE {which} ORDER BY 1"
    );
    Question::list("Schemas", query, pattern, "schema")
}

/// `\du`, `\dg`
pub(super) fn roles(pattern: Option<&Pattern>) -> Question {
    let query = format!(
        "SELECT rolname AS \"Role\", CASE WHEN rolsuper THEN 'yes' ELSE 'no' END AS \"Superuser\", \
         CASE WHEN rolcanlogin THEN 'yes' ELSE 'no' END AS \"Can log in\" \
         FROM pg_catalog.pg_roles WHERE {} ORDER BY 1",
        of_name(pattern, "rolname")
    );
    Question::list("Roles", query, pattern, "role")
}

/// `\df`: there are no functions but the system's.
pub(super) fn functions(pattern: Option<&Pattern>) -> Question {
    let query = format!(
        "SELECT proname AS \"Name\", CASE prokind WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window' ELSE 'function' END AS \"Type\" \
         FROM pg_catalog.pg_proc WHERE {} ORDER BY 1, 2",
        of_name(pattern, "proname")
    );
    Question::list("Functions", query, pattern, "function")
}

/// `\l`
pub(super) fn databases() -> Question {
    Question::new("Databases", "SELECT DISTINCT catalog_name AS \"Name\" FROM information_schema.schemata ORDER BY 1")
}

fn of_name(pattern: Option<&Pattern>, column: &str) -> String {
    pattern.map_or_else(|| "true".into(), |pattern| pattern.condition_of_name(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect("a pattern")
    }

    #[test]
    fn questions_are_sql() {
        use sqlparser::dialect::PostgreSqlDialect;
        use sqlparser::parser::Parser;
        let odd = pattern("\"a'b\".c_*");
        let lists = [None, Some(&odd)].into_iter().flat_map(|pattern| {
            [
                relations("Relations", &Kind::ALL, pattern),
                relations("Views", &[Kind::View], pattern),
                sequences(pattern),
                tablespaces(pattern),
                schemas(pattern),
                roles(pattern),
                functions(pattern),
                databases(),
            ]
        });
        let described = Kind::ALL.into_iter().flat_map(|kind| relation("s", "a'b", kind.table_type()));
        let queries = lists.chain(described).map(|question| question.query).chain([matches(&odd)]);
        for query in queries {
            Parser::parse_sql(&PostgreSqlDialect {}, &query).unwrap_or_else(|e| panic!("{query}: {e}"));
        }
    }

    #[test]
    fn a_list_without_rows_is_an_error_where_something_was_named() {
        let named = relations("Tables", &[Kind::Table], Some(&pattern("Nosuch")));
        assert_eq!(named.no_rows, NoRows::Error("Did not find any relation named \"Nosuch\".".into()));
        assert_eq!(relations("Tables", &[Kind::Table], None).no_rows, NoRows::Header);
    }

    #[test]
    fn system_tables_are_found_by_name_only() {
        let query = |text: Option<&str>| relations("All", &Kind::ALL, text.map(pattern).as_ref()).query;
        assert!(query(None).contains("t.table_schema NOT IN ('pg_catalog', 'information_schema')"));
        assert!(query(Some("gp_*")).contains("t.table_schema <> 'information_schema' AND t.table_name LIKE 'gp\\_%'"));
        assert!(
            query(Some("information_schema.*"))
                .contains("WHERE t.table_schema = 'information_schema' AND t.table_type")
        );
    }

    #[test]
    fn an_external_table_is_described_with_its_place() {
        let parts = relation("s", "e", "FOREIGN");
        let [columns, place] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!(columns.title, "External table \"s.e\"");
        assert!(place.query.contains("gp_external_tables") && place.no_rows == NoRows::Nothing);
        assert_eq!(relation("s", "t", "BASE TABLE").len(), 5);
        assert_eq!(relation("s", "q", "SEQUENCE")[0].title, "Sequence \"s.q\"");
    }
}
