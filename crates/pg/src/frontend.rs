//! What clients send: the packet that opens a connection, and the messages after it.
//!
//! Own decoders, because those of pgwire 0.42 panic on messages that end too early, and read on in the next one.

use std::str;
use thiserror::Error;

/// A message that is not what the protocol says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    #[error("insufficient data left in message")]
    TooShort,
    #[error("invalid message format")]
    TooLong,
    #[error("invalid string in message")]
    OpenString,
    #[error("invalid byte sequence for encoding \"UTF8\"")]
    Encoding,
    #[error("invalid frontend message type {0}")]
    UnknownMessage(u8),
    #[error("invalid {what} message subtype {subtype}")]
    UnknownTarget { what: &'static str, subtype: u8 },
    #[error("unsupported format code: {0}")]
    UnknownFormat(i16),
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0")]
    Version { major: u16, minor: u16 },
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Startup,
}

impl Malformed {
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Malformed::Encoding => "22021",
            Malformed::UnknownFormat(_) => "22023",
            Malformed::Version { .. } => "0A000",
            _ => "08P01",
        }
    }

    /// Whether the connection can go on: the message was whole, and only its content is wrong.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Malformed::Encoding | Malformed::UnknownFormat(_))
    }
}

/// The first packet of a connection; after [`Opening::Tls`] and [`Opening::Gss`] another one comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    Tls,
    Gss,
    /// Cancels what another connection runs.
    Cancel {
        process: u32,
        secret: Vec<u8>,
    },
    /// `minor` of protocol 3; names and values of settings, `user` and `database` among them.
    Start {
        minor: u16,
        settings: Vec<(String, String)>,
    },
}

const PROTOCOL: u16 = 3;
/// Codes that stand where the version does: `1234` and these.
const REQUEST: u16 = 1234;
const CANCEL: u16 = 5678;
const TLS: u16 = 5679;
const GSS: u16 = 5680;

impl Opening {
    /// `body` is the packet without its length.
    ///
    /// # Errors
    /// For another protocol than 3, and for what is no opening.
    pub fn parse(body: &[u8]) -> Result<Opening, Malformed> {
        let mut reader = Reader(body);
        let (major, minor) = (reader.u16()?, reader.u16()?);
        match (major, minor) {
            (REQUEST, CANCEL) => Ok(Opening::Cancel { process: reader.u32()?, secret: reader.0.to_vec() }),
            (REQUEST, TLS) => Ok(Opening::Tls),
            (REQUEST, GSS) => Ok(Opening::Gss),
            (PROTOCOL, _) => {
                let mut settings = vec![];
                loop {
                    let name = reader.string()?;
                    if name.is_empty() {
                        break;
                    }
                    settings.push((name.to_owned(), reader.string()?.to_owned()));
                }
                if reader.0.is_empty() { Ok(Opening::Start { minor, settings }) } else { Err(Malformed::Startup) }
            }
            _ => Err(Malformed::Version { major, minor }),
        }
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Binary,
}

impl Format {
    fn of_code(code: i16) -> Result<Self, Malformed> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(Malformed::UnknownFormat(other)),
        }
    }

    pub fn code(self) -> i16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }
}

/// Formats of several values: none means text, one is of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formats(Vec<Format>);

impl Formats {
    /// `format` for all values.
    pub fn all(format: Format) -> Self {
        Formats(vec![format])
    }

    /// Of value `at`, from 0. Text if there are several formats and none for it; see [`Formats::fits`].
    pub fn of(&self, at: usize) -> Format {
        match self.0.as_slice() {
            [one] => *one,
            several => several.get(at).copied().unwrap_or_default(),
        }
    }

