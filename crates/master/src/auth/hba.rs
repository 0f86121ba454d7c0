//! Who may connect from where, and what they must show: rules in the form of PostgreSQL's `pg_hba.conf`.

use std::fmt;
use std::net::IpAddr;
use thiserror::Error;

/// Of a file of rules; each new connection looks through all of them.
const RULES_BYTES_MAX: usize = 1 << 20;

/// Rules in order; the first that fits a connection decides. Where none fits, it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HbaRules(Vec<Rule>);

/// Why rules cannot be read.
#[derive(Debug, Error)]
#[error("line {line}: {message}")]
pub struct HbaError {
    pub line: usize,
    pub message: String,
}

/// What a client must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Nothing. Whose name is no role's is `unknown`, if that is given.
    Trust {
        unknown: Option<String>,
    },
    /// That it knows the password, which a protocol with SCRAM does not send.
    Scram,
    /// The password itself: over TLS, or within the host.
    Password,
    Reject,
}

/// Where a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// None: by a unix socket.
    pub address: Option<IpAddr>,
    pub is_encrypted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    kind: Kind,
    databases: Vec<Word>,
    users: Vec<Word>,
    /// None: any.
    network: Option<Network>,
    method: Method,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Local,
    Host,
    HostSsl,
    HostNoSsl,
}

/// A word of a line; in quotes it has no other meaning than its text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    is_quoted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    mask: u128,
}

impl Peer {
    /// From this very host.
    pub fn is_local(&self) -> bool {
        self.address.is_none_or(|address| address.to_canonical().is_loopback())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "host \"{}\"", address.to_canonical()),
            None => f.write_str("a local socket"),
        }
    }
}

impl HbaRules {
    /// A server of its own user: whoever is on this host is let in, as the superuser if nobody else is meant.
    pub fn demo() -> Self {
        let trust = Method::Trust { unknown: Some("damson".into()) };
        let rule = |kind, method| Rule { kind, databases: all(), users: all(), network: None, method };
        let from = |text: &str| Network::parse(text).expect("a network of this file");
        let loopback = |text| Rule { network: Some(from(text)), ..rule(Kind::Host, trust.clone()) };
        HbaRules(vec![
            rule(Kind::Local, trust.clone()),
            loopback("127.0.0.0/8"),
            loopback("::1/128"),
            rule(Kind::Host, Method::Scram),
        ])
    }

    /// Everybody has a password.
    pub fn passwords() -> Self {
        let rule = |kind| Rule { kind, databases: all(), users: all(), network: None, method: Method::Scram };
        HbaRules(vec![rule(Kind::Local), rule(Kind::Host)])
    }

    /// Lines `local DATABASE USER METHOD` and `host|hostssl|hostnossl DATABASE USER ADDRESS METHOD`; `#` begins a comment.
    ///
    /// # Errors
    /// The line that is none, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, HbaError> {
        if text.len() > RULES_BYTES_MAX {
            return Err(HbaError { line: 1, message: format!("rules have at most {RULES_BYTES_MAX} bytes") });
        }
        let mut rules = vec![];
        for (i, line) in text.lines().enumerate() {
            let rule =
                fields(line).and_then(|fields| if fields.is_empty() { Ok(None) } else { Rule::of(&fields).map(Some) });
            rules.extend(rule.map_err(|message| HbaError { line: i + 1, message })?);
        }
        Ok(HbaRules(rules))
    }

    /// Whether there are rules for clients with TLS alone.
    pub fn have_hostssl(&self) -> bool {
        self.0.iter().any(|rule| rule.kind == Kind::HostSsl)
    }

    /// What the first rule asks for that fits; `is_member` says whether the user belongs to a role, for `+role`. None: no rule fits.
    pub fn method(&self, peer: Peer, database: &str, user: &str, is_member: impl Fn(&str) -> bool) -> Option<&Method> {
        let fits = |rule: &&Rule| {
            rule.fits_peer(peer)
                && rule.databases.iter().any(|word| word.is_database(database, user, &is_member))
                && rule.users.iter().any(|word| word.is_user(user, &is_member))
        };
        self.0.iter().find(fits).map(|rule| &rule.method)
    }
}

fn all() -> Vec<Word> {
    vec![Word { text: "all".into(), is_quoted: false }]
}

