//! What is known of a session's texts: bounded, and the longest unused is forgotten first.

use std::collections::VecDeque;

/// Texts of one session: what is known of more than that has to be found again.
const TEXTS_MAX: usize = 64;

/// Bytes of these texts together. A statement's tree, or plan, takes about fifty times as much memory as its text, and there are thousands of
/// sessions.
const TEXTS_BYTES_MAX: usize = 16 << 10;

/// Bytes of one of them: what is longer, such as an INSERT of many rows, comes once.
const TEXT_BYTES_MAX: usize = TEXTS_BYTES_MAX / 4;

/// Something by text, the one that was asked for last at the end.
///
/// # Memory
/// [`TEXTS_MAX`] values, of at most [`TEXTS_BYTES_MAX`] of text.
pub(super) struct Texts<T> {
    known: VecDeque<(String, T)>,
    bytes: usize,
}

impl<T> Default for Texts<T> {
    fn default() -> Self {
        Texts { known: VecDeque::new(), bytes: 0 }
    }
}

impl<T: Clone> Texts<T> {
    pub(super) fn get(&mut self, text: &str) -> Option<T> {
        let at = self.known.iter().rposition(|(known, _)| known == text)?;
        let found = self.known.remove(at)?;
        let value = found.1.clone();
        self.known.push_back(found);
        Some(value)
    }

    /// In the place of what was known of the text. Of one that is too long nothing is kept.
    pub(super) fn insert(&mut self, text: &str, value: T) {
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        if let Some(at) = self.known.iter().position(|(known, _)| known == text)
            && let Some((old, _)) = self.known.remove(at)
        {
            self.bytes -= old.len();
        }
        while self.known.len() >= TEXTS_MAX || self.bytes + text.len() > TEXTS_BYTES_MAX {
            let Some((oldest, _)) = self.known.pop_front() else { break };
            self.bytes -= oldest.len();
        }
        self.bytes += text.len();
        self.known.push_back((text.to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_is_forgotten_first() {
        let mut texts = Texts::default();
        for number in 0..TEXTS_MAX {
            texts.insert(&number.to_string(), number);
        }
        assert_eq!(texts.get("0"), Some(0), "all of them are there");
        texts.insert("new", 7);
        assert_eq!((texts.get("1"), texts.get("0"), texts.get("new")), (None, Some(0), Some(7)));
        texts.insert("new", 8);
        assert_eq!((texts.get("2"), texts.get("new")), (Some(2), Some(8)), "it drives out none but itself");
        assert_eq!(texts.bytes, texts.known.iter().map(|(text, _)| text.len()).sum::<usize>());
    }

    #[test]
    fn texts_have_so_many_bytes() {
        let mut texts = Texts::default();
        texts.insert("short", 0);
        texts.insert(&"x".repeat(TEXT_BYTES_MAX + 1), 1);
        assert_eq!(texts.get("short"), Some(0), "what is too long drives out nothing");
        let long = |letter: &str| letter.repeat(TEXT_BYTES_MAX);
        for (number, letter) in ["a", "b", "c", "d", "d"].into_iter().enumerate() {
            texts.insert(&long(letter), number);
        }
        assert_eq!((texts.get("short"), texts.get(&long("a")), texts.get(&long("d"))), (None, Some(0), Some(4)));
        assert_eq!(texts.bytes, TEXTS_BYTES_MAX);
    }
}
