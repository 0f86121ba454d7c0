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
    let mut before = &Token::EOF;
    let mut is_operand = false;
    for token in tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))) {
        let next_is_operand = operand_follows(before, &token.token);
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
                keyword => level.keyword(keyword, is_operand),
            },
            Token::Comma | Token::SemiColon => level.end_expression(),
            Token::Word(_) | Token::Number(..) | Token::Period | Token::EOF => {}
            token if is_literal(token) => {}
            _ => level.others.add(),
        }
        check_level(&levels)?;
        (before, is_operand) = (&token.token, next_is_operand);
    }
    while levels.len() > 1 {
        close(&mut levels, false);
    }
    check_level(&levels)
}

/// True if what stands behind `token` is part of the same expression, and a column's name if it is a word: the parser takes
/// it for one in `t.limit` and `1 + limit`. So is the FROM of IS DISTINCT FROM no clause.
fn operand_follows(before: &Token, token: &Token) -> bool {
    match token {
        Token::Word(word) if word.quote_style.is_none() => match word.keyword {
            Keyword::OR | Keyword::AND | Keyword::DISTINCT => true,
            Keyword::FROM => is_word(before, Keyword::DISTINCT),
            keyword => is_operator(keyword),
        },
        Token::Word(_) | Token::Number(..) | Token::Comma | Token::SemiColon | Token::EOF => false,
        Token::LParen | Token::LBracket | Token::LBrace | Token::RParen | Token::RBracket | Token::RBrace => false,
        Token::Mul => !is_wildcard(before),
        token => !is_literal(token),
    }
}

/// True for a `*` behind `before` that is no multiplication.
fn is_wildcard(before: &Token) -> bool {
    const LISTS: [Keyword; 4] = [Keyword::SELECT, Keyword::RETURNING, Keyword::DISTINCT, Keyword::ALL];
    matches!(before, Token::Comma | Token::Period | Token::LParen) || LISTS.iter().any(|list| is_word(before, *list))
}

fn is_word(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.keyword == keyword)
}

fn is_operator(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::BETWEEN
            | Keyword::SIMILAR
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::NOTNULL
            | Keyword::OVERLAPS
            | Keyword::XOR
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::OPERATOR
            | Keyword::INTERVAL
            | Keyword::EXPLAIN
    )
}

impl Level {
    /// An operand ends no expression.
    fn keyword(&mut self, keyword: Keyword, is_operand: bool) {
        match keyword {
            Keyword::OR => {
                self.ors += 1;
                self.ands.now = 0;
                self.others.now = 0;
                return;
            }
            Keyword::AND => {
                self.ands.add();
                self.others.now = 0;
                return;
            }
            keyword if is_operator(keyword) => return self.others.add(),
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => self.set_operations += 1,
            Keyword::JOIN => {
                self.joins += 1;
                self.joined = true;
            }
            Keyword::SELECT => {
                self.query = true;
                if !is_operand {
                    self.joins = 0;
                }
            }
            Keyword::FROM | Keyword::WHERE | Keyword::HAVING | Keyword::ON | Keyword::GROUP | Keyword::ORDER => {}
            Keyword::WHEN | Keyword::THEN | Keyword::ELSE | Keyword::LIMIT | Keyword::VALUES | Keyword::RETURNING => {}
            _ => return,
        }
        if !is_operand {
            self.end_expression();
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
    use super::super::cursor::{self, tokenize};
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
        assert!(!allowed(&format!("select a{}", " is not distinct from a".repeat(2_500))));
    }

    #[test]
    fn words_that_are_operands_end_no_chain() {
        for word in ["limit", "t.limit", "from", "returning", "select", "t.\"limit\"", "on"] {
            for operator in ["+", "and", "or", "is distinct from", "like", "xor", "rlike", "regexp"] {
                let chain = |n: usize| format!("select a {}", format!("{operator} {word} ").repeat(n));
                assert!(allowed(&chain(400)), "{word} {operator}");
                assert!(!allowed(&chain(2_500)), "{word} {operator}");
            }
        }
        let stars = |n: usize| vec!["select *"; n].join(" union ");
        assert!(allowed(&stars(250)) && !allowed(&stars(300)));
        assert!(!allowed(&format!("select * from t {}", "join u on a = select ".repeat(600))));
    }

    #[test]
    fn parts_of_a_statement_are_trees_of_their_own() {
        let plus = "1+".repeat(900);
        for sql in [
            format!("insert into t select {plus}1 returning {plus}1"),
            format!("update t set a = {plus}1 where {plus}1 returning *"),
            format!("merge into t using u on {plus}1 when matched and {plus}1 then delete returning {plus}1"),
            format!("select distinct {plus}1 from t where {plus}1 group by {plus}1 limit {plus}1"),
        ] {
            assert!(allowed(&sql), "{}", &sql[..30]);
        }
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
        assert!(!cursor::is_word(&tokenize(&Text::new("\"OR\"")).unwrap()[0].token, "OR"));
    }
}
