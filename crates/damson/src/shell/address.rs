//! Where a server is, as users write it.

use super::failure::Failure;
use super::tls::TlsArgs;

/// One server of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// As it was written.
    pub url: String,
    /// `host:port`; the port may be left out.
    pub authority: String,
    encryption: Encryption,
}

/// What the scheme says of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    Off,
    /// By the options.
    AsAsked,
    On,
}

impl Address {
    /// Each server of `flight://host:port`, or of several of these with commas between; without a scheme it is `flight`.
    ///
    /// # Errors
    /// One that is no address, before any is tried.
    pub(super) fn all(url: &str) -> Result<Vec<Self>, Failure> {
        let (scheme, authorities) = url.split_once("://").unwrap_or(("flight", url));
        authorities.split(',').map(|authority| Address::of(scheme, authority.trim())).collect()
    }

    fn of(scheme: &str, authority: &str) -> Result<Self, Failure> {
        let url = format!("{scheme}://{authority}");
        let authority = authority.trim_end_matches('/');
        let encryption = match scheme {
            "flight" | "grpc" => Encryption::AsAsked,
            "flight+tcp" | "grpc+tcp" | "http" => Encryption::Off,
            "flight+tls" | "grpc+tls" | "https" => Encryption::On,
            _ => return Err(no_address(&url)),
        };
        if authority.is_empty() || authority.contains(['/', '@', '?']) {
            return Err(no_address(&url));
        }
        Ok(Address { authority: authority.to_owned(), url, encryption })
    }

    /// Whether the connection is to have TLS.
    ///
    /// # Errors
    /// An address that says otherwise than the option.
    pub(super) fn is_encrypted(&self, tls: &TlsArgs) -> Result<bool, Failure> {
        match self.encryption {
            Encryption::On => Ok(true),
            Encryption::AsAsked => Ok(tls.is_asked_for()),
            Encryption::Off if tls.tls => {
                Err(Failure::Connection(format!("{} is an address without TLS, and --tls asks for it", self.url)))
            }
            Encryption::Off => Ok(false),
        }
    }
}

/// Without what stands before `@`, which may have a password.
fn no_address(url: &str) -> Failure {
    let shown = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    };
    Failure::Connection(format!(
        "{shown} is no address: flight://HOST:PORT is one, flight+tls://HOST:PORT, or flight://HOST:PORT,HOST:PORT"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(url: &str) -> Address {
        let [address] = <[Address; 1]>::try_from(Address::all(url).unwrap()).unwrap();
        address
    }

    #[test]
    fn several_servers() {
        let urls: Vec<String> = Address::all("flight+tls://a:1, b:2").unwrap().into_iter().map(|a| a.url).collect();
        assert_eq!(urls, ["flight+tls://a:1", "flight+tls://b:2"]);
        assert!(Address::all("flight://a:1,").is_err() && Address::all("ftp://a,b").is_err());
    }

    #[test]
    fn addresses() {
        assert_eq!(one("flight://127.0.0.1:50051").authority, "127.0.0.1:50051");
        assert_eq!(one("localhost:1/").authority, "localhost:1");
        assert_eq!(one("grpc+tcp://[::1]:50051").authority, "[::1]:50051");
        for url in ["ftp://x", "flight://", "", "flight://user:secret@host:1", "https://host/path"] {
            assert!(Address::all(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_scheme_or_the_options_ask_for_tls() {
        let (none, ca) = (TlsArgs::default(), TlsArgs { tls_ca: Some("ca.pem".into()), ..TlsArgs::default() });
        let flag = TlsArgs { tls: true, ..TlsArgs::default() };
        let encrypted = |url: &str, tls: &TlsArgs| one(url).is_encrypted(tls).ok();
        for (url, by) in [
            ("flight://h:1", [Some(false), Some(true), Some(true)]),
            ("h:1", [Some(false), Some(true), Some(true)]),
            ("grpc+tcp://h:1", [Some(false), Some(false), None]),
            ("http://h:1", [Some(false), Some(false), None]),
            ("flight+tls://h:1", [Some(true); 3]),
            ("grpc+tls://h:1", [Some(true); 3]),
            ("https://h:1", [Some(true); 3]),
        ] {
            assert_eq!([&none, &ca, &flag].map(|tls| encrypted(url, tls)), by, "{url}");
        }
    }
}
