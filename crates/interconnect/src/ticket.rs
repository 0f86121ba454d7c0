//! What admits a stream to a route: a [`Ticket`], made from the [`QuerySecret`] that the master gave both ends.
//!
//! Whoever lacks the query's secret can open none of its routes, even with a certificate of the cluster: a node that was
//! left over from an earlier query, or was restarted, has nothing to show. That a ticket is good for one stream only is the
//! node's matter, which remembers the routes and the queries that it has seen (`docs/security.md`).

use damson_cluster::RouteKey;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::fmt::Write;

/// Bytes of a secret and of a ticket: 128 bits, beyond guessing.
const BYTES: usize = 16;

/// Says what is signed and which way the route goes, so that no other use of the secret can yield a ticket.
const LABEL: &[u8] = b"damson route 1: sender to receiver";

/// One query's secret: made by the master when it dispatches the query, told to the query's segments with their slices, and
/// forgotten with the query. Never shown: not in logs, not in errors.
#[derive(Clone, Copy)]
pub struct QuerySecret([u8; BYTES]);

/// The right to open one route of one query as its sender. As secret as the route itself; travels under TLS or within a
/// host.
#[derive(Clone, Copy)]
pub struct Ticket([u8; BYTES]);

/// The system has no random bytes: no query can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system has no random bytes for a query's secret")]
pub struct NoRandomness;

impl QuerySecret {
    /// Another query's secret, from the system's randomness.
    ///
    /// # Errors
    /// The system has none.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut secret = [0; BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_| NoRandomness)?;
        Ok(QuerySecret(secret))
    }

    /// The ticket of a route of this query.
    pub fn ticket(&self, route: &RouteKey) -> Ticket {
        Ticket(self.sign(route))
    }

    /// Whether a ticket is that of the route, in a time that does not tell how much of it is right.
    pub fn verify(&self, route: &RouteKey, ticket: &Ticket) -> bool {
        // ring compares whole tags only, in constant time; so those of the two tickets are compared.
        let key = self.key();
        let expected = hmac::sign(&key, &self.sign(route));
        hmac::verify(&key, &ticket.0, expected.as_ref()).is_ok()
    }

    fn sign(&self, route: &RouteKey) -> [u8; BYTES] {
        let tag = hmac::sign(&self.key(), &canonical(route));
        let mut first = [0; BYTES];
        first.copy_from_slice(&tag.as_ref()[..BYTES]);
        first
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl Ticket {
    /// Its bytes on the wire.
    pub const BYTES: usize = BYTES;

    pub fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Ticket(bytes)
    }

    pub fn to_bytes(self) -> [u8; BYTES] {
        self.0
    }
}

/// The same bytes for a route on every machine: fields of fixed length, little-endian.
fn canonical(route: &RouteKey) -> Vec<u8> {
    let RouteKey { query, motion, sender, receiver } = route;
    let mut bytes = LABEL.to_vec();
    bytes.extend_from_slice(&query.0.to_le_bytes());
    bytes.extend_from_slice(&motion.0.to_le_bytes());
    bytes.extend_from_slice(&sender.0.to_le_bytes());
    bytes.extend_from_slice(&receiver.0.to_le_bytes());
    bytes
}

impl fmt::Debug for QuerySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuerySecret(…)")
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(…)")
    }
}

impl Serialize for QuerySecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for QuerySecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_hex(&String::deserialize(deserializer)?).map(QuerySecret).ok_or_else(|| malformed("secret"))
    }
}

impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_hex(&String::deserialize(deserializer)?).map(Ticket).ok_or_else(|| malformed("ticket"))
    }
}

/// Without the text itself, which may be most of a secret.
fn malformed<E: de::Error>(what: &str) -> E {
    E::custom(format_args!("a {what} is {} hexadecimal digits", 2 * BYTES))
}

