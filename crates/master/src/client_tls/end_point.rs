//! What names a certificate in an exchange of passwords: RFC 5929, section 4.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Signatures by the DER of their object identifiers, and the hash that RFC 5929 takes for each: that of the signature, but of those that are too
/// weak SHA-256. None of others: Ed25519 has none, and RSASSA-PSS has it elsewhere.
const SIGNATURES: [(&[u8], &Algorithm); 9] = [
    // md5WithRSAEncryption, sha1WithRSAEncryption, sha256, sha384, sha512
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", &SHA256),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", &SHA256),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", &SHA256),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", &SHA384),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", &SHA512),
    // ecdsa-with-SHA1, SHA256, SHA384, SHA512
    (b"\x2a\x86\x48\xce\x3d\x04\x01", &SHA256),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", &SHA256),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", &SHA384),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", &SHA512),
];

/// The hash of a certificate in DER by which both ends know it; None if its signature gives none.
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (content, _) = element(SEQUENCE, certificate)?;
    let (_signed, rest) = element(SEQUENCE, content)?;
    let (algorithm, _signature) = element(SEQUENCE, rest)?;
    let (identifier, _parameters) = element(OBJECT_IDENTIFIER, algorithm)?;
    let (_, hash) = SIGNATURES.iter().find(|(known, _)| *known == identifier)?;
    Some(digest(hash, certificate).as_ref().to_vec())
}

/// The content of the element that comes first, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = der else { return None };
    if *found != tag {
        return None;
    }
    let (length, rest) = match length {
        // A length of its own bytes, of which four are more than any certificate needs.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
        }
        0x00..=0x7f => (usize::from(*length), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate's frame around a signature of that kind.
    fn certificate(signature: &[u8]) -> Vec<u8> {
        let identifier = [&[OBJECT_IDENTIFIER, signature.len() as u8], signature, b"\x05\0"].concat();
        let signed = [0x55; 300];
        let content = [
            &[SEQUENCE, 0x82, 0x01, 0x2c],
            &signed[..],
            &[SEQUENCE, identifier.len() as u8],
            &identifier,
            b"\x03\x02\0\x01",
        ]
        .concat();
        [&[SEQUENCE, 0x82], &(content.len() as u16).to_be_bytes()[..], &content].concat()
    }

    #[test]
    fn the_signature_says_which_hash_it_is() {
        for (signature, bytes) in [(1, 32), (2, 32), (3, 48), (4, 64), (6, 32), (8, 64)] {
            let certificate = certificate(SIGNATURES[signature].0);
            let hash = end_point(&certificate).unwrap();
            assert_eq!(hash.len(), bytes);
            assert_eq!(hash, digest(SIGNATURES[signature].1, &certificate).as_ref());
        }
        // Ed25519.
        assert_eq!(end_point(&certificate(b"\x2b\x65\x70")), None);
    }

    #[test]
    fn what_is_cut_has_none() {
        let certificate = certificate(SIGNATURES[2].0);
        for end in 0..certificate.len() {
            assert_eq!(end_point(&certificate[..end]), None, "{end}");
        }
        assert_eq!(end_point(b"\x30\x85\0\0\0\0\x01\0"), None);
        assert_eq!(end_point(b"\x30\x84\xff\xff\xff\xff\0"), None);
    }
}
