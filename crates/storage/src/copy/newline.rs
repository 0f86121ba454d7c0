//! How the lines of a text file end, which its first one outside quotes tells.

use super::csv::Form;
use super::scanner::Scanner;
use crate::StorageError;
use crate::limits::{COPY_BLOCK_BYTES, FIRST_READ_BYTES};
use crate::source::{SourceFile, await_read};
use damson_cluster::Newline;
use memchr::{memchr, memchr_iter};

/// The byte after which the next record begins.
pub(crate) fn end_byte(newline: Newline) -> u8 {
    match newline {
        Newline::Lf | Newline::CrLf => b'\n',
        Newline::Cr => b'\r',
    }
}

/// The byte of the other line ends, which no value has without quotes or an escape before it.
pub(crate) fn stray_byte(newline: Newline) -> u8 {
    match newline {
        Newline::Lf | Newline::CrLf => b'\r',
        Newline::Cr => b'\n',
    }
}

/// Whether a text may have a part of another line end in it, be it in quotes. `text` begins where a record does, and may end in a line
/// end's first half.
pub(crate) fn may_stray(newline: Newline, text: &[u8]) -> bool {
    let returns = || memchr_iter(b'\r', text);
    match newline {
        Newline::Lf => memchr(b'\r', text).is_some(),
        Newline::Cr => memchr(b'\n', text).is_some(),
        Newline::CrLf => {
            returns().any(|at| text.get(at + 1).is_none_or(|&next| next != b'\n'))
                || memchr_iter(b'\n', text).count() != returns().count()
        }
    }
}

/// Looks for a file's first line end, block by block.
pub(crate) struct NewlineFinder {
    lf: Scanner,
    cr: Scanner,
    after_return: bool,
}

impl NewlineFinder {
    pub(crate) fn new(form: Form) -> Self {
        // The line end after a mark of the data's end is one as well.
        let scanner = |end| Scanner::new(Some(form), end).ignore_marks();
        NewlineFinder { lf: scanner(b'\n'), cr: scanner(b'\r'), after_return: false }
    }

    /// None while the line end is not there, or not all of it.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Option<Newline> {
        let &first = bytes.first()?;
        if self.after_return {
            return Some(if first == b'\n' { Newline::CrLf } else { Newline::Cr });
        }
        let lf = self.lf.pass_record_end(bytes);
        match self.cr.pass_record_end(&bytes[..lf.unwrap_or(bytes.len())]) {
            None => lf.map(|_| Newline::Lf),
            Some(after) if after == bytes.len() => {
                self.after_return = true;
                None
            }
            Some(after) => Some(if bytes[after] == b'\n' { Newline::CrLf } else { Newline::Cr }),
        }
    }

    /// The file ends, and no call has told.
    pub(crate) fn at_end(&self) -> Newline {
        if self.after_return { Newline::Cr } else { Newline::Lf }
    }
}

/// How a file's lines end.
///
/// # Errors
/// The reads'.
pub(super) async fn newline_of(source: &SourceFile, form: Form) -> Result<Newline, StorageError> {
    let mut finder = NewlineFinder::new(form);
    let (mut offset, mut bytes) = (0, FIRST_READ_BYTES);
    loop {
        let block = await_read(source.begin_read(offset, bytes)).await?;
        if block.is_empty() {
            return Ok(finder.at_end());
        }
        if let Some(newline) = finder.pass(&block) {
            return Ok(newline);
        }
        offset += block.len() as u64;
        bytes = COPY_BLOCK_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_end_outside_quotes_tells() {
        let (csv, slash) = (Form::Csv { quote: b'"', escape: b'"' }, Form::Csv { quote: b'"', escape: b'\\' });
        let text = Form::Text { escape: Some(b'\\') };
        for (form, whole, newline) in [
            (csv, "a\nb\r\n", Newline::Lf),
            (csv, "a\r\nb\n", Newline::CrLf),
            (csv, "a\rb\r\n", Newline::Cr),
            (csv, "a\r", Newline::Cr),
            (csv, "\r\r\n", Newline::Cr),
            (csv, "a", Newline::Lf),
            (csv, "", Newline::Lf),
            (csv, "\"\r\"\"\r\n\"\n", Newline::Lf),
            (csv, "\"\n", Newline::Lf),
            (slash, "\"\n\\\"\n\"\r\n", Newline::CrLf),
            (text, "a\\\r\\\n\rb\n", Newline::Cr),
            (text, "\\.\r\n", Newline::CrLf),
            (Form::Text { escape: None }, "a\\\r\n", Newline::CrLf),
        ] {
            for cut in 0..=whole.len() {
                let mut finder = NewlineFinder::new(form);
                let (front, back) = whole.as_bytes().split_at(cut);
                let found = finder.pass(front).or_else(|| finder.pass(back)).unwrap_or_else(|| finder.at_end());
                assert_eq!(found, newline, "{whole:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn other_line_ends_are_seen() {
        for (newline, text, may) in [
            (Newline::Lf, "a\nb\n", false),
            (Newline::Lf, "a\nb\r\n", true),
            (Newline::Cr, "a\rb", false),
            (Newline::Cr, "a\r\nb", true),
            (Newline::CrLf, "a\r\nb\r\n", false),
            (Newline::CrLf, "a\r\nb\n", true),
            (Newline::CrLf, "a\r\nb\r", true),
            (Newline::CrLf, "\n\r", true),
            (Newline::CrLf, "a\r\r\n", true),
        ] {
            assert_eq!(may_stray(newline, text.as_bytes()), may, "{newline:?} {text:?}");
        }
    }
}
