//! What the server sends, appended to a buffer.

use crate::frontend::Format;
use crate::types::PgType;
use std::iter;
use thiserror::Error;

/// Where the client's transaction is, as ReadyForQuery tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionState {
    Idle,
    InBlock,
    Failed,
}

/// 54000: a message of over 1 GiB, which clients refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("out of memory: a message is longer than 1 GiB")]
pub struct MessageTooLong;

const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// How bad it is: the connection ends after FATAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Notice,
    Warning,
    Error,
    Fatal,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// An ErrorResponse or a NoticeResponse.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub severity: Severity,
    pub sqlstate: &'a str,
    pub message: &'a str,
    pub detail: Option<&'a str>,
    pub hint: Option<&'a str>,
    /// 1-based, in characters.
    pub position: Option<usize>,
}

/// A column of RowDescription.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    pub name: &'a str,
    pub pg_type: PgType,
    pub format: Format,
}

/// Messages in a row, ready to be sent.
#[derive(Debug, Default)]
pub struct Messages(Vec<u8>);

impl Messages {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends messages that were made elsewhere.
    pub fn append(&mut self, messages: &[u8]) {
        self.0.extend_from_slice(messages);
    }

    /// One message. Those of this crate but rows are short enough: names and texts came in messages themselves, or are the server's.
    fn message(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.0.len();
        self.0.push(kind);
        self.0.extend_from_slice(&[0; 4]);
        body(&mut self.0);
        let bytes = self.0.len() - start - 1;
        let length =
            i32::try_from(bytes).expect("texts of the server are short, and those of a client came in one message");
        self.0[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
    }

    pub fn authentication_ok(&mut self) {
        self.message(b'R', |out| out.extend_from_slice(&0u32.to_be_bytes()));
    }

    /// Asks for the password itself.
    pub fn authentication_cleartext_password(&mut self) {
        self.message(b'R', |out| out.extend_from_slice(&3u32.to_be_bytes()));
    }

    /// Asks for SCRAM or another mechanism.
    pub fn authentication_sasl(&mut self, mechanisms: &[&str]) {
        self.message(b'R', |out| {
            out.extend_from_slice(&10u32.to_be_bytes());
            mechanisms.iter().for_each(|mechanism| string(mechanism, out));
            out.push(0);
        });
    }

    pub fn authentication_sasl_continue(&mut self, data: &[u8]) {
        self.message(b'R', |out| {
            out.extend_from_slice(&11u32.to_be_bytes());
            out.extend_from_slice(data);
        });
    }

    pub fn authentication_sasl_final(&mut self, data: &[u8]) {
        self.message(b'R', |out| {
            out.extend_from_slice(&12u32.to_be_bytes());
            out.extend_from_slice(data);
        });
    }

    /// Protocol 3.0 it is, and these options are not known.
    pub fn negotiate_version(&mut self, unknown: &[&str]) {
        self.message(b'v', |out| {
            // The newest minor version of the major one that the server knows.
            out.extend_from_slice(&0u32.to_be_bytes());
            out.extend_from_slice(&(unknown.len() as u32).to_be_bytes());
            unknown.iter().for_each(|option| string(option, out));
        });
    }

    pub fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            string(name, out);
            string(value, out);
        });
    }

    pub fn backend_key(&mut self, process: u32, secret: [u8; 4]) {
        self.message(b'K', |out| {
            out.extend_from_slice(&process.to_be_bytes());
            out.extend_from_slice(&secret);
        });
    }

    pub fn ready(&mut self, state: TransactionState) {
        let state = match state {
            TransactionState::Idle => b'I',
            TransactionState::InBlock => b'T',
            TransactionState::Failed => b'E',
        };
        self.message(b'Z', |out| out.push(state));
    }

    pub fn report(&mut self, report: &Report<'_>) {
        let kind = match report.severity {
            Severity::Notice | Severity::Warning => b'N',
            Severity::Error | Severity::Fatal => b'E',
        };
        let position = report.position.map(|position| position.to_string());
        let fields = [
            (b'S', Some(report.severity.name())),
            // The same, which no locale translates.
            (b'V', Some(report.severity.name())),
            (b'C', Some(report.sqlstate)),
            (b'M', Some(report.message)),
            (b'D', report.detail),
            (b'H', report.hint),
            (b'P', position.as_deref()),
        ];
        self.message(kind, |out| {
            for (field, value) in fields {
                if let Some(value) = value {
                    out.push(field);
                    string(value, out);
                }
            }
            out.push(0);
        });
    }

    pub fn row_description<'a>(&mut self, columns: impl ExactSizeIterator<Item = Column<'a>>) {
        self.message(b'T', |out| {
            out.extend_from_slice(&(columns.len() as u16).to_be_bytes());
            for Column { name, pg_type, format } in columns {
                string(name, out);
                // No table's column, as far as the protocol is told.
                out.extend_from_slice(&0u32.to_be_bytes());
                out.extend_from_slice(&0u16.to_be_bytes());
                out.extend_from_slice(&pg_type.oid.to_be_bytes());
                out.extend_from_slice(&pg_type.bytes.to_be_bytes());
                out.extend_from_slice(&pg_type.modifier.to_be_bytes());
                out.extend_from_slice(&format.code().to_be_bytes());
            }
        });
    }

    pub fn parameter_description(&mut self, types: &[u32]) {
        self.message(b't', |out| {
            out.extend_from_slice(&(types.len() as u16).to_be_bytes());
            types.iter().for_each(|oid| out.extend_from_slice(&oid.to_be_bytes()));
        });
    }

    /// One DataRow of `columns` values; `write` appends each with [`value`]. On an error nothing of it is left.
    ///
    /// # Errors
    /// Those of `write`, and a row of over 1 GiB.
    pub fn row<E: From<MessageTooLong>>(
        &mut self,
        columns: u16,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.0.len();
        self.0.push(b'D');
        self.0.extend_from_slice(&[0; 4]);
        self.0.extend_from_slice(&columns.to_be_bytes());
        let written = write(&mut self.0).and_then(|()| match self.0.len() - start - 1 {
            bytes if bytes > MESSAGE_BYTES_MAX => Err(MessageTooLong.into()),
            bytes => Ok(bytes as u32),
        });
        match written {
            Ok(bytes) => self.0[start + 1..start + 5].copy_from_slice(&bytes.to_be_bytes()),
            Err(_) => self.0.truncate(start),
        }
        written.map(|_| ())
    }

    pub fn command_complete(&mut self, tag: &str) {
        self.message(b'C', |out| string(tag, out));
    }

    pub fn empty_query(&mut self) {
        self.message(b'I', |_| {});
    }

    pub fn parse_complete(&mut self) {
        self.message(b'1', |_| {});
    }

    pub fn bind_complete(&mut self) {
        self.message(b'2', |_| {});
    }

    pub fn close_complete(&mut self) {
        self.message(b'3', |_| {});
    }

    pub fn no_data(&mut self) {
        self.message(b'n', |_| {});
    }

    pub fn portal_suspended(&mut self) {
        self.message(b's', |_| {});
    }

    /// Rows of so many columns are to come, in CopyData.
    pub fn copy_in(&mut self, columns: u16, format: Format) {
        self.copy(b'G', columns, format);
    }

    /// Rows of so many columns come, in CopyData.
    pub fn copy_out(&mut self, columns: u16, format: Format) {
        self.copy(b'H', columns, format);
    }

    fn copy(&mut self, kind: u8, columns: u16, format: Format) {
        self.message(kind, |out| {
            out.push(u8::from(format == Format::Binary));
            out.extend_from_slice(&columns.to_be_bytes());
            (0..columns).for_each(|_| out.extend_from_slice(&format.code().to_be_bytes()));
        });
    }

    /// One CopyData; `write` appends a row.
    ///
    /// # Errors
    /// Those of `write`, and a row of over 1 GiB.
    pub fn copy_data<E: From<MessageTooLong>>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.0.len();
        self.0.push(b'd');
        self.0.extend_from_slice(&[0; 4]);
        let written = write(&mut self.0).and_then(|()| match self.0.len() - start - 1 {
            bytes if bytes > MESSAGE_BYTES_MAX => Err(MessageTooLong.into()),
            bytes => Ok(bytes as u32),
        });
        match written {
            Ok(bytes) => self.0[start + 1..start + 5].copy_from_slice(&bytes.to_be_bytes()),
            Err(_) => self.0.truncate(start),
        }
        written.map(|_| ())
    }

    pub fn copy_done(&mut self) {
        self.message(b'c', |_| {});
    }
}

