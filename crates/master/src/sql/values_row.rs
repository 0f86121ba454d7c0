//! An INSERT of one row of parameters → the same INSERT of many.

use super::cursor::{is_word, tokenize};
use super::parse::parse;
use super::statement::{ConflictAction, InsertSource, OnConflict, Statement};
use super::text::Text;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// `INSERT … VALUES (…$1…$n…)`, cut at its row. Made for clients that bind many rows to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuesRow {
    before: String,
    row: Vec<Piece>,
    after: String,
    /// The largest number of a parameter, at least 1.
    parameters: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `$1` is 1.
    Parameter(usize),
}

impl ValuesRow {
    /// None if the text is anything else, has no parameters, or would mean something else with many rows: ON CONFLICT DO UPDATE changes
    /// a row once a statement, and RETURNING is a result of each.
    pub fn of(text: &str) -> Option<Self> {
        let Ok(Statement::Insert(insert)) = parse(text) else { return None };
        let updates = matches!(&insert.on_conflict, Some(OnConflict { action: ConflictAction::Update { .. }, .. }));
        let has_one_row = matches!(&insert.source, InsertSource::Values(rows) if rows.len() == 1);
        if updates || !has_one_row || insert.returning.is_some() {
            return None;
        }
        let places = Text::new(text);
        let tokens = tokenize(&places).ok()?;
        cut(&places, &tokens)
    }

    /// Parameters of one row.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Bytes that a row takes in a statement of `rows`, at most.
    pub fn row_bytes_max(&self, rows: usize) -> usize {
        let digits = (self.parameters * rows).to_string().len();
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Parameter(_) => 1 + digits,
        };
        2 + self.row.iter().map(piece).sum::<usize>()
    }

    /// The statement with `rows` rows: the parameters of the second follow those of the first, and so on.
    pub fn times(&self, rows: usize) -> String {
        let mut text = self.before.clone();
        for row in 0..rows {
            if row > 0 {
                text.push_str(", ");
            }
            for piece in &self.row {
                match piece {
                    Piece::Text(piece) => text.push_str(piece),
                    Piece::Parameter(number) => {
                        text.push('$');
                        text.push_str(&(row * self.parameters + number).to_string());
                    }
                }
            }
        }
        text.push_str(&self.after);
        text
    }
}

fn cut(places: &Text<'_>, tokens: &[TokenWithSpan]) -> Option<ValuesRow> {
    let text = places.source;
    let (open, close) = row_of(tokens)?;
    let start = |token: &TokenWithSpan| places.byte(token.span.start);
    let begin = start(&tokens[open]);
    let end = start(&tokens[close]) + 1;
    let mut row = vec![];
    let (mut parameters, mut copied) = (0, begin);
    for token in &tokens[open..close] {
        let Token::Placeholder(name) = &token.token else { continue };
        let number = name.strip_prefix('$')?.parse::<usize>().ok().filter(|number| *number > 0)?;
        let at = start(token);
        row.push(Piece::Text(text[copied..at].to_owned()));
        row.push(Piece::Parameter(number));
        copied = at + name.len();
        parameters = parameters.max(number);
    }
    row.push(Piece::Text(text[copied..end].to_owned()));
    let is_placeholder = |token: &TokenWithSpan| matches!(token.token, Token::Placeholder(_));
    if parameters == 0 || tokens[..open].iter().chain(&tokens[close..]).any(is_placeholder) {
        return None;
    }
    Some(ValuesRow { before: text[..begin].to_owned(), row, after: text[end..].to_owned(), parameters })
}

/// The parentheses of the row after the last VALUES that is in none.
fn row_of(tokens: &[TokenWithSpan]) -> Option<(usize, usize)> {
    let mut depth = 0_usize;
    let (mut after_values, mut open, mut row) = (false, None, None);
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen => {
                if depth == 0 {
                    open = after_values.then_some(at);
                }
                depth += 1;
            }
            Token::RParen => {
                depth = depth.checked_sub(1)?;
                if let (0, Some(open)) = (depth, open) {
                    row = Some((open, at));
                }
            }
            _ => {}
        }
        after_values = depth == 0 && is_word(&token.token, "VALUES");
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twice(text: &str) -> String {
        ValuesRow::of(text).unwrap_or_else(|| panic!("{text}")).times(2)
    }

    #[test]
    fn rows_follow_each_other() {
        assert_eq!(twice("INSERT INTO t VALUES ($1, $2)"), "INSERT INTO t VALUES ($1, $2), ($3, $4)");
        assert_eq!(twice("insert into t (a, b) values ($2, $1);"), "insert into t (a, b) values ($2, $1), ($4, $3);");
        assert_eq!(
            twice("INSERT INTO t VALUES (upper($1), '$1 ) ä', DEFAULT) ON CONFLICT DO NOTHING"),
            "INSERT INTO t VALUES (upper($1), '$1 ) ä', DEFAULT), (upper($2), '$1 ) ä', DEFAULT) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            twice("INSERT INTO \"values\" (\"values\") VALUES ($1)"),
            "INSERT INTO \"values\" (\"values\") VALUES ($1), ($2)"
        );
        assert_eq!(twice("INSERT INTO t VALUES ($1, $1)"), "INSERT INTO t VALUES ($1, $1), ($2, $2)");
    }

    #[test]
    fn what_means_something_else_is_left_alone() {
        for text in [
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES ($1), ($2)",
            "INSERT INTO t SELECT $1",
            "INSERT INTO t DEFAULT VALUES",
            "INSERT INTO t VALUES ($1) RETURNING a",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = 1",
            "UPDATE t SET a = $1",
            "no SQL",
        ] {
            assert_eq!(ValuesRow::of(text), None, "{text}");
        }
    }

    #[test]
    fn a_row_is_no_longer_than_was_said() {
        let row = ValuesRow::of("INSERT INTO t VALUES ($1, $2)").unwrap();
        assert_eq!(row.parameters(), 2);
        assert!(row.times(1_000).len() <= "INSERT INTO t VALUES ".len() + 1_000 * row.row_bytes_max(1_000));
    }
}
