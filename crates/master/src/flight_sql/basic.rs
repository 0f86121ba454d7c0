//! `authorization: Basic …` → user and password (RFC 7617).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// With the padding or without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// User and password of a header's value without `Basic `; None if it is not base64 of `user:password`.
pub(super) fn decode(credentials: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64.decode(credentials.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
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
