//! What SCRAM's messages say (RFC 5802, section 7): the texts, without the cryptography. The server lets nobody act for another.

use std::str;
use thiserror::Error;

/// The mechanism, as SASL names it (RFC 7677).
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// The same, bound to the connection's TLS: who stands between client and server cannot pass it on.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// How a client's first message begins that binds to the server's certificate (RFC 5929).
const END_POINT: &str = "p=tls-server-end-point";

/// Whether an exchange is bound to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It cannot be.
    Impossible,
    /// The server has offered it, and the client has chosen the mechanism without.
    Declined,
    /// The client has chosen [`MECHANISM_PLUS`].
    Chosen,
}

/// A client's message that is not what SCRAM says, or wants what there is not. In PostgreSQL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    #[error("malformed SCRAM message")]
    Malformed { detail: &'static str },
    #[error("non-printable characters in SCRAM nonce")]
    Nonce,
    #[error("invalid SCRAM response")]
    OtherNonce,
    #[error("unexpected SCRAM channel-binding attribute in client-final-message")]
    ChannelBinding,
    #[error("SCRAM channel binding check failed")]
    OtherChannel,
    #[error("SCRAM channel binding negotiation error")]
    Downgraded,
    #[error("unsupported SCRAM channel-binding type")]
    BindingType,
    #[error("client uses authorization identity, but it is not supported")]
    Identity,
    #[error("client requires an unsupported SCRAM extension")]
    Extension,
}

impl ScramError {
    pub fn sqlstate(self) -> &'static str {
        match self {
            ScramError::Identity | ScramError::Extension => "0A000",
            ScramError::OtherChannel | ScramError::Downgraded => "28000",
            _ => "08P01",
        }
    }

    pub fn detail(self) -> Option<&'static str> {
        match self {
            ScramError::Malformed { detail } => Some(detail),
            ScramError::OtherNonce => Some("Nonce does not match."),
            ScramError::Downgraded => Some(
                "The client supports SCRAM channel binding but thinks the server does not. However, this server does \
                 support channel binding.",
            ),
            _ => None,
        }
    }
}

fn malformed(detail: &'static str) -> ScramError {
    ScramError::Malformed { detail }
}

/// `n,,n=user,r=nonce`. The name in it says nothing: the user is the one that opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientFirst<'a> {
    /// What the last message must repeat, followed by the channel's data if it is bound, in base64.
    pub header: &'a str,
    /// Of AuthMessage.
    pub bare: &'a str,
    pub nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// # Errors
    /// What is no such message, and what it asks for in vain.
    pub fn parse(data: &'a [u8], binding: Binding) -> Result<Self, ScramError> {
        let comma = || malformed("Comma expected, but not found.");
        let data = text(data)?;
        let (flag, rest) = data.split_once(',').ok_or_else(comma)?;
        let is_bound = binding == Binding::Chosen;
        match flag {
            // `y`: who could bind one sees that the server cannot. If it can, somebody has taken that out of its offer.
            "y" if binding == Binding::Declined => return Err(ScramError::Downgraded),
            "n" | "y" if is_bound => {
                return Err(malformed(
                    "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding \
                     data.",
                ));
            }
            "n" | "y" => {}
            END_POINT if is_bound => {}
            flag if flag.starts_with("p=") && is_bound => return Err(ScramError::BindingType),
            flag if flag.starts_with("p=") => {
                return Err(malformed(
                    "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel \
                     binding data.",
                ));
            }
            _ => return Err(malformed("Unexpected channel-binding flag.")),
        }
        let (identity, bare) = rest.split_once(',').ok_or_else(comma)?;
        match identity {
            "" => {}
            identity if identity.starts_with("a=") => return Err(ScramError::Identity),
            _ => return Err(malformed("Unexpected attribute in client-first-message.")),
        }
        if bare.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let mut attributes = bare.split(',');
        attribute(attributes.next(), 'n')?;
        let nonce = attribute(attributes.next(), 'r')?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScramError::Nonce);
        }
        attributes.try_for_each(extension)?;
        Ok(ClientFirst { header: &data[..data.len() - bare.len()], bare, nonce })
    }
}

