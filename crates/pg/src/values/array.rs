//! One-dimensional arrays, of items that are in the wanted format already.

/// Items of an array that a client sends. Each takes some dozens of bytes, however few it was sent in.
pub const ITEMS_MAX: usize = 1 << 22;

/// Why a client's value is no array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayError {
    /// 22P02, 22P03: it is none, or has more dimensions.
    Malformed,
    /// 54000: it has over [`ITEMS_MAX`] items.
    TooLong,
}

/// 54000: more items, or a longer item, than a length of the wire counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Appends `{1,2,NULL}`; items are quoted where PostgreSQL's `array_out` quotes them. None is NULL.
pub fn array_to_text<'a>(items: impl IntoIterator<Item = Option<&'a str>>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match item {
            None => out.extend_from_slice(b"NULL"),
            Some(item) if is_quoted(item) => quote(item, out),
            Some(item) => out.extend_from_slice(item.as_bytes()),
        }
    }
    out.push(b'}');
}

fn is_quoted(item: &str) -> bool {
    let special = |byte: u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t'..=b'\r');
    item.is_empty() || item.eq_ignore_ascii_case("null") || item.bytes().any(special)
}

fn quote(item: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in item.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Appends the binary array of items of type `item_oid`, each in binary; None is NULL.
///
/// # Errors
/// If an i32 counts neither the items nor one's bytes; `out` then has a part of the array.
pub fn array_to_pg(item_oid: u32, items: &[Option<&[u8]>], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let length = |bytes: usize| i32::try_from(bytes).map_err(|_| TooLong);
    let dimensions = i32::from(!items.is_empty());
    let has_nulls = i32::from(items.iter().any(Option::is_none));
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&has_nulls.to_be_bytes());
    out.extend_from_slice(&item_oid.to_be_bytes());
    if items.is_empty() {
        return Ok(());
    }
    let first_subscript = 1i32;
    out.extend_from_slice(&length(items.len())?.to_be_bytes());
    out.extend_from_slice(&first_subscript.to_be_bytes());
    for item in items {
        match item {
            None => out.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(item) => {
                out.extend_from_slice(&length(item.len())?.to_be_bytes());
                out.extend_from_slice(item);
            }
        }
    }
    Ok(())
}

/// Items of an array, each in binary; None is NULL.
pub type ArrayItems<'a> = Vec<Option<&'a [u8]>>;

/// OID and items of a binary array.
///
/// # Errors
/// For what is no array, has more dimensions than one, or more items than there may be.
pub fn array_from_pg(value: &[u8]) -> Result<(u32, ArrayItems<'_>), ArrayError> {
    fn word<'a>(rest: &mut &'a [u8]) -> Result<i32, ArrayError> {
        let (word, after): (&'a [u8; 4], &'a [u8]) = rest.split_first_chunk().ok_or(ArrayError::Malformed)?;
        *rest = after;
        Ok(i32::from_be_bytes(*word))
    }
    let length = |bytes: i32| usize::try_from(bytes).map_err(|_| ArrayError::Malformed);
    let mut rest = value;
    let (dimensions, _has_nulls, item_oid) = (word(&mut rest)?, word(&mut rest)?, word(&mut rest)? as u32);
    let mut items = vec![];
    match dimensions {
        0 => {}
        1 => {
            let (count, _first_subscript) = (word(&mut rest)?, word(&mut rest)?);
            let count = length(count)?;
            if count > ITEMS_MAX {
                return Err(ArrayError::TooLong);
            }
            for _ in 0..count {
                items.push(match word(&mut rest)? {
                    -1 => None,
                    bytes => {
                        let (item, after) = rest.split_at_checked(length(bytes)?).ok_or(ArrayError::Malformed)?;
                        rest = after;
                        Some(item)
                    }
                });
            }
        }
        _ => return Err(ArrayError::Malformed),
    }
    if rest.is_empty() { Ok((item_oid, items)) } else { Err(ArrayError::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(items: &[Option<&str>]) -> String {
        let mut out = Vec::new();
        array_to_text(items.iter().copied(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn items_are_quoted_as_array_out_does() {
        assert_eq!(text(&[]), "{}");
        assert_eq!(text(&[Some("1"), None, Some("-2")]), "{1,NULL,-2}");
        assert_eq!(text(&[Some(""), Some("null"), Some("NULLS")]), r#"{"","null",NULLS}"#);
        assert_eq!(text(&[Some("a b"), Some(r#"say "x"\"#), Some("{,}")]), r#"{"a b","say \"x\"\\","{,}"}"#);
        assert_eq!(text(&[Some("a\u{b}b"), Some("é")]), "{\"a\u{b}b\",é}");
    }

    #[test]
    fn binary_arrays_have_a_dimension_unless_empty() {
        let mut out = Vec::new();
        array_to_pg(23, &[], &mut out).unwrap();
        assert_eq!(out, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23]);
        out.clear();
        array_to_pg(21, &[Some(&[0, 7]), None], &mut out).unwrap();
        let head = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 21, 0, 0, 0, 2, 0, 0, 0, 1];
        let items = [0, 0, 0, 2, 0, 7, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(out, [head.as_slice(), &items].concat());
        assert_eq!(array_from_pg(&out), Ok((21, vec![Some([0, 7].as_slice()), None])));
        for end in 0..out.len() {
            assert_eq!(array_from_pg(&out[..end]), Err(ArrayError::Malformed), "{end}");
        }
        out[12..16].copy_from_slice(&(ITEMS_MAX as u32 + 1).to_be_bytes());
        assert_eq!(array_from_pg(&out), Err(ArrayError::TooLong));
        out[12..16].copy_from_slice(&2u32.to_be_bytes());
        out.push(0);
        assert_eq!(array_from_pg(&out), Err(ArrayError::Malformed));
    }
}
