//! The characters of a text file.

use super::escaped::unescape;
use crate::StorageError;
use damson_cluster::{CsvOptions, Encoding, TextOptions};
use memchr::{memchr, memchr2};

/// Options that were checked: every character is ASCII, so that no cut is inside a UTF-8 sequence.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    pub header: bool,
    pub delimiter: u8,
    pub null: String,
    pub encoding: Encoding,
    pub form: Form,
}

/// How a value holds characters that would end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Csv {
        quote: u8,
        escape: u8,
    },
    /// PostgreSQL's text: after an escape; None: not at all.
    Text {
        escape: Option<u8>,
    },
}

impl Dialect {
    pub(crate) fn csv(options: &CsvOptions) -> Result<Self, StorageError> {
        let characters = [("DELIMITER", options.delimiter), ("QUOTE", options.quote), ("ESCAPE", options.escape)];
        check(&characters)?;
        if options.delimiter == options.quote {
            return Err(StorageError::Option { option: "DELIMITER (other than QUOTE)" });
        }
        Ok(Dialect {
            header: options.header,
            delimiter: options.delimiter,
            null: options.null.clone(),
            encoding: options.encoding.clone(),
            form: Form::Csv { quote: options.quote, escape: options.escape },
        })
    }

    pub(crate) fn text(options: &TextOptions) -> Result<Self, StorageError> {
        let escape = options.escape.map(|escape| ("ESCAPE", escape));
        check(&[Some(("DELIMITER", options.delimiter)), escape].into_iter().flatten().collect::<Vec<_>>())?;
        if options.escape == Some(options.delimiter) {
            return Err(StorageError::Option { option: "DELIMITER (other than ESCAPE)" });
        }
        Ok(Dialect {
            header: options.header,
            delimiter: options.delimiter,
            null: options.null.clone(),
            encoding: options.encoding.clone(),
            form: Form::Text { escape: options.escape },
        })
    }

    /// The value of a field that has quotes or escapes anywhere in it; None is NULL.
    pub(crate) fn unquote(&self, raw: &str) -> Option<String> {
        match self.form {
            Form::Csv { quote, escape } => Some(unquote(raw, quote, escape)),
            // NULL is told before escapes are taken out: `\\N` is the two characters.
            Form::Text { .. } if raw == self.null => None,
            Form::Text { escape } => Some(escape.map_or_else(|| raw.to_owned(), |escape| unescape(raw, escape))),
        }
    }
}

fn check(characters: &[(&'static str, u8)]) -> Result<(), StorageError> {
    let usable = |byte: u8| byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0);
    match characters.iter().find(|(_, byte)| !usable(*byte)) {
        None => Ok(()),
        Some((option, _)) => Err(StorageError::Option { option }),
    }
}

fn unquote(raw: &str, quote: u8, escape: u8) -> String {
    let bytes = raw.as_bytes();
    let mut out = String::with_capacity(raw.len());
    let (mut at, mut quoted) = (0, false);
    while at < bytes.len() {
        let found = match quoted {
            false => memchr(quote, &bytes[at..]),
            true => memchr2(quote, escape, &bytes[at..]),
        };
        let Some(offset) = found else {
            out.push_str(&raw[at..]);
            break;
        };
        let special = at + offset;
        out.push_str(&raw[at..special]);
        at = special + 1;
        match bytes.get(at) {
            _ if !quoted => quoted = true,
            Some(&next) if bytes[special] == escape && (next == quote || next == escape) => {
                out.push(char::from(next));
                at += 1;
            }
            _ if bytes[special] == quote => quoted = false,
            _ => out.push(char::from(bytes[special])),
        }
    }
    out
}