    /// Whether they can be those of so many values.
    pub fn fits(&self, values: usize) -> bool {
        self.0.len() <= 1 || self.0.len() == values
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What Describe and Close name; the empty name is the unnamed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    Statement(&'a str),
    Portal(&'a str),
}

/// How long messages of a kind can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// They have names and numbers.
    Short,
    /// They have texts of statements, values, or rows.
    Long,
}

/// A client's message after its opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    Query(&'a str),
    /// `types` of the first parameters; 0 where the server is to find it.
    Parse {
        statement: &'a str,
        text: &'a str,
        types: Vec<u32>,
    },
    /// None is NULL.
    Bind {
        portal: &'a str,
        statement: &'a str,
        formats: Formats,
        values: Vec<Option<&'a [u8]>>,
        results: Formats,
    },
    Describe(Target<'a>),
    Close(Target<'a>),
    /// 0 rows are all.
    Execute {
        portal: &'a str,
        rows_max: u32,
    },
    Sync,
    Flush,
    Terminate,
    CopyData(&'a [u8]),
    CopyDone,
    CopyFail(&'a str),
    /// What answers a request for authentication.
    Password(&'a [u8]),
}

impl<'a> Request<'a> {
    /// Of messages that begin with that byte.
    ///
    /// # Errors
    /// For a kind that no client sends: what follows it is no message, whatever length it says.
    pub fn size_of(kind: u8) -> Result<Size, Malformed> {
        match kind {
            b'Q' | b'P' | b'B' | b'd' => Ok(Size::Long),
            b'D' | b'C' | b'E' | b'S' | b'H' | b'X' | b'c' | b'f' | b'p' => Ok(Size::Short),
            other => Err(Malformed::UnknownMessage(other)),
        }
    }

    /// `body` is the message without its kind and length.
    ///
    /// # Errors
    /// For a kind that no client sends, and a body that is not the kind's.
    pub fn parse(kind: u8, body: &'a [u8]) -> Result<Request<'a>, Malformed> {
        let mut reader = Reader(body);
        let request = match kind {
            b'Q' => Request::Query(reader.string()?),
            b'P' => {
                let (statement, text) = (reader.string()?, reader.string()?);
                let count = reader.u16()?;
                let types = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
                Request::Parse { statement, text, types }
            }
            b'B' => {
                let (portal, statement) = (reader.string()?, reader.string()?);
                let formats = reader.formats()?;
                let count = reader.u16()?;
                let values = (0..count).map(|_| reader.value()).collect::<Result<_, _>>()?;
                Request::Bind { portal, statement, formats, values, results: reader.formats()? }
            }
            b'D' => Request::Describe(reader.target("DESCRIBE")?),
            b'C' => Request::Close(reader.target("CLOSE")?),
            b'E' => {
                let (portal, rows_max) = (reader.string()?, reader.u32()?);
                // PostgreSQL takes what is negative for all.
                Request::Execute { portal, rows_max: if rows_max > i32::MAX as u32 { 0 } else { rows_max } }
            }
            b'S' => Request::Sync,
            b'H' => Request::Flush,
            b'X' => Request::Terminate,
            b'c' => Request::CopyDone,
            b'd' => return Ok(Request::CopyData(body)),
            b'p' => return Ok(Request::Password(body)),
            b'f' => Request::CopyFail(reader.string()?),
            other => return Err(Malformed::UnknownMessage(other)),
        };
        if reader.0.is_empty() { Ok(request) } else { Err(Malformed::TooLong) }
    }
}

/// What answers AuthenticationCleartextPassword.
///
/// # Errors
/// For what is not one text.
pub fn password(body: &[u8]) -> Result<&str, Malformed> {
    let mut reader = Reader(body);
    let password = reader.string()?;
    if reader.0.is_empty() { Ok(password) } else { Err(Malformed::TooLong) }
}

/// What answers AuthenticationSASL; later answers are the mechanism's data and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaslInitial<'a> {
    pub mechanism: &'a str,
    /// None where the mechanism's first message is the server's to ask for.
    pub data: Option<&'a [u8]>,
}

impl<'a> SaslInitial<'a> {
    /// # Errors
    /// For what is not a mechanism and its data.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        let initial = SaslInitial { mechanism: reader.string()?, data: reader.value()? };
        if reader.0.is_empty() { Ok(initial) } else { Err(Malformed::TooLong) }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(Malformed::TooShort)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::TooShort)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    fn string(&mut self) -> Result<&'a str, Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Malformed::OpenString)?;
        let text = self.take(end)?;
        self.take(1)?;
        str::from_utf8(text).map_err(|_| Malformed::Encoding)
    }

    fn formats(&mut self) -> Result<Formats, Malformed> {
        let count = self.u16()?;
        let codes = (0..count).map(|_| self.array().map(i16::from_be_bytes)).collect::<Result<Vec<_>, _>>()?;
        codes.into_iter().map(Format::of_code).collect::<Result<_, _>>().map(Formats)
    }

    fn value(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match i32::from_be_bytes(self.array()?) {
            -1 => Ok(None),
            bytes => self.take(usize::try_from(bytes).map_err(|_| Malformed::TooShort)?).map(Some),
        }
    }

    fn target(&mut self, what: &'static str) -> Result<Target<'a>, Malformed> {
        match self.array()? {
            [b'S'] => self.string().map(Target::Statement),
            [b'P'] => self.string().map(Target::Portal),
            [subtype] => Err(Malformed::UnknownTarget { what, subtype }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_told_apart() {
        assert_eq!(Opening::parse(&[4, 210, 22, 47]), Ok(Opening::Tls));
        assert_eq!(Opening::parse(&[4, 210, 22, 48]), Ok(Opening::Gss));
        let cancel = [4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4];
        assert_eq!(Opening::parse(&cancel), Ok(Opening::Cancel { process: 7, secret: vec![1, 2, 3, 4] }));
        let start = b"\0\x03\0\0user\0alice\0database\0damson\0\0";
        let settings = [("user", "alice"), ("database", "damson")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        assert_eq!(Opening::parse(start), Ok(Opening::Start { minor: 0, settings }));
        assert_eq!(Opening::parse(b"\0\x02\0\0"), Err(Malformed::Version { major: 2, minor: 0 }));
        assert_eq!(Opening::parse(b"\0\x03\0\0user\0alice\0\0x"), Err(Malformed::Startup));
        assert_eq!(Opening::parse(b"\0\x03\0\0user\0alice"), Err(Malformed::OpenString));
        assert_eq!(Opening::parse(b"GET "), Err(Malformed::Version { major: 0x4745, minor: 0x5420 }));
        assert_eq!(Opening::parse(b""), Err(Malformed::TooShort));
    }

    #[test]
    fn a_bind_has_formats_and_values() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x02\0\0\0\x01";
        let Ok(Request::Bind { portal, statement, formats, values, results }) = Request::parse(b'B', body) else {
            panic!("{:?}", Request::parse(b'B', body))
        };
        assert_eq!((portal, statement), ("p", "s"));
        assert_eq!((formats.of(0), formats.of(5)), (Format::Binary, Format::Binary));
        assert_eq!(values, [Some(b"ab".as_slice()), None]);
        assert_eq!((results.of(0), results.of(1)), (Format::Text, Format::Binary));
        assert!(formats.fits(2) && results.fits(2) && !results.fits(3));
    }

    #[test]
    fn answers_to_authentication_have_their_parts() {
        let initial = SaslInitial::parse(b"SCRAM-SHA-256\0\0\0\0\x03n,,").unwrap();
        assert_eq!((initial.mechanism, initial.data), ("SCRAM-SHA-256", Some(b"n,,".as_slice())));
        assert_eq!(SaslInitial::parse(b"X\0\xff\xff\xff\xff").unwrap().data, None);
        assert_eq!(SaslInitial::parse(b"X\0\0\0\0\x03n,"), Err(Malformed::TooShort));
        assert_eq!(SaslInitial::parse(b"X\0\xff\xff\xff\xfe"), Err(Malformed::TooShort));
        assert_eq!(SaslInitial::parse(b"X\0\0\0\0\x01n,"), Err(Malformed::TooLong));
        assert_eq!(SaslInitial::parse(b"X"), Err(Malformed::OpenString));
        assert_eq!(password(b"two words\0"), Ok("two words"));
        assert_eq!(password(b"two words"), Err(Malformed::OpenString));
        assert_eq!(password(b"a\0b\0"), Err(Malformed::TooLong));
        assert_eq!(password(b"\xff\0"), Err(Malformed::Encoding));
    }

    #[test]
    fn messages_that_are_cut_or_too_long_are_malformed() {
        let whole: [(u8, &[u8]); 5] = [
            (b'Q', b"SELECT 1\0"),
            (b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17"),
            (b'B', b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x02\0\0\0\x01"),
            (b'D', b"Ss\0"),
            (b'E', b"\0\0\0\0\x05"),
        ];
        for (kind, body) in whole {
            assert!(Request::parse(kind, body).is_ok(), "{}", kind as char);
            for end in 0..body.len() {
                let cut = Request::parse(kind, &body[..end]).unwrap_err();
                assert_eq!(cut.sqlstate(), "08P01", "{} {end}", kind as char);
            }
            let longer = [body, b"\0"].concat();
            assert_eq!(Request::parse(kind, &longer), Err(Malformed::TooLong), "{}", kind as char);
        }
        for kind in 0..=u8::MAX {
            let is_unknown = matches!(Request::parse(kind, b""), Err(Malformed::UnknownMessage(_)));
            assert_eq!(Request::size_of(kind).is_err(), is_unknown, "{kind}");
        }
        assert_eq!(Request::size_of(b'!'), Err(Malformed::UnknownMessage(b'!')));
        assert_eq!(Request::parse(b'Q', b"\xff\0"), Err(Malformed::Encoding));
        assert_eq!(Request::parse(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"), Err(Malformed::TooShort));
    }
}
