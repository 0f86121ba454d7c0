//! Walks a statement's tokens: sqlparser's parser, with words that it does not know and PostgreSQL's errors.

use super::as_of;
use super::limits::PARSER_DEPTH_MAX;
use super::names;
use super::signs;
use super::statement::{Name, RelationName};
use super::text::Text;
use super::wide_numbers;
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// A place in one statement's tokens.
pub(super) struct Cursor<'a> {
    pub text: &'a Text<'a>,
    pub parser: Parser<'a>,
}

/// The tokens of `text`, white space and comments included.
///
/// # Errors
/// 42601 for an open quote or comment, or a character that starts no token.
pub(super) fn tokenize(text: &Text<'_>) -> SqlResult<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&text.dialect, text.source).tokenize_with_location();
    tokens.map(wide_numbers::as_floats).map(signs::cut).map_err(|error| {
        SqlError::new(SqlState::SYNTAX_ERROR, lower_first(&error.message)).at(text.position(error.location))
    })
}

/// Whether a text can begin with one of the words, which are in upper case; looked at before it is cut into tokens, which takes as long as to
/// parse it. A text that begins with a comment can.
pub(super) fn may_begin_with(text: &str, words: &[&str]) -> bool {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    text.starts_with(['-', '/']) || words.iter().any(|word| word.eq_ignore_ascii_case(&text[..end]))
}

