//! Session options: Flight's own way to SET and to SHOW ALL. Their messages are those of `Flight.proto`, which arrow-flight does not have.

use super::clients::Client;
use super::listing::Listing;
use super::results::command;
use super::status::{status, violation};
use super::transactions;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::sql::DATABASE;
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// What drivers call the database, which cannot be changed, and the first schema of `search_path`.
const CATALOG: &str = "catalog";
const SCHEMA: &str = "schema";

#[derive(Clone, PartialEq, prost::Message)]
struct SetRequest {
    #[prost(btree_map = "string, message", tag = "1")]
    options: BTreeMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SetResult {
    #[prost(btree_map = "string, message", tag = "1")]
    errors: BTreeMap<String, OptionError>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetResult {
    #[prost(btree_map = "string, message", tag = "1")]
    options: BTreeMap<String, OptionValue>,
}

/// Without a value the option goes back to its default.
#[derive(Clone, PartialEq, prost::Message)]
struct OptionValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Float(f64),
    #[prost(message, tag = "5")]
    List(Texts),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OptionError {
    #[prost(enumeration = "Refusal", tag = "1")]
    value: i32,
}

/// Why an option was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum Refusal {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
    Failed = 3,
}

/// Sets each option that it can; the answer names the others.
///
/// # Errors
/// InvalidArgument for what is no request; 25001 if the session's transaction is not the client's to change.
pub(super) async fn set(client: &Client, cpu: &Handle, body: &[u8]) -> Result<Bytes, Status> {
    let request = SetRequest::decode(body).map_err(|e| violation(format!("undecodable request: {e}")))?;
    let mut errors = BTreeMap::new();
    for (name, value) in request.options {
        let text = match setting(&name, &value) {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(why) => {
                errors.insert(name, OptionError { value: why.into() });
                continue;
            }
        };
        transactions::check(client, None, &text).await?;
        let done = command(&client.session, text, vec![], cpu, &CancellationToken::new()).await;
        if let Err(error) = done {
            // The protocol has no room for the message.
            tracing::debug!(session_id = client.session.id.0, name, %error, "a session option was refused");
            errors.insert(name, OptionError { value: refusal(&error).into() });
        }
    }
    Ok(SetResult { errors }.encode_to_vec().into())
}

/// Every setting as text, and what drivers call catalog and schema.
///
/// # Errors
/// As SHOW ALL.
pub(super) async fn get(client: &Client, listing: &Listing) -> Result<Bytes, Status> {
    let rows = listing.rows("SHOW ALL").await.map_err(|e| status(&e))?;
    let named = |row: Vec<String>| -> SqlResult<(String, OptionValue)> {
        let [name, value, _] = <[String; 3]>::try_from(row).map_err(|_| internal("a listing lacks columns"))?;
        Ok((name, text_value(value)))
    };
    let options = rows.into_iter().map(named).collect::<SqlResult<BTreeMap<_, _>>>();
    let mut options = options.map_err(|e| status(&e))?;
    options.insert(CATALOG.into(), text_value(DATABASE.into()));
    options.insert(SCHEMA.into(), text_value(client.session.search_schema()));
    Ok(GetResult { options }.encode_to_vec().into())
}

fn text_value(text: String) -> OptionValue {
    OptionValue { value: Some(Value::Text(text)) }
}

/// The SET of an option; None if there is nothing to do.
fn setting(name: &str, value: &OptionValue) -> Result<Option<String>, Refusal> {
    let text = match &value.value {
        None => None,
        Some(Value::Text(text)) => Some(text.clone()),
        Some(Value::Bool(on)) => Some(if *on { "on" } else { "off" }.into()),
        Some(Value::Integer(number)) => Some(number.to_string()),
        Some(Value::Float(number)) => Some(number.to_string()),
        Some(Value::List(list)) => Some(list.values.join(", ")),
    };
    let name = match name {
        CATALOG if text.as_deref().is_none_or(|text| text == DATABASE) => return Ok(None),
        CATALOG => return Err(Refusal::InvalidValue),
        SCHEMA => "search_path",
        name => name,
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
        return Err(Refusal::InvalidName);
    }
    let value = text.map_or_else(|| "DEFAULT".into(), |text| format!("'{}'", text.replace('\'', "''")));
    Ok(Some(format!("SET \"{name}\" TO {value}")))
}

fn refusal(error: &SqlError) -> Refusal {
    match error.state {
        SqlState::UNDEFINED_OBJECT => Refusal::InvalidName,
        SqlState::INVALID_PARAMETER => Refusal::InvalidValue,
        _ => Refusal::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: Value) -> Result<Option<String>, Refusal> {
        setting(name, &OptionValue { value: Some(value) })
    }

    #[test]
    fn options_become_settings() {
        let sql = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(set("lock_timeout", Value::Integer(5)), sql("SET \"lock_timeout\" TO '5'"));
        assert_eq!(set("optimizer", Value::Bool(true)), sql("SET \"optimizer\" TO 'on'"));
        assert_eq!(set("schema", Value::Text("it's".into())), sql("SET \"search_path\" TO 'it''s'"));
        let list = Value::List(Texts { values: vec!["a".into(), "b".into()] });
        assert_eq!(set("search_path", list), sql("SET \"search_path\" TO 'a, b'"));
        assert_eq!(setting("optimizer", &OptionValue { value: None }), sql("SET \"optimizer\" TO DEFAULT"));
    }

    #[test]
    fn nothing_but_a_name_is_a_name() {
        for name in ["", "a b", "a\" TO 1; DROP TABLE t; --", "ä"] {
            assert_eq!(set(name, Value::Bool(true)), Err(Refusal::InvalidName), "{name}");
        }
        assert_eq!(set("catalog", Value::Text(DATABASE.into())), Ok(None));
        assert_eq!(set("catalog", Value::Text("other".into())), Err(Refusal::InvalidValue));
    }

    /// Bytes as another implementation writes them: field 1, an entry of "a" and `int64_value` 1.
    #[test]
    fn requests_are_read_as_flight_says() {
        let entry = [0x0a, 1, b'a', 0x12, 9, 0x19, 1, 0, 0, 0, 0, 0, 0, 0];
        let bytes = [&[0x0a, entry.len() as u8][..], &entry].concat();
        let request = SetRequest::decode(&*bytes).unwrap();
        assert_eq!(request.options["a"].value, Some(Value::Integer(1)));
    }
}
