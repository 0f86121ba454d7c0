//! A script → its statements.

use super::text::Text;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// One statement of a script, without its `;` and the white space around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptPart {
    pub text: String,
    /// Character offset of `text` in the script: a position in the statement plus this is one in the script.
    pub offset: usize,
}

/// Splits a script at each `;` that is outside quotes, comments and dollar quotes. Statements that are empty or only
/// comments are left out. Text with an open quote or comment is one last statement, whose parse says so.
pub fn split(script: &str) -> Vec<ScriptPart> {
    let mut tokens: Vec<TokenWithSpan> = Vec::new();
    let complete = Tokenizer::new(&PostgreSqlDialect {}, script)
        // An error leaves the tokens before it; the rest of the script is then the last statement.
        .tokenize_with_location_into_buf(&mut tokens)
        .is_ok();
    let text = Text::new(script);
    let mut parts = Parts { script, counted: (0, 0), parts: Vec::new() };
    let (mut start, mut blank) = (0, true);
    for token in &tokens {
        match &token.token {
            Token::SemiColon => {
                let end = text.byte(token.span.start);
                if !blank {
                    parts.push(start, end);
                }
                (start, blank) = (end + 1, true);
            }
            Token::Whitespace(_) => {}
            _ => blank = false,
        }
    }
    if !blank || !complete {
        parts.push(start, script.len());
    }
    parts.parts
}

struct Parts<'a> {
    script: &'a str,
    /// How far characters were counted: (byte, character).
    counted: (usize, usize),
    parts: Vec<ScriptPart>,
}

impl Parts<'_> {
    fn push(&mut self, start: usize, end: usize) {
        let piece = &self.script[start..end];
        let first = end - piece.trim_start().len();
        let offset = self.counted.1 + self.script[self.counted.0..first].chars().count();
        self.counted = (first, offset);
        self.parts.push(ScriptPart { text: piece.trim().to_owned(), offset });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<String> {
        split(script).into_iter().map(|part| part.text).collect()
    }

    #[test]
    fn splits_outside_quotes_and_comments() {
        assert_eq!(
            texts("select 1; select ';' ;; -- a;b\n select \";\" /* ; /* ; */ */ ;"),
            ["select 1", "select ';'", "-- a;b\n select \";\" /* ; /* ; */ */"]
        );
        assert_eq!(texts("select $$a;b$$; select $x$ ; $$ ; $x$"), ["select $$a;b$$", "select $x$ ; $$ ; $x$"]);
        assert_eq!(texts("select E'\\';'; select 'it''s;'"), ["select E'\\';'", "select 'it''s;'"]);
    }

    #[test]
    fn leaves_out_what_is_empty() {
        assert!(texts(" ;; -- only a comment\n ; /* x */").is_empty());
    }

    #[test]
    fn an_open_quote_is_the_last_statement() {
        assert_eq!(texts("select 1; select 'a; select 2"), ["select 1", "select 'a; select 2"]);
        assert_eq!(texts("select 1; /* open"), ["select 1", "/* open"]);
    }

    #[test]
    fn offsets_count_characters() {
        let parts = split("select 'ä';\n  select 2");
        assert_eq!(parts[1], ScriptPart { text: "select 2".into(), offset: 14 });
    }
}
