//! Which secret a statement uses that names none.

use crate::backup::shown_url;
use crate::catalog::{CatalogState, SecretDef};
use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::SecretType;
use std::sync::Arc;

/// The one whose scope is the longest that a URL is in, and the same for all `urls`; None where they are in no scope. Files that are in no
/// object store need none.
///
/// # Errors
/// 22023 for URLs of several secrets, and for several secrets of one scope.
pub(crate) fn of_urls<'a>(state: &'a CatalogState, urls: &[String]) -> SqlResult<Option<&'a Arc<SecretDef>>> {
    let urls = urls.iter().filter(|url| SecretType::of_url(url).is_some()).map(|url| with_small_scheme(url));
    let mut found: Option<(String, Option<&Arc<SecretDef>>)> = None;
    for url in urls {
        let secret = of_url(state, &url)?;
        match &found {
            None => found = Some((url, secret)),
            Some((_, first)) if first.map(|def| &def.name) == secret.map(|def| &def.name) => {}
            Some((first_url, first)) => {
                let name = |def: Option<&Arc<SecretDef>>| match def {
                    Some(def) => format!("in the scope of secret \"{}\"", def.name),
                    None => "in the scope of no secret".to_owned(),
                };
                let message = "the files need different secrets";
                let detail =
                    format!("{} is {}, {} {}.", shown_url(first_url), name(*first), shown_url(&url), name(secret));
                return Err(SqlError::new(SqlState::INVALID_PARAMETER, message)
                    .with_detail(detail)
                    .with_hint("Name one with SECRET, or copy them by a statement each."));
            }
        }
    }
    Ok(found.and_then(|(_, secret)| secret))
}

fn of_url<'a>(state: &'a CatalogState, url: &str) -> SqlResult<Option<&'a Arc<SecretDef>>> {
    let covering = || state.secrets().filter(move |def| covers(&def.scope, url));
    let Some(longest) = covering().map(|def| def.scope.len()).max() else { return Ok(None) };
    let mut best = covering().filter(|def| def.scope.len() == longest);
    match (best.next(), best.next()) {
        (Some(one), Some(other)) => {
            let message = format!("secrets \"{}\" and \"{}\" have the same scope, {}", one.name, other.name, one.scope);
            let hint = "Name one with SECRET, or give them scopes of their own with CREATE OR REPLACE SECRET.";
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(hint))
        }
        (one, _) => Ok(one),
    }
}

/// `s3://bucket/a` covers `s3://bucket/a` and what is below `s3://bucket/a/`, and not `s3://bucket/ab`.
fn covers(scope: &str, url: &str) -> bool {
    url.strip_prefix(scope).is_some_and(|rest| scope.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

/// Schemes are the same in any case.
fn with_small_scheme(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.to_ascii_lowercase()),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Durability, Workspace};

    /// Secrets by name and scope.
    fn state(secrets: &[(&str, &str)]) -> Arc<CatalogState> {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(directory.path(), 1).unwrap();
        let mut workspace = Workspace::new(&catalog);
        for (name, scope) in secrets {
            let kind = SecretType::of_url(scope).unwrap();
            let (name, scope) = ((*name).to_owned(), (*scope).to_owned());
            let (key, sealed) = (String::new(), String::new());
            let def = SecretDef { name, kind, scope, options: vec![], created_us: 0, key, sealed };
            workspace.create_secret(def, false).unwrap();
        }
        workspace.commit(Durability::Synced).unwrap();
        catalog.current()
    }

    fn chosen(state: &CatalogState, urls: &[&str]) -> SqlResult<Option<String>> {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        Ok(of_urls(state, &urls)?.map(|def| def.name.clone()))
    }

    #[test]
    fn the_longest_scope_counts() {
        let state = state(&[("all", "s3://"), ("bucket", "s3://b"), ("prefix", "s3://b/a"), ("other", "gs://b")]);
        for (url, name) in [
            ("s3://x/a", Some("all")),
            ("s3://bb/a", Some("all")),
            ("s3://b/ab", Some("bucket")),
            ("s3://b/a", Some("prefix")),
            ("S3://b/a/c", Some("prefix")),
            ("gs://b/*.csv", Some("other")),
            ("gs://c/a", None),
            ("az://b/a", None),
            ("/b/a", None),
            ("file:///b/a", None),
        ] {
            assert_eq!(chosen(&state, &[url]).unwrap().as_deref(), name, "{url}");
        }
        assert_eq!(chosen(&state, &[]).unwrap(), None);
    }

    #[test]
    fn a_statement_has_one_secret() {
        let state = state(&[("a", "s3://a"), ("b", "s3://b"), ("c", "s3://c"), ("again", "s3://c")]);
        assert_eq!(chosen(&state, &["s3://a/1", "/local", "s3://a/2"]).unwrap().as_deref(), Some("a"));
        for urls in [["s3://a/1", "s3://b/1"], ["s3://a/1", "s3://elsewhere/1"]] {
            let error = chosen(&state, &urls).unwrap_err();
            assert_eq!(error.state, SqlState::INVALID_PARAMETER);
            assert!(error.detail.unwrap().contains("\"a\""));
        }
        let error = chosen(&state, &["s3://c/1"]).unwrap_err();
        assert!(error.message.contains("\"again\" and \"c\""), "{error}");
    }
}