/// Appends a value of a row, which `write` writes; None is NULL.
///
/// # Errors
/// Those of `write`, and a value of over 1 GiB.
pub fn value<E: From<MessageTooLong>>(
    out: &mut Vec<u8>,
    write: Option<impl FnOnce(&mut Vec<u8>) -> Result<(), E>>,
) -> Result<(), E> {
    let Some(write) = write else {
        out.extend_from_slice(&(-1i32).to_be_bytes());
        return Ok(());
    };
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let bytes = out.len() - start - 4;
    if bytes > MESSAGE_BYTES_MAX {
        return Err(MessageTooLong.into());
    }
    out[start..start + 4].copy_from_slice(&(bytes as u32).to_be_bytes());
    Ok(())
}

/// Bytes of the first `count` messages of a buffer of whole messages; all, if it has fewer.
pub fn bytes_of_messages(messages: &[u8], count: usize) -> usize {
    let mut at = 0;
    for _ in 0..count {
        match messages.get(at + 1..at + 5).and_then(|length| length.first_chunk()) {
            Some(length) => at += 1 + u32::from_be_bytes(*length) as usize,
            None => break,
        }
    }
    at.min(messages.len())
}

/// The rows of a buffer of whole DataRow messages, each as the message has it, which is how binary COPY has it too: the number of its
/// values, and of each its length, or -1 for NULL.
pub fn bodies_of_rows(messages: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = messages;
    iter::from_fn(move || {
        let (message, after) = rest.split_at_checked(bytes_of_messages(rest, 1)).filter(|(one, _)| !one.is_empty())?;
        rest = after;
        // After kind and length.
        message.get(5..)
    })
}