impl Rule {
    fn of(fields: &[Vec<Word>]) -> Result<Rule, String> {
        let mut fields = fields.iter();
        let mut next = |what: &str| fields.next().ok_or_else(|| format!("the {what} is missing"));
        let kind = match single(next("connection type")?)?.text.as_str() {
            "local" => Kind::Local,
            "host" => Kind::Host,
            "hostssl" => Kind::HostSsl,
            "hostnossl" => Kind::HostNoSsl,
            other => return Err(format!("invalid connection type \"{other}\"")),
        };
        let databases = next("database")?.clone();
        let users = next("user")?.clone();
        let network = if kind == Kind::Local { None } else { network(next("address")?, &mut next)? };
        let method = single(next("authentication method")?)?.text.clone();
        let mut unknown = None;
        for option in fields {
            match single(option)?.text.split_once('=') {
                Some(("unknown", role)) if method == "trust" => unknown = Some(role.to_owned()),
                _ => return Err(format!("unrecognized authentication option \"{}\"", single(option)?.text)),
            }
        }
        let method = match method.as_str() {
            "trust" => Method::Trust { unknown },
            "scram-sha-256" => Method::Scram,
            "password" => Method::Password,
            "reject" => Method::Reject,
            "md5" => return Err("md5 is not supported: passwords are kept for scram-sha-256".into()),
            other => return Err(format!("invalid authentication method \"{other}\"")),
        };
        Ok(Rule { kind, databases, users, network, method })
    }

    fn fits_peer(&self, peer: Peer) -> bool {
        let fits_kind = match self.kind {
            Kind::Local => peer.address.is_none(),
            Kind::Host => peer.address.is_some(),
            Kind::HostSsl => peer.address.is_some() && peer.is_encrypted,
            Kind::HostNoSsl => peer.address.is_some() && !peer.is_encrypted,
        };
        fits_kind && self.network.is_none_or(|network| peer.address.is_some_and(|address| network.has(address)))
    }
}

/// An ADDRESS, which may be two fields: `10.0.0.0 255.0.0.0`.
fn network<'a>(
    field: &[Word],
    next: &mut impl FnMut(&str) -> Result<&'a Vec<Word>, String>,
) -> Result<Option<Network>, String> {
    let word = single(field)?;
    if !word.is_quoted && word.text == "all" {
        return Ok(None);
    }
    if let Ok(address) = word.text.parse::<IpAddr>() {
        let mask = single(next("netmask")?)?;
        let parsed = mask.text.parse::<IpAddr>().ok().filter(|mask| mask.is_ipv4() == address.is_ipv4());
        let mask = parsed.ok_or_else(|| format!("invalid IP mask \"{}\"", mask.text))?;
        let (bits, ones) = (bits(mask), if mask.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX });
        // All its ones are before its zeros.
        if (!bits & ones) & ((!bits & ones).wrapping_add(1)) != 0 {
            return Err(format!("invalid IP mask \"{mask}\""));
        }
        return Ok(Some(Network { address, mask: bits }));
    }
    let network = Network::parse(&word.text);
    network.map(Some).ok_or_else(|| {
        format!("\"{}\" is no network of the form address/bits; names of hosts are not supported", word.text)
    })
}

fn single(field: &[Word]) -> Result<&Word, String> {
    match field {
        [word] => Ok(word),
        _ => Err("a list stands where one value is wanted".into()),
    }
}

impl Word {
    fn is_database(&self, database: &str, user: &str, is_member: &impl Fn(&str) -> bool) -> bool {
        match (self.text.as_str(), self.is_quoted) {
            ("all", false) => true,
            ("sameuser", false) => user == database,
            ("samerole" | "samegroup", false) => is_member(database),
            // Nobody replicates.
            ("replication", false) => false,
            (name, _) => name == database,
        }
    }

    fn is_user(&self, user: &str, is_member: &impl Fn(&str) -> bool) -> bool {
        match (self.text.as_str(), self.is_quoted) {
            ("all", false) => true,
            (name, false) if name.starts_with('+') => is_member(&name[1..]),
            (name, _) => name == user,
        }
    }
}

