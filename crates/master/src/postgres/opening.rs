//! How a connection begins: who is it, what does it want, and with which settings.

use super::backends::Backends;
use super::connection::{PROTOCOL_VIOLATION, sql_error};
use super::encryption::ClientStream;
use super::wire::{Wire, WireError};
use crate::client_tls::{ClientTls, TLS_RECORD};
use crate::error::{SqlError, SqlState};
use crate::sql::DATABASE;
use damson_pg::frontend::Opening;
use tokio::io::{AsyncRead, AsyncWrite};

const INVALID_CATALOG_NAME: SqlState = SqlState("3D000");
const INVALID_AUTHORIZATION: SqlState = SqlState("28000");

/// The database of those who know no better; there is one, of another name.
const MAINTENANCE_DATABASE: &str = "postgres";

/// What a client says before it has shown who it is.
#[derive(Debug)]
pub(super) struct Opened {
    pub user: String,
    /// By the name that rules have for it.
    pub database: String,
    /// Names and values, in the client's order.
    pub settings: Vec<(String, String)>,
    /// More of these, as on a server's command line.
    pub options: Option<String>,
}

impl Opened {
    /// What is wrong with it is for those that were let in to know.
    ///
    /// # Errors
    /// Another database, and options that are none.
    pub(super) fn into_settings(mut self) -> Result<Vec<(String, String)>, SqlError> {
        if self.database != DATABASE {
            let message = format!("database \"{}\" does not exist", self.database);
            let hint = format!("The database is \"{DATABASE}\".");
            return Err(SqlError::new(INVALID_CATALOG_NAME, message).with_hint(hint));
        }
        if let Some(options) = &self.options {
            self.settings.extend(options_of(options)?);
        }
        Ok(self.settings)
    }
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
            WireError::Length | WireError::TooLong { .. } | WireError::Kind(_) => {
                Refused::Told(SqlError::new(PROTOCOL_VIOLATION, "invalid length of startup packet"))
            }
        }
    }
}

/// Reads the opening; encrypts the connection if the client asks for it and there is a certificate; carries a cancel request out.
///
/// # Errors
/// What is no opening of this protocol.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<ClientStream<S>>,
    tls: Option<&ClientTls>,
    backends: &Backends,
) -> Result<Opened, Refused> {
    if let Some(tls) = tls
        && wire.first_byte().await? == TLS_RECORD
        && !wire.encrypt(tls).await?
    {
        let message = "received direct SSL connection request without ALPN protocol negotiation extension";
        return Err(SqlError::new(PROTOCOL_VIOLATION, message).into());
    }
    // A client may ask for each kind of encryption once.
    let mut asked = [wire.is_encrypted(), false];
    let (minor, mut settings) = loop {
        let body = wire.opening().await?;
        match Opening::parse(&body).map_err(|malformed| sql_error(&malformed))? {
            Opening::Tls => {
                answer_encryption(wire, &mut asked[0], if tls.is_some() { b'S' } else { b'N' }).await?;
                if let Some(tls) = tls {
                    wire.encrypt(tls).await?;
                }
            }
            Opening::Gss => answer_encryption(wire, &mut asked[1], b'N').await?,
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
    let database = database_of(take("database"), &user);
    let options = take("options");
    if take("replication").is_some_and(|value| !["false", "off", "no", "0"].contains(&value.as_str())) {
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "replication connections are not supported").into());
    }
    Ok(Opened { user, database, settings, options })
}

/// Rules are of the one database that there is, whatever a client calls it: `postgres`, as tools do, or as libpq does that was told no
/// name, as the user.
fn database_of(asked: Option<String>, user: &str) -> String {
    match asked {
        Some(other) if other != MAINTENANCE_DATABASE && other != user => other,
        _ => DATABASE.to_owned(),
    }
}

