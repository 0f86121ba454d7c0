//! Who is let in: what the rules ask of a client, and whether it shows that.

use super::connection::{PROTOCOL_VIOLATION, sql_error};
use super::opening::{Opened, Refused};
use super::wire::{Wire, WireError};
use crate::auth::{Authenticator, Demand, Peer, ScramExchange};
use crate::catalog::RoleId;
use crate::error::SqlError;
use bytes::BytesMut;
use damson_pg::frontend::{SaslInitial, password};
use damson_pg::scram::{Binding, MECHANISM, MECHANISM_PLUS};
use tokio::io::{AsyncRead, AsyncWrite};

/// The role that the client is from now on. `end_point` is what its TLS connection is known by.
///
/// # Errors
/// 28000 for whom no rule lets in, 28P01 for the wrong password, 53300 after too many of these, 08P01 for what is no answer.
pub(super) async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    auth: &Authenticator,
    opened: &Opened,
    peer: Peer,
    end_point: Option<&[u8]>,
) -> Result<RoleId, Refused> {
    let Opened { user, database, .. } = opened;
    let role = match auth.demand(user, database, peer)? {
        Demand::Nothing(role) => role,
        Demand::Password => {
            wire.out.authentication_cleartext_password();
            let answer = answer(wire, "password").await?;
            let shown = password(&answer).map_err(|malformed| sql_error(&malformed))?;
            auth.log_in(user, database, peer, Some(shown)).await?
        }
        Demand::Scram => scram(wire, auth, user, peer, end_point).await?,
    };
    wire.out.authentication_ok();
    Ok(role)
}

/// SCRAM-SHA-256: the client proves that it knows the password, which it does not send; with TLS it may prove, too, that it sees the server's own
/// certificate. A user that is none is asked as any other.
async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    auth: &Authenticator,
    user: &str,
    peer: Peer,
    end_point: Option<&[u8]>,
) -> Result<RoleId, Refused> {
    let verifier = auth.verifier(user, peer)?;
    match end_point {
        Some(_) => wire.out.authentication_sasl(&[MECHANISM_PLUS, MECHANISM]),
        None => wire.out.authentication_sasl(&[MECHANISM]),
    }
    let asked = answer(wire, "SASL").await?;
    let initial = SaslInitial::parse(&asked).map_err(|malformed| sql_error(&malformed))?;
    let binding = match (initial.mechanism, end_point) {
        (MECHANISM, None) => Binding::Impossible,
        (MECHANISM, Some(_)) => Binding::Declined,
        (MECHANISM_PLUS, Some(_)) => Binding::Chosen,
        _ => {
            let message = "client selected an invalid SASL authentication mechanism";
            return Err(SqlError::new(PROTOCOL_VIOLATION, message).into());
        }
    };
    let begin = |first: &[u8]| ScramExchange::begin(verifier, first, binding, end_point);
    let (exchange, challenge) = match initial.data {
        Some(first) => begin(first)?,
        None => {
            wire.out.authentication_sasl_continue(&[]);
            begin(&answer(wire, "SASL").await?)?
        }
    };
    wire.out.authentication_sasl_continue(challenge.as_bytes());
    let signature = exchange.finish(&answer(wire, "SASL").await?)?;
    let role = auth.conclude(user, peer, signature.is_some())?;
    if let Some(signature) = signature {
        wire.out.authentication_sasl_final(signature.as_bytes());
    }
    Ok(role)
}

