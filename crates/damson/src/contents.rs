//! Which segments a process hosts: `3`, `0-63`, `0,2,5-7`.

use damson_cluster::ContentId;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The content ids of `damson segment --content`: at least one, each once, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents(BTreeSet<u16>);

/// A list that names no segments.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no list of segments, such as 3, 0-63 or 0,2,5-7")]
pub(crate) struct NoContents(String);

impl Contents {
    pub(crate) fn ids(&self) -> impl ExactSizeIterator<Item = ContentId> {
        self.0.iter().map(|&id| ContentId(i32::from(id)))
    }
}

impl FromStr for Contents {
    type Err = NoContents;

    fn from_str(text: &str) -> Result<Self, NoContents> {
        let wrong = || NoContents(text.to_owned());
        let id = |word: &str| word.trim().parse::<u16>().map_err(|_| wrong());
        let mut ids = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (id(first)?, id(last)?),
                None => (id(part)?, id(part)?),
            };
            if first > last {
                return Err(wrong());
            }
            ids.extend(first..=last);
        }
        Ok(Contents(ids))
    }
}

impl<'de> Deserialize<'de> for Contents {
    /// A number or a list, in the configuration file.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(u16),
            List(String),
        }
        match Written::deserialize(deserializer)? {
            Written::One(id) => Ok(Contents(BTreeSet::from([id]))),
            Written::List(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

impl fmt::Display for Contents {
    /// `seg3`, or `64 segments, seg0 to seg63`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids = self.ids();
        match (ids.next(), ids.next_back()) {
            (Some(first), Some(last)) => write!(f, "{} segments, {first} to {last}", self.0.len()),
            (first, _) => first.iter().try_for_each(|only| only.fmt(f)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Option<Vec<i32>> {
        text.parse().ok().map(|contents: Contents| contents.ids().map(|id| id.0).collect())
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(ids("3"), Some(vec![3]));
        assert_eq!(ids("0-3"), Some(vec![0, 1, 2, 3]));
        assert_eq!(ids("5-7, 0,2, 6"), Some(vec![0, 2, 5, 6, 7]));
        for wrong in ["", "a", "1,", "3-1", "-1", "1-", "65536"] {
            assert_eq!(ids(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn they_are_named() {
        let text = |list: &str| list.parse::<Contents>().map(|contents| contents.to_string());
        assert_eq!(text("3").as_deref(), Ok("seg3"));
        assert_eq!(text("0-63").as_deref(), Ok("64 segments, seg0 to seg63"));
    }
}
