//! The characters of a CSV file.

use crate::StorageError;
use damson_cluster::CsvOptions;
use memchr::{memchr, memchr2};

/// CSV options that were checked: every character is ASCII, so that no cut is inside a UTF-8 sequence.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    pub header: bool,
    pub delimiter: u8,
    pub quote: u8,
    pub escape: u8,
    pub null: String,
}

impl Dialect {
    pub(crate) fn new(options: &CsvOptions) -> Result<Self, StorageError> {
        let usable = |byte: u8| byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0);
        for (option, byte) in [("DELIMITER", options.delimiter), ("QUOTE", options.quote), ("ESCAPE", options.escape)] {
            if !usable(byte) {
                return Err(StorageError::Option { option });
            }
        }
        if options.delimiter == options.quote {
            return Err(StorageError::Option { option: "DELIMITER (other than QUOTE)" });
        }
        Ok(Dialect {
            header: options.header,
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            null: options.null.clone(),
        })
    }

    /// The value of a field that has quotes anywhere in it.
    pub(crate) fn unquote(&self, raw: &str) -> String {
        let bytes = raw.as_bytes();
        let mut out = String::with_capacity(raw.len());
        let (mut at, mut quoted) = (0, false);
        while at < bytes.len() {
            let found = match quoted {
                false => memchr(self.quote, &bytes[at..]),
                true => memchr2(self.quote, self.escape, &bytes[at..]),
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
                Some(&next) if bytes[special] == self.escape && (next == self.quote || next == self.escape) => {
                    out.push(char::from(next));
                    at += 1;
                }
                _ if bytes[special] == self.quote => quoted = false,
                _ => out.push(char::from(bytes[special])),
            }
        }
        out
    }
}