fn to_hex(bytes: &[u8; BYTES]) -> String {
    bytes.iter().fold(String::with_capacity(2 * BYTES), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string has room");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = ((digit(pair[0])? << 4) | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{ContentId, MotionId, QueryId};

    const SECRET: QuerySecret = QuerySecret([7; BYTES]);

    fn route(query: u64, motion: u32, sender: i32, receiver: i32) -> RouteKey {
        RouteKey {
            query: QueryId(query),
            motion: MotionId(motion),
            sender: ContentId(sender),
            receiver: ContentId(receiver),
        }
    }

    #[test]
    fn a_ticket_is_good_for_its_route() {
        let route = route(17, 2, 1, -1);
        assert!(SECRET.verify(&route, &SECRET.ticket(&route)));
        // What a node of the same build on another machine computes.
        assert_eq!(to_hex(&SECRET.ticket(&route).to_bytes()), "b500781cd8dcf05aaf32187bfe91f8c7");
    }

    #[test]
    fn a_ticket_is_good_for_no_other_route() {
        let mine = route(17, 2, 1, 3);
        let ticket = SECRET.ticket(&mine);
        let others = [
            route(18, 2, 1, 3),
            route(17, 3, 1, 3),
            route(17, 2, 2, 3),
            route(17, 2, 1, 4),
            route(17, 2, 1, -1),
            // Sender and receiver changed places.
            route(17, 2, 3, 1),
            // The same bytes, moved from one field to the next.
            route(17 | 2 << 32, 0, 1, 3),
            route(17, 1, 2, 3),
        ];
        for other in others {
            assert!(!SECRET.verify(&other, &ticket), "{other}");
        }
    }

    #[test]
    fn another_querys_secret_does_not_know_it() {
        let route = route(17, 2, 1, 3);
        let other = QuerySecret([8; BYTES]);
        assert!(!other.verify(&route, &SECRET.ticket(&route)));
        assert!(!SECRET.verify(&route, &other.ticket(&route)));
    }

    #[test]
    fn each_bit_counts() {
        let route = route(17, 2, 1, 3);
        let right = SECRET.ticket(&route).to_bytes();
        for bit in 0..8 * BYTES {
            let mut forged = right;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!SECRET.verify(&route, &Ticket::from_bytes(forged)), "bit {bit}");
        }
        assert!(!SECRET.verify(&route, &Ticket::from_bytes([0; BYTES])));
        assert!(SECRET.verify(&route, &Ticket::from_bytes(right)));
    }

    #[test]
    fn secrets_differ() {
        let (one, other) = (QuerySecret::generate().unwrap(), QuerySecret::generate().unwrap());
        assert_ne!(one.0, other.0);
        assert_ne!(one.0, [0; BYTES]);
    }

    #[test]
    fn nothing_shows_a_secret() {
        let secret = QuerySecret(*b"0123456789abcdef");
        let ticket = secret.ticket(&route(1, 1, 0, 1));
        assert_eq!(format!("{secret:?} {ticket:?}"), "QuerySecret(…) Ticket(…)");
        let error = serde_json::from_str::<QuerySecret>("\"30313233\"").unwrap_err().to_string();
        assert!(error.contains("32 hexadecimal digits") && !error.contains("3031"), "{error}");
    }

    #[test]
    fn secrets_and_tickets_survive_their_journey() {
        let route = route(1, 1, 0, 1);
        let text = serde_json::to_string(&SECRET).unwrap();
        assert_eq!(text, format!("\"{}\"", "07".repeat(BYTES)));
        let secret: QuerySecret = serde_json::from_str(&text).unwrap();
        let ticket = serde_json::to_string(&secret.ticket(&route)).unwrap();
        let ticket: Ticket = serde_json::from_str(&ticket).unwrap();
        assert!(SECRET.verify(&route, &ticket));
        for bad in ["\"\"", "\"0\"", "\"zz07070707070707070707070707070707\"", "\"äää0707070707070707070707070\"", "7"]
        {
            assert!(serde_json::from_str::<QuerySecret>(bad).is_err(), "{bad}");
        }
    }
}
