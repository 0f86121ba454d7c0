//! What ALTER TABLE … EXPAND TABLE says that it did.

use std::fmt;

/// What was moved of a table, as its notice tells it. The statement's row count is that of the moved rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    pub rows: u64,
    /// Of the files that the rows were written to.
    pub bytes: u64,
    /// Those of them that were copied, and not written row by row.
    pub copied_bytes: u64,
    /// How long writers of the table were held off.
    pub writers_waited_ms: u64,
}

impl Expanded {
    pub(super) fn notice(&self, table: &str, map: u32) -> String {
        format!(
            "{self} of table \"{table}\", which is laid out by bucket map {map} now; writers waited {} ms",
            self.writers_waited_ms
        )
    }

    /// Reads the notice; None for another one, such as that nothing had to be moved.
    pub fn of_notice(notice: &str) -> Option<Self> {
        let (rows, rest) = notice.strip_prefix("moved ")?.split_once(" rows (")?;
        let (bytes, rest) = rest.split_once(" bytes, ")?;
        let (copied, rest) = rest.split_once(" of them copied) of table ")?;
        // A table's name is in between, whatever it is.
        let (_, waited) = rest.rsplit_once("; writers waited ")?;
        Some(Expanded {
            rows: rows.parse().ok()?,
            bytes: bytes.parse().ok()?,
            copied_bytes: copied.parse().ok()?,
            writers_waited_ms: waited.strip_suffix(" ms")?.parse().ok()?,
        })
    }
}

impl fmt::Display for Expanded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "moved {} rows ({} bytes, {} of them copied)", self.rows, self.bytes, self.copied_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_is_read_as_it_is_written() {
        let expanded = Expanded { rows: 3, bytes: 4096, copied_bytes: 4000, writers_waited_ms: 12 };
        for table in ["t", "; writers waited 5 ms", "1 bytes, 1 of them copied) of table "] {
            let notice = expanded.notice(table, 2);
            assert_eq!(Expanded::of_notice(&notice), Some(expanded), "{notice}");
        }
        assert_eq!(Expanded::of_notice("table \"t\" is laid out by bucket map 2 already"), None);
    }
}
