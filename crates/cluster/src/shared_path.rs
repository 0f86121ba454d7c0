//! Paths of files that one segment has written and another reads.
//!
//! In a bucket, a segment that becomes the owner of rows gets an entry of its own for the object that they are in: its path is
//! `from/seg{home}/{tag}/{path}`, where `home` is the content that has written the object and `path` is how that one calls it. The tag is used once, so
//! that a content may get an object twice. Such entries are the catalog's and the buckets' alone: nothing is ever written to one.

use crate::ContentId;
use std::fmt::Display;

const FROM: &str = "from/seg";

/// A new path by which another content reads what `content` knows by `path`, which may be shared already: the object keeps its home.
pub fn share_path(content: ContentId, path: &str, tag: &impl Display) -> String {
    let (home, path) = stored_at(content, path);
    format!("{FROM}{}/{tag}/{path}", home.0)
}

/// Whose file an entry is about, and how that content calls it: what names the bytes in the cluster. Of a path that is not shared it is the
/// entry's own.
pub fn stored_at(content: ContentId, path: &str) -> (ContentId, &str) {
    shared(path).map_or((content, path), |(home, _, path)| (home, path))
}

/// Whether a path is of a file that another entry may name, too.
pub fn is_shared(path: &str) -> bool {
    shared(path).is_some()
}

fn shared(path: &str) -> Option<(ContentId, &str, &str)> {
    let (home, rest) = path.strip_prefix(FROM)?.split_once('/')?;
    let (tag, path) = rest.split_once('/')?;
    Some((ContentId(home.parse().ok()?), tag, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_file_keeps_its_home() {
        let (home, own) = (ContentId(3), "base/t12/0193.parquet");
        assert_eq!(stored_at(home, own), (home, own));
        let first = share_path(home, own, &"a");
        assert_eq!(first, "from/seg3/a/base/t12/0193.parquet");
        assert!(is_shared(&first) && !is_shared(own));
        assert_eq!(stored_at(ContentId(5), &first), (home, own));
        // Shared once more, and back to its home.
        for content in [ContentId(5), home] {
            let second = share_path(content, &first, &"b");
            assert_eq!(second, "from/seg3/b/base/t12/0193.parquet");
            assert_eq!(stored_at(content, &second), (home, own));
        }
    }

    #[test]
    fn what_only_looks_like_one_is_its_own() {
        for path in
            ["from/seg3", "from/seg3/a", "from/segx/a/base/t1/b", "from/3/a/base/t1/b", "base/from/seg3/a/b", ""]
        {
            assert_eq!(stored_at(ContentId(1), path), (ContentId(1), path));
            assert!(!is_shared(path));
        }
    }
}
