//! `encode(bytea, format)` and `decode(text, format)`: base64, hex, escape.

use super::function::{PlainFunction, is_text, over_arrays};
use crate::FunctionError;
use arrow::array::{ArrayRef, AsArray, BinaryViewArray, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::fmt::Write;
use std::sync::Arc;

/// Characters of a line of base64, as in MIME.
const LINE: usize = 76;

pub fn encode() -> ScalarUDF {
    PlainFunction {
        name: "encode",
        coerce: |types| match types {
            [bytes, format] if (is_binary(bytes) || is_text(bytes)) && is_text(format) => {
                Ok(vec![DataType::BinaryView, DataType::Utf8View])
            }
            _ => plan_err!("function encode({types:?}) does not exist"),
        },
        returns: |_| Ok(DataType::Utf8View),
        run: |args| {
            over_arrays(args, |arrays| {
                let (bytes, formats) = (arrays[0].as_binary_view(), arrays[1].as_string_view());
                let texts = bytes.iter().zip(formats).map(|(bytes, format)| match (bytes, format) {
                    (Some(bytes), Some(format)) => Format::named(format).map(|format| Some(format.encode(bytes))),
                    _ => Ok(None),
                });
                let texts: Result<StringViewArray, FunctionError> = texts.collect();
                Ok(Arc::new(texts?) as ArrayRef)
            })
        },
    }
    .udf()
}

pub fn decode() -> ScalarUDF {
    PlainFunction {
        name: "decode",
        coerce: |types| match types {
            [text, format] if is_text(text) && is_text(format) => Ok(vec![DataType::Utf8View; 2]),
            _ => plan_err!("function decode({types:?}) does not exist"),
        },
        returns: |_| Ok(DataType::BinaryView),
        run: |args| {
            over_arrays(args, |arrays| {
                let (texts, formats) = (arrays[0].as_string_view(), arrays[1].as_string_view());
                let decoded = texts.iter().zip(formats).map(|(text, format)| match (text, format) {
                    (Some(text), Some(format)) => Format::named(format)?.decode(text.as_bytes()).map(Some),
                    _ => Ok(None),
                });
                let decoded = decoded.collect::<Result<Vec<Option<Vec<u8>>>, FunctionError>>()?;
                Ok(Arc::new(decoded.into_iter().collect::<BinaryViewArray>()) as ArrayRef)
            })
        },
    }
    .udf()
}

/// `to_bytea(text)`: what a cast does. `\x` begins hex, anything else is bytes with `\ooo` and `\\` escapes.
pub fn to_bytea() -> ScalarUDF {
    PlainFunction {
        name: "to_bytea",
        coerce: |types| match types {
            [text] if is_text(text) => Ok(vec![DataType::Utf8View]),
            _ => plan_err!("function to_bytea({types:?}) does not exist"),
        },
        returns: |_| Ok(DataType::BinaryView),
        run: |args| {
            over_arrays(args, |arrays| {
                let decoded = arrays[0].as_string_view().iter().map(|text| match text {
                    Some(text) => match text.strip_prefix("\\x") {
                        Some(hex) => Format::Hex.decode(hex.as_bytes()).map(Some),
                        None => Format::Escape.decode(text.as_bytes()).map(Some),
                    },
                    None => Ok(None),
                });
                let decoded = decoded.collect::<Result<Vec<Option<Vec<u8>>>, FunctionError>>()?;
                Ok(Arc::new(decoded.into_iter().collect::<BinaryViewArray>()) as ArrayRef)
            })
        },
    }
    .udf()
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

#[derive(Clone, Copy)]
enum Format {
    Base64,
    Hex,
    Escape,
}

impl Format {
    fn named(name: &str) -> Result<Self, FunctionError> {
        match name.to_ascii_lowercase().as_str() {
            "base64" => Ok(Self::Base64),
            "hex" => Ok(Self::Hex),
            "escape" => Ok(Self::Escape),
            _ => Err(invalid(format!("unrecognized encoding: \"{name}\""))),
        }
    }

    fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Base64 => encode_base64(bytes),
            Self::Hex => hex(bytes),
            Self::Escape => escape(bytes),
        }
    }

    fn decode(self, text: &[u8]) -> Result<Vec<u8>, FunctionError> {
        match self {
            Self::Base64 => decode_base64(text),
            Self::Hex => decode_hex(text),
            Self::Escape => unescape(text),
        }
    }
}