/// True for the unquoted word `word`, which is in upper case.
pub(super) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a Text<'a>, tokens: Vec<TokenWithSpan>) -> Self {
        text.dialect.restart(tokens.len(), as_of::is_in(&tokens));
        let parser = Parser::new(&text.dialect).with_recursion_limit(PARSER_DEPTH_MAX);
        let parser = parser.with_tokens_with_locations(tokens);
        Cursor { text, parser }
    }

    /// Runs a method of sqlparser's parser.
    pub fn run<T>(&mut self, parse: impl FnOnce(&mut Parser<'a>) -> Result<T, ParserError>) -> SqlResult<T> {
        let parsed = parse(&mut self.parser);
        // The parser may have taken a wrong turn when the dialect stopped it: what it made of that does not count.
        if let Some(location) = self.text.dialect.gave_up() {
            let error = syntax_error(self.text, Some(location));
            return Err(error.with_detail("Or the text is nested in a way that takes too many steps to parse."));
        }
        parsed.map_err(|error| self.error(error))
    }

    /// Position of the next token.
    pub fn position(&self) -> usize {
        let token = self.parser.peek_token_ref();
        if token.token == Token::EOF { self.text.end() } else { self.text.position(token.span.start) }
    }

    /// Byte offset of the next token.
    pub fn byte(&self) -> usize {
        let token = self.parser.peek_token_ref();
        if token.token == Token::EOF { self.text.source.len() } else { self.text.byte(token.span.start) }
    }

    pub fn peek(&self) -> &Token {
        &self.parser.peek_token_ref().token
    }

    /// True if the word `n` tokens ahead is `word`.
    pub fn peek_word(&self, n: usize, word: &str) -> bool {
        is_word(&self.parser.peek_nth_token_ref(n).token, word)
    }

    /// Takes `word` if it is next.
    pub fn word(&mut self, word: &str) -> bool {
        self.words(&[word])
    }

    /// Takes all of `words` if they are next, or none.
    pub fn words(&mut self, words: &[&str]) -> bool {
        let all = words.iter().enumerate().all(|(n, word)| self.peek_word(n, word));
        if all {
            words.iter().for_each(|_| self.parser.advance_token());
        }
        all
    }

    pub fn token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub fn expect_word(&mut self, word: &str) -> SqlResult<()> {
        if self.word(word) { Ok(()) } else { Err(self.expected(word)) }
    }

    pub fn expect_token(&mut self, token: &Token) -> SqlResult<()> {
        if self.token(token) { Ok(()) } else { Err(self.expected(&token.to_string())) }
    }

    /// `IF EXISTS`.
    pub fn if_exists(&mut self) -> bool {
        self.words(&["IF", "EXISTS"])
    }

    /// `IF NOT EXISTS`.
    pub fn if_not_exists(&mut self) -> bool {
        self.words(&["IF", "NOT", "EXISTS"])
    }

    pub fn at_end(&self) -> bool {
        *self.peek() == Token::EOF
    }

    /// Nothing may follow.
    pub fn end(&self) -> SqlResult<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    pub fn name(&mut self) -> SqlResult<Name> {
        if !matches!(self.peek(), Token::Word(_)) {
            return Err(self.expected("a name"));
        }
        let ident = self.run(|parser| parser.parse_identifier())?;
        names::name(self.text, &ident)
    }

    pub fn relation(&mut self) -> SqlResult<RelationName> {
        let object = self.run(|parser| parser.parse_object_name(false))?;
        names::relation(self.text, &object)
    }

    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> SqlResult<T>) -> SqlResult<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `(a, b)`.
    pub fn name_list(&mut self) -> SqlResult<Vec<Name>> {
        self.expect_token(&Token::LParen)?;
        let names = self.list(Self::name)?;
        self.expect_token(&Token::RParen)?;
        Ok(names)
    }

    /// `(a, b)` or nothing, which is the empty list.
    pub fn optional_name_list(&mut self) -> SqlResult<Vec<Name>> {
        if *self.peek() == Token::LParen { self.name_list() } else { Ok(Vec::new()) }
    }

    /// A string literal, if one is next.
    pub fn string(&mut self) -> Option<String> {
        let value = match self.peek() {
            Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value) => value.clone(),
            Token::UnicodeStringLiteral(value) | Token::NationalStringLiteral(value) => value.clone(),
            Token::DollarQuotedString(value) => value.value.clone(),
            _ => return None,
        };
        self.parser.advance_token();
        Some(value)
    }

    /// CASCADE or RESTRICT or nothing: true for CASCADE.
    pub fn cascade(&mut self) -> bool {
        if self.word("CASCADE") {
            return true;
        }
        self.word("RESTRICT");
        false
    }

    /// The error for a next token that cannot be there.
    pub fn unexpected(&self) -> SqlError {
        let token = self.parser.peek_token_ref();
        syntax_error(self.text, (token.token != Token::EOF).then_some(token.span.start))
    }

    pub fn expected(&self, what: &str) -> SqlError {
        self.unexpected().with_detail(format!("Expected {what}."))
    }

    /// 0A000 at the next token.
    pub fn unsupported(&self, what: impl std::fmt::Display) -> SqlError {
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported")).at(self.position())
    }

    fn error(&self, error: ParserError) -> SqlError {
        match error {
            ParserError::RecursionLimitExceeded => super::guard::too_complex("it is nested too deeply"),
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => self.parser_error(&message),
        }
    }

    /// sqlparser's `Expected: …, found: … at Line: 1, Column: 8` in PostgreSQL's words.
    fn parser_error(&self, message: &str) -> SqlError {
        let (message, location) = split_location(message);
        match message.strip_prefix("Expected").and_then(|rest| rest.split_once(", found: ")) {
            Some((expected, found)) => {
                let expected = expected.trim_start_matches(':').trim();
                let at_end = location.is_none() && found == "EOF";
                let error = match location {
                    Some(location) => syntax_error(self.text, Some(location)),
                    None if at_end => syntax_error(self.text, None),
                    None => SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{found}\"")),
                };
                error.with_detail(format!("Expected {expected}."))
            }
            None => {
                let error = SqlError::new(SqlState::SYNTAX_ERROR, lower_first(message));
                match location {
                    Some(location) => error.at(self.text.position(location)),
                    None => error,
                }
            }
        }
    }
}

/// `syntax error at or near "x"`; None is the end of the statement.
fn syntax_error(text: &Text<'_>, location: Option<Location>) -> SqlError {
    // Only an error needs the token's own text, so it is tokenised again here instead of keeping all spans.
    let tokens = tokenize(text).unwrap_or_default();
    match location.and_then(|location| tokens.iter().find(|token| token.span.start == location)) {
        Some(token) => {
            let near = &text.source[text.byte(token.span.start)..text.byte(token.span.end)];
            SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{near}\""))
                .at(text.position(token.span.start))
        }
        None => SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at end of input").at(text.end()),
    }
}

/// Cuts ` at Line: l, Column: c` off a parser's message.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let parse = || {
        let (rest, location) = message.rsplit_once(" at Line: ")?;
        let (line, column) = location.split_once(", Column: ")?;
        Some((rest, Location::new(line.parse().ok()?, column.parse().ok()?)))
    };
    parse().map_or((message, None), |(rest, location)| (rest, Some(location)))
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
