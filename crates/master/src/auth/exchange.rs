//! One client's proof that it knows a password: SCRAM-SHA-256 from the server's side. A state machine: it reads and writes messages.

use super::scram::ScramVerifier;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use damson_pg::scram::{Binding, ClientFinal, ClientFirst, ScramError, auth_message, server_final, server_first};
use ring::rand::{SecureRandom, SystemRandom};

/// As PostgreSQL's: 24 characters of base64, which has no comma.
const NONCE_BYTES: usize = 18;

/// Made of the client's first message, used up by its last.
#[derive(Debug)]
pub struct ScramExchange {
    verifier: ScramVerifier,
    binding: Binding,
    /// What the client's last message must repeat.
    channel: String,
    client_first: String,
    server_first: String,
    nonce: String,
}

impl ScramExchange {
    /// With the server's first message. `end_point` is what the exchange is bound to if the client has chosen that.
    ///
    /// # Errors
    /// 08P01, 28000 and 0A000 for a message that is none, or asks for what there is not; a system without random bytes.
    pub fn begin(
        verifier: ScramVerifier,
        client_first: &[u8],
        binding: Binding,
        end_point: Option<&[u8]>,
    ) -> SqlResult<(Self, String)> {
        let mut random = [0; NONCE_BYTES];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| -> SqlError { internal("the system gives no random bytes") })?;
        Self::begin_with(verifier, client_first, binding, end_point, &STANDARD.encode(random))
    }

    fn begin_with(
        verifier: ScramVerifier,
        client_first: &[u8],
        binding: Binding,
        end_point: Option<&[u8]>,
        own_nonce: &str,
    ) -> SqlResult<(Self, String)> {
        let first = ClientFirst::parse(client_first, binding).map_err(refused)?;
        let bound = end_point.filter(|_| binding == Binding::Chosen).unwrap_or_default();
        let (salt, iterations) = (STANDARD.encode(&verifier.salt), verifier.iterations.get());
        let server_first = server_first(first.nonce, own_nonce, &salt, iterations);
        let exchange = ScramExchange {
            verifier,
            binding,
            channel: STANDARD.encode([first.header.as_bytes(), bound].concat()),
            client_first: first.bare.to_owned(),
            server_first: server_first.clone(),
            nonce: format!("{}{own_nonce}", first.nonce),
        };
        Ok((exchange, server_first))
    }

    /// The server's last message, if the client's proof is right; None if it is not.
    ///
    /// # Errors
    /// 08P01 for a message that is no answer to the first one; 28000 for one that is bound to another connection.
    pub fn finish(self, client_final: &[u8]) -> SqlResult<Option<String>> {
        let last = ClientFinal::parse(client_final, &self.channel, self.binding, &self.nonce).map_err(refused)?;
        let malformed = || refused(ScramError::Malformed { detail: "Malformed proof in client-final-message." });
        let proof = STANDARD.decode(last.proof).map_err(|_| malformed())?;
        let signed = auth_message(&self.client_first, &self.server_first, last.without_proof);
        let is_right = self.verifier.accepts(signed.as_bytes(), &proof);
        let signature = self.verifier.server_signature(signed.as_bytes());
        Ok(is_right.then(|| server_final(&STANDARD.encode(signature))))
    }
}

fn refused(error: ScramError) -> SqlError {
    let told = SqlError::new(SqlState(error.sqlstate()), error.to_string());
    match error.detail() {
        Some(detail) => told.with_detail(detail),
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use super::super::scram::ITERATIONS;
    use super::*;

    const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    fn begun() -> (ScramExchange, String) {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = ScramVerifier::of_password("pencil", &salt, ITERATIONS);
        let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        ScramExchange::begin_with(verifier, first, Binding::Impossible, None, NONCE).unwrap()
    }

    fn last(proof: &str) -> String {
        format!("c=biws,r=rOprNGfwEbeRWgbNEkqO{NONCE},p={proof}")
    }

    /// RFC 7677, section 3.
    #[test]
    fn the_rfcs_exchange() {
        let (exchange, challenge) = begun();
        let want = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(challenge, want);
        let right = last("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let answer = exchange.finish(right.as_bytes()).unwrap();
        assert_eq!(answer.as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    }

    #[test]
    fn a_wrong_proof_gets_nothing() {
        for wrong in ["eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "dHzb", ""] {
            assert_eq!(begun().0.finish(last(wrong).as_bytes()).unwrap(), None, "{wrong}");
        }
        let malformed = begun().0.finish(last("*").as_bytes()).unwrap_err();
        assert_eq!(malformed.state.0, "08P01");
        assert_eq!(malformed.detail.as_deref(), Some("Malformed proof in client-final-message."));
        // A proof of another exchange.
        let old = last("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").replace(NONCE, "other");
        assert_eq!(begun().0.finish(old.as_bytes()).unwrap_err().message, "invalid SCRAM response");
    }

    /// Who stands between the client and the server has another certificate.
    #[test]
    fn a_bound_exchange_is_of_one_certificate() {
        let verifier = ScramVerifier::of_password("pencil", b"salt", ITERATIONS);
        let header = "p=tls-server-end-point,,";
        let first = format!("{header}n=,r=abc");
        let begin = |end_point: &[u8]| {
            let (verifier, first) = (verifier.clone(), first.as_bytes());
            ScramExchange::begin_with(verifier, first, Binding::Chosen, Some(end_point), NONCE).unwrap().0
        };
        let last = |end_point: &[u8]| {
            let channel = STANDARD.encode([header.as_bytes(), end_point].concat());
            format!("c={channel},r=abc{NONCE},p=dHzb")
        };
        assert_eq!(begin(b"own").finish(last(b"own").as_bytes()).unwrap(), None, "it is looked at, and wrong");
        let refused = begin(b"own").finish(last(b"other").as_bytes()).unwrap_err();
        assert_eq!(
            (refused.state, refused.message.as_str()),
            (SqlState::INVALID_AUTHORIZATION, "SCRAM channel binding check failed")
        );
    }

    #[test]
    fn each_exchange_has_a_nonce_of_its_own() {
        let verifier = ScramVerifier::of_password("x", b"salt", ITERATIONS);
        let begin = || ScramExchange::begin(verifier.clone(), b"n,,n=,r=abc", Binding::Impossible, None).unwrap().1;
        let (one, other) = (begin(), begin());
        assert!(one.starts_with("r=abc") && one != other);
        assert_eq!(one.split(',').next().unwrap().len(), "r=abc".len() + 24);
        let refused = ScramExchange::begin(verifier, b"n,,m=1,n=,r=abc", Binding::Impossible, None).unwrap_err();
        assert_eq!(refused.state, SqlState::FEATURE_NOT_SUPPORTED);
    }
}