fn invalid(message: impl Into<String>) -> FunctionError {
    FunctionError::invalid("22023", message)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4 + bytes.len() / 57);
    let mut in_line = 0;
    for group in bytes.chunks(3) {
        if in_line == LINE {
            text.push('\n');
            in_line = 0;
        }
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for position in 0..4 {
            let index = bits >> (18 - 6 * position) & 63;
            text.push(if position <= group.len() { ALPHABET[index as usize].into() } else { '=' });
        }
        in_line += 4;
    }
    text
}

fn decode_base64(text: &[u8]) -> Result<Vec<u8>, FunctionError> {
    let end = || invalid("invalid base64 end sequence");
    let (mut bytes, mut bits, mut count, mut padding) = (vec![], 0u32, 0, 0);
    for &byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        if byte == b'=' {
            padding += 1;
            if count < 2 || count + padding > 4 {
                return Err(invalid("unexpected \"=\" while decoding base64 sequence"));
            }
            continue;
        }
        let Some(value) = ALPHABET.iter().position(|c| *c == byte).filter(|_| padding == 0) else {
            let message = format!("invalid symbol \"{}\" found while decoding base64 sequence", char::from(byte));
            return Err(invalid(message));
        };
        bits = bits << 6 | value as u32;
        count += 1;
        if count == 4 {
            bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    match (count, padding) {
        (0, 0) => {}
        (2, 2) => bytes.push((bits >> 4) as u8),
        (3, 1) => bytes.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        _ => return Err(end()),
    }
    Ok(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn decode_hex(text: &[u8]) -> Result<Vec<u8>, FunctionError> {
    let digits = text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(|&byte| {
        char::from(byte)
            .to_digit(16)
            .map(|digit| digit as u8)
            .ok_or_else(|| invalid(format!("invalid hexadecimal digit: \"{}\"", char::from(byte))))
    });
    let digits = digits.collect::<Result<Vec<u8>, _>>()?;
    if digits.len() % 2 == 1 {
        return Err(invalid("invalid hexadecimal data: odd number of digits"));
    }
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Zero bytes and those beyond ASCII as `\ooo`, the backslash doubled.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            0 | 128.. => {
                let _ = write!(text, "\\{byte:03o}");
            }
            _ => text.push(byte.into()),
        }
    }
    text
}

fn unescape(text: &[u8]) -> Result<Vec<u8>, FunctionError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        (rest, _) = match (byte, tail) {
            (b'\\', [b'\\', tail @ ..]) => (tail, bytes.push(b'\\')),
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                (tail, bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')))
            }
            (b'\\', _) => return Err(FunctionError::invalid("22P02", "invalid input syntax for type bytea")),
            _ => (tail, bytes.push(byte)),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_texts() {
        assert_eq!(encode_base64(&[0xde, 0xad, 0xbe, 0xef]), "3q2+7w==");
        assert_eq!((encode_base64(b""), encode_base64(b"abc")), (String::new(), "YWJj".into()));
        assert_eq!(encode_base64(&[0; 58]).find('\n'), Some(76));
        assert_eq!(escape(b"a\\\0\xff"), "a\\\\\\000\\377");
        for text in ["3q2+7w", "3q2+7w=", "=", "3q2*", "3q2+7w==x"] {
            assert_eq!(decode_base64(text.as_bytes()).unwrap_err().sqlstate(), "22023", "{text}");
        }
        assert!(decode_hex(b"abc").is_err() && decode_hex(b"zz").is_err());
        assert!(unescape(b"\\9").is_err());
    }

    proptest! {
        #[test]
        fn there_and_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in [Format::Base64, Format::Hex, Format::Escape] {
                prop_assert_eq!(format.decode(format.encode(&bytes).as_bytes()).unwrap(), bytes.clone());
            }
        }
    }
}
