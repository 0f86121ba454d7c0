//! Tables as text.

use std::fmt::Write;

/// Columns as wide as their widest cell, the first to the left and numbers to the right, with a line below the header.
///
/// # Panics
/// If a row has fewer cells than the first.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Writing to a String cannot fail.
            let _ = if column == 0 { write!(line, "{cell:<width$}") } else { write!(line, "  {cell:>width$}") };
        }
        text += line.trim_end();
        text.push('\n');
        if number == 0 {
            text += &"-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1));
            text.push('\n');
        }
    }
    text
}

/// Bytes as GiB.
pub fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn cells_are_under_each_other() {
        let rows = [["a", "bb"], ["ccc", "1"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(aligned(&rows), "a    bb\n-------\nccc   1\n");
        assert_eq!(aligned(&[]), "");
    }
}
