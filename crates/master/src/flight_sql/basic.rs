//! `authorization: Basic …` → user and password (RFC 7617).

/// User and password of a header's value without `Basic `; None if it is not base64 of `user:password`.
pub(super) fn decode(credentials: &str) -> Option<(String, String)> {
    let text = String::from_utf8(base64(credentials.trim())?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for symbol in text.trim_end_matches('=').bytes() {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn credentials_are_read() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(decode("QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(decode("dXNlcjphOmI"), pair("user", "a:b"));
        assert_eq!(decode("Og=="), pair("", ""));
        assert_eq!(decode("w7w6w58="), pair("ü", "ß"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "!!!!", "dXNlcg==", "/////w=="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
