//! Where an operator's rows are.

use damson_cluster::MapVersion;

/// Where an operator's rows are. Assigned bottom up by the distribute pass; it decides which motions a plan needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Locus {
    /// On the owners of their buckets under `map`. `keys[i]` lists the output columns that hold the i-th hashed value
    /// (several once an equality join has made them equal); none of the lists is empty.
    Hashed { keys: Vec<Vec<usize>>, map: MapVersion },
    /// Each row on exactly one segment, no matter which.
    Strewn,
    /// Every row on every segment.
    Replicated,
    /// Constants and system tables, part of the plan itself: the same wherever they are computed.
    General,
    /// On the master only.
    Entry,
}

impl Locus {
    /// Each row on exactly one of several segments.
    pub(crate) fn is_partitioned(&self) -> bool {
        matches!(self, Locus::Hashed { .. } | Locus::Strewn)
    }

    /// Every segment has, or can compute, all rows.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Locus::Replicated | Locus::General)
    }

    /// The locus seen through an operator that keeps rows and renames columns: `output_of(c)` lists the output columns
    /// that hold input column `c`.
    pub(crate) fn remap(&self, output_of: impl Fn(usize) -> Vec<usize>) -> Locus {
        let Locus::Hashed { keys, map } = self else { return self.clone() };
        let keys: Vec<Vec<usize>> =
            keys.iter().map(|columns| columns.iter().flat_map(|&c| output_of(c)).collect()).collect();
        if keys.iter().any(Vec::is_empty) { Locus::Strewn } else { Locus::Hashed { keys, map: *map } }
    }

    /// True if equal values of `columns` are on one segment: the hashed values are among them.
    pub(crate) fn is_hashed_within(&self, columns: &[usize]) -> bool {
        match self {
            Locus::Hashed { keys, .. } => keys.iter().all(|key| key.iter().any(|c| columns.contains(c))),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(keys: &[&[usize]]) -> Locus {
        Locus::Hashed { keys: keys.iter().map(|k| k.to_vec()).collect(), map: MapVersion(1) }
    }

    #[test]
    fn a_projection_that_drops_a_key_column_strews() {
        let swap = |c| if c == 0 { vec![1] } else { vec![] };
        assert_eq!(hashed(&[&[0, 2]]).remap(swap), hashed(&[&[1]]));
        assert_eq!(hashed(&[&[0], &[2]]).remap(swap), Locus::Strewn);
    }

    #[test]
    fn grouping_by_more_than_the_key_is_local_and_by_less_is_not() {
        assert!(hashed(&[&[3]]).is_hashed_within(&[1, 3]));
        assert!(!hashed(&[&[3], &[4]]).is_hashed_within(&[3]));
        assert!(!Locus::Strewn.is_hashed_within(&[0]));
    }
}