/// The rows of a buffer of whole DataRow messages; a value of None is NULL.
pub fn values_of_rows(messages: &[u8]) -> impl Iterator<Item = impl Iterator<Item = Option<&[u8]>>> {
    bodies_of_rows(messages).map(|body| {
        // After how many there are.
        let mut values = body.get(2..).unwrap_or_default();
        iter::from_fn(move || {
            let (length, after): (&[u8; 4], &[u8]) = values.split_first_chunk()?;
            let bytes = i32::from_be_bytes(*length);
            let (value, after) = after.split_at_checked(usize::try_from(bytes).unwrap_or(0))?;
            values = after;
            Some((bytes >= 0).then_some(value))
        })
    })
}

/// A C string: PostgreSQL's texts have no zero byte, and one would end it.
fn string(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(make: impl FnOnce(&mut Messages)) -> Vec<u8> {
        let mut messages = Messages::default();
        make(&mut messages);
        messages.into_bytes()
    }

    #[test]
    fn messages_count_themselves() {
        assert_eq!(sent(|m| m.ready(TransactionState::Idle)), b"Z\0\0\0\x05I");
        assert_eq!(sent(|m| m.command_complete("SELECT 1")), b"C\0\0\0\x0dSELECT 1\0");
        assert_eq!(sent(Messages::authentication_ok), b"R\0\0\0\x08\0\0\0\0");
        assert_eq!(sent(Messages::authentication_cleartext_password), b"R\0\0\0\x08\0\0\0\x03");
        assert_eq!(sent(|m| m.authentication_sasl(&["A", "B"])), b"R\0\0\0\x0d\0\0\0\x0aA\0B\0\0");
        assert_eq!(sent(|m| m.authentication_sasl_continue(b"r=1")), b"R\0\0\0\x0b\0\0\0\x0br=1");
        assert_eq!(sent(|m| m.authentication_sasl_final(b"v=2")), b"R\0\0\0\x0b\0\0\0\x0cv=2");
        assert_eq!(sent(|m| m.backend_key(1, [2, 3, 4, 5])), b"K\0\0\0\x0c\0\0\0\x01\x02\x03\x04\x05");
        assert_eq!(sent(|m| m.copy_in(2, Format::Text)), b"G\0\0\0\x0b\0\0\x02\0\0\0\0");
        assert_eq!(sent(|m| m.copy_out(1, Format::Binary)), b"H\0\0\0\x09\x01\0\x01\0\x01");
    }

    #[test]
    fn errors_have_their_fields() {
        let report = Report {
            severity: Severity::Error,
            sqlstate: "42P01",
            message: "no\0 table",
            detail: None,
            hint: Some("h"),
            position: Some(15),
        };
        assert_eq!(sent(|m| m.report(&report)), b"E\0\0\0\x2bSERROR\0VERROR\0C42P01\0Mno table\0Hh\0P15\0\0");
    }

    #[test]
    fn columns_are_described() {
        let pg_type = PgType { oid: 1700, bytes: -1, modifier: 983_046 };
        let column = Column { name: "n", pg_type, format: Format::Binary };
        let want = b"T\0\0\0\x1a\0\x01n\0\0\0\0\0\0\0\0\0\x06\xa4\xff\xff\0\x0f\0\x06\0\x01";
        assert_eq!(sent(|m| m.row_description([column].into_iter())), want);
    }

    #[test]
    fn rows_have_values_and_nulls() {
        let mut messages = Messages::default();
        let row = |messages: &mut Messages| {
            messages.row::<MessageTooLong>(2, |out| {
                let ab = |out: &mut Vec<u8>| {
                    out.extend_from_slice(b"ab");
                    Ok::<_, MessageTooLong>(())
                };
                value(out, Some(ab))?;
                value(out, None::<fn(&mut Vec<u8>) -> Result<(), MessageTooLong>>)
            })
        };
        row(&mut messages).unwrap();
        assert_eq!(messages.bytes(), b"D\0\0\0\x10\0\x02\0\0\0\x02ab\xff\xff\xff\xff");
        let one = messages.len();
        row(&mut messages).unwrap();
        assert_eq!(bytes_of_messages(messages.bytes(), 1), one);
        assert_eq!(bytes_of_messages(messages.bytes(), 2), 2 * one);
        assert_eq!(bytes_of_messages(messages.bytes(), 3), 2 * one);
        let rows: Vec<Vec<Option<&[u8]>>> = values_of_rows(messages.bytes()).map(|row| row.collect()).collect();
        assert_eq!(rows, [[Some(b"ab".as_slice()), None], [Some(b"ab".as_slice()), None]]);
        let bodies: Vec<&[u8]> = bodies_of_rows(messages.bytes()).collect();
        assert_eq!(bodies, [b"\0\x02\0\0\0\x02ab\xff\xff\xff\xff"; 2]);
        messages.row(1, |_| Err(MessageTooLong)).unwrap_err();
        assert_eq!(messages.len(), 2 * one);
    }
}
