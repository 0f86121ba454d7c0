//! Names of places, as they may be shown.

/// A place's URL without what may be secret: a password, which is before an `@`, and what is asked of a server, which may be a signature.
/// The segments show it so too, and `damson backup` looks for it so in `gp_stat_progress_backup`.
pub(crate) fn shown_url(url: &str) -> &str {
    match url {
        // A directory's path has none.
        _ if url.starts_with('/') => url,
        _ if url.contains('@') => "the place",
        _ => url.split(['?', '#']).next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (url, shown) in [
            ("/a@b?c", "/a@b?c"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("az://container/prefix?sv=2026&sig=hush", "az://container/prefix"),
            ("s3://bucket#hush", "s3://bucket"),
            ("s3://key:hu?sh@bucket/prefix", "the place"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
