//! Positions in a statement's text.

use super::dialect::Guarded;
use sqlparser::tokenizer::Location;

/// A statement's text and where its lines start: the tokenizer counts lines and columns, PostgreSQL's clients characters.
pub(super) struct Text<'a> {
    pub source: &'a str,
    /// Of each line: its first character's (byte offset, character offset).
    lines: Vec<(usize, usize)>,
    /// Parses it.
    pub dialect: Guarded,
}

impl<'a> Text<'a> {
    pub fn new(source: &'a str) -> Self {
        let mut lines = vec![(0, 0)];
        for (characters, (bytes, character)) in source.char_indices().enumerate() {
            if character == '\n' {
                lines.push((bytes + 1, characters + 1));
            }
        }
        Text { source, lines, dialect: Guarded::new() }
    }

    /// 1-based character position. An unknown location is the end of the text.
    pub fn position(&self, location: Location) -> usize {
        match self.line(location) {
            Some((_, characters)) => characters + column(location) + 1,
            None => self.end(),
        }
    }

    /// The position just after the last character that is not white space.
    pub fn end(&self) -> usize {
        self.source.trim_end().chars().count() + 1
    }

    /// Byte offset of a location.
    pub fn byte(&self, location: Location) -> usize {
        let Some((start, _)) = self.line(location) else { return self.source.len() };
        let rest = &self.source[start..];
        start + rest.char_indices().nth(column(location)).map_or(rest.len(), |(byte, _)| byte)
    }

    fn line(&self, location: Location) -> Option<(usize, usize)> {
        let line = usize::try_from(location.line).ok()?.checked_sub(1)?;
        self.lines.get(line).copied()
    }
}

/// 0-based.
fn column(location: Location) -> usize {
    usize::try_from(location.column).unwrap_or(usize::MAX).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_over_lines() {
        let text = Text::new("ä\nöb\n c ");
        assert_eq!(text.position(Location::new(1, 1)), 1);
        assert_eq!(text.position(Location::new(2, 2)), 4);
        assert_eq!(text.position(Location::new(3, 2)), 7);
        assert_eq!(text.byte(Location::new(2, 2)), 5);
        assert_eq!(text.byte(Location::new(3, 9)), text.source.len());
        assert_eq!(text.position(Location::new(0, 0)), 8);
        assert_eq!(text.end(), 8);
    }
}