/// `N`: the client goes on without, or ends the connection.
async fn answer_encryption<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    asked: &mut bool,
    answer: u8,
) -> Result<(), Refused> {
    if std::mem::replace(asked, true) {
        return Err(SqlError::new(PROTOCOL_VIOLATION, "encryption was asked for twice").into());
    }
    if wire.has_input() {
        let message = "received unencrypted data after an encryption request";
        return Err(SqlError::new(PROTOCOL_VIOLATION, message).into());
    }
    wire.send_byte(answer).await.map_err(|_| Refused::Silently)
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
    use crate::client_tls::certificates;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[test]
    fn options_are_settings() {
        let settings = options_of(r"-c search_path=a\ b --lock-timeout=5s -cgeqo=off").unwrap();
        let want = [("search_path", "a b"), ("lock_timeout", "5s"), ("geqo", "off")];
        assert_eq!(settings, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(options_of("-x").unwrap_err().state, SqlState::SYNTAX_ERROR);
        assert_eq!(options_of("").unwrap(), []);
    }

    async fn opened(sent: &[&[u8]]) -> (Result<Opened, Refused>, Vec<u8>) {
        let (mut client, server) = duplex(1 << 14);
        let mut wire = Wire::new(ClientStream::Plain(server));
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
        let backends = Backends::default();
        let (opened, ()) = tokio::join!(open(&mut wire, None, &backends), talk);
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
        assert_eq!((client.user.as_str(), client.database.as_str()), ("alice", "damson"));
        assert_eq!(client.into_settings().unwrap(), [("application_name".to_owned(), "psql".to_owned())]);
    }

    #[tokio::test]
    async fn the_one_database_has_several_names() {
        let named = async |settings: &[(&str, &str)]| match opened(&[&start(settings)]).await.0 {
            Ok(opened) => opened,
            Err(_) => panic!("refused"),
        };
        for settings in [
            [("user", "alice"), ("database", "damson")].as_slice(),
            &[("user", "alice"), ("database", "postgres")],
            &[("user", "alice"), ("database", "alice")],
            &[("user", "alice"), ("database", "")],
            &[("user", "alice")],
        ] {
            assert_eq!(named(settings).await.database, "damson", "{settings:?}");
        }
        let other = named(&[("user", "alice"), ("database", "bob")]).await;
        assert_eq!(other.database, "bob");
        assert_eq!(other.into_settings().unwrap_err().state.0, "3D000");
        let wrong = named(&[("user", "alice"), ("options", "-x")]).await;
        assert_eq!(wrong.into_settings().unwrap_err().state, SqlState::SYNTAX_ERROR);
    }

    #[tokio::test]
    async fn what_is_no_opening_is_refused() {
        let sqlstate = |refused: Result<Opened, Refused>| match refused {
            Err(Refused::Told(error)) => error.state.0,
            _ => "",
        };
        for (packet, want) in [
            (start(&[("user", "alice"), ("replication", "database")]), "0A000"),
            (start(&[("database", "damson")]), "28000"),
            (b"\0\0\0\x08\0\x02\0\0".to_vec(), "0A000"),
            (b"\0\0\0\x03\0\x02\0\0".to_vec(), "08P01"),
            (b"GET / HTTP/1.1\r\n".to_vec(), "08P01"),
            (b"\0\0\0\x05\0".to_vec(), "08P01"),
            // TLS, where there is none.
            (b"\x16\x03\x01\x02\0\x01".to_vec(), "08P01"),
        ] {
            assert_eq!(sqlstate(opened(&[&packet]).await.0), want, "{packet:?}");
        }
    }

    /// What becomes of a client that speaks TLS from the first byte, or after it has asked.
    async fn encrypted(asks: bool, protocols: &[&[u8]]) -> (Result<(bool, Opened), Refused>, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let trusted = certificates::write(directory.path());
        let tls = certificates::load(directory.path()).unwrap();
        let (mut client, server) = duplex(1 << 14);
        let talk = async {
            if asks {
                client.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await.unwrap();
                assert_eq!(client.read_u8().await.unwrap(), b'S');
            }
            let connector = certificates::client(&trusted, protocols);
            let mut client = connector.connect(certificates::localhost(), client).await.unwrap();
            client.write_all(&start(&[("user", "alice")])).await.unwrap();
            let mut answer = vec![];
            // It ends as TLS wants it.
            client.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let backends = Backends::default();
        let serve = async {
            let mut wire = Wire::new(ClientStream::Plain(server));
            let opened = open(&mut wire, Some(&tls), &backends).await;
            if opened.is_ok() {
                wire.out.authentication_ok();
                wire.flush().await.unwrap();
            }
            let is_encrypted = wire.is_encrypted() && wire.end_point().is_some();
            wire.close().await;
            opened.map(|opened| (is_encrypted, opened))
        };
        tokio::join!(serve, talk)
    }

    #[tokio::test]
    async fn what_follows_is_encrypted() {
        let protocols: [&[&[u8]]; 2] = [&[], &[b"postgresql"]];
        for (asks, protocols) in [(true, protocols[0]), (true, protocols[1]), (false, protocols[1])] {
            let (opened, answer) = encrypted(asks, protocols).await;
            let Ok((is_encrypted, opened)) = opened else { panic!("refused") };
            assert!(is_encrypted && opened.user == "alice");
            assert_eq!(answer, b"R\0\0\0\x08\0\0\0\0");
        }
        // Whoever begins with TLS must say what for: other protocols do so, too.
        let (refused, answer) = encrypted(false, protocols[0]).await;
        assert!(matches!(refused, Err(Refused::Told(error)) if error.message.contains("without ALPN")));
        assert_eq!(answer, b"");
    }

    /// What came before the handshake is not taken for what came in it.
    #[tokio::test]
    async fn nothing_goes_ahead_of_the_handshake() {
        let directory = tempfile::tempdir().unwrap();
        certificates::write(directory.path());
        let tls = certificates::load(directory.path()).unwrap();
        let (mut client, server) = duplex(1 << 14);
        let request = b"\0\0\0\x08\x04\xd2\x16\x2f";
        client.write_all(&[request, start(&[("user", "alice")]).as_slice()].concat()).await.unwrap();
        let mut wire = Wire::new(ClientStream::Plain(server));
        let refused = open(&mut wire, Some(&tls), &Backends::default()).await;
        assert!(matches!(refused, Err(Refused::Told(error)) if error.message.contains("unencrypted data")));
    }
}
