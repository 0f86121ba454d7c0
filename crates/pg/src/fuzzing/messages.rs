//! Packets that open a connection, messages, and answers to authentication.

use crate::frontend::{Formats, Opening, Request, SaslInitial, Target, password};
use crate::scram::{Binding, ClientFinal, ClientFirst};

/// Reads the packet that opens a connection; whether it is one.
///
/// # Panics
/// When what was read is not what was sent.
pub fn opening(body: &[u8]) -> bool {
    let Ok(opening) = Opening::parse(body) else { return false };
    let sent = match &opening {
        Opening::Tls => b"\x04\xd2\x16\x2f".to_vec(),
        Opening::Gss => b"\x04\xd2\x16\x30".to_vec(),
        Opening::Cancel { process, secret } => [b"\x04\xd2\x16\x2e", &process.to_be_bytes()[..], secret].concat(),
        Opening::Start { minor, settings } => {
            let mut sent = [[0, 3], minor.to_be_bytes()].concat();
            settings.iter().flat_map(|(name, value)| [name, value]).for_each(|text| string(text, &mut sent));
            sent.push(0);
            sent
        }
    };
    // Nobody looks at what follows a request for encryption.
    let body = if matches!(opening, Opening::Tls | Opening::Gss) { &body[..4] } else { body };
    assert_eq!(sent, body, "{opening:?}");
    true
}

/// Reads a message whose kind is the first byte; whether it is one.
///
/// # Panics
/// When what was read is not what was sent, or a refusal has no SQLSTATE.
pub fn message(bytes: &[u8]) -> bool {
    let [kind, body @ ..] = bytes else { return false };
    let request = match Request::parse(*kind, body) {
        Ok(request) => request,
        Err(malformed) => {
            assert_eq!(malformed.sqlstate().len(), 5);
            return false;
        }
    };
    let sent = body_of(&request);
    // Numbers of rows that are negative are all the same.
    if !matches!(request, Request::Execute { .. }) {
        assert_eq!(sent, body, "{request:?}");
    }
    assert_eq!(Request::parse(*kind, &sent).as_ref(), Ok(&request));
    true
}

fn body_of(request: &Request<'_>) -> Vec<u8> {
    let mut body = vec![];
    match request {
        Request::Query(text) | Request::CopyFail(text) => string(text, &mut body),
        Request::Parse { statement, text, types } => {
            string(statement, &mut body);
            string(text, &mut body);
            count(types.len(), &mut body);
            types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
        }
        Request::Bind { portal, statement, formats: codes, values, results } => {
            string(portal, &mut body);
            string(statement, &mut body);
            formats(codes, &mut body);
            count(values.len(), &mut body);
            values.iter().for_each(|value| sized(*value, &mut body));
            formats(results, &mut body);
        }
        Request::Describe(target) | Request::Close(target) => {
            let (subtype, name) = match target {
                Target::Statement(name) => (b'S', name),
                Target::Portal(name) => (b'P', name),
            };
            body.push(subtype);
            string(name, &mut body);
        }
        Request::Execute { portal, rows_max } => {
            string(portal, &mut body);
            body.extend(rows_max.to_be_bytes());
        }
        Request::CopyData(bytes) | Request::Password(bytes) => body.extend_from_slice(bytes),
        Request::Sync | Request::Flush | Request::Terminate | Request::CopyDone => {}
    }
    body
}

/// Reads what answers a request for authentication: a password, the choice of a mechanism, the messages of SCRAM; whether it is one of
/// these.
///
/// # Panics
/// When what was read is not what was sent, or a refusal has no SQLSTATE.
pub fn authentication(body: &[u8]) -> bool {
    let mut is_any = false;
    if let Ok(password) = password(body) {
        assert_eq!([password.as_bytes(), b"\0"].concat(), body);
        is_any = true;
    }
    let mut data = body;
    if let Ok(SaslInitial { mechanism, data: first }) = SaslInitial::parse(body) {
        let mut sent = vec![];
        string(mechanism, &mut sent);
        sized(first, &mut sent);
        assert_eq!(sent, body);
        data = first.unwrap_or_default();
        is_any = true;
    }
    for binding in [Binding::Impossible, Binding::Declined, Binding::Chosen] {
        match ClientFirst::parse(data, binding) {
            Ok(first) => {
                assert!(!first.nonce.is_empty() && !first.nonce.contains(','), "{first:?}");
                assert_eq!([first.header, first.bare].concat().as_bytes(), data);
                is_any = true;
            }
            Err(error) => assert_eq!(error.sqlstate().len(), 5),
        }
    }
    match ClientFinal::parse(data, "biws", Binding::Impossible, "rOprNGfwEbeRWgbNEkqO") {
        Ok(last) => {
            let ClientFinal { without_proof, proof } = last;
            assert_eq!(format!("{without_proof},p={proof}").as_bytes(), data);
            is_any = true;
        }
        Err(error) => assert_eq!(error.sqlstate().len(), 5),
    }
    is_any
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn count(items: usize, out: &mut Vec<u8>) {
    out.extend(u16::try_from(items).expect("so many were read").to_be_bytes());
}

fn formats(formats: &Formats, out: &mut Vec<u8>) {
    count(formats.len(), out);
    (0..formats.len()).for_each(|at| out.extend(formats.of(at).code().to_be_bytes()));
}

fn sized(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        None => out.extend((-1i32).to_be_bytes()),
        Some(value) => {
            out.extend(i32::try_from(value.len()).expect("so many were read").to_be_bytes());
            out.extend_from_slice(value);
        }
    }
}
