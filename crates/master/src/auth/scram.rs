//! SCRAM-SHA-256 (RFC 5802, RFC 7677): what the catalog keeps of a password, in PostgreSQL's form
//! `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.

use crate::error::{SqlError, SqlResult, internal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom;
use ring::{digest, hmac, pbkdf2, rand};
use std::fmt;
use std::num::NonZeroU32;

const PREFIX: &str = "SCRAM-SHA-256$";

/// As PostgreSQL's: a password costs its checker some milliseconds.
pub(super) const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("it is not 0");

/// A verifier of a user's own may not make the server compute for minutes.
const ITERATIONS_MAX: u32 = 1_000_000;

pub(super) const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// What a password is checked by. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    pub iterations: NonZeroU32,
    pub salt: Vec<u8>,
    pub stored_key: [u8; KEY_BYTES],
    pub server_key: [u8; KEY_BYTES],
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier(***)")
    }
}

impl ScramVerifier {
    pub fn of_password(password: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut salted = [0; KEY_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let mut stored_key = [0; KEY_BYTES];
        stored_key.copy_from_slice(digest::digest(&digest::SHA256, &client_key).as_ref());
        ScramVerifier { iterations, salt: salt.to_vec(), stored_key, server_key: sign(&salted, b"Server Key") }
    }

    /// None for what is no verifier, or asks for too much.
    pub fn parse(text: &str) -> Option<Self> {
        let (iterations, rest) = text.strip_prefix(PREFIX)?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations = iterations.parse::<NonZeroU32>().ok().filter(|count| count.get() <= ITERATIONS_MAX)?;
        Some(ScramVerifier {
            iterations,
            salt: STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?,
            stored_key: STANDARD.decode(stored_key).ok()?.try_into().ok()?,
            server_key: STANDARD.decode(server_key).ok()?.try_into().ok()?,
        })
    }

    /// As the catalog keeps it.
    pub fn text(&self) -> String {
        let [salt, stored, server] =
            [&self.salt, &self.stored_key[..], &self.server_key[..]].map(|bytes| STANDARD.encode(bytes));
        format!("{PREFIX}{}:{salt}${stored}:{server}", self.iterations)
    }

    /// Whether it is the password's: by the same steps in the same time, right or wrong.
    pub fn is_of(&self, password: &str) -> bool {
        let other = Self::of_password(password, &self.salt, self.iterations);
        is_same(&other.stored_key, &self.stored_key)
    }

    /// Whether a client that sent `proof` knows the password; `message` is SCRAM's AuthMessage.
    pub fn accepts(&self, message: &[u8], proof: &[u8]) -> bool {
        let Ok(proof) = <[u8; KEY_BYTES]>::try_from(proof) else { return false };
        let signature = sign(&self.stored_key, message);
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(key, signature)| *key ^= signature);
        is_same(digest::digest(&digest::SHA256, &client_key).as_ref(), &self.stored_key)
    }

    /// By which a client sees that the server knows the verifier.
    pub fn server_signature(&self, message: &[u8]) -> [u8; KEY_BYTES] {
        sign(&self.server_key, message)
    }
}

/// The verifier of a new password, with a salt of its own.
///
/// # Errors
/// The system has no random bytes.
pub fn hash_password(password: &str) -> SqlResult<String> {
    let mut salt = [0; SALT_BYTES];
    let filled = rand::SystemRandom::new().fill(&mut salt);
    filled.map_err(|_| -> SqlError { internal("the system gives no random bytes") })?;
    Ok(ScramVerifier::of_password(password, &salt, ITERATIONS).text())
}

/// Whether a PASSWORD is a verifier already.
pub fn is_verifier(text: &str) -> bool {
    ScramVerifier::parse(text).is_some()
}

fn sign(key: &[u8], message: &[u8]) -> [u8; KEY_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut bytes = [0; KEY_BYTES];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

/// In the same time, wherever they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | a ^ b) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3.
    #[test]
    fn the_rfcs_client_is_accepted() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = ScramVerifier::of_password("pencil", &salt, ITERATIONS);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        assert!(verifier.accepts(message.as_bytes(), &proof));
        let signature = STANDARD.encode(verifier.server_signature(message.as_bytes()));
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let mut wrong = proof.clone();
        wrong[0] ^= 1;
        assert!(!verifier.accepts(message.as_bytes(), &wrong) && !verifier.accepts(message.as_bytes(), &proof[1..]));
        assert!(verifier.is_of("pencil") && !verifier.is_of("pencils"));
    }

    #[test]
    fn verifiers_are_read_as_they_are_written() {
        let text = hash_password("x").unwrap();
        let verifier = ScramVerifier::parse(&text).unwrap();
        assert_eq!(verifier.text(), text);
        assert!(verifier.is_of("x"));
        assert_ne!(hash_password("x").unwrap(), text, "each has a salt of its own");
        for wrong in ["", "x", "SCRAM-SHA-256$4096:x", "md5abc", &text[1..], &text.replace("4096", "0")] {
            assert!(!is_verifier(wrong), "{wrong}");
        }
        assert!(!is_verifier(&text.replace("4096", "1000001")));
        assert_eq!(format!("{verifier:?}"), "ScramVerifier(***)");
    }
}
