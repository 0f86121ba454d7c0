//! Which line ends end records; the same rules as the readers'.

use memchr::{memchr, memchr_iter, memchr2};

/// Goes over text from some state on: what the bytes before may have left open.
#[derive(Clone, Debug)]
pub(super) enum Scanner {
    Csv {
        quote: u8,
        escape: u8,
        quoted: bool,
        /// The last byte was an escape inside quotes, and the escape is not the quote: the next byte may be its charge.
        escaped: bool,
    },
    /// PostgreSQL's text: a line end after an escape is a part of the value.
    Text { escape: Option<u8>, escaped: bool },
}

impl Scanner {
    pub(super) fn csv(quote: u8, escape: u8) -> Self {
        Scanner::Csv { quote, escape, quoted: false, escaped: false }
    }

    pub(super) fn text(escape: Option<u8>) -> Self {
        Scanner::Text { escape, escaped: false }
    }

    /// Each line end ends a record.
    pub(super) fn lines() -> Self {
        Scanner::text(None)
    }

    /// The same dialect in each state that the middle of a file can be in; the first is that of its start.
    pub(super) fn all_states(&self) -> Vec<Scanner> {
        match *self {
            Scanner::Csv { quote, escape, .. } => {
                let state = |quoted, escaped| Scanner::Csv { quote, escape, quoted, escaped };
                let mut states = vec![state(false, false), state(true, false)];
                if quote != escape {
                    states.push(state(true, true));
                }
                states
            }
            Scanner::Text { escape, .. } => {
                let state = |escaped| Scanner::Text { escape, escaped };
                if escape.is_some() { vec![state(false), state(true)] } else { vec![state(false)] }
            }
        }
    }

    /// Position in [`Scanner::all_states`].
    pub(super) fn state(&self) -> usize {
        match *self {
            Scanner::Csv { quoted, escaped, .. } => usize::from(quoted) + usize::from(escaped),
            Scanner::Text { escaped, .. } => usize::from(escaped),
        }
    }

    /// Goes over all of `bytes`.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        if let Scanner::Csv { quote, escape, quoted, .. } = self
            && quote == escape
        {
            // A doubled quote leaves and enters again: only the parity counts.
            *quoted ^= memchr_iter(*quote, bytes).count() % 2 == 1;
            return;
        }
        if let Scanner::Text { escape: None, .. } = self {
            return;
        }
        let mut at = 0;
        while let Some(next) = self.step(bytes, at) {
            at = next;
        }
    }

    /// Goes on until after a line end that ends a record, and says how far that was; None if `bytes` has none.
    pub(super) fn pass_record_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            match self {
                Scanner::Csv { quoted: true, .. } | Scanner::Text { escaped: true, .. } => {
                    at = self.step(bytes, at)?;
                }
                Scanner::Csv { quote, quoted, .. } => {
                    at += memchr2(b'\n', *quote, &bytes[at..])? + 1;
                    if bytes[at - 1] == b'\n' {
                        return Some(at);
                    }
                    *quoted = true;
                }
                Scanner::Text { escape, escaped } => {
                    at += memchr2(b'\n', escape.unwrap_or(b'\n'), &bytes[at..])? + 1;
                    if bytes[at - 1] == b'\n' {
                        return Some(at);
                    }
                    *escaped = true;
                }
            }
        }
    }

    /// From `at` past the next quote or escape, or what an escape before `at` has taken; None at the end.
    fn step(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        match self {
            Scanner::Csv { quote, escape, quoted, escaped } => {
                if *escaped {
                    let &next = bytes.get(at)?;
                    *escaped = false;
                    if next == *quote || next == *escape {
                        return Some(at + 1);
                    }
                }
                let found = match *quoted && quote != escape {
                    true => memchr2(*quote, *escape, &bytes[at..])?,
                    false => memchr(*quote, &bytes[at..])?,
                };
                match bytes[at + found] == *quote {
                    true => *quoted = !*quoted,
                    false => *escaped = true,
                }
                Some(at + found + 1)
            }
            Scanner::Text { escape, escaped } => {
                if *escaped {
                    bytes.get(at)?;
                    *escaped = false;
                    return Some(at + 1);
                }
                let found = memchr((*escape)?, &bytes[at..])?;
                *escaped = true;
                Some(at + found + 1)
            }
        }
    }
}
