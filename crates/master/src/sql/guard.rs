//! Refuses statements whose trees would be too deep, by their tokens alone: nothing recursive has run yet.

use super::limits::{
    DEPTH_MAX, JOIN_WEIGHT, JOINS_MAX, NESTING_MAX, PARENTHESES_WEIGHT, QUERY_WEIGHT, SET_OPERATION_WEIGHT,
    SET_OPERATIONS_MAX,
};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// 54001: `reason` completes "the statement is too complex: …".
pub(super) fn too_complex(reason: &str) -> SqlError {
    SqlError::new(SqlState::TOO_COMPLEX, format!("the statement is too complex: {reason}"))
        .with_hint("Use an IN list, VALUES, or a table in place of a long chain of operators.")
}

/// What is known of one level of parentheses. An upper bound of its tree's depth is: the ORs, plus the longest run of ANDs
/// between them, plus the longest run of other operators between those.
#[derive(Default)]
struct Level {
    /// Opened by CASE, closed by END; the others by brackets.
    case: bool,
    ors: usize,
    ands: Run,
    others: Run,
    /// Of the expressions before, and of the levels inside.
    deepest: usize,
    inside: usize,
    set_operations: usize,
    joins: usize,
    query: bool,
    joined: bool,
}

#[derive(Default)]
struct Run {
    now: usize,
    longest: usize,
}

impl Run {
    fn add(&mut self) {
        self.now += 1;
        self.longest = self.longest.max(self.now);
    }
}

impl Level {
    fn expression_depth(&self) -> usize {
        self.ors + self.ands.longest + self.others.longest
    }

    fn end_expression(&mut self) {
        self.deepest = self.deepest.max(self.expression_depth());
        self.ors = 0;
        self.ands = Run::default();
        self.others = Run::default();
    }

    fn depth(&self) -> usize {
        let mut depth = self.deepest.max(self.expression_depth()) + self.inside + PARENTHESES_WEIGHT;
        depth += SET_OPERATION_WEIGHT * self.set_operations;
        if self.query {
            depth += QUERY_WEIGHT;
        }
        if self.joined {
            depth += JOIN_WEIGHT;
        }
        depth
    }
}

/// # Errors
/// 54001.
pub(super) fn check(tokens: &[TokenWithSpan]) -> SqlResult<()> {
    let mut levels = vec![Level::default()];
    for token in tokens {
        let level = levels.last_mut().expect("the outermost level is never closed");
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                level.others.add();
                levels.push(Level::default());
            }
            Token::RParen | Token::RBracket | Token::RBrace => close(&mut levels, true),
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::CASE => levels.push(Level { case: true, ..Level::default() }),
                Keyword::END if level.case => close(&mut levels, false),
                keyword => level.keyword(keyword),
            },
            Token::Comma | Token::SemiColon => level.end_expression(),
            Token::Whitespace(_) | Token::Word(_) | Token::Number(..) | Token::Period | Token::EOF => {}
            token if is_literal(token) => {}
            _ => level.others.add(),
        }
        check_level(&levels)?;
    }
    while levels.len() > 1 {
        close(&mut levels, false);
    }
    check_level(&levels)
}

impl Level {
    fn keyword(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::OR => {
                self.ors += 1;
                self.ands.now = 0;
                self.others.now = 0;
            }
            Keyword::AND => {
                self.ands.add();
                self.others.now = 0;
            }
            Keyword::NOT | Keyword::IS | Keyword::IN | Keyword::LIKE | Keyword::ILIKE | Keyword::BETWEEN => {
                self.others.add();
            }
            Keyword::SIMILAR | Keyword::COLLATE | Keyword::AT | Keyword::NOTNULL | Keyword::OVERLAPS => {
                self.others.add();
            }
            Keyword::OPERATOR | Keyword::INTERVAL | Keyword::EXPLAIN => self.others.add(),
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                self.set_operations += 1;
                self.end_expression();
            }
            Keyword::JOIN => {
                self.joins += 1;
                self.joined = true;
                self.end_expression();
            }
            Keyword::SELECT => {
                self.joins = 0;
                self.query = true;
                self.end_expression();
            }
            Keyword::FROM | Keyword::WHERE | Keyword::HAVING | Keyword::ON | Keyword::GROUP | Keyword::ORDER => {
                self.end_expression();
            }
            Keyword::WHEN | Keyword::THEN | Keyword::ELSE | Keyword::LIMIT | Keyword::VALUES => self.end_expression(),
            _ => {}
        }
    }
}

