//! Records, of fields that are texts already.

/// Appends `(1,"a b",)`; fields are quoted where PostgreSQL's `record_out` quotes them. None is NULL, which is nothing.
pub fn record_to_text<'a>(fields: impl IntoIterator<Item = Option<&'a str>>, out: &mut Vec<u8>) {
    out.push(b'(');
    for (at, field) in fields.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match field {
            None => {}
            Some(field) if is_quoted(field) => quote(field, out),
            Some(field) => out.extend_from_slice(field.as_bytes()),
        }
    }
    out.push(b')');
}

fn is_quoted(field: &str) -> bool {
    let special = |byte: u8| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t'..=b'\r');
    field.is_empty() || field.bytes().any(special)
}

fn quote(field: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in field.bytes() {
        // Both are doubled, other than in arrays.
        if matches!(byte, b'"' | b'\\') {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fields: &[Option<&str>]) -> String {
        let mut out = Vec::new();
        record_to_text(fields.iter().copied(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_quoted_as_record_out_does() {
        assert_eq!(text(&[]), "()");
        assert_eq!(text(&[Some("1"), Some("a"), None]), "(1,a,)");
        assert_eq!(text(&[Some(""), Some("a b"), Some("null")]), r#"("","a b",null)"#);
        assert_eq!(text(&[Some(r#"say "x"\"#), Some("{1,2}"), Some("(1,a)")]), r#"("say ""x""\\","{1,2}","(1,a)")"#);
    }
}