/// The server's first message: both nonces, and what the client must hash its password with. `salt` is in base64.
pub fn server_first(client_nonce: &str, server_nonce: &str, salt: &str, iterations: u32) -> String {
    format!("r={client_nonce}{server_nonce},s={salt},i={iterations}")
}

/// `c=biws,r=nonces,p=proof`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientFinal<'a> {
    /// Of AuthMessage.
    pub without_proof: &'a str,
    /// In base64.
    pub proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    /// An answer to [`server_first`], whose nonce it must repeat, and `channel`, in base64 the first message's header and what it
    /// is bound to.
    ///
    /// # Errors
    /// What is no such message, or answers another, or came through another connection.
    pub fn parse(data: &'a [u8], channel: &str, binding: Binding, nonce: &str) -> Result<Self, ScramError> {
        let text = text(data)?;
        let no_proof = || malformed("Attribute \"p\" expected.");
        let (without_proof, proof) = text.rsplit_once(',').ok_or_else(no_proof)?;
        let proof = proof.strip_prefix("p=").ok_or_else(no_proof)?;
        let mut attributes = without_proof.split(',');
        if attribute(attributes.next(), 'c')? != channel {
            let is_bound = binding == Binding::Chosen;
            return Err(if is_bound { ScramError::OtherChannel } else { ScramError::ChannelBinding });
        }
        if attribute(attributes.next(), 'r')? != nonce {
            return Err(ScramError::OtherNonce);
        }
        attributes.try_for_each(|found| match found.starts_with("p=") {
            true => Err(malformed("Garbage found at the end of client-final-message.")),
            false => extension(found),
        })?;
        Ok(ClientFinal { without_proof, proof })
    }
}

/// The server's last message, by which the client sees that it knows the verifier. `signature` is in base64.
pub fn server_final(signature: &str) -> String {
    format!("v={signature}")
}

/// What both ends sign.
pub fn auth_message(client_first_bare: &str, server_first: &str, client_final_without_proof: &str) -> String {
    format!("{client_first_bare},{server_first},{client_final_without_proof}")
}

fn text(data: &[u8]) -> Result<&str, ScramError> {
    match str::from_utf8(data) {
        Ok("") => Err(malformed("The message is empty.")),
        Ok(text) if text.contains('\0') => Err(malformed("Message length does not match input length.")),
        Ok(text) => Ok(text),
        Err(_) => Err(malformed("The message is not UTF-8.")),
    }
}

/// The value of `name=value`.
fn attribute(found: Option<&str>, name: char) -> Result<&str, ScramError> {
    let value = found.and_then(|found| found.strip_prefix(name)?.strip_prefix('='));
    value.ok_or_else(|| malformed("An attribute is missing, or stands where another is expected."))
}

