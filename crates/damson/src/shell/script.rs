//! What the user typed → statements and backslash commands.

/// A piece of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// One statement, without its `;` and the white space around it.
    Statement(String),
    /// A line that begins with a backslash, without the backslash.
    Meta(String),
}

/// Cuts a script at each `;` outside quotes and comments, and at lines that begin with a backslash between statements.
/// What is left at the end is a statement too. Pieces of nothing but white space and comments are left out.
pub fn pieces(script: &str) -> Vec<Piece> {
    let mut pieces = vec![];
    let mut rest = script;
    loop {
        rest = rest.trim_start();
        if let Some(command) = rest.strip_prefix('\\') {
            let (line, after) = command.split_once('\n').unwrap_or((command, ""));
            pieces.push(Piece::Meta(line.trim_end().to_owned()));
            rest = after;
            continue;
        }
        let scan = scan(rest);
        let statement = rest[..scan.end].trim();
        if !scan.is_blank {
            pieces.push(Piece::Statement(statement.to_owned()));
        }
        if !scan.is_terminated {
            return pieces;
        }
        rest = &rest[scan.end + 1..];
    }
}

/// True if Enter should execute: a backslash command, nothing at all, or text that ends with its `;`.
pub fn is_complete(text: &str) -> bool {
    let mut rest = text.trim();
    if rest.starts_with('\\') {
        return true;
    }
    while !rest.is_empty() {
        let scan = scan(rest);
        if !scan.is_terminated {
            return scan.is_blank && !scan.is_open;
        }
        rest = rest[scan.end + 1..].trim();
    }
    true
}

/// A statement's first word, after comments.
pub(super) fn first_word(statement: &str) -> &str {
    let mut rest = statement.trim_start();
    while let Some(Quoted { end: Some(end), is_comment: true }) = quoted_at(rest, 0) {
        rest = rest[end..].trim_start();
    }
    &rest[..rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len())]
}

struct Scan {
    /// Byte of the `;`, or the text's length.
    end: usize,
    is_terminated: bool,
    /// Nothing but white space and comments.
    is_blank: bool,
    /// Ends within quotes or a comment.
    is_open: bool,
}

/// The first statement of a text.
fn scan(text: &str) -> Scan {
    let bytes = text.as_bytes();
    let (mut at, mut is_blank) = (0, true);
    let mut is_open = false;
    while at < bytes.len() {
        if let Some(quoted) = quoted_at(text, at) {
            is_open = quoted.end.is_none();
            is_blank &= quoted.is_comment;
            at = quoted.end.unwrap_or(bytes.len());
            continue;
        }
        match bytes[at] {
            b';' => return Scan { end: at, is_terminated: true, is_blank, is_open: false },
            byte => {
                is_blank &= byte.is_ascii_whitespace();
                at += 1;
            }
        }
    }
    Scan { end: text.len(), is_terminated: false, is_blank, is_open }
}

/// A quoted text or a comment.
struct Quoted {
    /// Where the text after it begins; None if it does not end.
    end: Option<usize>,
    is_comment: bool,
}

/// What begins at a byte of the text, if it is one.
fn quoted_at(text: &str, at: usize) -> Option<Quoted> {
    let (bytes, rest) = (text.as_bytes(), text.get(at..)?);
    let (length, is_comment) = match *bytes.get(at)? {
        b'-' if rest.starts_with("--") => (Some(rest.find('\n').map_or(rest.len(), |end| end + 1)), true),
        b'/' if rest.starts_with("/*") => (comment_end(rest), true),
        quote @ (b'\'' | b'"') => (quote_end(rest, quote, quote == b'\'' && is_escape_string(bytes, at)), false),
        b'$' if !follows_name(bytes, at) => match dollar_quote_end(rest) {
            Dollar::NoQuote => return None,
            Dollar::Ends(end) => (Some(end), false),
            Dollar::Open => (None, false),
        },
        _ => return None,
    };
    Some(Quoted { end: length.map(|length| at + length), is_comment })
}

