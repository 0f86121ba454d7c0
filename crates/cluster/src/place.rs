//! Where the files of tables are: the disks of the segments, or a place of a tablespace.

use crate::{SourceAccess, TablespaceId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A place of table files, for ever: its tablespace's number, which is never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlaceId(pub u64);

impl PlaceId {
    /// Each segment's own data directory. It has no [`PlaceSpec`].
    pub const LOCAL: PlaceId = PlaceId(0);

    /// Of a tablespace's tables; None: of those that are in none.
    pub fn of(tablespace: Option<TablespaceId>) -> Self {
        tablespace.map_or(Self::LOCAL, |tablespace| PlaceId(tablespace.0))
    }

    /// None: the segments' own disks.
    pub fn tablespace(self) -> Option<TablespaceId> {
        (!self.is_local()).then_some(TablespaceId(self.0))
    }

    pub fn is_local(self) -> bool {
        self == Self::LOCAL
    }
}

impl fmt::Display for PlaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_local() { f.write_str("local disks") } else { write!(f, "place{}", self.0) }
    }
}

/// What a segment must know to use a place. The master sends it with each request that touches files there; credentials are in it and in
/// nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceSpec {
    pub id: PlaceId,
    /// A directory that is there on every host, or a prefix of a bucket: `file:///directory`, `s3://bucket/prefix`, `gs://`, `az://`.
    pub url: String,
    /// Part of every name below the URL, so that clusters may share a bucket.
    pub cluster_id: String,
    pub access: SourceAccess,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_tablespace_is_a_place() {
        assert_eq!(PlaceId::of(Some(TablespaceId(7))).tablespace(), Some(TablespaceId(7)));
        assert_eq!((PlaceId::of(None), PlaceId::LOCAL.tablespace()), (PlaceId::LOCAL, None));
    }

    #[test]
    fn credentials_are_not_shown() {
        let options = BTreeMap::from([("secret_access_key".to_owned(), "hush".to_owned())]);
        let access = SourceAccess { options };
        let spec = PlaceSpec { id: PlaceId(3), url: "s3://bucket/p".into(), cluster_id: "c".into(), access };
        let shown = format!("{spec:?} {}", spec.id);
        assert!(!shown.contains("hush") && shown.contains("secret_access_key") && shown.ends_with("place3"), "{shown}");
        let sent = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<PlaceSpec>(&sent).unwrap(), spec);
    }
}
