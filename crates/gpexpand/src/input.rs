//! The input file: one line a new segment, `hostname|address|port|datadir|dbid|content|preferred_role`.

use crate::limits::SEGMENTS_MAX;
use damson_cluster::ContentId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use thiserror::Error;

/// `preferred_role`: what the segment is when nothing has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PreferredRole {
    #[serde(rename = "p")]
    Primary,
    #[serde(rename = "m")]
    Mirror,
}

/// One line of the input file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSegment {
    pub hostname: String,
    pub address: String,
    pub port: u16,
    /// An absolute path on that host.
    pub data_dir: String,
    pub dbid: u32,
    pub content: ContentId,
    pub preferred_role: PreferredRole,
}

impl fmt::Display for NewSegment {
    /// As a line of the input file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NewSegment { hostname, address, port, data_dir, dbid, content, preferred_role } = self;
        let role = match preferred_role {
            PreferredRole::Primary => "p",
            PreferredRole::Mirror => "m",
        };
        write!(f, "{hostname}|{address}|{port}|{data_dir}|{dbid}|{}|{role}", content.0)
    }
}

/// What is wrong with an input file, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct InputError {
    /// Counted from 1; of the whole file, its last line.
    pub line: usize,
    pub problem: InputProblem,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InputProblem {
    #[error("{0} fields, not 7: hostname|address|port|datadir|dbid|content|preferred_role")]
    FieldCount(usize),
    #[error("{0} is empty")]
    Empty(&'static str),
    #[error("{field} is {value:?}: {expected}")]
    Invalid { field: &'static str, value: String, expected: &'static str },
    #[error("dbid {0} is given twice, or is in the cluster already")]
    DuplicateDbid(u32),
    #[error("{address}:{port} is given twice")]
    DuplicateAddress { address: String, port: u16 },
    #[error("{0} has two lines of the same role")]
    DuplicateContent(ContentId),
    #[error("content {0} is in the cluster already")]
    ExistingContent(i32),
    #[error("content {0} has no primary: new contents follow the cluster's without a gap")]
    MissingPrimary(i32),
    #[error("the file names no segment")]
    NoSegments,
    #[error("a cluster has at most {SEGMENTS_MAX} segments, not {0}")]
    TooManySegments(usize),
}

impl NewSegment {
    /// Reads one line.
    ///
    /// # Errors
    /// The field that is missing or malformed.
    pub fn parse(line: &str) -> Result<Self, InputProblem> {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [hostname, address, port, data_dir, dbid, content, role] = fields[..] else {
            return Err(InputProblem::FieldCount(fields.len()));
        };
        let filled = |name, value: &str| match value {
            "" => Err(InputProblem::Empty(name)),
            _ => Ok(value.to_string()),
        };
        let invalid =
            |field, value: &str, expected| InputProblem::Invalid { field, value: value.to_string(), expected };
        let preferred_role = match role {
            "p" => PreferredRole::Primary,
            "m" => PreferredRole::Mirror,
            _ => return Err(invalid("preferred_role", role, "p for primary, m for mirror")),
        };
        if !data_dir.is_empty() && !data_dir.starts_with('/') {
            return Err(invalid("datadir", data_dir, "an absolute path"));
        }
        Ok(NewSegment {
            hostname: filled("hostname", hostname)?,
            address: filled("address", address)?,
            port: port
                .parse()
                .ok()
                .filter(|&port| port > 0)
                .ok_or_else(|| invalid("port", port, "a number from 1 to 65535"))?,
            data_dir: filled("datadir", data_dir)?,
            dbid: dbid.parse().ok().filter(|&dbid| dbid > 0).ok_or_else(|| invalid("dbid", dbid, "a number from 1"))?,
            content: content
                .parse()
                .ok()
                .filter(|&content| content >= 0)
                .map(ContentId)
                .ok_or_else(|| invalid("content", content, "a number from 0"))?,
            preferred_role,
        })
    }
}

/// The cluster that an input file is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// Its segments are 0 to this, exclusive; those that own nothing can be given buckets again.
    pub count: usize,
    /// Those that own buckets.
    pub owning: BTreeSet<ContentId>,
    /// Of the master and of segments that own buckets.
    pub dbids: BTreeSet<u32>,
}

