//! The 22 queries with the specification's validation parameters.

/// TPC-H has this many queries, numbered from 1.
pub const QUERIES: usize = 22;

/// Text of query `n`: one statement without a `;`. Q11's fraction is that of scale factor 1 at every scale, as in the
/// published answers.
///
/// # Panics
/// If there is no query `n`.
pub fn query(n: usize) -> &'static str {
    assert!((1..=QUERIES).contains(&n), "TPC-H has queries 1 to {QUERIES}, not {n}");
    TEXTS[n - 1]
}

const TEXTS: [&str; QUERIES] = [
    include_str!("queries/q01.sql"),
    include_str!("queries/q02.sql"),
    include_str!("queries/q03.sql"),
    include_str!("queries/q04.sql"),
    include_str!("queries/q05.sql"),
    include_str!("queries/q06.sql"),
    include_str!("queries/q07.sql"),
    include_str!("queries/q08.sql"),
    include_str!("queries/q09.sql"),
    include_str!("queries/q10.sql"),
    include_str!("queries/q11.sql"),
    include_str!("queries/q12.sql"),
    include_str!("queries/q13.sql"),
    include_str!("queries/q14.sql"),
    include_str!("queries/q15.sql"),
    include_str!("queries/q16.sql"),
    include_str!("queries/q17.sql"),
    include_str!("queries/q18.sql"),
    include_str!("queries/q19.sql"),
    include_str!("queries/q20.sql"),
    include_str!("queries/q21.sql"),
    include_str!("queries/q22.sql"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;

    #[test]
    fn every_query_is_one_statement_of_its_number() {
        for n in 1..=QUERIES {
            let text = query(n);
            assert!(text.starts_with(&format!("-- TPC-H Q{n}:")), "Q{n}");
            assert!(!text.contains(';') && !text.contains(":1"), "Q{n}");
            let parsed = Parser::parse_sql(&PostgreSqlDialect {}, text).unwrap_or_else(|e| panic!("Q{n}: {e}"));
            assert_eq!(parsed.len(), 1, "Q{n}");
        }
    }
}
