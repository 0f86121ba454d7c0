//! `\d` and its family: questions to the catalog.

use super::quoted;

/// Title and query of one part of an answer.
pub(super) type Question = (String, String);

/// User schemas only: system tables have their own, and are many.
const NOT_SYSTEM: &str = "table_schema NOT IN ('pg_catalog', 'information_schema')";

/// `\d`, `\dt`, `\dv`: relations, of one type or of both.
pub(super) fn relations(kind: Option<&str>) -> Vec<Question> {
    let of_kind = kind.map_or(String::new(), |kind| format!(" AND t.table_type = '{kind}'"));
    let title = match kind {
        Some("VIEW") => "Views",
        Some(_) => "Tables",
        None => "Tables and views",
    };
    let query = format!(
        "SELECT t.table_schema AS \"Schema\", t.table_name AS \"Name\", \
         CASE t.table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END AS \"Type\", \
         p.distributed_by AS \"Distribution\" \
         FROM information_schema.tables t LEFT JOIN pg_catalog.gp_distribution_policy p \
         ON p.table_schema = t.table_schema AND p.table_name = t.table_name \
         WHERE t.{NOT_SYSTEM}{of_kind} ORDER BY 1, 2"
    );
    vec![(title.into(), query)]
}

/// `\d NAME`: columns, then key, distribution, options and tablespace or the view's text.
pub(super) fn relation(name: &str) -> Vec<Question> {
    let (schema, table) = split_name(name);
    let of_schema = match &schema {
        Some(schema) => format!("table_schema = {}", quoted(schema)),
        None => format!("({NOT_SYSTEM} OR table_schema = 'pg_catalog')"),
    };
    let filter = format!("{of_schema} AND table_name = {}", quoted(&table));
    let columns = format!(
        "SELECT column_name AS \"Column\", \
         CASE WHEN character_maximum_length IS NOT NULL \
         THEN concat(data_type, '(', character_maximum_length, ')') \
         WHEN data_type = 'numeric' AND numeric_precision IS NOT NULL \
         THEN concat('numeric(', numeric_precision, ',', numeric_scale, ')') ELSE data_type END AS \"Type\", \
         CASE is_nullable WHEN 'NO' THEN 'not null' END AS \"Nullable\", \
         CASE is_identity WHEN 'YES' THEN concat('generated ', lower(identity_generation), ' as identity') \
         ELSE column_default END AS \"Default\" \
         FROM information_schema.columns WHERE {filter} ORDER BY table_schema, ordinal_position"
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
    let view = format!("SELECT view_definition AS \"View definition\" FROM information_schema.views WHERE {filter}");
    let title = schema.map_or_else(|| format!("\"{table}\""), |schema| format!("\"{schema}.{table}\""));
    let parts = [key, policy, options, tablespace, view].map(|query| (String::new(), query));
    [(title, columns)].into_iter().chain(parts).collect()
}

/// `\ds`
pub(super) fn sequences() -> Vec<Question> {
    let query = "SELECT schemaname AS \"Schema\", sequencename AS \"Name\", data_type AS \"Type\", \
                 last_value AS \"Last\", min_value AS \"Minimum\", max_value AS \"Maximum\", \
                 increment_by AS \"Increment\", cycle AS \"Cycles\" FROM pg_catalog.pg_sequences ORDER BY 1, 2";
    vec![("Sequences".into(), query.into())]
}

/// `\db`
pub(super) fn tablespaces() -> Vec<Question> {
    let query = "SELECT spcname AS \"Name\", pg_get_userbyid(spcowner) AS \"Owner\", spclocation AS \"Location\", \
                 spcsecret AS \"Secret\" FROM pg_catalog.pg_tablespace ORDER BY 1";
    vec![("Tablespaces".into(), query.into())]
}

/// `\dn`
pub(super) fn schemas() -> Vec<Question> {
    let query = "SELECT schema_name AS \"Name\", schema_owner AS \"Owner\" FROM information_schema.schemata \
                 WHERE schema_name NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    vec![("Schemas".into(), query.into())]
}

/// `\l`
pub(super) fn databases() -> Vec<Question> {
    let query = "SELECT DISTINCT catalog_name AS \"Name\" FROM information_schema.schemata ORDER BY 1";
    vec![("Databases".into(), query.into())]
}

/// `schema.table` as SQL reads names: in lower case, except within double quotes.
fn split_name(name: &str) -> (Option<String>, String) {
    let (mut parts, mut part, mut is_quoted) = (vec![], String::new(), false);
    let mut chars = name.trim().trim_end_matches(';').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                part.push('"');
            }
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(std::mem::take(&mut part)),
            c if is_quoted => part.push(c),
            c => part.extend(c.to_lowercase()),
        }
    }
    (parts.pop(), part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_sql_reads_them() {
        let split = |name| {
            let (schema, table) = split_name(name);
            (schema.unwrap_or_default(), table)
        };
        assert_eq!(split("Lineitem"), (String::new(), "lineitem".into()));
        assert_eq!(split("S.\"My.Table\";"), ("s".into(), "My.Table".into()));
        assert_eq!(split("\"a\"\"b\""), (String::new(), "a\"b".into()));
    }

    #[test]
    fn questions_are_sql() {
        use sqlparser::dialect::PostgreSqlDialect;
        use sqlparser::parser::Parser;
        let all = [
            relations(None),
            relations(Some("VIEW")),
            relation("a'b"),
            relation("s.t"),
            schemas(),
            sequences(),
            tablespaces(),
            databases(),
        ];
        for (_, query) in all.into_iter().flatten() {
            Parser::parse_sql(&PostgreSqlDialect {}, &query).unwrap_or_else(|e| panic!("{query}: {e}"));
        }
    }
}