/// Closes the innermost CASE or, with `bracket`, the innermost bracket and the CASEs that were left open inside it. One too
/// many is the parser's to refuse.
fn close(levels: &mut Vec<Level>, bracket: bool) {
    while levels.len() > 1 {
        let Some(level) = levels.pop() else { return };
        if let Some(outer) = levels.last_mut() {
            outer.inside = outer.inside.max(level.depth());
        }
        if !bracket || !level.case {
            return;
        }
    }
}

fn check_level(levels: &[Level]) -> SqlResult<()> {
    if levels.len() > NESTING_MAX + 1 {
        return Err(too_complex(&format!("more than {NESTING_MAX} nested parentheses")));
    }
    let Some(level) = levels.last() else { return Ok(()) };
    if level.set_operations > SET_OPERATIONS_MAX {
        return Err(too_complex(&format!("more than {SET_OPERATIONS_MAX} UNION, INTERSECT or EXCEPT")));
    }
    if level.depth() > DEPTH_MAX {
        let reason = format!("its operators, parentheses and subqueries add up to a tree deeper than {DEPTH_MAX}");
        return Err(too_complex(&reason));
    }
    if level.joins > JOINS_MAX {
        return Err(too_complex(&format!("more than {JOINS_MAX} joins")));
    }
    Ok(())
}

fn is_literal(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::Placeholder(_)
    )
}

#[cfg(test)]
mod tests {
    use super::super::cursor::{is_word, tokenize};
    use super::super::text::Text;
    use super::*;

    fn allowed(sql: &str) -> bool {
        let text = Text::new(sql);
        match check(&tokenize(&text).unwrap()) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.state, SqlState::TOO_COMPLEX);
                false
            }
        }
    }

    #[test]
    fn flat_lists_are_not_bounded() {
        let many = (0..50_000).map(|i| i.to_string()).collect::<Vec<_>>();
        assert!(allowed(&format!("select * from t where a in ({})", many.join(","))));
        assert!(allowed(&format!("insert into t values ({} + 1)", many.join(" + 1), ("))));
        assert!(allowed(&format!("select {}", many.join(" + 1, "))));
    }

    #[test]
    fn chains_are_bounded() {
        let terms = |n: usize, operator: &str| vec!["a = 1"; n].join(operator);
        assert!(allowed(&format!("select * from t where {}", terms(900, " or "))));
        assert!(allowed(&format!("select * from t where {}", terms(900, " and "))));
        assert!(!allowed(&format!("select * from t where {}", terms(20_000, " or "))));
        assert!(!allowed(&format!("select {}1", "1+".repeat(2_500))));
        assert!(!allowed(&format!("select {}1", "- ".repeat(2_500))));
        assert!(!allowed(&format!("select {}true", "not ".repeat(2_500))));
        assert!(!allowed(&format!("select a{}", "::int".repeat(2_500))));
        assert!(!allowed(&format!("select a{}", "[1]".repeat(2_500))));
    }

    #[test]
    fn chains_add_up_over_levels() {
        let chain = "+1".repeat(100);
        let nested = |n: usize| format!("select {}1{}", "(".repeat(n), format!("{chain})").repeat(n));
        assert!(allowed(&nested(8)));
        assert!(!allowed(&nested(12)));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n: usize| format!("select {}1{}", "(".repeat(n), ")".repeat(n));
        assert!(allowed(&nested(NESTING_MAX)));
        assert!(!allowed(&nested(NESTING_MAX + 1)));
        assert!(!allowed(&nested(5_000)));
        assert!(!allowed(&"case when ".repeat(5_000)));
        let subqueries = |n: usize| format!("{}select 1{}", "select * from (".repeat(n), ") x".repeat(n));
        assert!(allowed(&subqueries(45)));
        assert!(!allowed(&subqueries(55)));
        let cases = |n: usize| format!("select {}1{}", "case when true then ".repeat(n), " end".repeat(n));
        assert!(allowed(&cases(100)));
        // Side by side, not nested.
        assert!(allowed(&format!("select {}1", "case when a then 1 end, ".repeat(5_000))));
        assert!(allowed(&format!("select {}1", "(1), ".repeat(5_000))));
    }

    #[test]
    fn set_operations_and_joins_are_bounded() {
        assert!(allowed(&vec!["select 1"; 250].join(" union all ")));
        assert!(!allowed(&vec!["select 1"; 300].join(" union all ")));
        assert!(!allowed(&format!("select * from t {}", "join u on a = b ".repeat(600))));
        assert!(allowed(&vec!["select * from t join u on a = b"; 250].join(" union all ")));
    }

    #[test]
    fn words_in_quotes_are_names() {
        assert!(allowed(&format!("select {}1", "\"or\" , ".repeat(3_000))));
        assert!(!is_word(&tokenize(&Text::new("\"OR\"")).unwrap()[0].token, "OR"));
    }
}