/// Sends what was asked, and reads what the client says to it.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, what: &str) -> Result<BytesMut, Refused> {
    wire.flush().await.map_err(WireError::from)?;
    match wire.authentication().await {
        Ok((b'p', body)) => Ok(body),
        Ok((kind, _)) => {
            let message = format!("expected {what} response, got message type {kind}");
            Err(SqlError::new(PROTOCOL_VIOLATION, message).into())
        }
        Err(gone @ (WireError::Closed | WireError::Io(_))) => Err(gone.into()),
        Err(error) => Err(SqlError::new(PROTOCOL_VIOLATION, error.to_string()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{HbaRules, HbaSource, hash_password};
    use crate::catalog::{Catalog, RoleDef, Verifier};
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const PEER: Peer = Peer { address: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)), is_encrypted: false };

    fn with_rules(rules: &str) -> (tempfile::TempDir, Authenticator) {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(directory.path(), 1).unwrap();
        let verifier = Some(Verifier(hash_password("right").unwrap()));
        let ann = RoleDef { login: true, verifier, ..RoleDef::new(RoleId(1001), "ann".into()) };
        catalog.alone(|workspace| workspace.create_role(ann)).unwrap();
        let rules = HbaSource::Fixed(HbaRules::parse(rules).unwrap());
        let auth = Authenticator::new(Arc::clone(&catalog), rules).unwrap();
        (directory, auth)
    }

    fn opened(user: &str) -> Opened {
        Opened { user: user.into(), database: "damson".into(), settings: vec![], options: None }
    }

    /// What comes of a user whose client is `talk`, and what that was told.
    async fn let_in<F: Future<Output = DuplexStream>>(
        auth: &Authenticator,
        user: &str,
        talk: impl FnOnce(DuplexStream) -> F,
    ) -> (Result<u64, String>, Vec<u8>) {
        let (client, server) = duplex(1 << 14);
        let mut wire = Wire::new(server);
        let opened = opened(user);
        let serve = async {
            let role = authenticate(&mut wire, auth, &opened, PEER, None).await;
            wire.flush().await.unwrap();
            drop(wire);
            match role {
                Ok(role) => Ok(role.0),
                Err(Refused::Told(error)) => Err(error.state.0.to_owned()),
                Err(Refused::Silently) => Err(String::new()),
            }
        };
        let (role, mut client) = tokio::join!(serve, talk(client));
        let mut rest = vec![];
        client.read_to_end(&mut rest).await.unwrap();
        (role, rest)
    }

    async fn receive(client: &mut DuplexStream) -> Vec<u8> {
        let mut head = [0; 5];
        client.read_exact(&mut head).await.unwrap();
        let mut body = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4];
        client.read_exact(&mut body).await.unwrap();
        body
    }

    async fn send(client: &mut DuplexStream, body: &[u8]) {
        let length = (body.len() as u32 + 4).to_be_bytes();
        client.write_all(&[b"p", length.as_slice(), body].concat()).await.unwrap();
    }

    fn initial(mechanism: &str, first: &str) -> Vec<u8> {
        [mechanism.as_bytes(), b"\0", &(first.len() as u32).to_be_bytes(), first.as_bytes()].concat()
    }

    #[tokio::test]
    async fn rules_decide_before_anything_is_asked() {
        let (_directory, auth) = with_rules("host all ann all trust\nhost all bob all reject\n");
        let silent = |client: DuplexStream| async move { client };
        assert_eq!(let_in(&auth, "ann", silent).await, (Ok(1001), b"R\0\0\0\x08\0\0\0\0".to_vec()));
        assert_eq!(let_in(&auth, "bob", silent).await, (Err("28000".into()), vec![]));
        assert_eq!(let_in(&auth, "eve", silent).await, (Err("28000".into()), vec![]));
    }

    #[tokio::test]
    async fn a_password_within_the_host() {
        let (_directory, auth) = with_rules("host all all 127.0.0.1/32 password\n");
        for (user, shown, want) in
            [("ann", "right", Ok(1001)), ("ann", "wrong", Err("28P01")), ("eve", "right", Err("28P01"))]
        {
            let talk = |mut client: DuplexStream| async move {
                assert_eq!(receive(&mut client).await, [0, 0, 0, 3]);
                send(&mut client, format!("{shown}\0").as_bytes()).await;
                client
            };
            let (role, rest) = let_in(&auth, user, talk).await;
            assert_eq!(role, want.map_err(str::to_owned), "{user} {shown}");
            assert_eq!(rest.is_empty(), role.is_err(), "{user} {shown}");
        }
    }

    /// Both are told a salt and to prove something, and get the same answer.
    #[tokio::test]
    async fn users_that_are_none_take_the_same_steps() {
        let (_directory, auth) = with_rules("host all all all scram-sha-256\n");
        for user in ["ann", "eve"] {
            let talk = |mut client: DuplexStream| async move {
                assert_eq!(receive(&mut client).await, b"\0\0\0\x0aSCRAM-SHA-256\0\0");
                send(&mut client, &initial("SCRAM-SHA-256", "n,,n=,r=abc")).await;
                let challenge = String::from_utf8(receive(&mut client).await.split_off(4)).unwrap();
                let parts: Vec<&str> = challenge.split(',').collect();
                assert!(parts[0].starts_with("r=abc") && parts[1].len() == "s=".len() + 24, "{challenge}");
                assert_eq!(parts[2], "i=4096");
                let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
                send(&mut client, format!("c=biws,{},p={proof}", parts[0]).as_bytes()).await;
                client
            };
            assert_eq!(let_in(&auth, user, talk).await, (Err("28P01".into()), vec![]), "{user}");
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_refused() {
        let (_directory, auth) = with_rules("host all all all scram-sha-256\n");
        for (sent, want) in [
            (initial("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abc"), "08P01"),
            (initial("SCRAM-SHA-256", "p=tls-unique,,n=,r=abc"), "08P01"),
            (initial("SCRAM-SHA-256", "n,a=bob,n=,r=abc"), "0A000"),
            (b"right\0".to_vec(), "08P01"),
            (vec![b'x'; 5000], "08P01"),
        ] {
            let message = sent.clone();
            let talk = |mut client: DuplexStream| async move {
                receive(&mut client).await;
                send(&mut client, &message).await;
                client
            };
            assert_eq!(let_in(&auth, "ann", talk).await, (Err(want.to_owned()), vec![]), "{sent:?}");
        }
        // Another message than an answer; and one that goes, as psql does to ask its user for a password.
        let query = |mut client: DuplexStream| async move {
            client.write_all(b"Q\0\0\0\x05\0").await.unwrap();
            receive(&mut client).await;
            client
        };
        assert_eq!(let_in(&auth, "ann", query).await.0, Err("08P01".into()));
        for _ in 0..10 {
            let goes = |mut client: DuplexStream| async move {
                receive(&mut client).await;
                client.shutdown().await.unwrap();
                client
            };
            assert_eq!(let_in(&auth, "ann", goes).await.0, Err(String::new()));
        }
        assert!(auth.verifier("ann", PEER).is_ok(), "that was no guess");
    }
}
