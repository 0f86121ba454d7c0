//! How a connection begins: who is it, what does it want, and with which settings.

use super::admission::admit;
use super::backends::Backends;
use super::connection::{PROTOCOL_VIOLATION, sql_error};
use super::wire::{Wire, WireError};
use crate::error::{SqlError, SqlState};
use damson_pg::frontend::Opening;
use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncWrite};

const INVALID_CATALOG_NAME: SqlState = SqlState("3D000");
const INVALID_AUTHORIZATION: SqlState = SqlState("28000");

/// Databases by name: there is one, and clients ask for `postgres` where they know no better.
const DATABASES: [&str; 2] = [crate::sql::DATABASE, "postgres"];

/// A client that was let in.
#[derive(Debug)]
pub(super) struct Client {
    pub user: String,
    /// Names and values, in the client's order.
    pub settings: Vec<(String, String)>,
}

/// Why a connection does not begin.
pub(super) enum Refused {
    /// The client is told, then it ends.
    Told(SqlError),
    /// It wanted no connection, or has gone.
    Silently,
}

impl From<SqlError> for Refused {
    fn from(error: SqlError) -> Self {
        Refused::Told(error)
    }
}

impl From<WireError> for Refused {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Closed | WireError::Io(_) => Refused::Silently,
            WireError::Length | WireError::TooLong { .. } => {
                Refused::Told(SqlError::new(PROTOCOL_VIOLATION, "invalid length of startup packet"))
            }
        }
    }
}

/// Reads the opening; carries a cancel request out.
///
/// # Errors
/// What is no opening of this protocol, another database, and clients that are not let in.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    peer: IpAddr,
    backends: &Backends,
) -> Result<Client, Refused> {
    // A client may ask for each kind of encryption once.
    let mut asked = [false; 2];
    let (minor, mut settings) = loop {
        let body = wire.opening().await?;
        match Opening::parse(&body).map_err(|malformed| sql_error(&malformed))? {
            Opening::Tls => refuse_encryption(wire, &mut asked[0]).await?,
            Opening::Gss => refuse_encryption(wire, &mut asked[1]).await?,
            Opening::Cancel { process, secret } => {
                backends.cancel(process, &secret);
                return Err(Refused::Silently);
            }
            Opening::Start { minor, settings } => break (minor, settings),
        }
    };
    let unknown: Vec<String> =
        settings.iter().filter(|(name, _)| name.starts_with("_pq_.")).map(|(name, _)| name.clone()).collect();
    if minor > 0 || !unknown.is_empty() {
        wire.out.negotiate_version(&unknown.iter().map(String::as_str).collect::<Vec<_>>());
    }
    settings.retain(|(name, _)| !name.starts_with("_pq_."));
    let mut take = |wanted: &str| {
        let at = settings.iter().position(|(name, _)| name == wanted)?;
        Some(settings.remove(at).1).filter(|value| !value.is_empty())
    };
    let no_user = || SqlError::new(INVALID_AUTHORIZATION, "no PostgreSQL user name specified in startup packet");
    let user = take("user").ok_or_else(no_user)?;
    let database = take("database").unwrap_or_else(|| user.clone());
    if take("replication").is_some_and(|value| !["false", "off", "no", "0"].contains(&value.as_str())) {
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "replication connections are not supported").into());
    }
    admit(peer, &user, &database)?;
    if !DATABASES.contains(&database.as_str()) {
        let message = format!("database \"{database}\" does not exist");
        let hint = format!("The database is \"{}\".", DATABASES[0]);
        return Err(SqlError::new(INVALID_CATALOG_NAME, message).with_hint(hint).into());
    }
    if let Some(options) = take("options") {
        settings.extend(options_of(&options)?);
    }
    Ok(Client { user, settings })
}

/// There is none: the client goes on without, or ends the connection.
async fn refuse_encryption<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    asked: &mut bool,
) -> Result<(), Refused> {
    if std::mem::replace(asked, true) {
        return Err(SqlError::new(PROTOCOL_VIOLATION, "encryption was asked for twice").into());
    }
    if wire.has_input() {
        let message = "received unencrypted data after an encryption request";
        return Err(SqlError::new(PROTOCOL_VIOLATION, message).into());
    }
    wire.send_byte(b'N').await.map_err(|_| Refused::Silently)
}