/// One that nobody knows, and that is not mandatory: it is passed over.
fn extension(found: &str) -> Result<(), ScramError> {
    match found.as_bytes() {
        [name, b'=', ..] if name.is_ascii_alphabetic() => Ok(()),
        _ => Err(malformed("Attribute expected, but found invalid character.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3.
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_rfcs_messages_have_their_parts() {
        let first = ClientFirst::parse(FIRST.as_bytes(), Binding::Impossible).unwrap();
        assert_eq!((first.header, first.bare), ("n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO"));
        let server = server_first(first.nonce, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096);
        assert_eq!(server, SERVER_FIRST);
        let last = ClientFinal::parse(FINAL.as_bytes(), "biws", Binding::Impossible, NONCE).unwrap();
        assert_eq!(last.proof, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        assert_eq!(last.without_proof, FINAL.split_once(",p=").unwrap().0);
        let signed = auth_message(first.bare, &server, last.without_proof);
        assert!(signed.starts_with("n=user,r=") && signed.contains(",i=4096,c=biws,r="), "{signed}");
    }

    /// As libpq sends them: no name, and over TLS a word that it could bind the channel.
    #[test]
    fn names_and_extensions_are_passed_over() {
        assert_eq!(ClientFirst::parse(b"y,,n=,r=abc", Binding::Impossible).unwrap().header, "y,,");
        assert_eq!(ClientFirst::parse(b"n,,n=a=2Cb,r=abc,x=1,y=", Binding::Declined).unwrap().nonce, "abc");
        let last = ClientFinal::parse(b"c=eSws,r=abcdef,x=1,p=", "eSws", Binding::Impossible, "abcdef").unwrap();
        assert_eq!((last.without_proof, last.proof), ("c=eSws,r=abcdef,x=1", ""));
    }

    #[test]
    fn who_binds_says_so_in_both_messages() {
        let first = ClientFirst::parse(b"p=tls-server-end-point,,n=,r=abc", Binding::Chosen).unwrap();
        assert_eq!((first.header, first.bare), ("p=tls-server-end-point,,", "n=,r=abc"));
        let refused = |message: &str| ClientFirst::parse(message.as_bytes(), Binding::Chosen).unwrap_err();
        for message in ["n,,n=,r=abc", "y,,n=,r=abc"] {
            assert!(refused(message).detail().unwrap().contains("does not include channel binding"), "{message}");
        }
        assert_eq!(refused("p=tls-unique,,n=,r=abc"), ScramError::BindingType);
        // What the server offers has been changed on its way.
        let downgraded = ClientFirst::parse(b"y,,n=,r=abc", Binding::Declined).unwrap_err();
        assert_eq!((downgraded, downgraded.sqlstate()), (ScramError::Downgraded, "28000"));
        let last = |channel| ClientFinal::parse(b"c=YWJj,r=abcdef,p=x", channel, Binding::Chosen, "abcdef");
        assert_eq!(last("YWJj").unwrap().proof, "x");
        assert_eq!(last("YWJk").unwrap_err(), ScramError::OtherChannel);
    }

    #[test]
    fn what_is_no_first_message_is_refused() {
        let refused = |message: &str| ClientFirst::parse(message.as_bytes(), Binding::Impossible).unwrap_err();
        for message in
            ["", "n", "n,", "n,,", "n,,n=a", "n,,r=abc", "n,,n=a,x=abc", "x,,n=,r=a", "n,x,n=,r=a", "n,,n=,r=a,"]
        {
            assert!(refused(message).detail().is_some(), "{message}");
            assert_eq!(refused(message).sqlstate(), "08P01", "{message}");
        }
        assert!(refused("p=tls-server-end-point,,n=,r=a").detail().unwrap().contains("without channel binding"));
        assert_eq!(refused("n,a=bob,n=,r=a"), ScramError::Identity);
        assert_eq!(refused("n,,m=x,n=,r=a"), ScramError::Extension);
        assert_eq!(refused("n,,m=x,n=,r=a").sqlstate(), "0A000");
        for message in ["n,,n=,r=", "n,,n=,r=a b", "n,,n=,r=é"] {
            assert_eq!(refused(message), ScramError::Nonce, "{message}");
        }
        for message in [b"n,,n=\0,r=a", b"n,,n=\xff,r=a"] {
            assert!(ClientFirst::parse(message, Binding::Impossible).is_err());
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let parsed =
            |message: &'static str| ClientFinal::parse(message.as_bytes(), "biws", Binding::Impossible, "abcdef");
        let refused = |message| parsed(message).unwrap_err();
        for message in ["", "c=biws", "c=biws,r=abcdef", "r=abcdef,p=x", "c=biws,p=x", "c=biws,r=abcdef,p=x,p=y"] {
            assert!(refused(message).detail().is_some(), "{message}");
        }
        assert_eq!(refused("c=eSws,r=abcdef,p=x"), ScramError::ChannelBinding);
        // Of another exchange, or made up.
        for message in ["c=biws,r=abc,p=x", "c=biws,r=abcdefg,p=x", "c=biws,r=,p=x"] {
            assert_eq!(refused(message), ScramError::OtherNonce, "{message}");
        }
    }
}
