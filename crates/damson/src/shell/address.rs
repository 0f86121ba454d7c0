//! Where a server is, as users write it.

use super::failure::Failure;
use super::tls::TlsArgs;
use tonic::codegen::http::uri::Authority;

/// Of the ports, those that servers have unless they are told otherwise.
const POSTGRES_PORT: u16 = 5433;
/// Of addresses with TLS that name no port, as of every `https`.
const HTTPS_PORT: u16 = 443;

const DEFAULT_SCHEME: &str = "flight";

/// The one database.
const DATABASE: &str = "damson";

/// A URL: `flight://host:port`, `postgresql://user@host:port/damson`, or several hosts with commas between. Without a scheme it is `flight`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// Without the user and the database.
    pub url: String,
    pub user: Option<String>,
    pub all: Vec<Address>,
}

/// One server of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// As it was written.
    pub url: String,
    pub protocol: Protocol,
    /// `host:port`; the port may be left out.
    pub authority: String,
    encryption: Encryption,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Flight,
    Postgres,
}

/// What the scheme says of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    Off,
    /// By the options.
    AsAsked,
    On,
}

impl Addresses {
    /// # Errors
    /// One that is no address, before any is tried; a password, which does not belong where others see it.
    pub(super) fn parse(url: &str) -> Result<Self, Failure> {
        let (scheme, mut rest) = url.split_once("://").unwrap_or((DEFAULT_SCHEME, url));
        let mut user = None;
        if protocol(scheme).is_some_and(|(protocol, _)| protocol == Protocol::Postgres) {
            if let Some((named, hosts)) = rest.split_once('@') {
                if named.contains(':') {
                    let message =
                        "a password does not belong into an address, where others see it: DAMSON_PASSWORD is for it";
                    return Err(Failure::Connection(message.into()));
                }
                (user, rest) = (Some(named.to_owned()).filter(|user| !user.is_empty()), hosts);
            }
            rest = rest.strip_suffix(DATABASE).filter(|hosts| hosts.ends_with('/')).unwrap_or(rest);
        }
        let all = rest.trim_end_matches('/').split(',').map(|authority| Address::of(scheme, authority.trim()));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        let authorities: Vec<&str> = all.iter().map(|address| address.authority.as_str()).collect();
        Ok(Addresses { url: format!("{scheme}://{}", authorities.join(",")), user, all })
    }
}

/// An address as it is meant in a session at `current`: without a scheme it has the session's, and where it leaves TLS open, it has TLS if
/// the session's says so.
pub(super) fn as_in_session(url: &str, current: &str) -> String {
    let own = current.split_once("://").map_or(DEFAULT_SCHEME, |(scheme, _)| scheme);
    let Some((scheme, rest)) = url.split_once("://") else { return format!("{own}://{url}") };
    match (protocol(scheme), protocol(own)) {
        (Some((_, Encryption::AsAsked)), Some((_, Encryption::On))) => format!("{scheme}+tls://{rest}"),
        _ => url.to_owned(),
    }
}

fn protocol(scheme: &str) -> Option<(Protocol, Encryption)> {
    Some(match scheme {
        "flight" | "grpc" => (Protocol::Flight, Encryption::AsAsked),
        "flight+tcp" | "grpc+tcp" | "http" => (Protocol::Flight, Encryption::Off),
        "flight+tls" | "grpc+tls" | "https" => (Protocol::Flight, Encryption::On),
        "postgresql" | "postgres" => (Protocol::Postgres, Encryption::AsAsked),
        "postgresql+tls" | "postgres+tls" => (Protocol::Postgres, Encryption::On),
        _ => return None,
    })
}

impl Address {
    fn of(scheme: &str, authority: &str) -> Result<Self, Failure> {
        let url = format!("{scheme}://{authority}");
        let Some((protocol, encryption)) = protocol(scheme) else { return Err(no_address(&url)) };
        let is_one = authority.parse::<Authority>().is_ok_and(|parsed| !parsed.host().is_empty());
        if !is_one || authority.contains('@') {
            return Err(no_address(&url));
        }
        Ok(Address { url, protocol, authority: authority.to_owned(), encryption })
    }

    /// The host, without the brackets of an IPv6 address, and the port.
    ///
    /// # Errors
    /// An authority that is none.
    pub(super) fn host_and_port(&self) -> Result<(String, u16), Failure> {
        let authority: Authority = self.authority.parse().map_err(|_| no_address(&self.url))?;
        let port = authority.port_u16().unwrap_or(match self.protocol {
            Protocol::Flight => HTTPS_PORT,
            Protocol::Postgres => POSTGRES_PORT,
        });
        Ok((authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(), port))
    }

