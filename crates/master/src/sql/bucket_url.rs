//! URLs of buckets and prefixes, where a statement names no files: scopes and locations.

use crate::error::{SqlError, SqlState};
use damson_cluster::SecretType;

/// `s3://bucket/prefix` in one way: the scheme in lower case, and no slash at the end. With `whole` also `s3://`, which is every bucket.
///
/// # Errors
/// 22023 for what is no URL of an object store, or says more than bucket and prefix; the text is not repeated then, which may have
/// credentials.
pub(super) fn bucket_url(text: &str, whole: bool) -> Result<(SecretType, String), SqlError> {
    let refuse = |message: &str| SqlError::new(SqlState::INVALID_PARAMETER, message);
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let kind = SecretType::of_url(text)
        .ok_or_else(|| refuse("it is not in an object store: these are s3://, gs:// and az://"))?;
    if text.chars().any(char::is_control) {
        return Err(refuse("a URL has no control characters"));
    }
    if rest.contains(['@', '?', '#']) {
        return Err(refuse("it says more than bucket and prefix: credentials are options of a secret"));
    }
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() && whole {
        return Ok((kind, format!("{}://", kind.scheme())));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, "-"));
    if bucket.is_empty() || bucket.contains(':') {
        return Err(refuse("it names no bucket; an endpoint is an option of a secret"));
    }
    if prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(refuse("its prefix has a part that is empty, \".\" or \"..\""));
    }
    Ok((kind, format!("{}://{rest}", kind.scheme())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_one_name() {
        for (text, name) in
            [("s3://b", "s3://b"), ("S3://B/a/", "s3://B/a"), ("gs://b/a/b", "gs://b/a/b"), ("az://c/", "az://c")]
        {
            assert_eq!(bucket_url(text, false).unwrap().1, name, "{text}");
        }
        assert_eq!(bucket_url("S3://", true).unwrap(), (SecretType::S3, "s3://".into()));
    }

    #[test]
    fn what_is_no_bucket_is_refused() {
        for text in [
            "",
            "b/a",
            "/a",
            "file:///a",
            "http://b/a",
            "s3:/b",
            "s3:///a",
            "s3://b:1/a",
            "s3://b//a",
            "s3://b/../a",
            "s3://b/.",
            "s3://u:hush@b/a",
            "s3://b/a?sig=hush",
            "s3://b#hush",
            "s3://b/a\n",
        ] {
            let error = bucket_url(text, true).unwrap_err();
            assert_eq!(error.state, SqlState::INVALID_PARAMETER, "{text}");
            assert!(!error.message.contains("hush"), "{error}");
        }
        assert!(bucket_url("s3://", false).is_err());
    }
}
