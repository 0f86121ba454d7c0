//! Where the catalog is kept.

use super::error::CatalogError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Named by whoever starts a master; read by [`Catalog::open_at`](super::Catalog::open_at) and the [`Lease`](super::Lease).
#[derive(Clone, PartialEq, Eq)]
pub enum CatalogLocation {
    /// SQLite in the master's data directory.
    Directory(PathBuf),
    /// The schema `damson` of a PostgreSQL database: `postgres://user:password@host:port/database`. Several hosts are tried in
    /// turn for the one that can be written to.
    Postgres { url: String },
}

impl FromStr for CatalogLocation {
    type Err = CatalogError;

    /// A URL of PostgreSQL's, or a path.
    fn from_str(text: &str) -> Result<Self, CatalogError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            super::postgres::check_url(text)?;
            return Ok(CatalogLocation::Postgres { url: text.to_owned() });
        }
        match text.split_once("://") {
            Some((scheme, _)) => Err(CatalogError::Location(format!("no catalog can be kept in {scheme}://"))),
            None => Ok(CatalogLocation::Directory(text.into())),
        }
    }
}

impl From<&Path> for CatalogLocation {
    fn from(path: &Path) -> Self {
        CatalogLocation::Directory(path.to_owned())
    }
}

/// Without the password.
impl fmt::Display for CatalogLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogLocation::Directory(path) => path.display().fmt(f),
            CatalogLocation::Postgres { url } => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for CatalogLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CatalogLocation({self})")
    }
}

const HIDDEN: &str = "***";

/// Passwords are before the `@`, and in the parameter `password`.
fn without_password(url: &str) -> String {
    let (base, parameters) = url.split_once('?').map_or((url, None), |(base, rest)| (base, Some(rest)));
    let start = base.find("://").map_or(0, |at| at + 3);
    let hosts = base[start..].find('/').map_or(base.len(), |at| start + at);
    let mut text = match base[start..hosts].rfind('@').map(|at| start + at) {
        Some(at) => match base[start..at].find(':').map(|colon| start + colon) {
            Some(colon) => format!("{}:{HIDDEN}{}", &base[..colon], &base[at..]),
            None => base.to_owned(),
        },
        None => base.to_owned(),
    };
    if let Some(parameters) = parameters {
        let shown = parameters.split('&').map(|parameter| match parameter.split_once('=') {
            Some(("password", _)) => format!("password={HIDDEN}"),
            _ => parameter.to_owned(),
        });
        text += "?";
        text += &shown.collect::<Vec<_>>().join("&");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_or_a_url() {
        let parse = |text: &str| text.parse::<CatalogLocation>();
        assert_eq!(parse("/var/lib/damson").unwrap(), CatalogLocation::Directory("/var/lib/damson".into()));
        assert_eq!(parse("data").unwrap(), CatalogLocation::Directory("data".into()));
        for url in
            ["postgres://a@b/c", "postgresql://a:p@b:1,d:2/c?sslmode=disable", "postgres://%2Ftmp/c?sslmode=prefer"]
        {
            assert_eq!(parse(url).unwrap(), CatalogLocation::Postgres { url: url.into() });
        }
        for mode in ["require", "verify-ca", "verify-full"] {
            let error = parse(&format!("postgres://a:secret@b/c?sslmode={mode}")).unwrap_err().to_string();
            assert!(error.contains(mode) && error.contains("TLS") && !error.contains("secret"), "{error}");
        }
        for wrong in
            ["mysql://a/b", "postgres://a:secret@b:port/c", "postgres://a:secret@b/c?unheard_of=1", "postgres:///c"]
        {
            let error = parse(wrong).unwrap_err();
            assert!(matches!(error, CatalogError::Location(_)), "{wrong}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = |url: &str| CatalogLocation::Postgres { url: url.into() }.to_string();
        assert_eq!(shown("postgres://u:p:q@h:1/d"), "postgres://u:***@h:1/d");
        assert_eq!(shown("postgres://u@h:1/d"), "postgres://u@h:1/d");
        assert_eq!(shown("postgres://u:p@h,i"), "postgres://u:***@h,i");
        assert_eq!(shown("postgres://h/d?password=p&user=u"), "postgres://h/d?password=***&user=u");
        let location = CatalogLocation::Postgres { url: "postgres://u:p@h/d".into() };
        assert_eq!(format!("{location:?}"), "CatalogLocation(postgres://u:***@h/d)");
    }
}