    /// Whether the connection is to have TLS.
    ///
    /// # Errors
    /// An address that says otherwise than the option.
    pub(super) fn is_encrypted(&self, tls: &TlsArgs) -> Result<bool, Failure> {
        match self.encryption {
            Encryption::On => Ok(true),
            Encryption::AsAsked => Ok(tls.is_asked_for()),
            Encryption::Off if tls.is_asked_for() => {
                let option = if tls.tls { "--tls" } else { "--tls-ca (or DAMSON_TLS_CA)" };
                Err(Failure::Connection(format!("{} is an address without TLS, and {option} asks for it", self.url)))
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
        "{shown} is no address: flight://HOST:PORT is one, flight+tls://HOST:PORT, postgresql://HOST:PORT, or \
         flight://HOST:PORT,HOST:PORT"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(url: &str) -> Address {
        let [address] = <[Address; 1]>::try_from(Addresses::parse(url).unwrap().all).unwrap();
        address
    }

    #[test]
    fn several_servers() {
        let found = Addresses::parse("flight+tls://a:1, b:2").unwrap();
        let urls: Vec<String> = found.all.into_iter().map(|address| address.url).collect();
        assert_eq!(urls, ["flight+tls://a:1", "flight+tls://b:2"]);
        assert_eq!((found.url.as_str(), found.user), ("flight+tls://a:1,b:2", None));
        assert!(Addresses::parse("flight://a:1,").is_err() && Addresses::parse("ftp://a,b").is_err());
    }

    #[test]
    fn addresses() {
        assert_eq!(one("flight://127.0.0.1:50051").authority, "127.0.0.1:50051");
        assert_eq!(one("localhost:1/").authority, "localhost:1");
        assert_eq!(one("grpc+tcp://[::1]:50051").authority, "[::1]:50051");
        assert_eq!(one("https://[::1]").host_and_port().unwrap(), ("::1".into(), 443));
        for url in ["ftp://x", "flight://", "", "flight://user:secret@host:1", "https://host/path", "flight://:1"] {
            let told = Addresses::parse(url).unwrap_err().to_string();
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn addresses_of_the_postgresql_protocol() {
        for (url, user, shown) in [
            ("postgresql://ann@a:1,b:2/damson", Some("ann"), "postgresql://a:1,b:2"),
            ("postgres://a/damson", None, "postgres://a"),
            ("postgresql+tls://a:1/", None, "postgresql+tls://a:1"),
            // A host of the database's name.
            ("postgresql://damson", None, "postgresql://damson"),
        ] {
            let found = Addresses::parse(url).unwrap();
            assert_eq!((found.user.as_deref(), found.url.as_str()), (user, shown), "{url}");
            assert!(found.all.iter().all(|address| address.protocol == Protocol::Postgres), "{url}");
        }
        assert_eq!(one("postgres://a").host_and_port().unwrap(), ("a".into(), 5433));
        for url in ["postgresql://a/other", "postgresql://a?sslmode=require", "postgresql://ann:secret@a"] {
            let told = Addresses::parse(url).unwrap_err().to_string();
            assert!(!told.contains("secret"), "{told}");
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
            ("postgresql://h:1", [Some(false), Some(true), Some(true)]),
            ("grpc+tcp://h:1", [Some(false), None, None]),
            ("flight+tcp://h:1", [Some(false), None, None]),
            ("http://h:1", [Some(false), None, None]),
            ("flight+tls://h:1", [Some(true); 3]),
            ("grpc+tls://h:1", [Some(true); 3]),
            ("https://h:1", [Some(true); 3]),
            ("postgresql+tls://h:1", [Some(true); 3]),
        ] {
            assert_eq!([&none, &ca, &flag].map(|tls| encrypted(url, tls)), by, "{url}");
        }
    }

    #[test]
    fn another_server_is_spoken_to_as_the_first_one() {
        for (url, current, meant) in [
            ("b:1", "flight+tls://a:1", "flight+tls://b:1"),
            ("b:1,c:1", "postgresql+tls://a:1", "postgresql+tls://b:1,c:1"),
            ("b:1", "postgresql://a:1", "postgresql://b:1"),
            ("b:1", "grpc+tcp://a:1", "grpc+tcp://b:1"),
            ("flight://b:1", "https://a:1", "flight+tls://b:1"),
            ("grpc://b:1", "flight+tls://a:1", "grpc+tls://b:1"),
            ("postgres://ann@b:1", "flight+tls://a:1", "postgres+tls://ann@b:1"),
            ("flight://b:1", "flight://a:1", "flight://b:1"),
            // It says that it is without.
            ("grpc+tcp://b:1", "flight+tls://a:1", "grpc+tcp://b:1"),
            ("https://b:1", "grpc+tcp://a:1", "https://b:1"),
        ] {
            assert_eq!(as_in_session(url, current), meant, "{url} at {current}");
            assert!(Addresses::parse(meant).is_ok(), "{meant}");
        }
    }
}