/// `-c name=value --other-name=value`; a backslash takes the meaning of what follows it.
fn options_of(text: &str) -> Result<Vec<(String, String)>, SqlError> {
    let mut words = vec![];
    let (mut word, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next() {
            Some('\\') => word.extend(chars.next()),
            Some(space) if space.is_ascii_whitespace() => words.push(std::mem::take(&mut word)),
            Some(other) => word.push(other),
            None => break words.push(word),
        }
    }
    words.retain(|word| !word.is_empty());
    let mut settings = vec![];
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c").filter(|rest| !rest.is_empty()))
        {
            Some(setting) => Some(setting.to_owned()),
            None if word == "-c" => words.next(),
            None => None,
        };
        let invalid = || SqlError::new(SqlState::SYNTAX_ERROR, format!("invalid command-line argument: {word}"));
        let setting = setting.ok_or_else(invalid)?;
        let (name, value) = setting.split_once('=').ok_or_else(invalid)?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[test]
    fn options_are_settings() {
        let settings = options_of(r"-c search_path=a\ b --lock-timeout=5s -cgeqo=off").unwrap();
        let want = [("search_path", "a b"), ("lock_timeout", "5s"), ("geqo", "off")];
        assert_eq!(settings, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(options_of("-x").unwrap_err().state, SqlState::SYNTAX_ERROR);
        assert_eq!(options_of("").unwrap(), []);
    }

    async fn opened(sent: &[&[u8]]) -> (Result<Client, Refused>, Vec<u8>) {
        let (mut client, server) = duplex(1 << 14);
        let mut wire = Wire::new(server);
        let mut answer = vec![];
        let talk = async {
            for (at, packet) in sent.iter().enumerate() {
                client.write_all(packet).await.unwrap();
                // What comes before the answer is refused.
                if at + 1 < sent.len() {
                    answer.push(client.read_u8().await.unwrap());
                }
            }
        };
        let peer = "127.0.0.1".parse().unwrap();
        let backends = Backends::default();
        let (opened, ()) = tokio::join!(open(&mut wire, peer, &backends), talk);
        wire.flush().await.unwrap();
        drop(wire);
        client.read_to_end(&mut answer).await.unwrap();
        (opened, answer)
    }

    fn start(settings: &[(&str, &str)]) -> Vec<u8> {
        let mut body = b"\0\x03\0\0".to_vec();
        for (name, value) in settings {
            body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        body.push(0);
        let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
        packet.extend(body);
        packet
    }

    #[tokio::test]
    async fn a_client_may_ask_for_encryption_first() {
        let settings = [("user", "alice"), ("database", "postgres"), ("application_name", "psql")];
        let (client, answer) = opened(&[b"\0\0\0\x08\x04\xd2\x16\x2f", &start(&settings)]).await;
        let Ok(client) = client else { panic!("refused") };
        assert_eq!(answer, b"N");
        assert_eq!((client.user.as_str(), client.settings.len()), ("alice", 1));
    }

    #[tokio::test]
    async fn what_is_no_opening_is_refused() {
        let sqlstate = |refused: Result<Client, Refused>| match refused {
            Err(Refused::Told(error)) => error.state.0,
            _ => "",
        };
        for (packet, want) in [
            (start(&[("user", "alice"), ("database", "other")]), "3D000"),
            (start(&[("user", "alice")]), "3D000"),
            (start(&[("database", "damson")]), "28000"),
            (b"\0\0\0\x08\0\x02\0\0".to_vec(), "0A000"),
            (b"\0\0\0\x03\0\x02\0\0".to_vec(), "08P01"),
            (b"GET / HTTP/1.1\r\n".to_vec(), "08P01"),
            (b"\0\0\0\x05\0".to_vec(), "08P01"),
        ] {
            assert_eq!(sqlstate(opened(&[&packet]).await.0), want, "{packet:?}");
        }
    }
}