impl Network {
    /// `10.1.0.0/16`.
    fn parse(text: &str) -> Option<Network> {
        let (address, length) = text.split_once('/')?;
        let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?);
        let width = if address.is_ipv4() { 32 } else { 128 };
        if length > width {
            return None;
        }
        let ones = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
        let host = u128::MAX.checked_shr(128 - (width - length)).unwrap_or(0);
        Some(Network { address, mask: ones & !host })
    }

    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && bits(address) & self.mask == bits(self.address) & self.mask
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// A line's fields, each a list of words with commas between.
fn fields(line: &str) -> Result<Vec<Vec<Word>>, String> {
    let (mut fields, mut chars) = (vec![], line.chars().peekable());
    let mut goes_on = false;
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut word = Word { text: String::new(), is_quoted: false };
        let mut is_there = false;
        match chars.peek() {
            None | Some('#') if goes_on => return Err("a list ends with a comma".into()),
            None | Some('#') => return Ok(fields),
            _ => {}
        }
        let mut is_inside = false;
        while let Some(c) = chars.next_if(|c| is_inside || !(c.is_whitespace() || [',', '#'].contains(c))) {
            is_there = true;
            match c {
                '"' => (is_inside, word.is_quoted) = (!is_inside, true),
                c => word.text.push(c),
            }
        }
        if is_inside {
            return Err("a quote does not end".into());
        }
        if !is_there {
            return Err("a comma stands where a value is wanted".into());
        }
        match fields.last_mut() {
            Some(list) if goes_on => Vec::push(list, word),
            _ => fields.push(vec![word]),
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        goes_on = chars.next_if_eq(&',').is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str, is_encrypted: bool) -> Peer {
        Peer { address: Some(address.parse().unwrap()), is_encrypted }
    }

    fn asked(rules: &HbaRules, peer: Peer, database: &str, user: &str) -> Option<Method> {
        rules.method(peer, database, user, |role| role == "staff" && user == "ann").cloned()
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = HbaRules::parse(
            "# comment\n\
             local all all trust # to the end\n\
             host all \"all\" all reject\n\
             hostssl damson,other +staff 10.0.0.0/8 password\n\
             hostnossl all bob , ann 10.0.0.0 255.255.0.0 scram-sha-256\n\
             host sameuser all ::1/128 trust unknown=\"damson\"\n\
             host all all fe80::/10 reject\n",
        )
        .unwrap();
        assert!(rules.have_hostssl() && !HbaRules::passwords().have_hostssl());
        let trust = |unknown: Option<&str>| Some(Method::Trust { unknown: unknown.map(str::to_owned) });
        let socket = Peer { address: None, is_encrypted: false };
        assert_eq!(asked(&rules, socket, "damson", "x"), trust(None));
        assert_eq!(asked(&rules, from("1.2.3.4", false), "damson", "all"), Some(Method::Reject));
        assert_eq!(asked(&rules, from("10.9.9.9", true), "other", "ann"), Some(Method::Password));
        assert_eq!(asked(&rules, from("10.9.9.9", true), "third", "ann"), None);
        assert_eq!(asked(&rules, from("11.0.0.1", true), "other", "ann"), None);
        assert_eq!(asked(&rules, from("10.0.9.9", true), "other", "bob"), None);
        assert_eq!(asked(&rules, from("10.0.9.9", false), "other", "bob"), Some(Method::Scram));
        assert_eq!(asked(&rules, from("10.0.9.9", false), "other", "ann"), Some(Method::Scram));
        assert_eq!(asked(&rules, from("10.1.9.9", false), "other", "bob"), None);
        // A dual-stack socket's way to tell of an IPv4 client.
        assert_eq!(asked(&rules, from("::ffff:10.0.9.9", false), "other", "bob"), Some(Method::Scram));
        assert_eq!(asked(&rules, from("::1", false), "x", "x"), trust(Some("damson")));
        assert_eq!(asked(&rules, from("::1", false), "y", "x"), None);
        assert_eq!(asked(&rules, from("fe80::1", false), "y", "x"), Some(Method::Reject));
        assert_eq!(asked(&rules, from("fec0::1", false), "y", "x"), None);
    }

    #[test]
    fn what_is_no_rule_is_refused_by_its_line() {
        for (text, line, message) in [
            ("\nhots all all all trust", 2, "invalid connection type \"hots\""),
            ("host all all 10.0.0.0/8", 1, "the authentication method is missing"),
            ("host all all 10.0.0.0/33 trust", 1, "\"10.0.0.0/33\" is no network"),
            ("host all all example.com trust", 1, "names of hosts are not supported"),
            ("host all all 10.0.0.0 255.0.255.0 trust", 1, "invalid IP mask \"255.0.255.0\""),
            ("host all all 10.0.0.0 ffff:: trust", 1, "invalid IP mask \"ffff::\""),
            ("host all all all md5", 1, "md5 is not supported"),
            ("local all all ident", 1, "invalid authentication method \"ident\""),
            ("local all all scram-sha-256 unknown=x", 1, "unrecognized authentication option"),
            ("local all all a,b", 1, "a list stands where one value is wanted"),
            ("local all, # x", 1, "a list ends with a comma"),
            ("local all,,b all trust", 1, "a comma stands where a value is wanted"),
            ("local \"all all trust", 1, "a quote does not end"),
        ] {
            let error = HbaRules::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn masks_of_all_lengths() {
        for (network, inside, outside) in [
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("10.1.2.3/32", "10.1.2.3", "10.1.2.2"),
            ("10.1.2.3/24", "10.1.2.255", "10.1.3.0"),
            ("::/0", "fe80::1", "10.0.0.1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
        ] {
            let network = Network::parse(network).unwrap();
            assert!(network.has(inside.parse().unwrap()), "{network:?} {inside}");
            assert!(!network.has(outside.parse().unwrap()), "{network:?} {outside}");
        }
    }

    #[test]
    fn a_demo_trusts_its_own_host_alone() {
        let rules = HbaRules::demo();
        for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            let method = asked(&rules, from(address, false), "postgres", "anybody");
            assert_eq!(method, Some(Method::Trust { unknown: Some("damson".into()) }), "{address}");
            assert!(from(address, false).is_local(), "{address}");
        }
        assert_eq!(asked(&rules, from("10.0.0.1", false), "damson", "damson"), Some(Method::Scram));
        assert!(!from("10.0.0.1", false).is_local());
        assert_eq!(asked(&HbaRules::passwords(), from("127.0.0.1", false), "damson", "damson"), Some(Method::Scram));
    }
}
