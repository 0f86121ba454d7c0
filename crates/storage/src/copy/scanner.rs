//! Which line ends end records; the same rules as the readers'.

use super::csv::Form;
use memchr::{memchr, memchr_iter, memchr2};

/// Goes over text from some state on: what the bytes before may have left open. A record ends at a byte `end` that nothing protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scanner {
    Csv {
        quote: u8,
        escape: u8,
        end: u8,
        quoted: bool,
        /// The last byte was an escape inside quotes, and the escape is not the quote: the next byte may be its charge.
        escaped: bool,
    },
    /// PostgreSQL's text: a line end after an escape is a part of the value.
    Text { escape: Option<u8>, end: u8, escaped: bool, mark: Mark },
}

/// What an escape with a point after it, which is where the data end, is to a scanner of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// As any other.
    Ignored,
    /// After it no record ends.
    Awaited,
    Met,
}

impl Scanner {
    /// At the start of a file whose records end in `end`; `form`: None where each of these bytes ends one.
    pub(super) fn new(form: Option<Form>, end: u8) -> Self {
        match form {
            Some(Form::Csv { quote, escape }) => Scanner::Csv { quote, escape, end, quoted: false, escaped: false },
            Some(Form::Text { escape }) => Scanner::Text { escape, end, escaped: false, mark: Mark::Awaited },
            None => Scanner::Text { escape: None, end, escaped: false, mark: Mark::Ignored },
        }
    }

    /// The same, for which data go on after a mark of their end.
    pub(super) fn ignore_marks(mut self) -> Self {
        if let Scanner::Text { mark, .. } = &mut self {
            *mark = Mark::Ignored;
        }
        self
    }

    /// The same dialect in each state that the middle of a file can be in; the first is that of its start.
    pub(super) fn all_states(&self) -> Vec<Scanner> {
        match *self {
            Scanner::Csv { quote, escape, end, .. } => {
                let state = |quoted, escaped| Scanner::Csv { quote, escape, end, quoted, escaped };
                let mut states = vec![state(false, false), state(true, false)];
                if quote != escape {
                    states.push(state(true, true));
                }
                states
            }
            Scanner::Text { escape, end, mark, .. } => {
                let state = |escaped| Scanner::Text { escape, end, escaped, mark };
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

    /// Whether a mark of the data's end was met: no record begins after it.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Scanner::Text { mark: Mark::Met, .. })
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
                Scanner::Csv { quoted: true, .. }
                | Scanner::Text { escaped: true, .. }
                | Scanner::Text { mark: Mark::Met, .. } => {
                    at = self.step(bytes, at)?;
                }
                Scanner::Csv { quote, end, quoted, .. } => {
                    at += memchr2(*end, *quote, &bytes[at..])? + 1;
                    if bytes[at - 1] == *end {
                        return Some(at);
                    }
                    *quoted = true;
                }
                Scanner::Text { escape, end, escaped, .. } => {
                    at += memchr2(*end, escape.unwrap_or(*end), &bytes[at..])? + 1;
                    if bytes[at - 1] == *end {
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
            Scanner::Csv { quote, escape, quoted, escaped, .. } => {
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
            Scanner::Text { mark: Mark::Met, .. } => None,
            Scanner::Text { escape, escaped, mark, .. } => {
                if *escaped {
                    let &next = bytes.get(at)?;
                    *escaped = false;
                    if next == b'.' && *mark == Mark::Awaited {
                        *mark = Mark::Met;
                        return None;
                    }
                    return Some(at + 1);
                }
                let found = memchr((*escape)?, &bytes[at..])?;
                *escaped = true;
                Some(at + found + 1)
            }
        }
    }
}