/// Length of the quoted text or comment that begins at a byte, up to the text's end if it has none of its own; None if there is none.
pub(super) fn quoted_length(text: &str, at: usize) -> Option<usize> {
    quoted_at(text, at).map(|quoted| quoted.end.unwrap_or(text.len()) - at)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn follows_name(bytes: &[u8], at: usize) -> bool {
    at > 0 && (is_name_byte(bytes[at - 1]) || bytes[at - 1] == b'$')
}

/// `E'…'`: a backslash escapes a quote.
fn is_escape_string(bytes: &[u8], quote: usize) -> bool {
    quote > 0 && matches!(bytes[quote - 1], b'e' | b'E') && !follows_name(bytes, quote - 1)
}

/// Length of a quoted text that begins with its quote. A doubled quote is two quoted texts in a row, which scans alike.
fn quote_end(text: &str, quote: u8, escapes: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            // A doubled quote in an escape string must not end it: what follows has escapes too.
            byte if byte == quote && escapes && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// Length of a comment that begins with `/*`; they nest.
fn comment_end(text: &str) -> Option<usize> {
    let (bytes, mut depth, mut at) = (text.as_bytes(), 0, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

enum Dollar {
    /// A parameter such as `$1`, or a stray `$`.
    NoQuote,
    Ends(usize),
    Open,
}

/// `$tag$ … $tag$`, from its first `$`.
fn dollar_quote_end(text: &str) -> Dollar {
    let Some(tag_end) = text[1..].find('$').map(|end| end + 1) else { return Dollar::NoQuote };
    let tag = &text[1..tag_end];
    if !tag.bytes().all(is_name_byte) || tag.starts_with(|c: char| c.is_ascii_digit()) {
        return Dollar::NoQuote;
    }
    let delimiter = &text[..=tag_end];
    match text[delimiter.len()..].find(delimiter) {
        Some(end) => Dollar::Ends(end + 2 * delimiter.len()),
        None => Dollar::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(script: &str) -> Vec<String> {
        let text = |piece| match piece {
            Piece::Statement(text) => text,
            Piece::Meta(line) => format!("\\{line}"),
        };
        pieces(script).into_iter().map(text).collect()
    }

    #[test]
    fn statements_end_at_semicolons() {
        assert_eq!(statements("select 1; select 2"), ["select 1", "select 2"]);
        assert_eq!(statements(" ;; -- nothing; \n /* ; /* ; */ ; */ ;"), Vec::<String>::new());
        assert_eq!(statements("select 1 -- a; b\n, 2;"), ["select 1 -- a; b\n, 2"]);
        assert_eq!(statements(""), Vec::<String>::new());
    }

    #[test]
    fn quotes_hide_semicolons() {
        for statement in [
            "select ';', \";\", 'it''s;'",
            r"select E'\';', e'\\', E'a'';\''",
            r"select '\', 'x'",
            "select $$;$$, $a$ ; $$ ; $a$, $1",
            "select a$b$c",
            "select 'é;ü'",
            "select é as ü",
        ] {
            assert_eq!(statements(&format!("{statement}; select 2")), [statement, "select 2"]);
            assert!(is_complete(&format!("{statement};")));
            assert!(!is_complete(statement), "{statement}");
        }
    }

    #[test]
    fn an_open_quote_goes_on() {
        for text in ["select 'a;", "select \"a;", "select $$a;", "select 1 /* ;", "select E'a\\';", "select 1; select"]
        {
            assert!(!is_complete(text), "{text}");
        }
        assert_eq!(statements("select 'a; select 2"), ["select 'a; select 2"]);
    }

    #[test]
    fn what_is_complete() {
        for text in ["", "  ", "select 1;", "select 1; ", "\\d", "\\d lineitem", "select 1; -- done", ";"] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["select 1", "select 1 -- ;", "/* comment"] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn the_first_word_is_after_comments() {
        assert_eq!(first_word(" /* a /* b */ */ -- c\n commit;"), "commit");
        assert_eq!((first_word("(select 1)"), first_word("-- nothing"), first_word("/* open")), ("", "", ""));
    }

    #[test]
    fn backslash_commands_are_lines_between_statements() {
        assert_eq!(
            statements("\\timing\nselect 1;\n\\x on \nselect 2"),
            ["\\timing", "select 1", "\\x on", "select 2"]
        );
        assert_eq!(statements("select 1\n\\d;"), ["select 1\n\\d"], "not within a statement");
        assert_eq!(statements("select 1; \\q"), ["select 1", "\\q"]);
    }
}