/// Reads an input file. Blank lines and lines that begin with `#` say nothing.
///
/// # Errors
/// The first line that is malformed, repeats another or names what the cluster has; contents that do not follow the
/// cluster's without a gap, each with one primary and at most one mirror.
pub fn parse_input(text: &str, members: &Members) -> Result<Vec<NewSegment>, InputError> {
    let mut dbids = members.dbids.clone();
    let mut addresses = BTreeSet::new();
    let mut roles: BTreeMap<i32, Vec<PreferredRole>> = BTreeMap::new();
    let mut found = vec![];
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let fail = |problem| InputError { line: index + 1, problem };
        let segment = NewSegment::parse(line).map_err(fail)?;
        let content = segment.content;
        if members.owning.contains(&content) {
            return Err(fail(InputProblem::ExistingContent(content.0)));
        }
        if !dbids.insert(segment.dbid) {
            return Err(fail(InputProblem::DuplicateDbid(segment.dbid)));
        }
        if !addresses.insert((segment.address.clone(), segment.port)) {
            let NewSegment { address, port, .. } = segment;
            return Err(fail(InputProblem::DuplicateAddress { address, port }));
        }
        let of_content = roles.entry(content.0).or_default();
        if of_content.contains(&segment.preferred_role) {
            return Err(fail(InputProblem::DuplicateContent(content)));
        }
        of_content.push(segment.preferred_role);
        found.push(segment);
    }
    let fail = |problem| InputError { line: text.lines().count().max(1), problem };
    if found.is_empty() {
        return Err(fail(InputProblem::NoSegments));
    }
    if members.owning.len() + roles.len() > SEGMENTS_MAX {
        return Err(fail(InputProblem::TooManySegments(members.owning.len() + roles.len())));
    }
    if let Some((&content, _)) = roles.iter().find(|(_, roles)| !roles.contains(&PreferredRole::Primary)) {
        return Err(fail(InputProblem::MissingPrimary(content)));
    }
    // Without a gap: the k-th content that the cluster does not have is the k-th after its last.
    let new = roles.keys().filter(|content| **content as usize >= members.count);
    for (offset, &content) in new.enumerate() {
        let expected = (members.count + offset) as i32;
        if content != expected {
            return Err(fail(InputProblem::MissingPrimary(expected)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# new hosts\nsdw3|sdw3-1|6000|/data/p2|4|2|p\n\nsdw4|sdw4-1|6000|/data/p3|5|3|p\n\
                       sdw3|sdw3-1|7000|/data/m3|6|3|m\n";

    /// A cluster of two segments, of which the first `owning` own buckets.
    fn members(owning: u32) -> Members {
        let contents = (0..owning as i32).map(ContentId).collect();
        Members { count: 2, owning: contents, dbids: (1..owning + 2).collect() }
    }

    #[test]
    fn a_segment_that_owns_nothing_can_be_named_again() {
        let found = parse_input("a|b|1|/d|3|1|p\na|b|2|/d|4|2|p", &members(1)).unwrap();
        assert_eq!(found.iter().map(|segment| segment.content.0).collect::<Vec<_>>(), [1, 2]);
        // It need not be.
        parse_input("a|b|1|/d|4|2|p", &members(1)).unwrap();
        assert!(parse_input("a|b|1|/d|4|3|p", &members(1)).is_err());
    }

    #[test]
    fn a_file_is_read() {
        let segments = parse_input(TWO, &members(2)).unwrap();
        assert_eq!(segments.len(), 3);
        let expected = NewSegment {
            hostname: "sdw3".into(),
            address: "sdw3-1".into(),
            port: 6000,
            data_dir: "/data/p2".into(),
            dbid: 4,
            content: ContentId(2),
            preferred_role: PreferredRole::Primary,
        };
        assert_eq!(segments[0], expected);
        assert_eq!(segments[2].preferred_role, PreferredRole::Mirror);
        assert_eq!(segments[2].to_string(), "sdw3|sdw3-1|7000|/data/m3|6|3|m");
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (line, message) in [
            ("a|b|1|/d|1|2", "6 fields, not 7: hostname|address|port|datadir|dbid|content|preferred_role"),
            ("a|b|1|/d|1|2|p|x", "8 fields, not 7: hostname|address|port|datadir|dbid|content|preferred_role"),
            ("|b|1|/d|1|2|p", "hostname is empty"),
            ("a||1|/d|1|2|p", "address is empty"),
            ("a|b|1||1|2|p", "datadir is empty"),
            ("a|b|0|/d|1|2|p", "port is \"0\": a number from 1 to 65535"),
            ("a|b|65536|/d|1|2|p", "port is \"65536\": a number from 1 to 65535"),
            ("a|b|1|d|1|2|p", "datadir is \"d\": an absolute path"),
            ("a|b|1|/d|0|2|p", "dbid is \"0\": a number from 1"),
            ("a|b|1|/d|1|-1|p", "content is \"-1\": a number from 0"),
            ("a|b|1|/d|1|2|primary", "preferred_role is \"primary\": p for primary, m for mirror"),
        ] {
            assert_eq!(NewSegment::parse(line).unwrap_err().to_string(), message, "{line}");
        }
    }

    #[test]
    fn lines_must_agree_with_each_other_and_with_the_cluster() {
        let wrong = |text: &str| parse_input(text, &members(2)).unwrap_err();
        let problem = |line, problem| InputError { line, problem };
        assert_eq!(wrong(""), problem(1, InputProblem::NoSegments));
        assert_eq!(wrong("#\n\n"), problem(2, InputProblem::NoSegments));
        assert_eq!(wrong("a|b|1|/d|4|1|p"), problem(1, InputProblem::ExistingContent(1)));
        assert_eq!(wrong("a|b|1|/d|3|2|p"), problem(1, InputProblem::DuplicateDbid(3)));
        assert_eq!(wrong("a|b|1|/d|4|2|p\na|b|2|/d|4|3|p"), problem(2, InputProblem::DuplicateDbid(4)));
        let twice = InputProblem::DuplicateAddress { address: "b".into(), port: 1 };
        assert_eq!(wrong("a|b|1|/d|4|2|p\na|b|1|/e|5|3|p"), problem(2, twice));
        let twice = InputProblem::DuplicateContent(ContentId(2));
        assert_eq!(wrong("a|b|1|/d|4|2|p\na|b|2|/e|5|2|p"), problem(2, twice));
        assert_eq!(wrong("a|b|1|/d|4|3|p"), problem(1, InputProblem::MissingPrimary(2)));
        assert_eq!(wrong("a|b|1|/d|4|2|m"), problem(1, InputProblem::MissingPrimary(2)));
        assert_eq!(wrong("a|b|1|/d|4|2|p\na|b|2|/d|5|4|p"), problem(2, InputProblem::MissingPrimary(3)));
    }
}
