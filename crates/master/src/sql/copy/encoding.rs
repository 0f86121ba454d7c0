//! Names of encodings: PostgreSQL's and the WHATWG's.

use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::Encoding;

/// The label of the `encoding_rs` crate, and other names of the same encoding, in lower case and without `-`, `_` and blanks.
/// PostgreSQL's LATIN1 is read as the WHATWG does it, as windows-1252: they differ in the control characters 0x80 to 0x9f alone.
const NAMES: &[(&str, &[&str])] = &[
    ("big5", &["big5", "windows950", "win950"]),
    ("euc-jp", &["eucjp"]),
    ("euc-kr", &["euckr", "uhc", "windows949", "win949", "ksc5601"]),
    ("gb18030", &["gb18030"]),
    ("gbk", &["gbk", "euccn", "gb2312", "windows936", "win936"]),
    ("ibm866", &["ibm866", "win866", "alt", "cp866"]),
    ("iso-2022-jp", &["iso2022jp"]),
    ("iso-8859-2", &["iso88592", "latin2"]),
    ("iso-8859-3", &["iso88593", "latin3"]),
    ("iso-8859-4", &["iso88594", "latin4"]),
    ("iso-8859-5", &["iso88595", "cyrillic"]),
    ("iso-8859-6", &["iso88596", "arabic"]),
    ("iso-8859-7", &["iso88597", "greek"]),
    ("iso-8859-8", &["iso88598", "hebrew"]),
    ("iso-8859-10", &["iso885910", "latin6"]),
    ("iso-8859-13", &["iso885913", "latin7"]),
    ("iso-8859-14", &["iso885914", "latin8"]),
    ("iso-8859-15", &["iso885915", "latin9"]),
    ("iso-8859-16", &["iso885916", "latin10"]),
    ("koi8-r", &["koi8r", "koi8"]),
    ("koi8-u", &["koi8u"]),
    ("macintosh", &["macintosh", "macroman"]),
    ("shift_jis", &["shiftjis", "sjis", "mskanji", "win932", "windows932"]),
    ("utf-16be", &["utf16be"]),
    ("utf-16le", &["utf16le", "utf16"]),
    ("windows-874", &["windows874", "win874"]),
    ("windows-1250", &["windows1250", "win1250", "cp1250"]),
    ("windows-1251", &["windows1251", "win1251", "win", "cp1251"]),
    ("windows-1252", &["windows1252", "win1252", "cp1252", "latin1", "iso88591"]),
    ("windows-1253", &["windows1253", "win1253", "cp1253"]),
    ("windows-1254", &["windows1254", "win1254", "cp1254", "latin5", "iso88599"]),
    ("windows-1255", &["windows1255", "win1255", "cp1255"]),
    ("windows-1256", &["windows1256", "win1256", "cp1256"]),
    ("windows-1257", &["windows1257", "win1257", "cp1257"]),
    ("windows-1258", &["windows1258", "win1258", "cp1258", "abc", "tcvn", "tcvn5712", "vscii"]),
    ("x-mac-cyrillic", &["xmaccyrillic"]),
];

/// # Errors
/// 22023 for a name that is none; 0A000 for PostgreSQL's SQL_ASCII, which says nothing of what the bytes mean. Without a position.
pub(super) fn encoding(name: &str) -> SqlResult<Encoding> {
    let key: String = name.to_lowercase().chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect();
    if ["utf8", "unicode"].contains(&key.as_str()) {
        return Ok(Encoding::Utf8);
    }
    if key == "sqlascii" {
        let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "encoding \"SQL_ASCII\" is not supported");
        return Err(error.with_hint("Say which encoding the files have: UTF8, LATIN1, WIN1252, ..."));
    }
    match NAMES.iter().find(|(_, names)| names.contains(&key.as_str())) {
        Some((label, _)) => Ok(Encoding::Other((*label).into())),
        None => {
            let message = format!("argument to option \"encoding\" must be a valid encoding name: \"{name}\" is none");
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_of_postgresql_and_of_the_web() {
        for (name, label) in [
            ("LATIN1", "windows-1252"),
            ("iso-8859-1", "windows-1252"),
            ("WIN1252", "windows-1252"),
            ("ISO_8859_5", "iso-8859-5"),
            ("latin9", "iso-8859-15"),
            ("SJIS", "shift_jis"),
            ("Shift_JIS", "shift_jis"),
            ("EUC_JP", "euc-jp"),
            ("KOI8R", "koi8-r"),
            ("utf-16", "utf-16le"),
            ("UTF-16BE", "utf-16be"),
        ] {
            assert_eq!(encoding(name).unwrap(), Encoding::Other(label.into()), "{name}");
        }
        for name in ["UTF8", "utf-8", "Unicode"] {
            assert_eq!(encoding(name).unwrap(), Encoding::Utf8, "{name}");
        }
        assert_eq!(encoding("SQL_ASCII").unwrap_err().state, SqlState::FEATURE_NOT_SUPPORTED);
        for name in ["", "latin", "utf9", "MULE_INTERNAL"] {
            assert_eq!(encoding(name).unwrap_err().state, SqlState::INVALID_PARAMETER, "{name}");
        }
    }

    #[test]
    fn a_name_means_one_encoding() {
        let mut seen = HashSet::new();
        for (label, names) in NAMES {
            let plain: String = label.chars().filter(|c| !matches!(c, '-' | '_')).collect();
            assert!(names.contains(&plain.as_str()), "{label} is a name of itself");
            assert!(names.iter().all(|name| seen.insert(*name)), "{label}: {names:?}");
        }
    }
}
