//! Errors and notices of the server.

use super::wire::unreadable;
use crate::shell::failure::{Failure, ServerError};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{ErrorFields, ErrorResponseBody, NoticeResponseBody};

/// ErrorResponse, with its parts.
pub(super) fn failure(error: &ErrorResponseBody) -> Failure {
    match Report::of(error.fields()) {
        Ok(report) => Failure::Server(Box::new(report.error)),
        Err(failure) => failure,
    }
}

/// Whether an ErrorResponse is the last that the server says in this session.
pub(super) fn is_fatal(error: &ErrorResponseBody) -> bool {
    Report::of(error.fields()).is_ok_and(|report| matches!(report.severity.as_str(), "FATAL" | "PANIC"))
}

/// NoticeResponse: its severity and its words.
///
/// # Errors
/// What is none.
pub(super) fn notice(notice: &NoticeResponseBody) -> Result<(String, String), Failure> {
    let report = Report::of(notice.fields())?;
    Ok((report.severity, report.error.message))
}

struct Report {
    severity: String,
    error: ServerError,
}

impl Report {
    fn of(mut fields: ErrorFields<'_>) -> Result<Self, Failure> {
        let error = ServerError { message: String::new(), sqlstate: None, position: None, detail: None, hint: None };
        let mut report = Report { severity: "NOTICE".into(), error };
        while let Some(field) = fields.next().map_err(|error| unreadable(&error))? {
            let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                // The one that is not translated.
                b'V' => report.severity = text,
                b'C' => report.error.sqlstate = Some(text),
                b'M' => report.error.message = text,
                b'D' => report.error.detail = Some(text),
                b'H' => report.error.hint = Some(text),
                b'P' => report.error.position = text.parse().ok(),
                _ => {}
            }
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};
    use postgres_protocol::message::backend::Message;

    fn message(kind: u8, fields: &[(u8, &str)]) -> Message {
        let mut body = BytesMut::new();
        for (field, text) in fields {
            body.put_u8(*field);
            body.put_slice(text.as_bytes());
            body.put_u8(0);
        }
        body.put_u8(0);
        let mut bytes = BytesMut::new();
        bytes.put_u8(kind);
        bytes.put_u32(body.len() as u32 + 4);
        bytes.put_slice(&body);
        Message::parse(&mut bytes).unwrap().unwrap()
    }

    #[test]
    fn an_error_has_its_parts() {
        let fields = [
            (b'S', "FEHLER"),
            (b'V', "ERROR"),
            (b'C', "42P01"),
            (b'M', "relation \"ö\" does not exist"),
            (b'H', "look"),
            (b'P', "15"),
        ];
        let Message::ErrorResponse(body) = message(b'E', &fields) else { panic!("it is an error") };
        assert_eq!(
            failure(&body).report("SELECT * FROM ö"),
            "ERROR:  relation \"ö\" does not exist (SQLSTATE 42P01)\nLINE 1: SELECT * FROM ö\n                      \
             ^\nHINT:  look\n"
        );
    }

    #[test]
    fn a_notice_has_a_severity() {
        let Message::NoticeResponse(body) = message(b'N', &[(b'V', "WARNING"), (b'M', "mind this")]) else {
            panic!("it is a notice")
        };
        assert_eq!(notice(&body).unwrap(), ("WARNING".to_owned(), "mind this".to_owned()));
    }
}
