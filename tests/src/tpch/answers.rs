//! The validation answers: compared in order, decimals exactly, averages and ratios to a relative 1e-9.

use crate::render_exact;
use datafusion::arrow::array::RecordBatch;
use std::fs;
use std::path::Path;

/// TPC-H has this many queries, numbered from 1.
pub const QUERIES: usize = 22;

/// Averages and ratios may differ in their last digits between engines by this much, relatively.
const RELATIVE_ERROR: f64 = 1e-9;

/// Columns, counted from 0, that are an average or a division.
fn inexact_columns(query: usize) -> &'static [usize] {
    match query {
        1 => &[6, 7, 8],
        8 => &[1],
        14 | 17 => &[0],
        _ => &[],
    }
}

/// Compares the result of query `n` at scale factor `sf` (`0.01` or `1`) with the answers.
///
/// # Errors
/// The first difference, with row and column.
///
/// # Panics
/// When there are no answers for `sf` and `n`.
pub fn compare_with_answers(sf: f64, n: usize, batches: &[RecordBatch]) -> Result<(), String> {
    let mut rows = vec![];
    for batch in batches {
        let columns: Vec<Vec<String>> = batch.columns().iter().map(render_exact).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect::<Vec<_>>()));
    }
    compare_texts_with_answers(sf, n, &rows)
}

/// As [`compare_with_answers`], on values as text; NULL is `NULL` or nothing.
///
/// # Errors
/// The first difference, with row and column.
///
/// # Panics
/// When there are no answers for `sf` and `n`.
pub fn compare_texts_with_answers(sf: f64, n: usize, rows: &[Vec<String>]) -> Result<(), String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/tpch-answers/sf{sf}/q{n:02}.csv"));
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split('|').collect();
    let expected: Vec<Vec<&str>> = lines.map(|line| line.split('|').collect()).collect();
    for (at, (want, have)) in expected.iter().zip(rows).enumerate() {
        // One column that is NULL is an empty line.
        if have.len() != header.len() || want.len() != header.len() {
            return Err(format!("Q{n} row {}: {} columns, not {}", at + 1, have.len(), header.len()));
        }
        for (column, (want, have)) in want.iter().zip(have).enumerate() {
            let inexact = inexact_columns(n).contains(&column);
            if !same_value(want, have, inexact) {
                return Err(format!("Q{n} row {} {}: {have}, not {want}", at + 1, header[column]));
            }
        }
    }
    if rows.len() == expected.len() {
        Ok(())
    } else {
        Err(format!("Q{n}: {} rows, not {}", rows.len(), expected.len()))
    }
}

fn same_value(want: &str, have: &str, inexact: bool) -> bool {
    let have = if have == "NULL" { "" } else { have };
    if want == have {
        return true;
    }
    if inexact {
        return match (want.parse::<f64>(), have.parse::<f64>()) {
            (Ok(want), Ok(have)) => (want - have).abs() <= RELATIVE_ERROR * want.abs(),
            _ => false,
        };
    }
    matches!((plain_decimal(want), plain_decimal(have)), (Some(want), Some(have)) if want == have)
}

/// Sign, digits before and after the point without zeros that say nothing; None for anything but a plain decimal.
fn plain_decimal(text: &str) -> Option<(bool, &str, &str)> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    Some((negative, whole.trim_start_matches('0'), fraction.trim_end_matches('0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_compared_as_numbers() {
        assert!(same_value("380456", "380456.00", false));
        assert!(same_value("-0.50", "-0.5", false));
        assert!(!same_value("-0.50", "0.50", false));
        assert!(same_value("0.5", "0.50", false));
        assert!(!same_value("380456.01", "380456.00", false));
        assert!(!same_value("Customer#1", "Customer#01", false));
        assert!(same_value("", "NULL", false));
        assert!(!same_value("", "0", false));
    }

    #[test]
    fn averages_may_differ_in_their_last_digits() {
        assert!(same_value("25.575154611454693", "25.5751546114546921", true));
        assert!(!same_value("25.575154611454693", "25.5751", true));
        assert!(!same_value("25.575154611454693", "25.5751546114546921", false));
        assert!(same_value("0.0", "0.0000", true));
    }

    #[test]
    fn a_wrong_answer_is_found() {
        let row = |text: &str| vec![text.to_string()];
        assert!(compare_texts_with_answers(0.01, 6, &[row("1193053.2253")]).is_ok());
        assert!(compare_texts_with_answers(0.01, 6, &[row("1193053.2254")]).is_err());
        assert!(compare_texts_with_answers(0.01, 6, &[]).is_err());
        assert!(compare_texts_with_answers(0.01, 6, &[row("1193053.2253"), row("1")]).is_err());
        assert!(compare_texts_with_answers(0.01, 17, &[row("NULL")]).is_ok());
    }

    #[test]
    fn every_query_has_answers_at_both_scales() {
        for n in 1..=QUERIES {
            for sf in [0.01, 1.0] {
                assert!(compare_texts_with_answers(sf, n, &[]).is_err(), "Q{n} at {sf}: an empty result passed");
            }
        }
    }
}
